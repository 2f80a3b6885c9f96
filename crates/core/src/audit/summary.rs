//! The first line of an audit: three states, the worst severity, and who loses mail now.

use std::collections::BTreeSet;

use super::case::{Case, reporting, secure_addresses, texts};
use super::dane::{secure_records, verdict};
use super::mail_server::{chain_faults, smtp_blocked};
use super::{DaneState, ReportingState, StsState, Summary};
use crate::dane::DaneVerdict;
use crate::dns::{DnsError, DnssecStatus};
use crate::facts::{AddressProbe, MxFacts, ProbeOutcome};
use crate::finding::phrase::list;
use crate::lint::RecordVerdict;
use crate::mta_sts::Mode;
use crate::{Finding, MxHost};

pub(super) fn summary(case: &Case<'_>, findings: &[Finding]) -> Summary {
    let (mta_sts, dane, tls_rpt) = (sts_state(case), dane_state(case), reporting_state(case));
    Summary {
        mta_sts,
        dane,
        tls_rpt,
        worst: findings.iter().map(|finding| finding.severity).max(),
        consequence: consequence(case, mta_sts, dane),
    }
}

fn sts_state(case: &Case<'_>) -> StsState {
    let verdict = case.record.as_ref().map(|record| record.verdict);
    match (verdict, case.mode()) {
        (Some(RecordVerdict::None), _) if !case.announced() => StsState::Absent,
        (Some(RecordVerdict::Valid), Some(Mode::None)) => StsState::None,
        (Some(RecordVerdict::Valid), Some(Mode::Testing)) => StsState::Testing,
        (Some(RecordVerdict::Valid), Some(Mode::Enforce)) => StsState::Enforce,
        // A failed lookup included: it never means "absent".
        _ => StsState::Broken,
    }
}

/// How a host stands with DANE.
#[derive(Clone, Copy, PartialEq)]
enum HostDane {
    None,
    Holds,
    Fails,
}

fn host_dane(case: &Case<'_>, host: &MxFacts) -> HostDane {
    if secure_records(host).is_none() {
        // A sender that gets an error for TLSA keeps the mail (RFC 7672 §2.1.1).
        let deferred = secure_addresses(host)
            && host.tlsa.as_ref().is_err_and(|e| !matches!(e, DnsError::Unreachable(_)));
        return if deferred { HostDane::Fails } else { HostDane::None };
    }
    let verdicts: Vec<DaneVerdict> =
        host.probes.iter().filter_map(|probe| verdict(case, host, probe)).collect();
    let without_tls = host.probes.iter().any(|probe| without_tls(&probe.outcome));
    let unusable = verdicts.is_empty() && {
        let records = secure_records(host).unwrap_or_default();
        crate::dane::assess::assess(records, &[], &[], case.at).verdict == DaneVerdict::Unusable
    };
    if without_tls || unusable || verdicts.iter().any(|verdict| !matches!(verdict, DaneVerdict::Match(_))) {
        HostDane::Fails
    } else {
        HostDane::Holds
    }
}

fn dane_state(case: &Case<'_>) -> DaneState {
    let hosts: Vec<HostDane> = case.facts.hosts.iter().map(|host| host_dane(case, host)).collect();
    match () {
        () if hosts.contains(&HostDane::Fails) => DaneState::Broken,
        () if !hosts.contains(&HostDane::Holds) => DaneState::Absent,
        // Reading A16: without a secure MX the host could be exchanged; that is half of DANE.
        () if hosts.contains(&HostDane::None) || !case.secure_mx() => DaneState::Partial,
        () => DaneState::Full,
    }
}

fn reporting_state(case: &Case<'_>) -> ReportingState {
    let Ok(linted) = reporting(case.facts) else { return ReportingState::Broken };
    match linted.value.verdict {
        RecordVerdict::Valid if !linted.value.rua.is_empty() => ReportingState::Present,
        RecordVerdict::None => {
            let attempts =
                case.facts.tlsrpt_record.as_ref().map(|answer| texts(&answer.records)).unwrap_or_default();
            match attempts.iter().any(|text| text.to_ascii_lowercase().contains("tlsrpt")) {
                true => ReportingState::Broken,
                false => ReportingState::Absent,
            }
        }
        _ => ReportingState::Broken,
    }
}

