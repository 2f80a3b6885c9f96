//! Reads the SQLite file of another daemon, for `mailward policyd import`. It belongs to somebody else, who
//! may be running: it is opened for reading alone, and nothing in it is believed to be what its table says.

use std::path::Path;

use mailward_core::mta_sts::foreign::ResolverRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::{Result, StoreError};

/// Rows in memory at the same time.
const PAGE: i64 = 500;

// SQLite keeps any type in any column: what is no text, or longer than a policy can be, is no row's fault
// that may stop the others.
const ROWS: &str = "SELECT rowid, CASE WHEN length(domain) < 1000 THEN CAST(domain AS TEXT) END,
    CASE WHEN typeof(ts) IN ('integer', 'real') THEN CAST(ts AS INTEGER) END,
    CASE WHEN typeof(pol_id) = 'text' AND length(pol_id) < 1000 THEN pol_id END,
    CASE WHEN typeof(pol_body) = 'text' AND length(pol_body) < 200000 THEN pol_body END
    FROM sts_policy_cache WHERE rowid > $1 ORDER BY rowid LIMIT $2";

type Row = (i64, Option<String>, Option<i64>, Option<String>, Option<String>);

/// The cache of a postfix-mta-sts-resolver, page by page.
pub struct ResolverCache {
    connection: SqliteConnection,
    after: i64,
}

impl ResolverCache {
    /// Opens the file.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read, `NotFound` when the table is not in it.
    pub async fn open(path: &Path) -> Result<Self> {
        let unreadable = |e: sqlx::Error| StoreError::Unavailable(format!("{}: {e}", path.display()));
        let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
        let mut connection = options.connect().await.map_err(unreadable)?;
        let table = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'sts_policy_cache'";
        let (tables,): (i64,) = sqlx::query_as(table).fetch_one(&mut connection).await.map_err(unreadable)?;
        match tables {
            0 => Err(StoreError::NotFound(format!("a table sts_policy_cache in {}", path.display()))),
            _ => Ok(Self { connection, after: i64::MIN }),
        }
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// `Corrupt` when the file cannot be read on.
    pub async fn next(&mut self) -> Result<Vec<ResolverRow>> {
        let rows: Vec<Row> = sqlx::query_as(ROWS)
            .bind(self.after)
            .bind(PAGE)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|e| StoreError::Corrupt(format!("the table sts_policy_cache: {e}")))?;
        if let Some((last, ..)) = rows.last() {
            self.after = *last;
        }
        let row = |(_, domain, at, id, fields): Row| ResolverRow {
            domain: domain.unwrap_or_default(),
            at,
            id,
            fields,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Closes the file.
    pub async fn close(self) {
        // Nothing was written, so nothing can be lost.
        let _ = self.connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn database(statements: &[&'static str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        for statement in statements {
            sqlx::query(*statement).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        (folder, path)
    }

    const TABLE: &str = "CREATE TABLE sts_policy_cache (domain text, ts integer, pol_id text, pol_body text)";

    #[tokio::test]
    async fn rows_of_every_type() {
        let (_folder, path) = database(&[
            TABLE,
            "INSERT INTO sts_policy_cache VALUES ('a.example', 5, 'id1', '{}'),
             ('b.example', 'never', 7, x'00ff'), (NULL, NULL, NULL, NULL),
             ('c.example', 5.5, 'id2', hex(zeroblob(200000)))",
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
             INSERT INTO sts_policy_cache SELECT 'd' || i || '.example', i, i, '{}' FROM n",
        ])
        .await;
        let mut cache = ResolverCache::open(&path).await.unwrap();
        let mut rows = vec![];
        loop {
            let page = cache.next().await.unwrap();
            if page.is_empty() {
                break;
            }
            rows.extend(page);
        }
        cache.close().await;
        assert_eq!(rows.len(), 1204);
        let text = |text: &str| Some(text.to_owned());
        let expected = [
            ResolverRow { domain: "a.example".into(), at: Some(5), id: text("id1"), fields: text("{}") },
            // Column affinity made a text of the number.
            ResolverRow { domain: "b.example".into(), at: None, id: text("7"), fields: None },
            ResolverRow::default(),
            ResolverRow { domain: "c.example".into(), at: Some(5), id: text("id2"), fields: None },
        ];
        assert_eq!(rows[..4], expected);
    }

    #[tokio::test]
    async fn files_that_are_none() {
        let (_folder, path) = database(&["CREATE TABLE other (a text)"]).await;
        assert!(matches!(ResolverCache::open(&path).await, Err(StoreError::NotFound(_))));
        let missing = path.with_file_name("missing.db");
        assert!(matches!(ResolverCache::open(&missing).await, Err(StoreError::Unavailable(_))));
        std::fs::write(&missing, "SQLite format 3\0 and nonsense").unwrap();
        assert!(matches!(ResolverCache::open(&missing).await, Err(StoreError::Unavailable(_))));
    }
}
