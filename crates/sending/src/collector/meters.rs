//! What is counted of the collector's own work, and what of it is worth a line in the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mailward_core::tlsrpt::datagram::Rejected;
use metrics::{Counter, Gauge};
use tokio::time::Instant;

/// One counter for every datagram, whatever became of it.
const DATAGRAMS: &str = "mailward_collector_datagrams_total";

/// Of each kind of rejected datagram, one is shown in so long.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// And this much of it.
const SAMPLE: usize = 200;

/// Counters, present from the start.
pub(super) struct Meters {
    pub(super) accepted: Counter,
    truncated: Counter,
    dropped: Counter,
    rejected: [Counter; Rejected::ALL.len()],
    lost: Counter,
    queue: Gauge,
    waiting: Gauge,
    samples: Mutex<[Option<Instant>; Rejected::ALL.len()]>,
    /// Since the start: for the health.
    missing: AtomicU64,
}

impl Meters {
    pub(super) fn new() -> Self {
        metrics::describe_counter!(DATAGRAMS, "Datagrams of mail servers, by what became of them.");
        metrics::describe_counter!(
            "mailward_collector_sessions_lost_total",
            "Sessions that were accepted and lost, because memory was full while the store failed."
        );
        metrics::describe_gauge!(
            "mailward_collector_queue_limit",
            "Datagrams that the socket's queue holds (net.unix.max_dgram_qlen)."
        );
        metrics::describe_gauge!(
            "mailward_collector_waiting_bytes",
            "Bytes of datagrams read and not yet counted."
        );
        let counter = |result: String| {
            let counter = metrics::counter!(DATAGRAMS, "result" => result);
            // A counter that was never touched is not shown.
            counter.increment(0);
            counter
        };
        let lost = metrics::counter!("mailward_collector_sessions_lost_total");
        lost.increment(0);
        Self {
            accepted: counter("accepted".to_owned()),
            truncated: counter("truncated".to_owned()),
            dropped: counter("dropped".to_owned()),
            rejected: Rejected::ALL.map(|why| counter(why.to_string())),
            lost,
            queue: metrics::gauge!("mailward_collector_queue_limit"),
            waiting: metrics::gauge!("mailward_collector_waiting_bytes"),
            samples: Mutex::new([None; Rejected::ALL.len()]),
            missing: AtomicU64::new(0),
        }
    }

    pub(super) fn queue_limit(&self, limit: Option<u64>) {
        self.queue.set(limit.unwrap_or(0) as f64);
    }

    pub(super) fn waiting(&self, bytes: usize) {
        self.waiting.set(bytes as f64);
    }

    /// Longer than the protocol allows, so that the end of it was not even read.
    pub(super) fn truncated(&self) {
        self.truncated.increment(1);
    }

    /// Read, and dropped since too much waited already.
    pub(super) fn dropped(&self, datagrams: u64) {
        self.dropped.increment(datagrams);
        self.missing.fetch_add(datagrams, Ordering::Relaxed);
    }

    /// Counted, and lost again.
    pub(super) fn lost(&self, sessions: u64) {
        self.lost.increment(sessions);
        self.missing.fetch_add(sessions, Ordering::Relaxed);
    }

    /// Whether any was dropped or lost since the start.
    pub(super) fn is_lower_bound(&self) -> bool {
        self.missing.load(Ordering::Relaxed) > 0
    }

    /// Not one that we can count; shown once in a while.
    pub(super) fn rejected(&self, why: Rejected, datagram: &[u8]) {
        let Some(at) = Rejected::ALL.iter().position(|known| *known == why) else { return };
        self.rejected[at].increment(1);
        let now = Instant::now();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples[at].is_none_or(|last| now.duration_since(last) >= SAMPLE_EVERY) {
            samples[at] = Some(now);
            let shown = &datagram[..datagram.len().min(SAMPLE)];
            tracing::warn!(
                reason = %why,
                length = datagram.len(),
                begins = %shown.escape_ascii(),
                "a datagram is not counted; others of this kind are not shown for a minute"
            );
        }
    }
}
