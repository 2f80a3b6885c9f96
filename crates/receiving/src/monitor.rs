//! Looks at every domain held from outside, as a sender would, and keeps what it saw.
//!
//! One look is `net::observe`, judged by `core::audit`; the store compares it with the look before.
//! Looks are spread over the interval, a few at a time, and the first after a start is due when the
//! last one before it grows old. A report of failures from a source that is no evidence, or a person,
//! may ask for a look at once.
//!
//! When I cannot know: what could not be tested is recorded as untested and makes a probe round
//! incomplete; a gap is never counted as green. Mail does not depend on this duty.

mod schedule;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mailward_core::audit::drift::{History, ServedOnce, drift};
use mailward_core::audit::{AuditOptions, Difference, audit, probe_round};
use mailward_core::facts::DomainFacts;
use mailward_core::{Clock, Finding, PolicyDomain, Severity};
use mailward_net::Outside;
use mailward_net::observe::{Depth, observe};
use mailward_store::{Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{Status, Stop};
use schedule::{Schedule, spread};

/// Between two looks at a domain when none is configured.
pub const INTERVAL: Duration = Duration::from_secs(3600);
/// Looks at once.
pub const AT_ONCE: usize = 8;
/// How often the list of domains is read again.
const LIST_EVERY: Duration = Duration::from_secs(2);
/// A look at one domain may take this long.
const LOOK_TIME: Duration = Duration::from_secs(600);
/// Between two looks that strangers' reports can cause.
const SOON_AT_MOST_EVERY: Duration = Duration::from_secs(300);

/// Looks on a schedule.
pub struct Monitor {
    looker: Arc<Looker>,
    interval: Duration,
    at_once: usize,
    requests: (mpsc::Sender<Ask>, mpsc::Receiver<Ask>),
    status: Status,
}

/// Asks a running monitor for a look. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MonitorHandle(mpsc::Sender<Ask>);

#[derive(Debug)]
enum Ask {
    /// By a person: now. `None` is every domain.
    Now(Option<PolicyDomain>),
    /// By an event: soon, not more often than every five minutes.
    Soon(PolicyDomain),
}

struct Looker {
    store: Store,
    outside: Outside,
    clock: Arc<dyn Clock>,
    depth: Depth,
}

/// What one look came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Against the look before.
    pub difference: Difference,
    /// The worst severity now.
    pub worst: Option<Severity>,
}

impl Monitor {
    /// A monitor of every domain held in this store.
    pub fn new(store: Store, outside: Outside, interval: Duration) -> Self {
        let clock = Arc::clone(&outside.clock);
        Self {
            looker: Arc::new(Looker { store, outside, clock, depth: Depth::Full }),
            interval: interval.max(Duration::from_secs(1)),
            at_once: AT_ONCE,
            requests: mpsc::channel(256),
            status: Status::starting("monitor"),
        }
    }

    /// The same without probing mail servers (port 25 closed by the provider, and known to be).
    #[must_use]
    pub fn without_smtp(mut self) -> Self {
        if let Some(looker) = Arc::get_mut(&mut self.looker) {
            looker.depth = Depth::WithoutSmtp;
        }
        self
    }

    /// For asking it to look.
    pub fn handle(&self) -> MonitorHandle {
        MonitorHandle(self.requests.0.clone())
    }

