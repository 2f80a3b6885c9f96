//! Between memory and the store: read everything at the start, write what was learned, read what others
//! wrote. Never in the way of an answer, and never a reason not to give one.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailward_core::PolicyDomain;
use mailward_duty::{Status, Stop};
use mailward_store::StoreError;
use mailward_store::policies::KnownPolicy;
use tokio::time::{Instant, timeout};

use super::entry::{Entry, Key, seconds};
use super::packed::at;
use super::table::SHARDS;
use super::{Inner, Policies};

/// Between two batches.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Rows written or read at once.
const BATCH: usize = 1000;
/// How often we look for what others wrote.
const READ_EVERY: Duration = Duration::from_secs(3);
/// How often the operator's words are looked at.
const OVERRIDES_EVERY: Duration = Duration::from_secs(1);
/// How long lookups may take that are under way when we are told to stop.
const LAST_LOOKUPS: Duration = Duration::from_secs(5);
/// How long the store may take for one batch before somebody should know.
const PATIENCE: Duration = Duration::from_secs(30);

/// Domains of which something was learned that the store does not have yet.
#[derive(Default)]
pub(super) struct Unsaved(Mutex<HashSet<Box<str>>>);

impl Unsaved {
    pub(super) fn add(&self, domain: &str) {
        self.lock().insert(domain.into());
    }

