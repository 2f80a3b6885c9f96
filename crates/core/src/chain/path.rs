//! The way from a leaf to an anchor.
//!
//! Breadth first over the certificates sent: each is reached once, by its shortest way. All conditions of
//! a certificate (dates, CA flag, path length, purpose, names) depend on it, on the leaf and on its
//! distance from the leaf only, so the search that leaves out what is faulty finds a way whenever there is
//! one, with at most one signature check for each pair of certificates. When there is none, the search is
//! repeated with less asked, to say what is wrong.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::certificate::{Certificate, Signature};
use super::signatures::{Held, Known};
use super::{ChainFault, der};

mod constraints;
mod roles;

/// What ends a path: trusted for reasons outside the chain, so that only name and key count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor<'a> {
    /// Content of its Name; `None` for a bare key, which signs for whoever is named as issuer.
    pub(crate) subject: Option<&'a [u8]>,
    /// Content of its SubjectPublicKeyInfo.
    pub(crate) key: &'a [u8],
    /// Its name constraints refuse the leaf. They are what an anchor says of itself that still counts: its
    /// dates, CA flag and path length do not.
    pub(crate) refuses: bool,
}

impl<'a> Anchor<'a> {
    /// An anchor from a certificate, for this leaf; `None` for names and keys that are no DER.
    pub(crate) fn of(certificate: &Certificate<'a>, leaf: &Certificate<'_>) -> Option<Self> {
        let subject = der::sequence_content(certificate.subject())?;
        let key = der::sequence_content(certificate.spki())?;
        let refuses = constraints::fault(certificate, leaf).is_some();
        Some(Self { subject: Some(subject), key, refuses })
    }

    /// An anchor from a SubjectPublicKeyInfo.
    pub(crate) fn of_key(spki: &'a [u8]) -> Option<Self> {
        let key = der::sequence_content(spki)?;
        der::key_parts(key).map(|_| Self { subject: None, key, refuses: false })
    }
}

/// What the search asks of the certificates on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    /// Signatures and names of issuers only.
    Links,
    /// Also CA flag, path length, key usage, purpose, constraints and known critical extensions.
    Roles,
    /// Also dates.
    Everything,
}

/// A way found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// Positions in the chain, leaf first; the anchor is none of them (or stands for the last).
    pub(crate) certificates: Vec<usize>,
    /// Position of the anchor among the anchors.
    pub(crate) anchor: usize,
}

/// What the search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A way, with everything that is wrong on it.
    Found(Path, Vec<ChainFault>),
    /// No way, and why.
    Lost(Lost),
}

/// Why there is no way to an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nobody has the name of the issuer at the end of the way.
    NoIssuer,
    /// Somebody has the name, and the signature is not theirs.
    BadSignature,
    /// Somebody has the name, and the signature is of a kind that is not verified.
    UnsupportedSignature,
}

/// Searches among what was sent (leaf first) at one moment, for any anchors.
pub(crate) struct Search<'s, 'a> {
    chain: &'s [Certificate<'a>],
    nodes: Vec<Node>,
    /// The first certificate's signature by the second, checked at most once.
    links: Vec<Vec<Option<Signature>>>,
    held: Held<'s>,
}

/// What is wrong with a certificate wherever it stands on the way.
struct Node {
    date: Option<ChainFault>,
    role: Option<ChainFault>,
    /// The most issuers that may stand between it and the leaf.
    room: u32,
}

/// For each certificate reached: the one it was reached from, and the issuers between it and the leaf.
type Reached = Vec<Option<(usize, u32)>>;

