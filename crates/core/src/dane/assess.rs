//! What each record of an RRset is worth for a chain: the view of an auditor.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::outcome::{Kind, RecordOutcome};
use super::verify::{Presented, judge};
use super::{DaneVerdict, Tlsa, Unusable};
use crate::DomainName;
use crate::chain::name::{self, CommonName};
use crate::chain::printable;
use crate::dns::TlsaRdata;

mod findings;

pub use findings::findings;

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
    /// The `3 1 1` record of the leaf presented, if it can be read.
    pub leaf_record: Option<Tlsa>,
    /// The leaf bears none of the names.
    pub leaf_misnamed: bool,
    /// The leaf has expired or is not valid yet.
    pub leaf_outdated: bool,
    /// Usage-2 records whose anchor is an intermediate that its public issuer has retired (DANE-013), with
    /// its name.
    pub retired: Vec<(usize, String)>,
}

/// Assesses `records` for `chain` (DER, leaf first). `names` are the reference names of usage 2.
pub fn assess(records: &[TlsaRdata], chain: &[Vec<u8>], names: &[DomainName], now: Timestamp) -> Assessment {
    let records: Vec<_> = records.iter().map(|rdata| Tlsa::from_wire(&rdata.0)).collect();
    assess_read(&records, chain, names, now)
}

/// The same for records that were read, or tried to.
pub(super) fn assess_read(
    records: &[Result<Tlsa, Unusable>],
    chain: &[Vec<u8>],
    names: &[DomainName],
    now: Timestamp,
) -> Assessment {
    let rule = CommonName::WithoutDnsId;
    let presented = Presented::new(chain);
    let judged = judge(records, &presented, names, now, rule);
    let leaf = presented.leaf();
    let (verdict, usable) = (judged.verdict, judged.outcomes);
    Assessment {
        count: records.len(),
        verdict,
        unusable: judged.unusable,
        unmatched_kinds: unmatched_kinds(verdict, &usable),
        outdone: outdone(&usable),
        next_key: covers_next_key(&usable),
        leaf_record: leaf.map(|leaf| Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: Sha256::digest(leaf.spki()).to_vec(),
        }),
        leaf_misnamed: leaf.is_some_and(|leaf| !name::names_any(leaf, names, rule)),
        leaf_outdated: leaf.is_some_and(|leaf| crate::chain::path::date_fault(leaf, now).is_some()),
        retired: retired(&presented, &usable),
        usable,
    }
}

impl Assessment {
    /// Whether a sender would authenticate the server.
    pub fn is_match(&self) -> bool {
        matches!(self.verdict, DaneVerdict::Match(_))
    }

    /// The record that matched first.
    pub fn matched(&self) -> Option<&Tlsa> {
        let DaneVerdict::Match(index) = self.verdict else { return None };
        self.usable.iter().find(|outcome| outcome.index == index).map(|outcome| &outcome.tlsa)
    }
}

/// RFC 7671 §8: each kind in the set has to have a record for the present chain.
fn unmatched_kinds(verdict: DaneVerdict, usable: &[RecordOutcome]) -> Vec<Kind> {
    if !matches!(verdict, DaneVerdict::Match(_)) {
        return Vec::new();
    }
    let mut kinds: Vec<Kind> = usable.iter().map(RecordOutcome::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    // A kind whose anchor matched has a record for this chain; what else is wrong is DANE-007.
    kinds.retain(|kind| usable.iter().all(|o| o.kind() != *kind || o.verdict == DaneVerdict::NoMatch));
    kinds
}

/// RFC 7671 §9: the weaker digest matches, the strongest does not.
fn outdone(usable: &[RecordOutcome]) -> Vec<usize> {
    let replaced =
        |weak: &RecordOutcome| usable.iter().any(|o| !o.outdone && o.is_alike(weak) && o.is_match());
    usable.iter().filter(|o| o.outdone && o.is_match() && !replaced(o)).map(|o| o.index).collect()
}

/// RFC 7671 §8.1: a record that does not depend on the present key, or names another.
fn covers_next_key(usable: &[RecordOutcome]) -> bool {
    usable.iter().filter(|o| !o.outdone).any(|o| o.tlsa.usage == 2 || !o.is_match())
}

/// Intermediates that Let's Encrypt no longer issues from. What they signed has run out, so a pin on them
/// matches only as long as an old chain is kept.
const RETIRED: &[&str] = &[
    "Let's Encrypt Authority X1",
    "Let's Encrypt Authority X2",
    "Let's Encrypt Authority X3",
    "Let's Encrypt Authority X4",
    "R3",
    "R4",
    "E1",
    "E2",
];

fn retired(presented: &Presented<'_>, usable: &[RecordOutcome]) -> Vec<(usize, String)> {
    let name_of = |at: usize| {
        let subject = presented.certificates.get(at)?.parsed.subject();
        let is_issuer = subject.iter_organization().any(|o| o.as_str().is_ok_and(|o| o == "Let's Encrypt"));
        let name = subject.iter_common_name().next()?.as_str().ok()?;
        (is_issuer && RETIRED.contains(&name)).then(|| printable(name))
    };
    usable.iter().filter_map(|o| Some((o.index, name_of(o.anchor?)?))).collect()
}
