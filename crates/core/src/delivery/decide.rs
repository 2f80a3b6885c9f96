//! The decision: hosts, MTA-STS policy and the operator's word to one [`DeliveryPolicy`].

use jiff::{SignedDuration, Timestamp};

use super::branch::{Branch, DaneBranch, Lead};
use super::host::{HostRequirement, HostState};
use super::next_hop::NextHopFacts;
use super::operator::{OnDnsFailure, Override, Require};
use super::policy::{DeliveryPolicy, HostDecision, Level};
use super::reason::Reason;
use crate::MxHost;
use crate::mta_sts::cache::NoPolicy;
use crate::mta_sts::{Mode, MxPattern, StsPolicy};

/// How long an answer stands that only says that the DNS fails.
const FAILURE: SignedDuration = SignedDuration::from_secs(60);

/// All that is known when the decision is taken.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What the DNS says.
    pub facts: &'a NextHopFacts,
    /// The MTA-STS policy in force, or why there is none.
    pub sts: Sts<'a>,
    /// The last decision by DNS that was certain.
    pub last: Option<&'a Branch>,
    /// What to do when the DNS fails.
    pub on_dns_failure: OnDnsFailure,
    /// The operator's word for this domain.
    pub over: Option<&'a Override>,
}

/// The MTA-STS side.
pub type Sts<'a> = Result<&'a StsPolicy, &'a NoPolicy>;

/// Decides what holds for a next hop.
pub fn decide(known: &Known<'_>, now: Timestamp) -> DeliveryPolicy {
    let over = known.over.filter(|o| o.holds(now));
    if let Some(decided) = over.and_then(|o| by_word_alone(o, now)) {
        return decided;
    }
    let states: Vec<HostState> = known.facts.hosts.iter().map(HostState::of).collect();
    let lead = Lead::of(known.facts, &states);
    let mut case = Case { known, states: &states, reasons: Vec::new(), mx: None };
    let (level, branch) = match over {
        // `by_word_alone` has answered for every other word.
        Some(over) => case.required_sts(over, &lead, now),
        None => case.by_lead(&lead, now),
    };
    let valid_until = branch
        .as_ref()
        .map_or_else(|| now.checked_add(FAILURE).unwrap_or(Timestamp::MAX), Branch::valid_until);
    let names = if level == Level::Secure { case.names() } else { Vec::new() };
    if level == Level::Secure && names.is_empty() {
        case.reasons.push(Reason::StsNoHost);
    }
    DeliveryPolicy {
        level,
        hosts: case.hosts(level),
        names,
        sts: known.sts.ok().filter(|p| p.mode != Mode::None).cloned(),
        branch,
        reasons: case.reasons,
        valid_until,
    }
}

/// What follows from the operator's word alone, before any lookup: all but [`Require::Sts`].
pub fn by_word_alone(over: &Override, now: Timestamp) -> Option<DeliveryPolicy> {
    let level = match over.require {
        Require::Dane => Level::DaneOnly,
        Require::Encrypt => Level::Encrypt,
        Require::None => Level::May,
        Require::Sts => return None,
    };
    let hour = now.checked_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    Some(DeliveryPolicy {
        level,
        hosts: Vec::new(),
        names: Vec::new(),
        sts: None,
        branch: None,
        reasons: vec![Reason::Override(over.require, over.reason.clone())],
        valid_until: over.until.map_or(hour, |until| until.min(hour)),
    })
}

/// A decision on its way.
struct Case<'a> {
    known: &'a Known<'a>,
    states: &'a [HostState],
    reasons: Vec<Reason>,
    /// The MX hosts of the last known answer, where the MX lookup failed.
    mx: Option<&'a [MxHost]>,
}

