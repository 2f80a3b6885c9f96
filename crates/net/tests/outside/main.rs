//! The world as it may be: every way of asking, against peers that a test scripts byte by byte.
//!
//! The peers are written here from the RFCs and share no code with what they test. All of them live on
//! 127.0.0.0/8. Deadlines are short and configured; no test sleeps.

mod dns;
mod fake_dns;
mod fake_https;
mod fake_smtp;
mod policy_host;
mod smtp;
mod world;
