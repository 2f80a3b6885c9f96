//! Collects what mail servers tell of their sessions, and counts it (replaces a daemon of its own).
//!
//! A mail server sends one datagram of the libtlsrpt protocol for each delivery attempt, without waiting
//! and without trying again: what finds the socket's queue full is lost, and the queue is counted in
//! datagrams, not bytes. So one thread does nothing but read ([`read`]); a second one parses and counts
//! ([`count`]); and once a second a task adds what was counted to the store ([`flush`]), in one
//! transaction. None of the three waits for the next: between them stands memory, with a limit.
//!
//! A session belongs to the UTC day on which its datagram was read. That day goes with it, however late it
//! reaches the store.
//!
//! When I cannot know: mail does not depend on this duty. A datagram that cannot be read is counted under
//! its reason, and never ends anything. While the store fails, counting goes on in memory. What is lost
//! after all is told, for the tally is a lower bound then.

use std::path::PathBuf;
use std::sync::Arc;

use mailward_core::tlsrpt::seen::Seen;
use mailward_core::{Clock, PolicyDomain};
use mailward_duty::{Status, Stop};
use mailward_store::Store;
use mailward_store::tallies::TallySource;

mod cache;
mod count;
mod flush;
mod handover;
mod meters;
mod pending;
mod read;
mod socket;
mod tidy;

pub use socket::{BindError, MODE, PATH_LIMIT, QUEUE_ENOUGH, QUEUE_WANTED};
pub use tidy::KEPT_DAYS;

use handover::{Handover, Work};
use meters::Meters;
use socket::Socket;

/// Where datagrams come from: `[collector]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The socket's file. Not used when systemd passes a socket.
    pub socket: PathBuf,
    /// Its mode; whoever may write to it may tell of sessions.
    pub mode: u32,
    /// Its owner: a name or a number.
    pub owner: Option<String>,
    /// Its group: a name or a number.
    pub group: Option<String>,
}

/// A collector that has its socket, but does not read yet.
pub struct Collector {
    socket: Socket,
    handover: Arc<Handover>,
    work: std::sync::mpsc::Receiver<Work>,
    meters: Arc<Meters>,
    store: Store,
    clock: Arc<dyn Clock>,
    status: Status,
}

/// What mailward itself saw of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The domain reported to.
    pub domain: PolicyDomain,
    /// Its TLS-RPT record, as just looked up.
    pub record: String,
    /// On a delivery's behalf, or by a probe.
    pub source: TallySource,
    /// Under which policies, and what.
    pub seen: Vec<Seen>,
}

/// A way in for what mailward itself saw. Cheap to clone, never waits.
#[derive(Clone)]
pub struct Door {
    handover: Arc<Handover>,
    clock: Arc<dyn Clock>,
}

impl Collector {
    /// Takes the datagram socket that systemd passed, or makes one. Install the recorder of metrics before.
    ///
    /// # Errors
    /// A [`BindError`] that names the path and what to do.
    pub fn bind(options: &Options, store: Store, clock: Arc<dyn Clock>) -> Result<Self, BindError> {
        let socket = Socket::open(options)?;
        let (handover, work) = Handover::new();
        let meters = Arc::new(Meters::new());
        meters.queue_limit(socket.queue_limit);
        let status = Status::starting("collector");
        Ok(Self { socket, handover: Arc::new(handover), work, meters, store, clock, status })
    }

    /// Where it listens, for people.
    pub fn place(&self) -> String {
        self.socket.place()
    }

    /// How many datagrams may wait in the socket, as far as the kernel tells.
    pub fn queue_limit(&self) -> Option<u64> {
        self.socket.queue_limit
    }

    /// For what mailward itself saw. It is marked as such in the store.
    pub fn door(&self) -> Door {
        Door { handover: Arc::clone(&self.handover), clock: Arc::clone(&self.clock) }
    }

    /// How this duty is.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Collects until told to stop; then reads what is queued, counts it, stores it, and returns.
    pub async fn run(self, stop: Stop) {
        let tidy = tidy::keep_tidy(self.store.clone(), Arc::clone(&self.clock), stop.clone());
        let tidy = tokio::spawn(tidy);
        flush::run(self, stop).await;
        // What it was about to drop is dropped another time.
        tidy.abort();
    }
}

impl Door {
    /// Counts it on the present UTC day. How often for a domain is the caller's matter.
    pub fn count(&self, own: Own) {
        self.handover.ours(own, handover::day(self.clock.as_ref()));
    }
}
