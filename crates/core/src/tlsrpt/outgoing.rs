//! When a report leaves, and what an answer to it means (RFC 8460 §4.1, §5.4, §5.5).
//!
//! A report is one for a domain and a day; each address of its record is a target with a state of its
//! own. Everything here is a function of times and answers: a restart, another node or a clock that
//! jumped come to the same conclusion.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ReportUri;
use super::tally::whole_day;
use crate::{DomainName, PolicyDomain};

/// Tries end this long after the first (RFC 8460 §5.5).
pub const TRIED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// The first pause between two tries; each further one is twice as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(4);

/// What is known of one target of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetState {
    /// Its time has not come, or it has and nobody has tried.
    Due,
    /// Tried; another try follows.
    Waiting,
    /// Accepted.
    Sent,
    /// Refused for good.
    Refused,
    /// Tried for a day.
    GivenUp,
    /// Not tried: the operator, or repeated refusals, say so.
    Suppressed,
}

impl TargetState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Due, Self::Waiting, Self::Sent, Self::Refused, Self::GivenUp, Self::Suppressed];

    /// The word in the database, in JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::GivenUp => "given-up",
            Self::Suppressed => "suppressed",
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Due | Self::Waiting)
    }
}

impl std::str::FromStr for TargetState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no state of a report"))
    }
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The report is theirs now.
    Accepted,
    /// Not now; not before this time has passed, where they say so.
    Later(Option<SignedDuration>),
    /// Not this report.
    Refused,
}

impl Answer {
    /// Of an HTTP status (RFC 8460 §5.4: 2xx is success and nothing else is).
    pub fn of_http(status: u16, retry_after: Option<SignedDuration>) -> Self {
        match status {
            200..=299 => Self::Accepted,
            408 | 425 | 429 | 500..=599 => Self::Later(retry_after),
            _ => Self::Refused,
        }
    }

    /// Of an SMTP reply code (RFC 5321 §4.2.1).
    pub fn of_smtp(code: u16) -> Self {
        match code {
            200..=299 => Self::Accepted,
            500..=599 => Self::Refused,
            _ => Self::Later(None),
        }
    }
}

/// Reads what no report shall be sent to: an address as it is written in a record, or a host, which stands
/// for every address at it. Hosts come back in lower case, addresses as written.
///
/// # Errors
/// In words.
pub fn address_or_host(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.contains(':') {
        let uri = ReportUri::parse(text);
        return uri.map(String::from).map_err(|why| format!("{text:?} is no address of reports: {why}"));
    }
    let host = DomainName::parse(text).map_err(|why| {
        format!("{text:?} is neither a host nor an address such as mailto:tls@example.com: {why}")
    })?;
    Ok(host.to_string())
}

/// The first try of the report on `day`: some time after its end, spread over `spread` by the domain, so
/// that not all senders of the world report at midnight (RFC 8460 §4.1).
pub fn first_try(day: Date, domain: &PolicyDomain, spread: SignedDuration) -> Timestamp {
    let hash = Sha256::digest(domain.as_str());
    let fraction = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let seconds = i128::from(spread.as_secs().max(0)) * i128::from(fraction) / i128::from(u32::MAX);
    let end = whole_day(day).end_datetime;
    // One second more: the day is over.
    let wait = SignedDuration::from_secs(1 + i64::try_from(seconds).unwrap_or(0));
    end.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The next try after `tries` that failed at `now`; `None` when a day of them is enough.
pub fn next_try(
    first_tried: Timestamp,
    tries: u32,
    asked_to_wait: Option<SignedDuration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let doubled =
        FIRST_PAUSE.checked_mul(1_i32.checked_shl(tries.saturating_sub(1).min(12)).unwrap_or(i32::MAX));
    let pause = doubled.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
    let pause = asked_to_wait.map_or(pause, |asked| asked.max(pause));
    let next = now.checked_add(pause).ok()?;
    let last = first_tried.checked_add(TRIED_FOR).ok()?;
    // A clock that went back must not make it a week.
    let too_late = next > last || now.duration_since(first_tried).abs() > TRIED_FOR;
    (!too_late).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_tries_are_spread_after_the_day() {
        let day: Date = "2026-02-28".parse().unwrap();
        let four = SignedDuration::from_hours(4);
        let at = |n: u32| first_try(day, &format!("d{n}.example").parse().unwrap(), four);
        let times: Vec<Timestamp> = (0..400).map(at).collect();
        let begin: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let end = begin + four;
        assert!(times.iter().all(|t| (begin..=end).contains(t)));
        for hour in 0..4 {
            let from = begin + SignedDuration::from_hours(hour);
            let within = times.iter().filter(|t| (from..from + SignedDuration::from_hours(1)).contains(*t));
            let count = within.count();
            assert!((60..140).contains(&count), "{count} of 400 in hour {hour}");
        }
        assert_eq!(first_try(day, &"a.example".parse().unwrap(), SignedDuration::ZERO), begin);
        assert_eq!(at(7), at(7), "the same for every node and after every restart");
    }

    #[test]
    fn pauses_double_for_a_day() {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let (mut now, mut tries, mut pauses) = (start, 0, vec![]);
        loop {
            tries += 1;
            let Some(next) = next_try(start, tries, None, now) else { break };
            pauses.push(next.duration_since(now).as_mins());
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240, 240]);
        assert!(now.duration_since(start) <= TRIED_FOR);
        let hour = SignedDuration::from_hours(1);
        assert_eq!(next_try(start, 1, Some(hour), start), Some(start + hour), "asked to wait");
        assert_eq!(next_try(start, 1, Some(TRIED_FOR + hour), start), None, "asked to wait too long");
        assert_eq!(next_try(start, 1, None, start - TRIED_FOR - hour), None, "the clock went back");
        assert!(next_try(start, u32::MAX, None, start).is_some(), "any number of tries");
    }

    #[test]
    fn what_can_be_suppressed() {
        for (text, read) in [
            ("mailto:TLS@Example.com", Ok("mailto:TLS@Example.com")),
            (" https://r.example.com/v1?x=1 ", Ok("https://r.example.com/v1?x=1")),
            ("R.Example.COM.", Ok("r.example.com")),
            ("bücherei.example", Ok("xn--bcherei-n2a.example")),
            ("http://r.example.com/", Err("no address of reports")),
            ("mailto:nobody", Err("names no mailbox")),
            ("tls@example.com", Err("neither a host nor an address")),
            ("", Err("neither a host nor an address")),
            ("a..b", Err("neither a host nor an address")),
        ] {
            match (address_or_host(text), read) {
                (Ok(found), Ok(read)) => assert_eq!(found, read),
                (Err(why), Err(part)) => assert!(why.contains(part), "{text:?}: {why}"),
                (found, _) => panic!("{text:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn answers() {
        use Answer::{Accepted, Later, Refused};
        for (status, answer) in [
            (200, Accepted),
            (201, Accepted),
            (204, Accepted),
            (301, Refused),
            (400, Refused),
            (404, Refused),
            (408, Later(None)),
            (429, Later(None)),
            (500, Later(None)),
            (503, Later(None)),
            (100, Refused),
        ] {
            assert_eq!(Answer::of_http(status, None), answer, "{status}");
        }
        for (code, answer) in [(250, Accepted), (421, Later(None)), (452, Later(None)), (550, Refused)] {
            assert_eq!(Answer::of_smtp(code), answer, "{code}");
        }
    }
}
