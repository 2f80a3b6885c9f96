//! Does whoever validates the DNS for us do so? Asked at the start and every hour, with the root's DNSKEY:
//! every validator has it, and it is signed.
//!
//! Where it does not come back as secure, every TLSA record counts as unsigned and DANE protects no mail.
//! Mail goes on, which is why nobody would notice: so it is said in the log, in `/healthz` and in a metric.

use std::time::Duration;

use mailward_core::dns::{DnsError, DnssecStatus};
use mailward_net::dns::Resolver;
use mailward_receiving::{Status, Stop};
use metrics::gauge;

use crate::config::DnssecMode;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(3600);

/// After a look that brought no answer: at the start of a machine the resolver may come up later.
const SOON: Duration = Duration::from_secs(60);

/// The watch.
pub struct Watch {
    resolver: Resolver,
    mode: DnssecMode,
    status: Status,
}

impl Watch {
    /// Over this resolver.
    pub fn new(resolver: Resolver, mode: DnssecMode) -> Self {
        Self { resolver, mode, status: Status::starting("dnssec") }
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Whether there was an answer.
    async fn look(&self) -> bool {
        let found = self.resolver.self_test().await;
        let secure = matches!(found, Ok(DnssecStatus::Secure));
        gauge!("mailward_dnssec_secure").set(if secure { 1.0 } else { 0.0 });
        match trouble(self.mode, &found) {
            None => self.status.works(),
            Some(words) => self.status.works_but(words),
        }
        found.is_ok()
    }

    /// Looks now, and again and again until told to stop.
    pub async fn run(self, mut stop: Stop) {
        loop {
            let answered = tokio::select! {
                () = stop.requested() => return,
                answered = self.look() => answered,
            };
            if !stop.sleep(if answered { EVERY } else { SOON }).await {
                return;
            }
        }
    }
}

/// What is wrong, what it means for mail, and what to do.
fn trouble(mode: DnssecMode, found: &Result<DnssecStatus, DnsError>) -> Option<String> {
    let to_do = match mode {
        DnssecMode::Off => {
            "set dns.dnssec to \"trust-ad\" with a validating resolver on this machine, or to \"validate\""
        }
        DnssecMode::TrustAd => {
            "name a validating resolver on this machine (such as unbound on 127.0.0.1:53) in dns.servers; systemd-resolved and dnsmasq need DNSSEC switched on; or set dns.dnssec = \"validate\""
        }
        DnssecMode::Validate => {
            "see that the servers in dns.servers pass on DNSKEY and RRSIG records, and that dns.trust_anchor is today's"
        }
    };
    match found {
        Ok(DnssecStatus::Secure) => None,
        Ok(status) => Some(format!(
            "DANE IS OFF: the key of the DNS root comes back as {}, so no TLSA record can be believed; {to_do}",
            word(*status)
        )),
        Err(why) => Some(format!(
            "it is not known whether DNSSEC works: the key of the DNS root could not be looked up ({why}); {to_do}"
        )),
    }
}

fn word(status: DnssecStatus) -> &'static str {
    match status {
        DnssecStatus::Secure => "secure",
        DnssecStatus::Insecure => "insecure",
        DnssecStatus::Bogus => "bogus",
        DnssecStatus::Indeterminate => "indeterminate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said() {
        for (mode, found, parts) in [
            (DnssecMode::TrustAd, Ok(DnssecStatus::Secure), &[][..]),
            (DnssecMode::TrustAd, Ok(DnssecStatus::Insecure), &["DANE IS OFF", "insecure", "unbound"]),
            (DnssecMode::Off, Ok(DnssecStatus::Insecure), &["DANE IS OFF", "dns.dnssec"]),
            (DnssecMode::Validate, Ok(DnssecStatus::Bogus), &["DANE IS OFF", "bogus", "trust_anchor"]),
            (DnssecMode::TrustAd, Err(DnsError::Timeout), &["not known", "looked up"]),
        ] {
            let said = trouble(mode, &found);
            assert_eq!(said.is_none(), parts.is_empty(), "{said:?}");
            for part in parts {
                assert!(said.as_ref().is_some_and(|said| said.contains(part)), "{part}: {said:?}");
            }
        }
    }
}
