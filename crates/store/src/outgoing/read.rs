//! Outgoing reports for pages and commands.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::outgoing::TargetState;
use serde::{Deserialize, Serialize};

use super::{Made, state_word};
use crate::columns::{count, date, day_number, domain, small, timestamp};
use crate::engine::{statements, values};
use crate::{Page, Result, Store, StoreError};

/// A report in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingRow {
    /// Ascending.
    pub number: i64,
    /// The UTC day that it covers.
    pub day: Date,
    /// The domain reported to.
    pub domain: PolicyDomain,
    /// What tells it from others, for ever.
    pub report_id: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Whether there is a report at all.
    pub made: Made,
    /// Why there is none.
    pub detail: String,
    /// That of its targets together; `None` without any.
    pub state: Option<TargetState>,
    /// Sessions under the policy type that has most of them.
    pub successful: u64,
    /// Likewise.
    pub failed: u64,
    /// Where it goes, in the order of the record.
    pub targets: Vec<OutgoingTarget>,
}

/// A target and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingTarget {
    /// The address as written.
    pub uri: String,
    /// Its host: that of the URI, or the domain of the mailbox.
    pub host: String,
    /// What it is now.
    pub state: TargetState,
    /// How often it was tried.
    pub tries: u32,
    /// When first.
    pub first_tried_at: Option<Timestamp>,
    /// When last.
    pub last_tried_at: Option<Timestamp>,
    /// When next.
    pub next_at: Option<Timestamp>,
    /// The last answer, in one line.
    pub answer: String,
}

/// A report whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingReport {
    /// As in lists.
    pub row: OutgoingRow,
    /// The report, compressed; empty when there is none.
    pub gzip: Vec<u8>,
}

/// Which reports are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutgoingFilter {
    /// Of this domain alone.
    pub domain: Option<PolicyDomain>,
    /// Of this UTC day alone.
    pub day: Option<Date>,
    /// In this state alone.
    pub state: Option<OutgoingState>,
}

/// The state of a day of a domain: that of its report, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutgoingState {
    /// There is a report, and this is its state.
    Of(TargetState),
    /// No report was made: no record, or nothing failed.
    NoReport,
}

impl OutgoingState {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TargetState::ALL.into_iter().map(Self::Of).chain([Self::NoReport])
    }

    /// The word in addresses, in options and on pages.
    pub fn as_str(self) -> &'static str {
        self.target().map_or("none", TargetState::as_str)
    }

    /// As rows have it; `None` is no report.
    pub fn target(self) -> Option<TargetState> {
        if let Self::Of(state) = self { Some(state) } else { None }
    }
}

impl std::str::FromStr for OutgoingState {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        Self::all().find(|state| state.as_str() == text).ok_or_else(|| {
            let words: Vec<&str> = Self::all().map(Self::as_str).collect();
            format!("{text:?} is no state of a report; there are {}", words.join(", "))
        })
    }
}

statements! {
    LIST = "SELECT number, day, domain, report_id, made_at, outcome, detail, state, successful, failed
        FROM outgoing_reports WHERE number < $1 ORDER BY number DESC LIMIT $2";
    OF_STATE = "SELECT number, day, domain, report_id, made_at, outcome, detail, state, successful, failed
        FROM outgoing_reports WHERE state = $3 AND number < $1 ORDER BY number DESC LIMIT $2";
    OF_DAY = "SELECT number, day, domain, report_id, made_at, outcome, detail, state, successful, failed
        FROM outgoing_reports WHERE day = $3 AND number < $1 ORDER BY number DESC LIMIT $2";
    OF_DAY_AND_STATE = "SELECT number, day, domain, report_id, made_at, outcome, detail, state, successful, failed
        FROM outgoing_reports WHERE day = $3 AND state = $4 AND number < $1 ORDER BY number DESC LIMIT $2";
    // A domain has as many as there are days.
    OF_DOMAIN = "SELECT number, day, domain, report_id, made_at, outcome, detail, state, successful, failed
        FROM outgoing_reports WHERE domain = $3 AND number < $1 AND day BETWEEN $4 AND $5
        AND ($6 = 'any' OR state = $6) ORDER BY number DESC LIMIT $2";
    ONE = "SELECT number, day, domain, report_id, made_at, outcome, detail, state, successful, failed
        FROM outgoing_reports WHERE number = $1";
    BODY = "SELECT gzip FROM outgoing_reports WHERE number = $1";
    BY_ID = "SELECT number FROM outgoing_reports WHERE report_id = $1";
    TARGETS = "SELECT report, place, uri, host, state, tries, first_tried_at, last_tried_at, next_at, answer
        FROM outgoing_targets WHERE report IN ({list})";
}

