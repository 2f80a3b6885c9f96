//! One look at a domain from outside: everything an audit judges, gathered concurrently.
//!
//! DNS first for what depends on nothing (two TXT, MX, the policy host), then each MX host as soon as
//! the MX answer is there. A domain with one MX costs eight questions. What cannot be had stays an error
//! in its place; nothing is judged and nothing fails as a whole.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use mailward_core::dns::{Answer, Denial, DnsError, DnsResult, MxRecord};
use mailward_core::domain::NameError;
use mailward_core::facts::{
    AddressFetch, AddressProbe, DomainFacts, FetchError, FetchedPolicy, MxFacts, PolicyHostFacts,
    ProbeOutcome,
};
use mailward_core::{DomainName, MxHost, PolicyDomain};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

use crate::next_hop::hosts_of;
use crate::{Outside, connect, policy_host, smtp};

/// Addresses looked at for each host.
const MOST_ADDRESSES: usize = 5;
/// Probes of one domain at the same time.
const PROBES_AT_ONCE: usize = 16;
/// Where the TLSA records of a mail server are, whichever port a test world may move it to.
const TLSA_PORT: u16 = 25;

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// DNS and the policy host.
    WithoutSmtp,
    /// Every address of every MX as well.
    Full,
}

/// Looks. At most ten DNS questions for a domain with one MX.
pub async fn observe(outside: &Outside, domain: &PolicyDomain, depth: Depth) -> DomainFacts {
    let observed_at = outside.clock.now();
    let resolver = &outside.resolver;
    let (sts_record, tlsrpt_record, policy_host, (mx, hosts)) = tokio::join!(
        async { resolver.txt(&named(domain.sts_record_name())?).await },
        async { resolver.txt(&named(domain.tlsrpt_record_name())?).await },
        look_at_policy_host(outside, domain),
        async {
            let mx = resolver.mx(domain).await;
            let hosts = look_at_hosts(outside, domain, &mx, depth).await;
            (mx, hosts)
        },
    );
    DomainFacts { domain: domain.clone(), observed_at, sts_record, tlsrpt_record, mx, policy_host, hosts }
}

fn named(name: Result<DomainName, NameError>) -> Result<DomainName, DnsError> {
    name.map_err(|e| DnsError::Malformed(e.to_string()))
}

async fn look_at_policy_host(outside: &Outside, domain: &PolicyDomain) -> PolicyHostFacts {
    let addresses = async {
        let host = named(domain.policy_host())?;
        let (v4, v6) = tokio::join!(outside.resolver.ipv4(&host), outside.resolver.ipv6(&host));
        joined(v4, v6)
    }
    .await;
    let Some(known) = addresses.as_ref().ok().map(|a| a.records.as_slice()).filter(|a| !a.is_empty()) else {
        return PolicyHostFacts { addresses, fetch: None, by_address: Vec::new() };
    };
    let fetch = policy_host::fetch(outside, domain, known).await;
    let by_address = ask_each(outside, domain, known, &fetch).await;
    PolicyHostFacts { addresses, fetch: Some(fetch), by_address }
}

/// The same question to each address alone, when there are several. What one of them served to the
/// question for all is not fetched a second time.
async fn ask_each(
    outside: &Outside,
    domain: &PolicyDomain,
    addresses: &[IpAddr],
    fetched: &Result<FetchedPolicy, FetchError>,
) -> Vec<AddressFetch> {
    if addresses.len() < 2 {
        return Vec::new();
    }
    let ask = async |address: IpAddr| {
        let body_sha256 = match fetched {
            Ok(policy) if policy.address == address => Ok(digest(&policy.body)),
            _ => policy_host::fetch(outside, domain, &[address]).await.map(|p| digest(&p.body)),
        };
        AddressFetch { address, body_sha256 }
    };
    join_all(connect::by_turns(addresses, MOST_ADDRESSES).into_iter().map(ask)).await
}

fn digest(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect()
}

/// A and AAAA as one answer. An error only when nothing is known: a family that fails beside one with
/// addresses leaves those, beside one that says "no" it leaves the error ("no" of one is no absence).
fn joined(v4: DnsResult<IpAddr>, v6: DnsResult<IpAddr>) -> DnsResult<IpAddr> {
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => {
            let denial = match (v4.denial, v6.denial) {
                (Some(Denial::NxDomain), Some(Denial::NxDomain)) => Some(Denial::NxDomain),
                (Some(_), Some(_)) => Some(Denial::NoData),
                _ => None,
            };
            let aliases = if v6.aliases.is_empty() { v4.aliases } else { v6.aliases };
            let records = v6.records.into_iter().chain(v4.records).collect();
            let status = crate::dns::weaker(v4.status, v6.status);
            Ok(Answer { status, ttl: v4.ttl.min(v6.ttl), aliases, records, denial })
        }
        (Ok(known), Err(error)) | (Err(error), Ok(known)) => {
            if known.is_absent() {
                Err(error)
            } else {
                Ok(known)
            }
        }
        (Err(error), Err(_)) => Err(error),
    }
}

