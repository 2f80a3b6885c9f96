//! TLSA records against the certificates presented (RFC 7672 §3): DANE, and where the two mechanisms
//! disagree: BOTH. The texts on records come from [`crate::dane::assess`].

use std::collections::BTreeMap;

use super::case::{Case, secure_addresses};
use super::mail_server::{chain_faults, presented};
use crate::dane::DaneVerdict;
use crate::dane::assess::{self, Assessment, assess};
use crate::dns::{DnssecStatus, TlsaRdata};
use crate::facts::{AddressProbe, MxFacts, ProbeOutcome};
use crate::finding::phrase::list;
use crate::{DomainName, Finding, Severity};

/// Findings that the records have whatever certificate is presented.
const OF_THE_RECORDS: [&str; 6] = ["DANE-002", "DANE-003", "DANE-009", "DANE-010", "DANE-014", "DANE-016"];

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in &case.facts.hosts {
        let Some(records) = secure_records(host) else { continue };
        findings.extend(of_host(case, host, records));
        findings.extend(where_found(host));
        findings.extend(disagreement(case, host));
    }
    findings.extend(some_lack(case));
    findings
}

/// TLSA records that a sender uses: a secure answer for a host with secure addresses.
pub(super) fn secure_records(host: &MxFacts) -> Option<&[TlsaRdata]> {
    let answer = host.tlsa.as_ref().ok()?;
    let usable = answer.status == DnssecStatus::Secure && !answer.is_absent() && secure_addresses(host);
    usable.then_some(answer.records.as_slice())
}

/// Reference names of usage 2 (RFC 7672 §3.2.2): the base domain, and the domain where the MX is secure.
fn names(case: &Case<'_>, host: &MxFacts) -> Vec<DomainName> {
    let mut names = vec![host.host.0.clone()];
    names.extend(
        [&host.ipv4, &host.ipv6].into_iter().flatten().filter_map(|answer| answer.expanded().cloned()),
    );
    if case.secure_mx() {
        names.push(case.facts.domain.0.clone());
    }
    names.dedup();
    names
}

/// What the secure records of a host say of the certificate that one of its probes saw. Several families
/// ask, so all are assessed once.
fn assessed<'c>(case: &'c Case<'_>, host: &MxFacts, probe: &AddressProbe) -> Option<&'c Assessment> {
    let hosts = &case.facts.hosts;
    let all = case.assessments.get_or_init(|| {
        let of_host =
            |host: &MxFacts| host.probes.iter().map(|probe| assess_probe(case, host, probe)).collect();
        hosts.iter().map(of_host).collect()
    });
    // The same object, not an equal one: two addresses may look alike and differ in what they present.
    let at_host = hosts.iter().position(|known| std::ptr::eq(known, host))?;
    let at_probe = host.probes.iter().position(|known| std::ptr::eq(known, probe))?;
    all.get(at_host)?.get(at_probe)?.as_ref()
}

fn assess_probe(case: &Case<'_>, host: &MxFacts, probe: &AddressProbe) -> Option<Assessment> {
    let records = secure_records(host)?;
    let certificates = presented(&probe.outcome);
    let chain: Vec<Vec<u8>> = certificates.iter().map(|certificate| certificate.der.clone()).collect();
    (!chain.is_empty()).then(|| assess(records, &chain, &names(case, host), case.at))
}

/// What a DANE sender concludes at one address; `None` without secure records or without a certificate.
pub(super) fn verdict(case: &Case<'_>, host: &MxFacts, probe: &AddressProbe) -> Option<DaneVerdict> {
    assessed(case, host, probe).map(|assessment| assessment.verdict)
}

/// Whether a usage-3 record matches, under which neither name nor date counts.
pub(super) fn matched_by_usage_3(case: &Case<'_>, host: &MxFacts, probe: &AddressProbe) -> bool {
    assessed(case, host, probe).is_some_and(|assessment| {
        assessment
            .usable
            .iter()
            .any(|record| record.tlsa.usage == 3 && matches!(record.verdict, DaneVerdict::Match(_)))
    })
}

