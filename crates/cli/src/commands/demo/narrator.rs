//! Tells the story on the terminal.

use jiff::Timestamp;
use mailward_lab::scenario::Narrator;

use crate::output::{clean, faint, strong, wrap};

/// Prints steps, and faintly what happens in them.
#[derive(Debug, Default)]
pub struct Terminal {
    told: usize,
}

impl Narrator for Terminal {
    fn step(&mut self, number: usize, at: Timestamp, say: &str) {
        let gap = if self.told > 0 { "\n" } else { "" };
        self.told += 1;
        let heading = strong(format!("{number}. {}", at.strftime("%Y-%m-%d %H:%M")));
        anstream::println!("{gap}{heading}  {}", wrap(&clean(say), 22));
    }

    fn event(&mut self, at: Timestamp, text: &str) {
        anstream::println!(
            "     {}",
            faint(format!("{}  {}", at.strftime("%m-%d %H:%M"), wrap(&clean(text), 18)))
        );
    }
}