async fn look_at_hosts(
    outside: &Outside,
    domain: &PolicyDomain,
    mx: &DnsResult<MxRecord>,
    depth: Depth,
) -> Vec<MxFacts> {
    let hosts = hosts_of(domain, mx);
    let mut facts = join_all(hosts.into_iter().map(|(h, p)| look_up_host(outside, h, p))).await;
    if depth == Depth::Full {
        probe_all(outside, &mut facts).await;
    }
    facts
}

async fn look_up_host(outside: &Outside, host: MxHost, preference: u16) -> MxFacts {
    let resolver = &outside.resolver;
    let (ipv4, ipv6, tlsa) = tokio::join!(resolver.ipv4(&host), resolver.ipv6(&host), async {
        resolver.tlsa(&named(host.tlsa_name(TLSA_PORT))?).await
    },);
    MxFacts { host, preference, ipv4, ipv6, tlsa, probes: Vec::new() }
}

/// Probes every address of every host, some at a time, and leaves none running after the deadline.
async fn probe_all(outside: &Outside, facts: &mut [MxFacts]) {
    let deadline = Instant::now() + outside.options.probe.session * 2;
    let targets: Vec<(usize, MxHost, IpAddr)> = facts
        .iter()
        .enumerate()
        .flat_map(|(at, f)| addresses_of(f).into_iter().map(move |a| (at, f.host.clone(), a)))
        .collect();
    let mut probes = stream::iter(targets)
        .map(async |(at, host, address)| (at, probe_until(outside, &host, address, deadline).await))
        // In order, so that two looks can be compared.
        .buffered(PROBES_AT_ONCE);
    while let Some((at, probe)) = probes.next().await {
        facts[at].probes.push(probe);
    }
}

async fn probe_until(outside: &Outside, host: &MxHost, address: IpAddr, deadline: Instant) -> AddressProbe {
    let begun = Instant::now();
    timeout_at(deadline, smtp::probe(outside, host, address)).await.unwrap_or_else(|_| AddressProbe {
        address,
        outcome: ProbeOutcome::Timeout("domain".into()),
        elapsed_ms: millis(begun.elapsed()),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn addresses_of(facts: &MxFacts) -> Vec<IpAddr> {
    let both = [&facts.ipv6, &facts.ipv4];
    let all: Vec<IpAddr> = both.into_iter().flatten().flat_map(|a| a.records.iter().copied()).collect();
    connect::by_turns(&all, MOST_ADDRESSES)
}

#[cfg(test)]
mod tests {
    use mailward_core::dns::DnssecStatus::{self, Insecure, Secure};

    use super::*;

    fn answer(status: DnssecStatus, records: &[&str], denial: Option<Denial>) -> DnsResult<IpAddr> {
        let records = records.iter().map(|a| a.parse().unwrap()).collect();
        Ok(Answer { status, ttl: 60, aliases: Vec::new(), records, denial })
    }

    #[test]
    fn families_are_joined_without_inventing_absence() {
        let (nx, no) = (Some(Denial::NxDomain), Some(Denial::NoData));
        let (v4, v6) = ("192.0.2.1", "2001:db8::1");
        for (a, aaaa, both) in [
            (answer(Secure, &[v4], None), answer(Secure, &[v6], None), answer(Secure, &[v6, v4], None)),
            (answer(Secure, &[v4], None), answer(Insecure, &[], no), answer(Insecure, &[v4], None)),
            (answer(Secure, &[], nx), answer(Secure, &[], nx), answer(Secure, &[], nx)),
            (answer(Secure, &[], nx), answer(Secure, &[], no), answer(Secure, &[], no)),
            (answer(Secure, &[v4], None), Err(DnsError::Timeout), answer(Secure, &[v4], None)),
            (Err(DnsError::Timeout), answer(Secure, &[v6], None), answer(Secure, &[v6], None)),
            (answer(Secure, &[], no), Err(DnsError::Timeout), Err(DnsError::Timeout)),
            (Err(DnsError::AliasLoop), Err(DnsError::Timeout), Err(DnsError::AliasLoop)),
        ] {
            assert_eq!(joined(a.clone(), aaaa.clone()), both, "{a:?} {aaaa:?}");
        }
    }
}
