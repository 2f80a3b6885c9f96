//! The facts of one MX host.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use mailward_core::dane::names::{Bases, bases};
use mailward_core::delivery::{HostAddresses, HostFacts, HostTlsa};
use mailward_core::dns::{Alias, Answer, DnsResult, DnssecStatus};
use mailward_core::{DomainName, MxHost};
use tokio::time::timeout;

use crate::dns::Resolver;

/// How long the A answer may take before AAAA is asked for as well.
const HEAD_START: Duration = Duration::from_millis(200);

/// For how many seconds facts with a failure among them may be believed.
const FAILURE_TTL: u32 = 5;

/// Looks up one host. Where nobody validates nothing is asked: without security there is no DANE, and
/// whether the host has an address is the sender's own affair.
pub(super) async fn look_up(resolver: &Resolver, host: MxHost, preference: u16, port: u16) -> HostFacts {
    let mut ttl = u32::MAX;
    let (addresses, tlsa) = if resolver.can_be_secure() {
        let found = find_addresses(resolver, &host, &mut ttl).await;
        let tlsa = find_tlsa(resolver, &host, &found, port, &mut ttl).await;
        (found.addresses, tlsa)
    } else {
        (HostAddresses::NotAsked, HostTlsa::NotAsked)
    };
    if matches!(addresses, HostAddresses::Failed(_)) || matches!(tlsa, HostTlsa::Failed(_)) {
        ttl = FAILURE_TTL;
    }
    HostFacts { host, preference, addresses, tlsa, ttl }
}

/// Addresses of a host, and the aliases on the way to them.
struct Found {
    addresses: HostAddresses,
    aliases: Vec<Alias>,
}

/// Asks for A, and for AAAA only when A brings no address or is slow: both stand under one name, so one
/// family says for both who vouches for them. Half the questions for nearly every host, and a broken
/// AAAA beside a good A does no harm (RFC 7672 §2.1.2).
async fn find_addresses(resolver: &Resolver, host: &DomainName, ttl: &mut u32) -> Found {
    let mut ipv4 = pin!(resolver.ipv4(host));
    let ipv6 = resolver.ipv6(host);
    match timeout(HEAD_START, ipv4.as_mut()).await {
        Ok(first) => settle(first, ipv6, ttl).await,
        Err(_) => match select(ipv4, pin!(ipv6)).await {
            Either::Left((first, other)) => settle(first, other, ttl).await,
            Either::Right((first, other)) => settle(first, other, ttl).await,
        },
    }
}

/// The first answer if it decides, else both together.
async fn settle(
    first: DnsResult<IpAddr>,
    second: impl Future<Output = DnsResult<IpAddr>>,
    ttl: &mut u32,
) -> Found {
    if let Some(answer) = first.as_ref().ok().filter(|answer| decides(answer)) {
        return found(answer, ttl);
    }
    let second = second.await;
    let answers = [&first, &second];
    let known = || answers.into_iter().filter_map(|answer| answer.as_ref().ok());
    let best = known().find(|answer| decides(answer)).or_else(|| known().find(|a| !a.is_absent()));
    if let Some(answer) = best {
        return found(answer, ttl);
    }
    known().for_each(|answer| *ttl = answer.ttl.min(*ttl));
    // "No" of one family beside an error of the other is no absence.
    let failure = answers.into_iter().find_map(|answer| answer.as_ref().err());
    let addresses = failure.map_or(HostAddresses::Absent, |why| HostAddresses::Failed(why.clone()));
    Found { addresses, aliases: Vec::new() }
}

/// Whether there are addresses, and it is known who vouches for them.
fn decides(answer: &Answer<IpAddr>) -> bool {
    !answer.is_absent() && matches!(answer.status, DnssecStatus::Secure | DnssecStatus::Insecure)
}

fn found(answer: &Answer<IpAddr>, ttl: &mut u32) -> Found {
    *ttl = answer.ttl.min(*ttl);
    Found { addresses: HostAddresses::Found(answer.status), aliases: answer.aliases.clone() }
}

/// Asks for TLSA records, where a secure address leads (RFC 7672 §2.2.2) and nowhere else.
async fn find_tlsa(resolver: &Resolver, host: &MxHost, found: &Found, port: u16, ttl: &mut u32) -> HostTlsa {
    let HostAddresses::Found(status) = found.addresses else { return HostTlsa::NotAsked };
    match bases(host, status, &found.aliases) {
        Bases::None => HostTlsa::NotAsked,
        Bases::InOrder(bases) => ask_in_order(resolver, bases, port, ttl).await,
        Bases::IfAliasIsSecure => match resolver.cname(host).await {
            Err(why) => HostTlsa::Failed(why),
            Ok(alias) => {
                *ttl = alias.ttl.min(*ttl);
                match alias.status {
                    DnssecStatus::Secure if !alias.is_absent() => {
                        ask_in_order(resolver, vec![(**host).clone()], port, ttl).await
                    }
                    DnssecStatus::Secure | DnssecStatus::Insecure => HostTlsa::NotAsked,
                    // RFC 7672 §2.1.1: counts as an error.
                    DnssecStatus::Bogus | DnssecStatus::Indeterminate => HostTlsa::None(alias.status),
                }
            }
        },
    }
}

/// The first name with secure records is the base domain (RFC 7672 §2.2.3). An error ends the search:
/// who blocks the first answer must not choose the second.
async fn ask_in_order(resolver: &Resolver, bases: Vec<DomainName>, port: u16, ttl: &mut u32) -> HostTlsa {
    // A name too long for the labels in front has no records.
    let mut denied = DnssecStatus::Secure;
    for base in bases {
        let Ok(owner) = MxHost(base.clone()).tlsa_name(port) else { continue };
        let answer = match resolver.tlsa(&owner).await {
            Ok(answer) => answer,
            Err(why) => return HostTlsa::Failed(why),
        };
        *ttl = answer.ttl.min(*ttl);
        match answer.status {
            DnssecStatus::Secure if !answer.is_absent() => {
                return HostTlsa::Found { base, records: answer.records };
            }
            DnssecStatus::Secure | DnssecStatus::Insecure => denied = answer.status,
            DnssecStatus::Bogus | DnssecStatus::Indeterminate => return HostTlsa::None(answer.status),
        }
    }
    HostTlsa::None(denied)
}
