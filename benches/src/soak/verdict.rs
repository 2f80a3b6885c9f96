//! The table at the end, and whether everything was as it must be.

use std::time::Duration;

use super::seen::Counts;
use super::{LONGEST, RATE};
use crate::table::{Row, Table, thousands};

/// Memory may differ by so much between the first and the last third after settling.
const GROWTH: f64 = 1.05;
/// So much of the rate asked for must have been answered, or the machine was too slow to tell anything.
const KEPT: f64 = 0.98;

/// All that a soak brought.
pub(super) struct Outcome {
    /// How long questions were asked.
    pub(super) time: Duration,
    pub(super) seen: Counts,
    /// Resident memory once a second after settling, in MiB.
    pub(super) memory: Vec<f64>,
    /// Orders that the world was given.
    pub(super) changes: u64,
    /// Processor seconds of the daemon.
    pub(super) cpu: f64,
    /// Why it ended before its time.
    pub(super) ended: Option<String>,
}

impl Outcome {
    /// Prints it; an error when something was not as it must be.
    pub(super) fn judge(&self) -> Result<(), String> {
        let mut table = Table::default();
        let seen = &self.seen;
        let seconds = self.time.as_secs_f64();
        let plain = |what: &str, ours: String| Row { what: what.into(), ours, ..Row::default() };
        let goal = |what: &str, ours: String, goal: &str, is_met: bool| Row {
            goal: format!("{goal}, {}", if is_met { "met" } else { "missed" }),
            ..plain(what, ours)
        };
        table.row(plain("seconds", thousands(seconds)));
        table.row(plain("questions answered", thousands(seen.answers as f64)));
        let rate = seen.answers as f64 / seconds;
        let keeps_up = rate >= RATE as f64 * KEPT;
        let wanted = format!("≥ {}", thousands(RATE as f64 * KEPT));
        table.row(goal("answers a second", thousands(rate), &wanted, keeps_up));
        table.row(plain("policies changed, broken or healed", thousands(self.changes as f64)));
        table.row(plain("answers of a new policy seen in time", thousands(seen.renewed as f64)));
        let none_wrong = seen.wrong == 0;
        table.row(goal("wrong answers", thousands(seen.wrong as f64), "none", none_wrong));
        let in_time = seen.longest <= LONGEST;
        let longest = format!("{:.3} s", seen.longest.as_secs_f64());
        table.row(goal("longest wait", longest, "≤ 5 s", in_time));
        let most = seen.most().as_secs_f64() * 1_000.0;
        table.row(plain("99.9 of 100 within", format!("{most:.1} ms")));
        let grows = memory_row(&self.memory, &mut table);
        table.row(plain("processor time of the daemon", format!("{:.1} s", self.cpu)));
        table.print("Soak");
        for example in &seen.examples {
            crate::table::say(example);
        }
        match &self.ended {
            Some(why) => Err(format!("the soak ended before its time: {why}")),
            None if none_wrong && in_time && keeps_up && !grows => Ok(()),
            None => Err("not everything was as it must be".to_owned()),
        }
    }
}

/// Adds the line about memory; whether that grows.
fn memory_row(memory: &[f64], table: &mut Table) -> bool {
    let third = memory.len() / 3;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let (first, last) = (mean(&memory[..third]), mean(&memory[memory.len() - third..]));
    let what = "resident memory, last third beside the first".to_owned();
    if third == 0 {
        table.row(Row { what, goal: "does not grow, not judged: too short".into(), ..Row::default() });
        return false;
    }
    let grows = last > first * GROWTH;
    table.row(Row {
        what,
        ours: format!("{last:.1} MiB"),
        yardstick: format!("{first:.1} MiB"),
        ratio: format!("{:.2}", last / first),
        goal: format!("does not grow, {}", if grows { "missed" } else { "met" }),
    });
    grows
}
