//! Probes the MX hosts of domains whose policy is in testing mode, so that their owners may learn what would
//! fail (RFC 8461 §5, §6).
//!
//! Where a policy is in testing mode, mail goes as without one: Postfix is told nothing, and tells nothing of
//! the certificates it meets. Under an enforced policy it does, so nothing is probed there. Other people's
//! servers are bothered as little as that allows: only domains that mail was sent to within a day, each once
//! a day at its own second of the day, its first five hosts, one address of each, no host twice a day however
//! many domains it serves, four at a time. A probe greets, starts TLS, and leaves; it never sends mail.
//!
//! What a probe finds is kept apart from sessions (`TallySource::Probe`), and stands in no report unless the
//! operator wants it there. When I cannot know: a server that is not reached says nothing of TLS, and is not
//! counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use mailward_core::MxHost;
use mailward_core::facts::ProbeOutcome;
use mailward_core::tlsrpt::seen::{Seen, probe::of_probe, sts_policy};
use mailward_duty::Stop;
use mailward_net::{Outside, smtp};
use metrics::counter;

use crate::policy::{Policies, Testing};
use crate::witness::Witness;

/// How often it is looked whose second has come.
const EVERY: Duration = Duration::from_secs(60);
/// After a longer pause, the seconds before are let go.
const LATEST: u32 = 600;
/// Domains of one look; the rest is left for tomorrow.
const DOMAINS: usize = 500;
/// Domains at a time.
const AT_ONCE: usize = 4;
/// Hosts of a domain.
const HOSTS: usize = 5;
/// No host is probed again within this time, which is a little less than a day.
const PAUSE: SignedDuration = SignedDuration::from_hours(23);
/// Hosts remembered for that.
const REMEMBERED: usize = 50_000;

/// The duty.
pub struct Prober {
    policies: Policies,
    outside: Outside,
    witness: Witness,
    /// When a host was probed last.
    probed: Arc<Mutex<HashMap<MxHost, Timestamp>>>,
}

impl Prober {
    /// One that looks for domains in this cache.
    pub fn new(policies: Policies, outside: Outside, witness: Witness) -> Self {
        Self { policies, outside, witness, probed: Arc::default() }
    }

    /// Probes until told to stop; what is under way is let go then.
    pub async fn run(self, mut stop: Stop) {
        let mut from = self.now();
        while stop.sleep(EVERY).await {
            let to = self.now();
            // A clock that went back begins anew.
            let span = from.max(to.saturating_sub(LATEST)).min(to)..to;
            tokio::select! {
                () = stop.requested() => return,
                () = self.probe(span) => {}
            }
            from = to;
        }
    }

    /// Probes the domains whose second of the day is one of these (of the epoch).
    pub async fn probe(&self, seconds: std::ops::Range<u32>) {
        let due = self.policies.in_testing(seconds.start, seconds.end, DOMAINS);
        stream::iter(due).for_each_concurrent(AT_ONCE, |testing| self.domain(testing)).await;
    }

    async fn domain(&self, testing: Testing) {
        let Testing { domain, policy, body, mx } = testing;
        // A host that the policy leaves out is seen without a probe.
        let hosts = mx.iter().filter(|host| policy.matching(host).is_some()).take(HOSTS);
        let mut failures = Vec::new();
        for host in hosts.filter(|host| self.is_due(host)) {
            let Some(address) = self.address(host).await else { continue };
            let probe = smtp::probe(&self.outside, host, address).await;
            let failure = of_probe(host, &probe);
            let result = match (&failure, &probe.outcome) {
                (Some(_), _) => "failed",
                (None, ProbeOutcome::Tls(_)) => "ok",
                (None, _) => "untested",
            };
            counter!("mailward_prober_probes_total", "result" => result).increment(1);
            failures.extend(failure);
        }
        if let Some(failure) = failures.first() {
            let (result_type, reason) =
                (failure.result_type.as_str(), failure.failure_reason_code.as_deref());
            tracing::info!(%domain, result_type, reason, "a probe fails what the policy in testing mode asks for");
            let policy = sts_policy(&domain, &policy, &body);
            self.witness.probed(&domain, Seen { policy, session_failed: false, failures });
        }
    }

    async fn address(&self, host: &MxHost) -> Option<std::net::IpAddr> {
        let (v4, v6) = tokio::join!(self.outside.resolver.ipv4(host), self.outside.resolver.ipv6(host));
        [v4, v6].into_iter().flatten().flat_map(|answer| answer.records).next()
    }

    /// Whether a host may be probed now; then it is remembered.
    fn is_due(&self, host: &MxHost) -> bool {
        let now = self.outside.clock.now();
        let rests = |at: &Timestamp| now.duration_since(*at).abs() < PAUSE;
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if probed.get(host).is_some_and(rests) {
            return false;
        }
        if probed.len() >= REMEMBERED {
            probed.retain(|_, at| rests(at));
        }
        if probed.len() >= REMEMBERED {
            return false;
        }
        probed.insert(host.clone(), now);
        true
    }

    fn now(&self) -> u32 {
        u32::try_from(self.outside.clock.now().as_second().max(0)).unwrap_or(u32::MAX)
    }
}
