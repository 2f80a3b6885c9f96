//! Times as reporters write them, and the range of a report.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::json::{Object, Value};
use super::oddity::{Oddities, Refusal};
use crate::tlsrpt::DateRange;

/// The longest range that is believed.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);
/// How far ahead of us a range may end.
const AHEAD: SignedDuration = SignedDuration::from_hours(48);

const SUBJECT: &str = "date-range";

/// The range of a report, or why it cannot be put on a day (REP-077).
pub(super) fn range(
    report: &Object<'_>,
    now: Timestamp,
    oddities: &mut Oddities,
) -> Result<DateRange, Refusal> {
    let impossible = |why: String| Refusal::quarantine("REP-077", SUBJECT, why);
    let Some(Value::Object(range)) = report.get("date-range") else {
        return Err(impossible("The report has no date-range.".to_owned()));
    };
    let mut read = |name: &str, edge: Edge| match range.get(name).map(|v| (v, instant(v, edge, oddities))) {
        Some((_, Some(time))) => Ok(time),
        Some((value, None)) => Err(impossible(format!("{name} is no time, but {value}."))),
        None => Err(impossible(format!("{name} is missing."))),
    };
    let start = read("start-datetime", Edge::Start)?;
    let end = read("end-datetime", Edge::End)?;
    if end < start {
        return Err(impossible(format!("The range ends at {end}, before it starts at {start}.")));
    }
    if end.duration_since(now) > AHEAD {
        return Err(impossible(format!("The range ends at {end}, which is in the future.")));
    }
    if end.duration_since(start) > LONGEST {
        return Err(impossible(format!("The range from {start} to {end} is longer than 31 days.")));
    }
    if !is_one_day(start, end) {
        oddities.note(
            "REP-035",
            || SUBJECT,
            || format!("It runs from {start} to {end}, not over one UTC day."),
        );
    }
    Ok(DateRange { start_datetime: start, end_datetime: end })
}

/// From midnight to 23:59:59 or to the next midnight (reading A35).
fn is_one_day(start: Timestamp, end: Timestamp) -> bool {
    let length = end.duration_since(start);
    start.as_second().rem_euclid(86_400) == 0
        && length >= SignedDuration::from_secs(86_399)
        && length <= SignedDuration::from_secs(86_400)
}

/// Which end of the range a bare date stands for.
#[derive(Clone, Copy)]
enum Edge {
    Start,
    End,
}

fn instant(value: &Value<'_>, edge: Edge, oddities: &mut Oddities) -> Option<Timestamp> {
    match value {
        Value::Text(text) => written(text.trim(), edge, oddities),
        Value::Unsigned(seconds) => unix(i64::try_from(*seconds).ok()?, oddities),
        Value::Negative(seconds) => unix(*seconds, oddities),
        // Whole seconds are all that a range needs; the cast saturates.
        #[allow(clippy::cast_possible_truncation)]
        Value::Float(seconds) if seconds.is_finite() => unix(*seconds as i64, oddities),
        _ => None,
    }
}

fn unix(number: i64, oddities: &mut Oddities) -> Option<Timestamp> {
    // No report is of the year 5138, so a number of that size counts milliseconds.
    let seconds = if number > 100_000_000_000 { number / 1000 } else { number };
    let time = Timestamp::from_second(seconds).ok()?;
    oddities.note("REP-034", || SUBJECT, || format!("{number} is read as {time}."));
    Some(time)
}

