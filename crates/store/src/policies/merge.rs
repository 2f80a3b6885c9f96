//! What remains when a row meets the one that is stored: of each part the later.

use super::{HeldPolicy, KnownPolicy, RefreshFailure};

/// The row to store. `new` wins where both are of the same moment.
pub(super) fn merge(stored: Option<&KnownPolicy>, new: &KnownPolicy) -> KnownPolicy {
    let Some(stored) = stored else {
        let failure = new.failure.clone().filter(|failure| !is_over(failure, new.policy.as_ref()));
        return KnownPolicy { failure, ..new.clone() };
    };
    let fetched_at = |known: &KnownPolicy| known.policy.as_ref().map(|policy| policy.fetched_at);
    // None is before everything.
    let outdated = fetched_at(new) < fetched_at(stored);
    let policy = if outdated { stored.policy.clone() } else { later_look(stored, new.policy.clone()) };

    let failure = match (&new.failure, &stored.failure) {
        (Some(new), Some(stored)) if stored.last_at > new.last_at => Some(stored),
        (Some(new), _) => Some(new),
        // Who does not know of the last fetch does not know how it went after it either.
        (None, Some(stored)) if outdated => Some(stored),
        (None, _) => None,
    };
    let failure = failure.filter(|failure| !is_over(failure, policy.as_ref())).cloned();

    let branch = match (&new.branch, &stored.branch) {
        (Some(new), Some(stored)) if stored.decided_at > new.decided_at => Some(stored),
        (new, stored) => new.as_ref().or(stored.as_ref()),
    };
    KnownPolicy {
        domain: new.domain.clone(),
        failure,
        branch: branch.cloned(),
        used_at: new.used_at.max(stored.used_at),
        policy,
    }
}

fn is_over(failure: &RefreshFailure, policy: Option<&HeldPolicy>) -> bool {
    policy.is_some_and(|policy| policy.fetched_at > failure.last_at)
}

/// Two nodes that hold the same policy may have looked at the record at different times.
fn later_look(stored: &KnownPolicy, new: Option<HeldPolicy>) -> Option<HeldPolicy> {
    let mut policy = new?;
    if let Some(stored) = stored.policy.as_ref().filter(|s| s.fetched_at == policy.fetched_at) {
        policy.record_seen_at = policy.record_seen_at.max(stored.record_seen_at);
    }
    Some(policy)
}
