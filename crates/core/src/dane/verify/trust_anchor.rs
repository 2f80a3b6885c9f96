//! Usage 2: an anchor above the leaf, the way to it, and the name (RFC 7672 §3.1.2, RFC 7671 §5.2).
//!
//! The anchor is a certificate of the chain that matches, or the certificate or key that stands in the
//! record itself: a server need not send what the DNS holds in full. Its own dates and flags do not count
//! (its name constraints do); those of the certificates below it do.

use std::collections::HashMap;

use jiff::Timestamp;

use super::presented::Presented;
use crate::chain::path::{Anchor, Outcome, Search};
use crate::chain::{Certificate, ChainFault};
use crate::dane::{DaneVerdict, Tlsa};

/// Judges one record after the other before the same chain.
pub(super) struct Judge<'p, 'a> {
    presented: &'p Presented<'a>,
    search: Option<Search<'p, 'a>>,
    is_named: bool,
    /// Records of several digests lead to the same few anchors of the chain.
    known: HashMap<Vec<usize>, Outcome>,
}

impl<'p, 'a> Judge<'p, 'a> {
    pub(super) fn new(presented: &'p Presented<'a>, now: Timestamp, is_named: bool) -> Self {
        let search = (!presented.certificates.is_empty()).then(|| Search::new(&presented.certificates, now));
        Self { presented, search, is_named, known: HashMap::new() }
    }

    /// The verdict of this record alone, and where in the chain its anchor stands.
    pub(super) fn judge(&mut self, index: usize, tlsa: &Tlsa) -> (DaneVerdict, Option<usize>) {
        let Some(search) = &mut self.search else { return (DaneVerdict::NoMatch, None) };
        let chain = &self.presented.certificates;
        let above = self.presented.issuers_matching(tlsa);
        let sent: Vec<Anchor<'_>> =
            above.iter().filter_map(|at| Anchor::of(&chain[*at], &chain[0])).collect();
        let outcome = if sent.is_empty() {
            None
        } else {
            Some(self.known.entry(above.clone()).or_insert_with(|| search.run(&sent)).clone())
        };
        let verdict = match outcome {
            Some(outcome) => self.verdict(index, &outcome, true),
            None => DaneVerdict::NoMatch,
        };
        if matches!(verdict, DaneVerdict::Match(_)) {
            return (verdict, above.first().copied());
        }
        match self.anchor_in_record(index, tlsa) {
            DaneVerdict::NoMatch => (verdict, above.first().copied()),
            better => (better, None),
        }
    }

    /// The anchor that stands in the record. One equal to the leaf is none (reading B8).
    fn anchor_in_record(&mut self, index: usize, tlsa: &Tlsa) -> DaneVerdict {
        let Some(search) = &mut self.search else { return DaneVerdict::NoMatch };
        let leaf = &self.presented.certificates[0];
        let outcome = match (tlsa.selector, tlsa.matching) {
            (0, 0) if tlsa.data != leaf.der => {
                let Ok(certificate) = Certificate::parse(&tlsa.data) else { return DaneVerdict::NoMatch };
                Anchor::of(&certificate, leaf).map(|anchor| search.run(&[anchor]))
            }
            (1, 0) if tlsa.data != leaf.spki() => {
                Anchor::of_key(&tlsa.data).map(|anchor| search.run(&[anchor]))
            }
            _ => None,
        };
        outcome.map_or(DaneVerdict::NoMatch, |outcome| self.verdict(index, &outcome, false))
    }

    /// Reading B9. An anchor that was sent matches by itself; one from the DNS only if a way leads to it.
    fn verdict(&self, index: usize, outcome: &Outcome, was_sent: bool) -> DaneVerdict {
        match outcome {
            Outcome::Lost(_) if !was_sent => DaneVerdict::NoMatch,
            _ if !self.is_named => DaneVerdict::NameMismatch,
            Outcome::Found(_, faults) if faults.is_empty() => DaneVerdict::Match(index),
            Outcome::Found(_, faults) if faults.iter().all(|f| matches!(f, ChainFault::Expired(_))) => {
                DaneVerdict::Expired
            }
            // A matching certificate that is padded into a chain of others vouches for nobody.
            _ => DaneVerdict::Untrusted,
        }
    }
}
