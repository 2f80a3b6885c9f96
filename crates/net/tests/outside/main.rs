//! The world as it may be: every way of asking, against peers that a test scripts byte by byte.
//!
//! The peers are written here from the RFCs and share no code with what they test. All of them live on
//! 127.0.0.0/8. Deadlines are short and configured; no test sleeps.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

mod dns;
mod fake_dns;
mod fake_https;
mod fake_smtp;
mod legacy_tls;
mod next_hop;
mod observe;
mod policy_host;
mod post;
mod smtp;
mod sts;
mod submit;
mod validation;
mod world;
