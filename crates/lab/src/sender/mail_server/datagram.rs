//! What Postfix tells of one session, as libtlsrpt writes it: one JSON object in one datagram.

use std::io;
use std::path::Path;

use mailward_core::tlsrpt::ResultType;
use tokio::net::UnixDatagram;

use super::answer::TlsPolicy;
use crate::sender::session::Demand;
use crate::sender::target::Target;
use crate::sender::tls::Failure;

/// One session.
pub(super) struct Session<'a> {
    pub domain: &'a str,
    pub record: &'a str,
    pub policy: &'a TlsPolicy,
    pub demand: &'a Demand,
    pub failure: Option<&'a Failure>,
    pub failed: bool,
    pub sending_ip: &'a str,
    pub target: &'a Target,
    pub ehlo: &'a str,
}

impl Session<'_> {
    /// The datagram.
    pub(super) fn text(&self) -> String {
        let policy = match (self.demand, &self.policy.sts) {
            (Demand::Matching(records), _) => {
                let lines: Vec<String> = records.iter().map(super::Tlsa::text).collect();
                format!("{},{}", head(1, &self.target.host), list("policy-string", &lines))
            }
            (_, Some(sts)) => format!(
                "{},{},{}",
                head(2, &sts.domain),
                list("policy-string", &sts.lines),
                list("mx-host", &sts.patterns)
            ),
            (_, None) => head(9, self.domain),
        };
        let details = self.failure.map(|failure| format!(",{}", self.details(failure))).unwrap_or_default();
        format!(
            "{{\"dpv\": \"1\",\"d\": {},\"pr\": {},\"policies\":[{{{policy}{details},\"t\":{},\"f\":{}}}]}}",
            quoted(self.domain),
            quoted(self.record),
            u8::from(self.failure.is_some()),
            u8::from(self.failed),
        )
    }

    fn details(&self, failure: &Failure) -> String {
        let Target { host, address, .. } = self.target;
        let mut text = format!(
            "\"failure-details\":[{{\"c\":{},\"s\": {},\"n\": {},\"h\": {},\"r\": {}",
            code(&failure.result_type),
            quoted(self.sending_ip),
            quoted(host),
            quoted(self.ehlo.trim_end()),
            quoted(&address.to_string()),
        );
        if let Some(reason) = &failure.reason {
            text.push_str(&format!(",\"f\": {}", quoted(reason)));
        }
        text + "}]"
    }
}

fn head(policy_type: u8, domain: &str) -> String {
    format!("\"policy-type\":{policy_type},\"policy-domain\": {}", quoted(domain))
}

fn list(name: &str, lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| quoted(line)).collect();
    format!("\"{name}\":[{}]", lines.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `tlsrpt_failure_t` of libtlsrpt.
fn code(result_type: &ResultType) -> u16 {
    match result_type {
        ResultType::StarttlsNotSupported => 201,
        ResultType::CertificateHostMismatch => 202,
        ResultType::CertificateNotTrusted => 203,
        ResultType::CertificateExpired => 204,
        ResultType::StsPolicyFetchError => 301,
        ResultType::StsPolicyInvalid => 302,
        ResultType::StsWebpkiInvalid => 303,
        ResultType::TlsaInvalid => 304,
        ResultType::DnssecInvalid => 305,
        ResultType::DaneRequired => 306,
        ResultType::ValidationFailure | ResultType::Other(_) => 205,
    }
}

/// Sends it. Postfix never waits and loses what finds the queue full; here all arrives, so that counts can
/// be compared.
pub(super) async fn send(collector: &Path, text: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(collector)?;
    socket.send(text.as_bytes()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailward_core::tlsrpt::datagram::parse;

    /// What we write is what the product's reader reads; it was made from recorded datagrams of Postfix.
    #[test]
    fn it_reads_as_what_happened() {
        let policy = super::super::answer::read(
            "OK secure match=mx1.b.test servername=hostname policy_type=sts policy_domain=b.test \
             { policy_string = mode: enforce } mx_host_pattern=mx1.b.test",
        )
        .unwrap();
        let failure = Failure::new(ResultType::StarttlsNotSupported, "STARTTLS is not offered");
        let target = Target {
            preference: 1,
            host: "mx1.b.test".into(),
            address: "127.0.0.9".parse().unwrap(),
            is_secure: true,
        };
        let mut session = Session {
            domain: "b.test",
            record: "v=TLSRPTv1; rua=mailto:r@b.test",
            policy: &policy,
            demand: &Demand::Authenticated,
            failure: Some(&failure),
            failed: true,
            sending_ip: "127.0.0.8",
            target: &target,
            ehlo: "250-mx1.b.test\r\n250 \"SIZE\"\r\n",
        };
        let read = parse(session.text().as_bytes()).unwrap();
        assert_eq!((read.domain.as_str(), read.record.as_str()), ("b.test", session.record));
        let told = &read.policies[0];
        assert_eq!((told.failed, told.policy.policy_type.as_str()), (true, "sts"));
        assert_eq!(told.policy.policy_string, ["mode: enforce"]);
        assert_eq!(told.policy.mx_host, ["mx1.b.test"]);
        let detail = &told.failures[0];
        assert_eq!(detail.result_type, ResultType::StarttlsNotSupported);
        assert_eq!(detail.receiving_mx_hostname.as_deref(), Some("mx1.b.test"));
        assert_eq!(detail.receiving_ip, "127.0.0.9".parse().ok());
        assert_eq!(detail.failure_reason_code.as_deref(), Some("STARTTLS is not offered"));

        let records = Demand::Matching(vec![super::super::Tlsa { of_key: true, digest: vec![0xab; 32] }]);
        (session.demand, session.failure, session.failed) = (&records, None, false);
        let read = parse(session.text().as_bytes()).unwrap();
        let told = &read.policies[0];
        assert_eq!((told.failed, told.policy.policy_type.as_str()), (false, "tlsa"));
        assert_eq!(told.policy.policy_domain.as_str(), "mx1.b.test");
        assert_eq!(told.policy.policy_string, [format!("3 1 1 {}", "AB".repeat(32))]);
    }
}
