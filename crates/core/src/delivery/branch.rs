//! Where the DNS led for a next hop as a whole, and how long that may be believed.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::host::HostState;
use super::next_hop::NextHopFacts;
use crate::MxHost;
use crate::dns::{DnsError, DnssecStatus};

/// The longest a decision by DNS may be believed, in seconds.
pub const LONGEST_TTL: u32 = 3600;

/// The shortest, in seconds: less would turn a burst of mail into a burst of questions.
pub const SHORTEST_TTL: u32 = 30;

/// How long the last certain decision stands in when the DNS fails (longer where its TTL is).
const LAST_KNOWN: SignedDuration = SignedDuration::from_hours(24);

/// Where the DNS led: what [`OnDnsFailure::LastKnown`] goes by, kept for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// What was known of DANE.
    pub dane: DaneBranch,
    /// The MX hosts in order.
    pub mx: Vec<MxHost>,
    /// When.
    pub decided_at: Timestamp,
    /// For how many seconds by the DNS.
    pub ttl: u32,
}

/// What the DNS said of DANE for a next hop as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaneBranch {
    /// Every host has usable records, and the MX answer is secure.
    Full,
    /// Some host has usable records, and the MX answer is secure.
    Partial,
    /// Usable records behind an insecure MX answer (reading A16).
    Half,
    /// Records, none usable.
    Unusable,
    /// No secure records.
    Absent,
}

impl DaneBranch {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Full, Self::Partial, Self::Half, Self::Unusable, Self::Absent];

    /// The word in the database, on pages and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Half => "half",
            Self::Unusable => "unusable",
            Self::Absent => "absent",
        }
    }
}

impl std::str::FromStr for DaneBranch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|b| b.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no DANE branch"))
    }
}

impl Branch {
    /// Until when it may be answered without asking again.
    pub fn valid_until(&self) -> Timestamp {
        let ttl = self.ttl.clamp(SHORTEST_TTL, LONGEST_TTL);
        later(self.decided_at, SignedDuration::from_secs(ttl.into()))
    }

    /// Whether it may stand in when the DNS fails. A clock that went back keeps it.
    pub fn stands_in(&self, now: Timestamp) -> bool {
        let kept = LAST_KNOWN.max(SignedDuration::from_secs(self.ttl.into()));
        now < later(self.decided_at, kept)
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// What the DNS says of the next hop as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lead {
    /// It refuses mail.
    NullMx,
    /// Certain, although some hosts may be out of reach.
    Certain {
        /// What is known of DANE at the others.
        dane: DaneBranch,
        /// Whether a lookup of some host failed.
        some_failed: bool,
    },
    /// The MX lookup failed.
    MxFailed(String),
    /// Lookups of every host failed; holds the first cause.
    HostsFailed(String),
}

impl Lead {
    /// Reads the facts; `states` are those of the hosts, in their order.
    pub(super) fn of(facts: &NextHopFacts, states: &[HostState]) -> Self {
        let mx = match &facts.mx {
            Ok(mx) => mx,
            Err(why) => return Self::MxFailed(why.to_string()),
        };
        // RFC 7672 §2.1.1: what could not be determined counts as an error.
        if matches!(mx.status, DnssecStatus::Bogus | DnssecStatus::Indeterminate) {
            return Self::MxFailed(DnsError::Bogus(None).to_string());
        }
        if facts.is_null_mx() {
            return Self::NullMx;
        }
        // A host without an address takes no mail: it neither weakens nor saves anything.
        let judged = || states.iter().filter(|s| !matches!(s, HostState::NoAddress));
        let first = judged().find_map(|s| match s {
            HostState::Unreachable(why) => Some(why.to_string()),
            _ => None,
        });
        let reachable: Vec<&HostState> =
            judged().filter(|s| !matches!(s, HostState::Unreachable(_))).collect();
        match first {
            Some(why) if reachable.is_empty() => Self::HostsFailed(why),
            first => Self::Certain { dane: dane(facts, &reachable), some_failed: first.is_some() },
        }
    }
}

fn dane(facts: &NextHopFacts, hosts: &[&HostState]) -> DaneBranch {
    let usable = hosts.iter().filter(|s| matches!(s, HostState::Dane)).count();
    match usable {
        0 if hosts.iter().any(|s| s.has_tlsa()) => DaneBranch::Unusable,
        0 => DaneBranch::Absent,
        // RFC 7672 §2.2.1, reading A16: who may lie about the hosts may lie about their security.
        _ if !facts.mx_is_secure() => DaneBranch::Half,
        _ if usable == hosts.len() => DaneBranch::Full,
        _ => DaneBranch::Partial,
    }
}
