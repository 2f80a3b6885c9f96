//! What was counted and is not stored yet, by day, domain and policy.
//!
//! Usually that is what came within a second. While the store fails it grows, so it has the same caps as
//! the store and a limit of its own. Beyond that limit no new texts are kept: sessions of domains that are
//! there still count, under a policy or a failure without texts; those of new domains are lost, and said
//! to be.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::datagram::{Datagram, SessionFailure, SessionPolicy};
use mailward_store::tallies::{Increment, KINDS_A_DAY, POLICIES_A_DAY, TallySource, without_texts};

use super::Own;

/// Bytes kept, about.
const LIMIT: usize = 64 << 20;
/// What an entry of any kind weighs beside its texts.
const ENTRY: usize = 200;

/// Sessions not stored yet.
#[derive(Default)]
pub(super) struct Pending {
    days: BTreeMap<Date, HashMap<PolicyDomain, DomainSum>>,
    weight: usize,
    lost: u64,
}

#[derive(Default)]
struct DomainSum {
    record: String,
    policies: Vec<PolicySum>,
    kinds: usize,
    weight: usize,
}

struct PolicySum {
    source: TallySource,
    policy: SessionPolicy,
    successful: u64,
    failed: u64,
    failures: HashMap<SessionFailure, u64>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// How many sessions were lost since it was last asked.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Adds a session that was told so many times.
    pub(super) fn add(&mut self, day: Date, source: TallySource, told: &Datagram, times: u64) {
        let Some(mut domain) = self.domain(day, &told.domain) else {
            self.lost = self.lost.saturating_add(times);
            return;
        };
        domain.see(&told.record);
        for session in &told.policies {
            let at = domain.policy(source, &session.policy);
            let sum = &mut domain.sum.policies[at];
            let sessions = if session.failed { &mut sum.failed } else { &mut sum.successful };
            *sessions = sessions.saturating_add(times);
            session.failures.iter().for_each(|failure| domain.failure(at, failure, times));
        }
    }

    /// Adds what we saw ourselves.
    pub(super) fn add_own(&mut self, day: Date, own: &Own) {
        let Some(mut domain) = self.domain(day, &own.domain) else {
            self.lost = self.lost.saturating_add(1);
            return;
        };
        domain.see(&own.record);
        for seen in &own.seen {
            let at = domain.policy(own.source, &seen.policy);
            let failed = &mut domain.sum.policies[at].failed;
            *failed = failed.saturating_add(u64::from(seen.session_failed));
            seen.failures.iter().for_each(|failure| domain.failure(at, failure, 1));
        }
    }

    /// Takes back what could not be stored.
    pub(super) fn put_back(&mut self, increments: Vec<Increment>) {
        for increment in increments {
            let Some(mut domain) = self.domain(increment.day, &increment.domain) else {
                self.lost = self.lost.saturating_add(increment.successful + increment.failed);
                continue;
            };
            // What was seen meanwhile is newer.
            if domain.sum.record.is_empty() {
                domain.see(&increment.record);
            }
            let at = domain.policy(increment.source, &increment.policy);
            let sum = &mut domain.sum.policies[at];
            sum.successful = sum.successful.saturating_add(increment.successful);
            sum.failed = sum.failed.saturating_add(increment.failed);
            for (failure, times) in &increment.failures {
                domain.failure(at, failure, *times);
            }
        }
    }

    /// Adds what somebody else counted later.
    pub(super) fn merge(&mut self, mut later: Self) {
        if self.is_empty() {
            later.lost = later.lost.saturating_add(self.lost);
            *self = later;
            return;
        }
        std::mem::swap(self, &mut later);
        self.lost = self.lost.saturating_add(later.lost);
        // As if it had been put back: what is here now is newer.
        while !later.is_empty() {
            self.put_back(later.take(1000));
        }
    }

