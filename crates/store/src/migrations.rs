//! The schema and its changes: two folders, one for each engine, run by themselves when a store is opened.
//!
//! Only ever add: a released file never changes, since its checksum is stored in every database. Whoever
//! opens first holds a lock while migrating; a second process waits and finds the work done.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgPool, SqlSafeStr, SqlitePool};

use crate::engine::failure;
use crate::{Result, StoreError};

/// Number, description, text.
type File = (i64, &'static str, &'static str);

const SQLITE: &[File] = &[
    (1, "first", include_str!("../migrations/sqlite/0001_first.sql")),
    (2, "known policies", include_str!("../migrations/sqlite/0002_known_policies.sql")),
    (3, "overrides", include_str!("../migrations/sqlite/0003_overrides.sql")),
    (4, "tallies", include_str!("../migrations/sqlite/0004_tallies.sql")),
    (5, "problem weeks", include_str!("../migrations/sqlite/0005_problem_weeks.sql")),
    (6, "outgoing reports", include_str!("../migrations/sqlite/0006_outgoing_reports.sql")),
    (7, "outgoing days", include_str!("../migrations/sqlite/0007_outgoing_days.sql")),
];
const POSTGRES: &[File] = &[
    (1, "first", include_str!("../migrations/postgres/0001_first.sql")),
    (2, "known policies", include_str!("../migrations/postgres/0002_known_policies.sql")),
    (3, "overrides", include_str!("../migrations/postgres/0003_overrides.sql")),
    (4, "tallies", include_str!("../migrations/postgres/0004_tallies.sql")),
    (5, "problem weeks", include_str!("../migrations/postgres/0005_problem_weeks.sql")),
    (6, "outgoing reports", include_str!("../migrations/postgres/0006_outgoing_reports.sql")),
    (7, "outgoing days", include_str!("../migrations/postgres/0007_outgoing_days.sql")),
];

pub(crate) async fn migrate_sqlite(writer: &SqlitePool) -> Result<()> {
    let migrator = migrator(SQLITE);
    // Every command opens the store: one that has nothing to migrate shall not wait for a writer.
    let mut connection = writer.acquire().await.map_err(failure)?;
    if let Ok(applied) = connection.list_applied_migrations("_sqlx_migrations").await {
        let applied = applied.iter().map(|m| (m.version, &m.checksum));
        if migrator.iter().map(|m| (m.version, &m.checksum)).eq(applied) {
            return Ok(());
        }
    }
    drop(connection);
    // The library takes no lock on SQLite; a transaction around everything is one.
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failure)?;
    migrator.run_direct(None, &mut *tx, false).await.map_err(refused)?;
    tx.commit().await.map_err(failure)
}

pub(crate) async fn migrate_postgres(pool: &PgPool) -> Result<()> {
    // The lock belongs to the connection: one that failed is closed, not given back.
    let mut connection = pool.acquire().await.map_err(failure)?.detach();
    let outcome = migrator(POSTGRES).run_direct(None, &mut connection, false).await;
    let closed = sqlx::Connection::close(connection).await;
    outcome.map_err(refused)?;
    closed.map_err(failure)
}

fn migrator(files: &[File]) -> Migrator {
    let migration = |&(version, description, text): &File| {
        Migration::new(version, description.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(files.iter().map(migration).collect())
}

fn refused(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => StoreError::Unavailable(format!(
            "it was written by a newer mailward (schema {version}); run that version, or restore a backup"
        )),
        MigrateError::VersionMismatch(version) => {
            StoreError::Corrupt(format!("schema {version} is not the one this mailward knows"))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => failure(error),
        other => StoreError::Unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables with their columns, whatever the types.
    fn shape(text: &str) -> Vec<String> {
        let lines = text.lines().map(|line| line.split("--").next().unwrap_or("").trim());
        let words = lines.filter(|line| !line.is_empty() && !line.starts_with("PRIMARY KEY"));
        words
            .filter_map(|line| {
                line.split_whitespace().find(|w| w.chars().all(|c| c.is_lowercase() || c == '_'))
            })
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn both_engines_have_the_same_columns() {
        assert_eq!(SQLITE.len(), POSTGRES.len());
        for (sqlite, postgres) in SQLITE.iter().zip(POSTGRES) {
            assert_eq!((sqlite.0, sqlite.1), (postgres.0, postgres.1));
            assert_eq!(shape(sqlite.2), shape(postgres.2));
            let (rows, tables) = (shape(sqlite.2).len(), sqlite.2.matches("CREATE TABLE").count());
            assert!(tables > 0 && rows > 4 * tables, "the comparison sees nothing");
        }
    }

    /// Weeks of problem 1: number, sum, sum of weak sources, and the days that have sessions.
    #[tokio::test]
    async fn sums_by_day_become_sums_by_week() {
        let pool = sqlx::pool::PoolOptions::<sqlx::Sqlite>::new();
        let pool = pool.max_connections(1).connect("sqlite::memory:").await.unwrap();
        let first = SQLITE.iter().position(|(_, name, _)| *name == "problem weeks").unwrap();
        let mut connection = pool.acquire().await.unwrap();
        migrator(&SQLITE[..first]).run_direct(None, &mut *connection, false).await.unwrap();
        // 1969-12-28, a Sunday, is the day before the week of 1970-01-01; 19,999 is a Thursday as well.
        for (day, sessions, weak) in
            [(-4, 1, 0), (-3, 2, 0), (0, 4, 8), (3, 16, 0), (4, 32, 0), (19_999, 0, 64)]
        {
            let sql = sqlx::query("INSERT INTO problem_totals VALUES (1, $1, $2, $3)");
            sql.bind(day).bind(sessions).bind(weak).execute(&mut *connection).await.unwrap();
        }
        migrator(SQLITE).run_direct(None, &mut *connection, false).await.unwrap();
        let sql = "SELECT week, sessions, weak_sessions, monday, thursday, sunday, weak_thursday
            FROM problem_weeks WHERE problem = 1 ORDER BY week";
        let weeks: Vec<(i64, i64, i64, i64, i64, i64, i64)> =
            sqlx::query_as(sql).fetch_all(&mut *connection).await.unwrap();
        let expected = [
            (-1, 1, 0, 0, 0, 1, 0),
            (0, 2 + 4 + 16, 8, 2, 4, 16, 8),
            (1, 32, 0, 32, 0, 0, 0),
            (2_857, 0, 64, 0, 0, 0, 64),
        ];
        assert_eq!(weeks, expected);
        for (day, week, weekday) in [(-4, -1, 6), (-3, 0, 0), (0, 0, 3), (3, 0, 6), (19_999, 2_857, 3)] {
            assert_eq!(crate::columns::week(day), (week, weekday), "rows written later go to the same place");
        }
    }
}
