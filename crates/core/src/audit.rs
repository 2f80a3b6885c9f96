//! The audit: facts of one look at a domain in, findings out.
//!
//! One file a family of checks; each check cites its rule. Nothing is looked up here, and what could
//! not be tested is `untested`, never failed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::facts::DomainFacts;
use crate::finding;
use crate::mta_sts::StsPolicy;
use crate::{Finding, MxHost, PolicyDomain, Severity};

mod case;
mod compare;
mod dane;
mod dnssec;
pub mod drift;
mod hosts;
pub mod mail_server;
mod mx;
mod policy;
pub mod policy_host;
mod probe_round;
mod record;
mod reporting;
mod summary;

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;

pub use compare::{Difference, compare};
pub use probe_round::probe_round;

/// How to judge.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// The moment certificates and dates are judged for (`--at`).
    pub at: Timestamp,
    /// Whether mail servers were probed at all (`--no-smtp`).
    pub smtp: bool,
}

/// State of MTA-STS as a sender sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StsState {
    /// No record.
    Absent,
    /// Announced, and unusable.
    Broken,
    /// Mode none.
    None,
    /// Mode testing.
    Testing,
    /// Mode enforce.
    Enforce,
}

/// State of DANE over all MX hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DaneState {
    /// No MX has secure TLSA records.
    Absent,
    /// Some MX has records that do not hold.
    Broken,
    /// Some MX have, some have not.
    Partial,
    /// Every MX has records that hold (or could not be probed).
    Full,
}

/// State of TLS-RPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportingState {
    /// No record.
    Absent,
    /// A record that cannot be used.
    Broken,
    /// Reports are asked for.
    Present,
}

/// The first line of an audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// MTA-STS.
    pub mta_sts: StsState,
    /// DANE.
    pub dane: DaneState,
    /// TLS-RPT.
    pub tls_rpt: ReportingState,
    /// The worst severity found, or `None` ("ok").
    #[serde(with = "worst")]
    pub worst: Option<Severity>,
    /// Who loses mail now, in one sentence; or that nobody does.
    pub consequence: String,
}

mod worst {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Severity;

    pub(super) fn serialize<S: Serializer>(worst: &Option<Severity>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(worst.map_or("ok", Severity::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Severity>, D::Error> {
        Ok(match String::deserialize(from)?.as_str() {
            "error" => Some(Severity::Error),
            "warning" => Some(Severity::Warning),
            "untested" => Some(Severity::Untested),
            "info" => Some(Severity::Info),
            _ => None,
        })
    }
}

/// What an audit concludes. Rendered as `mailward.check/1`, in the terminal and on pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The domain.
    pub domain: PolicyDomain,
    /// When the facts were gathered.
    pub checked_at: Timestamp,
    /// The first line.
    pub summary: Summary,
    /// Sorted: errors first.
    pub findings: Vec<Finding>,
    /// The policy a sender would use, if there is one.
    pub policy: Option<StsPolicy>,
    /// The body as served, if it was.
    pub policy_text: Option<String>,
    /// The records as seen.
    pub records: Records,
    /// The MX hosts.
    pub mx: Vec<MxVerdict>,
}

impl Audit {
    /// Takes in findings that came from elsewhere, such as what changed since the last look.
    pub fn add(&mut self, findings: Vec<Finding>) {
        let worst = |all: &[Finding]| all.iter().map(|f| f.severity).max();
        if worst(&findings) == Some(Severity::Error) && self.summary.worst < Some(Severity::Error) {
            // The first line must not say that nothing is lost where an error was added.
            let first = findings.iter().find(|f| f.severity == Severity::Error && !f.consequence.is_empty());
            if let Some(first) = first {
                self.summary.consequence = format!("{}: {}", self.domain, first.consequence);
            }
        }
        self.findings.extend(findings);
        finding::sort(&mut self.findings);
        self.summary.worst = self.findings.iter().map(|f| f.severity).max();
    }
}

/// The TXT records as seen, for display.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Records {
    /// TXT at `_mta-sts`, every one.
    pub mta_sts: Vec<String>,
    /// The id in use, if the record is usable.
    pub mta_sts_id: Option<String>,
    /// TTL of that answer, seconds.
    pub mta_sts_ttl: Option<u32>,
    /// TXT at `_smtp._tls`, every one.
    pub tls_rpt: Vec<String>,
    /// Usable report addresses.
    pub rua: Vec<String>,
}

/// One MX host, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MxVerdict {
    /// The host.
    pub host: MxHost,
    /// Its preference.
    pub preference: u16,
    /// Whether the policy names it; `None` without a policy.
    pub in_policy: Option<bool>,
    /// Each address.
    pub addresses: Vec<AddressVerdict>,
}

