//! Brings what was counted into the store, about once a second, and runs the two threads.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mailward_duty::{Status, Stop};
use mailward_store::Store;
use tokio::time::{Instant, MissedTickBehavior};

use super::count::Counter;
use super::handover::{Handover, day};
use super::meters::Meters;
use super::pending::Pending;
use super::read::Reader;
use super::{Collector, Socket};

/// What is counted is durable after so long.
const EVERY: Duration = Duration::from_secs(1);
/// Domains in one transaction.
const AT_ONCE: usize = 2_000;
/// At the end, the store gets so long to take what is left.
const LAST: Duration = Duration::from_secs(8);

pub(super) async fn run(collector: Collector, mut stop: Stop) {
    let Collector { mut socket, handover, work, meters, store, clock, status } = collector;
    let counter = Counter::new(work, Arc::clone(&handover), Arc::clone(&meters), day(clock.as_ref()));
    let flush = Flush { store, meters: Arc::clone(&meters), status, advice: socket.advice() };
    let started = start(&socket, counter, |socket, stop| Reader {
        socket,
        stop,
        handover: Arc::clone(&handover),
        meters,
        clock,
    });
    let (threads, end) = match started {
        Ok(started) => started,
        Err(error) => {
            flush.status.fails(format!("the reading threads cannot be started: {error}"));
            return stop.requested().await;
        }
    };
    // The reader is told at once, also while the store keeps us waiting. The file goes first: what comes
    // after the last look into the queue shall fail where it is sent, not be lost in silence.
    let (mut ear, file, end) = (stop.clone(), socket.made.take(), Arc::new(end));
    let teller = tokio::spawn({
        let end = Arc::clone(&end);
        async move {
            ear.requested().await;
            drop(file);
            tell(&end);
        }
    });
    let mut backlog = Pending::default();
    flush.well();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.requested() => break,
            _ = ticks.tick() => {}
        }
        if threads.have_ended() {
            break;
        }
        flush.meters.waiting(handover.waiting());
        if let Some(counted) = ask(&handover, &mut stop).await {
            backlog.merge(counted);
        }
        flush.store(&mut backlog).await;
    }
    // Of two threads, one may have ended by itself.
    tell(&end);
    let rest = tokio::task::spawn_blocking(|| threads.join()).await;
    let (ended, rest) = rest.unwrap_or_else(|error| (Err(std::io::Error::other(error)), Pending::default()));
    drop(socket);
    backlog.merge(rest);
    flush.last(&mut backlog).await;
    if let Err(error) = ended {
        flush.status.fails(format!("sessions are not counted any more: {error}; restart"));
        stop.requested().await;
    }
    let _ = teller.await;
}

/// What the counting thread has; `None` when we are told to stop first, for then it comes with the rest.
async fn ask(handover: &Handover, stop: &mut Stop) -> Option<Pending> {
    let mut answer = handover.ask();
    tokio::select! {
        answer = &mut answer => answer.ok(),
        () = stop.requested() => {
            // It may have been given up to us already.
            answer.close();
            answer.try_recv().ok()
        }
    }
}

/// Tells the reading thread to end: it sees the end of its stream.
fn tell(end: &UnixStream) {
    // It may have ended already.
    let _ = end.shutdown(std::net::Shutdown::Both);
}

struct Threads {
    reader: JoinHandle<std::io::Result<()>>,
    counter: JoinHandle<Pending>,
}

impl Threads {
    fn have_ended(&self) -> bool {
        self.reader.is_finished() || self.counter.is_finished()
    }

    /// Waits for their end; how they ended, and what is left to store.
    fn join(self) -> (std::io::Result<()>, Pending) {
        let fault = || std::io::Error::other("a thread ended by a fault of ours");
        let read = self.reader.join().unwrap_or_else(|_| Err(fault()));
        match self.counter.join() {
            Ok(rest) => (read, rest),
            Err(_) => (Err(fault()), Pending::default()),
        }
    }
}

/// Starts both; the end of the stream is theirs.
fn start(
    socket: &Socket,
    counter: Counter,
    reader: impl FnOnce(std::os::unix::net::UnixDatagram, UnixStream) -> Reader,
) -> std::io::Result<(Threads, UnixStream)> {
    let (end, stop) = UnixStream::pair()?;
    let reader = reader(socket.datagrams.try_clone()?, stop);
    let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let counter = named("collector-count").spawn(move || counter.run())?;
    let reader = named("collector-read").spawn(move || reader.run())?;
    Ok((Threads { reader, counter }, end))
}

struct Flush {
    store: Store,
    meters: Arc<Meters>,
    status: Status,
    advice: Option<String>,
}

impl Flush {
    /// Stores everything, or as much as the store takes; the rest stays.
    async fn store(&self, backlog: &mut Pending) {
        let began = Instant::now();
        let any = !backlog.is_empty();
        while !backlog.is_empty() {
            let increments = backlog.take(AT_ONCE);
            if let Err(error) = self.store.add_tallies(&increments).await {
                backlog.put_back(increments);
                self.lose(backlog);
                self.status
                    .fails(format!("sessions are counted in memory, the store does not take them: {error}"));
                return;
            }
        }
        if any {
            metrics::histogram!("mailward_collector_flush_seconds").record(began.elapsed().as_secs_f64());
        }
        self.lose(backlog);
        self.well();
    }

    /// Stores what is left, trying again for a while.
    async fn last(&self, backlog: &mut Pending) {
        let deadline = Instant::now() + LAST;
        loop {
            let stored = tokio::time::timeout_at(deadline, self.store(backlog)).await;
            if stored.is_ok() && backlog.is_empty() {
                return;
            }
            if stored.is_err() || Instant::now() + EVERY >= deadline {
                tracing::error!("what was counted last could not be stored and is lost");
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn lose(&self, backlog: &mut Pending) {
        match backlog.take_lost() {
            0 => {}
            lost => self.meters.lost(lost),
        }
    }

    fn well(&self) {
        let lower_bound = self.meters.is_lower_bound().then(|| {
            "more came than could be kept since the start: tallies are a lower bound, see \
             mailward_collector_datagrams_total{result=\"dropped\"}"
                .to_owned()
        });
        match (&self.advice, lower_bound) {
            (None, None) => self.status.works(),
            (Some(reason), None) => self.status.works_but(reason),
            (None, Some(reason)) => self.status.works_but(reason),
            (Some(advice), Some(reason)) => self.status.works_but(format!("{advice}; and {reason}")),
        }
    }
}
