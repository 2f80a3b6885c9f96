//! Whether a chain satisfies a TLSA RRset: a pure function of chain, records, names and time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Tlsa;
use crate::DomainName;

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

/// Judges `chain` (DER, leaf first) by `records`. `names` are the reference names of usage 2.
pub fn verify(chain: &[Vec<u8>], records: &[Tlsa], names: &[DomainName], now: Timestamp) -> DaneVerdict {
    let _ = (chain, records, names, now);
    unimplemented!()
}
