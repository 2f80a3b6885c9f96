//! One lookup from its beginning to its end: what is known, what must be asked, what is told meanwhile,
//! and what is kept.
//!
//! DNS and MTA-STS are asked side by side. Who waits for the answer is served when both are there, or
//! earlier: after a second where what is known of MTA-STS may be told (a live policy, or a failure that is
//! remembered), and after four and a half seconds in any case. What was not found out by then counts as
//! failed for a minute, and the work goes on behind the answer.

mod known;
mod meanwhile;
mod settle;
mod words;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mailward_core::delivery::{DeliveryPolicy, NextHopFacts, Override};
use mailward_core::dns::DnsError;
use mailward_core::mta_sts::cache::NoPolicy;
use tokio::time::{Instant, timeout, timeout_at};

use super::entry::{Entry, Key, seconds};
use super::flights::{Boarding, Flight};
use super::packed::Packed;
use super::{Inner, Policies};
use words::told_by_memory;

pub(super) use words::told_by_dns;

/// When those who wait are served where something old may be told.
const EARLY: Duration = Duration::from_secs(1);
/// When they are served in any case; Postfix is answered within five seconds.
const LATE: Duration = Duration::from_millis(4500);
/// How long anybody waits for lookups, whatever became of them.
pub(super) const PATIENCE: Duration = Duration::from_millis(4800);
/// How long a lookup may take in all: the wait for a turn, twenty seconds of fetch, the DNS around it.
const LONGEST: Duration = Duration::from_secs(75);
/// Facts older than this are asked for again before a decision that lasts.
const OLD_FACTS: Duration = Duration::from_secs(5);

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A question that waits.
    Answer,
    /// Nobody waits; what is known still holds.
    Refresh,
    /// A person: the DNS is asked in any case.
    Explain,
}

/// What a lookup brought.
pub(super) struct Landed {
    /// What to answer.
    pub(super) packed: Packed,
    /// The decision, where one was taken and not kept.
    pub(super) decided: Option<DeliveryPolicy>,
    /// Until when the policy is in force.
    pub(super) expires_at: Option<Timestamp>,
    /// What was done.
    pub(super) trace: Vec<String>,
}

impl Policies {
    /// Looks, or joins who looks, and waits for what can be told; `None` when there is no room or no time.
    pub(super) async fn look(&self, key: &Key, purpose: Purpose, until: Instant) -> Option<Arc<Landed>> {
        let mut receiver = match self.inner.flights.board(key) {
            Boarding::Joined(receiver) => receiver,
            Boarding::Begins(flight, receiver) => {
                tokio::spawn(carry_out(Arc::clone(&self.inner), flight, purpose));
                receiver
            }
            Boarding::Full => {
                self.inner.meters.refused.increment(1);
                return None;
            }
        };
        let told = timeout_at(until, receiver.wait_for(Option::is_some)).await;
        let landed = told.ok().and_then(Result::ok).and_then(|landed| landed.clone());
        if landed.is_none() {
            self.inner.meters.late.increment(1);
        }
        landed
    }

    /// Looks behind an answer.
    pub(super) fn look_behind(&self, key: &Key) {
        if let Boarding::Begins(flight, _) = self.inner.flights.board(key) {
            tokio::spawn(carry_out(Arc::clone(&self.inner), flight, Purpose::Refresh));
        }
    }
}

/// Carries a lookup out.
pub(super) async fn carry_out(inner: Arc<Inner>, flight: Flight<Landed>, purpose: Purpose) {
    let domain = flight.key.domain.clone();
    let look = async {
        let begun = Instant::now();
        let entry = inner.known(&flight.key).await;
        Box::pin(Look::new(&inner, flight, entry, purpose, begun).run()).await;
    };
    if timeout(LONGEST, look).await.is_err() {
        tracing::warn!(%domain, "a lookup took too long and was given up");
    }
}

/// A lookup on its way.
struct Look<'a> {
    inner: &'a Inner,
    flight: Flight<Landed>,
    purpose: Purpose,
    begun: Instant,
    /// What is known.
    entry: Entry,
    over: Option<Override>,
    /// What stands in the way of a newer policy, or of any.
    trouble: Option<NoPolicy>,
    /// What was served instead of a policy.
    no_policy: Vec<u8>,
    /// What is asked.
    need_dns: bool,
    need_record: bool,
}

impl<'a> Look<'a> {
    fn new(
        inner: &'a Inner,
        flight: Flight<Landed>,
        mut entry: Entry,
        purpose: Purpose,
        begun: Instant,
    ) -> Self {
        let now = inner.now();
        let at = seconds(now);
        if purpose != Purpose::Refresh {
            entry.used = at;
        }
        // A clock that went back says nothing about age: look again.
        let ahead = |time: u32| time > at.saturating_add(60);
        let is_undecided = entry.answered.as_ref().is_none_or(|answered| answered.until == 0);
        let need_dns =
            purpose == Purpose::Explain || is_undecided || at >= entry.dns_soft() || ahead(entry.dns_at);
        let fetch_due = entry.live(now).and(entry.fetch_due()).is_some_and(|due| at >= due);
        // Mail is not held before the record was looked at (RFC 8461 §5.1).
        let holds_mail = entry.holds_mail() && at >= entry.record_seen.saturating_add(60);
        let need_record = !flight.others_aside
            && (entry.sts(now).is_none()
                || at >= entry.record_soft(inner.recheck, now)
                || ahead(entry.record_seen)
                || fetch_due
                || holds_mail);
        let over = inner.overrides.of(&flight.key.domain, now).map(|row| row.over);
        Self {
            inner,
            flight,
            purpose,
            begun,
            entry,
            over,
            trouble: None,
            no_policy: Vec::new(),
            need_dns,
            need_record,
        }
    }

    async fn run(mut self) {
        let (mut facts, walked) = self.gather().await;
        let before = self.entry.clone();
        if self.flight.is_aside() {
            // Others asked the DNS meanwhile, and may have been told more than we know.
            if let Some(entry) = self.inner.in_memory(&self.flight.key) {
                self.entry = entry;
            }
            facts = facts.filter(|_| self.begun.elapsed() < OLD_FACTS);
        }
        if let Some(walked) = &walked {
            self.take(walked);
        }
        if facts.is_none()
            && (self.flight.is_aside() || self.need_dns || self.has_another_policy(walked.as_ref()))
        {
            facts = Some(self.facts_in_time().await);
        }
        let mut trace = match &walked {
            Some(walked) => walked.trace.clone(),
            None => told_by_memory(&self.entry, self.inner.now()),
        };
        let outcome = walked.map(|walked| walked.outcome);
        let decided = match &facts {
            None => None,
            Some(facts) => {
                trace.extend(told_by_dns(facts));
                Some(self.decide_for_good(facts, outcome, &mut trace).await)
            }
        };
        if self.purpose != Purpose::Explain {
            let trouble = self.trouble.as_ref().map(|trouble| (trouble, self.no_policy.as_slice()));
            self.inner.testify(&self.entry, trouble, facts.as_ref(), decided.as_ref());
        }
        self.land(&before, decided, trace);
    }
}

fn expiry(entry: &Entry) -> Option<Timestamp> {
    entry.held.as_ref().map(|held| held.cached.expires_at())
}

/// The DNS did not tell.
pub(super) fn no_facts(key: &Key, why: DnsError) -> NextHopFacts {
    NextHopFacts { domain: key.domain.clone(), port: key.port, mx: Err(why), hosts: Vec::new() }
}
