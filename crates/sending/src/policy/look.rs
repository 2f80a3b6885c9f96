//! One lookup from its beginning to its end: what is known, what must be asked, what is told meanwhile,
//! and what is kept.
//!
//! DNS and MTA-STS are asked side by side. Who waits for the answer is served when both are there, or
//! earlier: after a second where what is known of MTA-STS may be told (a live policy, or a failure that is
//! remembered), and after four and a half seconds in any case. What was not found out by then counts as
//! failed for a minute, and the work goes on behind the answer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mailward_core::delivery::{
    DeliveryPolicy, Known, Level, NextHopFacts, OnDnsFailure, Override, Sts, decide,
};
use mailward_core::dns::DnsError;
use mailward_core::facts::FetchCause;
use mailward_core::mta_sts::StsPolicy;
use mailward_core::mta_sts::cache::{CachedPolicy, NoPolicy};
use mailward_net::next_hop;
use mailward_store::policies::RefreshFailure;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::entry::{Entry, Key, NoSts, seconds};
use super::flights::{Boarding, Flight};
use super::options::FirstContact;
use super::packed::Packed;
use super::recent::Recent;
use super::walk::{Start, Walked, walk};
use super::{Inner, Policies};

/// When those who wait are served where something old may be told.
const EARLY: Duration = Duration::from_secs(1);
/// When they are served in any case; Postfix is answered within five seconds.
const LATE: Duration = Duration::from_millis(4500);
/// How long anybody waits for a lookup, whatever became of it.
const PATIENCE: Duration = Duration::from_millis(4800);
/// How long a lookup may take in all: the wait for a turn, twenty seconds of fetch, the DNS around it.
const LONGEST: Duration = Duration::from_secs(75);
/// How long something counts as failed that was not found out in time.
const MEANWHILE: u32 = 60;
/// Facts older than this are asked for again before a decision that lasts.
const OLD_FACTS: Duration = Duration::from_secs(5);
/// After this the store is told again, for the sake of the last use.
const STORED_AGAIN: u32 = 43_200;
/// How long the store may take to tell of one domain.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

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
    pub(super) async fn look(&self, key: &Key, purpose: Purpose) -> Option<Arc<Landed>> {
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
        let told = timeout(PATIENCE, receiver.wait_for(Option::is_some)).await;
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
        Self { inner, flight, purpose, begun, entry, over, need_dns, need_record }
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
        self.land(&before, decided, trace);
    }

    /// Asks both sides, and serves those who wait.
    async fn gather(&mut self) -> (Option<NextHopFacts>, Option<Walked>) {
        let (key, inner) = (self.flight.key.clone(), self.inner);
        let (need_dns, need_record) = (self.need_dns, self.need_record);
        let start = self.start(false);
        let resolver = &inner.fetcher.outside().resolver;
        let dns = async {
            match need_dns {
                true => Some(next_hop::look_up(resolver, &key.domain, key.port).await),
                false => None,
            }
        };
        let sts = async {
            match need_record {
                true => Some(walk(&inner.fetcher, &key.domain, start).await),
                false => None,
            }
        };
        tokio::pin!(dns, sts);
        let (mut facts, mut walked) = (None, None);
        let (early, late) = (sleep_until(self.begun + EARLY), sleep_until(self.begun + LATE));
        tokio::pin!(early, late);
        let (mut is_early, mut is_late) = (true, true);
        loop {
            tokio::select! {
                found = &mut dns, if facts.is_none() => facts = Some(found),
                found = &mut sts, if walked.is_none() => walked = Some(found),
                () = &mut early, if is_early => {
                    is_early = false;
                    if self.may_be_told_early(facts.is_some(), walked.is_some()) {
                        self.tell_meanwhile(facts.as_ref().and_then(Option::as_ref), walked.as_ref().and_then(Option::as_ref));
                    }
                }
                () = &mut late, if is_late => {
                    is_late = false;
                    if !self.flight.is_aside() {
                        self.tell_meanwhile(facts.as_ref().and_then(Option::as_ref), walked.as_ref().and_then(Option::as_ref));
                    }
                }
            }
            if let (Some(_), Some(_)) = (&facts, &walked) {
                return (facts.flatten(), walked.flatten());
            }
            if let (Some(facts), true) = (&facts, self.does_not_wait_for_policies()) {
                self.tell_meanwhile(facts.as_ref(), None);
            }
        }
    }

    /// What the walk starts from; `ask` looks at the record although it was seen not long ago.
    fn start(&self, ask: bool) -> Start {
        let now = self.inner.now();
        let is_live = self.entry.live(now).is_some();
        Start {
            held: self.entry.held.clone(),
            failure: self.entry.failure.clone(),
            fetch_due: self.entry.fetch_due().filter(|_| is_live),
            // Where a policy is live the step itself would still believe the record.
            ask: ask || is_live,
            recheck: self.inner.recheck,
            may_stand_in: self.inner.options.on_dns_failure == OnDnsFailure::LastKnown,
        }
    }

    /// RFC 8461 §5.1: the policy of a domain met for the first time may be fetched behind the answer.
    fn does_not_wait_for_policies(&self) -> bool {
        self.inner.options.first_contact == FirstContact::Async
            && self.purpose == Purpose::Answer
            && self.entry.answered.is_none()
            && self.entry.held.is_none()
            && !self.flight.is_aside()
    }

    fn may_be_told_early(&self, has_facts: bool, has_walked: bool) -> bool {
        let now = self.inner.now();
        let sts = has_walked || self.entry.live(now).is_some() || self.entry.failure.is_some();
        let dns = has_facts || self.entry.dns_fails();
        sts && dns
    }

    /// Serves those who wait by what is known so far, and steps aside.
    fn tell_meanwhile(&mut self, facts: Option<&NextHopFacts>, walked: Option<&Walked>) {
        let now = self.inner.now();
        let at = seconds(now);
        let still_holds = self.entry.answered.as_ref().is_some_and(|answered| at < answered.until);
        if still_holds && self.purpose == Purpose::Refresh {
            self.flight.step_aside();
            return;
        }
        let mut entry = self.entry.clone();
        if let Some(walked) = walked {
            walked.apply(&mut entry);
        } else if self.need_record && entry.live(now).is_none() {
            (entry.no_sts, entry.sts_until) = (Some(NoSts::Failed), at.saturating_add(MEANWHILE));
        }
        let late = || no_facts(&self.flight.key, DnsError::Timeout);
        let owned;
        let facts = match facts {
            Some(facts) => facts,
            // The DNS was not asked since what it said still holds.
            None if !self.need_dns => {
                entry.set_times(self.inner.recheck, now);
                self.show(entry, None, now);
                return;
            }
            None => {
                owned = late();
                &owned
            }
        };
        let pending = NoPolicy::FetchFailed(FetchCause::Timeout);
        let outcome = walked.map(|walked| walked.outcome.clone());
        let outcome = outcome.or_else(|| known_sts(&entry, now)).unwrap_or(Err(pending));
        let decided = self.decided(&entry, facts, outcome.as_ref(), now);
        entry.decide(&decided, now);
        entry.set_times(self.inner.recheck, now);
        if let Some(answered) = &mut entry.answered {
            let until = answered.until.min(at.saturating_add(MEANWHILE)).max(at.saturating_add(1));
            (answered.until, answered.refresh) = (until, until);
        }
        self.show(entry, Some(decided), now);
    }

    fn show(&mut self, entry: Entry, decided: Option<DeliveryPolicy>, now: Timestamp) {
        let packed = entry.pack();
        self.inner.table.put(packed.clone(), seconds(now));
        let trace = vec!["not everything could be found out in time; the work goes on".to_owned()];
        self.flight.tell(Landed { packed, decided, expires_at: expiry(&entry), trace });
        self.flight.step_aside();
    }

    /// Takes over what the walk found, and tells people when refreshing begins or ceases to fail.
    fn take(&mut self, walked: &Walked) {
        let before = self.entry.failure.clone();
        walked.apply(&mut self.entry);
        self.inner.meters.fetch(walked.fetch);
        if walked.fetch.is_some_and(|result| result != "ok") && self.entry.held.is_some() {
            self.inner.meters.refresh_failures.increment(1);
        }
        tell_of_failure(&self.entry, before.as_ref(), self.entry.failure.as_ref());
    }

    /// Whether another policy is in force than the one that was decided by.
    fn has_another_policy(&self, walked: Option<&Walked>) -> bool {
        let Some(walked) = walked else { return false };
        let now = self.inner.now();
        let then = self.entry.answered.as_ref().map(|answered| super::entry::moment(answered.at));
        let fetched_since =
            self.entry.held.as_ref().is_some_and(|held| then.is_none_or(|t| held.cached.fetched_at >= t));
        let was_live = then.is_some_and(|then| self.entry.live(then).is_some());
        fetched_since
            || was_live != self.entry.live(now).is_some()
            || (walked.outcome.is_ok() && self.entry.live(now).is_none())
    }

    async fn facts_in_time(&self) -> NextHopFacts {
        let key = &self.flight.key;
        let resolver = &self.inner.fetcher.outside().resolver;
        let asked = next_hop::look_up(resolver, &key.domain, key.port);
        timeout(LATE, asked).await.unwrap_or_else(|_| no_facts(key, DnsError::Timeout))
    }

    /// The decision that is kept. Before one that holds mail, the record is looked at (RFC 8461 §5.1).
    async fn decide_for_good(
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

    fn decided(
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
    fn land(mut self, before: &Entry, decided: Option<DeliveryPolicy>, trace: Vec<String>) {
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

impl Inner {
    /// What is known of a next hop: from memory, or from the store where it may know more.
    async fn known(&self, key: &Key) -> Entry {
        if let Some(entry) = self.in_memory(key) {
            return entry;
        }
        let mut entry = Entry::new(key.clone());
        // The policy is the domain's, whatever the port.
        let common = Key { domain: key.domain.clone(), port: 25 };
        let known = match self.in_memory(&common).filter(|_| key.port != 25) {
            Some(known) => Some(known),
            None if self.may_be_stored() => {
                let asked = self.store.known_policy(&key.domain);
                match timeout(STORE_PATIENCE, asked).await {
                    Ok(Ok(row)) => row.map(Entry::from_row),
                    _ => {
                        self.meters.store_failures.increment(1);
                        None
                    }
                }
            }
            None => None,
        };
        if let Some(known) = known {
            if key.port == 25 {
                return known;
            }
            entry.held = known.held;
            entry.failure = known.failure;
            entry.record_seen = known.record_seen;
            (entry.no_sts, entry.sts_until) = (known.no_sts, known.sts_until);
        }
        entry
    }

    pub(super) fn in_memory(&self, key: &Key) -> Option<Entry> {
        // Copied under the lock, read outside: a long policy takes its time.
        let packed = self.table.with(key.domain.as_str().as_bytes(), key.port, |packed| packed.clone())?;
        Some(Entry::unpack(&packed, key.clone()))
    }
}

/// What holds of MTA-STS without asking, as owned values.
fn known_sts(entry: &Entry, now: Timestamp) -> Option<Result<StsPolicy, NoPolicy>> {
    entry.sts(now).map(|sts| sts.cloned())
}

/// Whether the store would not learn anything that matters.
fn is_stored_like(before: &Entry, entry: &Entry) -> bool {
    let fetched = |entry: &Entry| entry.held.as_ref().map(|held| held.cached.fetched_at);
    let failure = |entry: &Entry| entry.failure.as_ref().map(|f| (f.id.clone(), f.reason.clone()));
    let branch = |entry: &Entry| entry.branch.as_ref().map(|branch| (branch.dane, branch.mx.clone()));
    fetched(before) == fetched(entry) && failure(before) == failure(entry) && branch(before) == branch(entry)
}

fn expiry(entry: &Entry) -> Option<Timestamp> {
    entry.held.as_ref().map(|held| held.cached.expires_at())
}

/// The DNS did not tell.
pub(super) fn no_facts(key: &Key, why: DnsError) -> NextHopFacts {
    NextHopFacts { domain: key.domain.clone(), port: key.port, mx: Err(why), hosts: Vec::new() }
}

/// What is known of MTA-STS without asking, for people.
fn told_by_memory(entry: &Entry, now: Timestamp) -> Vec<String> {
    match (entry.live(now), entry.no_sts) {
        (Some(held), _) => {
            let CachedPolicy { policy, id, fetched_at, .. } = &held.cached;
            vec![format!("MTA-STS from the cache: mode {}, id {id}, fetched {fetched_at}", policy.mode)]
        }
        (None, Some(no)) => vec![format!("MTA-STS as seen before: {}", no.reason().sentence())],
        (None, None) => Vec::new(),
    }
}

/// One line about the mail servers.
pub(super) fn told_by_dns(facts: &NextHopFacts) -> Vec<String> {
    let names: Vec<String> = facts.hosts.iter().map(|host| host.host.to_string()).collect();
    let domain = &facts.domain;
    // Why there are none is told by the decision.
    let Ok(answer) = &facts.mx else { return Vec::new() };
    let status = format!("{:?}", answer.status).to_lowercase();
    vec![match answer.is_absent() {
        true => format!("MX {domain}: none ({status}); the domain itself is the host"),
        false if names.is_empty() => format!("MX {domain}: none that is a host ({status})"),
        false => format!("MX {domain}: {} ({status})", names.join(", ")),
    }]
}

/// Once a change, not once a try.
fn tell_of_failure(entry: &Entry, before: Option<&RefreshFailure>, after: Option<&RefreshFailure>) {
    let domain = &entry.key.domain;
    match (before, after) {
        (None, Some(failure)) if entry.held.is_some() => {
            tracing::warn!(%domain, reason = failure.reason, "a policy cannot be refreshed: {}", failure.detail);
        }
        (Some(before), Some(after)) if entry.held.is_some() && before.reason != after.reason => {
            tracing::warn!(%domain, reason = after.reason, "a policy still cannot be refreshed: {}", after.detail);
        }
        (Some(_), None) if entry.held.is_some() => {
            tracing::info!(%domain, "the policy can be refreshed again");
        }
        _ => {}
    }
}
