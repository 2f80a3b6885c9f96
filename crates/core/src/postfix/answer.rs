//! A decision in the words of Postfix' TLS policy table.
//!
//! Only tokens that were validated enter an answer: names and patterns are parsed names, and the policy
//! lines that are shown for reports are left out where they hold anything Postfix could misread. A name
//! is never given in the dot form, which Postfix matches at any depth (RFC 8461 §4.1 allows one label).
//! Answers by DANE carry no MTA-STS attribute.

use super::socketmap::Map;
use crate::PolicyDomain;
use crate::delivery::{DeliveryPolicy, Level};
use crate::mta_sts::StsPolicy;

/// Never matches, so that Postfix defers and its log shows why.
pub const NO_MATCH: &str = "mta-sts-no-mx-match.invalid";

/// The longest answer; Postfix takes 100,000 bytes.
const LIMIT: usize = 99_000;

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
            let mut answer = secure(&policy.names);
            if let (Map::TlsRpt, Some(sts)) = (map, &policy.sts) {
                add_report_attributes(&mut answer, domain, sts, body);
            }
            if answer.len() > LIMIT {
                temporary(&format!("{domain}: its policy is too long"))
            } else {
                answer
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

/// `OK secure match=…` with the names of hosts that the policy allows.
pub fn secure(names: &[String]) -> String {
    let names = if names.is_empty() { NO_MATCH.to_owned() } else { names.join(":") };
    format!("OK secure match={names} servername=hostname")
}

/// Appends what Postfix 3.10 and later put into reports (RFC 8460 §4.2): type, domain, the policy's lines
/// and its patterns.
pub fn add_report_attributes(
    answer: &mut String,
    domain: &PolicyDomain,
    sts: &StsPolicy,
    body: Option<&[u8]>,
) {
    let mut patterns = String::new();
    for pattern in &sts.mx {
        patterns.push_str(&format!(" mx_host_pattern={pattern}"));
    }
    let mut lines = String::new();
    let text = String::from_utf8_lossy(body.unwrap_or_default());
    for line in text.split(['\r', '\n']).map(str::trim).filter(|line| is_plain(line)) {
        lines.push_str(&format!(" {{ policy_string = {line} }}"));
    }
    let head = format!(" policy_type=sts policy_domain={domain}");
    answer.push_str(&head);
    // The lines only inform; the patterns decide.
    if answer.len() + lines.len() + patterns.len() <= LIMIT {
        answer.push_str(&lines);
    }
    answer.push_str(&patterns);
}

/// Whether Postfix reads the line as one value: printable ASCII without braces, and not empty.
fn is_plain(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'{' | b'}'))
}

fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' });
    plain.take(LONGEST_REASON).collect()
}
