//! The policy daemon: how quick it answers what it knows, what a million names cost, and what it costs to
//! meet a domain for the first time.
//!
//! The server runs in a process of its own, so its processor time and memory are its alone. The yardstick
//! is the quickest server that can be written on the same runtime: it reads the same frames and answers
//! each with the same text, whatever was asked. Both are asked by the same client over the same sockets,
//! in turns.

mod bare;
mod cached;
mod client;
mod cold;
mod flat_dns;
mod large;
mod server;
pub mod stored;

use crate::table::{Row, Table};

pub use bare::serve as serve_bare;
pub use client::{Chance, Pipe, Place};
pub use server::{Server, Setting, serve};

/// Connections that ask at once.
const CONNECTIONS: usize = 64;

/// Measures and prints; `parts` are `cached`, `large` and `cold`, all when there is none.
pub fn run(parts: &[&str]) -> Result<(), String> {
    let parts = if parts.is_empty() { &["cached", "large", "cold"][..] } else { parts };
    for part in parts {
        let mut table = Table::default();
        let heading = match *part {
            "cached" => cached::measure(&mut table).map(|()| "Answers from memory, 64 connections"),
            "large" => large::measure(&mut table).map(|()| "A hundred thousand and a million policies"),
            "cold" => cold::measure(&mut table).map(|()| "Domains met for the first time, 64 connections"),
            other => Err(format!("{other} is no part of this bench: cached, large, cold")),
        }?;
        table.print(heading);
    }
    Ok(())
}

/// A line whose figure must be at most so large.
fn at_most(what: &str, value: f64, limit: f64, shown: impl Fn(f64) -> String) -> Row {
    Row {
        what: what.to_owned(),
        ours: shown(value),
        goal: format!("≤ {}, {}", shown(limit), if value <= limit { "met" } else { "missed" }),
        ..Row::default()
    }
}

/// A line whose ratio to the yardstick must be at most so large.
fn ratio_at_most(
    what: &str,
    (ours, yardstick): (f64, f64),
    limit: Option<f64>,
    shown: impl Fn(f64) -> String,
) -> Row {
    let ratio = ours / yardstick;
    let verdict = |limit: f64| format!("≤ {limit:.1} ×, {}", if ratio <= limit { "met" } else { "missed" });
    Row {
        what: what.to_owned(),
        ours: shown(ours),
        yardstick: shown(yardstick),
        ratio: format!("{ratio:.2}"),
        goal: limit.map(verdict).unwrap_or_default(),
    }
}

/// A line whose ratio to the yardstick must be at least so large.
fn rate_at_least(what: &str, (ours, yardstick): (f64, f64), limit: Option<f64>) -> Row {
    let ratio = ours / yardstick;
    let verdict = |limit: f64| format!("≥ {limit:.1} ×, {}", if ratio >= limit { "met" } else { "missed" });
    let shown = |rate: f64| format!("{}/s", crate::table::thousands(rate));
    Row {
        what: what.to_owned(),
        ours: shown(ours),
        yardstick: shown(yardstick),
        ratio: format!("{ratio:.2}"),
        goal: limit.map(verdict).unwrap_or_default(),
    }
}

/// Microseconds.
fn micros(value: f64) -> String {
    format!("{value:.1} µs")
}

/// Milliseconds.
fn millis(value: f64) -> String {
    format!("{value:.2} ms")
}
