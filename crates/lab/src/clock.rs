//! The world's time: one clock for certificates, signatures, senders and the product under test.
//!
//! It stands still unless it is moved, so that a scenario can live through a month in a second and
//! every run sees the same moments. A demonstration may let it tick.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use mailward_core::Clock;

/// A clock that the world moves.
#[derive(Debug)]
pub struct WorldClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    base: Timestamp,
    /// Set while the clock ticks: the real moment that `base` belongs to.
    ticking_since: Option<tokio::time::Instant>,
}

impl WorldClock {
    /// Stands at `at` until it is advanced.
    pub fn frozen(at: Timestamp) -> Self {
        Self { state: Mutex::new(State { base: at, ticking_since: None }) }
    }

    /// Moves forward. A negative duration moves backward: clocks in the world do that, too.
    pub fn advance(&self, by: SignedDuration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.base = state.base.saturating_add(by).unwrap_or(state.base);
    }

    /// Sets the time.
    pub fn set(&self, to: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.base = to;
        if state.ticking_since.is_some() {
            state.ticking_since = Some(tokio::time::Instant::now());
        }
    }

    /// From now on the clock ticks in real time, from where it stands.
    pub fn tick(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ticking_since.is_none() {
            state.ticking_since = Some(tokio::time::Instant::now());
        }
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.ticking_since {
            None => state.base,
            Some(since) => {
                let passed = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::ZERO);
                state.base.saturating_add(passed).unwrap_or(state.base)
            }
        }
    }
}

/// Lets rustls judge certificates by the world's time.
#[derive(Debug)]
pub(crate) struct TlsTime(pub std::sync::Arc<WorldClock>);

impl rustls::time_provider::TimeProvider for TlsTime {
    fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_and_moves_when_told() {
        let clock = WorldClock::frozen(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        clock.advance(SignedDuration::from_hours(6));
        assert_eq!(clock.now().as_second(), 6 * 3600);
    }

    #[test]
    fn it_ticks_when_told() {
        let clock = WorldClock::frozen(Timestamp::UNIX_EPOCH);
        clock.tick();
        let first = clock.now();
        while clock.now() == first {
            std::thread::yield_now();
        }
        clock.set(Timestamp::UNIX_EPOCH);
        assert!(clock.now() < Timestamp::UNIX_EPOCH + SignedDuration::from_secs(60));
    }
}
