//! What a sender must do for a next hop: the complete table, and the rules one by one.
//!
//! A case is written in words (`world.rs`), and its outcome as Postfix would be told.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

mod dane;
mod hosts;
mod operator;
mod policies;
mod table;
mod world;
