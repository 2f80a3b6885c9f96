//! The policy file (RFC 8461 §3.2) and MX matching (§4.1).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DomainName, MxHost};

/// What a sender does when the policy does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The domain has no policy any more.
    None,
    /// Failures are reported, mail flows.
    Testing,
    /// Mail is deferred.
    Enforce,
}

impl Mode {
    /// The word in the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Testing => "testing",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One `mx` value: a host, or `*.` for exactly one label in front of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MxPattern {
    /// This host.
    Exact(DomainName),
    /// Any host exactly one label below.
    Wildcard(DomainName),
}

/// A policy as a sender keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StsPolicy {
    /// What happens on failure.
    pub mode: Mode,
    /// Patterns in order; may be empty only for mode none.
    pub mx: Vec<MxPattern>,
    /// Seconds, clamped to 31,557,600 (reading A6).
    pub max_age: u32,
    /// Unknown keys in order, kept.
    pub extensions: Vec<(String, String)>,
}

/// Why a text is no policy: the first fault (RFC 8461 §3.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub String);

impl MxPattern {
    /// Whether an MX host matches: equal, or exactly one label below a wildcard (RFC 8461 §4.1).
    pub fn matches(&self, host: &MxHost) -> bool {
        match self {
            Self::Exact(name) => *name == **host,
            Self::Wildcard(base) => {
                host.as_str().split_once('.').is_some_and(|(_, rest)| rest == base.as_str())
            }
        }
    }
}

impl fmt::Display for MxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Wildcard(base) => write!(f, "*.{base}"),
        }
    }
}

impl From<MxPattern> for String {
    fn from(pattern: MxPattern) -> Self {
        pattern.to_string()
    }
}

impl TryFrom<String> for MxPattern {
    type Error = PolicyError;
    fn try_from(text: String) -> Result<Self, PolicyError> {
        text.parse()
    }
}

impl std::str::FromStr for MxPattern {
    type Err = PolicyError;
    fn from_str(_text: &str) -> Result<Self, PolicyError> {
        unimplemented!()
    }
}

impl StsPolicy {
    /// Reads a body as a sender does.
    ///
    /// # Errors
    /// The first fault that voids the policy.
    pub fn parse(_body: &[u8]) -> Result<Self, PolicyError> {
        unimplemented!()
    }

    /// The pattern an MX host matches first, if any.
    pub fn matching(&self, host: &MxHost) -> Option<&MxPattern> {
        self.mx.iter().find(|p| p.matches(host))
    }
}
