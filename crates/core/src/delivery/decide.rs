//! The decision: hosts, MTA-STS policy and the operator's word to one [`DeliveryPolicy`].

use jiff::{SignedDuration, Timestamp};

use super::branch::{Branch, DaneBranch, Lead};
use super::host::HostState;
use super::next_hop::NextHopFacts;
use super::operator::{OnDnsFailure, Override, Require};
use super::policy::{DeliveryPolicy, Level};
use super::reason::Reason;
use crate::MxHost;
use crate::mta_sts::cache::NoPolicy;
use crate::mta_sts::{Mode, StsPolicy};

mod hosts;
mod names;

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
    let states: Vec<HostState> = known.facts.hosts.iter().map(HostState::of).collect();
    let over = known.over.filter(|over| over.holds(now));
    let mut case = Case { known, over, states: &states, reasons: Vec::new(), basis: Basis::Facts };
    if let Some(mut decided) = over.and_then(|over| by_word_alone(over, now)) {
        decided.hosts = case.hosts(decided.level);
        return decided;
    }
    let (level, branch) = case.level(now);
    let names = if level == Level::Secure { case.names() } else { Vec::new() };
    if level == Level::Secure && names.is_empty() {
        case.reasons.push(Reason::StsNoHost);
    }
    let lasting = branch.as_ref().filter(|_| level != Level::Defer);
    let valid_until = lasting.map_or_else(|| later(now, FAILURE), Branch::valid_until);
    DeliveryPolicy {
        level,
        hosts: case.hosts(level),
        names,
        names_alone: level == Level::Secure && case.leaves_out_a_host(),
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
    let hour = later(now, SignedDuration::from_hours(1));
    Some(DeliveryPolicy {
        level,
        hosts: Vec::new(),
        names: Vec::new(),
        names_alone: false,
        sts: None,
        branch: None,
        reasons: vec![Reason::Override(over.require, over.reason.clone())],
        valid_until: over.until.map_or(hour, |until| until.min(hour)),
    })
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// A decision on its way.
struct Case<'a> {
    known: &'a Known<'a>,
    /// The operator's word that holds.
    over: Option<&'a Override>,
    /// Of the hosts, in their order.
    states: &'a [HostState],
    reasons: Vec<Reason>,
    basis: Basis<'a>,
}

/// What the decision rests on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Basis<'a> {
    /// What the DNS says now.
    Facts,
    /// What it said last, with the MX hosts of then.
    LastKnown(&'a [MxHost]),
    /// Nothing: the operator lets mail go when the DNS fails.
    Open,
}

/// What MTA-STS asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// Nothing.
    Nothing,
    /// The policy.
    Policy,
    /// Nobody knows, and mail shall wait until somebody does (reading A10, `defer`).
    Unknown,
}

impl<'a> Case<'a> {
    fn level(&mut self, now: Timestamp) -> (Level, Option<Branch>) {
        if let Some(over) = self.over {
            self.reasons.push(Reason::Override(over.require, over.reason.clone()));
        }
        let (level, branch) = match Lead::of(self.known.facts, self.states) {
            Lead::NullMx => {
                self.reasons.push(Reason::NullMx);
                return (Level::NoDemand, Some(self.branch(DaneBranch::Absent, now)));
            }
            Lead::Certain { dane, some_failed } => {
                if some_failed {
                    self.reasons.push(Reason::SomeHostsFailed);
                }
                (self.by_dane(dane, some_failed), Some(self.branch(dane, now)))
            }
            Lead::MxFailed(why) => (self.without_dns(Reason::MxFailed(why), now), None),
            Lead::HostsFailed(why) => (self.without_dns(Reason::HostsFailed(why), now), None),
        };
        // The override that is left asks for MTA-STS.
        if self.over.is_some() && self.policy().is_none() {
            self.reasons.push(Reason::RequiredAbsent(Require::Sts));
            return (Level::Defer, branch);
        }
        (level, branch)
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
        match (dane, self.sts_demand()) {
            // A host whose lookup failed may be one without records: the MTA decides that for itself host
            // by host, unless a policy forbids to do without.
            (DaneBranch::Full, Demand::Nothing) if some_failed => Level::Dane,
            // DANE outranks MTA-STS (RFC 8461 §2).
            (DaneBranch::Full, _) | (DaneBranch::Partial, Demand::Policy | Demand::Unknown) => {
                Level::DaneOnly
            }
            // Readings A15, A16: these records authenticate nobody for this domain, the policy does.
            (DaneBranch::Half | DaneBranch::Unusable | DaneBranch::Absent, Demand::Policy) => Level::Secure,
            (DaneBranch::Half | DaneBranch::Unusable | DaneBranch::Absent, Demand::Unknown) => Level::Defer,
            (DaneBranch::Partial | DaneBranch::Half | DaneBranch::Unusable, Demand::Nothing) => Level::Dane,
            // The MTA must not use the host whose TLSA lookup failed (RFC 7672 §2.1.2).
            (DaneBranch::Absent, Demand::Nothing) if some_failed => Level::Dane,
            (DaneBranch::Absent, Demand::Nothing) => Level::NoDemand,
        }
    }

    /// The policy that asks for something. The operator may require that one in testing mode does.
    fn policy(&self) -> Option<&'a StsPolicy> {
        let policy = self.known.sts.ok()?;
        let counts = match policy.mode {
            Mode::Enforce => true,
            Mode::Testing => self.over.is_some(),
            Mode::None => false,
        };
        counts.then_some(policy)
    }

    /// Notes what MTA-STS says, and what it asks for.
    fn sts_demand(&mut self) -> Demand {
        let (reason, demand) = match self.known.sts {
            Ok(_) if self.policy().is_some() => (Reason::StsEnforce, Demand::Policy),
            Ok(policy) if policy.mode == Mode::Testing => (Reason::StsTesting, Demand::Nothing),
            Ok(_) => (Reason::NoSts(NoPolicy::ModeNone.as_str().to_owned()), Demand::Nothing),
            Err(why @ NoPolicy::DnsUnavailable(_)) if self.known.on_dns_failure == OnDnsFailure::Defer => {
                (Reason::StsFailed(why.sentence()), Demand::Unknown)
            }
            // RFC 8461 §3.3: without a policy mail is delivered.
            Err(why) => (Reason::NoSts(why.as_str().to_owned()), Demand::Nothing),
        };
        self.reasons.push(reason);
        demand
    }

    /// The DNS cannot say whether DANE applies (RFC 7672 §2.1.2).
    fn without_dns(&mut self, why: Reason, now: Timestamp) -> Level {
        self.reasons.push(why);
        match self.known.on_dns_failure {
            OnDnsFailure::LastKnown => match self.known.last.filter(|last| last.stands_in(now)) {
                Some(last) => {
                    self.reasons.push(Reason::LastKnown(last.dane));
                    self.basis = Basis::LastKnown(&last.mx);
                    self.by_dane(last.dane, false)
                }
                None => Level::Defer,
            },
            OnDnsFailure::Defer => Level::Defer,
            OnDnsFailure::Open => {
                self.basis = Basis::Open;
                match self.sts_demand() {
                    Demand::Policy => Level::Secure,
                    Demand::Nothing | Demand::Unknown => Level::NoDemand,
                }
            }
        }
    }
}
