//! The counting thread: parses what was read, and keeps sums until they are asked for.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use jiff::civil::Date;
use mailward_core::tlsrpt::datagram::parse;
use mailward_store::tallies::TallySource;

use super::cache::Cache;
use super::handover::{Batch, Handover, Work};
use super::meters::Meters;
use super::pending::Pending;

/// What the thread has.
pub(super) struct Counter {
    work: Receiver<Work>,
    handover: Arc<Handover>,
    meters: Arc<Meters>,
    /// Counts of one day at a time.
    cache: Cache,
    day: Date,
    pending: Pending,
    told_of_version: bool,
}

impl Counter {
    pub(super) fn new(work: Receiver<Work>, handover: Arc<Handover>, meters: Arc<Meters>, day: Date) -> Self {
        let (cache, pending) = (Cache::default(), Pending::default());
        Self { work, handover, meters, cache, day, pending, told_of_version: false }
    }

    /// Counts until there is no more; what was not asked for until then.
    pub(super) fn run(mut self) -> Pending {
        while let Ok(work) = self.work.recv() {
            match &work {
                Work::Datagrams(batch) => self.count(batch),
                Work::Ours(own, day) => self.pending.add_own(*day, own),
                Work::Look => {}
                Work::End => break,
            }
            self.handover.done(&work);
            if let Some(asked) = self.handover.asked()
                && let Err(unwanted) = asked.send(self.take())
            {
                self.pending = unwanted;
            }
        }
        let rest = self.take();
        // Whoever asks from now on hears that nobody answers.
        drop(self.work);
        drop(self.handover.asked());
        rest
    }

    fn count(&mut self, batch: &Batch) {
        if batch.day != self.day {
            self.close_day();
            self.day = batch.day;
        }
        let mut accepted = 0;
        let (day, pending) = (self.day, &mut self.pending);
        let mut add = |session: &_, times| pending.add(day, TallySource::MailServer, session, times);
        for bytes in batch.iter() {
            if self.cache.count(bytes, &mut add) {
                accepted += 1;
                continue;
            }
            match parse(bytes) {
                Ok(session) => {
                    accepted += 1;
                    if let Some(version) = &session.odd_version
                        && !std::mem::replace(&mut self.told_of_version, true)
                    {
                        tracing::warn!(
                            version,
                            "a mail server speaks another version of the protocol; counted all the same"
                        );
                    }
                    if let Some(unkept) = self.cache.add(bytes, session, &mut add) {
                        add(&unkept, 1);
                    }
                }
                Err(why) => self.meters.rejected(why, bytes),
            }
        }
        self.meters.accepted.increment(accepted);
    }

    /// Everything counted so far.
    fn take(&mut self) -> Pending {
        self.close_day();
        std::mem::take(&mut self.pending)
    }

    /// Gives what the cache counted to its day.
    fn close_day(&mut self) {
        let (day, pending) = (self.day, &mut self.pending);
        self.cache.take(|session, times| pending.add(day, TallySource::MailServer, session, times));
    }
}
