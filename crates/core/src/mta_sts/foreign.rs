//! Policies as other daemons keep them, for operators who switch: a policy once learned protects its
//! domain from a downgrade, so it should not be forgotten with the daemon that learned it (RFC 8461 §10.2).
//!
//! Neither source has the text that was fetched. It is rebuilt from the fields and read by the same parser
//! as any other policy, so nothing enters that a policy host could not have served.
//!
//! postfix-mta-sts-resolver keeps a row a domain: when the policy was last confirmed, the id, and the
//! fields as a JSON object. postfix-tlspol prints a line a domain with what it would answer to Postfix:
//! names, but neither how long they hold nor under which id they were announced. Those are taken for one
//! day from the export, and fetched anew at the first question, because an empty id equals no other.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::StsPolicy;
use super::cache::CachedPolicy;
use super::policy::BODY_LIMIT;
use crate::PolicyDomain;

/// Seconds that a policy without a max_age is believed.
const MAX_AGE_UNKNOWN: u32 = 86_400;

/// The longest id kept; a real one has 32 characters (RFC 8461 §3.1).
const LONGEST_ID: usize = 64;

/// A row of the table `sts_policy_cache` of postfix-mta-sts-resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolverRow {
    /// `domain`
    pub domain: String,
    /// `ts`: seconds since 1970 when the policy was fetched, or its id last confirmed.
    pub at: Option<i64>,
    /// `pol_id`
    pub id: Option<String>,
    /// `pol_body`: the fields as JSON; `None` where it is no text or far too long.
    pub fields: Option<String>,
}

/// A policy that can be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Whose.
    pub domain: PolicyDomain,
    /// As the cache keeps it.
    pub policy: CachedPolicy,
    /// The text, rebuilt.
    pub body: String,
}

/// Why a policy is not taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// Its time is over.
    #[error("expired at {0}")]
    Expired(Timestamp),
    /// DANE is asked of the DNS each time.
    #[error("DANE, which is looked up anew")]
    Dane,
    /// It cannot be read, or a sender must not use it.
    #[error("{0}")]
    Invalid(String),
}

fn invalid(why: impl std::fmt::Display) -> LeftOut {
    LeftOut::Invalid(why.to_string())
}

/// Reads a row of postfix-mta-sts-resolver.
///
/// # Errors
/// Why it is left out.
pub fn from_resolver(row: &ResolverRow, now: Timestamp) -> Result<Taken, LeftOut> {
    let at = row.at.ok_or_else(|| invalid("no time of the fetch"))?;
    let at = Timestamp::from_second(at).map_err(|_| invalid("its time of the fetch is none"))?;
    let fields = row.fields.as_deref().ok_or_else(|| invalid("no fields of a policy"))?;
    let fields: Map<String, Value> =
        serde_json::from_str(fields).map_err(|e| invalid(format!("its fields are no JSON object: {e}")))?;
    let mut body = String::from("version: STSv1\n");
    if fields.get("version").and_then(Value::as_str) != Some("STSv1") {
        return Err(invalid("its version is not STSv1"));
    }
    // The order of RFC 8461 §3.2; what a policy host adds comes last.
    for known in ["mode", "mx", "max_age"] {
        fields.get(known).into_iter().try_for_each(|value| line(&mut body, known, value))?;
    }
    let others = fields.iter().filter(|(name, _)| !matches!(&***name, "version" | "mode" | "mx" | "max_age"));
    for (name, value) in others {
        line(&mut body, name, value)?;
    }
    taken(&row.domain, row.id.clone().unwrap_or_default(), body, at, now)
}

/// Appends the lines of a field: one, or one for each value of a list.
fn line(body: &mut String, name: &str, value: &Value) -> Result<(), LeftOut> {
    let text = match value {
        Value::Array(values) => return values.iter().try_for_each(|value| line(body, name, value)),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(invalid(format!("the value of {name:?} is no text"))),
    };
    // A line break in a value would make a line of its own.
    if [name, &text].iter().any(|part| part.contains(char::is_control)) {
        return Err(invalid(format!("the value of {name:?} has control characters")));
    }
    body.push_str(&format!("{name}: {text}\n"));
    Ok(())
}

