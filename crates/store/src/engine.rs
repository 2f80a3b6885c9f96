//! The two engines behind one face: the only file that knows SQLite from PostgreSQL.
//!
//! Statements are written once, with `$1`, and run on either. What differs stays here: how a database is
//! opened, how a write begins, and the placeholders of statements over many rows. The rest of the crate
//! names a [`Sql`], gives values and gets rows.
//!
//! SQLite: one connection writes, with `BEGIN IMMEDIATE`, so that a transaction never finds out half-way
//! that another process was first; others read. WAL with `synchronous=FULL`: what is committed is on
//! disk. PostgreSQL: one pool; writers that need an order take it from a row of `counters`.

use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{
    Arguments, AssertSqlSafe, ConnectOptions, Connection, Database, Encode, Executor, FromRow, IntoArguments,
    PgPool, Postgres, Sqlite, SqlitePool, Transaction, Type,
};

use crate::migrations;
use crate::{Result, StoreError};

pub(crate) mod statement;

use statement::{Placeholder, columns, expand, in_batches, in_chunks};
pub(crate) use statement::{Sql, Value, statements, values};

/// How long a writer waits for another process, and anyone for a connection.
const PATIENCE: Duration = Duration::from_secs(30);
const SQLITE_READERS: u32 = 4;
/// Kibibytes when negative: keys are hashes, so inserts touch pages all over the indexes.
const WRITER_CACHE: &str = "-16384";
/// For each of the readers, which have the system's cache behind theirs.
const READER_CACHE: &str = "-2048";
const POSTGRES_CONNECTIONS: u32 = 10;

/// A row of either engine.
pub(crate) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// An open database.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    Sqlite { readers: SqlitePool, writer: SqlitePool },
    Postgres(PgPool),
}

