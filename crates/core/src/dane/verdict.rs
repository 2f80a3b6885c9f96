//! What a sender concludes from a TLSA RRset and a chain.

use serde::{Deserialize, Serialize};

/// The verdict, by reading B9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaneVerdict {
    /// A usable record verifies; holds its index.
    Match(usize),
    /// Usable records, none matches.
    NoMatch,
    /// No record is usable: TLS is mandatory, nobody is authenticated.
    Unusable,
    /// An anchor matched, the name does not.
    NameMismatch,
    /// An anchor matched, a certificate of the path has expired.
    Expired,
    /// An anchor matched, the path to it does not hold.
    Untrusted,
}

impl DaneVerdict {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Match(_) => "match",
            Self::NoMatch => "no-match",
            Self::Unusable => "unusable",
            Self::NameMismatch => "name-mismatch",
            Self::Expired => "expired",
            Self::Untrusted => "untrusted",
        }
    }

    /// Which of several reasons is told (reading B9).
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Match(_) => 0,
            Self::NameMismatch => 1,
            Self::Expired => 2,
            Self::Untrusted => 3,
            Self::NoMatch => 4,
            Self::Unusable => 5,
        }
    }
}
