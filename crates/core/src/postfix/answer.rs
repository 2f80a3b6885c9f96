//! A decision in the words of Postfix' TLS policy table.
//!
//! Only tokens that were validated enter an answer: names and patterns are parsed names, and the policy
//! lines that are shown for reports are left out where they hold anything Postfix could misread. A name
//! is never given in the dot form, which Postfix matches at any depth (RFC 8461 §4.1 allows one label).
//! Answers by DANE carry no MTA-STS attribute.

use super::socketmap::Map;
use crate::PolicyDomain;
use crate::delivery::{DeliveryPolicy, Level};

/// Never matches, so that Postfix defers and its log shows why.
pub const NO_MATCH: &str = "mta-sts-no-mx-match.invalid";

/// The longest answer; Postfix takes 100,000 bytes.
pub const LIMIT: usize = 99_000;

/// The longest reason behind `TEMP` or `PERM`: it goes to the mail log.
const LONGEST_REASON: usize = 200;

/// The answer for the maps that Postfix asks. `body` is the policy's text as fetched, from which the
/// lines for reports are taken.
pub fn render(domain: &PolicyDomain, policy: &DeliveryPolicy, body: Option<&[u8]>, map: Map) -> String {
    match policy.level {
        Level::DaneOnly => "OK dane-only".to_owned(),
        Level::Dane => "OK dane".to_owned(),
        Level::Encrypt => "OK encrypt".to_owned(),
        Level::May => "OK may".to_owned(),
        Level::NoDemand => not_found(),
        Level::Defer => temporary(&format!("{domain}: {}", policy.cause())),
        Level::Secure => {
            let mut answer = Vec::new();
            secure(&policy.names.join(":"), &mut answer);
            if let (Map::TlsRpt, Some(sts)) = (map, &policy.sts) {
                // With patterns Postfix 3.10.5 and later go by these instead of the names.
                let patterns = sts.mx.iter().filter(|_| !policy.names_alone);
                let patterns: Vec<String> = patterns.map(ToString::to_string).collect();
                let patterns = patterns.iter().map(String::as_str);
                add_report_attributes(domain.as_str(), patterns, body.unwrap_or_default(), &mut answer);
            }
            if answer.len() > LIMIT {
                too_long(domain.as_str())
            } else {
                String::from_utf8_lossy(&answer).into_owned()
            }
        }
    }
}

/// Not in the table: the MTA's own level applies.
pub fn not_found() -> String {
    "NOTFOUND ".to_owned()
}

/// Mail waits; the reason goes to the mail log.
pub fn temporary(reason: &str) -> String {
    format!("TEMP {}", one_line(reason))
}

/// A person must mend something; the reason goes to the mail log.
pub fn permanent(reason: &str) -> String {
    format!("PERM {}", one_line(reason))
}

/// An answer above [`LIMIT`] cannot be given: mail waits.
pub fn too_long(domain: &str) -> String {
    temporary(&format!("{domain}: its policy is too long"))
}

/// Appends `OK secure match=…` with the names of hosts that the policy allows, joined by colons.
pub fn secure(names: &str, answer: &mut Vec<u8>) {
    answer.extend_from_slice(b"OK secure match=");
    answer.extend_from_slice(if names.is_empty() { NO_MATCH } else { names }.as_bytes());
    answer.extend_from_slice(b" servername=hostname");
}

/// Appends what Postfix 3.10 and later put into reports (RFC 8460 §4.2): type, domain, the policy's lines
/// and its patterns. The lines come from `body`, the policy's text as fetched. Nothing is allocated but
/// the room in `answer`, for this runs at every question. `answer` must hold this answer alone: its length
/// decides whether there is room for the lines. No patterns must be given where
/// [`DeliveryPolicy::names_alone`] is set.
pub fn add_report_attributes<'a>(
    domain: &str,
    patterns: impl Iterator<Item = &'a str>,
    body: &[u8],
    answer: &mut Vec<u8>,
) {
    answer.extend_from_slice(b" policy_type=sts policy_domain=");
    answer.extend_from_slice(domain.as_bytes());
    let lines_from = answer.len();
    for line in report_lines(body) {
        answer.extend_from_slice(b" { policy_string = ");
        answer.extend_from_slice(line);
        answer.extend_from_slice(b" }");
    }
    let lines_to = answer.len();
    for pattern in patterns {
        answer.extend_from_slice(b" mx_host_pattern=");
        answer.extend_from_slice(pattern.as_bytes());
    }
    // The lines only inform; the patterns decide.
    if answer.len() > LIMIT {
        answer.drain(lines_from..lines_to);
    }
}

/// The lines of a policy that Postfix is told for its reports: those that it reads as one value.
pub fn report_lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = body.split(|b| matches!(b, b'\r' | b'\n')).map(<[u8]>::trim_ascii);
    lines.filter(|line| is_plain(line))
}

/// Whether Postfix reads the line as one value: printable ASCII without braces, and not empty.
fn is_plain(line: &[u8]) -> bool {
    !line.is_empty() && line.iter().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'{' | b'}'))
}

fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' });
    plain.take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests;
