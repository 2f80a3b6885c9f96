//! Brings what policyd sees itself to the tallies: policies that could not be had, MX hosts that a policy
//! leaves out, bogus answers, and what probes find.
//!
//! What a look says in a report is judged by `mailward_core::tlsrpt::seen`. [`Witness`] is the end that the
//! policy cache and the prober hold: it never waits, and tells of a domain at most once in five minutes,
//! however often that is asked for. [`Clerk`] looks up the TLS-RPT record, since who wants no reports is not
//! counted, and hands the rest to the collector.
//!
//! When I cannot know: mail does not depend on this. What finds the queue full, or whose record the DNS does
//! not give, is dropped and counted as dropped; so the tally is a lower bound. Without a collector there is
//! no witness.
//!
//! Reports by mail are deliveries too, and a report about them would cause the next one (RFC 8460 §3). Where
//! the reporter has handed over mail for a domain, what deliveries to it meet is not counted for an hour.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use mailward_core::tlsrpt::seen::Seen;
use mailward_core::{Clock, PolicyDomain};
use mailward_duty::Stop;
use mailward_net::Outside;
use mailward_store::tallies::TallySource;
use metrics::counter;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::collector::{Door, Own};
use crate::wanted::{Wanted, wanted};

/// What was seen on behalf of deliveries to a domain is told at most once in so long.
pub const PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// So long after report mail was handed over for a domain, what is seen of it may be that mail's doing: our
/// mail server tries at once, and again after minutes where it was told to come later.
pub const AFTER_MAIL: SignedDuration = SignedDuration::from_hours(1);
/// Domains remembered for either; while as many fail, others are dropped.
const DOMAINS: usize = 100_000;
/// What may wait for its record.
const QUEUE: usize = 1024;
/// Records asked for at once.
const QUESTIONS: usize = 16;
/// What becomes of everything seen, by source.
const SEEN: &str = "mailward_witness_seen_total";

/// The end for those who see. Cheap to clone, never waits.
#[derive(Clone)]
pub struct Witness {
    queue: Sender<Told>,
    told: Arc<Moments>,
    mailed: Arc<Moments>,
    clock: Arc<dyn Clock>,
}

/// Counts what was seen, where the domain wants reports.
pub struct Clerk {
    queue: Receiver<Told>,
    outside: Outside,
    door: Door,
}

struct Told {
    domain: PolicyDomain,
    source: TallySource,
    seen: Vec<Seen>,
}

/// A witness and its clerk.
pub fn open(outside: Outside, door: Door) -> (Witness, Clerk) {
    metrics::describe_counter!(SEEN, "Failures that mailward saw itself, by source and what became of them.");
    let (sender, receiver) = channel(QUEUE);
    let witness = Witness {
        queue: sender,
        told: Arc::default(),
        mailed: Arc::default(),
        clock: Arc::clone(&outside.clock),
    };
    (witness, Clerk { queue: receiver, outside, door })
}

impl Witness {
    /// Tells what a delivery met, unless the domain was told of a few minutes ago, or it may have been a report.
    pub(crate) fn met(&self, domain: &PolicyDomain, seen: Vec<Seen>) {
        let (source, now) = (TallySource::Mailward, self.clock.now());
        if self.mailed.is_within(AFTER_MAIL, domain, now) {
            return became(source, "report-mail");
        }
        if self.told.is_within(PAUSE, domain, now) {
            return;
        }
        match self.told.note(PAUSE, domain, now) {
            true => self.tell(domain, source, seen),
            false => became(source, "dropped"),
        }
    }

    /// Report mail is about to be handed over for this domain.
    pub(crate) fn report_mail(&self, domain: &PolicyDomain) {
        self.mailed.note(AFTER_MAIL, domain, self.clock.now());
    }

    /// Tells what a probe found.
    pub(crate) fn probed(&self, domain: &PolicyDomain, seen: Seen) {
        self.tell(domain, TallySource::Probe, vec![seen]);
    }

    fn tell(&self, domain: &PolicyDomain, source: TallySource, seen: Vec<Seen>) {
        if self.queue.try_send(Told { domain: domain.clone(), source, seen }).is_err() {
            became(source, "dropped");
        }
    }
}

/// When something last happened to a domain, as far back as it matters.
#[derive(Default)]
struct Moments(Mutex<HashMap<PolicyDomain, Timestamp>>);

impl Moments {
    fn is_within(&self, span: SignedDuration, domain: &PolicyDomain, now: Timestamp) -> bool {
        self.lock().get(domain).is_some_and(|at| within(span, *at, now))
    }

    /// Notes it; `false` when there is no room.
    fn note(&self, span: SignedDuration, domain: &PolicyDomain, now: Timestamp) -> bool {
        let mut moments = self.lock();
        if moments.len() >= DOMAINS {
            moments.retain(|_, at| within(span, *at, now));
        }
        if moments.len() >= DOMAINS {
            return false;
        }
        moments.insert(domain.clone(), now);
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PolicyDomain, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that went back makes nothing wait.
fn within(span: SignedDuration, at: Timestamp, now: Timestamp) -> bool {
    (SignedDuration::ZERO..span).contains(&now.duration_since(at))
}

impl Clerk {
    /// Counts until told to stop.
    pub async fn run(mut self, mut stop: Stop) {
        let mut questions = JoinSet::new();
        loop {
            let told = tokio::select! {
                () = stop.requested() => return,
                _ = questions.join_next(), if !questions.is_empty() => continue,
                told = self.queue.recv(), if questions.len() < QUESTIONS => told,
            };
            let Some(told) = told else { return };
            questions.spawn(count(self.outside.clone(), self.door.clone(), told));
        }
    }
}

async fn count(outside: Outside, door: Door, told: Told) {
    let Told { domain, source, seen } = told;
    let record = match wanted(&outside.resolver, &domain).await {
        Ok(Wanted::At(record)) => record.render(),
        Ok(Wanted::Nothing(_)) => return became(source, "no-record"),
        Err(error) => {
            tracing::debug!(%domain, %error, "not counted: no TLS-RPT record");
            return became(source, "no-answer");
        }
    };
    became(source, "counted");
    door.count(Own { domain, record, source, seen });
}

fn became(source: TallySource, result: &'static str) {
    let source = if source == TallySource::Probe { "probe" } else { "delivery" };
    counter!(SEEN, "source" => source, "result" => result).increment(1);
}
