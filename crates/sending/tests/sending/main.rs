//! The sending side at work: a world on loopback, a real database, real sockets, and Postfix played by a
//! few lines that speak its protocol.
//!
//! Wall time is the world's and moves when a test says so. Where an answer is due after seconds, the test
//! waits for the answer, never for the time.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

mod asked;
mod endpoint;
mod handed_in;
mod hostile;
mod hostile_crowd;
mod hostile_hosts;
mod house;
#[path = "../../../store/tests/contract/postgres.rs"]
mod postgres;
mod remembered;
mod reporter;
mod sockets;
mod witness;
