//! How many policies are known, of which sort: read from sums that every writer keeps up to date, since a
//! page shall not count a million rows.
//!
//! Whether a policy is live depends on when one asks. The sums have one row for each hour in which policies
//! expire; of the hour at hand alone the policies themselves are counted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailward_core::mta_sts::Mode;
use serde::{Deserialize, Serialize};

use super::KnownPolicy;
use crate::columns::{count, micros};
use crate::domains::mode;
use crate::engine::{Write, statements, values};
use crate::{Result, Store};

/// What the sending side knows, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCounts {
    /// Domains of which anything is known.
    pub domains: u64,
    /// Live policies of mode none.
    pub none: u64,
    /// Live policies of mode testing.
    pub testing: u64,
    /// Live policies of mode enforce.
    pub enforce: u64,
    /// Policies of any mode that are no longer in force.
    pub expired: u64,
    /// Domains whose refresh fails, with a policy or without.
    pub failing: u64,
    /// Decisions by DNS, by their word (those of DANE among them).
    pub branches: BTreeMap<String, u64>,
}

/// Microseconds.
const HOUR: i64 = 3_600_000_000;

const ALL: &str = "all";
const POLICY: &str = "policy";
const FAILING: &str = "failing";
const BRANCH: &str = "branch";

statements! {
    // Sort, word, those of the hours before, those of all hours; and of this hour those expired by now.
    COUNTS = "SELECT sort, word, CAST(SUM(CASE WHEN hour < $1 THEN domains ELSE 0 END) AS BIGINT),
            CAST(SUM(domains) AS BIGINT)
        FROM known_policy_counts GROUP BY sort, word
        UNION ALL SELECT 'policy', mode, COUNT(*), 0 FROM known_policies
        WHERE mode IS NOT NULL AND expires_at >= $2 AND expires_at <= $3 GROUP BY mode";
    CHANGE = "INSERT INTO known_policy_counts (sort, word, hour, domains) VALUES {rows}
        ON CONFLICT (sort, word, hour) DO UPDATE SET domains = known_policy_counts.domains + excluded.domains";
    TIDY = "DELETE FROM known_policy_counts WHERE domains = 0";
}

impl Store {
    /// What the sending side knows, counted; exact, and quick however much it is.
    ///
    /// # Errors
    /// As every function here.
    pub async fn policy_counts(&self, now: Timestamp) -> Result<PolicyCounts> {
        let now = micros(now);
        let hour = now.div_euclid(HOUR);
        let rows: Vec<(String, String, i64, i64)> =
            self.engine.all(COUNTS, values![hour, hour.saturating_mul(HOUR), now]).await?;
        let mut counts = PolicyCounts::default();
        let mut by_mode: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (sort, word, expired, all) in rows {
            match sort.as_str() {
                ALL => counts.domains = count(all),
                FAILING => counts.failing = count(all),
                BRANCH if all > 0 => drop(counts.branches.insert(word, count(all))),
                POLICY => {
                    let sums = by_mode.entry(word).or_default();
                    *sums = (sums.0 + expired, sums.1 + all);
                }
                _ => {}
            }
        }
        for (word, (expired, all)) in by_mode {
            counts.expired += count(expired);
            let live = count(all - expired);
            match mode(&word)? {
                Mode::None => counts.none = live,
                Mode::Testing => counts.testing = live,
                Mode::Enforce => counts.enforce = live,
            }
        }
        Ok(counts)
    }
}

/// mode, expires_at, failure, branch
pub(super) type GoneRow = (Option<String>, Option<i64>, Option<String>, Option<String>);

/// What of a row is counted.
pub(super) struct Counted<'a> {
    policy: Option<(&'a str, i64)>,
    failing: bool,
    branch: Option<&'a str>,
}

impl<'a> From<&'a KnownPolicy> for Counted<'a> {
    fn from(known: &'a KnownPolicy) -> Self {
        let policy = known.policy.as_ref();
        Self {
            policy: policy.map(|policy| (policy.mode.as_str(), micros(policy.expires_at()))),
            failing: known.failure.is_some(),
            branch: known.branch.as_ref().map(|branch| branch.kind.as_str()),
        }
    }
}

impl<'a> From<&'a GoneRow> for Counted<'a> {
    fn from((mode, expires_at, failure, branch): &'a GoneRow) -> Self {
        Self {
            policy: mode.as_deref().zip(*expires_at),
            failing: failure.is_some(),
            branch: branch.as_deref(),
        }
    }
}

/// By how much the sums change in one transaction.
#[derive(Default)]
pub(super) struct Changes(BTreeMap<(&'static str, String, i64), i64>);

impl Changes {
    pub(super) fn add(&mut self, row: &Counted<'_>) {
        self.change(row, 1);
    }

    pub(super) fn remove(&mut self, row: &Counted<'_>) {
        self.change(row, -1);
    }

    fn change(&mut self, row: &Counted<'_>, by: i64) {
        let mut change =
            |sort, word: &str, hour| *self.0.entry((sort, word.to_owned(), hour)).or_default() += by;
        change(ALL, "", 0);
        if let Some((mode, expires_at)) = row.policy {
            change(POLICY, mode, expires_at.div_euclid(HOUR));
        }
        if row.failing {
            change(FAILING, "", 0);
        }
        if let Some(kind) = row.branch {
            change(BRANCH, kind, 0);
        }
    }

    pub(super) async fn save(self, write: &mut Write) -> Result<()> {
        let changes = self.0.into_iter().filter(|(_, by)| *by != 0);
        let row = |((sort, word, hour), by): ((&str, String, i64), i64)| {
            [sort.into(), word.into(), hour.into(), by.into()]
        };
        write.run_rows(CHANGE, changes.map(row).collect()).await
    }
}

/// Removes sums that came to nothing: hours that passed.
pub(super) async fn tidy(write: &mut Write) -> Result<()> {
    write.run(TIDY, values![]).await.map(drop)
}
