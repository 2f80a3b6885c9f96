//! What a mail server tells of one delivery attempt: a datagram of the libtlsrpt protocol.
//!
//! One datagram is one JSON object. The library copies bytes of peers as they come, so a text may hold
//! bytes that are no UTF-8, and a peer decides what stands in it: everything is bounded here. Sessions are
//! counted by the final result of a policy, its failures by kind; neither is ever guessed from the other.

use std::net::IpAddr;

use serde::Deserialize;

use super::{PolicyType, ResultType};
use crate::{DomainName, PolicyDomain};

/// The longest datagram taken.
pub const LIMIT: usize = 256 * 1024;

/// Objects and arrays within each other; the protocol needs five.
const DEEPEST: usize = 8;

/// The longest text kept, in bytes; the longest list, in entries. What is more is cut.
const LONGEST_TEXT: usize = 4096;
/// See [`LONGEST_TEXT`].
const LONGEST_LIST: usize = 1000;

/// The longest EHLO name kept, in characters.
const LONGEST_HELO: usize = 255;

/// One delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The domain reported to: whose TLS-RPT record was found.
    pub domain: PolicyDomain,
    /// That record, as the mail server saw it.
    pub record: String,
    /// What happened under each policy; at least one.
    pub policies: Vec<PolicySession>,
    /// Another protocol version than ours, as sent.
    pub odd_version: Option<String>,
}

/// What happened under one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySession {
    /// The policy that was applied.
    pub policy: SessionPolicy,
    /// Whether the session failed in the end. Failures of an attempt that went well elsewhere are told
    /// beside a success.
    pub failed: bool,
    /// Its failures.
    pub failures: Vec<SessionFailure>,
}

/// A policy as the mail server applied it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionPolicy {
    /// `tlsa`, `sts` or `no-policy-found`.
    pub policy_type: PolicyType,
    /// The policy domain; the TLSA base domain for `tlsa`.
    pub policy_domain: DomainName,
    /// Lines of the policy, or TLSA records.
    pub policy_string: Vec<String>,
    /// Patterns, for `sts` only.
    pub mx_host: Vec<String>,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionFailure {
    /// What went wrong.
    pub result_type: ResultType,
    /// Our address.
    pub sending_mta_ip: Option<IpAddr>,
    /// The MX as named in the DNS.
    pub receiving_mx_hostname: Option<String>,
    /// The first line of its EHLO answer, without code, at most 255 characters: the rest holds session
    /// numbers and clocks, and would make each failure another one.
    pub receiving_mx_helo: Option<String>,
    /// Its address.
    pub receiving_ip: Option<IpAddr>,
    /// A URI with more.
    pub additional_information: Option<String>,
    /// The reason.
    pub failure_reason_code: Option<String>,
}

/// Why a datagram is not counted. The word is a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejected {
    /// Nothing in it.
    #[error("empty")]
    Empty,
    /// More than [`LIMIT`].
    #[error("too-long")]
    TooLong,
    /// Deeper than the protocol has it.
    #[error("too-deep")]
    TooDeep,
    /// No JSON object, or a member of another type.
    #[error("no-json")]
    NoJson,
    /// `d` is no domain name.
    #[error("no-domain")]
    NoDomain,
    /// No policy in it.
    #[error("no-policies")]
    NoPolicies,
    /// A policy type that is not 1, 2 or 9.
    #[error("unknown-policy-type")]
    PolicyType,
    /// A final result that is not 0 or 1.
    #[error("bad-result")]
    Result,
}

impl Rejected {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::TooLong,
        Self::TooDeep,
        Self::NoJson,
        Self::NoDomain,
        Self::NoPolicies,
        Self::PolicyType,
        Self::Result,
    ];
}

/// Reads a datagram.
///
/// # Errors
/// A [`Rejected`]; nothing of it is counted then.
pub fn parse(bytes: &[u8]) -> Result<Datagram, Rejected> {
    if bytes.is_empty() {
        return Err(Rejected::Empty);
    }
    if bytes.len() > LIMIT {
        return Err(Rejected::TooLong);
    }
    if !is_shallow(bytes) {
        return Err(Rejected::TooDeep);
    }
    let text = String::from_utf8_lossy(bytes);
    let wire: Wire = serde_json::from_str(&text).map_err(|_| Rejected::NoJson)?;
    let domain = PolicyDomain::parse(&wire.d).map_err(|_| Rejected::NoDomain)?;
    if wire.policies.is_empty() {
        return Err(Rejected::NoPolicies);
    }
    let policies = wire.policies.into_iter().take(LONGEST_LIST).map(|p| session(p, &domain));
    Ok(Datagram {
        policies: policies.collect::<Result<_, _>>()?,
        record: cut(wire.pr),
        odd_version: wire.dpv.filter(|version| version != "1").map(cut),
        domain,
    })
}

