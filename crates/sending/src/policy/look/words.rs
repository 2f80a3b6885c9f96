//! What a look did, in words for people.

use jiff::Timestamp;
use mailward_core::delivery::NextHopFacts;
use mailward_core::mta_sts::cache::CachedPolicy;
use mailward_store::policies::RefreshFailure;

use crate::policy::entry::Entry;

/// What is known of MTA-STS without asking, for people.
pub(super) fn told_by_memory(entry: &Entry, now: Timestamp) -> Vec<String> {
    match (entry.live(now), entry.no_sts) {
        (Some(held), _) => {
            let CachedPolicy { policy, id, fetched_at, .. } = &held.cached;
            vec![format!("MTA-STS from the cache: mode {}, id {id}, fetched {fetched_at}", policy.mode)]
        }
        (None, Some(no)) => vec![format!("MTA-STS as seen before: {}", no.reason().sentence())],
        (None, None) => Vec::new(),
    }
}

/// One line about the mail servers.
pub(in crate::policy) fn told_by_dns(facts: &NextHopFacts) -> Vec<String> {
    let names: Vec<String> = facts.hosts.iter().map(|host| host.host.to_string()).collect();
    let domain = &facts.domain;
    // Why there are none is told by the decision.
    let Ok(answer) = &facts.mx else { return Vec::new() };
    let status = format!("{:?}", answer.status).to_lowercase();
    vec![match answer.is_absent() {
        true => format!("MX {domain}: none ({status}); the domain itself is the host"),
        false if names.is_empty() => format!("MX {domain}: none that is a host ({status})"),
        false => format!("MX {domain}: {} ({status})", names.join(", ")),
    }]
}

/// Once a change, not once a try.
pub(super) fn tell_of_failure(
    entry: &Entry,
    before: Option<&RefreshFailure>,
    after: Option<&RefreshFailure>,
) {
    let domain = &entry.key.domain;
    match (before, after) {
        (None, Some(failure)) if entry.held.is_some() => {
            tracing::warn!(%domain, reason = failure.reason, "a policy cannot be refreshed: {}", failure.detail);
        }
        (Some(before), Some(after)) if entry.held.is_some() && before.reason != after.reason => {
            tracing::warn!(%domain, reason = after.reason, "a policy still cannot be refreshed: {}", after.detail);
        }
        (Some(_), None) if entry.held.is_some() => {
            tracing::info!(%domain, "the policy can be refreshed again");
        }
        _ => {}
    }
}
