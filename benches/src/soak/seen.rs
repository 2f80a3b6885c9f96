//! What was seen so far: counted by every connection while it asks, so that there is something to tell at
//! every moment.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Domains of which a wrong answer is shown.
const EXAMPLES: usize = 10;
/// Waits are counted by tenths of a millisecond, up to a second.
const WAITS: usize = 10_000;

/// The counts, which all connections share.
pub(super) struct Seen(Mutex<Counts>);

/// So far.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    pub(super) answers: u64,
    pub(super) wrong: u64,
    /// Answers by a policy that is not the first of its domain.
    pub(super) renewed: u64,
    /// The longest wait for a batch of answers.
    pub(super) longest: Duration,
    /// Wrong answers, one of a domain and of a few domains.
    pub(super) examples: Vec<String>,
    shown: BTreeSet<usize>,
    waits: Vec<u64>,
}

impl Seen {
    pub(super) fn nothing() -> Self {
        Self(Mutex::new(Counts {
            answers: 0,
            wrong: 0,
            renewed: 0,
            longest: Duration::ZERO,
            examples: Vec::new(),
            shown: BTreeSet::new(),
            waits: vec![0; WAITS],
        }))
    }

    /// As it is now.
    pub(super) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// An answer was right, by the first policy of its domain or by a later one.
    pub(super) fn right(&self, is_renewed: bool) {
        let mut counts = self.lock();
        counts.answers += 1;
        counts.renewed += u64::from(is_renewed);
    }

    /// An answer for a domain was wrong; whether an example of it is wanted.
    pub(super) fn wrong(&self, domain: usize) -> bool {
        let mut counts = self.lock();
        counts.answers += 1;
        counts.wrong += 1;
        counts.shown.len() < EXAMPLES && counts.shown.insert(domain)
    }

    /// An example of a wrong answer.
    pub(super) fn example(&self, example: String) {
        self.lock().examples.push(example);
    }

    /// A batch of answers took so long.
    pub(super) fn took(&self, wait: Duration) {
        let mut counts = self.lock();
        counts.longest = counts.longest.max(wait);
        let tenths = usize::try_from(wait.as_micros() / 100).unwrap_or(WAITS);
        counts.waits[tenths.min(WAITS - 1)] += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// What 99.9 of 100 batches do not exceed.
    pub(super) fn most(&self) -> Duration {
        let all: u64 = self.waits.iter().sum();
        let mut left = all - all / 1000;
        let at = self.waits.iter().position(|count| {
            let is_here = left <= *count;
            left = left.saturating_sub(*count);
            is_here
        });
        Duration::from_micros((at.unwrap_or(0) as u64 + 1) * 100)
    }
}
