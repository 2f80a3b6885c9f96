//! The record that announces a policy (RFC 8461 §3.1): STS-TXT.

use serde_json::Value;

use super::case::{Case, fetched, lookup_severity, texts};
use crate::dns::Denial;
use crate::finding::phrase::list;
use crate::lint::RecordVerdict;
use crate::{Finding, Severity};

/// More than a day and a rollback takes more than a day to be seen.
const LONGEST_TTL: u32 = 86_400;

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    let name = case.record_name();
    let answer = match &case.facts.sts_record {
        Ok(answer) => answer,
        // A failure is no denial: nothing is known about the record.
        Err(error) => {
            return vec![
                Finding::new(
                    "STS-TXT-002",
                    lookup_severity(error),
                    &name,
                    format!("the TXT lookup of {name} failed: {error}"),
                )
                .fix([
                    format!("Ask each name server of the zone: dig +norecurse TXT {name} @SERVER"),
                    "Mend the servers that fail, or the DNSSEC signatures of the zone, then check again."
                        .to_owned(),
                ])
                .evidence("error", error.to_string()),
            ];
        }
    };
    let texts = texts(&answer.records);
    let attempt = case.announced();
    let mut findings: Vec<Finding> = case
        .record_findings
        .iter()
        // Where an attempt failed, its own finding says what to mend.
        .filter(|finding| finding.id != "STS-TXT-001" || !attempt)
        .map(|finding| at_home(case, finding, &texts))
        .collect();
    findings.extend(aliases(case));
    if case.record.as_ref().is_some_and(|record| record.verdict == RecordVerdict::Valid)
        && answer.ttl > LONGEST_TTL
    {
        findings.push(
            Finding::new(
                "STS-TXT-016",
                Severity::Warning,
                &name,
                format!("the TTL is {} seconds, over one day", answer.ttl),
            )
            .fix([format!("Set the TTL of {name} to 300 to 3600 seconds.")])
            .evidence("ttl", answer.ttl),
        );
    }
    findings
}

/// A finding of the lint with the name it is about, and the fix of this domain.
fn at_home(case: &Case<'_>, finding: &Finding, texts: &[String]) -> Finding {
    let name = case.record_name();
    let mut finding = finding.clone();
    finding.subject.clone_from(&name);
    finding.evidence.insert("records".into(), Value::from(texts.to_vec()));
    match finding.id.as_str() {
        "STS-TXT-001" => absent(case, texts.is_empty()),
        "STS-TXT-004" if texts.iter().any(|text| text.starts_with("v=spf1")) => Finding {
            evidence: finding.evidence,
            ..Finding::new("STS-TXT-013", Severity::Warning, name, "an SPF or wildcard TXT record answers at this name")
        },
        "STS-TXT-005" | "STS-TXT-006" | "STS-TXT-008" | "STS-TXT-011" if finding.severity == Severity::Error => finding.fix([
            "See that the policy is served as you mean it; senders fetch it as soon as they see the record.".to_owned(),
            format!("Replace the record by: {}", case.record_to_publish()),
        ]),
        "STS-TXT-003" => finding.fix([
            "Keep the record with the newest id you published and delete the others.".to_owned(),
            format!("If you do not know which one that is, delete all and publish: {}", case.record_to_publish()),
        ]),
        _ => finding,
    }
}

/// No record: harmless where the domain never used MTA-STS, a fault where a policy is being served.
fn absent(case: &Case<'_>, nothing_at_all: bool) -> Finding {
    let name = case.record_name();
    let what = if nothing_at_all { "there is no TXT record" } else { "no TXT record begins with v=STSv1;" };
    if fetched(case.facts).is_some() && case.policy.is_some() {
        let message = format!("{what} at {name}, although {} serves a policy", case.policy_host());
        return Finding::new("STS-TXT-001", Severity::Error, name, message).fix([
            "See that the policy served is the one you mean.".to_owned(),
            format!("Publish: {}", case.record_to_publish()),
            "If you mean to leave MTA-STS, serve a policy of mode none first and keep the record until the old policy has expired everywhere.".to_owned(),
        ]);
    }
    Finding::new("STS-TXT-001", Severity::Info, &name, format!("{what} at {name}: the domain does not use MTA-STS"))
        .consequence("Senders deliver to this domain without MTA-STS: an attacker in the path can strip TLS from the connection.")
        .fix([
            format!("Serve a policy of mode testing at https://{}/.well-known/mta-sts.txt", case.policy_host()),
            format!("Then publish the record: {name}. 300 IN TXT \"v=STSv1; id=…;\" (mailward domain add {} prepares both)", case.facts.domain),
        ])
}

/// CNAMEs on the way to the record (RFC 8461 §3.1, §8.2).
fn aliases(case: &Case<'_>) -> Option<Finding> {
    let answer = case.facts.sts_record.as_ref().ok()?;
    let target = answer.expanded()?;
    let name = case.record_name();
    let way = list(answer.aliases.iter().map(|alias| &alias.target), 8);
    let (severity, message) = match (answer.is_absent(), answer.aliases.len()) {
        (true, _) => {
            let no =
                if answer.denial == Some(Denial::NxDomain) { "does not exist" } else { "has no TXT record" };
            (Severity::Error, format!("{name} is an alias of {target}, which {no}"))
        }
        (false, 5..) => {
            (Severity::Warning, format!("{name} leads through {} aliases: {way}", answer.aliases.len()))
        }
        _ => return None,
    };
    Some(
        Finding::new("STS-TXT-014", severity, name, message)
            .fix([
                format!("See who runs {target}: if it is your provider, have the record published there."),
                "If nobody does, remove the CNAME at once and publish the record yourself.".to_owned(),
            ])
            .evidence(
                "aliases",
                answer.aliases.iter().map(|alias| alias.target.to_string()).collect::<Vec<_>>(),
            ),
    )
}
