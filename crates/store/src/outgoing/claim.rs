//! Targets on their way: handed to one node at a time, and what came of the attempt.
//!
//! A claim is a number with an end. Whoever claims has the target to itself until then; if it is ended
//! before it can tell what came of the attempt, another sends the same report again, under the same
//! report-id. Nodes compare the end with their own clocks, so these must agree to within a minute.

use jiff::{SignedDuration, Timestamp};
use mailward_core::tlsrpt::outgoing::TargetState;

use super::read::{state_of, target_state};
use super::{MAIL_LANE, days, lock, state_word, suppress, together};
use crate::columns::{micros, small, timestamp};
use crate::engine::{statements, values};
use crate::log::{LogEntry, append};
use crate::{Result, Store, StoreError};

/// Nothing is scheduled so far ahead: a clock that jumped wrote it, and it counts as due.
const FURTHEST: SignedDuration = SignedDuration::from_hours(60);
/// No claim lasts so long: the same.
const LONGEST_CLAIM: SignedDuration = SignedDuration::from_hours(1);

/// A target that is ours for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Number of its report.
    pub report: i64,
    /// Its place in the record.
    pub place: i64,
    /// The address.
    pub uri: String,
    /// Its host.
    pub host: String,
    /// What is asked at most a few times at once.
    pub lane: String,
    /// Tries so far.
    pub tries: u32,
    /// When the first was.
    pub first_tried_at: Option<Timestamp>,
}

/// How much is claimed at once.
#[derive(Debug, Clone, Copy)]
pub struct ClaimLimits {
    /// Until when others keep off.
    pub lease: SignedDuration,
    /// In all.
    pub targets: u32,
    /// That are mail.
    pub mails: u32,
    /// To any other host.
    pub per_host: u32,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the target is now.
    pub state: TargetState,
    /// When the next try is, for [`TargetState::Waiting`].
    pub next_at: Option<Timestamp>,
    /// The answer, in one line.
    pub answer: String,
}

statements! {
    DUE = "SELECT report, place, uri, host, lane, tries, first_tried_at FROM (
            SELECT report, place, uri, host, lane, tries, first_tried_at, next_at,
                ROW_NUMBER() OVER (PARTITION BY lane ORDER BY next_at, report, place) AS turn
            FROM outgoing_targets WHERE (next_at <= $1 OR next_at > $2)
                AND (claimed_until <= $1 OR claimed_until > $3)
        ) due WHERE turn <= CASE lane WHEN $4 THEN CAST($5 AS BIGINT)
            ELSE CAST($6 AS BIGINT) END ORDER BY next_at, report, place LIMIT $7";
    CLAIM = "UPDATE outgoing_targets SET claim = $3, claimed_until = $4 WHERE report = $1 AND place = $2";
    FREE = "UPDATE outgoing_targets SET claim = 0, claimed_until = 0 WHERE next_at IS NOT NULL AND claimed_until > 0";
    RELEASE = "UPDATE outgoing_targets SET claim = 0, claimed_until = 0
        WHERE report = $1 AND place = $2 AND claim = $3";
    TRIED = "UPDATE outgoing_targets SET state = $4, next_at = $5, answer = $6, tries = tries + 1,
        first_tried_at = COALESCE(first_tried_at, $7), last_tried_at = $7, claim = 0, claimed_until = 0
        WHERE report = $1 AND place = $2 AND claim = $3";
    LEFT_OUT = "UPDATE outgoing_targets SET state = $4, next_at = NULL, answer = $5, claim = 0, claimed_until = 0
        WHERE report = $1 AND place = $2 AND claim = $3";
    STATES = "SELECT state FROM outgoing_targets WHERE report = $1";
    STATE = "SELECT day, state FROM outgoing_reports WHERE number = $1";
    SET_STATE = "UPDATE outgoing_reports SET state = $2 WHERE number = $1";
    AGAIN = "UPDATE outgoing_targets SET state = 'due', next_at = $2, tries = 0, first_tried_at = NULL
        WHERE report = $1 AND state <> 'sent' AND claimed_until <= $2";
    ABOUT = "SELECT report_id FROM outgoing_reports WHERE number = $1";
    NEXT = "SELECT MIN(next_at) FROM outgoing_targets WHERE next_at IS NOT NULL";
}

type DueRow = (i64, i64, String, String, String, i64, Option<i64>);

