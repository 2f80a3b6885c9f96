//! Verdicts on a certificate chain by the web PKI, as a pure function of chain, anchors, name, time.
//!
//! RFC 8461 §4.2 asks of an MX certificate: a trusted chain, valid dates, and the name in a DNS-ID
//! (never CN; a wildcard only as the whole left-most label). One verdict serves policy hosts and
//! MX hosts, and every TLS library underneath.
//!
//! [`verify_web_pki`] says everything that is wrong at once, so that an operator mends it once: path,
//! dates and name are judged apart. [`path`] finds the way to an anchor (DANE uses it too), webpki has
//! the last word on that way. A chain is what a stranger sent: it is bounded before it is looked at, no
//! signature is computed twice (see `signatures`), and the search visits each certificate once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::tlsrpt::ResultType;

mod anchors;
mod certificate;
mod der;
mod describe;
mod distinguished_name;
#[cfg(test)]
pub(crate) mod minting;
pub mod name;
pub(crate) mod path;
mod signatures;
mod text;
mod web_pki;

pub use anchors::TrustAnchors;
pub(crate) use certificate::Certificate;
pub use certificate::CertificateError;
pub use describe::{describe, describe_chain};
pub(crate) use text::{hex, printable};
pub use web_pki::{verify_web_pki, verify_web_pki_address};

/// The most certificates of a chain that are looked at; a longer one is refused as a whole.
pub const MAX_CERTIFICATES: usize = 10;
/// The most bytes of a chain that are looked at; a longer one is refused as a whole.
pub const MAX_CHAIN_BYTES: usize = 64 * 1024;
/// The most names of a certificate that are compared.
pub const MAX_NAMES: usize = 1000;

/// One thing wrong with a chain. Several can hold at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
pub enum ChainFault {
    /// notAfter of the leaf or an issuer has passed; holds it.
    Expired(Timestamp),
    /// notBefore lies ahead; holds it (reading A33).
    NotYetValid(Timestamp),
    /// No DNS-ID (or IP-ID, for an address) fits; holds the names presented.
    HostMismatch(Vec<String>),
    /// The issuer is not among the anchors.
    UnknownIssuer,
    /// The leaf signs itself.
    SelfSigned,
    /// Only the leaf was sent and its issuer is no anchor: an intermediate is missing.
    IncompleteChain,
    /// A signature does not verify.
    BadSignature,
    /// An issuer that is no CA.
    NotACa,
    /// The certificate is not for servers.
    Purpose,
    /// The leaf cannot be read, or has an unsupported algorithm, version or critical extension.
    Malformed(String),
}

impl ChainFault {
    /// What a sender reports for it (RFC 8460 §4.3.1).
    pub fn result_type(&self) -> ResultType {
        match self {
            Self::Expired(_) => ResultType::CertificateExpired,
            Self::HostMismatch(_) => ResultType::CertificateHostMismatch,
            Self::Purpose | Self::Malformed(_) => ResultType::ValidationFailure,
            _ => ResultType::CertificateNotTrusted,
        }
    }

    /// Our failure-reason-code.
    pub fn reason_code(&self) -> &'static str {
        match self {
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not-yet-valid",
            Self::HostMismatch(_) => "host-mismatch",
            Self::UnknownIssuer => "unknown-issuer",
            Self::SelfSigned => "self-signed",
            Self::IncompleteChain => "incomplete-chain",
            Self::BadSignature => "bad-signature",
            Self::NotACa => "not-a-ca",
            Self::Purpose => "eku",
            Self::Malformed(_) => "bad-der",
        }
    }
}

/// Serialises DER as base64.
pub mod der_base64 {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// As base64 text.
    pub fn serialize<S: Serializer>(der: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(der))
    }

    /// From base64 text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}
