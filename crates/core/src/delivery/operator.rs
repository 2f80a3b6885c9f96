//! The operator's word: overrides for one domain, and what to do when the DNS fails.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a domain must meet by the operator's word, whatever it publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// A matching TLSA record at every host used (RFC 7672 §2.2, mandatory DANE).
    Dane,
    /// An MTA-STS policy, applied as if it enforced; without one mail waits.
    Sts,
    /// TLS, nobody is authenticated.
    Encrypt,
    /// Nothing: TLS where it works. The way around a domain whose set-up is broken.
    None,
}

impl Require {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Dane, Self::Sts, Self::Encrypt, Self::None];

    /// The word on the command line and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dane => "dane",
            Self::Sts => "sts",
            Self::Encrypt => "encrypt",
            Self::None => "none",
        }
    }
}

impl std::str::FromStr for Require {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|r| r.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not dane, sts, encrypt or none"))
    }
}

/// An override of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// What is required.
    pub require: Require,
    /// Until when; `None` until it is removed.
    pub until: Option<Timestamp>,
    /// Why, in the operator's words.
    pub reason: String,
}

impl Override {
    /// Whether it holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What mail does when the DNS cannot say whether DANE applies: `policyd.on_dns_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDnsFailure {
    /// What was known not long ago still holds; without that, mail waits.
    #[default]
    LastKnown,
    /// Mail waits.
    Defer,
    /// Mail goes on by MTA-STS alone, if a policy is cached.
    Open,
}
