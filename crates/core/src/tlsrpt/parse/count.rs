//! Counts of sessions (REP-042, REP-076).

use super::json::Value;
use super::oddity::{Oddities, Refusal};

/// The largest integer that I-JSON carries exactly (RFC 7493 §2.2).
const MOST: u64 = (1 << 53) - 1;

/// The count in a value; `None` where nothing is written.
pub(super) fn read(
    value: Option<&Value<'_>>,
    path: impl Fn() -> String,
    oddities: &mut Oddities,
) -> Result<Option<u64>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    let count = match value {
        Value::Null => return Ok(None),
        Value::Unsigned(count) => return bounded(*count, path).map(Some),
        Value::Float(number) => whole(*number),
        Value::Text(text) => match text.trim() {
            "" => return Ok(None),
            digits => digits.parse().ok().or_else(|| whole(digits.parse().ok()?)),
        },
        Value::Bool(_) | Value::Negative(_) | Value::List(_) | Value::Object(_) => None,
    };
    let Some(count) = count else {
        return Err(Refusal::quarantine("REP-076", path(), format!("The count is {value}.")));
    };
    oddities.note("REP-042", &path, || format!("The count {count} is not written as an integer."));
    bounded(count, path).map(Some)
}

/// The count, unless nobody could add it without losing some.
pub(super) fn bounded(count: u64, path: impl Fn() -> String) -> Result<u64, Refusal> {
    if count <= MOST {
        return Ok(count);
    }
    Err(Refusal::quarantine("REP-076", path(), format!("The count {count} is larger than 2^53-1.")))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> Option<u64> {
    // Every whole number in this range has an exact u64; NaN fails the comparison.
    (number.fract() == 0.0 && (0.0..1e19).contains(&number)).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::super::json::value_in;
    use super::*;

    #[test]
    fn counts_by_row() {
        type Row = (&'static str, Result<Option<u64>, &'static str>, bool);
        let rows: &[Row] = &[
            ("0", Ok(Some(0)), false),
            ("9007199254740991", Ok(Some(9_007_199_254_740_991)), false),
            ("9007199254740992", Err("REP-076"), false),
            ("18446744073709551615", Err("REP-076"), false),
            ("18446744073709551616", Err("REP-076"), false),
            ("10.0", Ok(Some(10)), true),
            ("1e2", Ok(Some(100)), true),
            ("-0.0", Ok(Some(0)), true),
            ("\"10\"", Ok(Some(10)), true),
            ("\" 10.0 \"", Ok(Some(10)), true),
            ("\"\"", Ok(None), false),
            ("null", Ok(None), false),
            ("-1", Err("REP-076"), false),
            ("1.5", Err("REP-076"), false),
            ("\"-1\"", Err("REP-076"), false),
            ("\"NaN\"", Err("REP-076"), false),
            ("\"inf\"", Err("REP-076"), false),
            ("\"many\"", Err("REP-076"), false),
            ("true", Err("REP-076"), false),
            ("[1]", Err("REP-076"), false),
        ];
        for (json, want, odd) in rows {
            let value = value_in(json, &Limits::default()).unwrap();
            let mut oddities = Oddities::default();
            let got = read(Some(&value), || "x".into(), &mut oddities).map_err(|refusal| match refusal {
                Refusal::Quarantine(id, ..) | Refusal::Foreign(id, ..) => id,
            });
            assert_eq!(got, *want, "{json}");
            assert_eq!(oddities.into_findings().len(), usize::from(*odd), "{json}");
        }
    }
}
