//! What was seen of a domain from outside, before anybody judges it.
//!
//! `net` gathers these, `store` keeps them, [`crate::audit`] judges them.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dns::{DnsResult, MxRecord, TlsaRdata, TxtRecord};
use crate::tlsrpt::ResultType;
use crate::{MxHost, PolicyDomain};

/// Everything one look at a domain brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainFacts {
    /// The domain looked at.
    pub domain: PolicyDomain,
    /// When the look began.
    pub observed_at: Timestamp,
    /// TXT at `_mta-sts`.
    pub sts_record: DnsResult<TxtRecord>,
    /// TXT at `_smtp._tls`.
    pub tlsrpt_record: DnsResult<TxtRecord>,
    /// MX of the domain.
    pub mx: DnsResult<MxRecord>,
    /// The policy host and what it served. Fetched whenever the host has an address, also without a
    /// record, since a policy without a record is a finding of its own.
    pub policy_host: PolicyHostFacts,
    /// The hosts of the MX set, best preference first (at most 20; `mx` has them all). With no MX
    /// record the domain itself stands here (reading A31).
    pub hosts: Vec<MxFacts>,
}

/// What was seen of the policy host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyHostFacts {
    /// A and AAAA of `mta-sts.<domain>` together; an error only when both failed.
    pub addresses: DnsResult<IpAddr>,
    /// `None` when there was no address to ask.
    pub fetch: Option<Result<FetchedPolicy, FetchError>>,
    /// The same question put to each address alone (at most 5): a CDN node or the other address family
    /// may serve something else, and "safe to enforce" asks for every address. Empty when there is one
    /// address only, or none was asked.
    #[serde(default)]
    pub by_address: Vec<AddressFetch>,
}

/// What one address of the policy host served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressFetch {
    /// The address asked.
    pub address: IpAddr,
    /// SHA-256 of the body in lower-case hex, or why there is none.
    pub body_sha256: Result<String, FetchError>,
}

/// A policy as served: status 200, text/plain, in time, of bounded size, with a trusted certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FetchedPolicy {
    /// The body as served, at most 65,536 bytes.
    pub body: Vec<u8>,
    /// The Content-Type header as sent, if any.
    pub content_type: Option<String>,
    /// The address that answered.
    pub address: IpAddr,
    /// The chain presented, leaf first.
    pub chain: Vec<CertificateFacts>,
    /// Milliseconds from the first connect to the last byte.
    pub elapsed_ms: u64,
}

/// Why a policy could not be fetched. `result_type` is what a sender reports for it (RFC 8460 §4.3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct FetchError {
    /// The cause, closed.
    pub cause: FetchCause,
    /// A sentence with the values seen.
    pub detail: String,
    /// The chain presented when the certificate was reached, leaf first.
    pub chain: Vec<CertificateFacts>,
}

/// The causes of a failed fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
pub enum FetchCause {
    /// The name of the policy host could not be looked up, or has no address.
    Dns,
    /// No address accepts a connection.
    Connect,
    /// Only private or loopback addresses, and they are not allowed.
    PrivateAddress,
    /// The certificate is not acceptable; holds the verdict of [`crate::chain`].
    Certificate(crate::chain::ChainFault),
    /// The TLS handshake failed otherwise; holds the alert or error.
    Tls(String),
    /// Another status than 200.
    Status(u16),
    /// A redirect; holds status and target.
    Redirect(u16, String),
    /// Media type missing or not text/plain; holds what was sent.
    MediaType(Option<String>),
    /// A content encoding though none was asked for.
    Encoding(String),
    /// More than 65,536 bytes of body or 16 KiB of header.
    TooLarge,
    /// The total deadline passed.
    Timeout,
    /// The connection ended before the body did, or the answer is no HTTP.
    Http(String),
}

impl FetchCause {
    /// The RFC 8460 §4.3 result type a sender counts for it.
    pub fn result_type(&self) -> ResultType {
        match self {
            Self::Certificate(_) => ResultType::StsWebpkiInvalid,
            _ => ResultType::StsPolicyFetchError,
        }
    }

