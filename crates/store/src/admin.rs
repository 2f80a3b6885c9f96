//! Access tokens of the dashboard and the API. Only their SHA-256 is stored.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Result, Store};

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

impl Store {
    /// Adds a token by the SHA-256 of its secret.
    ///
    /// # Errors
    /// `Conflict` when the name is taken.
    pub async fn add_token(&self, name: &str, sha256: &[u8; 32], now: Timestamp) -> Result<()> {
        let _ = (name, sha256, now);
        unimplemented!()
    }

    /// The token with this SHA-256, marked as used.
    pub async fn token(&self, sha256: &[u8; 32], now: Timestamp) -> Result<Option<Token>> {
        let _ = (sha256, now);
        unimplemented!()
    }

    /// All tokens by name.
    pub async fn tokens(&self) -> Result<Vec<Token>> {
        unimplemented!()
    }

    /// Removes a token; `false` when there is none.
    pub async fn remove_token(&self, name: &str) -> Result<bool> {
        let _ = name;
        unimplemented!()
    }
}
