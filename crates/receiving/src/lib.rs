//! The receiving side: serves policies, takes in reports, watches the domains held.
//!
//! Every duty is a value with `run(self, stop)`: it works until told to stop, ends what it has begun,
//! and returns. What it knows of itself it tells through a [`Status`], which the binary turns into
//! `/healthz`. Duties do not know each other; they meet in the database.

pub mod https;
pub mod intake;
pub mod monitor;
pub mod policy_host;
pub mod retention;

pub use mailward_duty::{self as duty, Health, Status, Stop, StopSignal};
