//! TLS as a client: every handshake is let through, its chain kept, and judged afterwards.
//!
//! Whoever asks decides what a bad certificate means: a policy host's makes the fetch fail, an MX host's
//! is a fact for the audit. So the verifier records the chain and accepts; the verdict comes from
//! [`mailward_core::chain::verify_web_pki`], the same for every peer. The proof that the peer holds its
//! key stays with the TLS library. Sessions are never resumed: an audit wants the whole chain each time.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use mailward_core::DomainName;
use mailward_core::chain::{ChainFault, TrustAnchors, verify_web_pki, verify_web_pki_address};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::{CipherSuite, ClientConfig, ProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

mod failure;
mod record;

pub(crate) use failure::Refusal;
pub(crate) use record::Recorder;

/// Anchors of the web PKI, and what every handshake needs: the platform's roots and those of
/// `tls.extra_roots`.
#[derive(Debug)]
pub struct Roots {
    anchors: TrustAnchors,
    policy_host: Arc<ClientConfig>,
    endpoint: Arc<ClientConfig>,
    mail_server: Arc<ClientConfig>,
}

/// What is offered in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// To who serves a policy, which everybody may read.
    PolicyHost,
    /// To who takes reports over HTTPS.
    Endpoint,
    /// To who takes mail.
    MailServer,
}

/// Whom a certificate must speak for (the reference identity of RFC 9525 §1.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The name that was resolved.
    Name(DomainName),
    /// The address that stands in a URI itself.
    Address(IpAddr),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

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
        let platform = rustls_native_certs::load_native_certs();
        for error in &platform.errors {
            tracing::warn!(%error, "a root certificate of the platform cannot be read");
        }
        let (mut anchors, refused) = TrustAnchors::from_der(&platform.certs);
        if refused > 0 {
            tracing::debug!(refused, "root certificates of the platform that are no anchors");
        }
        for path in extra {
            add_file(&mut anchors, path)?;
        }
        Self::new(anchors)
    }

    /// These anchors and nothing else.
    ///
    /// # Errors
    /// When the TLS library refuses its own configuration.
    pub fn new(anchors: TrustAnchors) -> Result<Self, RootsError> {
        // The provider is named, never the process's default: two of them are in the tree.
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self {
            anchors,
            policy_host: config(Arc::new(for_public_texts()), &[b"h2", b"http/1.1"])?,
            endpoint: config(Arc::clone(&provider), &[b"http/1.1"])?,
            mail_server: config(provider, &[])?,
        })
    }

    /// The anchors.
    pub fn anchors(&self) -> &TrustAnchors {
        &self.anchors
    }

    /// Everything that keeps a chain from speaking for `host` at `now`.
    pub fn verdict(&self, chain: &[Vec<u8>], host: &DomainName, now: Timestamp) -> Vec<ChainFault> {
        verify_web_pki(chain, &self.anchors, host, now)
    }

    /// Everything that keeps a chain from speaking for `peer` at `now`.
    pub(crate) fn verdict_on(&self, chain: &[Vec<u8>], peer: &Peer, now: Timestamp) -> Vec<ChainFault> {
        match peer {
            Peer::Name(name) => self.verdict(chain, name, now),
            Peer::Address(address) => verify_web_pki_address(chain, &self.anchors, *address, now),
        }
    }

    /// Shakes hands for `host` (which is also the SNI, RFC 8461 §4.2 with RFC 6066 §3). The recorder has
    /// the chain afterwards, whatever came of it, and also when the future is dropped at a deadline.
    pub(crate) async fn connect<S>(
        &self,
        host: &DomainName,
        offer: Offer,
        recorder: &Arc<Recorder>,
        stream: S,
    ) -> Result<TlsStream<S>, Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connect_to(&Peer::Name(host.clone()), offer, recorder, stream).await
    }

    /// The same for a peer of either kind. An address is never sent as SNI (RFC 6066 §3).
    pub(crate) async fn connect_to<S>(
        &self,
        peer: &Peer,
        offer: Offer,
        recorder: &Arc<Recorder>,
        stream: S,
    ) -> Result<TlsStream<S>, Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match peer {
            Peer::Name(host) => ServerName::try_from(host.as_str().to_owned())
                .map_err(|_| Refusal::other(&format!("{host} cannot be a name in TLS")))?,
            Peer::Address(address) => ServerName::from(*address),
        };
        // A few reference counts: the configuration is shared, the verifier belongs to this handshake.
        let mut config = ClientConfig::clone(match offer {
            Offer::PolicyHost => &self.policy_host,
            Offer::Endpoint => &self.endpoint,
            Offer::MailServer => &self.mail_server,
        });
        config.dangerous().set_certificate_verifier(Arc::clone(recorder) as _);
        let connected: io::Result<_> = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        connected.map_err(|e| Refusal::of(&e, &recorder.chain()))
    }
}

fn config(provider: Arc<CryptoProvider>, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, RootsError> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|e| RootsError { path: "TLS".into(), why: e.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Recorder::new()))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(config))
}