impl Store {
    /// Claims targets whose time has come: the oldest first, few of each lane.
    ///
    /// # Errors
    /// As every function here.
    pub async fn claim_outgoing(
        &self,
        claim: i64,
        limits: ClaimLimits,
        now: Timestamp,
    ) -> Result<Vec<Claimed>> {
        let far = |ahead| micros(now.checked_add(ahead).unwrap_or(Timestamp::MAX));
        // Most of the time nothing is due: no reason to take a lock.
        let next: Option<(Option<i64>,)> = self.engine.optional(NEXT, values![]).await?;
        let next = next.and_then(|(next,)| next);
        if next.is_none_or(|next| next > micros(now) && next <= far(FURTHEST)) {
            return Ok(Vec::new());
        }
        let mut write = self.engine.write().await?;
        lock(&mut write, 0).await?;
        let asked = values![
            micros(now),
            far(FURTHEST),
            far(LONGEST_CLAIM),
            MAIL_LANE,
            i64::from(limits.mails),
            i64::from(limits.per_host),
            i64::from(limits.targets)
        ];
        let rows: Vec<DueRow> = write.all(DUE, asked).await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for (report, place, uri, host, lane, tries, first) in rows {
            write.run(CLAIM, values![report, place, claim, far(limits.lease)]).await?;
            let first_tried_at = first.map(timestamp).transpose()?;
            claimed.push(Claimed { report, place, uri, host, lane, tries: small(tries), first_tried_at });
        }
        write.commit().await?;
        Ok(claimed)
    }

    /// Ends every claim: for the only node of a database, which starts and knows that nobody else has any.
    ///
    /// # Errors
    /// As every function here.
    pub async fn free_outgoing(&self) -> Result<u64> {
        let mut write = self.engine.write().await?;
        lock(&mut write, 0).await?;
        let freed = write.run(FREE, values![]).await?;
        write.commit().await?;
        Ok(freed)
    }

    /// Gives targets back that were not tried.
    ///
    /// # Errors
    /// As every function here.
    pub async fn release_outgoing(&self, claim: i64, targets: &[Claimed]) -> Result<()> {
        let mut write = self.engine.write().await?;
        for target in targets {
            write.run(RELEASE, values![target.report, target.place, claim]).await?;
        }
        write.commit().await
    }

    /// Keeps what came of an attempt, and suppresses an address that refused several reports in a row.
    /// `false` when the claim is not ours any more: then somebody else tells.
    ///
    /// # Errors
    /// As every function here.
    pub async fn finish_outgoing(
        &self,
        claim: i64,
        target: &Claimed,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<bool> {
        let mut write = self.engine.write().await?;
        lock(&mut write, 0).await?;
        let mut key = values![target.report, target.place, claim, outcome.state.as_str()];
        let touched = if outcome.state == TargetState::Suppressed {
            key.push(outcome.answer.as_str().into());
            write.run(LEFT_OUT, key).await?
        } else {
            let next = outcome.next_at.map(micros);
            key.extend(values![next, outcome.answer.as_str(), micros(now)]);
            write.run(TRIED, key).await?
        };
        if touched == 0 {
            return Ok(false);
        }
        set_state(&mut write, target.report).await?;
        if matches!(outcome.state, TargetState::Refused | TargetState::GivenUp) {
            suppress::after_refusals(&mut write, &target.uri, &outcome.answer, now).await?;
        }
        write.commit().await?;
        Ok(true)
    }

    /// Makes every target of a report due that has not accepted it, with an entry in the log. Returns how
    /// many there are.
    ///
    /// # Errors
    /// `NotFound` for a number that no report has.
    pub async fn send_outgoing_again(&self, number: i64, author: &str, now: Timestamp) -> Result<u64> {
        let mut write = self.engine.write().await?;
        lock(&mut write, 0).await?;
        let about: Option<(String,)> = write.optional(ABOUT, values![number]).await?;
        let Some((report_id,)) = about else {
            return Err(StoreError::NotFound(format!("outgoing report {number}")));
        };
        let due = write.run(AGAIN, values![number, micros(now)]).await?;
        set_state(&mut write, number).await?;
        let entry = LogEntry { detail: report_id, ..LogEntry::of(author, "send-report", now) };
        append(&mut write, &entry).await?;
        write.commit().await?;
        Ok(due)
    }
}

/// Puts a report into the state that its targets give it.
async fn set_state(write: &mut crate::engine::Write, report: i64) -> Result<()> {
    let states: Vec<(String,)> = write.all(STATES, values![report]).await?;
    let states = states.iter().map(|(word,)| target_state(word)).collect::<Result<Vec<_>>>()?;
    let state = together(&states);
    let Some((day, old)) = write.optional::<(i64, String)>(STATE, values![report]).await? else {
        return Ok(());
    };
    if old == state_word(state) {
        return Ok(());
    }
    write.run(SET_STATE, values![report, state_word(state)]).await?;
    let mut sums = days::Changes::default();
    sums.add(day, state_of(&old)?, -1);
    sums.add(day, state, 1);
    sums.save(write).await
}
