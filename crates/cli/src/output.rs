//! The terminal as a first-class page: the same words, order and ids as the dashboard.
//!
//! Colour only underlines what a word and a shape say already. Text from outside is made harmless
//! before it is printed.

pub mod table;

use anstyle::{AnsiColor, Style};
use mailward_core::Severity;
use serde::Serialize;

use crate::args::Color;

/// Decides about colours for standard output once, at the start.
pub fn set_color(color: Color) {
    match color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// Text in a style.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Bold.
pub fn strong(text: impl std::fmt::Display) -> String {
    styled(Style::new().bold(), text)
}

/// Dim.
pub fn faint(text: impl std::fmt::Display) -> String {
    styled(Style::new().dimmed(), text)
}

/// The style of a severity.
pub fn severity_style(severity: Severity) -> Style {
    let color = match severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Untested => AnsiColor::Magenta,
        Severity::Info => AnsiColor::Cyan,
    };
    Style::new().fg_color(Some(color.into()))
}

/// The word of a severity as lists show it, padded to six columns.
pub fn severity_word(severity: Severity) -> String {
    let word = match severity {
        Severity::Error => "error",
        Severity::Warning => "warn",
        Severity::Untested => "?",
        Severity::Info => "info",
    };
    styled(severity_style(severity), format!("{word:<6}"))
}

/// Text from outside for a terminal: control characters and bidirectional overrides become visible.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                '\u{fffd}'
            }
            c => c,
        })
        .collect()
}

/// Prints one JSON document.
pub fn print_json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}"));
    anstream::println!("{text}");
}

/// Prints one JSON document on one line.
pub fn print_json_line(value: &impl Serialize) {
    let text = serde_json::to_string(value).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}"));
    anstream::println!("{text}");
}

/// A moment in UTC with how long ago it was, or how far it is ahead.
pub fn moment(at: jiff::Timestamp, now: jiff::Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    let (ahead, span) = (seconds < 0, seconds.unsigned_abs());
    // What was said to be three days ahead is so a second later as well.
    let whole = |unit: u64| if ahead { (span + unit / 2) / unit } else { span / unit };
    let span = match span {
        0..60 => format!("{span} s"),
        60..3_600 => format!("{} min", whole(60)),
        3_600..172_800 => format!("{} h", whole(3_600)),
        _ => format!("{} days", whole(86_400)),
    };
    let relative = if ahead { format!("in {span}") } else { format!("{span} ago") };
    format!("{} ({relative})", at.strftime("%Y-%m-%d %H:%M UTC"))
}

/// A count as people read it: exact up to 9,999, then `12.3 k`.
pub fn count(n: u64) -> String {
    match n {
        0..10_000 => {
            let digits = n.to_string();
            if n < 1000 {
                digits
            } else {
                format!("{},{}", &digits[..digits.len() - 3], &digits[digits.len() - 3..])
            }
        }
        10_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.1} G", n as f64 / 1e9),
    }
}

/// The width to wrap at: of the terminal, else 100 columns.
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let terminal = || console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    columns.or_else(terminal).unwrap_or(100).clamp(40, 160)
}

/// Wraps a text; the first line goes behind what stands already, the others are indented.
pub fn wrap(text: &str, indent: usize) -> String {
    let room = width().saturating_sub(indent).max(20);
    let mut lines: Vec<String> = vec![];
    let mut line = String::new();
    for word in text.split_whitespace() {
        let taken = line.chars().count();
        if taken > 0 && taken + 1 + word.chars().count() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_for_people() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1204, "1,204"),
            (9_999, "9,999"),
            (12_345, "12.3 k"),
            (4_160_000, "4.2 M"),
        ] {
            assert_eq!(count(n), text);
        }
    }

    #[test]
    fn moments_ahead_and_past() {
        let now: jiff::Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        for (at, relative) in [
            ("2026-03-10T11:59:30Z", "(30 s ago)"),
            ("2026-03-10T10:00:01Z", "(1 h ago)"),
            ("2026-03-13T11:59:59Z", "(in 3 days)"),
            ("2026-03-10T13:59:59Z", "(in 2 h)"),
            ("2026-03-07T12:00:01Z", "(2 days ago)"),
        ] {
            let shown = moment(at.parse().unwrap(), now);
            assert!(shown.ends_with(relative), "{at}: {shown}");
        }
    }

    #[test]
    fn hostile_text_cannot_move_the_cursor() {
        assert_eq!(clean("a\x1b[2Jb\u{202e}c\nd"), "a\u{fffd}[2Jb\u{fffd}c d");
    }
}
