//! The facts of one next hop: MX, the addresses of each host, its alias, its TLSA records, asked in the
//! order of RFC 7672 §2.2 and with as few questions as the answers allow.
//!
//! Called by the policy cache of a sender and by `mailward lookup`; what follows from the facts is
//! `mailward_core::delivery`'s part. The audit looks elsewhere ([`crate::observe`]): it asks for TLSA
//! records even where no sender may.
//!
//! Failure stance: an error stays an error in its place, and one host's trouble is no other's.

mod host;

use std::collections::HashSet;

use futures_util::future::join_all;
use mailward_core::delivery::NextHopFacts;
use mailward_core::dns::{DnsResult, MxRecord};
use mailward_core::{DomainName, MxHost, PolicyDomain};

use crate::dns::Resolver;

/// Hosts looked at; the MX answer itself has them all.
pub(crate) const MOST_HOSTS: usize = 20;

/// Looks up what a sender must know of `domain` before it connects to one of its hosts at `port`. Hosts
/// are looked up concurrently, each within the resolver's deadlines.
///
/// Cancel safe; the caller bounds the whole.
pub async fn look_up(resolver: &Resolver, domain: &PolicyDomain, port: u16) -> NextHopFacts {
    let mx = resolver.mx(domain).await;
    let hosts = hosts_of(domain, &mx).into_iter();
    let hosts =
        join_all(hosts.map(|(name, preference)| host::look_up(resolver, name, preference, port))).await;
    NextHopFacts { domain: domain.clone(), port, mx, hosts }
}

/// The hosts to look at, best preference first, each once.
pub(crate) fn hosts_of(domain: &PolicyDomain, mx: &DnsResult<MxRecord>) -> Vec<(MxHost, u16)> {
    // RFC 7672 §2.1.2: no implicit MX after an error.
    let Ok(answer) = mx else { return Vec::new() };
    // RFC 5321 §5.1 and reading A31: without MX the domain is its own host.
    if answer.is_absent() {
        return vec![(MxHost(DomainName::clone(domain)), 0)];
    }
    let mut seen = HashSet::new();
    answer
        .records
        .iter()
        .filter_map(|record| record.exchange.as_ref().ok().map(|host| (host.clone(), record.preference)))
        .filter(|(host, _)| seen.insert(host.clone()))
        .take(MOST_HOSTS)
        .collect()
}

#[cfg(test)]
mod tests {
    use mailward_core::dns::DnssecStatus::Secure;
    use mailward_core::dns::{Answer, Denial, DnsError};

    use super::*;

    #[test]
    fn hosts_are_taken_once_in_order() {
        let domain = PolicyDomain::parse("a.example").unwrap();
        let mx = |names: &[&str]| {
            let record = |(at, name): (usize, &&str)| MxRecord {
                preference: at as u16,
                exchange: MxHost::parse(name).map_err(|_| (*name).to_owned()),
            };
            let records: Vec<_> = names.iter().enumerate().map(record).collect();
            let denial = records.is_empty().then_some(Denial::NoData);
            Ok(Answer { status: Secure, ttl: 1, aliases: Vec::new(), records, denial })
        };
        let show = |mx: &DnsResult<MxRecord>| {
            hosts_of(&domain, mx).iter().map(|(h, p)| format!("{p} {h}")).collect::<Vec<_>>().join(", ")
        };
        for (names, hosts) in [
            (&["b.example", "c.example", "b.example"][..], "0 b.example, 1 c.example"),
            (&[], "0 a.example"),
            (&["."], ""),
            (&["192.0.2.1", "b.example"], "1 b.example"),
        ] {
            assert_eq!(show(&mx(names)), hosts);
        }
        assert_eq!(show(&Err(DnsError::Timeout)), "");
        let many: Vec<String> = (0..500).map(|n| format!("mx{n}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(hosts_of(&domain, &mx(&many)).len(), MOST_HOSTS);
    }
}
