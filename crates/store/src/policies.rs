//! What the sending side knows of other domains' policies, so that a restart, or another node on the same
//! database, starts from there and not from nothing.
//!
//! The cache (`mailward-sending`) writes in batches and reads everything once at its start; after that it
//! reads what other nodes wrote, by revision. Nothing here decides whether a policy holds: bodies are kept
//! as fetched, and what expired stays, for it may be the last that is known (reading A10).
//!
//! Two nodes may write about one domain. [`put_known_policies`](Store::put_known_policies) keeps what is
//! later of each part, so the order in which batches arrive does not matter for policies and decisions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use mailward_core::mta_sts::policy::BODY_LIMIT;
use serde::{Deserialize, Serialize};

use crate::columns::micros;
use crate::engine::{Value, Write, statements, values};
use crate::{Result, Store, StoreError};

pub(crate) mod counts;
mod lines;
mod merge;
mod row;
pub(crate) mod search;

pub use counts::PolicyCounts;
pub use lines::{PolicyFilter, PolicyLine, PolicyPage, PolicyRow};

use counts::Changes;
use merge::merge;
use row::{Row, known};

/// What the sending side knows of one domain; a policy, or only a failure or a decision by DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPolicy {
    /// The domain that mail goes to.
    pub domain: PolicyDomain,
    /// The last policy fetched, live or expired.
    pub policy: Option<HeldPolicy>,
    /// Set while refreshing fails, cleared by success.
    pub failure: Option<RefreshFailure>,
    /// The last delivery decision by DNS that was certain.
    pub branch: Option<Branch>,
    /// Last asked for. Coarse: the caller writes it at most once an hour.
    pub used_at: Timestamp,
}

/// A policy as fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPolicy {
    /// The id of the record with which it was fetched.
    pub id: String,
    /// The text, byte for byte; at most [`BODY_LIMIT`] bytes.
    pub body: Vec<u8>,
    /// Its mode.
    pub mode: Mode,
    /// Seconds, clamped (reading A6).
    pub max_age: u32,
    /// The last successful fetch; max_age counts from here.
    pub fetched_at: Timestamp,
    /// When the record was last looked at.
    pub record_seen_at: Timestamp,
}

impl HeldPolicy {
    /// The first moment at which the policy is no longer in force.
    pub fn expires_at(&self) -> Timestamp {
        expiry(self.fetched_at, self.max_age)
    }
}

/// A refresh that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshFailure {
    /// The id announced whose policy could not be had; `None` when not even the record could.
    pub id: Option<String>,
    /// The first failure after the last success.
    pub since: Timestamp,
    /// The last.
    pub last_at: Timestamp,
    /// The word of the reason, `NoPolicy::as_str`.
    pub reason: String,
    /// In words. Cut after a thousand characters.
    pub detail: String,
}

/// A delivery decision by DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The word that `core::delivery` gives it.
    pub kind: String,
    /// The MX names in order of preference.
    pub mx: Vec<String>,
    /// When.
    pub decided_at: Timestamp,
    /// Seconds for which the answers of DNS held.
    pub ttl: u32,
}

/// Rows merged at once: what of them is stored is in memory meanwhile, bodies and all.
const AT_ONCE: usize = 128;
/// Rows deleted in one transaction, so that writers need not wait for all of them.
const FORGOTTEN_AT_ONCE: i64 = 5_000;

/// An update touches the indexes of the columns that it sets, whatever their values: so it sets no more
/// columns than have to change.
macro_rules! insert {
    () => {
        "INSERT INTO known_policies
        (domain, revision, used_at, mode, policy_id, max_age, fetched_at, expires_at, record_seen_at, failure,
        branch, branch_mx, branch_at, branch_ttl, body) VALUES {rows}
        ON CONFLICT (domain) DO UPDATE SET "
    };
}
macro_rules! refreshed {
    () => {
        "policy_id = excluded.policy_id, max_age = excluded.max_age, fetched_at = excluded.fetched_at,
        expires_at = excluded.expires_at, body = excluded.body, "
    };
}
macro_rules! touched {
    () => {
        "revision = excluded.revision, used_at = excluded.used_at, record_seen_at = excluded.record_seen_at,
        branch = excluded.branch, branch_mx = excluded.branch_mx, branch_at = excluded.branch_at,
        branch_ttl = excluded.branch_ttl"
    };
}

