//! The table that is printed: what was measured, ours, the yardstick, their ratio and the goal.

use std::io::Write as _;

/// One line.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Our figure with its unit.
    pub ours: String,
    /// The figure of the yardstick in the same run, if there is one.
    pub yardstick: String,
    /// Ours divided by the yardstick.
    pub ratio: String,
    /// What we aim at, and whether this run met it.
    pub goal: String,
}

/// Lines under one heading.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// A rate of ours beside that of a yardstick: the larger, the better.
    pub fn rate(&mut self, what: &str, ours: f64, yardstick: f64, unit: &str, goal: f64) {
        self.rows.push(Row {
            what: what.to_owned(),
            ours: format!("{} {unit}", thousands(ours)),
            yardstick: format!("{} {unit}", thousands(yardstick)),
            ratio: format!("{:.2}", ours / yardstick),
            goal: at_least(ours, goal),
        });
    }

    /// Anything else.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Prints the lines under a heading.
    pub fn print(&self, heading: &str) {
        let head = Row {
            what: heading.to_owned(),
            ours: "ours".into(),
            yardstick: "yardstick".into(),
            ratio: "ratio".into(),
            goal: "goal".into(),
        };
        let width = |of: fn(&Row) -> &String| {
            self.rows.iter().chain([&head]).map(|r| of(r).chars().count()).max().unwrap_or(0)
        };
        let (a, b, c, d) =
            (width(|r| &r.what), width(|r| &r.ours), width(|r| &r.yardstick), width(|r| &r.ratio));
        for (at, row) in [&head].into_iter().chain(&self.rows).enumerate() {
            let line = format!(
                "{:a$}  {:>b$}  {:>c$}  {:>d$}  {}",
                row.what, row.ours, row.yardstick, row.ratio, row.goal
            );
            say(line.trim_end());
            if at == 0 {
                say(&"-".repeat(line.chars().count().max(a + b + c + d + 12)));
            }
        }
        say("");
    }
}

/// Prints a line. Nobody may be there to read it any more, which is no reason to end.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// "≥ 3 000, met" or "≥ 3 000, missed"; empty for no goal.
fn at_least(value: f64, goal: f64) -> String {
    if goal <= 0.0 {
        return String::new();
    }
    format!("≥ {}, {}", thousands(goal), if value >= goal { "met" } else { "missed" })
}

/// A number rounded to whole, in groups of three.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
