//! The policy file (RFC 8461 §3.2) and MX matching (§4.1).
//!
//! One scanner reads the lines and notes every fault; a sender stops at the first fault that voids the
//! policy, `lint` shows them all.

mod scan;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::finding::{self, Finding};
use crate::lint::Linted;
use crate::{DomainName, MxHost};

/// The largest max_age (RFC 8461 §3.2); more is clamped (reading A6).
pub const MAX_AGE_LIMIT: u32 = 31_557_600;

/// The largest body anybody fetches (RFC 8461 §3.3, suggested).
pub const BODY_LIMIT: usize = 65_536;

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

impl std::str::FromStr for Mode {
    type Err = PolicyError;
    /// Case-sensitive, as in the policy.
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        [Self::None, Self::Testing, Self::Enforce]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| PolicyError(format!("mode {text:?} is not enforce, testing or none")))
    }
}

/// Why a text is no policy: the first fault (RFC 8461 §3.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub String);

/// One `mx` value: a host, or `*.` for exactly one label in front of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MxPattern {
    /// This host.
    Exact(DomainName),
    /// Any host exactly one label below.
    Wildcard(DomainName),
}

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

    /// Whether the host lies two or more labels below this wildcard, where it looks covered and is not.
    pub fn is_too_shallow_for(&self, host: &MxHost) -> bool {
        matches!(self, Self::Wildcard(base) if host.is_within(base) && **host != *base && !self.matches(host))
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
    /// An optional `*.`, then a Domain of RFC 5321: A-labels, no final dot, no address literal.
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (wildcard, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let name = DomainName::from_ldh(name)
            .ok_or_else(|| PolicyError(format!("mx {text:?} is no host name and no *. before one")))?;
        Ok(if wildcard { Self::Wildcard(name) } else { Self::Exact(name) })
    }
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

impl StsPolicy {
    /// Reads a body as a sender does.
    ///
    /// # Errors
    /// The first fault that voids the policy.
    pub fn parse(body: &[u8]) -> Result<Self, PolicyError> {
        let (policy, faults) = scan::scan(body);
        policy.ok_or_else(|| {
            let first = faults.into_iter().find(|f| f.voids);
            PolicyError(first.map_or_else(|| "the policy is empty".to_owned(), |f| f.message))
        })
    }

    /// The body as we publish it: one field a line, LF, no blank line.
    pub fn render(&self) -> String {
        let mut body = format!("version: STSv1\nmode: {}\n", self.mode);
        for mx in &self.mx {
            body.push_str(&format!("mx: {mx}\n"));
        }
        body.push_str(&format!("max_age: {}\n", self.max_age));
        for (name, value) in &self.extensions {
            body.push_str(&format!("{name}: {value}\n"));
        }
        body
    }

    /// The pattern an MX host matches first, if any.
    pub fn matching(&self, host: &MxHost) -> Option<&MxPattern> {
        self.mx.iter().find(|p| p.matches(host))
    }
}

/// Judges a body: the policy a sender would use, if any, and everything an auditor minds.
pub fn lint(body: &[u8]) -> Linted<Option<StsPolicy>> {
    let (policy, faults) = scan::scan(body);
    let mut findings: Vec<Finding> = faults.into_iter().map(scan::Fault::into_finding).collect();
    if let Some(policy) = &policy {
        findings.extend(duration_findings(policy));
    }
    finding::sort(&mut findings);
    Linted { value: policy, findings }
}

fn duration_findings(policy: &StsPolicy) -> Option<Finding> {
    use crate::Severity::Warning;
    let age = policy.max_age;
    let found = match (policy.mode, age) {
        (_, 0) => {
            Finding::new("STS-POL-004", Warning, "max_age", "max_age is 0: no sender caches the policy")
        }
        (_, 1..86_400) => {
            Finding::new("STS-POL-005", Warning, "max_age", format!("max_age {age} is under one day (86400)"))
        }
        (Mode::Enforce, ..1_209_600) => {
            let message = format!("max_age {age} is under two weeks (1209600) while enforcing");
            Finding::new("STS-POL-006", Warning, "max_age", message)
        }
        _ => return None,
    };
    Some(found.evidence("max_age", age))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> MxHost {
        MxHost::parse(text).unwrap()
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        for (pattern, name, matched) in [
            ("mail.example.com", "mail.example.com", true),
            ("MAIL.example.com", "mail.EXAMPLE.com.", true),
            ("mail.example.com", "xmail.example.com", false),
            ("*.example.com", "mail.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "badexample.com", false),
        ] {
            let pattern: MxPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&host(name)), matched, "{pattern} {name}");
        }
        let shallow: MxPattern = "*.mx.example".parse().unwrap();
        assert!(shallow.is_too_shallow_for(&host("a.b.mx.example")));
        assert!(!shallow.is_too_shallow_for(&host("a.mx.example")));
        assert!(!shallow.is_too_shallow_for(&host("mx.example")));
    }

    #[test]
    fn what_we_render_we_read_without_remark() {
        let policy = StsPolicy {
            mode: Mode::Testing,
            mx: vec!["mx1.example.com".parse().unwrap(), "*.example.net".parse().unwrap()],
            max_age: 86_400,
            extensions: vec![("note".into(), "a b".into())],
        };
        assert_eq!(StsPolicy::parse(policy.render().as_bytes()), Ok(policy.clone()));
        let findings = lint(policy.render().as_bytes()).findings;
        assert_eq!(findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["STS-POL-013"]);
    }

    #[test]
    fn durations_are_judged_by_mode() {
        for (mode, age, id) in [
            ("enforce", 0, Some("STS-POL-004")),
            ("testing", 86_399, Some("STS-POL-005")),
            ("testing", 86_400, None),
            ("enforce", 1_209_599, Some("STS-POL-006")),
            ("enforce", 1_209_600, None),
        ] {
            let body = format!("version: STSv1\nmode: {mode}\nmx: a.example\nmax_age: {age}\n");
            let ids: Vec<String> = lint(body.as_bytes()).findings.into_iter().map(|f| f.id).collect();
            assert_eq!(ids, id.into_iter().map(str::to_owned).collect::<Vec<_>>(), "{mode} {age}");
        }
    }
}
