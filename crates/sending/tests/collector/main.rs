//! The collector at work: real sockets, a real database, datagrams as mail servers send them.
//!
//! The clock is the test's and moves when it says so. Where something comes about by itself within a
//! second, the test looks until it has.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

mod counted;
mod house;
mod killed;
mod queue;
mod samples;
