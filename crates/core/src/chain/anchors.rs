//! Trust anchors of the web PKI, owned.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor};

use super::CertificateError;
use super::signatures::Known;

/// Names and keys that end a path: made of root certificates, whose own dates and flags do not count
/// (RFC 5280 §6.1.1 d).
///
/// Verdicts by the same anchors (or by clones of them) share what they know of signatures on intermediates,
/// so that each is computed once. No verdict depends on it.
#[derive(Debug, Clone, Default)]
pub struct TrustAnchors {
    anchors: Vec<TrustAnchor<'static>>,
    known: Arc<Known>,
}

impl TrustAnchors {
    /// No anchors: nothing is trusted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Anchors of all certificates (DER) that can be read, and how many could not. A platform's store
    /// may hold a root that nobody can read any more, which is no reason to trust none.
    pub fn from_der<C: AsRef<[u8]>>(certificates: impl IntoIterator<Item = C>) -> (Self, usize) {
        let mut anchors = Self::new();
        let refused = certificates.into_iter().filter(|c| anchors.add(c.as_ref()).is_err()).count();
        (anchors, refused)
    }

    /// One more anchor.
    ///
    /// # Errors
    /// When `certificate` is no certificate.
    pub fn add(&mut self, certificate: &[u8]) -> Result<(), CertificateError> {
        let certificate = CertificateDer::from(certificate);
        let anchor = webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|error| CertificateError::Malformed(error.to_string()))?;
        self.anchors.push(anchor.to_owned());
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether nothing is trusted.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// For webpki.
    pub fn as_slice(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Signatures of issuers known to hold.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }
}
