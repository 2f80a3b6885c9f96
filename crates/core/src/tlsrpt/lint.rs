//! What `mailward lint report` says of a file, and one report in the form that exports have.

use jiff::Timestamp;
use serde::Serialize;

use super::parse::{Incoming, Limits, Parsed, parse};
use super::report::Report;
use crate::Finding;
use crate::finding::{self, Severity};

/// Version of the form of [`ReportLint`].
const SCHEMA: &str = "mailward.lint.report/1";

/// What a receiver does with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportVerdict {
    /// It is counted.
    Accepted,
    /// It is kept aside: a report that cannot be counted.
    Quarantined,
    /// It is no report.
    NotAReport,
}

/// One item judged offline, as printed: `reports` have the member names and nesting of RFC 8460.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportLint {
    /// Version of this form.
    pub schema: &'static str,
    /// What a receiver does with it.
    pub verdict: ReportVerdict,
    /// Normalised.
    pub reports: Vec<Report>,
    /// Sorted, without repetitions.
    pub findings: Vec<Finding>,
}

impl ReportLint {
    /// One report that is counted, with what was noted about it: the form of an export.
    pub fn of(report: Report, findings: Vec<Finding>) -> Self {
        Self::new(ReportVerdict::Accepted, vec![report], findings)
    }

    fn new(verdict: ReportVerdict, reports: Vec<Report>, mut findings: Vec<Finding>) -> Self {
        finding::sort(&mut findings);
        findings.dedup();
        Self { schema: SCHEMA, verdict, reports, findings }
    }
}

/// Judges one file: JSON, gzip, zip or a whole mail. Nothing is looked up, so held domains and DKIM are
/// no matter here; of a mail it is said that its signature was not checked (REP-065).
pub fn lint_report(bytes: &[u8], file_name: Option<&str>, now: Timestamp) -> ReportLint {
    let incoming = Incoming { file_name, ..Incoming::default() };
    let (parsed, mail) = parse(bytes, &incoming, &Limits::default(), now);
    match parsed {
        Parsed::Accepted(found) => {
            let (reports, findings): (Vec<Report>, Vec<Vec<Finding>>) = found.into_iter().unzip();
            let mut findings: Vec<Finding> = findings.into_iter().flatten().collect();
            if mail.is_some_and(|mail| !mail.forwarded) {
                let words = "Offline the DKIM signature of the mail is not checked.";
                findings.push(
                    Finding::new("REP-065", Severity::Untested, "DKIM-Signature", words)
                        .fix(["nothing: the signature is checked when the mail arrives"]),
                );
            }
            ReportLint::new(ReportVerdict::Accepted, reports, findings)
        }
        Parsed::Quarantined(findings) => ReportLint::new(ReportVerdict::Quarantined, Vec::new(), findings),
        Parsed::NotAReport(findings) => ReportLint::new(ReportVerdict::NotAReport, Vec::new(), findings),
    }
}

#[cfg(test)]
mod tests;
