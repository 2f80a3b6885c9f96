//! What the reading thread hands to the counting one: datagrams in batches, up to a limit of bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use mailward_core::Clock;
use tokio::sync::oneshot;

use super::Own;
use super::pending::Pending;

/// Bytes that may wait to be counted.
const LIMIT: usize = 64 << 20;
/// What we saw ourselves is taken to weigh so much: a policy in it may be long, and few are.
const OURS: usize = 4096;

/// Datagrams as they were read, one after the other, all on one day.
pub(super) struct Batch {
    pub(super) day: Date,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    pub(super) fn new(day: Date) -> Self {
        Self { day, bytes: Vec::with_capacity(16 << 10), ends: Vec::with_capacity(64) }
    }

    pub(super) fn push(&mut self, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn datagrams(&self) -> u64 {
        self.ends.len() as u64
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.bytes[std::mem::replace(&mut start, *end)..*end])
    }

    /// In memory.
    pub(super) fn weight(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

/// What there is to do for the counting thread.
pub(super) enum Work {
    /// Count these.
    Datagrams(Batch),
    /// Count what we saw ourselves.
    Ours(Box<Own>, Date),
    /// Look whether somebody asks for what was counted.
    Look,
    /// That was all.
    End,
}

/// The giving end.
pub(super) struct Handover {
    work: Sender<Work>,
    waiting: AtomicUsize,
    asked: Mutex<Option<oneshot::Sender<Pending>>>,
}

impl Handover {
    pub(super) fn new() -> (Self, Receiver<Work>) {
        let (work, receiver) = channel();
        (Self { work, waiting: AtomicUsize::new(0), asked: Mutex::new(None) }, receiver)
    }

    /// Hands over a batch; `false` when too much waits, and the batch is lost.
    pub(super) fn give(&self, batch: Batch) -> bool {
        self.weigh(batch.weight()) && self.work.send(Work::Datagrams(batch)).is_ok()
    }

    /// Hands over what we saw ourselves; when too much waits, it is lost.
    pub(super) fn ours(&self, own: Own, day: Date) {
        if self.weigh(OURS) {
            // Nobody listens any more when we are about to end.
            let _ = self.work.send(Work::Ours(Box::new(own), day));
        }
    }

    pub(super) fn end(&self) {
        let _ = self.work.send(Work::End);
    }

    /// Asks the counting thread for what it counted; it answers before it goes on counting.
    pub(super) fn ask(&self) -> oneshot::Receiver<Pending> {
        let (sender, receiver) = oneshot::channel();
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        if self.work.send(Work::Look).is_err() {
            // It has ended: nobody will answer.
            drop(self.asked());
        }
        receiver
    }

    /// Whom to answer.
    pub(super) fn asked(&self) -> Option<oneshot::Sender<Pending>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// After the work was done.
    pub(super) fn done(&self, work: &Work) {
        let weight = match work {
            Work::Datagrams(batch) => batch.weight(),
            Work::Ours(..) => OURS,
            Work::Look | Work::End => 0,
        };
        self.waiting.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn weigh(&self, weight: usize) -> bool {
        let fits = self.waiting.fetch_add(weight, Ordering::Relaxed) + weight <= LIMIT;
        if !fits {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
        }
        fits
    }
}

/// The UTC day at this moment.
pub(super) fn day(clock: &dyn Clock) -> Date {
    clock.now().to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Date = Date::constant(2028, 2, 29);

    #[test]
    fn datagrams_stay_apart() {
        let mut batch = Batch::new(DAY);
        assert!(batch.is_empty());
        let datagrams: [&[u8]; 4] = [b"one", b"", b"three", &[0; 100_000]];
        datagrams.iter().for_each(|d| batch.push(d));
        assert_eq!(batch.iter().collect::<Vec<_>>(), datagrams);
        assert_eq!(batch.datagrams(), 4);
    }

    #[test]
    fn what_waits_has_a_limit() {
        let (handover, receiver) = Handover::new();
        let mut given = 0;
        loop {
            let mut batch = Batch::new(DAY);
            batch.push(&vec![0; 1 << 20]);
            if !handover.give(batch) {
                break;
            }
            given += 1;
        }
        assert!((32..=64).contains(&given), "{given}");
        assert!(handover.waiting() <= LIMIT);
        for work in receiver.try_iter() {
            handover.done(&work);
        }
        assert_eq!(handover.waiting(), 0);
    }
}
