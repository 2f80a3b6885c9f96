//! One look at the mail servers, boiled down to what the gate asks.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::AuditOptions;
use super::case::Case;
use super::mail_server::{chain_faults, lacks_route, smtp_blocked};
use crate::facts::{AddressProbe, DomainFacts, MxFacts, ProbeOutcome};
use crate::finding::phrase::foreign;
use crate::rollout::ProbeRound;

/// Green is STARTTLS, a trusted chain and the name of the host, at one address. What could not be tested
/// from here is left out and makes the round incomplete: it is neither green nor a fault.
pub fn probe_round(facts: &DomainFacts, at: Timestamp) -> ProbeRound {
    let case = Case::read(facts, &AuditOptions { at, smtp: true });
    let mut complete = facts.mx.is_ok() && !facts.hosts.is_empty() && facts.hosts.len() == case.mx.len();
    let mut faults = BTreeMap::new();
    let blocked = smtp_blocked(facts);
    for host in &facts.hosts {
        let addresses = known_addresses(host);
        complete &= addresses
            .is_some_and(|known| known <= host.probes.len() && (known > 0 || host.probes.is_empty()));
        if addresses == Some(0) {
            faults.insert(host.host.to_string(), Some("it has no address".to_owned()));
        }
        for probe in &host.probes {
            if blocked || untested(&probe.outcome) {
                complete = false;
            } else {
                faults.insert(format!("{} {}", host.host, probe.address), fault(&case, probe));
            }
        }
    }
    let mut mx = case.mx.clone();
    mx.sort();
    ProbeRound { at, faults, mx, complete }
}

/// How many addresses the host has; `None` when a lookup failed.
fn known_addresses(host: &MxFacts) -> Option<usize> {
    match (&host.ipv4, &host.ipv6) {
        (Ok(a), Ok(aaaa)) => Some(a.records.len() + aaaa.records.len()),
        _ => None,
    }
}

fn untested(outcome: &ProbeOutcome) -> bool {
    match outcome {
        ProbeOutcome::PrivateAddress => true,
        // A server without TLS 1.2 fails for every sender under a policy; other old habits only for us.
        ProbeOutcome::Handshake(failure) => {
            failure.maybe_legacy && !failure.reason.contains("protocol_version")
        }
        other => lacks_route(other),
    }
}

/// The first fault in words.
fn fault(case: &Case<'_>, probe: &AddressProbe) -> Option<String> {
    match &probe.outcome {
        ProbeOutcome::Tls(tls) => chain_faults(case, tls)
            .first()
            .map(|fault| fault.result_type().as_str().to_owned() + " (" + fault.reason_code() + ")"),
        other => failure(other),
    }
}

/// What went wrong before TLS stood, in a few words; `None` where TLS stands.
pub(super) fn failure(outcome: &ProbeOutcome) -> Option<String> {
    Some(match outcome {
        ProbeOutcome::Tls(_) => return None,
        ProbeOutcome::Unreachable(why) => format!("no connection on port 25: {}", foreign(why)),
        ProbeOutcome::PrivateAddress => "a private address, not tried".to_owned(),
        ProbeOutcome::Greeting(reply) => format!("greeting \"{}\"", foreign(reply)),
        ProbeOutcome::Ehlo(reply) => format!("EHLO answered with \"{}\"", foreign(reply)),
        ProbeOutcome::NoStartTls(_) => "STARTTLS is not offered".to_owned(),
        ProbeOutcome::StartTlsRefused(reply) => format!("STARTTLS refused with \"{}\"", foreign(reply)),
        ProbeOutcome::StartTlsInjection => "plain text after the answer to STARTTLS".to_owned(),
        ProbeOutcome::Handshake(failure) => format!("TLS handshake failed: {}", foreign(&failure.reason)),
        ProbeOutcome::Protocol(what) => format!("broken SMTP: {}", foreign(what)),
        ProbeOutcome::Timeout(phase) => format!("no answer in time ({})", foreign(phase)),
    })
}
