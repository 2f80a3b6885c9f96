//! `lint tlsa`: will this certificate satisfy these records?

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;

use super::assess::{assess_read, findings};
use super::{Tlsa, Unusable};
use crate::finding::{self, Severity};
use crate::{DomainName, Finding};

/// The JSON of `lint tlsa`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LintedChain {
    /// `mailward.lint.tlsa/1`.
    pub schema: &'static str,
    /// `match`, `no-match`, `unusable`, `name-mismatch`, `untrusted` or `expired`.
    pub verdict: &'static str,
    /// The record that matched, as text.
    pub matched: Option<String>,
    /// Sorted; with an `error` exactly when the chain does not satisfy the records.
    pub findings: Vec<Finding>,
}

/// Why a text holds no chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No `BEGIN CERTIFICATE` in it.
    #[error("there is no certificate in PEM form in it")]
    Empty,
    /// A block that is no PEM.
    #[error("a PEM block is broken: {0}")]
    Broken(String),
    /// More than are read.
    #[error("there are more than {0} certificates in it")]
    TooMany(usize),
}

/// The most certificates of a file: a bundle is no chain.
const MAX_PEM_CERTIFICATES: usize = 100;

/// Judges `chain` (DER, leaf first) by records in text form (`3 1 1 HEX`), for `name` at `now`.
pub fn lint(records: &[String], chain: &[Vec<u8>], name: &DomainName, now: Timestamp) -> LintedChain {
    let read: Vec<Result<Tlsa, Unusable>> = records.iter().map(|text| Tlsa::parse(text)).collect();
    let assessment = assess_read(&read, chain, std::slice::from_ref(name), now);
    let mut findings = findings(name.as_str(), &assessment);
    if assessment.is_match() {
        // The question is whether this chain satisfies these records, and it does: what else is wrong with
        // the set is for looking at.
        for found in &mut findings {
            found.severity = found.severity.min(Severity::Warning);
        }
        finding::sort(&mut findings);
    }
    LintedChain {
        schema: "mailward.lint.tlsa/1",
        verdict: assessment.verdict.as_str(),
        matched: assessment.matched().map(Tlsa::to_string),
        findings,
    }
}

/// The certificates of a PEM file, in its order; other blocks (keys, parameters) are skipped.
///
/// # Errors
/// When there is none, a block is broken, or there are more than a hundred.
pub fn pem_chain(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .take(MAX_PEM_CERTIFICATES + 1)
        .map(|block| block.map(|der| der.to_vec()).map_err(|error| PemError::Broken(error.to_string())))
        .collect::<Result<_, _>>()?;
    match certificates.len() {
        0 => Err(PemError::Empty),
        1..=MAX_PEM_CERTIFICATES => Ok(certificates),
        _ => Err(PemError::TooMany(MAX_PEM_CERTIFICATES)),
    }
}

#[cfg(test)]
mod tests;