/// Who loses mail now, in one sentence with a subject; or that nobody does, and what stays open.
fn consequence(case: &Case<'_>, mta_sts: StsState, dane: DaneState) -> String {
    let domain = &case.facts.domain;
    if let Some(text) = nowhere_to_deliver(case) {
        return text;
    }
    let mut losses = Vec::new();
    let fails_dane: Vec<&MxHost> =
        case.facts.hosts.iter().filter(|h| loses_dane_mail(case, h)).map(|h| &h.host).collect();
    if !fails_dane.is_empty() {
        losses.push(format!("senders that use DANE defer {}", share(case, &fails_dane)));
    }
    let fails_sts = hosts_failing_sts(case);
    if mta_sts == StsState::Enforce && !fails_sts.is_empty() {
        losses.push(format!("senders that enforce MTA-STS defer {}", share(case, &fails_sts)));
    }
    let down = unreachable(case);
    if !down.is_empty() && !smtp_blocked(case.facts) {
        losses.push(format!("every sender waits or turns elsewhere with {}", share(case, &down)));
    }
    if !losses.is_empty() {
        return capital(format!("{}.", losses.join("; ")));
    }
    match () {
        () if mta_sts == StsState::Broken && case.record.is_none() => format!(
            "Senders that do not know the policy of {domain} yet deliver unprotected, since its record cannot be looked up; nobody loses mail."
        ),
        () if mta_sts == StsState::Broken => format!(
            "Senders that do not know the policy of {domain} yet deliver unprotected, since it is announced and cannot be used; nobody loses mail now."
        ),
        () if case.smtp && smtp_blocked(case.facts) => format!(
            "Nobody is known to lose mail, but the mail servers of {domain} could not be tested from here."
        ),
        () if mta_sts == StsState::Testing && !fails_sts.is_empty() => format!(
            "Nobody loses mail while the policy is in testing; under enforce senders would defer {}.",
            share(case, &fails_sts)
        ),
        () if matches!(mta_sts, StsState::Absent | StsState::None) && matches!(dane, DaneState::Absent) => {
            format!(
                "Nobody loses mail, and nobody is protected: an attacker in the path can make senders deliver to {domain} in clear text."
            )
        }
        () if mta_sts == StsState::Testing && matches!(dane, DaneState::Absent) => format!(
            "Nobody loses mail, and nobody is protected yet: the policy of {domain} is in testing, so senders report failures and deliver all the same."
        ),
        () => format!(
            "Nobody loses mail: senders that use {} reach {domain} over authenticated TLS.",
            mechanisms(mta_sts, dane)
        ),
    }
}

fn mechanisms(mta_sts: StsState, dane: DaneState) -> &'static str {
    match (mta_sts == StsState::Enforce, dane) {
        (true, DaneState::Full | DaneState::Partial) => "DANE or MTA-STS",
        (true, _) => "MTA-STS",
        _ => "DANE",
    }
}

