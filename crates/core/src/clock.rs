//! The one way in which daemons learn the time.
//!
//! Core never asks: `now` is an argument everywhere. Rooms that run on their own (monitor, intake,
//! policy host) hold a [`Clock`]; the binary gives them the system's, the lab one that it moves.

use jiff::Timestamp;

/// Tells the wall-clock time in UTC.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// A clock that always tells the same time; for judgements "as of" a day and for tests.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}
