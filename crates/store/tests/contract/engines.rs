//! Where the contract runs: SQLite in a folder that goes with the test, and a PostgreSQL 15 that the
//! tests start themselves on a socket of their own.

use std::process::Command;

use mailward_store::Store;

use crate::postgres::{PROGRAMS, new_database};

pub async fn on_sqlite<F: Future<Output = ()>>(test: impl Fn(Opened) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/below/mailward.db", folder.path().display());
    test(Opened { store: Store::open(&url).await.unwrap(), url }).await;
}

pub async fn on_postgres<F: Future<Output = ()>>(test: impl Fn(Opened) -> F) {
    let Some(url) = new_database() else { return };
    let opened = Opened { store: Store::open(&url).await.unwrap(), url };
    let store = opened.store.clone();
    test(opened).await;
    store.close().await;
}

/// An open store, and where it is.
pub struct Opened {
    pub store: Store,
    pub url: String,
}

impl std::ops::Deref for Opened {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

/// Runs SQL beside the store, as somebody with the database's own tool. `false` when the tool is not there.
pub fn run_sql(url: &str, text: &str) -> bool {
    let mut command = match url.strip_prefix("sqlite:") {
        Some(path) => {
            let mut command = Command::new("sqlite3");
            command.arg(path).arg(text);
            command
        }
        None => {
            let mut command = Command::new(format!("{PROGRAMS}/psql"));
            command.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text]);
            command
        }
    };
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "{text}");
            true
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{command:?}: {error}");
            eprintln!("skipped: {command:?}: {error}");
            false
        }
    }
}

/// A database of the first version, as it is in use: everything added later is added when it is opened.
pub async fn first_schema_is_brought_up(store: Opened) {
    crate::build::hold(&store, "d.example").await;
    crate::sums::two_weeks_of_problems(&store).await;
    let since = crate::build::day("03-05");
    let problems = store.problems(None, since, 9).await.unwrap();
    assert!(problems.iter().any(|problem| problem.sessions > 0 && problem.weak_sessions > 0));
    store.close().await;
    let back = "DROP TABLE known_policies; DROP TABLE known_policy_counts; DROP TABLE overrides;
        DROP TABLE tally_texts; DROP TABLE tally_domains; DROP TABLE tally_open; DROP TABLE tallies;
        DROP TABLE tally_failures; DROP TABLE tally_days; DROP TABLE tally_sums;
        DROP TABLE problem_weeks; DROP TABLE outgoing_reports; DROP TABLE outgoing_targets;
        DROP TABLE outgoing_suppressions; DROP TABLE outgoing_days;
        CREATE TABLE problem_totals (problem BIGINT NOT NULL, day BIGINT NOT NULL, sessions BIGINT NOT NULL,
            weak_sessions BIGINT NOT NULL, PRIMARY KEY (problem, day));
        INSERT INTO problem_totals SELECT problem, day, SUM(CASE WHEN trust >= 2 THEN sessions ELSE 0 END),
            SUM(CASE WHEN trust < 2 THEN sessions ELSE 0 END) FROM problem_days GROUP BY problem, day;
        DELETE FROM counters WHERE name IN ('known-policies', 'overrides-version', 'tally-texts', 'outgoing-reports');
        DELETE FROM _sqlx_migrations WHERE version > 1;";
    if !run_sql(&store.url, back) {
        return;
    }
    let store = Store::open(&store.url).await.unwrap();
    assert_eq!(store.domains().await.unwrap().len(), 1);
    store.put_known_policies(&[crate::policies::nothing_of("other.example")]).await.unwrap();
    assert_eq!(store.overrides().await.unwrap(), []);
    assert_eq!(store.problems(None, since, 9).await.unwrap(), problems);
    store.close().await;
}

pub async fn every_statement_prepares(store: Opened) {
    assert!(store.prepare_statements().await.unwrap() > 75);
}

pub async fn opening_again_changes_nothing(store: Opened) {
    let author = "test";
    store
        .put_domain(&crate::build::held("d.example", "testing"), author, "first", crate::build::at("03-01"))
        .await
        .unwrap();
    for _ in 0..2 {
        let again = Store::open(&store.url).await.unwrap();
        again.ping().await.unwrap();
        assert_eq!(again.domains().await.unwrap().len(), 1);
        again.close().await;
        assert!(again.ping().await.is_err());
    }
    // Several at once, as commands beside a daemon.
    let openings = (0..4).map(|_| {
        let url = store.url.clone();
        tokio::spawn(async move { Store::open(&url).await.unwrap().domains().await.unwrap().len() })
    });
    for opening in openings.collect::<Vec<_>>() {
        assert_eq!(opening.await.unwrap(), 1);
    }
}
