//! `lint tlsa`: will this certificate satisfy these records?

use jiff::Timestamp;
use serde::Serialize;

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
    /// More than a chain may have.
    #[error("there are more than {0} certificates in it")]
    TooMany(usize),
}

/// Judges `chain` (DER, leaf first) by records in text form (`3 1 1 HEX`), for `name` at `now`.
pub fn lint(records: &[String], chain: &[Vec<u8>], name: &DomainName, now: Timestamp) -> LintedChain {
    let _ = (records, chain, name, now);
    unimplemented!()
}

/// The certificates of a PEM file, in its order; other blocks (keys, parameters) are skipped.
///
/// # Errors
/// When there is none, a block is broken, or there are more than a chain may have.
pub fn pem_chain(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let _ = text;
    unimplemented!()
}
