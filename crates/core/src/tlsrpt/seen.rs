//! What a sender itself sees of a next hop, for its reports: what its mail server cannot tell.
//!
//! Postfix tells of TLS sessions. It is told no policy where none could be had, and then counts the session
//! under `no-policy-found`; it does not connect to a host that the policy leaves out, nor to one whose TLSA
//! records are bogus, and tells nothing of it. So nothing that is counted here is told by a mail server as
//! well. (Postfix 3.10.0 to 3.10.4 does connect to a host that the policy leaves out, and tells of it by
//! another result type.)
//!
//! Counts, by RFC 8460 §4.2 and §4.3 and readings A19, A20: a delivery that should have had a policy and had
//! none, or whose every host the policy forbids, is one failed session. Where mail went on under the policy
//! held, or over another host, the failure stands in the details alone, beside the sessions that the mail
//! server tells. Where no mail was on its way nothing is counted, for there was no session.
//! [`probe`] is about probes, which never are sessions.

use super::datagram::{SessionFailure, SessionPolicy};
use super::{PolicyType, ResultType};
use crate::delivery::{HostAddresses, HostFacts, HostTlsa, Level, NextHopFacts};
use crate::dns::DnsError;
use crate::mta_sts::cache::NoPolicy;
use crate::mta_sts::{Mode, StsPolicy};
use crate::postfix::answer::report_lines;
use crate::{DomainName, MxHost, PolicyDomain};

pub mod probe;

/// The reason code of a host that the policy leaves out.
pub const MX_MISMATCH: &str = "sts-mx-mismatch";

/// The longest line of a policy kept in a report, in bytes; the most lines. A policy that is none may hold
/// anything.
const LONGEST_LINE: usize = 4096;
/// See [`LONGEST_LINE`].
const MOST_LINES: usize = 1000;

/// What was seen under one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The policy.
    pub policy: SessionPolicy,
    /// Whether it counts as a failed session, or stands in the details alone.
    pub session_failed: bool,
    /// The failures.
    pub failures: Vec<SessionFailure>,
}

/// What a delivery met when its next hop was looked up.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// The next hop.
    pub domain: &'a PolicyDomain,
    /// The MTA-STS policy that mail goes by, and its text as fetched.
    pub policy: Option<(&'a StsPolicy, &'a [u8])>,
    /// What stands in the way of a newer policy, or of any.
    pub trouble: Option<&'a NoPolicy>,
    /// The text that was served and is no policy, where that is the trouble.
    pub no_policy: Option<&'a [u8]>,
    /// What the DNS says, where it was asked.
    pub facts: Option<&'a NextHopFacts>,
    /// What was decided.
    pub level: Option<Level>,
}

/// What a report says of a look; nothing where nothing failed.
pub fn of_look(look: &Look<'_>) -> Vec<Seen> {
    sts(look).into_iter().chain(look.facts.into_iter().flat_map(|facts| dnssec(facts, look.level))).collect()
}

/// A policy for reports: its lines as Postfix is told them, so that both count under the same entry.
pub fn sts_policy(domain: &PolicyDomain, policy: &StsPolicy, body: &[u8]) -> SessionPolicy {
    SessionPolicy {
        policy_type: PolicyType::Sts,
        policy_domain: (**domain).clone(),
        policy_string: report_lines(body).map(|line| String::from_utf8_lossy(line).into_owned()).collect(),
        mx_host: policy.mx.iter().map(ToString::to_string).collect(),
    }
}

fn sts(look: &Look<'_>) -> Option<Seen> {
    // RFC 8461 §6 wants no reports under a policy of mode none.
    let policy = match look.policy {
        Some((policy, _)) if policy.mode == Mode::None => return None,
        Some(policy) => Some(policy),
        None => None,
    };
    let mut failures: Vec<SessionFailure> = look.trouble.and_then(trouble).into_iter().collect();
    let had_none = policy.is_none() && !failures.is_empty();
    let hosts = look.facts.map_or(&[][..], |facts| &facts.hosts);
    let outside = hosts.iter().filter(|host| policy.is_some_and(|(p, _)| p.matching(&host.host).is_none()));
    failures.extend(
        outside.clone().map(|host| {
            failure(ResultType::ValidationFailure, Some(&host.host), Some(MX_MISMATCH.to_owned()))
        }),
    );
    if failures.is_empty() {
        return None;
    }
    let all_outside = !hosts.is_empty() && outside.count() == hosts.len();
    let policy = match policy {
        Some((policy, body)) => sts_policy(look.domain, policy, body),
        None => broken_policy(look.domain, look.no_policy.unwrap_or_default()),
    };
    let session_failed = had_none || all_outside;
    Some(Seen { policy, session_failed, failures })
}

/// RFC 8460 §4.3.2.2; `None` where no new attempt was made, or nothing failed.
fn trouble(why: &NoPolicy) -> Option<SessionFailure> {
    if *why == NoPolicy::BackOff {
        return None;
    }
    Some(failure(why.result_type()?, None, why.reason_code()))
}

/// A policy that could not be had: what was served instead, errors included (RFC 8460 §4.5), if anything.
fn broken_policy(domain: &PolicyDomain, body: &[u8]) -> SessionPolicy {
    let line = |line: &[u8]| {
        let mut text = String::from_utf8_lossy(line).into_owned();
        text.truncate(text.floor_char_boundary(LONGEST_LINE));
        text
    };
    let lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    SessionPolicy {
        policy_type: PolicyType::Sts,
        policy_domain: (**domain).clone(),
        policy_string: lines.take(MOST_LINES).map(line).collect(),
        mx_host: Vec::new(),
    }
}

/// Answers that DNSSEC proves false (RFC 8460 §4.3.2.1): of the MX set, or of a host that is left out for it
/// (RFC 7672 §2.1.2). An outage is none.
fn dnssec(facts: &NextHopFacts, level: Option<Level>) -> Vec<Seen> {
    let session_failed = level == Some(Level::Defer);
    let seen = |name: &DomainName, host: Option<&MxHost>, reason: &str| Seen {
        policy: SessionPolicy {
            policy_type: PolicyType::Tlsa,
            policy_domain: name.clone(),
            policy_string: Vec::new(),
            mx_host: Vec::new(),
        },
        session_failed,
        failures: vec![failure(ResultType::DnssecInvalid, host, Some(reason.to_owned()))],
    };
    if let Err(DnsError::Bogus(_)) = facts.mx {
        return vec![seen(&facts.domain, None, "bogus-mx")];
    }
    let hosts = facts.hosts.iter().filter_map(|host| {
        let reason = bogus(host)?;
        Some(seen(&host.host, Some(&host.host), reason))
    });
    hosts.collect()
}

fn bogus(host: &HostFacts) -> Option<&'static str> {
    match (&host.addresses, &host.tlsa) {
        (HostAddresses::Failed(DnsError::Bogus(_)), _) => Some("bogus-address"),
        (_, HostTlsa::Failed(DnsError::Bogus(_))) => Some("bogus-tlsa"),
        _ => None,
    }
}

fn failure(result_type: ResultType, host: Option<&MxHost>, reason: Option<String>) -> SessionFailure {
    SessionFailure {
        result_type,
        sending_mta_ip: None,
        receiving_mx_hostname: host.map(ToString::to_string),
        receiving_mx_helo: None,
        receiving_ip: None,
        additional_information: None,
        failure_reason_code: reason,
    }
}

#[cfg(test)]
mod tests;