statements! {
    // The row stays locked until the end: no other writer gives out revisions meanwhile.
    TAKE_REVISIONS = "UPDATE counters SET value = value + $1 WHERE name = 'known-policies' RETURNING value";
    ONE = "SELECT domain, revision, used_at, mode, policy_id, max_age, fetched_at, record_seen_at, failure,
        branch, branch_mx, branch_at, branch_ttl, body FROM known_policies WHERE domain = $1";
    SEVERAL = "SELECT domain, revision, used_at, mode, policy_id, max_age, fetched_at, record_seen_at, failure,
        branch, branch_mx, branch_at, branch_ttl, body FROM known_policies WHERE domain IN ({list})";
    SINCE = "SELECT domain, revision, used_at, mode, policy_id, max_age, fetched_at, record_seen_at, failure,
        branch, branch_mx, branch_at, branch_ttl, body FROM known_policies
        WHERE revision > $1 ORDER BY revision LIMIT $2";
    PUT = concat!(insert!(), "mode = excluded.mode, failure = excluded.failure, ", refreshed!(), touched!());
    REFRESH = concat!(insert!(), refreshed!(), touched!());
    TOUCH = concat!(insert!(), touched!());
    UNUSED = "SELECT domain FROM known_policies WHERE domain > $1 AND used_at < $2 ORDER BY domain LIMIT $3";
    USED = "SELECT domain, used_at FROM known_policies WHERE domain IN ({list})";
    FORGET = "DELETE FROM known_policies WHERE domain IN ({list})
        RETURNING mode, expires_at, failure, branch";
}

