//! TLS as this sender sees it: the certificate is judged by rustls' own verifier, and the verdict is
//! kept instead of ending the handshake, since mail under testing flows on (RFC 8461 §5).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mailward_core::tlsrpt::ResultType;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Surroundings;
use crate::clock::TlsTime;
use crate::dns::hex;
use crate::tls::provider;

/// Why a session or a fetch failed, in the words of RFC 8460 §4.3.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// The result type.
    pub result_type: ResultType,
    /// The failure-reason-code.
    pub reason: Option<String>,
}

impl Failure {
    pub(super) fn new(result_type: ResultType, reason: impl Into<String>) -> Self {
        Self { result_type, reason: Some(reason.into()) }
    }
}

/// A TLSA record of the kind that mail uses: DANE-EE (RFC 7672 §3.1.1), SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tlsa {
    /// Of the public key (selector 1), or of the whole certificate (0).
    pub of_key: bool,
    /// SHA-256 of it.
    pub digest: Vec<u8>,
}

impl Tlsa {
    /// Reads the octets of a record (RFC 6698 §2.1); `None` for the kinds that this sender cannot use.
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        match octets {
            [3, selector @ (0 | 1), 1, digest @ ..] if digest.len() == 32 => {
                Some(Self { of_key: *selector == 1, digest: digest.to_vec() })
            }
            _ => None,
        }
    }

    /// As it stands in a report: `3 1 1 HEX`.
    pub(super) fn text(&self) -> String {
        format!("3 {} 1 {}", u8::from(self.of_key), hex(&self.digest).to_uppercase())
    }
}

/// What is wrong when none of the records names the certificate shown.
pub(super) fn unmatched(stream: &TlsStream<TcpStream>, records: &[Tlsa]) -> Option<Failure> {
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let matches = |record: &Tlsa, leaf: &CertificateDer<'_>| {
        let named = match record.of_key {
            false => Some(Sha256::digest(leaf)),
            true => ParsedCertificate::try_from(leaf)
                .ok()
                .map(|parsed| Sha256::digest(parsed.subject_public_key_info())),
        };
        named.is_some_and(|named| named[..] == record.digest[..])
    };
    let any = leaf.is_some_and(|leaf| records.iter().any(|record| matches(record, leaf)));
    (!any).then(|| Failure::new(ResultType::CertificateNotTrusted, "no TLSA record matches"))
}

#[derive(Debug)]
struct Observer {
    judge: Arc<WebPkiServerVerifier>,
    verdict: Mutex<Option<rustls::Error>>,
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.judge.verify_server_cert(leaf, intermediates, name, ocsp, now);
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verdict.err();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Shakes hands; returns the stream and what is wrong with the certificate for this name.
pub(super) async fn connect(
    surroundings: &Surroundings,
    stream: TcpStream,
    name: &str,
) -> io::Result<(TlsStream<TcpStream>, Option<Failure>)> {
    let provider = provider();
    let mut roots = RootCertStore::empty();
    roots.add(surroundings.root.clone()).map_err(io::Error::other)?;
    let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(io::Error::other)?;
    let observer = Arc::new(Observer { judge, verdict: Mutex::default() });
    let time = Arc::new(TlsTime(Arc::clone(&surroundings.clock)));
    let config = ClientConfig::builder_with_details(provider, time)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&observer) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let server_name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(server_name, stream).await?;
    let verdict = observer.verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok((stream, verdict.map(|error| failure(&error))))
}

fn failure(error: &rustls::Error) -> Failure {
    use CertificateError as E;
    let rustls::Error::InvalidCertificate(fault) = error else {
        return Failure::new(ResultType::ValidationFailure, error.to_string());
    };
    match fault {
        E::Expired | E::ExpiredContext { .. } => {
            Failure { result_type: ResultType::CertificateExpired, reason: None }
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            Failure { result_type: ResultType::CertificateHostMismatch, reason: None }
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            Failure::new(ResultType::CertificateNotTrusted, "not-yet-valid")
        }
        E::UnknownIssuer => Failure::new(ResultType::CertificateNotTrusted, "unknown-issuer"),
        E::Other(_) => Failure::new(ResultType::CertificateNotTrusted, "self-signed"),
        other => Failure::new(ResultType::ValidationFailure, format!("{other:?}")),
    }
}
