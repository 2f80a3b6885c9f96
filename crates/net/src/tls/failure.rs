//! Names for handshakes that fail: the alert, the kind of error, and whether only our library minds.
//!
//! The names travel in reports and observations (`tls-` in front), so they are stable: what comes from
//! an enum of the library is written in snake case, what is free text is not part of a name.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use rustls_pki_types::CertificateDer;

/// Content of an AlgorithmIdentifier: rsaEncryption (RFC 3279 §2.3.1).
const RSA: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];

/// An RSA key of 2048 bits takes 294 octets as subjectPublicKeyInfo; our library asks for as much.
const RSA_2048: usize = 290;

/// Why a handshake did not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Stable name, without the `tls-` in front: `alert-handshake_failure`, `eof`.
    pub(crate) reason: String,
    /// The same for people.
    pub(crate) text: String,
    /// Whether the peer may work with libraries that know older TLS.
    pub(crate) maybe_legacy: bool,
}

impl Refusal {
    /// Something that is no error of the TLS library.
    pub(crate) fn other(text: &str) -> Self {
        Self { reason: "other".into(), text: text.to_owned(), maybe_legacy: false }
    }

    /// Reads what tokio-rustls gives, in the light of the chain that was presented before.
    pub(crate) fn of(error: &io::Error, chain: &[Vec<u8>]) -> Self {
        match error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
            Some(tls) => Self::of_tls(tls, chain),
            None => {
                let reason = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "eof".to_owned(),
                    io::ErrorKind::ConnectionReset => "reset".to_owned(),
                    kind => format!("io-{}", snake(&format!("{kind:?}"))),
                };
                Self { reason, text: error.to_string(), maybe_legacy: false }
            }
        }
    }

    fn of_tls(error: &Error, chain: &[Vec<u8>]) -> Self {
        let (reason, maybe_legacy) = match error {
            Error::AlertReceived(alert) => (format!("alert-{}", alert_name(*alert)), is_legacy_alert(*alert)),
            Error::PeerIncompatible(why) => (
                format!("incompatible-{}", snake(&format!("{why:?}"))),
                !matches!(why, PeerIncompatible::ServerRejectedEncryptedClientHello(_)),
            ),
            Error::PeerMisbehaved(why) => (format!("misbehaved-{}", snake(&format!("{why:?}"))), false),
            Error::InvalidMessage(why) => (format!("invalid_message-{}", snake(&format!("{why:?}"))), false),
            // Our verifier accepts everything: this comes from the proof of possession.
            Error::InvalidCertificate(why) => (certificate_reason(why), has_unusual_leaf(chain)),
            Error::NoCertificatesPresented => ("no_certificate".into(), false),
            Error::NoApplicationProtocol => ("no_application_protocol".into(), false),
            Error::PeerSentOversizedRecord => ("oversized_record".into(), false),
            Error::DecryptError => ("decrypt_error".into(), false),
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
                ("unexpected_message".into(), false)
            }
            _ => ("other".into(), false),
        };
        Self { reason, text: error.to_string(), maybe_legacy }
    }
}

fn is_legacy_alert(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity
    )
}

/// As in the registry of TLS alerts: `handshake_failure`, `unknown_ca`.
fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::Unknown(number) => format!("{number}"),
        known => snake(&format!("{known:?}")),
    }
}

fn certificate_reason(why: &CertificateError) -> String {
    match why {
        CertificateError::BadSignature => "bad_signature".into(),
        CertificateError::BadEncoding => "bad_certificate".into(),
        // Free text of the X.509 library, such as a version that it does not read.
        CertificateError::Other(_) => "unsupported_certificate".into(),
        why => {
            let name = format!("{why:?}");
            snake(name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default())
        }
    }
}

/// Whether the leaf is of a kind that our library leaves out and others do not: RSA below 2048 bits, or
/// X.509 version 1.
fn has_unusual_leaf(chain: &[Vec<u8>]) -> bool {
    let Some(leaf) = chain.first() else { return false };
    let leaf = CertificateDer::from(leaf.as_slice());
    match webpki::EndEntityCert::try_from(&leaf) {
        Ok(certificate) => {
            let key = certificate.subject_public_key_info();
            key.windows(RSA.len()).any(|w| w == RSA) && key.len() < RSA_2048
        }
        Err(error) => error == webpki::Error::UnsupportedCertVersion,
    }
}

/// `HandshakeFailure` as `handshake_failure`, `UnknownCA` as `unknown_ca`; what follows the name of a
/// variant is left out.
fn snake(name: &str) -> String {
    let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let mut snake = String::with_capacity(name.len() + 8);
    let mut lower_before = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && lower_before {
            snake.push('_');
        }
        lower_before = !c.is_ascii_uppercase();
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, PeerMisbehaved};

    use super::*;

    #[test]
    fn failures_have_stable_names() {
        let tls = |e: Error| io::Error::new(io::ErrorKind::InvalidData, e);
        for (error, reason, legacy) in [
            (tls(Error::AlertReceived(AlertDescription::HandshakeFailure)), "alert-handshake_failure", true),
            (tls(Error::AlertReceived(AlertDescription::ProtocolVersion)), "alert-protocol_version", true),
            (tls(Error::AlertReceived(AlertDescription::UnknownCA)), "alert-unknown_ca", false),
            (tls(Error::AlertReceived(AlertDescription::Unknown(200))), "alert-200", false),
            (
                tls(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into()),
                "incompatible-server_tls_version_is_disabled_by_our_config",
                true,
            ),
            (
                tls(PeerMisbehaved::SelectedUnofferedCipherSuite.into()),
                "misbehaved-selected_unoffered_cipher_suite",
                false,
            ),
            (tls(InvalidMessage::InvalidContentType.into()), "invalid_message-invalid_content_type", false),
            (tls(CertificateError::BadSignature.into()), "bad_signature", false),
            (tls(Error::NoCertificatesPresented), "no_certificate", false),
            (tls(Error::General("free text".into())), "other", false),
            (io::ErrorKind::UnexpectedEof.into(), "eof", false),
            (io::ErrorKind::ConnectionReset.into(), "reset", false),
            (io::ErrorKind::BrokenPipe.into(), "io-broken_pipe", false),
        ] {
            let refusal = Refusal::of(&error, &[]);
            assert_eq!((refusal.reason.as_str(), refusal.maybe_legacy), (reason, legacy));
        }
    }
}
