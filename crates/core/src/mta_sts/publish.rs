//! What a domain publishes: a policy with its id, and the records in the order in which they go live.
//!
//! Dashboard, terminal and daemon all ask here, so that they never disagree. Nothing is written or
//! looked up; whoever holds the domain (`store`) keeps the result, whoever serves it serves the body
//! byte for byte.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::policy::{BODY_LIMIT, MAX_AGE_LIMIT};
use super::{Mode, MxPattern, PolicyError, StsPolicy, StsRecord};
use crate::domain::NameError;
use crate::rollout::policy_id;
use crate::{DomainName, PolicyDomain};

/// A policy ready to be published: the body to serve and the id that announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// What the body says.
    pub policy: StsPolicy,
    /// The body to serve, byte for byte.
    pub body: String,
    /// The id of the record: time and mark of the body, unique for each publication.
    pub id: String,
}

/// Why a policy must not be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A pattern that no sender can use.
    #[error(transparent)]
    Pattern(#[from] PolicyError),
    /// Senders would refuse every host, or ignore the policy (RFC 8461 §3.2).
    #[error("a policy of mode {0} needs at least one mx")]
    NoMx(Mode),
    /// More than senders accept.
    #[error("max_age {0} is more than a year (31557600 seconds)")]
    MaxAge(u32),
    /// More than senders fetch.
    #[error("the policy has {0} bytes, more than the 65536 that senders read")]
    TooLong(usize),
}

/// Makes a policy from patterns as people write them: any case, U-labels, a final dot, repeated.
///
/// # Errors
/// What would make senders refuse or ignore it.
pub fn new_policy<S: AsRef<str>>(
    mx: &[S],
    mode: Mode,
    max_age: u32,
    now: Timestamp,
) -> Result<Publication, PublishError> {
    let mut patterns: Vec<MxPattern> = Vec::with_capacity(mx.len());
    for text in mx {
        let pattern = pattern(text.as_ref())?;
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    if patterns.is_empty() && mode != Mode::None {
        return Err(PublishError::NoMx(mode));
    }
    if max_age > MAX_AGE_LIMIT {
        return Err(PublishError::MaxAge(max_age));
    }
    let policy = StsPolicy { mode, mx: patterns, max_age, extensions: Vec::new() };
    let body = policy.render();
    if body.len() > BODY_LIMIT {
        return Err(PublishError::TooLong(body.len()));
    }
    Ok(Publication { id: policy_id(now, body.as_bytes()), policy, body })
}

/// A pattern as a person writes it, in the form that the policy needs (RFC 8461 §3.2: A-labels).
fn pattern(text: &str) -> Result<MxPattern, PolicyError> {
    let text = text.trim();
    let (star, name) = text.strip_prefix("*.").map_or(("", text), |rest| ("*.", rest));
    let name = DomainName::parse(name).map_err(|e| PolicyError(format!("mx {text:?}: {e}")))?;
    format!("{star}{name}").parse()
}

/// How the name of the policy host leads to the server that serves the policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PolicyHostTarget {
    /// Its public addresses.
    Addresses(Vec<IpAddr>),
    /// Another name that has them.
    Alias(DomainName),
    /// Not configured: the operator fills them in.
    #[default]
    Unknown,
}

/// What stands in a line to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    #[serde(rename = "AAAA")]
    Aaaa,
    /// Alias.
    #[serde(rename = "CNAME")]
    Cname,
    /// Text.
    #[serde(rename = "TXT")]
    Txt,
    /// No DNS record: the file that the policy host serves.
    #[serde(rename = "policy")]
    Policy,
}

impl RecordType {
    /// The word in zones and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
            Self::Policy => "policy",
        }
    }
}

/// One thing to publish, and why at this place of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Owner name without the final dot; for the policy its URL.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub record_type: RecordType,
    /// Address, target, text or body; empty where only the operator knows it.
    pub value: String,
    /// Why, and what it waits for.
    pub reason: String,
    /// From 1; lines with the same number may go live together.
    pub order: u32,
}

impl Record {
    /// The line for a zone file, or `None` for what is no complete DNS record.
    pub fn zone_line(&self, ttl: u32) -> Option<String> {
        let value = match self.record_type {
            RecordType::Policy => return None,
            _ if self.value.is_empty() => return None,
            RecordType::Txt => quoted(&self.value),
            RecordType::Cname => format!("{}.", self.value),
            RecordType::A | RecordType::Aaaa => self.value.clone(),
        };
        Some(format!("{}. {ttl} IN {} {value}", self.name, self.record_type.as_str()))
    }
}