/// An open transaction; dropped without [`Write::commit`], it leaves nothing behind.
pub(crate) enum Write {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Engine {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return open_postgres(url).await;
        }
        if url.starts_with("sqlite:") {
            return open_sqlite(url).await;
        }
        Err(StoreError::Unavailable(format!(
            "{:?} is no store URL: write sqlite:/path/to/file or postgres://user@host/database",
            url.split('@').next_back().unwrap_or_default()
        )))
    }

    /// Empties the page caches of connections that nobody uses now, and forgets their prepared statements, of
    /// which one over many rows takes a megabyte. PostgreSQL's are in another process.
    pub(crate) async fn release_memory(&self) {
        let Self::Sqlite { readers, writer } = self else { return };
        for pool in [readers, writer] {
            // All of them, so each is kept until the last has its turn.
            let mut idle = Vec::new();
            while let Some(mut connection) = pool.try_acquire() {
                let _ = connection.clear_cached_statements().await;
                let _ = sqlx::query("PRAGMA shrink_memory").execute(&mut *connection).await;
                idle.push(connection);
            }
        }
    }

    pub(crate) async fn all<R: Row>(&self, sql: Sql, values: Vec<Value>) -> Result<Vec<R>> {
        match self {
            Self::Sqlite { readers, .. } => all(readers, sql.0, values).await,
            Self::Postgres(pool) => all(pool, sql.0, values).await,
        }
    }

    pub(crate) async fn optional<R: Row>(&self, sql: Sql, values: Vec<Value>) -> Result<Option<R>> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// The rows of a statement with `{list}`, for any number of values.
    pub(crate) async fn all_of_list<R: Row>(&self, sql: Sql, list: Vec<Value>) -> Result<Vec<R>> {
        let mut found = Vec::new();
        for (text, values) in in_chunks(sql, list, self.placeholder()) {
            found.extend(match self {
                Self::Sqlite { readers, .. } => all(readers, AssertSqlSafe(text), values).await?,
                Self::Postgres(pool) => all(pool, AssertSqlSafe(text), values).await?,
            });
        }
        Ok(found)
    }

    fn placeholder(&self) -> Placeholder {
        match self {
            Self::Sqlite { .. } => placeholder_sqlite,
            Self::Postgres(_) => placeholder_postgres,
        }
    }

    pub(crate) async fn write(&self) -> Result<Write> {
        Ok(match self {
            Self::Sqlite { writer, .. } => {
                Write::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await.map_err(failure)?)
            }
            Self::Postgres(pool) => Write::Postgres(pool.begin().await.map_err(failure)?),
        })
    }

    /// Prepares a statement as it would run, with one and with two rows.
    pub(crate) async fn prepare(&self, sql: Sql) -> Result<()> {
        for rows in [1, 2] {
            let outcome = match self {
                Self::Sqlite { writer, .. } => {
                    let text = AssertSqlSafe(expand(sql, rows, columns(sql), placeholder_sqlite));
                    writer.prepare(sqlx::SqlSafeStr::into_sql_str(text)).await.map(drop)
                }
                Self::Postgres(pool) => {
                    let text = AssertSqlSafe(expand(sql, rows, columns(sql), placeholder_postgres));
                    pool.prepare(sqlx::SqlSafeStr::into_sql_str(text)).await.map(drop)
                }
            };
            outcome.map_err(|e| StoreError::Corrupt(format!("{e}\n{}", sql.0)))?;
        }
        Ok(())
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { readers, writer } => {
                readers.close().await;
                // The last to close folds the write-ahead log into the file.
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Write {
    pub(crate) async fn all<R: Row>(&mut self, sql: Sql, values: Vec<Value>) -> Result<Vec<R>> {
        match self {
            Self::Sqlite(tx) => all(&mut **tx, sql.0, values).await,
            Self::Postgres(tx) => all(&mut **tx, sql.0, values).await,
        }
    }

    pub(crate) async fn optional<R: Row>(&mut self, sql: Sql, values: Vec<Value>) -> Result<Option<R>> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// Runs; the number of rows touched.
    pub(crate) async fn run(&mut self, sql: Sql, values: Vec<Value>) -> Result<u64> {
        self.run_text(sql.0.to_owned(), values).await
    }

    /// Runs a statement with `{rows}` for any number of rows.
    pub(crate) async fn run_rows<const N: usize>(&mut self, sql: Sql, rows: Vec<[Value; N]>) -> Result<()> {
        for (text, values) in in_batches(sql, rows, self.placeholder()) {
            self.run_text(text, values).await?;
        }
        Ok(())
    }

    /// The rows of a statement with `{list}`, for any number of values.
    pub(crate) async fn all_of_list<R: Row>(&mut self, sql: Sql, list: Vec<Value>) -> Result<Vec<R>> {
        let mut found = Vec::new();
        for (text, values) in in_chunks(sql, list, self.placeholder()) {
            found.extend(match self {
                Self::Sqlite(tx) => all(&mut **tx, AssertSqlSafe(text), values).await?,
                Self::Postgres(tx) => all(&mut **tx, AssertSqlSafe(text), values).await?,
            });
        }
        Ok(found)
    }

    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await.map_err(failure),
            Self::Postgres(tx) => tx.commit().await.map_err(failure),
        }
    }

    async fn run_text(&mut self, text: String, values: Vec<Value>) -> Result<u64> {
        let text = AssertSqlSafe(text);
        Ok(match self {
            Self::Sqlite(tx) => {
                let query = sqlx::query_with::<Sqlite, _>(text, arguments::<Sqlite>(values)?);
                query.execute(&mut **tx).await.map_err(failure)?.rows_affected()
            }
            Self::Postgres(tx) => {
                let query = sqlx::query_with::<Postgres, _>(text, arguments::<Postgres>(values)?);
                query.execute(&mut **tx).await.map_err(failure)?.rows_affected()
            }
        })
    }

    fn placeholder(&self) -> Placeholder {
        match self {
            Self::Sqlite(_) => placeholder_sqlite,
            Self::Postgres(_) => placeholder_postgres,
        }
    }
}

async fn all<'c, DB, E, R>(
    executor: E,
    text: impl sqlx::SqlSafeStr + Send,
    values: Vec<Value>,
) -> Result<Vec<R>>
where
    DB: Database + sqlx::database::HasStatementCache,
    DB::Arguments: IntoArguments<DB>,
    E: Executor<'c, Database = DB>,
    R: for<'r> FromRow<'r, DB::Row> + Send + Unpin,
    for<'t> Option<i64>: Encode<'t, DB> + Type<DB>,
    for<'t> Option<String>: Encode<'t, DB> + Type<DB>,
    for<'t> Vec<u8>: Encode<'t, DB> + Type<DB>,
{
    sqlx::query_as_with::<DB, R, _>(text, arguments::<DB>(values)?).fetch_all(executor).await.map_err(failure)
}

