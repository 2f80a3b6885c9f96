//! What a certificate may be used for.

use x509_parser::extensions::{ParsedExtension, X509Extension};

use crate::chain::ChainFault;
use crate::chain::certificate::Certificate;

/// RFC 5280 §4.2: a critical extension that is not understood, or that cannot be read, refuses the
/// certificate. So does any unreadable one of those that we act on.
pub(super) fn extension_fault(certificate: &Certificate<'_>) -> Option<ChainFault> {
    certificate.parsed.extensions().iter().find(|extension| is_unusable(extension)).map(|extension| {
        ChainFault::Malformed(format!("extension {} is unreadable or critical and unknown", extension.oid))
    })
}

fn is_unusable(extension: &X509Extension<'_>) -> bool {
    match extension.parsed_extension() {
        ParsedExtension::ParseError { .. } => {
            extension.critical || is_acted_on(&extension.oid.to_id_string())
        }
        ParsedExtension::SubjectAlternativeName(_)
        | ParsedExtension::BasicConstraints(_)
        | ParsedExtension::KeyUsage(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::NameConstraints(_)
        | ParsedExtension::CertificatePolicies(_)
        | ParsedExtension::PolicyMappings(_)
        | ParsedExtension::PolicyConstraints(_)
        | ParsedExtension::InhibitAnyPolicy(_)
        | ParsedExtension::CRLDistributionPoints(_)
        | ParsedExtension::NSCertType(_) => false,
        _ => extension.critical,
    }
}

/// keyUsage, subjectAltName, basicConstraints, nameConstraints, extKeyUsage.
fn is_acted_on(oid: &str) -> bool {
    matches!(oid, "2.5.29.15" | "2.5.29.17" | "2.5.29.19" | "2.5.29.30" | "2.5.29.37")
}

/// RFC 5280 §6.1.4 (k) and (n): an issuer has the CA flag and leave to sign certificates.
pub(super) fn issuer_fault(certificate: &Certificate<'_>) -> Option<ChainFault> {
    let is_ca = extensions(certificate).any(|e| matches!(e, ParsedExtension::BasicConstraints(b) if b.ca));
    let may_not_sign =
        extensions(certificate).any(|e| matches!(e, ParsedExtension::KeyUsage(u) if !u.key_cert_sign()));
    (!is_ca || may_not_sign).then_some(ChainFault::NotACa)
}

/// RFC 5280 §4.2.1.9: how many issuers may stand between this one and the leaf.
pub(super) fn room(certificate: &Certificate<'_>) -> u32 {
    extensions(certificate)
        .filter_map(|extension| match extension {
            ParsedExtension::BasicConstraints(basic) => basic.path_len_constraint,
            _ => None,
        })
        .min()
        .unwrap_or(u32::MAX)
}

/// RFC 5280 §4.2.1.12: without the extension every purpose is meant, as with `anyExtendedKeyUsage`.
pub(super) fn purpose_fault(certificate: &Certificate<'_>) -> Option<ChainFault> {
    extensions(certificate)
        .any(|e| matches!(e, ParsedExtension::ExtendedKeyUsage(usage) if !usage.any && !usage.server_auth))
        .then_some(ChainFault::Purpose)
}

fn extensions<'a>(certificate: &'a Certificate<'_>) -> impl Iterator<Item = &'a ParsedExtension<'a>> {
    certificate.parsed.extensions().iter().map(|extension| extension.parsed_extension())
}
