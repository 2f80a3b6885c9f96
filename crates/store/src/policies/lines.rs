//! Known policies as a page lists them, without the bodies.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use serde::{Deserialize, Serialize};

use super::RefreshFailure;
use crate::columns::{domain, from_json, small, timestamp};
use crate::domains::mode;
use crate::{Result, StoreError};

/// Which rows to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyFilter {
    /// Every domain of which anything is known.
    #[default]
    All,
    /// Those whose last policy has mode enforce, also when it expired.
    Enforced,
    /// Those whose refresh fails.
    Failing,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// The domain.
    pub domain: PolicyDomain,
    /// The last policy fetched, if there was one.
    pub policy: Option<PolicyLine>,
    /// Set while refreshing fails.
    pub failure: Option<RefreshFailure>,
    /// The word of the last decision by DNS that was certain.
    pub branch: Option<String>,
    /// Last asked for, to the hour or so.
    pub used_at: Timestamp,
}

/// A policy without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLine {
    /// Its mode.
    pub mode: Mode,
    /// The id of the record with which it was fetched.
    pub id: String,
    /// Seconds.
    pub max_age: u32,
    /// The last successful fetch.
    pub fetched_at: Timestamp,
    /// The first moment at which it is no longer in force.
    pub expires_at: Timestamp,
    /// When the record was last looked at.
    pub record_seen_at: Timestamp,
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPage {
    /// The rows. A search lists names that begin with the text first, and then those that have it further on.
    pub rows: Vec<PolicyRow>,
    /// Pass this as `after` for the next page; `None` at the end.
    pub next: Option<String>,
    /// Set when a search stopped for now after so many names, before the page was full: all names up to this
    /// one were looked through. It goes on with `next`.
    pub looked_up_to: Option<String>,
}

/// The columns of a line, of the rows of a filter.
macro_rules! lines {
    ($filter:literal, $which:literal) => {
        concat!(
            "SELECT domain, mode, policy_id, max_age, fetched_at, record_seen_at, failure, branch, used_at
                FROM known_policies WHERE ",
            $filter,
            $which
        )
    };
}

pub(super) use lines;

/// domain, mode, policy_id, max_age, fetched_at, record_seen_at, failure, branch, used_at
pub(super) type Row = (
    String,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    i64,
);

impl PolicyPage {
    /// From up to `limit + 1` rows: the surplus one only tells that more follow. `mark` stands before the name
    /// of the last row in `next`.
    pub(super) fn of(mut rows: Vec<Row>, limit: u32, mark: &str) -> Result<Self> {
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| format!("{mark}{}", row.0));
        let rows = rows.into_iter().map(policy_row).collect::<Result<_>>()?;
        Ok(Self { rows, next, looked_up_to: None })
    }
}

pub(super) fn policy_row(row: Row) -> Result<PolicyRow> {
    let (name, mode_text, id, max_age, fetched_at, record_seen_at, failure, branch, used_at) = row;
    let gap = || StoreError::Corrupt(format!("what is known of {name} has gaps"));
    let policy = match mode_text {
        None => None,
        Some(mode_text) => {
            let max_age = small(max_age.ok_or_else(gap)?);
            let fetched_at = timestamp(fetched_at.ok_or_else(gap)?)?;
            Some(PolicyLine {
                mode: mode(&mode_text)?,
                id: id.ok_or_else(gap)?,
                max_age,
                fetched_at,
                expires_at: super::expiry(fetched_at, max_age),
                record_seen_at: timestamp(record_seen_at.ok_or_else(gap)?)?,
            })
        }
    };
    Ok(PolicyRow {
        domain: domain(&name)?,
        policy,
        failure: failure.as_deref().map(from_json).transpose()?,
        branch,
        used_at: timestamp(used_at)?,
    })
}
