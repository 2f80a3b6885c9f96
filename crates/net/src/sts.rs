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

/// The id that the domain announces, or `None` where it announces nothing.
///
/// # Errors
/// Why there is no usable record: no answer, more than one, or a broken one.
pub async fn sts_record(resolver: &Resolver, domain: &PolicyDomain) -> Result<Option<String>, RecordTrouble> {
    // A domain that leaves no room for the label in front can have no record.
    let Ok(name) = domain.sts_record_name() else { return Ok(None) };
    let answer = resolver.txt(&name).await.map_err(RecordTrouble::Dns)?;
    let found = record::discover(&answer.records).map_err(RecordTrouble::Invalid)?;
    Ok(found.map(|record| record.id))
}

/// The addresses of the policy host, both families asked together. Empty when there is none or none is
/// known: the fetch says so.
pub async fn policy_addresses(resolver: &Resolver, domain: &PolicyDomain) -> Vec<IpAddr> {
    let Ok(host) = domain.policy_host() else { return Vec::new() };
    let (v4, v6) = tokio::join!(resolver.ipv4(&host), resolver.ipv6(&host));
    [v6, v4].into_iter().flatten().flat_map(|answer| answer.records).collect()
}

/// The policy and its body as served, within `outside.options.fetch_timeout` behind the DNS questions.
///
/// # Errors
/// Why there is none: not fetched, or fetched and no policy.
pub async fn sts_policy(
    outside: &Outside,
    domain: &PolicyDomain,
) -> Result<(StsPolicy, Vec<u8>), FetchTrouble> {
    let addresses = policy_addresses(&outside.resolver, domain).await;
    sts_policy_from(outside, domain, &addresses).await
}

/// The same from addresses that are known: for a caller that bounds how many fetches each address bears.
///
/// # Errors
/// As [`sts_policy`].
pub async fn sts_policy_from(
    outside: &Outside,
    domain: &PolicyDomain,
    addresses: &[IpAddr],
) -> Result<(StsPolicy, Vec<u8>), FetchTrouble> {
    let fetched = policy_host::fetch(outside, domain, addresses).await.map_err(|error| {
        tracing::debug!(%domain, %error, "policy not fetched");
        FetchTrouble::Fetch(error.cause)
    })?;
    let policy = StsPolicy::parse(&fetched.body).map_err(FetchTrouble::Invalid)?;
    Ok((policy, fetched.body))
}
