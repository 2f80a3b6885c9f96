//! DKIM signatures of report mails (RFC 6376, RFC 8463), by the domain of contact-info (RFC 8460 §3).
//!
//! Every key configured signs: RSA for those who know nothing else, Ed25519 beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{DkimSigner, Done};
use mailward_core::DomainName;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

/// RFC 8460 §5.3: both TLS-Report fields; the rest is what a reader sees or a parser acts on. No `l=`: the
/// whole body is signed (RFC 8460 §3).
const SIGNED: [&str; 11] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "TLS-Report-Domain",
    "TLS-Report-Submitter",
    "TLS-Required",
    "Auto-Submitted",
];

/// A private key with its place in the DNS.
pub struct SigningKey {
    signer: DkimSigner<DkimKey, Done>,
    domain: DomainName,
    name: DomainName,
    public: Vec<u8>,
    algorithm: &'static str,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DkimKeyError(String);

/// What a key record says of our key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is this key.
    Matches,
    /// It is not, or cannot be used for reports; why.
    Differs(String),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).field("algorithm", &self.algorithm).finish()
    }
}

impl SigningKey {
    /// From a PEM text: PKCS #8 (RSA or Ed25519) or PKCS #1 (RSA).
    ///
    /// # Errors
    /// When it holds no such key, or the selector is no name.
    pub fn from_pem(pem: &[u8], domain: &DomainName, selector: &str) -> Result<Self, DkimKeyError> {
        let name = DomainName::parse(&format!("{selector}._domainkey.{domain}"))
            .map_err(|e| DkimKeyError(format!("the selector {selector:?}: {e}")))?;
        let der = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|_| DkimKeyError("no private key in PEM (PKCS #8 or PKCS #1)".into()))?;
        let (key, public, algorithm) = read(der)?;
        let signer = DkimSigner::from_key(key).domain(domain.as_str()).selector(selector).headers(SIGNED);
        Ok(Self { signer, domain: domain.clone(), name, public, algorithm })
    }

    /// The domain that signs.
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }

    /// Where its public half is published.
    pub fn record_name(&self) -> &DomainName {
        &self.name
    }

    /// `rsa-sha256` or `ed25519-sha256`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The TXT record to publish for it.
    pub fn record(&self) -> String {
        match self.algorithm {
            "ed25519-sha256" => {
                format!("v=DKIM1; k=ed25519; s=tlsrpt; p={}", STANDARD.encode(&self.public))
            }
            _ => {
                let framed = framed(&self.public);
                format!("v=DKIM1; k=rsa; s=tlsrpt; p={}", STANDARD.encode(framed))
            }
        }
    }

    /// The DKIM-Signature field for a mail, with its line end.
    pub(super) fn sign(&self, mail: &[u8]) -> Result<String, String> {
        let signature = self.signer.sign(mail).map_err(|e| format!("{} cannot sign: {e}", self.name))?;
        Ok(signature.to_header())
    }

    /// Whether a TXT record publishes this key for reports (RFC 6376 §3.6.1, reading A24).
    pub fn published(&self, record: &str) -> Published {
        let tag = |wanted: &str| {
            record.split(';').filter_map(|tag| tag.split_once('=')).find_map(|(name, value)| {
                (name.trim() == wanted).then(|| value.split_whitespace().collect::<String>())
            })
        };
        let differs = |why: &str| Published::Differs(why.to_owned());
        let services = tag("s").unwrap_or_else(|| "*".to_owned());
        if !services.split(':').any(|service| matches!(service, "*" | "tlsrpt")) {
            return Published::Differs(format!("it says s={services}, which leaves tlsrpt out"));
        }
        match tag("p").as_deref() {
            None => differs("it has no key (p=)"),
            Some("") => differs("the key is revoked (p= is empty)"),
            Some(text) => match STANDARD.decode(text) {
                // An RSA key is published with a frame around it (SubjectPublicKeyInfo) or bare.
                Ok(bytes) if bytes.ends_with(&self.public) => Published::Matches,
                Ok(_) => differs("it is another key"),
                Err(_) => differs("the key is no base64"),
            },
        }
    }
}

fn read(der: PrivateKeyDer<'_>) -> Result<(DkimKey, Vec<u8>, &'static str), DkimKeyError> {
    let unusable = || DkimKeyError("the key is neither RSA of 2048 to 8192 bits nor Ed25519".into());
    if let PrivateKeyDer::Pkcs8(pkcs8) = &der
        && let Ok(key) = Ed25519Key::from_pkcs8_maybe_unchecked_der(pkcs8.secret_pkcs8_der())
    {
        let public = key.public_key();
        return Ok((key.into(), public, "ed25519-sha256"));
    }
    let key = RsaKey::<Sha256>::from_key_der(der).map_err(|_| unusable())?;
    let public = key.public_key();
    Ok((key.into(), public, "rsa-sha256"))
}

/// A bare RSA key (PKCS #1) as a SubjectPublicKeyInfo (RFC 3279 §2.3.1), as key records have it.
fn framed(bare: &[u8]) -> Vec<u8> {
    // rsaEncryption with NULL parameters.
    const ALGORITHM: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    let mut bits = vec![0];
    bits.extend_from_slice(bare);
    let mut inner = ALGORITHM.to_vec();
    inner.extend(tagged(3, &bits));
    tagged(0x30, &inner)
}

/// DER: tag, length, content.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|b| *b != 0).unwrap_or(length.len() - 1)..];
    if content.len() < 0x80 {
        out.extend_from_slice(significant);
    } else {
        // invariant: a length has at most eight bytes.
        out.push(0x80 | significant.len() as u8);
        out.extend_from_slice(significant);
    }
    out.extend_from_slice(content);
    out
}
