//! One certificate as sent, parsed once, with what a verdict asks of it.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls_pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::{MAX_CERTIFICATES, MAX_CHAIN_BYTES, MAX_NAMES, der};

/// Why bytes are no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read; holds what is wrong.
    #[error("the certificate cannot be read: {0}")]
    Malformed(String),
    /// More bytes than a whole chain may have.
    #[error("the certificate has {0} bytes, more than the 65536 that are looked at")]
    TooLarge(usize),
}

/// A certificate and its bytes.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    /// As sent.
    pub(crate) der: &'a [u8],
    /// As read.
    pub(crate) parsed: X509Certificate<'a>,
    /// Start of validity.
    pub(crate) not_before: Timestamp,
    /// End of validity.
    pub(crate) not_after: Timestamp,
}

/// Whether a signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    Holds,
    Fails,
    /// An algorithm or key size that we do not trust or do not know (SHA-1, RSA below 2048 bits, …).
    Unsupported,
}

impl<'a> Certificate<'a> {
    /// Reads one certificate that fills `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CertificateError> {
        if bytes.len() > MAX_CHAIN_BYTES {
            return Err(CertificateError::TooLarge(bytes.len()));
        }
        let malformed = |what: &str| CertificateError::Malformed(what.to_owned());
        let (rest, parsed) = X509Certificate::from_der(bytes).map_err(|error| match error {
            x509_parser::nom::Err::Incomplete(_) => malformed("it is cut short"),
            x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => {
                CertificateError::Malformed(error.to_string())
            }
        })?;
        if !rest.is_empty() {
            return Err(malformed("something follows it"));
        }
        let validity = parsed.validity();
        let time = |second| Timestamp::from_second(second).map_err(|_| malformed("a date is out of range"));
        let not_before = time(validity.not_before.timestamp())?;
        let not_after = time(validity.not_after.timestamp())?;
        Ok(Self { der: bytes, parsed, not_before, not_after })
    }

    /// The subjectPublicKeyInfo, header included: what selector 1 hashes.
    pub(crate) fn spki(&self) -> &'a [u8] {
        self.parsed.tbs_certificate.subject_pki.raw
    }

    /// Subject and issuer as bytes; names are compared as sent, like webpki does.
    pub(crate) fn subject(&self) -> &'a [u8] {
        self.parsed.tbs_certificate.subject.as_raw()
    }

    pub(crate) fn issuer(&self) -> &'a [u8] {
        self.parsed.tbs_certificate.issuer.as_raw()
    }

    /// Whether it names itself as its issuer.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject() == self.issuer()
    }

    /// Self-issued, and not shown to be signed by another: an old algorithm does not hide what it is.
    pub(crate) fn signs_itself(&self) -> bool {
        self.is_self_issued()
            && der::sequence_content(self.spki())
                .is_some_and(|key| self.signature_by(key) != Signature::Fails)
    }

    /// The DNS-IDs, at most [`MAX_NAMES`]. An unreadable subjectAltName has none.
    pub(crate) fn dns_ids(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.general_names().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
    }

    /// The IP-IDs (RFC 5280 §4.2.1.6: four octets or sixteen), at most [`MAX_NAMES`].
    pub(crate) fn ip_ids(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.general_names().filter_map(|name| match name {
            GeneralName::IPAddress(octets) => match octets.len() {
                4 => <[u8; 4]>::try_from(*octets).ok().map(IpAddr::from),
                _ => <[u8; 16]>::try_from(*octets).ok().map(IpAddr::from),
            },
            _ => None,
        })
    }

    /// Everything in the subjectAltName, at most [`MAX_NAMES`].
    pub(crate) fn general_names(&self) -> impl Iterator<Item = &GeneralName<'a>> {
        self.parsed
            .extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .take(MAX_NAMES)
    }

    /// Whether the key in `spki_content` (a SubjectPublicKeyInfo without its header) made the signature.
    pub(crate) fn signature_by(&self, spki_content: &[u8]) -> Signature {
        self.signature_checked(spki_content, |algorithm, key, message, signature| {
            algorithm.verify_signature(key, message, signature).is_ok()
        })
    }

    /// The same, with the arithmetic left to `holds`: for an algorithm that fits, the key, what is signed
    /// and the signature.
    pub(super) fn signature_checked(
        &self,
        spki_content: &[u8],
        mut holds: impl FnMut(&dyn SignatureVerificationAlgorithm, &[u8], &[u8], &[u8]) -> bool,
    ) -> Signature {
        let (Some(parts), Some((key_algorithm, key))) =
            (der::signed_parts(self.der), der::key_parts(spki_content))
        else {
            return Signature::Unsupported;
        };
        let is = |id: AlgorithmIdentifier, bytes: &[u8]| id.as_ref() == bytes;
        let mut fitting = webpki::ALL_VERIFICATION_ALGS
            .iter()
            .filter(|a| is(a.signature_alg_id(), parts.algorithm) && is(a.public_key_alg_id(), key_algorithm))
            .peekable();
        if fitting.peek().is_none() {
            return Signature::Unsupported;
        }
        if fitting.any(|a| holds(*a, key, parts.signed, parts.signature)) {
            Signature::Holds
        } else {
            Signature::Fails
        }
    }
}

/// Reads a whole chain: the leaf must be readable, the others count only if they are.
///
/// # Errors
/// When nothing was sent, too much was sent, or the leaf is no certificate.
pub(crate) fn read_chain(chain: &[Vec<u8>]) -> Result<Vec<Certificate<'_>>, CertificateError> {
    let malformed = |what: String| Err(CertificateError::Malformed(what));
    let bytes: usize = chain.iter().map(Vec::len).sum();
    if chain.len() > MAX_CERTIFICATES {
        return malformed(format!("the chain has {} certificates, more than 10", chain.len()));
    }
    if bytes > MAX_CHAIN_BYTES {
        return malformed(format!("the chain has {bytes} bytes, more than 65536"));
    }
    let Some((leaf, others)) = chain.split_first() else {
        return malformed("no certificate was sent".to_owned());
    };
    let mut certificates = vec![Certificate::parse(leaf)?];
    certificates.extend(others.iter().filter_map(|der| Certificate::parse(der).ok()));
    Ok(certificates)
}
