//! Lets the store drop old tallies, once a day and at the start, beside the counting and never in its way.

use std::sync::Arc;

use jiff::Span;
use mailward_core::Clock;
use mailward_duty::{Stop, Turns};
use mailward_store::Store;

use super::handover::day;

/// Tallies are kept so long: the reporter asks for a record that the DNS does not give until they go, and
/// reports once made are kept elsewhere.
pub const KEPT_DAYS: i64 = 30;

/// Tidies until told to stop.
pub(super) async fn keep_tidy(store: Store, clock: Arc<dyn Clock>, stop: Stop) {
    let mut turns = Turns::new(stop);
    while let Some(today) = turns.next(|| day(clock.as_ref())).await {
        match store.drop_tallies(today.saturating_sub(Span::new().days(KEPT_DAYS))).await {
            Ok(dropped) => {
                if dropped > 0 {
                    tracing::info!(dropped, "tallies of more than {KEPT_DAYS} days ago are dropped");
                }
                turns.done(today);
            }
            Err(error) => tracing::warn!(%error, "old tallies cannot be dropped; tried again in a minute"),
        }
    }
}
