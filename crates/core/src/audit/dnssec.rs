//! What DNSSEC says of MX, addresses and TLSA (RFC 7672 §2): DNS.

use super::case::{Case, lookup_severity, secure_addresses};
use crate::dns::{DnsError, DnssecStatus};
use crate::facts::MxFacts;
use crate::{Finding, Severity};

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = mx(case).into_iter().collect();
    for host in &case.facts.hosts {
        findings.extend(insecure_host(case, host));
        findings.extend(denial(host));
        findings.extend(other_family(host));
        findings.extend(large(host));
    }
    findings
}

fn mx(case: &Case<'_>) -> Option<Finding> {
    let domain = case.facts.domain.to_string();
    let bogus = |why: String| {
        Finding::new("DNS-001", Severity::Error, &domain, format!("the MX answer of {domain} does not validate: {why}")).fix([
            format!("Find the broken link of the chain of trust: delv MX {domain} (or dig +dnssec +cd MX {domain})."),
            "Sign the zone again, or correct the DS record at the registrar; remove the DS only if you leave DNSSEC.".to_owned(),
        ])
    };
    match &case.facts.mx {
        Err(error @ DnsError::Bogus(_)) => Some(bogus(error.to_string())),
        Ok(answer) if answer.status == DnssecStatus::Bogus => {
            Some(bogus("the signatures do not hold".to_owned()))
        }
        Ok(answer) if answer.status != DnssecStatus::Secure => Some(
            Finding::new(
                "DNS-001",
                Severity::Info,
                &domain,
                format!("the MX answer of {domain} is not secured by DNSSEC"),
            )
            .consequence("DANE cannot protect the choice of the mail server; MTA-STS can.")
            .fix([format!(
                "If you want DANE, sign the zone of {domain} and publish the DS record at the registrar."
            )]),
        ),
        _ => None,
    }
}

/// TLSA records count only where the address of the host is secure too (RFC 7672 §2.2.2).
fn insecure_host(case: &Case<'_>, host: &MxFacts) -> Option<Finding> {
    let name = &host.host;
    let insecure = [&host.ipv4, &host.ipv6]
        .into_iter()
        .flatten()
        .any(|answer| answer.status == DnssecStatus::Insecure && !answer.is_absent());
    let has_tlsa = host.tlsa.as_ref().is_ok_and(|answer| !answer.is_absent());
    let insecure_tlsa =
        has_tlsa && host.tlsa.as_ref().is_ok_and(|answer| answer.status == DnssecStatus::Insecure);
    let (severity, message) = match () {
        () if has_tlsa && insecure => (
            Severity::Error,
            format!("{name} has TLSA records, but its address answer is not secured by DNSSEC"),
        ),
        () if insecure_tlsa => {
            (Severity::Error, format!("{name} has TLSA records, but they are not secured by DNSSEC"))
        }
        // Worth a word only where the domain itself took the trouble to sign.
        () if insecure && case.secure_mx() => {
            (Severity::Info, format!("the domain is signed, the zone of {name} is not"))
        }
        () => return None,
    };
    let finding = Finding::new("DNS-002", severity, name.to_string(), message);
    Some(match severity {
        Severity::Info => finding
            .consequence("DANE cannot protect mail to this host; MTA-STS can.")
            .fix([format!("If you want DANE, let the operator of {name} sign its zone, or name a host in a signed zone as MX.")]),
        _ => finding.fix([
            format!("Sign the zone of {name} and publish its DS record."),
            "Until then the TLSA records protect nothing: senders ignore them.".to_owned(),
        ]),
    })
}

/// DNS-004: DANE senders ask for TLSA, and an error keeps the mail (RFC 7672 §2.1.1).
fn denial(host: &MxFacts) -> Option<Finding> {
    let error = host.tlsa.as_ref().err()?;
    let name = format!("_25._tcp.{}", host.host);
    let asked = secure_addresses(host);
    // Senders true to RFC 7672 do not ask where the address is insecure; some ask all the same.
    let severity = if asked { lookup_severity(error) } else { lookup_severity(error).min(Severity::Warning) };
    let finding = Finding::new(
        "DNS-004",
        severity,
        host.host.to_string(),
        format!("the TLSA question for {name} fails: {error}"),
    );
    let finding = match (severity, asked) {
        (Severity::Untested, _) => finding.consequence("Nothing is known about DANE at this host."),
        (_, false) => finding.consequence("The address of this host is not secure, so senders should not ask for TLSA; those that do defer mail."),
        _ => finding,
    };
    Some(finding.fix([
        format!("Ask each name server of the zone: dig +norecurse +dnssec TLSA {name} @SERVER. Every one must answer, with records or with a signed denial."),
        "Mend NSEC or NSEC3 of the zone, or the server or load balancer that refuses unknown types.".to_owned(),
    ]))
}

/// One address family answers, the other fails: AAAA questions must be answered even with a denial.
fn other_family(host: &MxFacts) -> Option<Finding> {
    let (family, error) = match (&host.ipv4, &host.ipv6) {
        (Ok(a), Err(error)) if !a.is_absent() => ("AAAA", error),
        (Err(error), Ok(aaaa)) if !aaaa.is_absent() => ("A", error),
        _ => return None,
    };
    let name = &host.host;
    Some(
        Finding::new("DNS-004", lookup_severity(error).min(Severity::Warning), format!("{name} {family}"), format!("the {family} question for {name} fails: {error}"))
            .consequence("Careful senders go on with the other address family; some defer mail.")
            .fix([format!("Ask each name server of the zone: dig +norecurse +dnssec {family} {name} @SERVER. Every one must answer, with records or with a signed denial.")]),
    )
}

/// DNS-006: over 1232 octets an answer needs TCP, and fragments get lost. Header, question, records with
/// a compressed owner, and room for one signature are counted.
fn large(host: &MxFacts) -> Option<Finding> {
    let answer = host.tlsa.as_ref().ok()?;
    let data: usize = answer.records.iter().map(|record| record.0.len() + 12).sum();
    let octets = 12
        + host.host.as_str().len()
        + 15
        + data
        + if answer.status == DnssecStatus::Secure { 120 } else { 0 };
    (octets > 1232).then(|| {
        Finding::new(
            "DNS-006",
            Severity::Warning,
            host.host.to_string(),
            format!(
                "the TLSA answer of {} has about {octets} octets in {} records",
                host.host,
                answer.records.len()
            ),
        )
        .consequence("Resolvers behind filters that drop large answers or TCP see nothing and defer mail.")
        .evidence("octets", octets)
    })
}