type Row = (i64, i64, String, String, i64, String, String, String, i64, i64);
type TargetRow = (i64, i64, String, String, String, i64, Option<i64>, Option<i64>, Option<i64>, String);

impl Store {
    /// Reports by number, the newest first. `before` is the number to continue below.
    ///
    /// # Errors
    /// As every function here.
    pub async fn outgoing_reports(
        &self,
        filter: &OutgoingFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<OutgoingRow>> {
        let mut asked = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        let state = filter.state.map(|state| state_word(state.target()));
        let day = filter.day.map(day_number);
        let (sql, narrowed) = match (&filter.domain, day, state) {
            (None, None, None) => (LIST, values![]),
            (None, None, Some(state)) => (OF_STATE, values![state]),
            (None, Some(day), None) => (OF_DAY, values![day]),
            (None, Some(day), Some(state)) => (OF_DAY_AND_STATE, values![day, state]),
            (Some(domain), day, state) => {
                let (from, to) = day.map_or((i64::MIN, i64::MAX), |day| (day, day));
                (OF_DOMAIN, values![domain.as_str(), from, to, state.unwrap_or("any")])
            }
        };
        asked.extend(narrowed);
        let rows: Vec<Row> = self.engine.all(sql, asked).await?;
        let mut page = Page::of(rows.into_iter().map(row).collect::<Result<_>>()?, limit, |r| r.number);
        self.add_targets(&mut page.rows).await?;
        Ok(page)
    }

    /// A report by its number.
    ///
    /// # Errors
    /// As every function here.
    pub async fn outgoing_report(&self, number: i64) -> Result<Option<OutgoingReport>> {
        let Some(found) = self.engine.optional::<Row>(ONE, values![number]).await? else { return Ok(None) };
        let mut rows = [row(found)?];
        self.add_targets(&mut rows).await?;
        let body: Option<(Vec<u8>,)> = self.engine.optional(BODY, values![number]).await?;
        let [row] = rows;
        Ok(body.map(|(gzip,)| OutgoingReport { row, gzip }))
    }

    /// The number of a report.
    ///
    /// # Errors
    /// As every function here.
    pub async fn outgoing_by_id(&self, report_id: &str) -> Result<Option<i64>> {
        let found: Option<(i64,)> = self.engine.optional(BY_ID, values![report_id]).await?;
        Ok(found.map(|(number,)| number))
    }

    async fn add_targets(&self, rows: &mut [OutgoingRow]) -> Result<()> {
        let numbers = rows.iter().map(|row| row.number.into()).collect();
        let mut found: Vec<TargetRow> = self.engine.all_of_list(TARGETS, numbers).await?;
        found.sort_unstable_by_key(|target| (target.0, target.1));
        // A list is filled up by repeating a value; its rows come once.
        let mut of: HashMap<i64, Vec<OutgoingTarget>> = HashMap::new();
        for (report, _, uri, host, state, tries, first, last, next, answer) in found {
            of.entry(report).or_default().push(OutgoingTarget {
                uri,
                host,
                state: target_state(&state)?,
                tries: small(tries),
                first_tried_at: first.map(timestamp).transpose()?,
                last_tried_at: last.map(timestamp).transpose()?,
                next_at: next.map(timestamp).transpose()?,
                answer,
            });
        }
        for row in rows {
            row.targets = of.remove(&row.number).unwrap_or_default();
        }
        Ok(())
    }
}

pub(super) fn target_state(word: &str) -> Result<TargetState> {
    word.parse().map_err(StoreError::Corrupt)
}

/// The state of a report; without a target it has none.
pub(super) fn state_of(word: &str) -> Result<Option<TargetState>> {
    if word.is_empty() { Ok(None) } else { target_state(word).map(Some) }
}

fn row(
    (number, day, name, report_id, made_at, made, detail, state, successful, failed): Row,
) -> Result<OutgoingRow> {
    Ok(OutgoingRow {
        number,
        day: date(day)?,
        domain: domain(&name)?,
        report_id,
        made_at: timestamp(made_at)?,
        made: Made::parse(&made)?,
        detail,
        state: state_of(&state)?,
        successful: count(successful),
        failed: count(failed),
        targets: Vec::new(),
    })
}
