//! Access tokens of the dashboard and the API. Only their SHA-256 is stored.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{micros, timestamp};
use crate::engine::{statements, values};
use crate::{Result, Store, StoreError};

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Unique.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was used last, to the hour.
    pub last_used: Option<Timestamp>,
}

/// Microseconds. A request shall not cost a write; the last use is told to the hour.
const HOUR: i64 = 3_600_000_000;

statements! {
    ADD = "INSERT INTO tokens (name, sha256, created_at) VALUES ($1, $2, $3)";
    BY_SECRET = "SELECT name, created_at, last_used FROM tokens WHERE sha256 = $1";
    USED = "UPDATE tokens SET last_used = $2 WHERE sha256 = $1";
    ALL = "SELECT name, created_at, last_used FROM tokens ORDER BY name";
    REMOVE = "DELETE FROM tokens WHERE name = $1";
}

type Row = (String, i64, Option<i64>);

impl Store {
    /// Adds a token by the SHA-256 of its secret.
    ///
    /// # Errors
    /// `Conflict` when the name is taken.
    pub async fn add_token(&self, name: &str, sha256: &[u8; 32], now: Timestamp) -> Result<()> {
        let mut write = self.engine.write().await?;
        write.run(ADD, values![name, sha256.as_slice(), micros(now)]).await.map_err(|error| match error {
            StoreError::Conflict(_) => StoreError::Conflict(format!("there is a token {name:?} already")),
            other => other,
        })?;
        write.commit().await
    }

    /// The token with this SHA-256, marked as used.
    ///
    /// # Errors
    /// As every function here.
    pub async fn token(&self, sha256: &[u8; 32], now: Timestamp) -> Result<Option<Token>> {
        let found: Option<Row> = self.engine.optional(BY_SECRET, values![sha256.as_slice()]).await?;
        let Some((name, created_at, last_used)) = found else { return Ok(None) };
        let hour = micros(now).div_euclid(HOUR) * HOUR;
        if last_used.is_none_or(|last| last < hour) {
            // A full disk shall not lock anybody out.
            if let Err(error) = self.mark_used(sha256, hour).await {
                tracing::warn!(%error, token = name, "the last use of a token could not be noted");
            }
        }
        token((name, created_at, Some(last_used.map_or(hour, |last| last.max(hour))))).map(Some)
    }

    /// All tokens by name.
    ///
    /// # Errors
    /// As every function here.
    pub async fn tokens(&self) -> Result<Vec<Token>> {
        let rows: Vec<Row> = self.engine.all(ALL, values![]).await?;
        rows.into_iter().map(token).collect()
    }

    /// Removes a token; `false` when there is none.
    ///
    /// # Errors
    /// As every function here.
    pub async fn remove_token(&self, name: &str) -> Result<bool> {
        let mut write = self.engine.write().await?;
        let removed = write.run(REMOVE, values![name]).await?;
        write.commit().await?;
        Ok(removed > 0)
    }

    async fn mark_used(&self, sha256: &[u8; 32], hour: i64) -> Result<()> {
        let mut write = self.engine.write().await?;
        write.run(USED, values![sha256.as_slice(), hour]).await?;
        write.commit().await
    }
}

fn token((name, created_at, last_used): Row) -> Result<Token> {
    Ok(Token { name, created_at: timestamp(created_at)?, last_used: last_used.map(timestamp).transpose()? })
}