fn session(wire: WirePolicy, domain: &PolicyDomain) -> Result<PolicySession, Rejected> {
    let policy_type = match wire.policy_type {
        1 => PolicyType::Tlsa,
        2 => PolicyType::Sts,
        9 => PolicyType::NoPolicyFound,
        _ => return Err(Rejected::PolicyType),
    };
    let failed = match wire.f {
        0 => false,
        1 => true,
        _ => return Err(Rejected::Result),
    };
    // Postfix leaves it out where no policy was found.
    let stated = wire.policy_domain.and_then(|name| DomainName::parse(&name).ok());
    let policy = SessionPolicy {
        policy_domain: stated.unwrap_or_else(|| (**domain).clone()),
        policy_string: list(wire.policy_string),
        // RFC 8460 §4.4 has patterns for MTA-STS only.
        mx_host: if policy_type == PolicyType::Sts { list(wire.mx_host) } else { Vec::new() },
        policy_type,
    };
    let failures = wire.failure_details.into_iter().take(LONGEST_LIST).map(failure).collect();
    Ok(PolicySession { policy, failed, failures })
}

fn failure(wire: WireFailure) -> SessionFailure {
    let (result_type, code) = result_type(wire.c);
    let address = |text: Option<String>| text.and_then(|t| t.trim().parse().ok());
    let text = |text: Option<String>| text.map(cut).filter(|t| !t.is_empty());
    SessionFailure {
        result_type,
        sending_mta_ip: address(wire.s),
        receiving_mx_hostname: text(wire.n),
        receiving_mx_helo: wire.h.as_deref().and_then(helo),
        receiving_ip: address(wire.r),
        additional_information: text(wire.a),
        failure_reason_code: text(wire.f).or(code),
    }
}

/// The result type of a code, and a reason where the code says more than the type.
fn result_type(code: u64) -> (ResultType, Option<String>) {
    let known = match code {
        201 => ResultType::StarttlsNotSupported,
        202 => ResultType::CertificateHostMismatch,
        203 => ResultType::CertificateNotTrusted,
        204 => ResultType::CertificateExpired,
        205 => ResultType::ValidationFailure,
        301 => ResultType::StsPolicyFetchError,
        302 => ResultType::StsPolicyInvalid,
        303 => ResultType::StsWebpkiInvalid,
        304 => ResultType::TlsaInvalid,
        305 => ResultType::DnssecInvalid,
        306 => ResultType::DaneRequired,
        // RFC 8460 §4.3.1 has this type for all that has no other.
        _ => return (ResultType::ValidationFailure, Some(format!("libtlsrpt-{code}"))),
    };
    (known, None)
}

/// The name in the first line of an EHLO answer: `250-mx.example at your service` gives all but the code.
fn helo(answer: &str) -> Option<String> {
    let line = answer.split(['\r', '\n']).map(str::trim).find(|line| !line.is_empty())?;
    let code = line.get(..4).is_some_and(|c| {
        let c = c.as_bytes();
        c[..3].iter().all(u8::is_ascii_digit) && matches!(c[3], b'-' | b' ')
    });
    let name = if code { line[4..].trim() } else { line };
    let name: String = name.chars().take(LONGEST_HELO).collect();
    (!name.is_empty()).then_some(name)
}

fn list(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().take(LONGEST_LIST).map(cut).collect()
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    }
    text
}

/// Whether nothing stands deeper than [`DEEPEST`], outside of texts.
fn is_shallow(bytes: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > DEEPEST {
                    return false;
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[derive(Deserialize)]
struct Wire {
    dpv: Option<String>,
    d: String,
    pr: String,
    policies: Vec<WirePolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct WirePolicy {
    policy_type: i64,
    policy_domain: Option<String>,
    #[serde(default)]
    policy_string: Vec<String>,
    #[serde(default)]
    mx_host: Vec<String>,
    #[serde(default)]
    failure_details: Vec<WireFailure>,
    f: i64,
}

#[derive(Deserialize)]
struct WireFailure {
    c: u64,
    s: Option<String>,
    n: Option<String>,
    h: Option<String>,
    r: Option<String>,
    a: Option<String>,
    f: Option<String>,
}

#[cfg(test)]
mod tests;
