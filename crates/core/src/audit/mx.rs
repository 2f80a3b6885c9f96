//! The MX set against the policy (RFC 8461 §4.1) and against the DNS: STS-MX.

use super::case::{Case, lookup_severity};
use crate::dns::DnsError;
use crate::facts::MxFacts;
use crate::finding::phrase::{foreign, list};
use crate::mta_sts::{Mode, coverage};
use crate::{Finding, Severity};

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = set(case);
    findings.extend(case.facts.hosts.iter().filter_map(|host| unresolvable(case, host)));
    findings.extend(case.facts.hosts.iter().filter_map(alias));
    if let Some(policy) = &case.policy {
        findings
            .extend(coverage::findings(policy, &case.mx).into_iter().map(|finding| uncovered(case, finding)));
        findings.extend(unused_patterns(case));
    }
    findings
}

/// Faults of the MX records themselves (RFC 5321 §5.1, RFC 7505).
fn set(case: &Case<'_>) -> Vec<Finding> {
    let domain = &case.facts.domain;
    let answer = match &case.facts.mx {
        Ok(answer) => answer,
        // Told in the family DNSSEC.
        Err(DnsError::Bogus(_)) => return Vec::new(),
        Err(error) => {
            return vec![
                Finding::new(
                    "STS-MX-005",
                    lookup_severity(error),
                    domain.to_string(),
                    format!("the MX records of {domain} could not be looked up: {error}"),
                )
                .consequence("Senders cannot learn where the mail goes, and keep it in their queues.")
                .fix([
                    format!("Ask each name server of the zone: dig +norecurse MX {domain} @SERVER"),
                    "Mend the servers that fail.".to_owned(),
                ]),
            ];
        }
    };
    let mut findings = Vec::new();
    let null = answer.records.iter().any(|mx| matches!(&mx.exchange, Err(name) if name == "."));
    if null && answer.records.len() > 1 {
        findings.push(
            Finding::new("STS-MX-005", Severity::Error, domain.to_string(), format!("{domain} has a null MX (\"0 .\") beside other MX records"))
                .fix([format!("Delete the MX record \"0 .\" of {domain} if the domain takes mail; delete all others if it does not.")]),
        );
    }
    if null && answer.records.len() == 1 && case.under_policy() {
        findings.push(
            Finding::new("STS-MX-006", Severity::Warning, domain.to_string(), format!("{domain} says that it takes no mail (null MX), yet it publishes a policy"))
                .fix(["Set the policy to mode none, publish a new id, and remove both when the old policy has expired everywhere."]),
        );
    }
    for name in answer.records.iter().filter_map(|mx| mx.exchange.as_ref().err()).filter(|name| *name != ".")
    {
        findings.push(
            Finding::new("STS-MX-005", Severity::Error, foreign(name), format!("the MX record of {domain} names {}, which is no host name", foreign(name)))
                .fix([format!("Give the mail server a name with A or AAAA records and write that name into the MX record of {domain}.")]),
        );
    }
    findings
}

fn unresolvable(case: &Case<'_>, host: &MxFacts) -> Option<Finding> {
    let name = &host.host;
    let (severity, message) = match (&host.ipv4, &host.ipv6) {
        (Ok(a), Ok(aaaa)) if a.is_absent() && aaaa.is_absent() => {
            // Without an MX record the domain is its own host; a domain with neither takes no mail.
            if **name == *case.facts.domain && case.facts.mx.as_ref().is_ok_and(|mx| mx.is_absent()) {
                (
                    Severity::Error,
                    format!("{name} has neither MX records nor an address: it cannot receive mail"),
                )
            } else {
                (Severity::Error, format!("{name} has no address"))
            }
        }
        (Ok(a), Err(error)) if a.is_absent() => (
            lookup_severity(error),
            format!("{name} has no IPv4 address, and its IPv6 address could not be looked up: {error}"),
        ),
        (Err(error), Ok(aaaa)) if aaaa.is_absent() => (
            lookup_severity(error),
            format!("{name} has no IPv6 address, and its IPv4 address could not be looked up: {error}"),
        ),
        (Err(error), Err(_)) => {
            (lookup_severity(error), format!("the addresses of {name} could not be looked up: {error}"))
        }
        _ => return None,
    };
    Some(
        Finding::new("STS-MX-005", severity, name.to_string(), message)
            .fix([format!("Publish A or AAAA records for {name}, or correct the MX record that names it.")]),
    )
}

/// RFC 2181 §10.3: an MX names no alias; certificate, SNI and TLSA base domain then differ by sender.
fn alias(host: &MxFacts) -> Option<Finding> {
    let target =
        [&host.ipv4, &host.ipv6].into_iter().find_map(|answer| answer.as_ref().ok()?.expanded().cloned())?;
    Some(
        Finding::new(
            "STS-MX-004",
            Severity::Warning,
            host.host.to_string(),
            format!("{} is an alias (CNAME) of {target}", host.host),
        )
        .fix([
            format!("Add {target} to the policy and to the certificate first."),
            format!("Then let the MX record name {target} itself."),
        ])
        .evidence("target", target.to_string()),
    )
}

/// A host outside the policy, with the command that ends the fix, and what it means in this mode.
fn uncovered(case: &Case<'_>, mut finding: Finding) -> Finding {
    if let Some(last) = finding.fix.last_mut() {
        *last = format!("Then publish the record with a new id: mailward dns {}", case.facts.domain);
    }
    match case.mode() {
        Some(Mode::Testing) => finding.consequence(
            "The policy is in testing, so mail still flows; under enforce senders would defer what picks this mail server.",
        ),
        _ => finding,
    }
}

fn unused_patterns(case: &Case<'_>) -> Vec<Finding> {
    let Some(policy) = case.policy.as_ref().filter(|policy| policy.mode != Mode::None) else {
        return Vec::new();
    };
    if case.facts.mx.is_err() {
        return Vec::new();
    }
    policy
        .mx
        .iter()
        .filter(|pattern| !case.mx.iter().any(|host| pattern.matches(host)))
        .map(|pattern| {
            Finding::new(
                "STS-MX-003",
                Severity::Info,
                pattern.to_string(),
                format!("the pattern {pattern} matches none of the MX hosts ({})", list(&case.mx, 5)),
            )
        })
        .collect()
}
