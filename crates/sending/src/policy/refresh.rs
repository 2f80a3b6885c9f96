//! Looks after what nobody asked for just now: each policy is fetched daily while its domain was used in
//! the last thirty days, so that it never runs out because a weekend was quiet (RFC 8461 §3.3, §10.2).
//!
//! One part of the table after the other is gone through, all of them in one round; what is due is
//! looked up a few at a time. A policy that cannot be refreshed stays, and is tried again after five
//! minutes, and less and less often up to an hour.

use std::time::Duration;

use jiff::SignedDuration;
use mailward_core::PolicyDomain;
use mailward_duty::Stop;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::entry::{Entry, Key, seconds};
use super::flights::Boarding;
use super::look::{Purpose, carry_out};
use super::packed::{Packed, at};
use super::table::SHARDS;
use super::{Inner, Policies};

/// Lookups at once.
const AT_ONCE: usize = 16;
/// What was not used for so long is not looked after, and then forgotten.
pub(super) const UNUSED: u32 = 30 * 86_400;
/// What has neither policy nor DANE is forgotten after a day; memory is not for that.
const UNUSED_NEGATIVE: u32 = 86_400;
/// How often the store forgets what is unused.
const FORGET_EVERY: Duration = Duration::from_secs(6 * 3600);
/// When it does so for the first time.
const FORGET_FIRST: Duration = Duration::from_secs(600);

impl Policies {
    /// Refreshes until told to stop.
    pub(super) async fn refresh(&self, mut stop: Stop) {
        let mut turns = interval(self.inner.options.round / SHARDS as u32);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = JoinSet::new();
        for shard in (0..SHARDS).cycle() {
            tokio::select! {
                () = stop.requested() => return,
                _ = turns.tick() => {}
            }
            if shard % 16 == 0 {
                self.inner.show_sizes();
            }
            tokio::select! {
                () = stop.requested() => return,
                () = self.begin_due(shard, &mut looks) => {}
            }
            while looks.try_join_next().is_some() {}
        }
    }

    /// Begins to look up what of a part is due, a few at a time.
    async fn begin_due(&self, shard: usize, looks: &mut JoinSet<()>) {
        for key in self.inner.due_in(shard) {
            while looks.len() >= AT_ONCE {
                looks.join_next().await;
            }
            if let Boarding::Begins(flight, _) = self.inner.flights.board(&key) {
                looks.spawn(carry_out(self.inner.clone(), flight, Purpose::Refresh));
            }
        }
    }

    /// Lets the store forget what is unused.
    pub(super) async fn forget(&self, mut stop: Stop) {
        let mut at = Instant::now() + FORGET_FIRST;
        loop {
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep_until(at) => at += FORGET_EVERY,
            }
            let since = self.inner.now().checked_sub(SignedDuration::from_secs(UNUSED.into()));
            let Ok(since) = since else { continue };
            match self.inner.store.forget_unused_policies(since).await {
                Ok(0) => {}
                Ok(forgotten) => tracing::info!(forgotten, "policies unused for thirty days are forgotten"),
                Err(error) => tracing::warn!(%error, "unused policies cannot be forgotten"),
            }
        }
    }
}

impl Inner {
    /// What of a part is due; forgets what nobody uses.
    fn due_in(&self, shard: usize) -> Vec<Key> {
        let now = seconds(self.now());
        let mut due = Vec::new();
        self.table.sweep(shard, |packed| {
            // A clock that went back makes nothing old.
            let unused = now.saturating_sub(packed.number(at::USED));
            let has_policy = packed.byte(at::MODE) != u8::MAX;
            if has_policy && unused < UNUSED && may_be_due(packed, now) {
                due.push((packed.domain_text().to_owned(), packed.port()));
            }
            let most = if has_policy || packed.number(at::FAILURE) > 0 { UNUSED } else { UNUSED_NEGATIVE };
            unused < most
        });
        let keys = due
            .into_iter()
            .filter_map(|(domain, port)| Some(Key { domain: PolicyDomain::parse(&domain).ok()?, port }));
        keys.filter(|key| self.in_memory(key).is_some_and(|entry| is_due(&entry, now))).collect()
    }
}

/// Without unpacking: no policy is due before four fifths of its life or twenty-two hours.
fn may_be_due(packed: &Packed, now: u32) -> bool {
    let (fetched, age) = (packed.number(at::FETCHED), packed.number(at::MAX_AGE));
    age >= 3600 && (now.saturating_sub(fetched) >= (age - age / 5).min(79_200) || fetched > now + 60)
}

/// Whether a policy is to be fetched now.
fn is_due(entry: &Entry, now: u32) -> bool {
    let is_old = entry.fetch_due().is_some_and(|due| now >= due);
    let is_ahead = entry.held.as_ref().is_some_and(|held| seconds(held.cached.fetched_at) > now + 60);
    let rests = entry.rest().is_some_and(|rest| rest.contains(&now));
    (is_old || is_ahead) && !rests
}
