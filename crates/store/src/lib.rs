//! Remembers: one contract, SQLite by default and PostgreSQL beside it.
//!
//! Every function is the same on both engines, and one contract suite runs on both. Writers are
//! idempotent; nothing is reported as done before it is durable. Readers return read models: what a
//! page or a command shows, already grouped and counted, so that no page joins or adds.
//!
//! The store knows no network and takes no decision; a driver's error never leaves it.

pub mod admin;
mod bytes;
mod columns;
pub mod domains;
mod engine;
pub mod foreign;
pub mod log;
mod migrations;
mod names;
pub mod observations;
pub mod outgoing;
pub mod overrides;
pub mod policies;
pub mod reports;
pub mod sessions;
pub mod tallies;

use engine::{Engine, Sql, statements, values};

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
pub struct Store {
    engine: Engine,
}

statements! {
    PING = "SELECT value FROM counters WHERE name = 'numbers'";
}

impl Store {
    /// Opens by URL and migrates: `sqlite:/path/to/mailward.db`, `sqlite::memory:` or `postgres://…`.
    /// File and folder are made when missing. In an SQLite path, `%`, `?` and `#` are written `%25`, `%3F`
    /// and `%23`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be opened or migrated.
    pub async fn open(url: &str) -> Result<Self> {
        Ok(Self { engine: Engine::open(url).await? })
    }

    /// A cheap question, for `/healthz`. Answers within three seconds, for who asks does not wait longer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        let asked = self.engine.optional::<(i64,)>(PING, values![]);
        match tokio::time::timeout(std::time::Duration::from_secs(3), asked).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(StoreError::Unavailable("it does not answer".to_owned())),
        }
    }

    /// Gives memory back that a walk through many rows has filled, and that no later question needs.
    pub async fn release_memory(&self) {
        self.engine.release_memory().await;
    }

    /// Waits for writes and closes.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// Prepares every statement of the crate, so that none is met for the first time in production.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the first statement that the engine refuses.
    #[doc(hidden)]
    pub async fn prepare_statements(&self) -> Result<usize> {
        let all: [&[Sql]; 27] = [
            STATEMENTS,
            admin::STATEMENTS,
            domains::STATEMENTS,
            log::STATEMENTS,
            names::STATEMENTS,
            observations::STATEMENTS,
            outgoing::STATEMENTS,
            outgoing::claim::STATEMENTS,
            outgoing::days::STATEMENTS,
            outgoing::read::STATEMENTS,
            outgoing::suppress::STATEMENTS,
            overrides::STATEMENTS,
            policies::STATEMENTS,
            policies::counts::STATEMENTS,
            policies::search::STATEMENTS,
            reports::lookup::STATEMENTS,
            reports::read::STATEMENTS,
            reports::retention::STATEMENTS,
            reports::write::STATEMENTS,
            sessions::STATEMENTS,
            sessions::evidence::STATEMENTS,
            sessions::lines::STATEMENTS,
            sessions::problems::STATEMENTS,
            tallies::STATEMENTS,
            tallies::read::STATEMENTS,
            tallies::retention::STATEMENTS,
            tallies::texts::STATEMENTS,
        ];
        let all = all.concat();
        for sql in &all {
            self.engine.prepare(*sql).await?;
        }
        Ok(all.len())
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

impl<T> Page<T> {
    /// A page from up to `limit + 1` rows: the surplus one only tells that more follow.
    fn of(mut rows: Vec<T>, limit: u32, number: impl Fn(&T) -> i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().map(number).filter(|_| more);
        Self { rows, next }
    }
}