/// Reads a line that `postfix-tlspol -export` or `-dump` printed at `exported_at`: a domain, with `-dump` a
/// count, and a policy. `None` for a line without any.
pub fn from_tlspol(
    text: &str,
    exported_at: Timestamp,
    now: Timestamp,
) -> Option<(String, Result<Taken, LeftOut>)> {
    let mut words = text.split_whitespace().peekable();
    let domain = words.next().filter(|word| !word.starts_with('#'))?;
    words.next_if(|word| word.bytes().all(|b| b.is_ascii_digit()));
    let read = match words.next() {
        Some("dane" | "dane-only") => Err(LeftOut::Dane),
        Some("secure") => match words.find_map(|word| word.strip_prefix("match=")) {
            Some(names) => taken(domain, String::new(), enforced(names), exported_at, now),
            None => Err(invalid("secure without match=")),
        },
        Some(other) => Err(invalid(format!("{other:?} is no policy of postfix-tlspol"))),
        None => Err(invalid("no policy behind the name")),
    };
    Some((domain.to_owned(), read))
}

/// The policy behind `match=a.example:.b.example`, where a dot at the front stands for `*.`.
fn enforced(names: &str) -> String {
    let mut body = String::from("version: STSv1\nmode: enforce\n");
    for name in names.split(':') {
        let star = if name.starts_with('.') { "*" } else { "" };
        body.push_str(&format!("mx: {star}{name}\n"));
    }
    body.push_str(&format!("max_age: {MAX_AGE_UNKNOWN}\n"));
    body
}

fn taken(
    domain: &str,
    id: String,
    body: String,
    fetched_at: Timestamp,
    now: Timestamp,
) -> Result<Taken, LeftOut> {
    let domain = PolicyDomain::parse(domain).map_err(invalid)?;
    if body.len() > BODY_LIMIT {
        return Err(invalid(format!("longer than {BODY_LIMIT} bytes")));
    }
    let policy = StsPolicy::parse(body.as_bytes()).map_err(invalid)?;
    // A clock that ran ahead must not make a policy last longer.
    let fetched_at = fetched_at.min(now);
    let id = if id.len() <= LONGEST_ID && !id.contains(char::is_control) { id } else { String::new() };
    let policy = CachedPolicy { policy, id, fetched_at, record_seen_at: fetched_at };
    match policy.is_live(now) {
        true => Ok(Taken { domain, policy, body }),
        false => Err(LeftOut::Expired(policy.expires_at())),
    }
}

