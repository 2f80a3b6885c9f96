//! Remembers: one contract, SQLite by default and PostgreSQL beside it.
//!
//! Every function is the same on both engines, and one contract suite runs on both. Writers are
//! idempotent; nothing is reported as done before it is durable. Readers return read models: what a
//! page or a command shows, already grouped and counted, so that no page joins or adds.
//!
//! The store knows no network and takes no decision; a driver's error never leaves it.

pub mod admin;
pub mod domains;
pub mod log;
pub mod observations;
pub mod reports;
pub mod sessions;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row.
    #[error("{0} is not there")]
    NotFound(String),
    /// It is there already, or somebody else changed it meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The database cannot be reached, is locked or full; trying again may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// What was stored cannot be read.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
}

/// The result of every function of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// An open store: a handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Opens by URL and migrates: `sqlite:/path/to/mailward.db`, `sqlite::memory:` or `postgres://…`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be opened or migrated.
    pub async fn open(url: &str) -> Result<Self> {
        let _ = url;
        unimplemented!()
    }

    /// A cheap question, for `/healthz`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        unimplemented!()
    }

    /// Waits for writes and closes.
    pub async fn close(&self) {
        unimplemented!()
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Pass this as `after` for the next page; `None` at the end.
    pub next: Option<i64>,
}
