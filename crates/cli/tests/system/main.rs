//! The whole product from outside: the real binary, in the lab's world, with real neighbours.
//!
//! Each module checks one part of what a person or a script can rely on: words on standard output, exit
//! codes, files and sockets. Nothing here reaches into the rooms. One test binary, because linking it
//! costs more than running it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "the binary under test runs on the system's clock, so tests do"
)]

mod browser;
mod check;
mod collector;
mod command;
mod config;
mod crash;
mod daemon;
mod explain;
mod held;
mod http;
mod lint;
mod mail_world;
mod policyd;
mod postgres;
mod reporter;
mod scenarios;
mod serve;
mod wait;
