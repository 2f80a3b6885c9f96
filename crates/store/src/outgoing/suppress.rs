//! Addresses and hosts that no report is sent to: the operator says so, or they refused again and again.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::lock;
use crate::columns::{micros, timestamp};
use crate::engine::{Write, statements, values};
use crate::log::{LogEntry, append};
use crate::{Result, Store, StoreError};

/// An address that refused so many reports in a row is left alone for [`REST`].
pub const REFUSALS_IN_A_ROW: usize = 3;
/// How long.
const REST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Who is named for it.
const REPORTER: &str = "reporter";

/// One address or host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// The URI as written in the record, or the host.
    pub what: String,
    /// When it ends; `None` is until it is lifted.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// Who: `cli`, a token's name, `reporter`.
    pub author: String,
    /// When.
    pub set_at: Timestamp,
}

statements! {
    ALL = "SELECT what, until, reason, author, set_at FROM outgoing_suppressions
        WHERE until IS NULL OR until > $1 ORDER BY what";
    AMONG = "SELECT what, until FROM outgoing_suppressions WHERE what IN ({list})";
    PUT = "INSERT INTO outgoing_suppressions (what, until, reason, author, set_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (what) DO UPDATE SET until = excluded.until, reason = excluded.reason,
        author = excluded.author, set_at = excluded.set_at";
    LIFT = "UPDATE outgoing_suppressions SET until = $2 WHERE what = $1 AND (until IS NULL OR until > $2)";
    ENDED = "SELECT until FROM outgoing_suppressions WHERE what = $1";
    // That our own mail server did not answer for a day is not the fault of who gets the mail.
    LAST = "SELECT state FROM outgoing_targets WHERE uri = $1 AND last_tried_at > $2
        AND state IN ('sent', 'refused', 'given-up') AND NOT (lane = 'mail' AND state = 'given-up')
        ORDER BY report DESC LIMIT $3";
}

type Row = (String, Option<i64>, String, String, i64);

impl Store {
    /// Sends no report to an address or a host, with an entry in the log.
    ///
    /// # Errors
    /// As every function here.
    pub async fn suppress_outgoing(&self, suppression: &Suppression) -> Result<()> {
        let mut write = self.engine.write().await?;
        lock(&mut write, 0).await?;
        put(&mut write, suppression).await?;
        write.commit().await
    }

    /// Sends to it again, with an entry in the log.
    ///
    /// # Errors
    /// `NotFound` when it is not suppressed.
    pub async fn unsuppress_outgoing(
        &self,
        what: &str,
        author: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut write = self.engine.write().await?;
        lock(&mut write, 0).await?;
        if write.run(LIFT, values![what, micros(now)]).await? == 0 {
            return Err(StoreError::NotFound(format!("a suppression of {what}")));
        }
        log(&mut write, what, author, ("unsuppress-reports", reason, now)).await?;
        write.commit().await
    }

    /// Those in force.
    ///
    /// # Errors
    /// As every function here.
    pub async fn outgoing_suppressions(&self, now: Timestamp) -> Result<Vec<Suppression>> {
        let rows: Vec<Row> = self.engine.all(ALL, values![micros(now)]).await?;
        let suppression = |(what, until, reason, author, set_at): Row| {
            let until = until.map(timestamp).transpose()?;
            Ok(Suppression { what, until, reason, author, set_at: timestamp(set_at)? })
        };
        rows.into_iter().map(suppression).collect()
    }

    /// Which of these are suppressed now.
    ///
    /// # Errors
    /// As every function here.
    pub async fn suppressed_among(&self, names: HashSet<&str>, now: Timestamp) -> Result<HashSet<String>> {
        let names = names.into_iter().map(Into::into).collect();
        let rows: Vec<(String, Option<i64>)> = self.engine.all_of_list(AMONG, names).await?;
        Ok(in_force(rows, now))
    }
}

/// The same within a transaction.
pub(super) async fn among(
    write: &mut Write,
    names: HashSet<&str>,
    now: Timestamp,
) -> Result<HashSet<String>> {
    let names = names.into_iter().map(Into::into).collect();
    let rows: Vec<(String, Option<i64>)> = write.all_of_list(AMONG, names).await?;
    Ok(in_force(rows, now))
}

fn in_force(rows: Vec<(String, Option<i64>)>, now: Timestamp) -> HashSet<String> {
    let holds = |until: Option<i64>| until.is_none_or(|until| until > micros(now));
    rows.into_iter().filter(|(_, until)| holds(*until)).map(|(what, _)| what).collect()
}

/// After a refusal: suppresses the address if it was one too many.
pub(super) async fn after_refusals(write: &mut Write, uri: &str, answer: &str, now: Timestamp) -> Result<()> {
    let ended: Option<(Option<i64>,)> = write.optional(ENDED, values![uri]).await?;
    let since = match ended {
        Some((None,)) => return Ok(()),
        Some((Some(until),)) => until,
        None => i64::MIN,
    };
    let most = i64::try_from(REFUSALS_IN_A_ROW).unwrap_or(i64::MAX);
    let last: Vec<(String,)> = write.all(LAST, values![uri, since, most]).await?;
    if last.len() < REFUSALS_IN_A_ROW || last.iter().any(|(state,)| state == "sent") {
        return Ok(());
    }
    let suppression = Suppression {
        what: uri.to_owned(),
        until: now.checked_add(REST).ok(),
        reason: format!("{REFUSALS_IN_A_ROW} reports in a row were not accepted: {answer}"),
        author: REPORTER.to_owned(),
        set_at: now,
    };
    put(write, &suppression).await
}

async fn put(write: &mut Write, suppression: &Suppression) -> Result<()> {
    let Suppression { what, until, reason, author, set_at } = suppression;
    let row = values![what.as_str(), until.map(micros), reason.as_str(), author.as_str(), micros(*set_at)];
    write.run(PUT, row).await?;
    log(write, what, author, ("suppress-reports", reason, *set_at)).await
}

async fn log(
    write: &mut Write,
    what: &str,
    author: &str,
    (act, reason, at): (&str, &str, Timestamp),
) -> Result<()> {
    let (reason, detail) = (reason.to_owned(), what.to_owned());
    let entry = LogEntry { reason, detail, ..LogEntry::of(author, act, at) };
    append(write, &entry).await
}
