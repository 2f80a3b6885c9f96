//! TLS as a client: our own verifier that always stores its verdict, and the anchors it uses.

use std::path::PathBuf;

/// Anchors of the web PKI: the platform's roots and those of `tls.extra_roots`.
#[derive(Debug)]
pub struct Roots {}

/// Why the anchors cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct RootsError {
    /// The file.
    pub path: String,
    /// What is wrong.
    pub why: String,
}

impl Roots {
    /// The platform's roots and every certificate of these PEM files.
    ///
    /// # Errors
    /// When a file cannot be read or holds no certificate.
    pub fn load(extra: &[PathBuf]) -> Result<Self, RootsError> {
        let _ = extra;
        unimplemented!()
    }
}
