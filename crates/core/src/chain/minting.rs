//! Certificates for the tests of this crate, valid through 2026 unless a test says otherwise.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, SigningKey,
    date_time_ymd,
};

use crate::DomainName;

/// A certificate, what it was made of, and its key.
pub(crate) struct Minted {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) der: Vec<u8>,
}

/// The middle of 2026.
pub(crate) fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn host(name: &str) -> DomainName {
    DomainName::parse(name).unwrap()
}

/// A server's certificate to be, for these DNS-IDs.
pub(crate) fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    named("server", CertificateParams::new(names).unwrap())
}

/// A CA's certificate to be.
pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = named(name, CertificateParams::default());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(crate) fn named(name: &str, mut params: CertificateParams) -> CertificateParams {
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

pub(crate) fn with(
    mut params: CertificateParams,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    change(&mut params);
    params
}

/// Ends with February 2026.
pub(crate) fn expired(params: CertificateParams) -> CertificateParams {
    with(params, |p| p.not_after = date_time_ymd(2026, 3, 1))
}

/// Begins with November 2026.
pub(crate) fn early(params: CertificateParams) -> CertificateParams {
    with(params, |p| p.not_before = date_time_ymd(2026, 11, 1))
}

pub(crate) fn self_signed(params: CertificateParams) -> Minted {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    minted(params, key, &certificate)
}

pub(crate) fn signed(params: CertificateParams, by: &Minted) -> Minted {
    signed_with(params, by, &by.key)
}

/// Names `by` as issuer, with a signature of `signer`.
pub(crate) fn signed_with(params: CertificateParams, by: &Minted, signer: &KeyPair) -> Minted {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &Issuer::from_params(&by.params, signer)).unwrap();
    minted(params, key, &certificate)
}

fn minted(params: CertificateParams, key: KeyPair, certificate: &Certificate) -> Minted {
    Minted { params, key, der: certificate.der().to_vec() }
}

/// The same certificate in X.509 version 1, which has no extensions, signed by `by`.
pub(crate) fn version_1(certificate: &Minted, by: &Minted) -> Vec<u8> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let parsed = X509Certificate::from_der(&certificate.der).unwrap().1.tbs_certificate;
    let validity = b"\x17\x0d260101000000Z\x17\x0d270101000000Z";
    // ecdsa-with-SHA256, as rcgen signs.
    let algorithm = sequence(&[b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"]);
    let (issuer, subject, key) = (parsed.issuer.as_raw(), parsed.subject.as_raw(), parsed.subject_pki.raw);
    let signed = sequence(&[b"\x02\x01\x01", &algorithm, issuer, &sequence(&[validity]), subject, key]);
    let signature = [b"\0".to_vec(), by.key.sign(&signed).unwrap()].concat();
    sequence(&[&signed, &algorithm, &element(0x03, &signature)])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    [&[tag, 0x82, high, low][..], content].concat()
}