    /// Our failure-reason-code (conformance: grammar §6).
    pub fn reason_code(&self) -> String {
        match self {
            Self::Dns => "dns".into(),
            Self::Connect => "connect".into(),
            Self::PrivateAddress => "private-address".into(),
            Self::Certificate(fault) => fault.reason_code().to_owned(),
            Self::Tls(alert) => format!("tls-{alert}"),
            Self::Status(code) => format!("http-{code}"),
            Self::Redirect(code, target) => format!("redirect-{code}-{target}"),
            Self::MediaType(_) => "media-type".into(),
            Self::Encoding(_) => "content-encoding".into(),
            Self::TooLarge => "too-large".into(),
            Self::Timeout => "timeout".into(),
            Self::Http(_) => "http".into(),
        }
    }
}

/// What was seen of one MX host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MxFacts {
    /// The name in the MX record.
    pub host: MxHost,
    /// Its preference; 0 for the implicit MX.
    pub preference: u16,
    /// A records.
    pub ipv4: DnsResult<IpAddr>,
    /// AAAA records.
    pub ipv6: DnsResult<IpAddr>,
    /// TLSA at `_25._tcp.<host>`, always asked by an audit: a broken denial is a finding of its own.
    pub tlsa: DnsResult<TlsaRdata>,
    /// One entry for each address probed (at most 5); empty with `--no-smtp`.
    pub probes: Vec<AddressProbe>,
}

/// One probe of one address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressProbe {
    /// The address connected to.
    pub address: IpAddr,
    /// What came of it.
    pub outcome: ProbeOutcome,
    /// Milliseconds from connect to the end.
    pub elapsed_ms: u64,
}

/// How far a probe got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
pub enum ProbeOutcome {
    /// TLS was established (whatever the certificate is worth).
    Tls(TlsFacts),
    /// TCP could not be connected; `blocked` when nothing at all answers on port 25 from here.
    Unreachable(String),
    /// Not tried: a private or loopback address that is not allowed.
    PrivateAddress,
    /// The greeting was no 220; holds the reply.
    Greeting(String),
    /// EHLO was refused; holds the reply.
    Ehlo(String),
    /// STARTTLS is not offered; holds the EHLO reply's keywords.
    NoStartTls(Vec<String>),
    /// STARTTLS was answered by another code than 220; holds the reply.
    StartTlsRefused(String),
    /// Plain text after the 220 to STARTTLS: an injection or a broken server.
    StartTlsInjection,
    /// The handshake failed.
    Handshake(HandshakeFailure),
    /// The peer broke the protocol (line lengths, codes, control bytes); holds what was wrong.
    Protocol(String),
    /// A deadline passed; holds the phase.
    Timeout(String),
}

/// A handshake that did not complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandshakeFailure {
    /// Alert name or error in our words, such as `tls-alert-handshake_failure`, `tls-eof`.
    pub reason: String,
    /// The server may be fine for others: it speaks only what our TLS library leaves out (old
    /// versions, RSA key exchange, RSA-1024, …). "Cannot reach" is not "broken".
    pub maybe_legacy: bool,
    /// The chain, when it was presented before the failure (DER and facts), leaf first.
    pub chain: Vec<CertificateFacts>,
}

/// What TLS brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TlsFacts {
    /// `1.2` or `1.3`.
    pub version: String,
    /// IANA name of the cipher suite.
    pub cipher: String,
    /// The chain presented, leaf first.
    pub chain: Vec<CertificateFacts>,
    /// The verdict of the web PKI for the MX name (RFC 8461 §4.2), all faults found.
    pub web_pki: Vec<crate::chain::ChainFault>,
}

/// One certificate of a chain, with the DER so that it can be judged again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Subject as text (RFC 4514 order as in the certificate).
    pub subject: String,
    /// Issuer as text.
    pub issuer: String,
    /// DNS names of subjectAltName, at most 100 kept.
    pub dns_names: Vec<String>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate, lower-case hex.
    pub sha256: String,
    /// SHA-256 of the subjectPublicKeyInfo, lower-case hex: the data of a `3 1 1` record.
    pub spki_sha256: String,
    /// The certificate itself.
    #[serde(with = "crate::chain::der_base64")]
    pub der: Vec<u8>,
}
