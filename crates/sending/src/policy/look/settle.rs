//! What was found becomes the decision that is kept, and everybody is told.

use jiff::Timestamp;
use mailward_core::delivery::{DeliveryPolicy, Known, Level, NextHopFacts, Sts, decide};
use mailward_core::dns::DnsError;
use mailward_core::facts::FetchCause;
use mailward_core::mta_sts::StsPolicy;
use mailward_core::mta_sts::cache::NoPolicy;
use mailward_net::next_hop;
use tokio::time::{Instant, timeout, timeout_at};

use super::known::known_sts;
use super::words::tell_of_failure;
use super::{EARLY, LATE, Landed, Look, expiry, no_facts};
use crate::policy::entry::{Entry, moment, seconds};
use crate::policy::recent::Recent;
use crate::policy::walk::{Walked, walk};

/// After this the store is told again, for the sake of the last use.
const STORED_AGAIN: u32 = 43_200;

impl Look<'_> {
    /// Takes over what the walk found, and tells people when refreshing begins or ceases to fail.
    pub(super) fn take(&mut self, walked: &Walked) {
        let before = self.entry.failure.clone();
        self.trouble.clone_from(&walked.trouble);
        self.no_policy.clone_from(&walked.no_policy);
        walked.apply(&mut self.entry);
        self.inner.meters.fetch(walked.fetch);
        if walked.fetch.is_some_and(|result| result != "ok") && self.entry.held.is_some() {
            self.inner.meters.refresh_failures.increment(1);
        }
        tell_of_failure(&self.entry, before.as_ref(), self.entry.failure.as_ref());
    }

    /// Whether another policy is in force than the one that was decided by.
    pub(super) fn has_another_policy(&self, walked: Option<&Walked>) -> bool {
        let Some(walked) = walked else { return false };
        let now = self.inner.now();
        let then = self.entry.answered.as_ref().map(|answered| moment(answered.at));
        let fetched_since =
            self.entry.held.as_ref().is_some_and(|held| then.is_none_or(|t| held.cached.fetched_at >= t));
        let was_live = then.is_some_and(|then| self.entry.live(then).is_some());
        fetched_since
            || was_live != self.entry.live(now).is_some()
            || (walked.outcome.is_ok() && self.entry.live(now).is_none())
    }

    pub(super) async fn facts_in_time(&self) -> NextHopFacts {
        let key = &self.flight.key;
        let resolver = &self.inner.fetcher.outside().resolver;
        let asked = next_hop::look_up(resolver, &key.domain, key.port);
        timeout(LATE, asked).await.unwrap_or_else(|_| no_facts(key, DnsError::Timeout))
    }

    /// The decision that is kept. Before one that holds mail, the record is looked at (RFC 8461 §5.1).
    pub(super) async fn decide_for_good(
        &mut self,
        facts: &NextHopFacts,
        outcome: Option<Result<StsPolicy, NoPolicy>>,
        trace: &mut Vec<String>,
    ) -> DeliveryPolicy {
        let now = self.inner.now();
        let has_looked = outcome.is_some();
        let outcome = outcome.or_else(|| known_sts(&self.entry, now));
        let outcome = outcome.unwrap_or(Err(NoPolicy::FetchFailed(FetchCause::Timeout)));
        let decided = self.decided(&self.entry, facts, outcome.as_ref(), now);
        let holds_mail = decided.level == Level::Secure && decided.names.is_empty() && facts.mx.is_ok();
        let seen_lately = seconds(now) < self.entry.record_seen.saturating_add(60);
        if !holds_mail || has_looked || seen_lately || self.flight.others_aside {
            self.entry.decide(&decided, now);
            return decided;
        }
        let (start, until) = (self.start(true), (self.begun + LATE).max(Instant::now() + EARLY));
        let domain = self.flight.key.domain.clone();
        let walked = timeout_at(until, walk(&self.inner.fetcher, &domain, start)).await.ok();
        let decided = match walked {
            None => decided,
            Some(walked) => {
                self.take(&walked);
                trace.extend(walked.trace);
                self.decided(&self.entry, facts, walked.outcome.as_ref(), self.inner.now())
            }
        };
        self.entry.decide(&decided, self.inner.now());
        decided
    }

    pub(super) fn decided(
        &self,
        entry: &Entry,
        facts: &NextHopFacts,
        sts: Result<&StsPolicy, &NoPolicy>,
        now: Timestamp,
    ) -> DeliveryPolicy {
        let sts: Sts<'_> = sts;
        let known = Known {
            facts,
            sts,
            last: entry.branch.as_ref(),
            on_dns_failure: self.inner.options.on_dns_failure,
            over: self.over.as_ref(),
        };
        decide(&known, now)
    }

    /// Keeps what was found, and tells everybody.
    pub(super) fn land(mut self, before: &Entry, decided: Option<DeliveryPolicy>, trace: Vec<String>) {
        let now = self.inner.now();
        let at = seconds(now);
        let entry = &mut self.entry;
        entry.set_times(self.inner.recheck, now);
        let over = self.over.as_ref().and_then(|over| over.until).map(seconds);
        if let (Some(until), Some(answered)) = (over, &mut entry.answered) {
            answered.until = answered.until.min(until);
        }
        let is_stored = entry.key.port != 25
            || (entry.held.is_none() && entry.failure.is_none() && entry.branch.is_none())
            || (is_stored_like(before, entry) && at < entry.stored.saturating_add(STORED_AGAIN));
        if !is_stored {
            entry.stored = at;
        }
        let packed = entry.pack();
        self.inner.table.put(packed.clone(), at);
        if !is_stored {
            self.inner.unsaved.add(entry.key.domain.as_str());
        }
        if let Some(decided) = &decided {
            self.inner.meters.decided(decided);
            let mut trace = trace.clone();
            trace.extend(decided.reasons.iter().map(|reason| reason.sentence()));
            self.inner.recent.push(Recent {
                at: now,
                domain: entry.key.domain.clone(),
                port: entry.key.port,
                decision: decided.decision().to_owned(),
                level: decided.level.as_str().to_owned(),
                trace,
                took_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
        self.flight.tell(Landed { packed, decided, expires_at: expiry(entry), trace });
    }
}

/// Whether the store would not learn anything that matters.
fn is_stored_like(before: &Entry, entry: &Entry) -> bool {
    let fetched = |entry: &Entry| entry.held.as_ref().map(|held| held.cached.fetched_at);
    let failure = |entry: &Entry| entry.failure.as_ref().map(|f| (f.id.clone(), f.reason.clone()));
    let branch = |entry: &Entry| entry.branch.as_ref().map(|branch| (branch.dane, branch.mx.clone()));
    fetched(before) == fetched(entry) && failure(before) == failure(entry) && branch(before) == branch(entry)
}
