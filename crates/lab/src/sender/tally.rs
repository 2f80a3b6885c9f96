//! What a sender counts, by UTC day and policy domain (RFC 8460 §4).

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::civil::Date;
use mailward_core::tlsrpt::PolicyType;

use super::tls::Failure;

/// The policy that sessions were judged by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Applied {
    pub policy_type: PolicyType,
    pub lines: Vec<String>,
    pub mx: Vec<String>,
}

impl Applied {
    pub(super) fn none() -> Self {
        Self { policy_type: PolicyType::NoPolicyFound, lines: vec![], mx: vec![] }
    }
}

/// Where a failure was met; nothing is known of it when the policy itself could not be had.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub mx: Option<String>,
    pub address: Option<IpAddr>,
}

/// Sessions under one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub successful: u64,
    pub failed: u64,
    pub details: BTreeMap<(Failure, Place), u64>,
}

/// Everything counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    days: BTreeMap<(Date, String), BTreeMap<Applied, Counts>>,
}

impl Tally {
    pub(super) fn success(&mut self, day: Date, domain: &str, applied: &Applied, sessions: u64) {
        self.counts(day, domain, applied).successful += sessions;
    }

    pub(super) fn failure(
        &mut self,
        day: Date,
        domain: &str,
        applied: &Applied,
        what: (Failure, Place),
        sessions: u64,
    ) {
        let counts = self.counts(day, domain, applied);
        counts.failed += sessions;
        *counts.details.entry(what).or_default() += sessions;
    }

    fn counts(&mut self, day: Date, domain: &str, applied: &Applied) -> &mut Counts {
        self.days.entry((day, domain.to_owned())).or_default().entry(applied.clone()).or_default()
    }

    /// The domains counted on a day, with the sessions under each policy.
    pub(super) fn of(&self, day: Date) -> Vec<(String, BTreeMap<Applied, Counts>)> {
        let on_day = self.days.iter().filter(|((d, _), _)| *d == day);
        on_day.map(|((_, domain), policies)| (domain.clone(), policies.clone())).collect()
    }
}
