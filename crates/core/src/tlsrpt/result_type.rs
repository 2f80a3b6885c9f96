//! The result types of RFC 8460 §4.3.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong in a session. Unknown types are kept verbatim, never lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ResultType {
    /// §4.3.1
    StarttlsNotSupported,
    /// §4.3.1
    CertificateHostMismatch,
    /// §4.3.1
    CertificateExpired,
    /// §4.3.1
    CertificateNotTrusted,
    /// §4.3.1
    ValidationFailure,
    /// §4.3.2.1
    TlsaInvalid,
    /// §4.3.2.1
    DnssecInvalid,
    /// §4.3.2.1
    DaneRequired,
    /// §4.3.2.2
    StsPolicyFetchError,
    /// §4.3.2.2
    StsPolicyInvalid,
    /// §4.3.2.2
    StsWebpkiInvalid,
    /// Anything else, as written.
    Other(String),
}

impl ResultType {
    /// The eleven registered types, in the order of the RFC.
    pub const REGISTERED: [Self; 11] = [
        Self::StarttlsNotSupported,
        Self::CertificateHostMismatch,
        Self::CertificateExpired,
        Self::CertificateNotTrusted,
        Self::ValidationFailure,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
        Self::DaneRequired,
        Self::StsPolicyFetchError,
        Self::StsPolicyInvalid,
        Self::StsWebpkiInvalid,
    ];

    /// The name in reports.
    pub fn as_str(&self) -> &str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::DaneRequired => "dane-required",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
            Self::Other(text) => text,
        }
    }
}

impl From<String> for ResultType {
    /// Known types in any case, everything else verbatim (REP-046).
    fn from(text: String) -> Self {
        Self::REGISTERED
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(&text))
            .unwrap_or(Self::Other(text))
    }
}

impl From<ResultType> for String {
    fn from(value: ResultType) -> Self {
        value.as_str().to_owned()
    }
}

impl fmt::Display for ResultType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
