//! A certification authority of the world's own, and every way in which its customers get it wrong.
//!
//! Root and intermediate are new in each world. Validity counts by the world's clock.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mailward_core::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use crate::clock::WorldClock;
use crate::dns::hex;

/// What is right or wrong about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateKind {
    /// Root, intermediate, leaf; the right names; 90 days to go.
    #[default]
    Good,
    /// Ended yesterday.
    Expired,
    /// Ends in three days.
    EndsSoon,
    /// Begins in two days.
    NotYetValid,
    /// Good, for `wrong-name.invalid`.
    WrongName,
    /// Signed by its own key.
    SelfSigned,
    /// By an authority that nobody trusts.
    OtherCa,
    /// The name stands only in the common name, which nobody may look at (RFC 9525).
    CnOnly,
    /// Good, but the intermediate is not sent.
    MissingIntermediate,
    /// Good, issued by the root itself: the shortest chain there is.
    Direct,
}

/// A chain with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Leaf first, root left out.
    pub chain: Vec<CertificateDer<'static>>,
    key: Arc<KeyPair>,
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// A chain that was made elsewhere, leaf first, with the key of the leaf (PKCS #8).
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn made_elsewhere(chain: Vec<CertificateDer<'static>>, key: &[u8]) -> std::io::Result<Self> {
        let key = KeyPair::try_from(key).map_err(std::io::Error::other)?;
        Ok(Self::new(chain, Arc::new(key)))
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: Arc<KeyPair>) -> Self {
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer =
            rustls::crypto::aws_lc_rs::sign::any_supported_type(&private).expect("P-256 keys are supported");
        let certified = Arc::new(CertifiedKey::new(chain.clone(), signer));
        Self { chain, key, certified }
    }

    /// The chain as PEM, leaf first.
    pub fn certificate_pem(&self) -> String {
        self.chain.iter().map(|der| pem("CERTIFICATE", der)).collect()
    }

    /// The private key as PEM (PKCS #8).
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// SHA-256 of the leaf's public key, hex: the data of a `3 1 1` record (RFC 6698 §2.1).
    pub fn spki_sha256(&self) -> String {
        hex(&Sha256::digest(self.key.subject_public_key_info()))
    }

    /// SHA-256 of a certificate of the chain, hex: the data of `2 0 1` or `3 0 1`.
    pub fn certificate_sha256(&self, depth: usize) -> Option<String> {
        self.chain.get(depth).map(|der| hex(&Sha256::digest(der)))
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

/// Root and intermediate of a world, and the stranger whom nobody trusts.
pub struct CertificateAuthority {
    root: Authority,
    intermediate: Authority,
    stranger: Authority,
    clock: Arc<WorldClock>,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Days a good certificate has left when it is issued.
const GOOD_DAYS: i32 = 90;

impl CertificateAuthority {
    pub(crate) fn new(clock: Arc<WorldClock>) -> Self {
        let now = clock.now();
        let root = authority("Lab Root", now, None);
        let intermediate = authority("Lab Intermediate", now, Some(&root));
        let stranger = authority("Unknown Root", now, None);
        Self { root, intermediate, stranger, clock }
    }

    /// The root as PEM, for `tls.extra_roots`.
    pub fn root_pem(&self) -> String {
        pem("CERTIFICATE", &self.root.der)
    }

    /// The root.
    pub fn root(&self) -> CertificateDer<'static> {
        self.root.der.clone()
    }

    /// The intermediate, for `2 1 1` records and the like.
    pub fn intermediate(&self) -> CertificateDer<'static> {
        self.intermediate.der.clone()
    }

    /// SHA-256 of the intermediate's public key, hex: the data of a `2 1 1` record.
    pub fn intermediate_spki_sha256(&self) -> String {
        hex(&Sha256::digest(self.intermediate.issuer.key().subject_public_key_info()))
    }

    /// Issues a certificate for these names with a new key.
    pub fn issue(&self, names: &[&str], kind: CertificateKind) -> Identity {
        let key = KeyPair::generate().expect("P-256 keys can be made");
        self.issue_for_key(names, kind, Arc::new(key))
    }

    /// Renews: the same key, the same names or others, dates from now.
    pub fn renew(&self, old: &Identity, names: &[&str], kind: CertificateKind) -> Identity {
        self.issue_for_key(names, kind, Arc::clone(&old.key))
    }

    /// Issues a good certificate with this many days left (negative: ended that long ago).
    pub fn issue_with_days_left(&self, names: &[&str], days: i32) -> Identity {
        let key = Arc::new(KeyPair::generate().expect("P-256 keys can be made"));
        let now = self.clock.now();
        let params = leaf(names, shift(now, days.min(0) - GOOD_DAYS), shift(now, days));
        self.sign(params, CertificateKind::Good, key)
    }

    fn issue_for_key(&self, names: &[&str], kind: CertificateKind, key: Arc<KeyPair>) -> Identity {
        let now = self.clock.now();
        let (from, to) = match kind {
            CertificateKind::Expired => (-GOOD_DAYS, -1),
            CertificateKind::EndsSoon => (3 - GOOD_DAYS, 3),
            CertificateKind::NotYetValid => (2, GOOD_DAYS),
            _ => (-1, GOOD_DAYS),
        };
        let names = if kind == CertificateKind::WrongName { &["wrong-name.invalid"] } else { names };
        let mut params = leaf(names, shift(now, from), shift(now, to));
        if kind == CertificateKind::CnOnly {
            params.subject_alt_names.clear();
        }
        self.sign(params, kind, key)
    }

    fn sign(&self, params: CertificateParams, kind: CertificateKind, key: Arc<KeyPair>) -> Identity {
        let by = |authority: &Authority| params.signed_by(&*key, &authority.issuer);
        let (leaf, issuers) = match kind {
            CertificateKind::SelfSigned => (params.self_signed(&*key), vec![]),
            CertificateKind::OtherCa => (by(&self.stranger), vec![]),
            CertificateKind::Direct => (by(&self.root), vec![]),
            CertificateKind::MissingIntermediate => (by(&self.intermediate), vec![]),
            _ => (by(&self.intermediate), vec![self.intermediate.der.clone()]),
        };
        let leaf = leaf.expect("a certificate of valid parameters can be signed");
        let chain: Vec<CertificateDer<'static>> = [leaf.der().clone()].into_iter().chain(issuers).collect();
        Identity::new(chain, key)
    }
}

fn leaf(names: &[&str], from: Timestamp, to: Timestamp) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
    let first = names.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(names).expect("the names are ASCII");
    params.distinguished_name = subject(&first);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    dates(&mut params, from, to);
    params
}

fn authority(name: &str, now: Timestamp, by: Option<&Authority>) -> Authority {
    let key = KeyPair::generate().expect("P-256 keys can be made");
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    dates(&mut params, shift(now, -400), shift(now, 3650));
    let certificate = match by {
        Some(parent) => params.signed_by(&key, &parent.issuer),
        None => params.self_signed(&key),
    };
    let der = certificate.expect("a certificate of valid parameters can be signed").der().clone();
    Authority { issuer: Issuer::new(params, key), der }
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn dates(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let date = |at: Timestamp| {
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds)
    };
    params.not_before = date(from);
    params.not_after = date(to);
}

fn shift(now: Timestamp, days: i32) -> Timestamp {
    now.saturating_add(DAY * days).unwrap_or(now)
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
