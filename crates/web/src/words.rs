//! Numbers and moments as people read them.
//!
//! Counts are exact up to 9,999, then shortened; times are absolute in UTC with the relative beside
//! them, so that a page that lay open since yesterday does not lie.

use askama::filters::Safe;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Markup that we wrote ourselves, out of values that are ours or escaped.
pub type Markup = Safe<String>;

/// `1,204`, `12.3 k`, `4.5 M`.
pub fn count(n: u64) -> String {
    match n {
        0..=999 => n.to_string(),
        1_000..=9_999 => format!("{},{:03}", n / 1_000, n % 1_000),
        10_000..=999_949 => tenths(n, 1_000, "k"),
        999_950..=999_949_999 => tenths(n, 1_000_000, "M"),
        999_950_000..=999_949_999_999 => tenths(n, 1_000_000_000, "G"),
        // Nobody has so many sessions; a hostile report may say so.
        _ => tenths(n, 1_000_000_000_000, "T"),
    }
}

fn tenths(n: u64, unit: u64, suffix: &str) -> String {
    // In u128, since a hostile count may be the largest number there is.
    let tenths = (u128::from(n) * 10 + u128::from(unit) / 2) / u128::from(unit);
    format!("{}.{} {suffix}", tenths / 10, tenths % 10)
}

/// `1 report`, `12 reports`: the noun in its plain form, plural by "s".
pub fn counted(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(n))
}

/// A moment, absolute and relative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// `2026-11-24T15:04:05Z`, for `<time datetime>`.
    pub iso: String,
    /// `2026-11-24 15:04 UTC`.
    pub utc: String,
    /// `3 h ago`, `in 5 days`.
    pub relative: String,
}

impl Moment {
    /// `<time>` with both, for templates.
    pub fn tag(&self) -> Markup {
        let Self { iso, utc, relative } = self;
        Safe(format!("<time datetime=\"{iso}\">{utc}</time> <span class=\"quiet\">({relative})</span>"))
    }

    /// `<time>` with the relative in front, for tables.
    pub fn short(&self) -> Markup {
        let Self { iso, utc, relative } = self;
        Safe(format!("<time datetime=\"{iso}\" title=\"{utc}\">{relative}</time>"))
    }
}

/// Puts a moment into words.
pub fn moment(at: Timestamp, now: Timestamp) -> Moment {
    Moment {
        iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        utc: at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        relative: relative(at, now),
    }
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second().saturating_sub(now.as_second());
    let span = span(seconds.unsigned_abs());
    match seconds {
        -59..=59 => "just now".to_owned(),
        s if s < 0 => format!("{span} ago"),
        _ => format!("in {span}"),
    }
}

/// `45 s`, `12 min`, `3 h`, `5 days`, `14 months`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        172_800..=7_775_999 => format!("{} days", seconds / 86_400),
        _ => format!("{} months", seconds / 2_629_800),
    }
}

/// The UTC day of a moment.
pub fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// The day so many days before.
pub fn days_before(day: Date, days: i64) -> Date {
    day.saturating_sub(jiff::Span::new().days(days))
}

/// A text of at most so many characters, cut with a mark.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// A value for the query of an address (RFC 3986 §2.1).
pub fn query_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// An address with the parts of a query that are not empty.
pub fn address(path: &str, query: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = query
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", query_value(value)))
        .collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_while_they_can_be_read() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_204, "1,204"),
            (9_999, "9,999"),
            (10_000, "10.0 k"),
            (12_345, "12.3 k"),
            (999_949, "999.9 k"),
            (999_950, "1.0 M"),
            (4_500_000, "4.5 M"),
            (u64::MAX, "18446744.1 T"),
        ] {
            assert_eq!(count(n), text);
        }
    }

    #[test]
    fn moments_are_absolute_and_relative() {
        let now: Timestamp = "2026-11-24T15:00:00Z".parse().unwrap();
        for (at, utc, relative) in [
            ("2026-11-24T15:00:30Z", "2026-11-24 15:00 UTC", "just now"),
            ("2026-11-24T14:48:00Z", "2026-11-24 14:48 UTC", "12 min ago"),
            ("2026-11-24T12:00:00Z", "2026-11-24 12:00 UTC", "3 h ago"),
            ("2026-11-19T15:00:00Z", "2026-11-19 15:00 UTC", "5 days ago"),
            ("2026-12-08T15:00:00Z", "2026-12-08 15:00 UTC", "in 14 days"),
            ("2025-09-20T15:00:00Z", "2025-09-20 15:00 UTC", "14 months ago"),
        ] {
            let moment = moment(at.parse().unwrap(), now);
            assert_eq!((moment.utc.as_str(), moment.relative.as_str()), (utc, relative));
        }
    }

    #[test]
    fn addresses_carry_only_filters_that_are_set() {
        assert_eq!(address("/reports", &[("domain", ""), ("q", "a b&c")]), "/reports?q=a%20b%26c");
        assert_eq!(address("/reports", &[("domain", "")]), "/reports");
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
