//! The system's clock: the one place of the product that asks for the time.

use jiff::Timestamp;
use mailward_core::Clock;

/// Wall-clock time of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the clock itself
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