fn arguments<DB: Database>(values: Vec<Value>) -> Result<DB::Arguments>
where
    for<'t> Option<i64>: Encode<'t, DB> + Type<DB>,
    for<'t> Option<String>: Encode<'t, DB> + Type<DB>,
    for<'t> Vec<u8>: Encode<'t, DB> + Type<DB>,
{
    let mut arguments = DB::Arguments::default();
    arguments.reserve(values.len(), values.iter().map(Value::size).sum());
    for value in values {
        match value {
            Value::Integer(integer) => arguments.add(integer),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
        }
        .map_err(|e| StoreError::Corrupt(e.to_string()))?;
    }
    Ok(arguments)
}

/// In SQLite, binding by name costs a search through all names, for thousands of values each time; a
/// bare `?` costs none.
fn placeholder_sqlite(text: &mut String, _: usize) {
    text.push('?');
}

fn placeholder_postgres(text: &mut String, at: usize) {
    use std::fmt::Write;
    let _ = write!(text, "${at}"); // invariant: writing into a String does not fail
}

async fn open_sqlite(url: &str) -> Result<Engine> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(failure)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        // For a new database: a mail fits a page, so that it is written in one piece.
        .page_size(8192)
        // Pages: an index page that many transactions touch is written back once for all of them.
        .pragma("wal_autocheckpoint", "4096")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", WRITER_CACHE)
        // Statements over rows come in several sizes.
        .statement_cache_capacity(250)
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    let in_memory = url.starts_with("sqlite::memory:");
    if let Some(folder) = options.get_filename().parent().filter(|f| !in_memory && !f.as_os_str().is_empty())
    {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|e| StoreError::Unavailable(format!("{}: {e}", folder.display())))?;
    }
    if !in_memory {
        keep_private(options.get_filename()).await;
    }
    let pool = |size| {
        PoolOptions::<Sqlite>::new()
            .max_connections(size)
            .acquire_timeout(PATIENCE)
            // A database in memory lives as long as its connection, and one on disk gains nothing either.
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
    };
    let writer = patiently(|| pool(1).connect_with(options.clone())).await?;
    migrations::migrate_sqlite(&writer).await?;
    let readers = if in_memory {
        writer.clone()
    } else {
        let options = options.pragma("query_only", "on").pragma("cache_size", READER_CACHE);
        pool(SQLITE_READERS).connect_lazy_with(options)
    };
    Ok(Engine::Sqlite { readers, writer })
}

/// Makes a new database readable by its owner alone; SQLite gives its other files the same mode. Where that
/// fails, opening fails as well, and says why.
async fn keep_private(file: &std::path::Path) {
    let _ = tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).await;
}

/// Turning a new file into WAL needs it alone, and SQLite does not wait for that by itself.
async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, sqlx::Error>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if is_busy(&error) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(failure(error)),
        }
    }
}

async fn open_postgres(url: &str) -> Result<Engine> {
    let options = PgConnectOptions::from_str(url)
        .map_err(failure)?
        .application_name("mailward")
        .disable_statement_logging();
    let pool = PoolOptions::<Postgres>::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .connect_with(options)
        .await
        .map_err(failure)?;
    migrations::migrate_postgres(&pool).await?;
    Ok(Engine::Postgres(pool))
}

fn is_busy(error: &sqlx::Error) -> bool {
    matches!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("5" | "261" | "517" | "6"))
}

/// A driver's error in the words of the store.
pub(crate) fn failure(error: sqlx::Error) -> StoreError {
    use sqlx::Error as E;
    match &error {
        E::Database(e) if e.is_unique_violation() => StoreError::Conflict(e.message().to_owned()),
        // SQLITE_CORRUPT, SQLITE_NOTADB; PostgreSQL's data_corrupted and index_corrupted.
        E::Database(e) if matches!(e.code().as_deref(), Some("11" | "26" | "XX001" | "XX002")) => {
            StoreError::Corrupt(e.message().to_owned())
        }
        E::Database(e) => StoreError::Unavailable(e.message().to_owned()),
        E::ColumnDecode { .. } | E::Decode(_) | E::ColumnNotFound(_) | E::TypeNotFound { .. } => {
            StoreError::Corrupt(error.to_string())
        }
        E::PoolTimedOut => StoreError::Unavailable("no connection became free in time".into()),
        E::PoolClosed => StoreError::Unavailable("it was closed".into()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}