/// RFC 1035 §5.1: strings of at most 255 octets, quotes and backslashes escaped.
fn quoted(text: &str) -> String {
    let escape = |byte: &u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(*byte)),
        0x20..=0x7e => char::from(*byte).to_string(),
        other => format!("\\{other:03}"),
    };
    let strings: Vec<String> = text
        .as_bytes()
        .chunks(255)
        .map(|chunk| format!("\"{}\"", chunk.iter().map(escape).collect::<String>()))
        .collect();
    strings.join(" ")
}

/// The text of the record at `_mta-sts` (RFC 8461 §3.1).
pub fn sts_record(id: &str) -> String {
    StsRecord { id: id.to_owned(), extensions: Vec::new() }.render()
}

/// The text of the record at `_smtp._tls` (RFC 8460 §3); `None` when no reports are asked for.
pub fn tlsrpt_record<S: AsRef<str>>(rua: &[S]) -> Option<String> {
    if rua.is_empty() {
        return None;
    }
    // RFC 8460 §3: "," "!" and ";" inside an address would end it.
    let written = |uri: &S| {
        let uri = uri.as_ref().trim();
        uri.replace(',', "%2C").replace('!', "%21").replace(';', "%3B")
    };
    Some(format!("v=TLSRPTv1; rua={}", rua.iter().map(written).collect::<Vec<_>>().join(",")))
}

/// Everything to publish for a domain, in order: address, body, report address, and the record that
/// announces the policy last (RFC 8461 §8.1: body first, then the record).
///
/// # Errors
/// When the domain leaves no room for the labels in front of it.
pub fn records<S: AsRef<str>>(
    domain: &PolicyDomain,
    policy_id: &str,
    policy_body: &str,
    rua: &[S],
    target: &PolicyHostTarget,
) -> Result<Vec<Record>, NameError> {
    let host = domain.policy_host()?;
    let mut list = addresses(&host, target);
    let mut add = |name: String, record_type, value: String, order, reason: &str| {
        list.push(Record { name, record_type, value, reason: reason.to_owned(), order });
    };
    add(
        format!("https://{host}/.well-known/mta-sts.txt"),
        RecordType::Policy,
        policy_body.to_owned(),
        2,
        "The policy. mailward's policy host serves it; it must answer at every address, with a certificate \
         for this name, before the record announces it (RFC 8461 8.1).",
    );
    if let Some(text) = tlsrpt_record(rua) {
        add(
            domain.tlsrpt_record_name()?.to_string(),
            RecordType::Txt,
            text,
            2,
            "Asks senders for daily reports (RFC 8460 3). Publish it before the policy, so that the first \
             failures are told.",
        );
    }
    add(
        domain.sts_record_name()?.to_string(),
        RecordType::Txt,
        sts_record(policy_id),
        3,
        "Announces the policy (RFC 8461 3.1). Last: senders fetch the body as soon as they see this id, and \
         keep it for max_age.",
    );
    Ok(list)
}

