//! A known policy as columns, and back.

use jiff::Timestamp;

use super::{Branch, HeldPolicy, KnownPolicy, RefreshFailure};
use crate::columns::{cut, domain, from_json, json, micros, small, timestamp};
use crate::domains::mode;
use crate::engine::Value;
use crate::{Result, StoreError};

/// Characters of what a failure says.
const DETAIL: usize = 1_000;

/// domain, revision, used_at, mode, policy_id, max_age, fetched_at, record_seen_at, failure, branch,
/// branch_mx, branch_at, branch_ttl, body
pub(super) type Row = (
    String,
    i64,
    i64,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Vec<u8>,
);

/// The row, and its revision.
pub(super) fn known(row: Row) -> Result<(KnownPolicy, i64)> {
    let (
        name,
        revision,
        used_at,
        mode_text,
        id,
        max_age,
        fetched_at,
        record_seen_at,
        failure,
        branch,
        branch_mx,
        branch_at,
        branch_ttl,
        body,
    ) = row;
    let domain = domain(&name)?;
    let gap = || StoreError::Corrupt(format!("what is known of {name} has gaps"));
    let policy = match mode_text {
        None => None,
        Some(mode_text) => Some(HeldPolicy {
            id: id.ok_or_else(gap)?,
            body,
            mode: mode(&mode_text)?,
            max_age: small(max_age.ok_or_else(gap)?),
            fetched_at: timestamp(fetched_at.ok_or_else(gap)?)?,
            record_seen_at: timestamp(record_seen_at.ok_or_else(gap)?)?,
        }),
    };
    let branch = match branch {
        None => None,
        Some(kind) => Some(Branch {
            kind,
            mx: from_json(&branch_mx.ok_or_else(gap)?)?,
            decided_at: timestamp(branch_at.ok_or_else(gap)?)?,
            ttl: small(branch_ttl.ok_or_else(gap)?),
        }),
    };
    let failure = failure.as_deref().map(from_json).transpose()?;
    Ok((KnownPolicy { domain, policy, failure, branch, used_at: timestamp(used_at)? }, revision))
}

/// In the order of the columns of PUT.
pub(super) fn columns(known: KnownPolicy, revision: i64) -> Result<[Value; 15]> {
    let KnownPolicy { domain, policy, failure, branch, used_at } = known;
    let failure = failure.as_ref().map(json).transpose()?;
    let mx = branch.as_ref().map(|branch| json(&branch.mx)).transpose()?;
    let moment = |at: Option<Timestamp>| Value::from(at.map(micros));
    let of = policy.as_ref();
    Ok([
        domain.as_str().into(),
        revision.into(),
        micros(used_at).into(),
        of.map(|p| p.mode.as_str()).into(),
        of.map(|p| p.id.as_str()).into(),
        of.map(|p| i64::from(p.max_age)).into(),
        moment(of.map(|p| p.fetched_at)),
        moment(of.map(HeldPolicy::expires_at)),
        moment(of.map(|p| p.record_seen_at)),
        failure.as_deref().into(),
        branch.as_ref().map(|b| b.kind.as_str()).into(),
        mx.as_deref().into(),
        moment(branch.as_ref().map(|b| b.decided_at)),
        branch.as_ref().map(|b| i64::from(b.ttl)).into(),
        policy.map(|p| p.body).unwrap_or_default().into(),
    ])
}

/// As it comes back from the columns, so that the same again is seen to be the same.
pub(super) fn as_stored(known: &KnownPolicy) -> KnownPolicy {
    let policy = known.policy.clone().map(|policy| HeldPolicy {
        id: plain(policy.id),
        fetched_at: whole(policy.fetched_at),
        record_seen_at: whole(policy.record_seen_at),
        ..policy
    });
    let failure = known.failure.clone().map(|failure| RefreshFailure {
        since: whole(failure.since),
        last_at: whole(failure.last_at),
        detail: cut(&failure.detail, DETAIL).to_owned(),
        ..failure
    });
    let branch = known.branch.clone().map(|branch| Branch {
        kind: plain(branch.kind),
        decided_at: whole(branch.decided_at),
        ..branch
    });
    KnownPolicy { domain: known.domain.clone(), policy, failure, branch, used_at: whole(known.used_at) }
}

/// Whole microseconds.
fn whole(at: Timestamp) -> Timestamp {
    timestamp(micros(at)).unwrap_or(at)
}

/// As a text column has it.
fn plain(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
