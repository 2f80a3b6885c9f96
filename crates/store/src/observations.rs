//! What our own monitor saw: facts and audits over time, and which findings came and went.

use jiff::Timestamp;
use mailward_core::audit::{Audit, Difference};
use mailward_core::facts::DomainFacts;
use mailward_core::rollout::ProbeRound;
use mailward_core::{Finding, PolicyDomain};
use serde::{Deserialize, Serialize};

use crate::{Result, Store};

/// The newest observation of a domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// What was seen.
    pub facts: DomainFacts,
    /// What was concluded.
    pub audit: Audit,
}

/// A finding over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackedFinding {
    /// As last seen.
    pub finding: Finding,
    /// First seen.
    pub since: Timestamp,
    /// Last seen.
    pub last_seen: Timestamp,
    /// When it was first missing again; `None` while it lasts.
    pub gone: Option<Timestamp>,
}

impl Store {
    /// Stores one observation with its probe round; returns what changed against the last one. The
    /// facts of the newest observation are kept whole, older ones as audit summary and probe round.
    pub async fn record_observation(
        &self,
        facts: &DomainFacts,
        audit: &Audit,
        round: &ProbeRound,
    ) -> Result<Difference> {
        let _ = (facts, audit, round);
        unimplemented!()
    }

    /// The newest observation.
    pub async fn latest_observation(&self, domain: &PolicyDomain) -> Result<Option<Observation>> {
        let _ = domain;
        unimplemented!()
    }

    /// Probe rounds from `from` on, oldest first.
    pub async fn probe_rounds(&self, domain: &PolicyDomain, from: Timestamp) -> Result<Vec<ProbeRound>> {
        let _ = (domain, from);
        unimplemented!()
    }

    /// Findings that last, or that went after `gone_after`; lasting ones first, worst first.
    pub async fn tracked_findings(
        &self,
        domain: &PolicyDomain,
        gone_after: Timestamp,
    ) -> Result<Vec<TrackedFinding>> {
        let _ = (domain, gone_after);
        unimplemented!()
    }
}
