//! Certificates in words, for people and for the store.
//!
//! Subjects and names are written by whoever made the certificate: control characters and those that
//! reorder text are escaped, long ones cut.

use sha2::{Digest, Sha256};

use super::certificate::{Certificate, CertificateError};
use super::text::{hex, printable};
use super::{MAX_CERTIFICATES, MAX_CHAIN_BYTES, distinguished_name};
use crate::facts::CertificateFacts;

/// DNS names kept.
const NAMES_KEPT: usize = 100;

/// What a certificate says of itself.
///
/// # Errors
/// When `der` is no certificate.
pub fn describe(der: &[u8]) -> Result<CertificateFacts, CertificateError> {
    Certificate::parse(der).map(|certificate| facts(&certificate))
}

/// Every certificate of a chain that can be read, in its order, within the limits of a chain.
pub fn describe_chain(chain: &[Vec<u8>]) -> Vec<CertificateFacts> {
    let mut room = MAX_CHAIN_BYTES;
    chain
        .iter()
        .take(MAX_CERTIFICATES)
        .take_while(|der| {
            let fits = der.len() <= room;
            room = room.saturating_sub(der.len());
            fits
        })
        .filter_map(|der| describe(der).ok())
        .collect()
}

fn facts(certificate: &Certificate<'_>) -> CertificateFacts {
    CertificateFacts {
        subject: distinguished_name::text(certificate.parsed.subject()),
        issuer: distinguished_name::text(certificate.parsed.issuer()),
        dns_names: certificate.dns_ids().take(NAMES_KEPT).map(printable).collect(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        sha256: hex(&Sha256::digest(certificate.der)),
        spki_sha256: hex(&Sha256::digest(certificate.spki())),
        der: certificate.der.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_shown_harmless() {
        let long = "x".repeat(300);
        let cut = format!("{}…", "x".repeat(255));
        for (text, shown) in [
            ("CN=mail.example.com", "CN=mail.example.com"),
            ("CN=Bücher", "CN=Bücher"),
            ("a\r\nb\u{1b}[2Jc", "a\\u{d}\\u{a}b\\u{1b}[2Jc"),
            ("moc.\u{202e}elpmaxe", "moc.\\u{202e}elpmaxe"),
            (long.as_str(), cut.as_str()),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn garbage_is_not_described() {
        for der in [&b""[..], b"\x30", b"\x30\x03\x02\x01\x01", b"-----BEGIN CERTIFICATE-----"] {
            assert!(describe(der).is_err(), "{der:?}");
        }
        assert_eq!(describe(&[0; MAX_CHAIN_BYTES + 1]), Err(CertificateError::TooLarge(MAX_CHAIN_BYTES + 1)));
        assert_eq!(describe_chain(&[vec![], vec![0x30]]), []);
    }
}
