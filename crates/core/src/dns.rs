//! Answers of the DNS as facts, each with its DNSSEC status, denials included.
//!
//! A denial (NODATA, NXDOMAIN) is an answer; SERVFAIL, time-outs and bogus data are errors and never
//! mean "absent" (RFC 7672 §2.1.1).

use serde::{Deserialize, Serialize};

use crate::DomainName;

/// What validation says (RFC 4035 §4.3). The status of an answer is the weakest along its aliases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnssecStatus {
    /// Validated up to a trust anchor.
    Secure,
    /// Proved to be unsigned, or nobody validates.
    Insecure,
    /// Signed, and the signatures do not hold.
    Bogus,
    /// Could not be determined; counts as an error where DANE decides.
    Indeterminate,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
pub enum DnsError {
    /// No server answered in time.
    #[error("no name server answered in time")]
    Timeout,
    /// SERVFAIL, also with checking disabled: an outage. Holds the extended error text, if any.
    #[error("the resolver answered SERVFAIL{}", with_text(.0))]
    ServerFailure(Option<String>),
    /// SERVFAIL that turns into an answer when checking is disabled: validation fails.
    #[error("DNSSEC validation fails{}", with_text(.0))]
    Bogus(Option<String>),
    /// REFUSED or another response code.
    #[error("the resolver answered {0}")]
    Refused(String),
    /// The aliases loop or are more than 16.
    #[error("the chain of aliases loops or is too long")]
    AliasLoop,
    /// The answer could not be read.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
    /// The resolver cannot be reached at all.
    #[error("the resolver cannot be reached: {0}")]
    Unreachable(String),
}

fn with_text(text: &Option<String>) -> String {
    text.as_ref().map(|t| format!(" ({t})")).unwrap_or_default()
}

/// How a name answers "no".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Denial {
    /// The name does not exist.
    NxDomain,
    /// The name exists, not with this type.
    NoData,
}

/// One step from a name to its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Owner of the CNAME.
    pub owner: DomainName,
    /// Where it points to.
    pub target: DomainName,
}

/// What was answered for one name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer<T> {
    /// The weakest status along the chain, also for denials.
    pub status: DnssecStatus,
    /// Seconds; the least along the chain.
    pub ttl: u32,
    /// CNAMEs followed, in order.
    pub aliases: Vec<Alias>,
    /// The records, in the order of the answer. Empty exactly when `denial` is set.
    pub records: Vec<T>,
    /// Set when the answer is "no".
    pub denial: Option<Denial>,
}

impl<T> Answer<T> {
    /// Whether the name says "no" for this type.
    pub fn is_absent(&self) -> bool {
        self.records.is_empty()
    }

    /// The name at the end of the aliases, if there were any.
    pub fn expanded(&self) -> Option<&DomainName> {
        self.aliases.last().map(|a| &a.target)
    }
}

/// An answer, or why there is none.
pub type DnsResult<T> = Result<Answer<T>, DnsError>;

/// One TXT record: its strings joined with nothing between them (RFC 8461 §3.1), as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxtRecord(pub Vec<u8>);

impl TxtRecord {
    /// The text, with what is no UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// One MX record. A null MX (RFC 7505) has no host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MxRecord {
    /// Lower is tried first.
    pub preference: u16,
    /// The exchange; `Err` holds a name that is no host name (`.` for a null MX).
    pub exchange: Result<crate::MxHost, String>,
}

/// One TLSA record as it came: usage, selector, matching type and data are not judged here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsaRdata(pub Vec<u8>);
