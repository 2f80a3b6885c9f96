//! The health of all duties, for `/healthz`.

use mailward_receiving::Status;
use mailward_web::{DutyHealth, Health};

/// What is watched.
#[derive(Default)]
pub struct Duties(Vec<Status>);

impl Duties {
    /// Watches one more.
    pub fn watch(&mut self, status: Status) {
        self.0.push(status);
    }
}

impl Health for Duties {
    fn report(&self) -> Vec<DutyHealth> {
        self.0
            .iter()
            .map(|status| {
                let health = status.health();
                DutyHealth {
                    duty: health.duty.to_owned(),
                    ok: health.ok,
                    reason: health.reason.unwrap_or_default(),
                }
            })
            .collect()
    }
}