impl<'s, 'a> Search<'s, 'a> {
    pub(crate) fn new(chain: &'s [Certificate<'a>], now: Timestamp) -> Self {
        Self::knowing(None, chain, now)
    }

    /// The same; signatures of issuers that are known are not computed again.
    pub(crate) fn knowing(known: Option<&'s Known>, chain: &'s [Certificate<'a>], now: Timestamp) -> Self {
        let node = |(at, certificate)| Node {
            date: date_fault(certificate, now),
            role: role_fault(certificate, &chain[0], at),
            room: roles::room(certificate),
        };
        let nodes = chain.iter().enumerate().map(node).collect();
        let links = vec![vec![None; chain.len()]; chain.len()];
        Self { chain, nodes, links, held: Held::new(known) }
    }

    /// The signatures found to hold.
    pub(crate) fn held(&self) -> &Held<'s> {
        &self.held
    }

    /// The way without a fault if there is one, else the one with the least serious faults.
    pub(crate) fn run(&mut self, anchors: &[Anchor<'_>]) -> Outcome {
        let mut ends = vec![vec![None; anchors.len()]; self.chain.len()];
        let mut lost = Lost::NoIssuer;
        for asked in [Asked::Everything, Asked::Roles, Asked::Links] {
            match self.walk(asked, anchors, &mut ends) {
                Ok(path) => {
                    let mut faults = self.faults(&path);
                    if anchors[path.anchor].refuses {
                        faults.push(constraints::outside());
                    }
                    return Outcome::Found(path, faults);
                }
                Err(reached) => lost = self.lost(&reached, &ends),
            }
        }
        Outcome::Lost(lost)
    }

    fn walk(
        &mut self,
        asked: Asked,
        anchors: &[Anchor<'_>],
        ends: &mut [Vec<Option<Signature>>],
    ) -> Result<Path, Reached> {
        let mut reached: Reached = vec![None; self.chain.len()];
        let mut queue = VecDeque::new();
        if !self.chain.is_empty() && self.passes(0, 0, asked) {
            reached[0] = Some((0, 0));
            queue.push_back((0, 0));
        }
        while let Some((here, passed)) = queue.pop_front() {
            let tries = anchors.iter().zip(&mut ends[here]);
            for (anchor, (trusted, known)) in tries.enumerate() {
                let passes = asked < Asked::Roles || !trusted.refuses;
                let mut check = |key: &[u8]| self.held.signature_of(&self.chain[here], here != 0, key);
                if passes
                    && is_named(&self.chain[here], trusted)
                    && *known.get_or_insert_with(|| check(trusted.key)) == Signature::Holds
                {
                    return Ok(Path { certificates: way_to(here, &reached), anchor });
                }
            }
            // RFC 5280 §4.2.1.9: self-issued certificates do not count for the path length.
            let between = passed + u32::from(here != 0 && !self.chain[here].is_self_issued());
            for (next, from) in reached.iter_mut().enumerate().skip(1) {
                if from.is_none() && self.passes(next, between, asked) && self.links_to(here, next) {
                    *from = Some((here, between));
                    queue.push_back((next, between));
                }
            }
        }
        Err(reached)
    }

    /// Whether certificate `at`, with `between` issuers between it and the leaf, has no fault of those asked.
    fn passes(&self, at: usize, between: u32, asked: Asked) -> bool {
        let node = &self.nodes[at];
        (asked < Asked::Everything || node.date.is_none())
            && (asked < Asked::Roles || (node.role.is_none() && between <= node.room))
    }

    fn links_to(&mut self, below: usize, above: usize) -> bool {
        let (lower, upper) = (&self.chain[below], &self.chain[above]);
        if lower.issuer() != upper.subject() {
            return false;
        }
        let held = &mut self.held;
        let verdict = *self.links[below][above].get_or_insert_with(|| {
            der::sequence_content(upper.spki())
                .map_or(Signature::Unsupported, |key| held.signature_of(lower, below != 0, key))
        });
        verdict == Signature::Holds
    }

    fn faults(&self, path: &Path) -> Vec<ChainFault> {
        let mut faults = Vec::new();
        let mut between = 0;
        for &at in &path.certificates {
            let node = &self.nodes[at];
            let cramped = (between > node.room).then_some(ChainFault::NotACa);
            for fault in [node.role.clone().or(cramped), node.date.clone()].into_iter().flatten() {
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
            between += u32::from(at != 0 && !self.chain[at].is_self_issued());
        }
        faults
    }

    /// What was met where a way ended: somebody of the issuer's name, or nobody.
    fn lost(&self, reached: &Reached, ends: &[Vec<Option<Signature>>]) -> Lost {
        let met = |at: usize| self.links[at].iter().chain(&ends[at]).flatten();
        // A root that is no anchor is an end, not a broken link, whoever else has its name.
        let is_dead_end = |at: &usize| {
            reached[*at].is_some()
                && met(*at).all(|s| *s != Signature::Holds)
                && (*at == 0 || !self.chain[*at].signs_itself())
        };
        let dead_ends = || (0..self.chain.len()).filter(is_dead_end).flat_map(met);
        if dead_ends().any(|signature| *signature == Signature::Fails) {
            Lost::BadSignature
        } else if dead_ends().any(|signature| *signature == Signature::Unsupported) {
            Lost::UnsupportedSignature
        } else {
            Lost::NoIssuer
        }
    }
}

/// Whether `certificate` names `trusted` as its issuer; a bare key has no name.
fn is_named(certificate: &Certificate<'_>, trusted: &Anchor<'_>) -> bool {
    trusted.subject.is_none_or(|subject| der::sequence_content(certificate.issuer()) == Some(subject))
}

fn way_to(end: usize, reached: &Reached) -> Vec<usize> {
    let mut way = vec![end];
    let mut at = end;
    while at != 0 {
        let Some((from, _)) = reached[at] else { break };
        way.push(from);
        at = from;
    }
    way.reverse();
    way
}

/// What the dates say at `now`; both ends belong to the validity (RFC 5280 §4.1.2.5).
pub(crate) fn date_fault(certificate: &Certificate<'_>, now: Timestamp) -> Option<ChainFault> {
    if now.as_second() > certificate.not_after.as_second() {
        Some(ChainFault::Expired(certificate.not_after))
    } else if now < certificate.not_before {
        Some(ChainFault::NotYetValid(certificate.not_before))
    } else {
        None
    }
}

/// What a certificate may not be at this place: the leaf at 0, an issuer elsewhere.
fn role_fault<'a>(certificate: &Certificate<'a>, leaf: &Certificate<'a>, at: usize) -> Option<ChainFault> {
    let issuer_fault = || {
        if at == 0 {
            return None;
        }
        roles::issuer_fault(certificate).or_else(|| constraints::fault(certificate, leaf))
    };
    roles::extension_fault(certificate).or_else(issuer_fault).or_else(|| roles::purpose_fault(certificate))
}