fn addresses(host: &DomainName, target: &PolicyHostTarget) -> Vec<Record> {
    let line = |record_type, value: String, reason: &str| Record {
        name: host.to_string(),
        record_type,
        value,
        reason: reason.to_owned(),
        order: 1,
    };
    let why = "Leads senders to the policy host. First: everything else is fetched through it.";
    match target {
        PolicyHostTarget::Addresses(list) if !list.is_empty() => list
            .iter()
            .map(|ip| line(if ip.is_ipv4() { RecordType::A } else { RecordType::Aaaa }, ip.to_string(), why))
            .collect(),
        PolicyHostTarget::Alias(name) => vec![line(RecordType::Cname, name.to_string(), why)],
        PolicyHostTarget::Addresses(_) | PolicyHostTarget::Unknown => vec![line(
            RecordType::A,
            String::new(),
            "The public address of the server on which mailward's policy host listens (AAAA likewise, or a \
             CNAME to its name). First: everything else is fetched through it.",
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::TxtRecord;
    use crate::mta_sts::policy;
    use crate::mta_sts::record;
    use crate::tlsrpt::record as tlsrpt_record_form;

    fn now() -> Timestamp {
        "2026-03-02T10:05:00Z".parse().unwrap()
    }

    #[test]
    fn the_worked_example_has_its_id() {
        let made = new_policy(&["mx1.example.com"], Mode::Testing, 86_400, now()).unwrap();
        assert_eq!(made.body, "version: STSv1\nmode: testing\nmx: mx1.example.com\nmax_age: 86400\n");
        assert_eq!(made.id, "20260302T100500Z6648b3358ec3");
    }

    #[test]
    fn patterns_are_taken_as_people_write_them() {
        let made = new_policy(
            &["MX.Bücher.example.", "*.Example.NET", "mx.xn--bcher-kva.example"],
            Mode::Enforce,
            1,
            now(),
        );
        let made = made.unwrap();
        let patterns: Vec<String> = made.policy.mx.iter().map(ToString::to_string).collect();
        assert_eq!(patterns, ["mx.xn--bcher-kva.example", "*.example.net"]);
        assert_eq!(StsPolicy::parse(made.body.as_bytes()), Ok(made.policy));
    }

    #[test]
    fn what_senders_refuse_is_not_published() {
        let many: Vec<String> = (0..3000).map(|n| format!("host-number-{n}.example.com")).collect();
        for (mx, mode, age, why) in [
            (vec![], Mode::Testing, 1, "at least one mx"),
            (vec!["a.*.example".to_owned()], Mode::Enforce, 1, "not allowed"),
            (vec!["a_b.example".to_owned()], Mode::Enforce, 1, "no host name"),
            (vec!["192.0.2.1".to_owned()], Mode::Enforce, 1, "an address"),
            (vec!["mx.example".to_owned()], Mode::Enforce, 31_557_601, "a year"),
            (many, Mode::Enforce, 1, "65536"),
        ] {
            let error = new_policy(&mx, mode, age, now()).unwrap_err().to_string();
            assert!(error.contains(why), "{error} should say {why}");
        }
        assert!(new_policy::<&str>(&[], Mode::None, 86_400, now()).is_ok(), "mode none needs no mx");
    }

    #[test]
    fn the_record_comes_last_and_reads_back() {
        let domain = PolicyDomain::parse("example.com").unwrap();
        let made = new_policy(&["mx1.example.com"], Mode::Testing, 86_400, now()).unwrap();
        let rua = ["mailto:a!b@example.com", "https://rpt.example.com/v1/tls-rpt"];
        let target =
            PolicyHostTarget::Addresses(vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]);
        let list = records(&domain, &made.id, &made.body, &rua, &target).unwrap();
        let shape: Vec<(&str, &str, u32)> =
            list.iter().map(|r| (r.name.as_str(), r.record_type.as_str(), r.order)).collect();
        assert_eq!(
            shape,
            [
                ("mta-sts.example.com", "A", 1),
                ("mta-sts.example.com", "AAAA", 1),
                ("https://mta-sts.example.com/.well-known/mta-sts.txt", "policy", 2),
                ("_smtp._tls.example.com", "TXT", 2),
                ("_mta-sts.example.com", "TXT", 3),
            ]
        );
        assert_eq!(policy::lint(list[2].value.as_bytes()).findings, []);
        let txt = |r: &Record| TxtRecord(r.value.clone().into_bytes());
        let read = record::discover(&[txt(&list[4])]).unwrap();
        assert_eq!(read.map(|r| r.id), Some(made.id));
        let reporting = tlsrpt_record_form::lookup(&[txt(&list[3])]).unwrap().unwrap();
        assert_eq!(reporting.rua.len(), 2);
    }

    #[test]
    fn zone_lines_are_quoted_and_split() {
        let record = |record_type, value: &str| Record {
            name: "a.example".into(),
            record_type,
            value: value.into(),
            reason: String::new(),
            order: 1,
        };
        let long = "x".repeat(256);
        for (record, line) in [
            (record(RecordType::A, "192.0.2.1"), Some("a.example. 300 IN A 192.0.2.1".to_owned())),
            (record(RecordType::A, ""), None),
            (record(RecordType::Policy, "version: STSv1"), None),
            (record(RecordType::Cname, "b.example"), Some("a.example. 300 IN CNAME b.example.".into())),
            (record(RecordType::Txt, "a\"b\\c;"), Some(r#"a.example. 300 IN TXT "a\"b\\c;""#.into())),
            (
                record(RecordType::Txt, &long),
                Some(format!("a.example. 300 IN TXT \"{}\" \"x\"", "x".repeat(255))),
            ),
        ] {
            assert_eq!(record.zone_line(300), line);
        }
    }
}
