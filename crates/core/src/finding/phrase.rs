//! How times, counts and lists are written in every sentence of ours: absolute, exact, in UTC.

use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};

/// `2026-03-13 09:00 UTC`.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `2026-03-13`.
pub fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Exact up to 9,999, then `12.3 k`, `4.5 M`.
pub fn count(n: u64) -> String {
    match n {
        0..=999 => n.to_string(),
        1000..=9_999 => format!("{},{:03}", n / 1000, n % 1000),
        10_000..=999_949 => format!("{}.{} k", (n + 50) / 1000, (n + 50) % 1000 / 100),
        _ => format!(
            "{}.{} M",
            (n.saturating_add(50_000)) / 1_000_000,
            n.saturating_add(50_000) % 1_000_000 / 100_000
        ),
    }
}

/// `1 session`, `3 sessions`. For words whose plural takes an s.
pub fn counted(n: u64, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{} {word}s", count(n)) }
}

/// `a`, `a and b`, `a, b and c`; after `most` items the rest is only counted.
pub fn list<T: Display>(items: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if texts.len() > most && most > 0 {
        let rest = texts.len() - most;
        texts.truncate(most);
        texts.push(format!("{rest} more"));
    }
    match texts.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// `52 days`, `3 h`, `40 min`: whole units, rounded down.
pub fn span(length: SignedDuration) -> String {
    let seconds = length.as_secs().unsigned_abs();
    match seconds {
        0..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", count(seconds / 86_400)),
    }
}

/// `in 52 days`, `3 h ago`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let length = at.duration_since(now);
    if length.is_negative() { format!("{} ago", span(length)) } else { format!("in {}", span(length)) }
}

/// What a text of somebody else looks like inside ours: one line, printable, bounded.
pub fn foreign(text: &str) -> String {
    let mut shown: String =
        text.chars().take(200).map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(200).is_some() {
        shown.push('…');
    }
    shown
}

/// Direction marks can make a line read as something else.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_as_long_as_they_can_be_read() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_204, "1,204"),
            (9_999, "9,999"),
            (12_345, "12.3 k"),
            (999_949, "999.9 k"),
            (999_950, "1.0 M"),
            (u64::MAX, "18446744073709.5 M"),
        ] {
            assert_eq!(count(n), text);
        }
        assert_eq!((counted(1, "session"), counted(3, "session")), ("1 session".into(), "3 sessions".into()));
    }

    #[test]
    fn lists_read_as_english() {
        for (items, text) in [
            (&[][..], ""),
            (&["a"], "a"),
            (&["a", "b"], "a and b"),
            (&["a", "b", "c"], "a, b and c"),
            (&["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
        ] {
            assert_eq!(list(items.iter(), 3), text);
        }
    }

    #[test]
    fn times_are_absolute_and_relative() {
        let now: Timestamp = "2026-03-16T12:00:00Z".parse().unwrap();
        for (at, absolute, beside) in [
            ("2026-05-16T12:00:00Z", "2026-05-16 12:00 UTC", "in 61 days"),
            ("2026-03-16T09:00:00Z", "2026-03-16 09:00 UTC", "3 h ago"),
            ("2026-03-16T11:20:00Z", "2026-03-16 11:20 UTC", "40 min ago"),
        ] {
            let at = at.parse().unwrap();
            assert_eq!((moment(at), relative(at, now)), (absolute.to_owned(), beside.to_owned()));
        }
    }

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(foreign("a\r\nb\u{202e}c"), "a\u{fffd}\u{fffd}b\u{fffd}c");
        assert_eq!(foreign(&"x".repeat(500)).chars().count(), 201);
    }
}
