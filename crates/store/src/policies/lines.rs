//! Known policies as a page lists them: by domain, without the bodies.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use serde::{Deserialize, Serialize};

use super::RefreshFailure;
use crate::columns::{domain, from_json, small, timestamp};
use crate::domains::mode;
use crate::engine::{statements, values};
use crate::{Result, Store, StoreError};

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

statements! {
    PAGE = "SELECT domain, mode, policy_id, max_age, fetched_at, record_seen_at, failure, branch, used_at
        FROM known_policies WHERE domain > $1 AND domain LIKE $2 ESCAPE '!' ORDER BY domain LIMIT $3";
    PAGE_ENFORCED = "SELECT domain, mode, policy_id, max_age, fetched_at, record_seen_at, failure, branch, used_at
        FROM known_policies WHERE mode = 'enforce' AND domain > $1 AND domain LIKE $2 ESCAPE '!'
        ORDER BY domain LIMIT $3";
    PAGE_FAILING = "SELECT domain, mode, policy_id, max_age, fetched_at, record_seen_at, failure, branch, used_at
        FROM known_policies WHERE failure IS NOT NULL AND domain > $1 AND domain LIKE $2 ESCAPE '!'
        ORDER BY domain LIMIT $3";
}

/// domain, mode, policy_id, max_age, fetched_at, record_seen_at, failure, branch, used_at
type Row = (
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

impl Store {
    /// Known policies by domain (in the order of bytes), at most `limit`; go on with the last domain as
    /// `after`. `search` is a part of the name; U-labels find their A-labels.
    ///
    /// # Errors
    /// As every function here.
    pub async fn policies_page(
        &self,
        filter: PolicyFilter,
        search: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PolicyRow>> {
        let statement = match filter {
            PolicyFilter::All => PAGE,
            PolicyFilter::Enforced => PAGE_ENFORCED,
            PolicyFilter::Failing => PAGE_FAILING,
        };
        let values = values![after.unwrap_or_default(), pattern(search), i64::from(limit)];
        let rows: Vec<Row> = self.engine.all(statement, values).await?;
        rows.into_iter().map(policy_row).collect()
    }
}

/// What LIKE looks for.
fn pattern(search: Option<&str>) -> String {
    let search = search.unwrap_or_default().trim().to_lowercase();
    let search = match PolicyDomain::parse(&search) {
        Ok(name) if !search.is_ascii() => name.to_string(),
        _ => search,
    };
    let mut pattern = String::from("%");
    for c in search.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn policy_row(row: Row) -> Result<PolicyRow> {
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
