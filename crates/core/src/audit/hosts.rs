//! The table of MX hosts as pages, terminal and JSON show it.

use super::case::Case;
use super::dane::{secure_records, verdict};
use super::mail_server::{chain_faults, presented};
use super::probe_round::failure;
use super::{AddressVerdict, CertificateSummary, MxVerdict};
use crate::dane::DaneVerdict;
use crate::facts::{AddressProbe, CertificateFacts, MxFacts, ProbeOutcome};

pub(super) fn verdicts(case: &Case<'_>) -> Vec<MxVerdict> {
    case.facts.hosts.iter().map(|host| verdict_of(case, host)).collect()
}

fn verdict_of(case: &Case<'_>, host: &MxFacts) -> MxVerdict {
    let mut addresses: Vec<AddressVerdict> =
        host.probes.iter().map(|probe| address(case, host, probe)).collect();
    for ip in [&host.ipv4, &host.ipv6].into_iter().flatten().flat_map(|answer| &answer.records) {
        if !addresses.iter().any(|known| known.ip == *ip) {
            addresses.push(untested(*ip));
        }
    }
    MxVerdict {
        host: host.host.clone(),
        preference: host.preference,
        in_policy: case.policy.as_ref().map(|policy| policy.matching(&host.host).is_some()),
        addresses,
    }
}

fn untested(ip: std::net::IpAddr) -> AddressVerdict {
    AddressVerdict {
        ip,
        starttls: None,
        tls_version: None,
        chain: Vec::new(),
        mta_sts: None,
        dane: None,
        error: None,
    }
}

fn address(case: &Case<'_>, host: &MxFacts, probe: &AddressProbe) -> AddressVerdict {
    let outcome = &probe.outcome;
    AddressVerdict {
        starttls: match outcome {
            ProbeOutcome::Tls(_)
            | ProbeOutcome::Handshake(_)
            | ProbeOutcome::StartTlsRefused(_)
            | ProbeOutcome::StartTlsInjection => Some(true),
            ProbeOutcome::NoStartTls(_) => Some(false),
            _ => None,
        },
        tls_version: match outcome {
            ProbeOutcome::Tls(tls) => Some(tls.version.clone()),
            _ => None,
        },
        chain: presented(outcome).iter().take(10).map(summary).collect(),
        mta_sts: match outcome {
            ProbeOutcome::Tls(tls) => {
                let codes: Vec<&str> =
                    chain_faults(case, tls).iter().map(crate::chain::ChainFault::reason_code).collect();
                Some(if codes.is_empty() { "ok".to_owned() } else { codes.join(", ") })
            }
            ProbeOutcome::NoStartTls(_) => Some("starttls-not-supported".to_owned()),
            _ => None,
        },
        dane: match (host.tlsa.as_ref(), secure_records(host)) {
            (Err(_), _) => Some("unknown".to_owned()),
            (Ok(_), None) => Some("none".to_owned()),
            (Ok(_), Some(_)) => verdict(case, host, probe).map(|verdict| word(verdict).to_owned()),
        },
        error: failure(outcome),
        ..untested(probe.address)
    }
}

/// The word for a verdict, as `lint tlsa` has it.
pub(super) fn word(verdict: DaneVerdict) -> &'static str {
    match verdict {
        DaneVerdict::Match(_) => "match",
        DaneVerdict::NoMatch => "no-match",
        DaneVerdict::Unusable => "unusable",
        DaneVerdict::NameMismatch => "name-mismatch",
        DaneVerdict::Expired => "expired",
        DaneVerdict::Untrusted => "untrusted",
    }
}

fn summary(certificate: &CertificateFacts) -> CertificateSummary {
    CertificateSummary {
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        dns_names: certificate.dns_names.clone(),
        not_after: certificate.not_after,
        spki_sha256: certificate.spki_sha256.clone(),
    }
}
