//! What the cache counts: handles made once, so that a question costs an addition.

use mailward_core::delivery::{DeliveryPolicy, Level, Reason};
use metrics::{Counter, Gauge, counter, gauge};

use super::packed::{BY_NUMBER, LEVELS, number};

/// The counters and gauges of the cache.
pub(super) struct Meters {
    hits: [Counter; LEVELS - 1],
    misses: [Counter; LEVELS - 1],
    /// Questions that could not be found out in time, or for which there was no room.
    pub(super) late: Counter,
    pub(super) refused: Counter,
    pub(super) fetched: Counter,
    pub(super) fetch_failed: Counter,
    pub(super) fetch_invalid: Counter,
    pub(super) refresh_failures: Counter,
    pub(super) store_failures: Counter,
    pub(super) entries: Gauge,
    pub(super) bytes: Gauge,
    pub(super) flights: Gauge,
    pub(super) evicted: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        let answers = |from: &'static str| {
            BY_NUMBER.map(
                |level| counter!("mailward_policy_answers_total", "level" => level.as_str(), "from" => from),
            )
        };
        let fetches = |result: &'static str| counter!("mailward_policy_fetches_total", "result" => result);
        let unanswered = |why: &'static str| counter!("mailward_policy_unanswered_total", "reason" => why);
        Self {
            hits: answers("memory"),
            misses: answers("look"),
            late: unanswered("late"),
            refused: unanswered("too-many-lookups"),
            fetched: fetches("ok"),
            fetch_failed: fetches("failed"),
            fetch_invalid: fetches("invalid"),
            refresh_failures: counter!("mailward_policy_refresh_failures_total"),
            store_failures: counter!("mailward_policy_store_failures_total"),
            entries: gauge!("mailward_policy_cache_entries"),
            bytes: gauge!("mailward_policy_cache_bytes"),
            flights: gauge!("mailward_policy_lookups_under_way"),
            evicted: counter!("mailward_policy_cache_evicted_total"),
        }
    }

    /// An answer from memory.
    pub(super) fn hit(&self, level: Option<Level>) {
        if let Some(counter) = level.and_then(|level| self.hits.get(usize::from(number(level)))) {
            counter.increment(1);
        }
    }

    /// An answer that had to be looked up.
    pub(super) fn miss(&self, level: Option<Level>) {
        if let Some(counter) = level.and_then(|level| self.misses.get(usize::from(number(level)))) {
            counter.increment(1);
        }
    }

    /// A decision by a look, and its ground. Both sets of labels are closed.
    pub(super) fn decided(&self, decided: &DeliveryPolicy) {
        let reason = match decided.ground() {
            // The word of the reason why there is no policy.
            Some(Reason::NoSts(word)) => word.clone(),
            Some(reason) => reason.as_str().to_owned(),
            None => return,
        };
        let level = decided.level.as_str();
        counter!("mailward_policy_decisions_total", "level" => level, "reason" => reason).increment(1);
    }

    /// A fetch and what it brought.
    pub(super) fn fetch(&self, result: Option<&str>) {
        match result {
            Some("ok") => self.fetched.increment(1),
            Some("invalid") => self.fetch_invalid.increment(1),
            Some(_) => self.fetch_failed.increment(1),
            None => {}
        }
    }
}
