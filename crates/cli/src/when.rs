//! Later moments as people type them: `+14d`, `+6h`, `2026-12-24`, `2026-12-24T12:00:00Z`.

use jiff::{SignedDuration, Timestamp};

use crate::exit::{Failure, Result};

/// The moment that is meant, at `now`. A day begins at midnight UTC.
///
/// # Errors
/// Names the option and what to write.
pub fn moment(option: &str, text: &str, now: Timestamp) -> Result<Timestamp> {
    let wrong = || {
        Failure::usage(format!(
            "{option} {text:?} is no time: write +14d, +6h, 2026-12-24 or 2026-12-24T12:00:00Z"
        ))
    };
    let Some(ahead) = text.strip_prefix('+') else {
        return text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).map_err(|_| wrong());
    };
    let (digits, unit) = ahead.split_at(ahead.len() - ahead.chars().last().map_or(0, char::len_utf8));
    let count: i32 = digits.parse().map_err(|_| wrong())?;
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 1_440,
        "w" => 10_080,
        _ => return Err(wrong()),
    };
    now.checked_add(SignedDuration::from_mins(i64::from(count) * minutes)).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_moments() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        for (text, hours) in [
            ("+14d", 336),
            ("+6h", 6),
            ("+120m", 2),
            ("+2w", 336),
            ("2026-03-02", 24),
            ("2026-03-01T01:00:00Z", 1),
        ] {
            let later = moment("--at", text, now).unwrap();
            assert_eq!(later.duration_since(now), SignedDuration::from_hours(hours), "{text}");
        }
        for text in ["+", "+d", "14d", "+3x", "soon", "+9ü", "", "+2000000000w"] {
            let error = moment("--at", text, now).unwrap_err().to_string();
            assert!(error.starts_with("--at "), "{text}: {error}");
        }
    }
}
