//! Is it safe to enforce? Evidence in, one verdict out.
//!
//! The gate has eleven items, G1 to G11. An item holds, stands in the way (an obstacle with its
//! proof) or is unknown (with what would make it known). An obstacle outweighs a gap, and a gap is
//! never counted as passed. Silence of reporters, a blocked port or unauthenticated reports make
//! `Unknown`, never `Safe`.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::facts::DomainFacts;
use crate::mta_sts::Mode;
use crate::tlsrpt::ResultType;
use crate::{MxHost, PolicyDomain};

mod answer;
mod judge;
mod outside;
mod probes;
mod reports;
mod time;
mod window;

#[cfg(test)]
mod examples;

pub use judge::judge;
pub use window::{body_mark, is_our_id, policy_id, window};

/// How far a source of reports is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Mail without a passing signature, forwarded mail: a hint at most.
    Unverified,
    /// HTTPS without proof of who sent it: shown, never evidence by itself.
    Unauthenticated,
    /// A source the operator trusts by name: evidence, named.
    Trusted,
    /// DKIM passes for the reporter's domain (readings A22, A24): evidence.
    DkimVerified,
}

impl Trust {
    /// Whether reports of this trust count as evidence for "safe to enforce".
    pub fn is_evidence(self) -> bool {
        self >= Self::Trusted
    }

    /// The word in JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Unauthenticated => "unauthenticated",
            Self::Trusted => "trusted",
            Self::DkimVerified => "dkim-verified",
        }
    }
}

/// One kind of failure on one day, as one reporter told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedFailure {
    /// UTC day.
    pub day: Date,
    /// Submitter, lower case.
    pub reporter: String,
    /// How far it is believed.
    pub trust: Trust,
    /// What went wrong.
    pub result_type: ResultType,
    /// The MX named, if any, as written.
    pub mx: Option<String>,
    /// The reason given, if any.
    pub reason: Option<String>,
    /// Sessions.
    pub sessions: u64,
}

/// What one reporter told of one day, counted once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedDay {
    /// UTC day.
    pub day: Date,
    /// Submitter, lower case.
    pub reporter: String,
    /// How far it is believed.
    pub trust: Trust,
    /// Sessions that passed.
    pub successful: u64,
    /// Sessions that failed.
    pub failed: u64,
}

/// One observation of our own, boiled down to what the gate asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRound {
    /// When.
    pub at: Timestamp,
    /// By host and address (`mx1.example.com 192.0.2.1`): `None` is green, else the first fault in
    /// words. An address that could not be tested from here (port blocked) is left out and makes the
    /// round incomplete.
    pub faults: BTreeMap<String, Option<String>>,
    /// The MX hosts of that round, sorted.
    pub mx: Vec<MxHost>,
    /// Whether every address of every MX was really tested.
    pub complete: bool,
}

/// Everything the gate looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The domain.
    pub domain: PolicyDomain,
    /// Mode of the policy now published by us or seen, and since when with this MX set.
    pub mode: Option<Mode>,
    /// Since when the policy is in testing with this MX set; `None` when it never was or unknown.
    pub testing_since: Option<Timestamp>,
    /// The last look from outside, with its time; `None` before the first.
    pub latest: Option<DomainFacts>,
    /// Our own probes since the first day of the window, and of the last 8 days; oldest first.
    pub probes: Vec<ProbeRound>,
    /// Days reported in the window, duplicates and revisions already removed.
    pub days: Vec<ReportedDay>,
    /// Failures reported in the window.
    pub failures: Vec<ReportedFailure>,
    /// Failures the operator has marked as not ours, with a reason: (result type, MX).
    pub excused: Vec<(ResultType, Option<String>, String)>,
    /// Items passed by name by an operator: gate number to reason.
    pub waived: BTreeMap<u8, String>,
    /// A change that is under way or a guard that tripped, in words.
    pub pending: Option<String>,
}

/// The thresholds of the gate. `Default` gives the documented values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// G1.
    pub testing_days: u32,
    /// G2: days of green probes.
    pub probe_days: u32,
    /// G2: longest gap between rounds, hours.
    pub probe_gap_hours: u32,
    /// G3.
    pub reporters: usize,
    /// G4.
    pub sessions: u64,
    /// G9: days left on the policy host's certificate.
    pub policy_host_certificate_days: i64,
    /// G10: days left on MX certificates.
    pub mx_certificate_days: i64,
    /// Days left out at the recent end, since reports come late.
    pub lag_days: i64,
    /// Whole days in the window.
    pub window_days: i64,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            testing_days: 14,
            probe_days: 7,
            probe_gap_hours: 6,
            reporters: 2,
            sessions: 100,
            policy_host_certificate_days: 21,
            mx_certificate_days: 14,
            lag_days: 2,
            window_days: 7,
        }
    }
}

/// How one item of the gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemState {
    /// Holds.
    Holds,
    /// Stands in the way.
    Obstacle,
    /// Cannot be known yet.
    Unknown,
    /// Passed by an operator, by name.
    Waived,
}

/// One item of the gate with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateItem {
    /// 1 to 11.
    pub number: u8,
    /// What is asked, such as "Every MX passes our own probe".
    pub question: String,
    /// The answer.
    pub state: ItemState,
    /// The proof, with numbers and dates, or what is missing and what would make it known.
    pub evidence: String,
    /// What to do about it, in order; empty when it holds.
    pub next: Vec<String>,
}

/// The one verdict, rendered by page, terminal and alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Safe, not yet, unknown.
    pub verdict: Verdict,
    /// All items in order, also those that hold.
    pub items: Vec<GateItem>,
    /// First and last day of the window of reports.
    pub window: (Date, Date),
    /// Sessions that enforcing senders would have deferred in the window, by MX ("" when unnamed).
    pub would_defer: BTreeMap<String, u64>,
    /// Hints from sources that are no evidence, in words.
    pub hints: Vec<String>,
    /// When the gate can open at the earliest, by what is known.
    pub earliest: Option<Timestamp>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// Every item holds.
    Safe,
    /// These items stand in the way; each names its proof.
    NotYet {
        /// Numbers of the items.
        obstacles: Vec<u8>,
    },
    /// Nothing stands in the way, but these items are not known.
    Unknown {
        /// Numbers of the items.
        missing: Vec<u8>,
    },
}
