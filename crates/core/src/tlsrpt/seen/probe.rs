//! What a probe of an MX host finds, in the words of a report.
//!
//! A probe is no session (RFC 8460 counts sessions, readings A20): it is kept apart, and where a report
//! tells of it at all, its failed-session-count is 0.

use super::failure;
use crate::MxHost;
use crate::facts::{AddressProbe, ProbeOutcome};
use crate::tlsrpt::ResultType;
use crate::tlsrpt::datagram::SessionFailure;

/// What stands before the reason of a failure that a probe found.
pub const MARK: &str = "probe";

/// What would have failed had this been a session under a policy; `None` where it would have gone well, and
/// where nothing is known of TLS: a server that is not reached, or takes nobody just now
/// (RFC 8460 §4.3.4).
pub fn of_probe(host: &MxHost, probe: &AddressProbe) -> Option<SessionFailure> {
    let (result_type, reason) = judge(&probe.outcome)?;
    Some(SessionFailure { receiving_ip: Some(probe.address), ..failure(result_type, Some(host), reason) })
}

fn judge(outcome: &ProbeOutcome) -> Option<(ResultType, Option<String>)> {
    use ResultType::{StarttlsNotSupported, ValidationFailure};
    Some(match outcome {
        ProbeOutcome::Tls(facts) => {
            let fault = facts.web_pki.first()?;
            (fault.result_type(), Some(fault.reason_code().to_owned()))
        }
        ProbeOutcome::NoStartTls(_) => (StarttlsNotSupported, None),
        ProbeOutcome::StartTlsRefused(reply) => (StarttlsNotSupported, Some(reply.clone())),
        ProbeOutcome::StartTlsInjection => (ValidationFailure, Some("plaintext-after-starttls".to_owned())),
        ProbeOutcome::Handshake(failure) => (ValidationFailure, Some(failure.reason.clone())),
        ProbeOutcome::Unreachable(_)
        | ProbeOutcome::PrivateAddress
        | ProbeOutcome::Greeting(_)
        | ProbeOutcome::Ehlo(_)
        | ProbeOutcome::Protocol(_)
        | ProbeOutcome::Timeout(_) => return None,
    })
}

/// The same failure, marked for a report that tells of probes.
pub fn marked(mut failure: SessionFailure) -> SessionFailure {
    let reason = failure.failure_reason_code.take();
    failure.failure_reason_code = Some(reason.map_or(MARK.to_owned(), |why| format!("{MARK}: {why}")));
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::ChainFault;
    use crate::facts::{HandshakeFailure, TlsFacts};

    #[test]
    fn what_a_probe_finds() {
        let tls = |web_pki| {
            let (version, cipher) = ("1.3".into(), "TLS_AES_128_GCM_SHA256".into());
            ProbeOutcome::Tls(TlsFacts { version, cipher, chain: vec![], web_pki })
        };
        let handshake = HandshakeFailure {
            reason: "tls-alert-handshake_failure".into(),
            maybe_legacy: true,
            chain: vec![],
        };
        let host = MxHost::parse("mx.a.example").unwrap();
        for (outcome, found) in [
            (tls(vec![]), ""),
            (tls(vec![ChainFault::SelfSigned]), "certificate-not-trusted self-signed"),
            (tls(vec![ChainFault::HostMismatch(vec![])]), "certificate-host-mismatch host-mismatch"),
            (ProbeOutcome::NoStartTls(vec![]), "starttls-not-supported "),
            (ProbeOutcome::StartTlsRefused("454 no".into()), "starttls-not-supported 454 no"),
            (ProbeOutcome::StartTlsInjection, "validation-failure plaintext-after-starttls"),
            (ProbeOutcome::Handshake(handshake), "validation-failure tls-alert-handshake_failure"),
            // Nothing of these is about TLS.
            (ProbeOutcome::Unreachable("refused".into()), ""),
            (ProbeOutcome::PrivateAddress, ""),
            (ProbeOutcome::Greeting("421 later".into()), ""),
            (ProbeOutcome::Ehlo("550 no".into()), ""),
            (ProbeOutcome::Protocol("line".into()), ""),
            (ProbeOutcome::Timeout("ehlo".into()), ""),
        ] {
            let probe = AddressProbe { address: "192.0.2.1".parse().unwrap(), outcome, elapsed_ms: 1 };
            let seen = of_probe(&host, &probe);
            let words = seen.as_ref().map_or(String::new(), |f| {
                format!("{} {}", f.result_type.as_str(), f.failure_reason_code.as_deref().unwrap_or_default())
            });
            assert_eq!(words, found, "{:?}", probe.outcome);
            if let Some(failure) = seen {
                assert_eq!(failure.receiving_mx_hostname.as_deref(), Some("mx.a.example"));
                assert_eq!(failure.receiving_ip, Some(probe.address));
                assert!(marked(failure).failure_reason_code.unwrap().starts_with("probe"));
            }
        }
    }
}