/// One address of an MX host, judged. `None` means not tested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressVerdict {
    /// The address.
    pub ip: std::net::IpAddr,
    /// Whether STARTTLS is offered.
    pub starttls: Option<bool>,
    /// `1.2`, `1.3`.
    pub tls_version: Option<String>,
    /// The chain presented, leaf first.
    pub chain: Vec<CertificateSummary>,
    /// `ok`, or the fault by MTA-STS (web PKI and name).
    pub mta_sts: Option<String>,
    /// `match`, `no-match`, `unusable`, `none`, …
    pub dane: Option<String>,
    /// What went wrong, in words.
    pub error: Option<String>,
}

/// A certificate, for display.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateSummary {
    /// Subject.
    pub subject: String,
    /// Issuer.
    pub issuer: String,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// End of validity.
    pub not_after: Timestamp,
    /// `3 1 1` data.
    pub spki_sha256: String,
}

/// Judges the facts of one look.
pub fn audit(facts: &DomainFacts, options: &AuditOptions) -> Audit {
    let case = case::Case::read(facts, options);
    let mut findings = record::findings(&case);
    findings.extend(policy_host::findings(&case));
    findings.extend(policy::findings(&case));
    findings.extend(mx::findings(&case));
    findings.extend(reporting::findings(&case));
    findings.extend(mail_server::findings(&case));
    findings.extend(dnssec::findings(&case));
    findings.extend(dane::findings(&case));
    findings.iter_mut().for_each(hedge);
    finding::sort(&mut findings);
    let summary = summary::summary(&case, &findings);
    Audit {
        domain: facts.domain.clone(),
        checked_at: facts.observed_at,
        summary,
        findings,
        policy_text: case::fetched(facts).map(|fetched| String::from_utf8_lossy(&fetched.body).into_owned()),
        records: records(&case),
        mx: hosts::verdicts(&case),
        policy: case.policy,
    }
}

/// What was not tested has no consequence yet, whatever the catalogue says of the fault.
fn hedge(finding: &mut Finding) {
    let stated = finding::catalogue::entry(&finding.id).map_or("", |entry| entry.consequence);
    if finding.severity == Severity::Untested && finding.consequence == stated {
        "Nothing is known about it; it is no fault until it has been tested."
            .clone_into(&mut finding.consequence);
    }
}

fn records(case: &case::Case<'_>) -> Records {
    let texts = |answer: &crate::dns::DnsResult<crate::dns::TxtRecord>| {
        answer.as_ref().map(|answer| case::texts(&answer.records)).unwrap_or_default()
    };
    let id = case.record.as_ref().and_then(|lint| lint.record.as_ref()).map(|record| record.id.clone());
    let rua = case::reporting(case.facts).map(|linted| linted.value.rua).unwrap_or_default();
    Records {
        mta_sts: texts(&case.facts.sts_record),
        mta_sts_ttl: case
            .facts
            .sts_record
            .as_ref()
            .ok()
            .filter(|answer| !answer.is_absent())
            .map(|answer| answer.ttl),
        mta_sts_id: id,
        tls_rpt: texts(&case.facts.tlsrpt_record),
        rua: rua.into_iter().map(String::from).collect(),
    }
}
