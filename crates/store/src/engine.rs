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
    Arguments, AssertSqlSafe, ConnectOptions, Database, Encode, Executor, FromRow, IntoArguments, PgPool,
    Postgres, Sqlite, SqlitePool, Transaction, Type,
};

use crate::migrations;
use crate::{Result, StoreError};

/// How long a writer waits for another process, and anyone for a connection.
const PATIENCE: Duration = Duration::from_secs(30);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;
/// Rows in one statement: few sizes, so that few statements are prepared and kept.
const CHUNKS: [usize; 5] = [128, 32, 8, 2, 1];
/// Bytes in one statement; more rows follow in the next.
const CHUNK_BYTES: usize = 16 << 20;

/// The text of a statement: plain, or over many rows (`{rows}` stands for the tuples of VALUES), or over
/// a list (`{list}` stands for the inside of IN).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sql(pub(crate) &'static str);

/// Names statements and lists them, so that a test can prepare each on both engines.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* const $name: $crate::engine::Sql = $crate::engine::Sql($text);)*
        pub(crate) const STATEMENTS: &[$crate::engine::Sql] = &[$($name),*];
    };
}
pub(crate) use statements;

/// A value for a placeholder. NULL keeps its type, since PostgreSQL asks for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

/// Values in the order of the placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::engine::Value::from($value)),*] };
}
pub(crate) use values;

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<String> for Value {
    /// PostgreSQL refuses NUL in a text. It is replaced on both, so that both hold and find the same.
    fn from(text: String) -> Self {
        Self::Text(Some(if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_owned())
    }
}

impl Value {
    fn size(&self) -> usize {
        match self {
            Self::Integer(_) | Self::Text(None) => 8,
            Self::Text(Some(text)) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

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

    fn placeholder(&self) -> fn(usize) -> String {
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
        debug_assert_eq!(N, columns(sql), "{}", sql.0);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < CHUNKS[0] && bytes < CHUNK_BYTES {
                let Some(row) = rows.next() else { break };
                bytes += row.iter().map(Value::size).sum::<usize>();
                batch.push(row);
            }
            let mut batch = batch.into_iter();
            for size in CHUNKS {
                while batch.len() >= size {
                    let values = batch.by_ref().take(size).flatten().collect();
                    let text = expand(sql, size, N, self.placeholder());
                    self.run_text(text, values).await?;
                }
            }
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

    fn placeholder(&self) -> fn(usize) -> String {
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

/// Statements for a list of any length. Each is filled up by repeating a value, so that few are prepared.
fn in_chunks(sql: Sql, list: Vec<Value>, placeholder: fn(usize) -> String) -> Vec<(String, Vec<Value>)> {
    let statement = |chunk: &[Value]| {
        let size = CHUNKS.into_iter().rev().find(|size| *size >= chunk.len()).unwrap_or(CHUNKS[0]);
        let values = chunk.iter().chain(std::iter::repeat(&chunk[0])).take(size).cloned().collect();
        (expand(sql, size, 1, placeholder), values)
    };
    list.chunks(CHUNKS[0]).map(statement).collect()
}

/// In SQLite, binding by name costs a search through all names, for thousands of values each time; a
/// bare `?` costs none.
fn placeholder_sqlite(_: usize) -> String {
    "?".to_owned()
}

fn placeholder_postgres(at: usize) -> String {
    format!("${at}")
}

/// The text for so many rows (or list members) of so many columns.
fn expand(sql: Sql, rows: usize, columns: usize, placeholder: fn(usize) -> String) -> String {
    if sql.0.contains("{list}") {
        let list: Vec<String> = (1..=rows).map(placeholder).collect();
        return sql.0.replace("{list}", &list.join(", "));
    }
    if !sql.0.contains("{rows}") {
        return sql.0.to_owned();
    }
    let tuples: Vec<String> = (0..rows)
        .map(|row| {
            let tuple: Vec<String> = (1..=columns).map(|at| placeholder(row * columns + at)).collect();
            format!("({})", tuple.join(", "))
        })
        .collect();
    sql.0.replace("{rows}", &tuples.join(", "))
}

/// How many columns an `INSERT INTO table (a, b) …` names.
fn columns(sql: Sql) -> usize {
    let names = sql.0.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    names.map_or(1, |(names, _)| names.split(',').count())
}

async fn open_sqlite(url: &str) -> Result<Engine> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(failure)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        .pragma("journal_size_limit", "67108864")
        // Kibibytes when negative: keys are hashes, so inserts touch pages all over the indexes.
        .pragma("cache_size", "-65536")
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    let in_memory = url.starts_with("sqlite::memory:");
    if let Some(folder) = options.get_filename().parent().filter(|f| !in_memory && !f.as_os_str().is_empty())
    {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|e| StoreError::Unavailable(format!("{}: {e}", folder.display())))?;
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
        pool(SQLITE_READERS).connect_lazy_with(options.pragma("query_only", "on"))
    };
    Ok(Engine::Sqlite { readers, writer })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_grow_with_their_rows() {
        let rows = Sql("INSERT INTO t (a, b) VALUES {rows} ON CONFLICT DO NOTHING");
        assert_eq!(columns(rows), 2);
        assert_eq!(
            expand(rows, 2, 2, placeholder_postgres),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            expand(rows, 1, 2, placeholder_sqlite),
            "INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT DO NOTHING"
        );
        let list = Sql("SELECT a FROM t WHERE b IN ({list})");
        assert_eq!(expand(list, 2, 1, placeholder_sqlite), "SELECT a FROM t WHERE b IN (?, ?)");
    }

    #[test]
    fn nul_never_reaches_a_text() {
        assert_eq!(Value::from("a\0b"), Value::Text(Some("a\u{fffd}b".into())));
    }
}
