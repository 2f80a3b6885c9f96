//! The chain a server presented, with the digests that records are compared with.

use std::cell::OnceCell;

use sha2::{Digest, Sha256, Sha512};

use crate::chain::{Certificate, MAX_CERTIFICATES, MAX_CHAIN_BYTES};
use crate::dane::Tlsa;

/// What was sent, within the limits of a chain; the rest is left out, since usage 3 asks for the leaf only.
pub(in crate::dane) struct Presented<'a> {
    /// The certificates that can be read, the leaf first; empty when the leaf cannot be read.
    pub(in crate::dane) certificates: Vec<Certificate<'a>>,
    /// Prints of each of `certificates`.
    prints: Vec<Prints<'a>>,
    /// The leaf as bytes, readable or not.
    leaf: Option<Prints<'a>>,
}

impl<'a> Presented<'a> {
    pub(in crate::dane) fn new(chain: &'a [Vec<u8>]) -> Self {
        let mut room = MAX_CHAIN_BYTES;
        let mut sent = chain.iter().take(MAX_CERTIFICATES).map_while(|der| {
            room = room.checked_sub(der.len())?;
            Some(der.as_slice())
        });
        let Some(leaf) = sent.next() else {
            return Self { certificates: Vec::new(), prints: Vec::new(), leaf: None };
        };
        let Ok(first) = Certificate::parse(leaf) else {
            // `3 0 x` compares bytes and can match what we cannot read.
            return Self {
                certificates: Vec::new(),
                prints: Vec::new(),
                leaf: Some(Prints::new(leaf, None)),
            };
        };
        let mut certificates = vec![first];
        certificates.extend(sent.filter_map(|der| Certificate::parse(der).ok()));
        let prints: Vec<_> = certificates.iter().map(|c| Prints::new(c.der, Some(c.spki()))).collect();
        let leaf = prints.first().cloned();
        Self { certificates, prints, leaf }
    }

    /// The leaf, when it can be read.
    pub(in crate::dane) fn leaf(&self) -> Option<&Certificate<'a>> {
        self.certificates.first()
    }

    /// Whether the record is the leaf or its key.
    pub(in crate::dane) fn leaf_matches(&self, tlsa: &Tlsa) -> bool {
        self.leaf.as_ref().is_some_and(|prints| prints.match_record(tlsa))
    }

    /// Positions of the certificates above the leaf that the record is. A copy of the leaf is not above it
    /// (reading B8).
    pub(in crate::dane) fn issuers_matching(&self, tlsa: &Tlsa) -> Vec<usize> {
        let is_leaf = |at: usize| self.certificates[at].der == self.certificates[0].der;
        (1..self.certificates.len())
            .filter(|at| !is_leaf(*at) && self.prints[*at].match_record(tlsa))
            .collect()
    }
}

/// A certificate and its key, and those of their digests that a record asked for; index 0 the certificate,
/// 1 the key.
#[derive(Clone)]
struct Prints<'a> {
    whole: [Option<&'a [u8]>; 2],
    sha256: [OnceCell<[u8; 32]>; 2],
    sha512: [OnceCell<[u8; 64]>; 2],
}

impl<'a> Prints<'a> {
    fn new(certificate: &'a [u8], key: Option<&'a [u8]>) -> Self {
        Self { whole: [Some(certificate), key], sha256: Default::default(), sha512: Default::default() }
    }

    fn match_record(&self, tlsa: &Tlsa) -> bool {
        let selector = usize::from(tlsa.selector);
        let Some(whole) = self.whole.get(selector).copied().flatten() else { return false };
        let print = match tlsa.matching {
            0 => whole,
            1 => self.sha256[selector].get_or_init(|| Sha256::digest(whole).into()).as_slice(),
            2 => self.sha512[selector].get_or_init(|| Sha512::digest(whole).into()).as_slice(),
            _ => return false,
        };
        print == tlsa.data
    }
}