/// What is found at every address stands once, about the host; the rest names its address.
fn of_host(case: &Case<'_>, host: &MxFacts, records: &[TlsaRdata]) -> Vec<Finding> {
    let subject = host.host.to_string();
    let mut tested = 0;
    let mut found: BTreeMap<(String, String), Vec<(std::net::IpAddr, Finding)>> = BTreeMap::new();
    for probe in &host.probes {
        let Some(assessment) = assessed(case, host, probe) else { continue };
        tested += 1;
        for finding in assess::findings(&subject, assessment) {
            let key = (finding.id.clone(), finding.message.clone());
            found.entry(key).or_default().push((probe.address, finding));
        }
    }
    if tested == 0 {
        let assessment = assess(records, &[], &names(case, host), case.at);
        let findings = assess::findings(&subject, &assessment);
        return findings
            .into_iter()
            .filter(|finding| OF_THE_RECORDS.contains(&finding.id.as_str()))
            .collect();
    }
    found
        .into_values()
        .filter_map(|group| {
            let everywhere = group.len() == tested || OF_THE_RECORDS.contains(&group.first()?.1.id.as_str());
            let addresses: Vec<String> = group.iter().map(|(address, _)| address.to_string()).collect();
            let mut finding = group.into_iter().next()?.1;
            if !everywhere {
                let at = list(&addresses, 5);
                finding.subject = format!("{} {at}", finding.subject);
                finding.message = format!(
                    "{} (at {at}; not at the other addresses)",
                    finding.message.trim_end_matches('.')
                );
            }
            Some(finding.evidence("addresses", addresses))
        })
        .collect()
}

/// DANE-001: said only where the base domain is a question at all.
fn where_found(host: &MxFacts) -> Option<Finding> {
    let answer = host.tlsa.as_ref().ok()?;
    let alias = [&host.ipv4, &host.ipv6].into_iter().flatten().find_map(|answer| answer.expanded().cloned());
    let owner = answer.expanded().map_or_else(|| format!("_25._tcp.{}", host.host), ToString::to_string);
    (alias.is_some() || answer.expanded().is_some()).then(|| {
        Finding::new(
            "DANE-001",
            Severity::Info,
            host.host.to_string(),
            format!("{} has an alias on the way; its TLSA records were found at {owner}", host.host),
        )
    })
}

/// BOTH-001: one of the two mechanisms accepts an address, the other refuses it (RFC 8461 §2).
fn disagreement(case: &Case<'_>, host: &MxFacts) -> Option<Finding> {
    if !case.under_policy() {
        return None;
    }
    let in_policy = case.policy.as_ref().is_some_and(|policy| policy.matching(&host.host).is_some());
    let differing = host.probes.iter().filter_map(|probe| {
        let ProbeOutcome::Tls(tls) = &probe.outcome else { return None };
        let dane = match verdict(case, host, probe)? {
            DaneVerdict::Match(_) => true,
            // Encryption alone is asked for; that refuses nobody.
            DaneVerdict::Unusable => return None,
            _ => false,
        };
        let sts = in_policy && chain_faults(case, tls).is_empty();
        (dane != sts).then(|| {
            let (yes, no) = if dane { ("DANE", "MTA-STS") } else { ("MTA-STS", "DANE") };
            format!("{yes} accepts {}, {no} refuses it", probe.address)
        })
    });
    let text = list(differing, 4);
    (!text.is_empty()).then(|| {
        Finding::new("BOTH-001", Severity::Error, host.host.to_string(), format!("{}: {text}", host.host)).fix([
            "Mend the mechanism that refuses first: its own finding says how.",
            "From then on let every certificate satisfy both before it is deployed: mailward dane HOST hook pre-issue",
        ])
    })
}

/// DANE-018: the weakest MX decides, since an attacker in the path chooses which one is reached.
fn some_lack(case: &Case<'_>) -> Option<Finding> {
    let (with, without): (Vec<&MxFacts>, Vec<&MxFacts>) =
        case.facts.hosts.iter().partition(|host| secure_records(host).is_some());
    let known: Vec<&MxFacts> = without.into_iter().filter(|host| host.tlsa.is_ok()).collect();
    if with.is_empty() || known.is_empty() {
        return None;
    }
    let lacking = list(known.iter().map(|host| &host.host), 5);
    Some(
        Finding::new("DANE-018", Severity::Warning, case.facts.domain.to_string(), format!("{} of {} mail servers have TLSA records that count; {lacking} not", with.len(), with.len() + known.len()))
            .consequence("An attacker in the path can keep senders away from the protected servers and steer them to an unprotected one.")
            .fix([format!("Publish TLSA records for {lacking}: mailward dane HOST records shows what to publish.")]),
    )
}
