//! Both sides are asked side by side, and those who wait are served by what is known so far when one of them
//! is slow.

use jiff::Timestamp;
use mailward_core::delivery::{DeliveryPolicy, NextHopFacts, OnDnsFailure};
use mailward_core::dns::DnsError;
use mailward_core::facts::FetchCause;
use mailward_core::mta_sts::cache::NoPolicy;
use mailward_net::next_hop;
use tokio::time::sleep_until;

use super::known::known_sts;
use super::{EARLY, LATE, Landed, Look, Purpose, expiry, no_facts};
use crate::policy::entry::{Entry, NoSts, seconds};
use crate::policy::options::FirstContact;
use crate::policy::walk::{Start, Walked, walk};

/// How long something counts as failed that was not found out in time.
const MEANWHILE: u32 = 60;

impl Look<'_> {
    /// Asks both sides, and serves those who wait.
    pub(super) async fn gather(&mut self) -> (Option<NextHopFacts>, Option<Walked>) {
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
    pub(super) fn start(&self, ask: bool) -> Start {
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
}
