//! How values become columns and come back: moments, days, counts, trust, JSON, hashes.
//!
//! Both engines keep integers of 64 bits, text and bytes, nothing else; so a row means the same on both,
//! and no type of a driver has to be understood.

use jiff::{Span, Timestamp, civil::Date};
use mailward_core::PolicyDomain;
use mailward_core::rollout::Trust;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{Result, StoreError};

const EPOCH: Date = Date::constant(1970, 1, 1);

/// Microseconds since 1970: years -9999 to 9999 fit, which nanoseconds in 64 bits would not.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(crate) fn timestamp(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| corrupt("a moment", micros))
}

/// Days since 1970.
pub(crate) fn day_number(day: Date) -> i64 {
    day.duration_since(EPOCH).as_secs().div_euclid(86_400)
}

pub(crate) fn date(day: i64) -> Result<Date> {
    let span = Span::new().try_days(day).map_err(|_| corrupt("a day", day))?;
    EPOCH.checked_add(span).map_err(|_| corrupt("a day", day))
}

/// The week of a day, counted from that of 1970-01-01, and the day in it; 0 is Monday.
pub(crate) fn week(day: i64) -> (i64, usize) {
    // 1970 began on a Thursday.
    let since_monday = day.saturating_add(3);
    (since_monday.div_euclid(7), since_monday.rem_euclid(7) as usize)
}

/// A count as a column, saturating.
pub(crate) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A column as a count; a negative one cannot be and reads as none.
pub(crate) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// As [`count`], for small counts.
pub(crate) fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// A name that was stored as one.
pub(crate) fn domain(name: &str) -> Result<PolicyDomain> {
    PolicyDomain::parse(name).map_err(|e| StoreError::Corrupt(format!("{name:?}: {e}")))
}

pub(crate) fn trust_number(trust: Trust) -> i64 {
    match trust {
        Trust::Unverified => 0,
        Trust::Unauthenticated => 1,
        Trust::Trusted => 2,
        Trust::DkimVerified => 3,
    }
}

pub(crate) fn trust(number: i64) -> Result<Trust> {
    Ok(match number {
        0 => Trust::Unverified,
        1 => Trust::Unauthenticated,
        2 => Trust::Trusted,
        3 => Trust::DkimVerified,
        _ => return Err(corrupt("a trust", number)),
    })
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(format!("cannot be written as JSON: {e}")))
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(format!("JSON in a column: {e}")))
}

/// 16 bytes that stand for several texts. Each is hashed with its length, so that `ab`+`c` and `a`+`bc`
/// differ; 128 bits are enough, since a collision only merges rows.
pub(crate) fn hash16(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

/// A hash small enough to be an integer column; whoever looks up by it compares the text as well.
pub(crate) fn hash_number(text: &str) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash16(&[text.as_bytes()])[..8]);
    i64::from_be_bytes(bytes)
}

/// At most so many characters.
pub(crate) fn cut(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}

pub(crate) fn corrupt(what: &str, value: i64) -> StoreError {
    StoreError::Corrupt(format!("{value} is not {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_days_come_back() {
        for text in ["1970-01-01", "1969-12-31", "2026-03-14", "-009999-01-01", "9999-12-31"] {
            let day: Date = text.parse().unwrap();
            assert_eq!(date(day_number(day)).unwrap(), day, "{text}");
        }
        assert_eq!(day_number("1969-12-31".parse().unwrap()), -1);
        for text in ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-30T00:00:00.000001Z"] {
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(timestamp(micros(at)).unwrap(), at, "{text}");
        }
        assert!(timestamp(i64::MAX).is_err() && date(i64::MAX).is_err() && trust(4).is_err());
    }

    #[test]
    fn trust_keeps_its_order() {
        let all = [Trust::Unverified, Trust::Unauthenticated, Trust::Trusted, Trust::DkimVerified];
        for (at, level) in all.into_iter().enumerate() {
            assert_eq!(trust_number(level), at as i64);
            assert_eq!(trust(at as i64).unwrap(), level);
        }
    }

    #[test]
    fn hashes_know_where_a_text_ends() {
        assert_ne!(hash16(&[b"ab", b"c"]), hash16(&[b"a", b"bc"]));
        assert_ne!(hash16(&[b""]), hash16(&[]));
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(cut("äöü", 2), "äö");
        assert_eq!(cut("ab", 5), "ab");
    }
}
