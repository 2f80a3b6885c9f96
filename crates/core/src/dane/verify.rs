//! Whether a chain satisfies a TLSA RRset: a pure function of chain, records, names and time.
//!
//! Usage 3 (DANE-EE) compares with the leaf, and neither name, dates nor issuers count (RFC 7672 §3.1.1,
//! reading B7). Usage 2 (DANE-TA) looks for an anchor above the leaf, for a way to it and for the name
//! (§3.1.2). Any record of a set suffices. That the peer holds the key of its leaf is shown by the TLS
//! handshake and is no business of this module.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::outcome::RecordOutcome;
use super::verdict::DaneVerdict;
use super::{Tlsa, Unusable};
use crate::DomainName;
use crate::chain::name::{self, CommonName};

mod presented;
mod trust_anchor;

pub(super) use presented::Presented;

/// The most records of an RRset that are compared.
pub const MAX_RECORDS: usize = 100;

/// Judges `chain` (DER, leaf first) by `records`. `names` are the reference names of usage 2.
pub fn verify(chain: &[Vec<u8>], records: &[Tlsa], names: &[DomainName], now: Timestamp) -> DaneVerdict {
    verify_with(chain, records, names, now, CommonName::WithoutDnsId)
}

/// The same, with the switch of reading A28.
pub fn verify_with(
    chain: &[Vec<u8>],
    records: &[Tlsa],
    names: &[DomainName],
    now: Timestamp,
    rule: CommonName,
) -> DaneVerdict {
    let records: Vec<_> = records.iter().cloned().map(Ok).collect();
    judge(&records, &Presented::new(chain), names, now, rule).verdict
}

/// A set of records before a chain, record by record.
pub(super) struct Judged {
    pub(super) verdict: DaneVerdict,
    pub(super) outcomes: Vec<RecordOutcome>,
    pub(super) unusable: Vec<At<Unusable>>,
}

pub(super) fn judge(
    records: &[Result<Tlsa, Unusable>],
    presented: &Presented<'_>,
    names: &[DomainName],
    now: Timestamp,
    rule: CommonName,
) -> Judged {
    let (usable, unusable) = sort_out(records);
    let is_named = presented.leaf().is_some_and(|leaf| name::names_any(leaf, names, rule));
    let mut anchored = trust_anchor::Judge::new(presented, now, is_named);
    let outcomes: Vec<RecordOutcome> = select(usable)
        .into_iter()
        .map(|Selected { index, tlsa, outdone }| {
            let (verdict, anchor) = match tlsa.usage {
                3 if presented.leaf_matches(tlsa) => (DaneVerdict::Match(index), None),
                3 => (DaneVerdict::NoMatch, None),
                _ => anchored.judge(index, tlsa),
            };
            RecordOutcome { index, tlsa: tlsa.clone(), verdict, outdone, anchor }
        })
        .collect();
    let verdict = outcomes
        .iter()
        .filter(|outcome| !outcome.outdone)
        .map(|outcome| outcome.verdict)
        .min_by_key(|verdict| verdict.rank())
        .unwrap_or(DaneVerdict::Unusable);
    Judged { verdict, outcomes, unusable }
}

/// Something about a record, and the position of the record in the set.
type At<T> = (usize, T);

/// Usable records without duplicates, and those that cannot be used.
fn sort_out(records: &[Result<Tlsa, Unusable>]) -> (Vec<At<&Tlsa>>, Vec<At<Unusable>>) {
    let mut seen = HashSet::new();
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    for (index, record) in records.iter().enumerate() {
        match record.as_ref().map_err(Unusable::clone).and_then(|tlsa| tlsa.usable().map(|()| tlsa)) {
            Ok(tlsa) if seen.insert(tlsa) => usable.push((index, tlsa)),
            Ok(_) => {}
            Err(why) => unusable.push((index, why)),
        }
    }
    (usable, unusable)
}

struct Selected<'r> {
    index: usize,
    tlsa: &'r Tlsa,
    outdone: bool,
}

/// Digest agility (RFC 7671 §9, reading A30): for each usage and selector only the strongest digest counts,
/// beside full data. Of more than a hundred records those that count are kept first, the strongest first.
fn select(usable: Vec<At<&Tlsa>>) -> Vec<Selected<'_>> {
    let mut strongest: HashMap<(u8, u8), Option<u8>> = HashMap::new();
    for (_, tlsa) in &usable {
        let best = strongest.entry((tlsa.usage, tlsa.selector)).or_default();
        *best = tlsa.digest_rank().max(*best);
    }
    let is_outdone = |tlsa: &Tlsa| {
        let best = strongest.get(&(tlsa.usage, tlsa.selector)).copied().flatten();
        tlsa.digest_rank().is_some_and(|rank| Some(rank) < best)
    };
    let mut selected: Vec<_> =
        usable.iter().map(|&(index, tlsa)| Selected { index, tlsa, outdone: is_outdone(tlsa) }).collect();
    if selected.len() > MAX_RECORDS {
        selected.sort_by_key(|s| (s.outdone, std::cmp::Reverse(s.tlsa.digest_rank())));
        selected.truncate(MAX_RECORDS);
        selected.sort_by_key(|s| s.index);
    }
    selected
}

#[cfg(test)]
mod tests;