/// Until when a policy without a max_age of its own is believed, for people.
pub fn unknown_age() -> SignedDuration {
    SignedDuration::from_secs(MAX_AGE_UNKNOWN.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn row(at: i64, fields: &str) -> ResolverRow {
        let (domain, id) = ("example.com".to_owned(), Some("20260101".to_owned()));
        ResolverRow { domain, at: Some(at), id, fields: Some(fields.to_owned()) }
    }

    const FIELDS: &str = r#"{"mx": ["mail.example.com", "*.example.net"], "version": "STSv1", "mode": "enforce", "max_age": 604800}"#;

    #[test]
    fn rows_that_are_taken() {
        let lines =
            "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n";
        let with_more = FIELDS.replace('}', r#", "contact": "postmaster"}"#);
        let as_text = FIELDS.replace("604800", "\"604800\"");
        for (at, fields, fetched_at, body) in [
            (NOW - 5, FIELDS, NOW - 5, lines.to_owned()),
            (NOW + 5, FIELDS, NOW, lines.to_owned()),
            (NOW - 604_799, &as_text, NOW - 604_799, lines.to_owned()),
            (NOW, &with_more, NOW, format!("{lines}contact: postmaster\n")),
            (
                NOW,
                r#"{"version":"STSv1","mode":"none","mx":[],"max_age":86400}"#,
                NOW,
                "version: STSv1\nmode: none\nmax_age: 86400\n".to_owned(),
            ),
        ] {
            let taken = from_resolver(&row(at, fields), now()).unwrap();
            assert_eq!(taken.body, body);
            assert_eq!(taken.policy.fetched_at.as_second(), fetched_at, "{fields}");
            assert_eq!((taken.domain.as_str(), taken.policy.id.as_str()), ("example.com", "20260101"));
        }
        // Without an id the record decides: an empty one equals no other.
        let nameless = ResolverRow { id: None, domain: "EXAMPLE.com.".into(), ..row(NOW, FIELDS) };
        let taken = from_resolver(&nameless, now()).unwrap();
        assert_eq!((taken.domain.as_str(), taken.policy.id.as_str()), ("example.com", ""));
    }

    #[test]
    fn rows_that_are_left_out() {
        let with = |from: &str, to: &str| row(NOW, &FIELDS.replace(from, to));
        for (row, why) in [
            (row(NOW - 604_800, FIELDS), "expired at"),
            (with("STSv1", "STSv2"), "version"),
            (with("enforce", "strict"), "mode"),
            (with("604800", "-1"), "max_age"),
            (with("604800", "null"), "no text"),
            (with(r#""mail.example.com", "*.example.net""#, ""), "mx"),
            // What that daemon passes through to Postfix is an attribute of its own there.
            (with("mail.example.com", "mail.example.com ciphers=low"), "mx"),
            (with("mail.example.com", r"a\nmode: none"), "control characters"),
            (row(NOW, "[]"), "JSON object"),
            (row(NOW, "{"), "JSON object"),
            (row(i64::MAX, FIELDS), "time of the fetch"),
            (ResolverRow { at: None, ..row(NOW, FIELDS) }, "time of the fetch"),
            (ResolverRow { fields: None, ..row(NOW, FIELDS) }, "no fields"),
            (ResolverRow { domain: "192.0.2.1".into(), ..row(NOW, FIELDS) }, "192.0.2.1"),
            (row(NOW, &FIELDS.replace("mail", &"m".repeat(BODY_LIMIT))), "longer than"),
        ] {
            let left_out = from_resolver(&row, now()).unwrap_err().to_string();
            assert!(left_out.contains(why), "{row:?}: {left_out}");
        }
    }

    #[test]
    fn lines_of_postfix_tlspol() {
        let taken = |text: &str| from_tlspol(text, now(), now()).unwrap().1.map(|t| t.body);
        let body = "version: STSv1\nmode: enforce\nmx: mx1.example.com\nmx: *.example.net\nmax_age: 86400\n";
        for line in [
            "example.com                  secure match=mx1.example.com:.example.net servername=hostname",
            "example.com                       12  secure match=mx1.example.com:.example.net servername=hostname",
        ] {
            assert_eq!(taken(line), Ok(body.to_owned()), "{line}");
        }
        for (line, why) in [
            ("example.com   dane-only", "DANE"),
            ("example.com   7  dane", "DANE"),
            ("example.com   may", "no policy of postfix-tlspol"),
            ("example.com", "no policy behind"),
            ("example.com   secure servername=hostname", "without match="),
            ("example.com   secure match=", "mx"),
            ("example.com   secure match=.", "mx"),
            ("a..b   secure match=mx1.example.com", "label"),
        ] {
            let left_out = taken(line).unwrap_err().to_string();
            assert!(left_out.contains(why), "{line}: {left_out}");
        }
        assert_eq!(from_tlspol("  ", now(), now()), None);
        assert_eq!(from_tlspol("# comment", now(), now()), None);
        let day = now() - unknown_age();
        let (_, old) = from_tlspol("example.com secure match=a.example.com", day, now()).unwrap();
        assert_eq!(old, Err(LeftOut::Expired(now())));
    }
}
