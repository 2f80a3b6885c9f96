//! Reports that we send: one for a day and a domain, ever, with its targets and what became of each.
//!
//! The reporter makes them in batches: a report and the mark that its tallies are taken are one
//! transaction, so a day is neither lost nor reported twice, whoever is ended and when, and however many
//! nodes make at once. Its bytes and its report-id are fixed then: whatever is sent again is the same
//! report. `claim.rs` hands targets to one node at a time, `suppress.rs` knows addresses that are not
//! written to, `read.rs` is for pages and commands, `days.rs` keeps their sums.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::outgoing::TargetState;
use serde::{Deserialize, Serialize};

use crate::columns::{day_number, micros, number};
use crate::engine::{Value, Write, statements, values};
use crate::{Result, Store, StoreError, tallies};

pub(crate) mod claim;
pub(crate) mod days;
pub(crate) mod read;
pub(crate) mod suppress;

pub use claim::{ClaimLimits, Claimed, Outcome};
pub use days::{OutgoingCounts, OutgoingDay};
pub use read::{OutgoingFilter, OutgoingReport, OutgoingRow, OutgoingState, OutgoingTarget};
pub use suppress::{REFUSALS_IN_A_ROW, Suppression};

/// The lane of all targets that are mail: they leave through our own mail server.
pub const MAIL_LANE: &str = "mail";

/// What was made of a day of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// A report.
    Report,
    /// None: the domain asks for none any more.
    NoRecord,
    /// None: nothing failed, and such reports are switched off.
    NothingFailed,
}

impl Made {
    /// The word in the database, in JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::NoRecord => "no-record",
            Self::NothingFailed => "nothing-failed",
        }
    }

    fn parse(word: &str) -> Result<Self> {
        [Self::Report, Self::NoRecord, Self::NothingFailed]
            .into_iter()
            .find(|made| made.as_str() == word)
            .ok_or_else(|| StoreError::Corrupt(format!("{word:?} is nothing made of tallies")))
    }
}

/// What is to be kept for a day and a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOutgoing {
    /// The UTC day.
    pub day: Date,
    /// The domain reported to.
    pub domain: PolicyDomain,
    /// Fixed from now on.
    pub report_id: String,
    /// Whether there is a report.
    pub made: Made,
    /// Why there is none, in words.
    pub detail: String,
    /// Sessions under the policy type that has most of them, for lists.
    pub successful: u64,
    /// Likewise.
    pub failed: u64,
    /// The report, compressed; empty when there is none.
    pub gzip: Vec<u8>,
    /// Where it goes.
    pub targets: Vec<NewTarget>,
}

/// An address that a report goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTarget {
    /// As written in the record.
    pub uri: String,
    /// Whose host it is: that of the URI, or the domain of the mailbox.
    pub host: String,
    /// What is asked at most a few times at once: [`MAIL_LANE`], or the host.
    pub lane: String,
    /// Not before.
    pub first_try: Timestamp,
}

statements! {
    // The row stays locked until the end: makers and claimers come one after the other.
    LOCK = "UPDATE counters SET value = value + $1 WHERE name = 'outgoing-reports' RETURNING value";
    EXISTING = "SELECT day, domain FROM outgoing_reports WHERE day = $1 AND domain = $2";
    PUT_REPORTS = "INSERT INTO outgoing_reports (number, day, domain, report_id, made_at, outcome, detail, state,
        successful, failed, gzip) VALUES {rows}";
    PUT_TARGETS = "INSERT INTO outgoing_targets (report, place, uri, host, lane, state, tries, first_tried_at,
        last_tried_at, next_at, claim, claimed_until, answer) VALUES {rows}";
    DROP_TARGETS = "DELETE FROM outgoing_targets WHERE report IN
        (SELECT number FROM outgoing_reports WHERE day < $1 ORDER BY day, domain LIMIT $2)";
    DROP_REPORTS = "DELETE FROM outgoing_reports WHERE number IN
        (SELECT number FROM outgoing_reports WHERE day < $1 ORDER BY day, domain LIMIT $2)";
}

/// Reports dropped in one transaction.
const AT_ONCE: i64 = 1_000;

