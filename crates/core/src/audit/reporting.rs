//! TLS-RPT (RFC 8460 §3): RPT. The texts come from the lint of the record.

use super::case::{Case, lookup_severity, reporting};
use crate::dns::DnssecStatus;
use crate::lint::RecordVerdict;
use crate::{Finding, Severity};

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    let name = format!("_smtp._tls.{}", case.facts.domain);
    let linted = match reporting(case.facts) {
        Ok(linted) => linted,
        Err(error) => {
            return vec![
                Finding::new(
                    "RPT-001",
                    lookup_severity(error),
                    &name,
                    format!("the TXT lookup of {name} failed: {error}"),
                )
                .consequence(
                    "Senders cannot learn where to report; failures stay invisible while this lasts.",
                )
                .fix([
                    format!("Ask each name server of the zone: dig +norecurse TXT {name} @SERVER"),
                    "Mend the servers that fail.".to_owned(),
                ]),
            ];
        }
    };
    let mut findings: Vec<Finding> = linted
        .findings
        .into_iter()
        .map(|mut finding| {
            if finding.subject.is_empty() || finding.subject == "_smtp._tls" {
                finding.subject.clone_from(&name);
            }
            match finding.id.as_str() {
                "RPT-001" if finding.severity == Severity::Info => {
                    finding.fix([format!("Publish: {}", case.reporting_record())])
                }
                _ => finding,
            }
        })
        .collect();
    if linted.value.verdict == RecordVerdict::None && (case.policy.is_some() || secure_tlsa(case)) {
        let what = if case.policy.is_some() { "an MTA-STS policy" } else { "TLSA records" };
        findings.push(
            Finding::new("RPT-007", Severity::Warning, &name, format!("{} publishes {what} and asks nobody for reports", case.facts.domain))
                .consequence("Failures of senders stay invisible: mail may be lost or deferred without anybody here noticing.")
                .fix([format!("Publish: {}", case.reporting_record()), "Read what comes: [reports.smtp] or [reports.https] in mailward's configuration.".to_owned()]),
        );
    }
    findings
}

fn secure_tlsa(case: &Case<'_>) -> bool {
    case.facts.hosts.iter().any(|host| {
        host.tlsa.as_ref().is_ok_and(|answer| !answer.is_absent() && answer.status == DnssecStatus::Secure)
    })
}
