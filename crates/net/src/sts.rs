//! The two questions of MTA-STS: the record in the DNS, and the policy on its host (RFC 8461 §3.1, §3.3).
//!
//! When each is asked is `mailward_core::mta_sts::cache`'s part; how many fetches run at a time, and how
//! many of them at one address, is the caller's.

use std::net::IpAddr;

use mailward_core::PolicyDomain;
use mailward_core::mta_sts::cache::{FetchTrouble, RecordTrouble};
use mailward_core::mta_sts::{StsPolicy, record};

use crate::dns::Resolver;
use crate::{Outside, policy_host};

/// The record of a domain as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRecord {
    /// The id that the domain announces, `None` where it announces nothing, or why there is no usable record:
    /// no answer, more than one, or a broken one.
    pub record: Result<Option<String>, RecordTrouble>,
    /// For how many seconds the answer may be believed; `None` where there was none.
    pub ttl: Option<u32>,
}

/// Looks at the record of a domain.
pub async fn sts_record(resolver: &Resolver, domain: &PolicyDomain) -> SeenRecord {
    // A domain that leaves no room for the label in front can have no record.
    let Ok(name) = domain.sts_record_name() else { return SeenRecord { record: Ok(None), ttl: None } };
    match resolver.txt(&name).await {
        Err(why) => SeenRecord { record: Err(RecordTrouble::Dns(why)), ttl: None },
        Ok(answer) => {
            let found = record::discover(&answer.records).map_err(RecordTrouble::Invalid);
            SeenRecord { record: found.map(|found| found.map(|record| record.id)), ttl: Some(answer.ttl) }
        }
    }
}

/// The addresses of the policy host, both families asked together. Empty when there is none or none is
/// known: the fetch says so.
pub async fn policy_addresses(resolver: &Resolver, domain: &PolicyDomain) -> Vec<IpAddr> {
    let Ok(host) = domain.policy_host() else { return Vec::new() };
    let (v4, v6) = tokio::join!(resolver.ipv4(&host), resolver.ipv6(&host));
    [v6, v4].into_iter().flatten().flat_map(|answer| answer.records).collect()
}

/// The policy and its body as served, from these addresses of its host, within
/// `outside.options.fetch_timeout`.
///
/// # Errors
/// Why there is none: not fetched, or fetched and no policy.
pub async fn sts_policy(
    outside: &Outside,
    domain: &PolicyDomain,
    addresses: &[IpAddr],
) -> Result<(StsPolicy, Vec<u8>), FetchTrouble> {
    let body = policy_host::fetch_body(outside, domain, addresses).await.map_err(|error| {
        tracing::debug!(%domain, %error, "policy not fetched");
        FetchTrouble::Fetch(error.cause)
    })?;
    match StsPolicy::parse(&body) {
        Ok(policy) => Ok((policy, body)),
        Err(why) => Err(FetchTrouble::Invalid(why, body)),
    }
}
