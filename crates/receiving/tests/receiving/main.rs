//! The receiving side on real sockets, in the lab's world, with a real database in a file.
//!
//! No test sleeps: what takes effect by polling is either triggered or waited for by asking until a
//! deadline.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

mod client;
mod house;
mod import;
mod maildir;
mod monitor;
mod policy_host;
mod posts;
mod retention;
