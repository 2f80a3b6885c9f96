//! When which domain is looked at next. Pure: the time is an argument.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use mailward_core::PolicyDomain;
use tokio::time::Instant;

/// The domains and when they are due.
pub(super) struct Schedule {
    interval: Duration,
    soon_at_most_every: Duration,
    entries: BTreeMap<PolicyDomain, Entry>,
}

struct Entry {
    due: Instant,
    /// A look is under way.
    running: bool,
    /// A look was asked for while one was under way, which may have begun before the cause.
    again: bool,
    last: Option<Instant>,
}

impl Schedule {
    pub(super) fn new(interval: Duration, soon_at_most_every: Duration) -> Self {
        Self { interval, soon_at_most_every, entries: BTreeMap::new() }
    }

    pub(super) fn knows(&self, domain: &PolicyDomain) -> bool {
        self.entries.contains_key(domain)
    }

    pub(super) fn add(&mut self, domain: &PolicyDomain, due: Instant) {
        let entry = Entry { due, running: false, again: false, last: None };
        self.entries.entry(domain.clone()).or_insert(entry);
    }

    pub(super) fn keep_only(&mut self, held: &[PolicyDomain]) {
        let held: HashSet<&PolicyDomain> = held.iter().collect();
        self.entries.retain(|domain, _| held.contains(domain));
    }

    /// Makes it due at once.
    pub(super) fn now(&mut self, domain: &PolicyDomain, now: Instant) {
        if let Some(entry) = self.entries.get_mut(domain) {
            entry.again |= entry.running;
            entry.due = entry.due.min(now);
        }
    }

    pub(super) fn all_now(&mut self, now: Instant) {
        let domains: Vec<PolicyDomain> = self.entries.keys().cloned().collect();
        domains.iter().for_each(|domain| self.now(domain, now));
    }

    /// Makes it due, though not more often than strangers may cause a look.
    pub(super) fn soon(&mut self, domain: &PolicyDomain, now: Instant) {
        let every = self.soon_at_most_every.min(self.interval);
        if let Some(entry) = self.entries.get_mut(domain).filter(|entry| !entry.running) {
            let earliest = entry.last.map_or(now, |last| (last + every).max(now));
            entry.due = entry.due.min(earliest);
        }
    }

    /// The most overdue domain, marked as being looked at.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<PolicyDomain> {
        let waiting = self.entries.iter_mut().filter(|(_, entry)| !entry.running && entry.due <= now);
        let (domain, entry) = waiting.min_by_key(|(_, entry)| entry.due)?;
        entry.running = true;
        entry.again = false;
        Some(domain.clone())
    }

    /// When the next look is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.entries.values().filter(|entry| !entry.running).map(|entry| entry.due).min()
    }

    /// A look has ended.
    pub(super) fn done(&mut self, domain: &PolicyDomain, now: Instant) {
        let interval = self.interval;
        // Up to a tenth earlier, different for each domain: what began together drifts apart.
        let early = spread(domain, interval / 10);
        if let Some(entry) = self.entries.get_mut(domain) {
            entry.running = false;
            entry.last = Some(now);
            entry.due = if std::mem::take(&mut entry.again) { now } else { now + interval - early };
        }
    }

    /// A look ended without telling which: all that are marked are due again after the interval.
    pub(super) fn forget_running(&mut self, now: Instant) {
        for entry in self.entries.values_mut().filter(|entry| entry.running) {
            entry.running = false;
            entry.due = now + self.interval;
        }
    }
}

/// A time up to `range`, always the same for a domain.
pub(super) fn spread(domain: &PolicyDomain, range: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    domain.hash(&mut hasher);
    range.mul_f64((hasher.finish() % 1000) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> PolicyDomain {
        PolicyDomain::parse(text).unwrap()
    }

    #[test]
    fn domains_come_round() {
        let (a, b) = (domain("a.example"), domain("b.example"));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut schedule = Schedule::new(Duration::from_secs(1000), Duration::from_secs(300));
        schedule.add(&a, at(10));
        schedule.add(&b, at(5));
        assert_eq!(schedule.take_due(at(0)), None);
        assert_eq!(schedule.next_due(), Some(at(5)));
        assert_eq!(schedule.take_due(at(20)), Some(b.clone()), "the most overdue first");
        assert_eq!(schedule.take_due(at(20)), Some(a.clone()));
        assert_eq!(schedule.take_due(at(20)), None, "nothing is looked at twice at once");
        schedule.done(&a, at(30));
        assert_eq!(schedule.take_due(at(929)), None);
        assert_eq!(schedule.take_due(at(1030)), Some(a.clone()), "due again within the interval");

        schedule.now(&b, at(1030));
        schedule.done(&b, at(1040));
        assert_eq!(schedule.take_due(at(1040)), Some(b.clone()), "asked for while under way: once more");
        schedule.done(&b, at(1050));
        schedule.soon(&b, at(1060));
        assert_eq!(schedule.take_due(at(1349)), None, "strangers cannot make us probe at will");
        assert_eq!(schedule.take_due(at(1350)), Some(b.clone()));
        schedule.done(&b, at(1350));
        schedule.now(&b, at(1351));
        assert_eq!(schedule.take_due(at(1351)), Some(b.clone()), "a person can");

        schedule.keep_only(&[b]);
        assert!(!schedule.knows(&a));
    }
}
