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
mod tests {
    use super::*;
    use mailward_core::tlsrpt::datagram;

    const DAY: Date = Date::constant(2028, 2, 29);
    const NEXT: Date = Date::constant(2028, 3, 1);

    fn told(name: &str, line: &str, helo: &str) -> Datagram {
        let text = serde_json::json!({"d": name, "pr": "v=TLSRPTv1", "policies": [{
            "policy-type": 2, "policy-string": [line], "f": 1, "failure-details": [{"c": 201, "h": helo}],
        }]});
        datagram::parse(text.to_string().as_bytes()).unwrap()
    }

    /// Sessions, failures, kinds and policies in increments.
    fn sums(increments: &[Increment]) -> (u64, u64, usize, usize) {
        let failures = increments.iter().flat_map(|i| &i.failures);
        (
            increments.iter().map(|i| i.successful + i.failed).sum(),
            failures.clone().map(|(_, count)| count).sum(),
            failures.count(),
            increments.len(),
        )
    }

    fn all(mut pending: Pending) -> Vec<Increment> {
        let mut increments = Vec::new();
        while !pending.is_empty() {
            increments.extend(pending.take(7));
        }
        assert_eq!(pending.weight, 0, "everything that was weighed is taken out");
        increments
    }

    #[test]
    fn counts_are_exact_and_texts_are_capped() {
        let mut pending = Pending::default();
        for n in 0..2 * KINDS_A_DAY {
            pending.add(DAY, TallySource::MailServer, &told("d.example", "one", &format!("mx at {n}")), 2);
        }
        for n in 0..2 * POLICIES_A_DAY {
            pending.add(DAY, TallySource::MailServer, &told("e.example", &format!("line {n}"), "mx"), 3);
        }
        pending.add(NEXT, TallySource::Mailward, &told("d.example", "one", "mx"), 1);
        assert_eq!(pending.take_lost(), 0);
        let increments = all(pending);
        let of = |name: &str, day| {
            let of: Vec<_> =
                increments.iter().filter(|i| i.domain.as_str() == name && i.day == day).cloned().collect();
            sums(&of)
        };
        assert_eq!(of("d.example", DAY), (4000, 4000, KINDS_A_DAY + 1, 1));
        assert_eq!(of("e.example", DAY), (600, 600, POLICIES_A_DAY + 1, POLICIES_A_DAY + 1));
        assert_eq!(of("d.example", NEXT), (1, 1, 1, 1));
    }

    #[test]
    fn what_is_put_back_adds_up_and_newer_records_stay() {
        let mut first = Pending::default();
        let old = told("d.example", "one", "mx");
        first.add(DAY, TallySource::MailServer, &old, 5);
        first.add(DAY, TallySource::MailServer, &told("e.example", "one", "mx"), 1);
        let refused = first.take(10);
        assert!(first.is_empty());
        let newer = Datagram { record: "v=TLSRPTv1; rua=mailto:new@d.example".into(), ..old };
        let mut second = Pending::default();
        second.add(DAY, TallySource::MailServer, &newer, 2);
        first.put_back(refused);
        first.merge(second);
        let increments = all(first);
        assert_eq!(sums(&increments), (8, 8, 2, 2));
        let d = increments.iter().find(|i| i.domain.as_str() == "d.example").unwrap();
        assert_eq!((d.failed, &d.record), (7, &newer.record));
    }

    #[test]
    fn memory_is_bounded_and_what_is_lost_is_known() {
        let mut pending = Pending::default();
        let long = "x".repeat(4000);
        for n in 0..40_000 {
            pending.add(
                DAY,
                TallySource::MailServer,
                &told(&format!("d{n}.example"), &format!("{n}{long}"), "mx"),
                1,
            );
        }
        assert!(pending.weight <= LIMIT + 1000, "{}", pending.weight);
        // A domain that is there goes on counting, without new texts.
        for n in 0..500 {
            pending.add(
                DAY,
                TallySource::MailServer,
                &told("d0.example", &format!("{n}"), &format!("{n}")),
                1,
            );
        }
        assert!(pending.weight <= LIMIT + 1000, "{}", pending.weight);
        let lost = pending.take_lost();
        assert!(lost > 1000, "{lost}");
        let increments = all(pending);
        assert_eq!(sums(&increments).0 + lost, 40_500);
        let first: Vec<_> = increments.into_iter().filter(|i| i.domain.as_str() == "d0.example").collect();
        assert_eq!(sums(&first), (501, 501, 2, 2));
    }
}