impl Store {
    /// Keeps these reports, and takes their days from the tallies that wait. What another node has made
    /// meanwhile is left alone. Returns how many were kept.
    ///
    /// # Errors
    /// As every function here; nothing was kept then.
    pub async fn make_outgoing(&self, reports: &[NewOutgoing], now: Timestamp) -> Result<usize> {
        let mut write = self.engine.write().await?;
        let given = lock(&mut write, 0).await?;
        let suppressed = suppress::among(&mut write, names(reports), now).await?;
        let (mut rows, mut targets, mut sums) = (Vec::new(), Vec::new(), days::Changes::default());
        for report in reports {
            let taken = tallies::take(&mut write, report.day, &report.domain).await?;
            let key = values![day_number(report.day), report.domain.as_str()];
            if !taken || write.optional::<(i64, String)>(EXISTING, key).await?.is_some() {
                continue;
            }
            let number = given + 1 + i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let states = report.targets.iter().enumerate().map(|(place, target)| {
                let (row, state) = target_row(number, place, target, &suppressed);
                targets.push(row);
                state
            });
            let state = together(&states.collect::<Vec<_>>());
            sums.add(day_number(report.day), state, 1);
            rows.push(report_row(number, report, state, now));
        }
        let made = rows.len();
        lock(&mut write, i64::try_from(made).unwrap_or(0)).await?;
        write.run_rows(PUT_REPORTS, rows).await?;
        write.run_rows(PUT_TARGETS, targets).await?;
        sums.save(&mut write).await?;
        write.commit().await?;
        Ok(made)
    }

    /// Drops the reports of days before `before`, sent or not. Returns how many went.
    ///
    /// # Errors
    /// As every function here. What was dropped until then stays dropped.
    pub async fn drop_outgoing(&self, before: Date) -> Result<u64> {
        let mut dropped = 0;
        loop {
            let mut write = self.engine.write().await?;
            lock(&mut write, 0).await?;
            let piece = values![day_number(before), AT_ONCE];
            write.run(DROP_TARGETS, piece.clone()).await?;
            let gone = write.run(DROP_REPORTS, piece).await?;
            days::forget(&mut write, before).await?;
            write.commit().await?;
            dropped += gone;
            if gone < AT_ONCE as u64 {
                return Ok(dropped);
            }
        }
    }
}

/// Waits for other writers and takes so many numbers; the last one given out.
async fn lock(write: &mut Write, numbers: i64) -> Result<i64> {
    let row: Option<(i64,)> = write.optional(LOCK, values![numbers]).await?;
    let missing = || StoreError::Corrupt("the counter of outgoing reports is not there".into());
    Ok(row.ok_or_else(missing)?.0)
}

/// The state of a report from those of its targets. RFC 8460 §3: delivery to one address is enough
/// (reading A21), so it is sent as soon as one accepted; else it is what is still hoped for, else the
/// reason why nothing is.
pub(crate) fn together(targets: &[TargetState]) -> Option<TargetState> {
    use TargetState::{Due, GivenUp, Refused, Sent, Suppressed, Waiting};
    [Sent, Waiting, Due, GivenUp, Refused, Suppressed].into_iter().find(|state| targets.contains(state))
}

fn state_word(state: Option<TargetState>) -> &'static str {
    state.map_or("", TargetState::as_str)
}

/// Every address and host, for which a suppression may be there.
fn names(reports: &[NewOutgoing]) -> HashSet<&str> {
    let targets = reports.iter().flat_map(|report| &report.targets);
    targets.flat_map(|target| [target.uri.as_str(), target.host.as_str()]).collect()
}

fn report_row(number_: i64, report: &NewOutgoing, state: Option<TargetState>, now: Timestamp) -> [Value; 11] {
    [
        number_.into(),
        day_number(report.day).into(),
        report.domain.as_str().into(),
        report.report_id.as_str().into(),
        micros(now).into(),
        report.made.as_str().into(),
        report.detail.as_str().into(),
        state_word(state).into(),
        number(report.successful).into(),
        number(report.failed).into(),
        report.gzip.as_slice().into(),
    ]
}

fn target_row(
    report: i64,
    place: usize,
    target: &NewTarget,
    suppressed: &HashSet<String>,
) -> ([Value; 13], TargetState) {
    let silent = suppressed.contains(&target.uri) || suppressed.contains(&target.host);
    let state = if silent { TargetState::Suppressed } else { TargetState::Due };
    let next = (!silent).then(|| micros(target.first_try));
    let row = [
        report.into(),
        i64::try_from(place).unwrap_or(i64::MAX).into(),
        target.uri.as_str().into(),
        target.host.as_str().into(),
        target.lane.as_str().into(),
        state.as_str().into(),
        0.into(),
        None::<i64>.into(),
        None::<i64>.into(),
        next.into(),
        0.into(),
        0.into(),
        "".into(),
    ];
    (row, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_what_its_targets_are() {
        use TargetState::{Due, GivenUp, Refused, Sent, Suppressed, Waiting};
        for (targets, state) in [
            (&[][..], None),
            (&[Refused, Sent, Due], Some(Sent)),
            (&[Refused, Due], Some(Due)),
            (&[Due, Waiting], Some(Waiting)),
            (&[Refused, GivenUp], Some(GivenUp)),
            (&[Suppressed, Refused], Some(Refused)),
            (&[Suppressed], Some(Suppressed)),
        ] {
            assert_eq!(together(targets), state, "{targets:?}");
        }
    }
}