/// What is offered where nothing is secret: whom a policy comes from matters, who reads it does not. So no
/// key exchange against the computers of a later day, and the order of suites that browsers have
/// (docs/decisions/0007-cheap-policy-fetch.md).
fn for_public_texts() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

/// Protocol version and cipher suite of a connection, by their common names.
pub(crate) fn parameters<S>(stream: &TlsStream<S>) -> (String, String) {
    let (_, connection) = stream.get_ref();
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2".to_owned(),
        Some(ProtocolVersion::TLSv1_3) => "1.3".to_owned(),
        other => format!("{other:?}"),
    };
    let suite = connection.negotiated_cipher_suite().map_or_else(String::new, |s| iana_name(&s.suite()));
    (version, suite)
}

/// `TLS_AES_256_GCM_SHA384`: the library writes TLS 1.3 suites as `TLS13_…`.
fn iana_name(suite: &rustls::CipherSuite) -> String {
    let name = format!("{suite:?}");
    name.strip_prefix("TLS13_").map_or_else(|| name.clone(), |rest| format!("TLS_{rest}"))
}

/// A fault of a chain in words, with the values seen.
pub(crate) fn fault_text(fault: &ChainFault) -> String {
    match fault {
        ChainFault::Expired(at) => format!("it expired at {at}"),
        ChainFault::NotYetValid(from) => format!("it is not valid before {from}"),
        ChainFault::HostMismatch(names) if names.is_empty() => "it has no DNS name".into(),
        ChainFault::HostMismatch(names) => {
            let (shown, more) = (names.iter().take(5), if names.len() > 5 { ", …" } else { "" });
            format!("it names {}{more}", shown.map(String::as_str).collect::<Vec<_>>().join(", "))
        }
        ChainFault::UnknownIssuer => "its issuer is not trusted".into(),
        ChainFault::SelfSigned => "it is self-signed".into(),
        ChainFault::IncompleteChain => "its issuer was not sent and is no trusted root".into(),
        ChainFault::BadSignature => "a signature does not verify".into(),
        ChainFault::NotACa => "its issuer is no certification authority".into(),
        ChainFault::Purpose => "it is not for servers".into(),
        ChainFault::Malformed(why) => format!("it cannot be used: {why}"),
    }
}

fn add_file(anchors: &mut TrustAnchors, path: &PathBuf) -> Result<(), RootsError> {
    let error = |why: String| RootsError { path: path.display().to_string(), why };
    let pem = std::fs::read(path).map_err(|e| error(e.to_string()))?;
    let before = anchors.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| error(format!("not PEM: {e}")))?;
        anchors.add(&certificate).map_err(|e| error(e.to_string()))?;
    }
    if anchors.len() == before { Err(error("holds no certificate".into())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roots.pem");
        std::fs::write(&path, content).unwrap();
        (dir, path)
    }

    #[test]
    fn extra_roots_are_all_taken_or_refused_by_name() {
        let root = || {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::new(vec!["ca.test".into()]).unwrap().self_signed(&key).unwrap().pem()
        };
        let two = format!("# a comment\n{}\n{}", root(), root());
        let (_dir, path) = file(two.as_bytes());
        let mut anchors = TrustAnchors::new();
        add_file(&mut anchors, &path).unwrap();
        assert_eq!(anchors.len(), 2);

        let bad_base64 = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (content, why) in [
            ("", "holds no certificate"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no certificate"),
            (bad_base64, "not PEM"),
            (no_der, "the certificate cannot be read"),
        ] {
            let (_dir, path) = file(content.as_bytes());
            let error = add_file(&mut TrustAnchors::new(), &path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("roots.pem"), "{content:?}: {error}");
        }
        let error = Roots::load(&["/nowhere/roots.pem".into()]).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/roots.pem: "), "{error}");
    }

    #[test]
    fn policy_hosts_are_offered_what_is_cheap_and_others_what_lasts() {
        let roots = Roots::new(TrustAnchors::new()).unwrap();
        let first = |config: &ClientConfig| {
            let provider = config.crypto_provider();
            (iana_name(&provider.cipher_suites[0].suite()), provider.kx_groups[0].name())
        };
        let cheap = ("TLS_AES_128_GCM_SHA256".to_owned(), NamedGroup::X25519);
        let lasting = ("TLS_AES_256_GCM_SHA384".to_owned(), NamedGroup::X25519MLKEM768);
        assert_eq!(first(&roots.policy_host), cheap);
        assert_eq!(first(&roots.endpoint), lasting);
        assert_eq!(first(&roots.mail_server), lasting);
        // Nobody is left out: whoever has one of these suites gets it.
        let all = |config: &ClientConfig| config.crypto_provider().cipher_suites.len();
        assert_eq!(all(&roots.policy_host), all(&roots.mail_server));
    }

    #[test]
    fn suites_have_their_iana_names() {
        for (suite, name) in [
            (rustls::CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
            (
                rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            ),
        ] {
            assert_eq!(iana_name(&suite), name);
        }
    }
}
