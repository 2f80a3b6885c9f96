//! Checks and chores of the project. A library, so that `cargo test` runs the same checks.

pub mod tidy;
