//! What each record of an RRset is worth for a chain: the view of an auditor.

use jiff::Timestamp;

use super::{DaneVerdict, Tlsa, Unusable};
use crate::dns::TlsaRdata;
use crate::{DomainName, Finding};

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
}

/// An RRset before one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Records given.
    pub count: usize,
    /// What a sender concludes (reading B9); `Match` holds the position in the RRset as given.
    pub verdict: DaneVerdict,
    /// The usable records, without duplicates, in the order given; at most 100.
    pub usable: Vec<RecordOutcome>,
    /// The records that cannot be used, with their position in the RRset, and why.
    pub unusable: Vec<(usize, Unusable)>,
    /// Kinds of which no record matches although the set as a whole does (DANE-005).
    pub unmatched_kinds: Vec<Kind>,
    /// Positions of records that match and do not count, since a stronger digest of the same usage and
    /// selector is there and does not match (DANE-006).
    pub outdone: Vec<usize>,
    /// Whether a record covers the next key: another usage-3 record, or one of usage 2 (else DANE-011).
    pub next_key: bool,
}

/// Assesses `records` for `chain` (DER, leaf first). `names` are the reference names of usage 2.
pub fn assess(records: &[TlsaRdata], chain: &[Vec<u8>], names: &[DomainName], now: Timestamp) -> Assessment {
    let _ = (records, chain, names, now);
    unimplemented!()
}

/// What an auditor says of it, about `subject` (a host, or host and address): DANE-002 to DANE-016 as far
/// as records and chain show them, sorted. Findings that the RRset has whatever the chain is (DANE-002,
/// 003, 009, 010, 014, 016) come for every chain; who asks for several addresses keeps one.
pub fn findings(subject: &str, assessment: &Assessment) -> Vec<Finding> {
    let _ = (subject, assessment);
    unimplemented!()
}
