//! What a piece of work costs: wall time, processor time and the most memory a process ever had.
//!
//! Processor time and memory come from `/proc`, which tells them of this process and of another one
//! alike. A machine that does other work besides stretches the wall time; processor time hardly.

#![allow(clippy::disallowed_methods, reason = "a measurement asks for the real time")]

use std::fs;
use std::time::{Duration, Instant};

/// Ticks a second in `/proc/*/stat`. Linux shows 100 on every architecture (`USER_HZ`).
const TICKS: f64 = 100.0;

/// The cost of something that was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Seconds that went by.
    pub wall: f64,
    /// Seconds of processor time of the whole process, all threads.
    pub cpu: f64,
}

impl Cost {
    /// Adds the cost of another piece.
    pub fn add(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// A running measurement.
pub struct Stopwatch {
    begun: Instant,
    cpu: f64,
}

impl Stopwatch {
    /// Starts.
    pub fn start() -> Self {
        Self { begun: Instant::now(), cpu: cpu_seconds("self") }
    }

    /// The cost until now.
    pub fn cost(&self) -> Cost {
        Cost { wall: self.begun.elapsed().as_secs_f64(), cpu: cpu_seconds("self") - self.cpu }
    }

    /// The time until now.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// Processor seconds of a process so far: of itself, user and system.
pub fn cpu_seconds(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is the name in parentheses and may hold anything; behind it fields are plain.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

/// The most memory a process ever had resident, in MiB.
pub fn peak_memory(process: &str) -> f64 {
    memory(process, "VmHWM:")
}

/// The memory that a process has resident now, in MiB.
pub fn resident_memory(process: &str) -> f64 {
    memory(process, "VmRSS:")
}

fn memory(process: &str, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field)?.split_whitespace().next());
    line.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// The present moment.
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The system's clock.
pub struct RealClock;

impl mailward_core::Clock for RealClock {
    fn now(&self) -> jiff::Timestamp {
        now()
    }
}

/// A clock that runs faster than the time: what takes hours is seen in minutes. Waits are as long as ever.
pub struct FastClock {
    at: jiff::Timestamp,
    begun: Instant,
    speed: u32,
}

impl FastClock {
    /// Shows the present moment now, and runs so many times as fast from there.
    pub fn start(speed: u32) -> Self {
        Self { at: now(), begun: Instant::now(), speed }
    }
}

impl mailward_core::Clock for FastClock {
    fn now(&self) -> jiff::Timestamp {
        self.at.saturating_add(self.begun.elapsed() * self.speed).unwrap_or(self.at)
    }
}

/// The middle and the largest of some durations, in milliseconds.
pub fn median_and_worst(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let ms = |d: Option<&Duration>| d.map_or(0.0, |d| d.as_secs_f64() * 1000.0);
    (ms(times.get(times.len() / 2)), ms(times.last()))
}