fn written(text: &str, edge: Edge, oddities: &mut Oddities) -> Option<Timestamp> {
    if text.len() > 64 {
        return None;
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.len() != 8 {
        return unix(text.parse().ok()?, oddities);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        let zone =
            text.get(19..).unwrap_or_default().trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if !matches!(zone, "Z" | "z" | "+00:00" | "-00:00" | "+0000" | "-0000" | "+00" | "-00") {
            oddities.note("REP-035", || SUBJECT, || format!("{text} is not in UTC."));
        }
        return Some(time);
    }
    let utc = |civil: DateTime| civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    if text.len() <= 10 {
        let date = text.parse::<Date>().ok()?;
        oddities.note("REP-034", || SUBJECT, || format!("{text} is a date without a time."));
        return utc(match edge {
            Edge::Start => date.at(0, 0, 0, 0),
            Edge::End => date.at(23, 59, 59, 0),
        });
    }
    // ISO 8601 writes the end of a day as 24:00; RFC 3339 does not know it.
    if let Some((date, rest)) = text.split_once("T24:00:00") {
        let time = written(&format!("{date}T00:00:00{rest}"), edge, oddities)?;
        return time.checked_add(SignedDuration::from_hours(24)).ok();
    }
    let time = utc(text.parse::<DateTime>().ok()?)?;
    oddities.note("REP-033", || SUBJECT, || format!("{text} has no zone and is read as UTC."));
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::super::json::value_in;
    use super::*;

    fn read(start: &str, end: &str) -> (Result<String, &'static str>, Vec<String>) {
        let text = format!("{{\"date-range\":{{\"start-datetime\":{start},\"end-datetime\":{end}}}}}");
        let limits = Limits::default();
        let Some(Value::Object(report)) = value_in(&text, &limits) else { panic!("{text}") };
        let mut oddities = Oddities::default();
        let now = "2026-06-10T12:00:00Z".parse().unwrap();
        let range = match range(&report, now, &mut oddities) {
            Ok(range) => Ok(format!("{} {}", range.start_datetime, range.end_datetime)),
            Err(Refusal::Quarantine(id, ..) | Refusal::Foreign(id, ..)) => Err(id),
        };
        (range, oddities.into_findings().into_iter().map(|f| f.id).collect())
    }

    #[test]
    fn ranges_by_row() {
        let day = "2026-06-01T00:00:00Z 2026-06-01T23:59:59Z";
        let rows: &[(&str, &str, &str, &[&str])] = &[
            ("\"2026-06-01T00:00:00Z\"", "\"2026-06-01T23:59:59Z\"", day, &[]),
            ("\"2026-06-01t00:00:00z\"", "\"2026-06-01T23:59:59+00:00\"", day, &[]),
            (
                "\"2026-06-01T00:00:00.000Z\"",
                "\"2026-06-01T23:59:59.999Z\"",
                "2026-06-01T00:00:00Z 2026-06-01T23:59:59.999Z",
                &[],
            ),
            (
                "\"2026-06-01T00:00:00Z\"",
                "\"2026-06-02T00:00:00Z\"",
                "2026-06-01T00:00:00Z 2026-06-02T00:00:00Z",
                &[],
            ),
            (
                "\"2026-06-01T00:00:00Z\"",
                "\"2026-06-01T24:00:00Z\"",
                "2026-06-01T00:00:00Z 2026-06-02T00:00:00Z",
                &[],
            ),
            ("\"2026-06-01T00:00:00\"", "\"2026-06-01T23:59:59\"", day, &["REP-033"]),
            ("\"2026-06-01\"", "\"2026-06-01\"", day, &["REP-034"]),
            ("1780272000", "\"1780358399\"", day, &["REP-034"]),
            ("1780272000000", "1780358399.5", day, &["REP-034"]),
            ("\"2026-06-01T02:00:00+02:00\"", "\"2026-06-02T01:59:59+02:00\"", day, &["REP-035"]),
            (
                "\"2026-05-25T00:00:00Z\"",
                "\"2026-05-31T23:59:59Z\"",
                "2026-05-25T00:00:00Z 2026-05-31T23:59:59Z",
                &["REP-035"],
            ),
            (
                "\"2026-06-01T05:00:00Z\"",
                "\"2026-06-02T05:00:00Z\"",
                "2026-06-01T05:00:00Z 2026-06-02T05:00:00Z",
                &["REP-035"],
            ),
        ];
        for (start, end, want, ids) in rows {
            let (got, oddities) = read(start, end);
            assert_eq!(got.as_deref(), Ok(*want), "{start} {end}");
            assert_eq!(oddities, *ids, "{start} {end}");
        }
    }

    #[test]
    fn impossible_ranges() {
        let rows = [
            ("\"2026-06-02T00:00:00Z\"", "\"2026-06-01T00:00:00Z\"", "end before start"),
            ("\"2026-06-12T00:00:00Z\"", "\"2026-06-12T23:59:59Z\"", "more than two days ahead"),
            ("\"2026-05-01T00:00:00Z\"", "\"2026-06-01T00:00:01Z\"", "longer than 31 days"),
            ("null", "\"2026-06-01T00:00:00Z\"", "missing"),
            ("\"yesterday\"", "\"2026-06-01T00:00:00Z\"", "no time"),
            ("\"2026-02-30\"", "\"2026-06-01T00:00:00Z\"", "no date"),
            ("[]", "\"2026-06-01T00:00:00Z\"", "a list"),
            ("99999999999999999999", "1", "beyond time"),
        ];
        for (start, end, why) in rows {
            assert_eq!(read(start, end).0, Err("REP-077"), "{why}");
        }
        let tomorrow = read("\"2026-06-11T00:00:00Z\"", "\"2026-06-11T23:59:59Z\"");
        assert!(tomorrow.0.is_ok(), "clocks differ");
    }
}
