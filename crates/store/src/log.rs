//! The log: every act with author, reason and time. Append only.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use serde::{Deserialize, Serialize};

use crate::columns::{micros, timestamp};
use crate::engine::{Write, statements, values};
use crate::{Page, Result, Store};

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Ascending.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// The domain it is about, if any.
    pub domain: Option<PolicyDomain>,
    /// `cli`, a token's name, `monitor`, …
    pub author: String,
    /// A verb: `add-domain`, `change-policy`, `remove-domain`, `excuse`, `set-override`, `release-quarantine`, …
    pub act: String,
    /// Why, in words.
    pub reason: String,
    /// What exactly, in words.
    pub detail: String,
}

impl LogEntry {
    /// An act of somebody, about nothing in particular and without a reason yet.
    pub(crate) fn of(author: &str, act: &str, at: Timestamp) -> Self {
        Self {
            number: 0,
            at,
            domain: None,
            author: author.to_owned(),
            act: act.to_owned(),
            reason: String::new(),
            detail: String::new(),
        }
    }
}

statements! {
    APPEND = "INSERT INTO log (at, domain, author, act, reason, detail) VALUES ($1, $2, $3, $4, $5, $6)";
    ALL = "SELECT number, at, domain, author, act, reason, detail FROM log
        WHERE number < $1 ORDER BY number DESC LIMIT $2";
    OF_DOMAIN = "SELECT number, at, domain, author, act, reason, detail FROM log
        WHERE domain = $3 AND number < $1 ORDER BY number DESC LIMIT $2";
}

type Row = (i64, i64, Option<String>, String, String, String, String);

impl Store {
    /// Appends; `number` of the entry is ignored.
    ///
    /// # Errors
    /// As every function here.
    pub async fn append_log(&self, entry: &LogEntry) -> Result<()> {
        let mut write = self.engine.write().await?;
        append(&mut write, entry).await?;
        write.commit().await
    }

    /// Newest first; all domains when none is named. `before` is the number to continue below.
    ///
    /// # Errors
    /// As every function here.
    pub async fn log(
        &self,
        domain: Option<&PolicyDomain>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<LogEntry>> {
        let mut values = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        let rows: Vec<Row> = match domain {
            None => self.engine.all(ALL, values).await?,
            Some(domain) => {
                values.push(domain.as_str().into());
                self.engine.all(OF_DOMAIN, values).await?
            }
        };
        let entries = rows.into_iter().map(entry).collect::<Result<_>>()?;
        Ok(Page::of(entries, limit, |entry| entry.number))
    }
}

/// Appends within a transaction, so that no act is without its entry.
pub(crate) async fn append(write: &mut Write, entry: &LogEntry) -> Result<()> {
    let domain = entry.domain.as_ref().map(|d| d.as_str());
    let LogEntry { author, act, reason, detail, .. } = entry;
    let values =
        values![micros(entry.at), domain, author.as_str(), act.as_str(), reason.as_str(), detail.as_str()];
    write.run(APPEND, values).await?;
    Ok(())
}

fn entry((number, at, domain, author, act, reason, detail): Row) -> Result<LogEntry> {
    Ok(LogEntry {
        number,
        at: timestamp(at)?,
        domain: domain.and_then(|d| PolicyDomain::parse(&d).ok()),
        author,
        act,
        reason,
        detail,
    })
}
