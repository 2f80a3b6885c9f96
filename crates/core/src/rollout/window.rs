//! Days and ids: which report days count, and how a publication is named.

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use sha2::{Digest, Sha256};

use super::Gate;

/// The window of report days for a judgement at `now`: whole UTC days, first and last, with the lag
/// left out. With the defaults, today - 8 to today - 2.
pub fn window(now: Timestamp, gate: &Gate) -> (Date, Date) {
    let last = days_before(utc_day(now), gate.lag_days.max(0));
    (days_before(last, gate.window_days.max(1) - 1), last)
}

/// The id of a publication: UTC time and the first 12 hex digits of SHA-256 of the body. 28 letters and
/// digits of the 32 that RFC 8461 §3.1 allows; unique for each second, and anyone can check from
/// outside that id and body belong together.
pub fn policy_id(now: Timestamp, body: &[u8]) -> String {
    format!("{}{}", now.strftime("%Y%m%dT%H%M%SZ"), body_mark(body))
}

/// The part of an id that comes from the body.
pub fn body_mark(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether an id has the form that [`policy_id`] gives it; then its last 12 digits must fit the body.
pub fn is_our_id(id: &str) -> bool {
    let bytes = id.as_bytes();
    bytes.len() == 28
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 => *byte == b'T',
            15 => *byte == b'Z',
            0..=14 => byte.is_ascii_digit(),
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

pub(super) fn utc_day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Saturates at the ends of the calendar.
pub(super) fn days_before(day: Date, days: i64) -> Date {
    day.saturating_sub(days.clamp(0, 1_000_000).days())
}

/// Saturates at the ends of the calendar.
pub(super) fn days_after(day: Date, days: i64) -> Date {
    day.saturating_add(days.clamp(0, 1_000_000).days())
}

/// The first moment of a UTC day.
pub(super) fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_leaves_out_the_lag() {
        let gate = Gate::default();
        for (now, first, last) in [
            ("2026-03-16T12:00:00Z", "2026-03-08", "2026-03-14"),
            ("2026-03-16T00:00:00Z", "2026-03-08", "2026-03-14"),
            ("2026-03-15T23:59:59Z", "2026-03-07", "2026-03-13"),
            ("2026-03-22T00:00:00Z", "2026-03-14", "2026-03-20"),
            ("2026-03-02T10:00:00Z", "2026-02-22", "2026-02-28"),
        ] {
            let (a, b) = window(now.parse().unwrap(), &gate);
            assert_eq!((a.to_string().as_str(), b.to_string().as_str()), (first, last), "{now}");
        }
    }

    #[test]
    fn senseless_gates_do_not_panic() {
        for (lag_days, window_days) in [(0, 0), (-5, -5), (i64::MAX, i64::MAX), (i64::MIN, 1)] {
            let gate = Gate { lag_days, window_days, ..Gate::default() };
            let (first, last) = window("2026-03-16T12:00:00Z".parse().unwrap(), &gate);
            assert!(first <= last, "{lag_days} {window_days}");
        }
    }

    #[test]
    fn id_tells_time_and_body() {
        let body = b"version: STSv1\nmode: testing\nmx: mx1.example.com\nmax_age: 86400\n";
        let id = policy_id("2026-03-02T10:05:00.9Z".parse().unwrap(), body);
        assert_eq!(id, "20260302T100500Z6648b3358ec3");
        assert!(is_our_id(&id) && id.ends_with(&body_mark(body)));
        for foreign in
            ["20260302T100500Z", "20260302T100500Z6648b3358eC3", "", "20260302x100500Z6648b3358ec3"]
        {
            assert!(!is_our_id(foreign), "{foreign}");
        }
    }
}