    /// Takes out so many domains, of the first day first, as increments.
    pub(super) fn take(&mut self, domains: usize) -> Vec<Increment> {
        let mut taken = Vec::new();
        let Some(mut first) = self.days.first_entry() else { return taken };
        let day = *first.key();
        for (domain, sum) in first.get_mut().extract_if(|_, _| true).take(domains) {
            self.weight = self.weight.saturating_sub(sum.weight);
            taken.extend(sum.policies.into_iter().map(|policy| Increment {
                day,
                domain: domain.clone(),
                record: sum.record.clone(),
                source: policy.source,
                policy: policy.policy,
                successful: policy.successful,
                failed: policy.failed,
                failures: policy.failures.into_iter().collect(),
            }));
        }
        if first.get().is_empty() {
            first.remove();
        }
        taken
    }

    /// The sums of a domain; `None` when it is new and there is no room.
    fn domain(&mut self, day: Date, name: &PolicyDomain) -> Option<Adding<'_>> {
        let domains = self.days.entry(day).or_default();
        if !domains.contains_key(name) {
            if self.weight >= LIMIT {
                return None;
            }
            let weight = ENTRY + 2 * name.as_str().len();
            self.weight += weight;
            domains.insert(name.clone(), DomainSum { weight, ..DomainSum::default() });
        }
        let (name, sum) = (name.clone(), domains.get_mut(name)?);
        Some(Adding { name, sum, total: &mut self.weight })
    }
}

/// A domain that is added to.
struct Adding<'a> {
    name: PolicyDomain,
    sum: &'a mut DomainSum,
    total: &'a mut usize,
}

impl Adding<'_> {
    fn see(&mut self, record: &str) {
        if self.sum.record != record && self.weigh(record.len()) {
            record.clone_into(&mut self.sum.record);
        }
    }

    /// Where sessions under this policy are counted.
    fn policy(&mut self, source: TallySource, policy: &SessionPolicy) -> usize {
        if let Some(at) = self.position(source, policy) {
            return at;
        }
        let rest = without_texts(policy, &self.name);
        let texts = policy.policy_string.iter().chain(&policy.mx_host);
        let weight = ENTRY + texts.map(|text| text.len() + size_of::<String>()).sum::<usize>();
        let fits = self.sum.policies.len() < POLICIES_A_DAY && self.weigh(weight);
        let policy = if fits { policy.clone() } else { rest };
        self.position(source, &policy).unwrap_or_else(|| {
            let failures = HashMap::new();
            self.sum.policies.push(PolicySum { source, policy, successful: 0, failed: 0, failures });
            self.sum.policies.len() - 1
        })
    }

    fn position(&self, source: TallySource, policy: &SessionPolicy) -> Option<usize> {
        self.sum.policies.iter().position(|sum| sum.source == source && sum.policy == *policy)
    }

    fn failure(&mut self, policy: usize, failure: &SessionFailure, times: u64) {
        if let Some(count) = self.sum.policies[policy].failures.get_mut(failure) {
            *count = count.saturating_add(times);
            return;
        }
        let texts = [
            &failure.receiving_mx_hostname,
            &failure.receiving_mx_helo,
            &failure.additional_information,
            &failure.failure_reason_code,
        ];
        let weight = ENTRY + texts.into_iter().flatten().map(String::len).sum::<usize>();
        let fits = self.sum.kinds < KINDS_A_DAY && self.weigh(weight);
        let kind = if fits { failure.clone() } else { failure.other() };
        self.sum.kinds += usize::from(fits);
        let count = self.sum.policies[policy].failures.entry(kind).or_default();
        *count = count.saturating_add(times);
    }

    /// Whether there is room for texts of this weight; then it is taken.
    fn weigh(&mut self, weight: usize) -> bool {
        let fits = *self.total + weight <= LIMIT;
        if fits {
            *self.total += weight;
            self.sum.weight += weight;
        }
        fits
    }
}

#[cfg(test)]
mod tests;
