//! What one record of an RRset says of one chain.

use super::{DaneVerdict, Tlsa};

/// Usage, selector and matching type: what one client supports and another does not (RFC 7671 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
}

/// One usable record before one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordOutcome {
    /// Position in the RRset as given; the first of duplicates.
    pub index: usize,
    /// The record.
    pub tlsa: Tlsa,
    /// What it alone would say: never `Unusable`; `Match` holds `index`.
    pub verdict: DaneVerdict,
    /// Whether a stronger digest of the same usage and selector keeps it from counting (reading A30).
    pub outdone: bool,
    /// Usage 2: where in the chain the certificate stands that it matched. `None` with a match: the anchor
    /// was not sent, it stands in the record.
    pub anchor: Option<usize>,
}

impl RecordOutcome {
    /// Usage, selector and matching type of the record.
    pub fn kind(&self) -> Kind {
        Kind { usage: self.tlsa.usage, selector: self.tlsa.selector, matching: self.tlsa.matching }
    }

    pub(super) fn is_match(&self) -> bool {
        matches!(self.verdict, DaneVerdict::Match(_))
    }

    pub(super) fn is_alike(&self, other: &Self) -> bool {
        (self.tlsa.usage, self.tlsa.selector) == (other.tlsa.usage, other.tlsa.selector)
    }
}