impl Store {
    /// Stores many in one transaction; a thousand at a time is a good measure.
    ///
    /// What is stored is never replaced by something older: of two policies the one fetched later stays,
    /// of two decisions and two failures the later one, of two uses the later; a row without policy or
    /// decision takes none away (a policy withdrawn is one with max_age 0). A failure ends with a policy
    /// fetched after it, or with a row that has none and whose policy is no older than the stored one.
    ///
    /// Each row that changes gets the next revision; one that changes nothing is not written, so that
    /// writing the same again is free.
    ///
    /// # Errors
    /// `Conflict` when a body is longer than [`BODY_LIMIT`]; nothing is stored then.
    pub async fn put_known_policies(&self, rows: &[KnownPolicy]) -> Result<()> {
        let rows = one_each(rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut write = self.engine.write().await?;
        let mut revision = take_revisions(&mut write, rows.len()).await?;
        let (before, mut changes) = (revision, Changes::default());
        for rows in rows.chunks(AT_ONCE) {
            let domains: Vec<Value> = rows.iter().map(|row| row.domain.as_str().into()).collect();
            let stored: Vec<Row> = write.all_of_list(SEVERAL, domains).await?;
            let stored =
                stored.into_iter().map(|row| known(row).map(|(known, _)| (known.domain.clone(), known)));
            let mut stored: HashMap<PolicyDomain, KnownPolicy> = stored.collect::<Result<_>>()?;
            let (mut put, mut refresh, mut touch) = (Vec::new(), Vec::new(), Vec::new());
            for row in rows {
                let old = stored.remove(&row.domain);
                let new = merge(old.as_ref(), row);
                if old.as_ref() == Some(&new) {
                    continue;
                }
                revision += 1;
                old.iter().for_each(|old| changes.remove(&old.into()));
                changes.add(&(&new).into());
                let columns = match old {
                    Some(old) if touches(&old, &new) => &mut touch,
                    Some(old) if refreshes(&old, &new) => &mut refresh,
                    _ => &mut put,
                };
                columns.push(row::columns(new, revision)?);
            }
            for (statement, rows) in [(PUT, put), (REFRESH, refresh), (TOUCH, touch)] {
                write.run_rows(statement, rows).await?;
            }
        }
        if revision == before {
            return Ok(());
        }
        changes.save(&mut write).await?;
        write.commit().await
    }

    /// What is known of one domain.
    ///
    /// # Errors
    /// As every function here.
    pub async fn known_policy(&self, domain: &PolicyDomain) -> Result<Option<KnownPolicy>> {
        let found: Option<Row> = self.engine.optional(ONE, values![domain.as_str()]).await?;
        found.map(|row| known(row).map(|(known, _)| known)).transpose()
    }

    /// Rows with a revision above `after`, in that order, at most `limit`; and the revision of the last of
    /// them (`after` when there is none), from which to go on. Begin with 0.
    ///
    /// Who goes on like this sees every row, and every change that another process commits: revisions
    /// become visible in ascending order. Rows that were forgotten do not show.
    ///
    /// # Errors
    /// As every function here.
    pub async fn known_policies_since(&self, after: i64, limit: u32) -> Result<(Vec<KnownPolicy>, i64)> {
        let rows: Vec<Row> = self.engine.all(SINCE, values![after, i64::from(limit)]).await?;
        let mut last = after;
        let row = |row| {
            let (known, revision) = known(row)?;
            last = revision;
            Ok(known)
        };
        let rows = rows.into_iter().map(row).collect::<Result<_>>()?;
        Ok((rows, last))
    }

    /// Drops what was not asked for since then, whatever it is: also a live policy in mode enforce, which
    /// is fetched again when somebody writes there. Returns how many.
    ///
    /// # Errors
    /// As every function here.
    pub async fn forget_unused_policies(&self, unused_since: Timestamp) -> Result<u64> {
        let (unused_since, mut forgotten, mut after) = (micros(unused_since), 0, String::new());
        loop {
            // A walk through all rows, with nobody waiting for it.
            let found: Vec<(String,)> =
                self.engine.all(UNUSED, values![after.as_str(), unused_since, FORGOTTEN_AT_ONCE]).await?;
            let Some((last,)) = found.last() else { return Ok(forgotten) };
            after.clone_from(last);
            let mut write = self.engine.write().await?;
            take_revisions(&mut write, 0).await?;
            let found = found.into_iter().map(|(domain,)| domain.into()).collect();
            // One may have been used since.
            let used: Vec<(String, i64)> = write.all_of_list(USED, found).await?;
            let unused: BTreeSet<String> =
                used.into_iter().filter(|(_, at)| *at < unused_since).map(|(domain, _)| domain).collect();
            let unused = unused.into_iter().map(Value::from).collect();
            let gone: Vec<counts::GoneRow> = write.all_of_list(FORGET, unused).await?;
            let mut changes = Changes::default();
            gone.iter().for_each(|row| changes.remove(&row.into()));
            changes.save(&mut write).await?;
            counts::tidy(&mut write).await?;
            write.commit().await?;
            forgotten += gone.len() as u64;
        }
    }
}

/// Whether a row differs in nothing but use, decision and the look at the record.
fn touches(old: &KnownPolicy, new: &KnownPolicy) -> bool {
    let as_old = |policy: &HeldPolicy, old: &HeldPolicy| HeldPolicy {
        record_seen_at: old.record_seen_at,
        ..policy.clone()
    };
    old.failure == new.failure
        && match (&old.policy, &new.policy) {
            (Some(old), Some(new)) => as_old(new, old) == *old,
            (None, None) => true,
            _ => false,
        }
}

/// Whether a row remains of the same sort: same mode, same failure.
fn refreshes(old: &KnownPolicy, new: &KnownPolicy) -> bool {
    let mode = |known: &KnownPolicy| known.policy.as_ref().map(|policy| policy.mode);
    old.failure == new.failure && mode(old) == mode(new)
}

/// Waits for other writers and takes so many revisions: those above the one returned.
async fn take_revisions(write: &mut Write, rows: usize) -> Result<i64> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let taken: Option<(i64,)> = write.optional(TAKE_REVISIONS, values![rows]).await?;
    let missing = || StoreError::Corrupt("the counter of known policies is not there".into());
    Ok(taken.ok_or_else(missing)?.0 - rows)
}

fn expiry(fetched_at: Timestamp, max_age: u32) -> Timestamp {
    fetched_at.checked_add(SignedDuration::from_secs(i64::from(max_age))).unwrap_or(Timestamp::MAX)
}

/// Each domain once, as its columns will have it.
fn one_each(rows: &[KnownPolicy]) -> Result<Vec<KnownPolicy>> {
    let mut each: BTreeMap<&PolicyDomain, KnownPolicy> = BTreeMap::new();
    for row in rows {
        if row.policy.as_ref().is_some_and(|policy| policy.body.len() > BODY_LIMIT) {
            return Err(StoreError::Conflict(format!(
                "the policy of {} is longer than {BODY_LIMIT} bytes",
                row.domain
            )));
        }
        let row_as_stored = row::as_stored(row);
        let merged = merge(each.get(&row.domain), &row_as_stored);
        each.insert(&row.domain, merged);
    }
    Ok(each.into_values().collect())
}