impl Case<'_> {
    fn by_lead(&mut self, lead: &Lead, now: Timestamp) -> (Level, Option<Branch>) {
        match lead {
            Lead::NullMx => {
                self.reasons.push(Reason::NullMx);
                (Level::NoDemand, Some(self.branch(DaneBranch::Absent, now)))
            }
            Lead::Certain { dane, some_failed } => {
                if *some_failed {
                    self.reasons.push(Reason::SomeHostsFailed);
                }
                (self.by_dane(*dane, *some_failed), Some(self.branch(*dane, now)))
            }
            Lead::MxFailed(why) => {
                self.reasons.push(Reason::MxFailed(why.clone()));
                (self.without_dns(now), None)
            }
            Lead::HostsFailed(why) => {
                self.reasons.push(Reason::HostsFailed(why.clone()));
                (self.without_dns(now), None)
            }
        }
    }

    fn branch(&self, dane: DaneBranch, now: Timestamp) -> Branch {
        let facts = self.known.facts;
        Branch {
            dane,
            mx: facts.hosts.iter().map(|h| h.host.clone()).collect(),
            decided_at: now,
            ttl: facts.ttl().unwrap_or(0),
        }
    }

    /// The table of DANE and MTA-STS together (readings A14 to A16).
    fn by_dane(&mut self, dane: DaneBranch, some_failed: bool) -> Level {
        self.reasons.push(match dane {
            DaneBranch::Full => Reason::DaneFull,
            DaneBranch::Partial => Reason::DanePartial,
            DaneBranch::Half => Reason::HalfDane,
            DaneBranch::Unusable => Reason::DaneUnusable,
            DaneBranch::Absent => Reason::NoDane,
        });
        let enforced = self.sts_demand();
        match (dane, enforced) {
            // DANE outranks MTA-STS (RFC 8461 §2). A host whose lookup failed may be one without records:
            // the MTA decides that for itself host by host, unless a policy forbids to do without.
            (DaneBranch::Full, false) if some_failed => Level::Dane,
            (DaneBranch::Full, _) | (DaneBranch::Partial, true) => Level::DaneOnly,
            // Reading A15, A16: these records authenticate nobody for this domain, the policy does.
            (DaneBranch::Half | DaneBranch::Unusable | DaneBranch::Absent, true) => Level::Secure,
            (DaneBranch::Partial | DaneBranch::Half | DaneBranch::Unusable, false) => Level::Dane,
            // The MTA must not use the host whose TLSA lookup failed (RFC 7672 §2.1.2).
            (DaneBranch::Absent, false) if some_failed => Level::Dane,
            (DaneBranch::Absent, false) => Level::NoDemand,
        }
    }

    /// Notes what MTA-STS says, and whether it is enforced.
    fn sts_demand(&mut self) -> bool {
        let (reason, enforced) = match self.known.sts {
            Ok(policy) => match policy.mode {
                Mode::Enforce => (Reason::StsEnforce, true),
                Mode::Testing => (Reason::StsTesting, false),
                Mode::None => (Reason::NoSts(NoPolicy::ModeNone.as_str().to_owned()), false),
            },
            Err(why) => (Reason::NoSts(why.as_str().to_owned()), false),
        };
        self.reasons.push(reason);
        enforced
    }

    /// The DNS cannot say whether DANE applies (RFC 7672 §2.1.2; reading A10).
    fn without_dns(&mut self, now: Timestamp) -> Level {
        match self.known.on_dns_failure {
            OnDnsFailure::LastKnown => match self.known.last.filter(|last| last.stands_in(now)) {
                Some(last) => {
                    self.reasons.push(Reason::LastKnown(last.dane));
                    self.mx = Some(&last.mx);
                    self.by_dane(last.dane, false)
                }
                None => Level::Defer,
            },
            OnDnsFailure::Defer => Level::Defer,
            OnDnsFailure::Open => match self.sts_demand() {
                true => Level::Secure,
                false => Level::NoDemand,
            },
        }
    }

    /// The operator requires MTA-STS: a policy in testing mode counts as one that enforces.
    fn required_sts(&mut self, over: &Override, lead: &Lead, now: Timestamp) -> (Level, Option<Branch>) {
        self.reasons.push(Reason::Override(over.require, over.reason.clone()));
        let branch = match lead {
            Lead::Certain { dane, .. } => Some(self.branch(*dane, now)),
            _ => None,
        };
        self.mx = self.known.last.filter(|last| last.stands_in(now)).map(|last| last.mx.as_slice());
        match self.known.sts {
            Ok(policy) if policy.mode != Mode::None => (Level::Secure, branch),
            _ => {
                self.reasons.push(Reason::RequiredAbsent(Require::Sts));
                (Level::Defer, branch)
            }
        }
    }

    /// The names a certificate may bear: MX hosts that the policy allows and that can be judged.
    fn names(&self) -> Vec<String> {
        let Ok(policy) = self.known.sts else { return Vec::new() };
        let allowed = |host: &MxHost| policy.matching(host).is_some();
        let mut names: Vec<String> = match (&self.known.facts.mx, self.mx) {
            (Ok(_), _) => {
                let hosts = self.known.facts.hosts.iter().zip(self.states);
                hosts
                    .filter(|(h, state)| allowed(&h.host) && !matches!(state, HostState::Unreachable(_)))
                    .map(|(h, _)| h.host.to_string())
                    .collect()
            }
            (Err(_), Some(mx)) => mx.iter().filter(|h| allowed(h)).map(ToString::to_string).collect(),
            // Nobody knows the hosts: the names as published; a star stands for nothing certain. Digits
            // are a Domain by the grammar that no certificate bears (reading B3).
            (Err(_), None) => policy
                .mx
                .iter()
                .filter_map(|pattern| match pattern {
                    MxPattern::Exact(name) if !is_address(name.as_str()) => Some(name.to_string()),
                    _ => None,
                })
                .collect(),
        };
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    fn hosts(&self, level: Level) -> Vec<HostDecision> {
        let hosts = self.known.facts.hosts.iter().zip(self.states);
        hosts.map(|(h, state)| self.host(level, &h.host, state)).collect()
    }

    fn host(&self, level: Level, host: &MxHost, state: &HostState) -> HostDecision {
        use HostRequirement as Must;
        let (requirement, why) = match (level, state) {
            (_, HostState::Unreachable(why)) => (Must::Unreachable, why.to_string()),
            (Level::DaneOnly | Level::Dane, HostState::Dane) => {
                (Must::Dane, "it has usable TLSA records".to_owned())
            }
            (Level::DaneOnly, _) => {
                (Must::NotAllowed, "it has no usable TLSA record, and the others have".to_owned())
            }
            (Level::Dane, HostState::DaneUnusable) => {
                (Must::Tls, "its TLSA records cannot be used: they demand TLS only".to_owned())
            }
            (Level::Secure, _) => self.host_by_policy(host),
            (Level::Encrypt, _) => (Must::Tls, "the operator requires TLS".to_owned()),
            (Level::Dane | Level::NoDemand | Level::May, _) => (Must::Opportunistic, self.no_demand(host)),
            (Level::Defer, _) => (Must::Unreachable, "mail waits".to_owned()),
        };
        let allowed = !matches!(requirement, Must::NotAllowed | Must::Unreachable);
        HostDecision { host: host.clone(), allowed, requirement, why }
    }

    fn host_by_policy(&self, host: &MxHost) -> (HostRequirement, String) {
        match self.known.sts.ok().and_then(|policy| policy.matching(host)) {
            Some(pattern) => (HostRequirement::MtaSts, format!("it matches {pattern}")),
            None => (HostRequirement::NotAllowed, "no pattern of the policy matches it".to_owned()),
        }
    }

    fn no_demand(&self, host: &MxHost) -> String {
        match self.known.sts {
            Ok(policy) if policy.mode == Mode::Testing => match policy.matching(host) {
                Some(pattern) => format!("it matches {pattern}; failures are reported"),
                None => "no pattern of the policy matches it; that is reported".to_owned(),
            },
            _ => "no policy asks for more".to_owned(),
        }
    }
}

fn is_address(name: &str) -> bool {
    name.parse::<std::net::Ipv4Addr>().is_ok()
}
