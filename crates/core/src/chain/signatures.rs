//! Signatures that were found to hold, so that none is computed twice.
//!
//! Whether a signature holds depends on algorithm, key, message and signature alone: what held once always
//! will. Only that is remembered, by a digest over exactly these bytes, and only success. Dates, names,
//! constraints and what else makes an issuer are judged each time anew.
//!
//! Two spans of memory. Within a verdict, [`Search`](super::path::Search) checks what webpki then asks for
//! again. Beyond it, [`Known`] keeps what issuers' certificates are signed with: a few intermediates stand
//! in the chains of nearly all servers, whereas a leaf is met once and is not kept.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use sha2::{Digest, Sha256};

use super::certificate::{Certificate, Signature};

/// The most signatures of issuers that are known at a time, 32 octets each.
const MOST_KNOWN: usize = 4096;

/// A digest over all that the validity of a signature depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Print([u8; 32]);

impl Print {
    fn of(
        algorithm: &dyn SignatureVerificationAlgorithm,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Self {
        let (how, whose) = (algorithm.signature_alg_id(), algorithm.public_key_alg_id());
        let mut digest = Sha256::new();
        for part in [how.as_ref(), whose.as_ref(), key, message, signature] {
            // Lengths in front: no two lists of parts run together to the same bytes.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// Signatures on certificates of issuers that hold, whoever met them.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashSet<Print>>);

impl Known {
    fn lock(&self) -> MutexGuard<'_, HashSet<Print>> {
        // Nothing panics while holding it; and if it did, the set would still be whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contains(&self, print: &Print) -> bool {
        self.lock().contains(print)
    }

    /// Who sends made-up issuers by the thousand makes others compute again, and nothing else.
    fn insert(&self, print: Print) {
        let mut known = self.lock();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(print);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

/// What was found to hold in one search.
pub(crate) struct Held<'k> {
    known: Option<&'k Known>,
    here: Vec<Print>,
}

impl<'k> Held<'k> {
    /// Nothing yet; with `known`, what others found counts, and they learn of what is found here.
    pub(super) fn new(known: Option<&'k Known>) -> Self {
        Self { known, here: Vec::new() }
    }

    /// Whether the key in `spki_content` made the signature of `certificate`, which is that of an issuer
    /// or of a leaf.
    pub(super) fn signature_of(
        &mut self,
        certificate: &Certificate<'_>,
        is_issuer: bool,
        spki_content: &[u8],
    ) -> Signature {
        let known = self.known.filter(|_| is_issuer);
        certificate.signature_checked(spki_content, |algorithm, key, message, signature| {
            let print = Print::of(algorithm, key, message, signature);
            let is_known = known.is_some_and(|known| known.contains(&print));
            let holds = is_known || algorithm.verify_signature(key, message, signature).is_ok();
            if holds {
                self.here.push(print);
                if let Some(known) = known.filter(|_| !is_known) {
                    known.insert(print);
                }
            }
            holds
        })
    }

    /// All algorithms that we trust, which answer from memory what was found here.
    pub(super) fn algorithms(&self) -> Vec<Remembering<'_>> {
        let remembering = |real: &&'static dyn SignatureVerificationAlgorithm| Remembering {
            real: *real,
            held: &self.here,
        };
        webpki::ALL_VERIFICATION_ALGS.iter().map(remembering).collect()
    }
}

/// An algorithm that computes nothing twice.
#[derive(Debug)]
pub(super) struct Remembering<'h> {
    real: &'static dyn SignatureVerificationAlgorithm,
    held: &'h [Print],
}

impl SignatureVerificationAlgorithm for Remembering<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        if self.held.contains(&Print::of(self.real, key, message, signature)) {
            return Ok(());
        }
        self.real.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.real.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.real.signature_alg_id()
    }
}

#[cfg(test)]
mod tests;