/// Without MX and address there is nowhere to deliver to.
fn nowhere_to_deliver(case: &Case<'_>) -> Option<String> {
    let domain = &case.facts.domain;
    match &case.facts.mx {
        Err(DnsError::Unreachable(why)) => {
            Some(format!("Nothing is known about mail to {domain}: our resolver cannot be reached ({why})."))
        }
        Err(DnsError::Bogus(_)) => Some(format!(
            "Senders that validate DNSSEC defer all mail for {domain}: its MX answer does not validate."
        )),
        Err(error) => {
            Some(format!("Senders defer all mail for {domain} while they see what we see: {error}."))
        }
        Ok(answer) if answer.status == DnssecStatus::Bogus => Some(format!(
            "Senders that validate DNSSEC defer all mail for {domain}: its MX answer does not validate."
        )),
        Ok(answer) if answer.records.iter().all(|mx| mx.exchange.is_err()) && !answer.records.is_empty() => {
            let null = answer.records.iter().all(|mx| matches!(&mx.exchange, Err(name) if name == "."));
            Some(match null {
                true => format!("{domain} says that it takes no mail (null MX), so no mail can be lost."),
                false => format!(
                    "Every sender returns or defers all mail for {domain}: its MX records name no host."
                ),
            })
        }
        Ok(_) => {
            let addressless = |host: &&MxFacts| {
                host.ipv4.as_ref().is_ok_and(|a| a.is_absent())
                    && host.ipv6.as_ref().is_ok_and(|a| a.is_absent())
            };
            let all = !case.facts.hosts.is_empty() && case.facts.hosts.iter().all(|host| addressless(&host));
            all.then(|| format!("Every sender returns or defers all mail for {domain}: no mail server of it has an address."))
        }
    }
}

/// Whether DANE senders keep mail back for this host. Records that are all unusable make them encrypt
/// without authentication, not defer.
fn loses_dane_mail(case: &Case<'_>, host: &MxFacts) -> bool {
    let refused = |probe: &AddressProbe| match &probe.outcome {
        outcome if without_tls(outcome) => true,
        _ => verdict(case, host, probe)
            .is_some_and(|verdict| !matches!(verdict, DaneVerdict::Unusable | DaneVerdict::Match(_))),
    };
    host_dane(case, host) == HostDane::Fails && (host.tlsa.is_err() || host.probes.iter().any(refused))
}

/// TLS is not to be had at this address.
fn without_tls(outcome: &ProbeOutcome) -> bool {
    matches!(
        outcome,
        ProbeOutcome::NoStartTls(_) | ProbeOutcome::StartTlsRefused(_) | ProbeOutcome::StartTlsInjection
    )
}

/// Hosts to which a sender that enforces does not deliver, at one address at least.
fn hosts_failing_sts<'c>(case: &'c Case<'_>) -> Vec<&'c MxHost> {
    let Some(policy) = &case.policy else { return Vec::new() };
    let fails = |host: &MxFacts| {
        host.probes.iter().any(|probe| match &probe.outcome {
            ProbeOutcome::Tls(tls) => !chain_faults(case, tls).is_empty(),
            outcome if without_tls(outcome) => true,
            ProbeOutcome::Handshake(failure) => {
                !failure.maybe_legacy || failure.reason.contains("protocol_version")
            }
            _ => false,
        })
    };
    let failing: BTreeSet<&MxHost> =
        case.facts.hosts.iter().filter(|host| fails(host)).map(|host| &host.host).collect();
    case.mx.iter().filter(|host| policy.matching(host).is_none() || failing.contains(host)).collect()
}

/// Hosts none of whose addresses takes a connection.
fn unreachable<'c>(case: &'c Case<'_>) -> Vec<&'c MxHost> {
    let dead = |outcome: &ProbeOutcome| match outcome {
        ProbeOutcome::Unreachable(_) => !super::mail_server::lacks_route(outcome),
        ProbeOutcome::Timeout(_)
        | ProbeOutcome::Greeting(_)
        | ProbeOutcome::Ehlo(_)
        | ProbeOutcome::Protocol(_) => true,
        _ => false,
    };
    case.facts
        .hosts
        .iter()
        .filter(|host| !host.probes.is_empty() && host.probes.iter().all(|probe| dead(&probe.outcome)))
        .map(|host| &host.host)
        .collect()
}

/// `all mail for example.com`, or `mail that picks mx2.example.com (1 of 2 mail servers)`.
fn share(case: &Case<'_>, hosts: &[&MxHost]) -> String {
    if hosts.len() == case.mx.len() {
        return format!("all mail for {}", case.facts.domain);
    }
    format!("mail that picks {} ({} of {} mail servers)", list(hosts, 3), hosts.len(), case.mx.len())
}

fn capital(text: String) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
