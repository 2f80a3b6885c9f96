//! Lets the store drop what arrived long ago, once a day and at the start.
//!
//! What was read of a report stays: the sums, the report itself and where it came from. Its raw bytes are for
//! a second look, and nobody takes one after a year. Quarantine is for people to look into, and for a newer
//! reader of the same bytes.
//!
//! When I cannot know: while the store fails nothing is dropped, and nothing else depends on it.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mailward_core::Clock;
use mailward_store::{Store, StoreError};

use crate::Stop;
use crate::duty::Turns;

/// Raw bytes of reports are kept so long.
pub const RAW: SignedDuration = SignedDuration::from_hours(400 * 24);
/// What could not be read is kept so long.
pub const QUARANTINE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The duty.
pub struct Retention {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Retention {
    /// For this store.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Drops, day by day, until told to stop.
    pub async fn run(self, stop: Stop) {
        let mut turns = Turns::new(stop);
        while let Some(today) = turns.next(|| self.clock.now().to_zoned(TimeZone::UTC).date()).await {
            match self.drop().await {
                Ok((raw, quarantined)) => {
                    if raw + quarantined > 0 {
                        tracing::info!(
                            raw,
                            quarantined,
                            "what arrived long ago is dropped: raw bytes, quarantine"
                        );
                    }
                    turns.done(today);
                }
                Err(error) => {
                    tracing::warn!(%error, "what arrived long ago cannot be dropped; tried again in a minute");
                }
            }
        }
    }

    async fn drop(&self) -> Result<(u64, u64), StoreError> {
        let now = self.clock.now();
        let before = |age: SignedDuration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let raw = self.store.drop_raw(before(RAW)).await?;
        let quarantined = self.store.drop_quarantined(before(QUARANTINE)).await?;
        Ok((raw, quarantined))
    }
}