    /// How this duty is.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// One look at one domain, recorded.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn round(&self, domain: &PolicyDomain) -> Result<Look, StoreError> {
        self.looker.look(domain).await
    }

    /// Looks on schedule until told to stop; looks under way are given up, for nothing is lost.
    pub async fn run(mut self, mut stop: Stop) {
        let mut schedule = Schedule::new(self.interval, SOON_AT_MOST_EVERY);
        let mut looks: JoinSet<(PolicyDomain, Result<(), StoreError>)> = JoinSet::new();
        let mut version = None;
        // The database failed us; its next answer makes that good.
        let mut failed = false;
        let mut list = tokio::time::interval(LIST_EVERY);
        list.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while looks.len() < self.at_once {
                let Some(domain) = schedule.take_due(Instant::now()) else { break };
                let looker = Arc::clone(&self.looker);
                looks.spawn(async move {
                    let look = tokio::time::timeout(LOOK_TIME, looker.look(&domain)).await;
                    let look = look.unwrap_or_else(|_| {
                        tracing::warn!(%domain, "the look took too long and was given up");
                        Ok(Look { difference: Difference::default(), worst: None })
                    });
                    (domain, look.map(drop))
                });
            }
            let due = schedule.next_due().filter(|_| looks.len() < self.at_once);
            tokio::select! {
                () = stop.requested() => return,
                _ = list.tick() => match self.update(&mut schedule, version).await {
                    Ok(seen) => {
                        version = Some(seen);
                        if std::mem::take(&mut failed) {
                            self.status.works();
                        }
                    }
                    Err(error) => {
                        failed = true;
                        self.status.fails(error.to_string());
                    }
                },
                Some(ask) = self.requests.1.recv() => match ask {
                    Ask::Now(Some(domain)) => schedule.now(&domain, Instant::now()),
                    Ask::Now(None) => schedule.all_now(Instant::now()),
                    Ask::Soon(domain) => schedule.soon(&domain, Instant::now()),
                },
                () = sleep_until(due) => {}
                Some(done) = looks.join_next() => match done {
                    Ok((domain, Ok(()))) => {
                        schedule.done(&domain, Instant::now());
                        self.status.works();
                    }
                    Ok((domain, Err(error))) => {
                        schedule.done(&domain, Instant::now());
                        // What was seen is lost: not for a whole interval.
                        schedule.soon(&domain, Instant::now());
                        failed = true;
                        self.status.fails(error.to_string());
                    }
                    Err(error) => {
                        tracing::error!(%error, "a look failed");
                        schedule.forget_running(Instant::now());
                    }
                },
            }
        }
    }

    /// Reads the domains held when they changed.
    async fn update(&self, schedule: &mut Schedule, known: Option<i64>) -> Result<i64, StoreError> {
        let store = &self.looker.store;
        let version = store.domains_version().await?;
        if known == Some(version) {
            return Ok(version);
        }
        let held: Vec<PolicyDomain> = store.domains().await?.into_iter().map(|held| held.domain).collect();
        let now = self.looker.clock.now();
        for domain in &held {
            if schedule.knows(domain) {
                // Its policy changed: what the world sees of it changes as well.
                schedule.soon(domain, Instant::now());
                continue;
            }
            let age = match store.latest_observation(domain).await? {
                Some(seen) => Some(now.duration_since(seen.audit.checked_at)),
                None => None,
            };
            schedule.add(domain, Instant::now() + first_wait(age, self.interval, domain));
        }
        schedule.keep_only(&held);
        self.status.works();
        Ok(version)
    }
}

/// When a domain is first looked at: at once when it never was, else when the last look is as old as
/// the interval; overdue ones are spread over a tenth of it.
fn first_wait(age: Option<SignedDuration>, interval: Duration, domain: &PolicyDomain) -> Duration {
    let Some(age) = age else { return Duration::ZERO };
    // A clock that went back makes the last look seem to come.
    let age = Duration::try_from(age).unwrap_or_default();
    match interval.checked_sub(age) {
        Some(rest) if !rest.is_zero() => rest,
        _ => spread(domain, interval / 10),
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Looker {
    async fn look(&self, domain: &PolicyDomain) -> Result<Look, StoreError> {
        let began = Instant::now();
        let facts = observe(&self.outside, domain, self.depth).await;
        let at = facts.observed_at;
        let mut found = audit(&facts, &AuditOptions { at, smtp: self.depth == Depth::Full });
        found.add(self.drift(&facts, at).await?);
        let round = probe_round(&facts, at);
        let difference = self.store.record_observation(&facts, &found, &round).await?;
        for finding in &difference.added {
            let (id, subject, message) = (&finding.id, &finding.subject, &finding.message);
            tracing::warn!(%domain, id, severity = finding.severity.as_str(), subject, message, "new finding");
        }
        for finding in &difference.removed {
            tracing::info!(%domain, id = finding.id, subject = finding.subject, "finding is gone");
        }
        metrics::counter!("mailward_monitor_looks_total").increment(1);
        metrics::histogram!("mailward_monitor_look_seconds").record(began.elapsed().as_secs_f64());
        Ok(Look { difference, worst: found.summary.worst })
    }
}

impl Looker {
    /// What changed since the look before, and against the policies ever served.
    async fn drift(&self, facts: &DomainFacts, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
        let before = self.store.latest_observation(&facts.domain).await?;
        let served = self.store.served_policies(&facts.domain).await?;
        let served: Vec<ServedOnce<'_>> = served
            .iter()
            .rev()
            .map(|p| ServedOnce { id: &p.policy_id, body: &p.body, last_served: p.last_served })
            .collect();
        let history = History { served: &served, previous: before.as_ref().map(|b| &b.facts) };
        Ok(drift(history, facts, now))
    }
}

impl MonitorHandle {
    /// Asks for a look now, at one domain or at all. `false` when the monitor has ended.
    pub async fn look_now(&self, domain: Option<PolicyDomain>) -> bool {
        self.0.send(Ask::Now(domain)).await.is_ok()
    }

    /// Asks for a look because something happened. Never waits; when too much happens at once, some of
    /// it is forgotten, for the regular look comes anyway.
    pub fn look_soon(&self, domain: &PolicyDomain) {
        let _ = self.0.try_send(Ask::Soon(domain.clone()));
    }
}
