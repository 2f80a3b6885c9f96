//! The policy daemon: a socketmap server that Postfix asks what a next hop must meet.
//!
//! Each connection is a task of its own that shares no lock with others: a slow domain delays nobody but
//! those who ask for it on the same connection. What Postfix is told comes from [`crate::policy`]; here
//! are sockets, frames and their limits.
//!
//! When I cannot know: Postfix is told `TEMP` with the reason, and mail waits. Bad framing closes the
//! connection; an odd key never does, for many mails share it.

mod connection;
mod listen;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mailward_duty::{Status, Stop};
use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::policy::Policies;
use connection::Connection;
pub use listen::Listen;
use listen::Listener;

/// Connections of one listener; more wait in the queue of the kernel.
const CONNECTIONS: usize = 1024;
/// A connection on which nothing happens is closed. Postfix closes after 100 seconds at most, and should
/// be the first.
const IDLE: Duration = Duration::from_secs(150);
/// How long connections may take to end what they have begun.
const LAST_ANSWERS: Duration = Duration::from_secs(8);
/// After a failed accept (no file descriptor is left).
const BREATH: Duration = Duration::from_millis(100);

/// The server, bound and not running yet.
#[derive(Debug)]
pub struct Policyd {
    listeners: Vec<Listener>,
    policies: Policies,
    status: Status,
    connections: usize,
    idle: Duration,
}

impl Policyd {
    /// Opens every place to listen at.
    ///
    /// # Errors
    /// The first that cannot be opened, by name.
    pub async fn bind(listen: &[Listen], policies: Policies) -> io::Result<Self> {
        let mut listeners = Vec::with_capacity(listen.len());
        for place in listen {
            listeners.push(Listener::bind(place).await?);
        }
        let status = Status::starting("policyd");
        Ok(Self { listeners, policies, status, connections: CONNECTIONS, idle: IDLE })
    }

    /// The same with another number of connections for each listener.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// The same with another time after which silent connections are closed.
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Where it listens: `unix:/path` or an address with its port.
    pub fn addresses(&self) -> Vec<String> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// How this duty is.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Answers until told to stop; questions under way are answered then.
    pub async fn run(self, stop: Stop) {
        self.status.works();
        let meters = Arc::new(Meters::new());
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            let limits = Limits { connections: self.connections, idle: self.idle };
            let (policies, stop, meters) = (self.policies.clone(), stop.clone(), Arc::clone(&meters));
            tasks.spawn(serve(listener, policies, limits, meters, stop));
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// What the server counts.
struct Meters {
    open: Gauge,
    accepted: Counter,
    malformed: Counter,
    full: Counter,
}

impl Meters {
    fn new() -> Self {
        Self {
            open: gauge!("mailward_policyd_connections"),
            accepted: counter!("mailward_policyd_connections_total"),
            malformed: counter!("mailward_policyd_malformed_total"),
            full: counter!("mailward_policyd_accept_paused_total"),
        }
    }
}

/// Of one listener.
#[derive(Clone, Copy)]
struct Limits {
    connections: usize,
    idle: Duration,
}

async fn serve(listener: Listener, policies: Policies, limits: Limits, meters: Arc<Meters>, mut stop: Stop) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        if places.available_permits() == 0 {
            meters.full.increment(1);
        }
        // Who comes when all places are taken waits in the kernel, and those who are here are served.
        let place = tokio::select! {
            () = stop.requested() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let stream = tokio::select! {
            () = stop.requested() => break,
            stream = listener.accept() => stream,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                sleep(BREATH).await;
                continue;
            }
        };
        meters.accepted.increment(1);
        meters.open.increment(1);
        let (policies, stop, meters) = (policies.clone(), stop.clone(), Arc::clone(&meters));
        connections.spawn(async move {
            let ended = stream.serve(policies, limits.idle, stop).await;
            if ended == connection::End::Malformed {
                meters.malformed.increment(1);
            }
            meters.open.decrement(1);
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    listener.remove();
    drop(listener);
    let ending = async { while connections.join_next().await.is_some() {} };
    // What is left then is dropped, and ends with that.
    let _ = timeout(LAST_ANSWERS, ending).await;
}

/// A connection of either kind.
enum Stream {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl Stream {
    async fn serve(self, policies: Policies, idle: Duration, stop: Stop) -> connection::End {
        match self {
            Self::Unix(stream) => Connection::new(stream, policies, idle).serve(stop).await,
            Self::Tcp(stream) => Connection::new(stream, policies, idle).serve(stop).await,
        }
    }
}
