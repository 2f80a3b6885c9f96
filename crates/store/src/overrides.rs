//! Domains for which an operator says what mail requires, whatever they publish.
//!
//! Set by a command or a page, obeyed by the policy daemon and the relay: both read all of them, and look
//! at [`Store::overrides_version`] to notice changes within seconds. Whether one still holds is for who
//! asks ([`Override::holds`]); one that ran out stays here until it is removed.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::delivery::Override;
use serde::{Deserialize, Serialize};

use crate::columns::{domain as named, micros, timestamp};
use crate::engine::{Write, statements, values};
use crate::log::{LogEntry, append};
use crate::{Result, Store, StoreError};

/// An override, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverrideRow {
    /// What is required, until when and why.
    pub over: Override,
    /// Who set it: `cli`, a token's name, …
    pub author: String,
    /// When.
    pub set_at: Timestamp,
}

statements! {
    CHANGED = "UPDATE counters SET value = value + 1 WHERE name = 'overrides-version'";
    VERSION = "SELECT value FROM counters WHERE name = 'overrides-version'";
    ALL = "SELECT domain, require, until, reason, author, set_at FROM overrides ORDER BY domain";
    ONE = "SELECT domain, require, until, reason, author, set_at FROM overrides WHERE domain = $1";
    PUT = "INSERT INTO overrides (domain, require, until, reason, author, set_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (domain) DO UPDATE SET require = excluded.require, until = excluded.until,
        reason = excluded.reason, author = excluded.author, set_at = excluded.set_at";
    REMOVE = "DELETE FROM overrides WHERE domain = $1";
}

/// domain, require, until, reason, author, set_at
type Row = (String, String, Option<i64>, String, String, i64);

impl Store {
    /// Sets what a domain requires, in place of what was set before; with an entry in the log. The same
    /// again changes nothing and is not logged.
    ///
    /// # Errors
    /// As every function here.
    pub async fn put_override(
        &self,
        domain: &PolicyDomain,
        over: &Override,
        author: &str,
        now: Timestamp,
    ) -> Result<()> {
        let Override { require, until, reason } = over;
        let until = until.map(micros);
        let mut write = self.engine.write().await?;
        // First the version: it puts those who change overrides in order.
        write.run(CHANGED, values![]).await?;
        let before = write.optional::<Row>(ONE, values![domain.as_str()]).await?;
        if before.is_some_and(|(_, word, end, why, ..)| {
            (word.as_str(), end, &why) == (require.as_str(), until, reason)
        }) {
            return Ok(());
        }
        let values = values![domain.as_str(), require.as_str(), until, reason.as_str(), author, micros(now)];
        write.run(PUT, values).await?;
        log(&mut write, domain, author, ("set-override", reason, in_words(over)), now).await?;
        write.commit().await
    }

    /// Removes the override of a domain, with an entry in the log.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn remove_override(
        &self,
        domain: &PolicyDomain,
        author: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut write = self.engine.write().await?;
        write.run(CHANGED, values![]).await?;
        let Some(row) = write.optional::<Row>(ONE, values![domain.as_str()]).await? else {
            return Err(StoreError::NotFound(format!("an override for {domain}")));
        };
        let (_, before) = override_row(row)?;
        write.run(REMOVE, values![domain.as_str()]).await?;
        let was = format!("it was {}, {}", in_words(&before.over), before.over.reason);
        log(&mut write, domain, author, ("remove-override", reason, was), now).await?;
        write.commit().await
    }

    /// All overrides by domain, also those that ran out.
    ///
    /// # Errors
    /// As every function here.
    pub async fn overrides(&self) -> Result<Vec<(PolicyDomain, OverrideRow)>> {
        let rows: Vec<Row> = self.engine.all(ALL, values![]).await?;
        rows.into_iter().map(override_row).collect()
    }

    /// A number that changes whenever an override changes: cheap to ask.
    ///
    /// # Errors
    /// As every function here.
    pub async fn overrides_version(&self) -> Result<i64> {
        let version = self.engine.optional::<(i64,)>(VERSION, values![]).await?;
        let missing = || StoreError::Corrupt("the counter of overrides is not there".into());
        version.map(|(value,)| value).ok_or_else(missing)
    }
}

fn in_words(over: &Override) -> String {
    match over.until {
        Some(until) => format!("{} until {until}", over.require.as_str()),
        None => format!("{} until it is removed", over.require.as_str()),
    }
}

async fn log(
    write: &mut Write,
    domain: &PolicyDomain,
    author: &str,
    (act, reason, detail): (&str, &str, String),
    at: Timestamp,
) -> Result<()> {
    let (domain, reason) = (Some(domain.clone()), reason.to_owned());
    let entry = LogEntry { domain, reason, detail, ..LogEntry::of(author, act, at) };
    append(write, &entry).await
}

fn override_row((name, require, until, reason, author, set_at): Row) -> Result<(PolicyDomain, OverrideRow)> {
    let over = Override {
        require: require.parse().map_err(StoreError::Corrupt)?,
        until: until.map(timestamp).transpose()?,
        reason,
    };
    Ok((named(&name)?, OverrideRow { over, author, set_at: timestamp(set_at)? }))
}