    fn take(&self, most: usize) -> Vec<Box<str>> {
        let mut domains = self.lock();
        let some: Vec<Box<str>> = domains.iter().take(most).cloned().collect();
        for domain in &some {
            domains.remove(domain);
        }
        if domains.is_empty() {
            // After a rush there is room for many.
            domains.shrink_to(most);
        }
        some
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Policies {
    /// Writes until told to stop, and once more then.
    pub(super) async fn write_behind(&self, mut stop: Stop) {
        loop {
            let goes_on = stop.sleep(WRITE_EVERY).await;
            if !goes_on {
                self.inner.last_lookups().await;
            }
            let mut is_much = false;
            while self.inner.write_batch().await {
                is_much = true;
            }
            if is_much {
                // Its page cache has the pages of all these rows, and rarely needs them again.
                self.inner.store.release_memory().await;
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Reads everything, then what others wrote, until told to stop.
    pub(super) async fn read_others(&self, mut stop: Stop) {
        let mut revision = 0;
        loop {
            let page = tokio::select! {
                () = stop.requested() => return,
                page = self.inner.store.known_policies_since(revision, BATCH as u32) => page,
            };
            match page {
                Ok((rows, last)) => {
                    let is_whole = rows.len() < BATCH;
                    revision = last;
                    rows.into_iter().for_each(|row| self.inner.absorb(row));
                    if !is_whole {
                        // Others have a turn between two pages.
                        tokio::task::yield_now().await;
                        continue;
                    }
                    if self.inner.set_loaded() {
                        let entries: u64 = self.inner.table.by_level().iter().sum();
                        tracing::info!(entries, "policies read from the store");
                        // Page caches full of rows that are in memory now.
                        self.inner.store.release_memory().await;
                    }
                }
                Err(error) => tracing::debug!(%error, "policies cannot be read from the store"),
            }
            if !stop.sleep(READ_EVERY).await {
                return;
            }
        }
    }

    /// Follows the operator's words until told to stop.
    pub(super) async fn follow_overrides(&self, mut stop: Stop) {
        loop {
            match self.inner.overrides.refresh(&self.inner.store).await {
                Ok(changed) => {
                    self.inner.forget_answers(&changed);
                    self.inner.troubles.reading(None);
                }
                Err(error) => self.inner.troubles.reading(Some(&error)),
            }
            if !stop.sleep(OVERRIDES_EVERY).await {
                return;
            }
        }
    }
}

impl Inner {
    /// Lets lookups end that answer the last questions; one that hangs is not waited for.
    async fn last_lookups(&self) {
        let until = Instant::now() + LAST_LOOKUPS;
        while self.flights.len() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes one batch; `true` when there may be more.
    async fn write_batch(&self) -> bool {
        let domains = self.unsaved.take(BATCH);
        if domains.is_empty() {
            return false;
        }
        let rows: Vec<KnownPolicy> = domains.iter().filter_map(|domain| self.row(domain)).collect();
        let written = match timeout(PATIENCE, self.store.put_known_policies(&rows)).await {
            Ok(written) => written,
            Err(_) => Err(StoreError::Unavailable("it does not answer".to_owned())),
        };
        match written {
            Ok(()) => {
                self.troubles.writing(None);
                domains.len() == BATCH
            }
            Err(error) => {
                self.meters.store_failures.increment(1);
                self.troubles.writing(Some(&error));
                // One row that it refuses must not keep the others out for ever.
                if !matches!(error, StoreError::Conflict(_)) {
                    domains.iter().for_each(|domain| self.unsaved.add(domain));
                }
                false
            }
        }
    }

    fn row(&self, domain: &str) -> Option<KnownPolicy> {
        let domain = PolicyDomain::parse(domain).ok()?;
        Some(self.in_memory(&Key { domain, port: 25 })?.to_row())
    }

    /// Takes over what the store has and memory has not, or has older.
    fn absorb(&self, row: KnownPolicy) {
        let now = self.now();
        let key = Key { domain: row.domain.clone(), port: 25 };
        let is_worth_it = row.policy.is_some() || row.failure.is_some() || row.branch.is_some();
        let stored = Entry::from_row(row);
        let Some(mut entry) = self.in_memory(&key) else {
            // At the start memory is filled as far as it goes; what has no room stays in the store.
            if is_worth_it && self.table.has_room() {
                self.table.put(stored.pack(), seconds(now));
            } else if is_worth_it {
                self.set_left_out();
            }
            return;
        };
        // Memory knows whole seconds.
        let fetched = |entry: &Entry| entry.held.as_ref().map(|held| seconds(held.cached.fetched_at));
        let decided = |entry: &Entry| entry.branch.as_ref().map(|branch| seconds(branch.decided_at));
        let has_newer_policy = fetched(&stored) > fetched(&entry);
        let has_newer_branch = decided(&stored) > decided(&entry);
        if has_newer_policy {
            entry.record_seen = entry.record_seen.max(stored.record_seen);
            (entry.held, entry.failure) = (stored.held, stored.failure);
            if let Some(answered) = &mut entry.answered {
                // To be decided again, by a question.
                answered.until = 0;
            }
        }
        if has_newer_branch {
            entry.branch = stored.branch;
        }
        if has_newer_policy || has_newer_branch {
            self.table.put(entry.pack(), seconds(now));
        }
    }

    /// Lets the next question about each of these decide again, whatever the port.
    fn forget_answers(&self, domains: &[String]) {
        if domains.is_empty() {
            return;
        }
        let domains: HashSet<&str> = domains.iter().map(String::as_str).collect();
        for shard in 0..SHARDS {
            self.table.sweep(shard, |packed| {
                if domains.contains(packed.domain_text()) {
                    packed.set(at::UNTIL, 0);
                }
                true
            });
        }
    }
}

/// What the store does not do now, as the duty tells it.
pub(super) struct Troubles {
    status: Status,
    now: Mutex<[Option<String>; 2]>,
}

impl Troubles {
    pub(super) fn new(status: Status) -> Self {
        Self { status, now: Mutex::default() }
    }

    fn reading(&self, error: Option<&StoreError>) {
        self.set(0, error.map(|e| format!("the operator's overrides cannot be read, those known hold: {e}")));
    }

    fn writing(&self, error: Option<&StoreError>) {
        self.set(1, error.map(|e| format!("policies are kept in memory only: {e}")));
    }

    /// Questions are answered all the same, so the duty works.
    fn set(&self, place: usize, trouble: Option<String>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now[place] = trouble;
        match now.iter().flatten().next() {
            Some(trouble) => self.status.works_but(trouble.clone()),
            None => self.status.works(),
        }
    }
}
