//! What only SQLite has: one file, several processes, a database in memory.

use mailward_store::{Store, StoreError};

use crate::build::{at, day, domain, held, hold, item, report, sts};

#[tokio::test(flavor = "multi_thread")]
async fn two_handles_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/mailward.db", folder.path().display());
    // Opened at once, so that one migrates and the others wait.
    let openings: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn({
                let url = url.clone();
                async move { Store::open(&url).await.unwrap() }
            })
        })
        .collect();
    let mut stores = Vec::new();
    for opening in openings {
        stores.push(opening.await.unwrap());
    }
    hold(&stores[0], "d.example").await;
    let writers: Vec<_> = stores
        .iter()
        .cloned()
        .enumerate()
        .map(|(writer, store)| {
            tokio::spawn(async move {
                for batch in 0..10 {
                    let items: Vec<_> = (0..5)
                        .map(|n| {
                            // Every second report is sent by all writers.
                            let id = if n % 2 == 0 {
                                format!("all-{batch}-{n}")
                            } else {
                                format!("{writer}-{batch}-{n}")
                            };
                            let passed =
                                1 + n + 10 * batch + if n % 2 == 0 { 0 } else { 1_000 * (writer as u64 + 1) };
                            item("03-14", report(&id, "03-13", &[sts("d.example", passed, 0)]))
                        })
                        .collect();
                    store.insert_items(&items).await.unwrap();
                    store
                        .put_domain(
                            &held(&format!("w{writer}-{batch}.example"), "testing"),
                            "cli",
                            "",
                            at("03-01"),
                        )
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let rows = stores[1].reports(&Default::default(), None, 1_000).await.unwrap().rows;
    assert_eq!(rows.len(), 10 * (3 + 4 * 2));
    let told: u64 = rows.iter().map(|r| r.successful).sum();
    let days = stores[2].session_days(&domain("d.example"), day("03-13"), day("03-13")).await.unwrap();
    assert_eq!(days[0].successful, told);
    assert_eq!(stores[3].domains().await.unwrap().len(), 41);
    for store in stores {
        store.close().await;
    }
}

#[tokio::test]
async fn memory_is_a_store_too() {
    let store = Store::open("sqlite::memory:").await.unwrap();
    let other = Store::open("sqlite::memory:").await.unwrap();
    hold(&store, "d.example").await;
    assert_eq!(store.clone().domains().await.unwrap().len(), 1);
    assert_eq!(other.domains().await.unwrap().len(), 0, "each its own");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, "no database at all, but long enough to be looked at".repeat(100)).unwrap();
    for (url, corrupt) in [
        ("mysql://root@localhost/db".to_owned(), false),
        (String::new(), false),
        ("postgres://nobody@127.0.0.1:1/db".to_owned(), false),
        (format!("sqlite:{}", folder.path().display()), false),
        (format!("sqlite:{}", garbage.display()), true),
    ] {
        let error = Store::open(&url).await.unwrap_err();
        assert_eq!(matches!(error, StoreError::Corrupt(_)), corrupt, "{url}: {error}");
        assert!(corrupt || matches!(error, StoreError::Unavailable(_)), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mailward.db");
    let url = format!("sqlite:{}", path.display());
    Store::open(&url).await.unwrap().close().await;
    let added = std::process::Command::new("sqlite3")
        .arg(&path)
        .arg("INSERT INTO _sqlx_migrations VALUES (999, 'later', CURRENT_TIMESTAMP, 1, x'00', 0)")
        .status();
    if !added.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "sqlite3 is not installed");
        eprintln!("skipped: sqlite3 is not installed");
        return;
    }
    let error = Store::open(&url).await.unwrap_err().to_string();
    assert!(error.contains("newer mailward"), "{error}");
}
