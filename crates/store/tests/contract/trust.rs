//! Who may replace whom: ids are easily guessed and anybody can post.

use mailward_core::rollout::Trust;
use mailward_store::reports::IncomingItem;

use crate::build::{believed, hold, item, report, sts, sums};
use crate::engines::Opened;

fn version(trust: Trust, received: &str, passed: u64) -> IncomingItem {
    let told = sts("d.example", passed, 1).detail("certificate-expired", Some("mx1"), None, 1);
    believed(trust, item(received, report("1", "03-13", &[told])))
}

pub async fn weak_never_replaces_evidence(store: Opened) {
    hold(&store, "d.example").await;
    store.insert_items(&[version(Trust::DkimVerified, "03-14", 100)]).await.unwrap();
    for trust in [Trust::Unauthenticated, Trust::Unverified] {
        let stored = store.insert_items(&[version(trust, "03-15", 999_999)]).await.unwrap();
        assert_eq!(stored[0].new, 0, "{trust:?}");
        assert_eq!(sums(&store, "d.example", "03-13").await, [100, 1, 0, 0], "{trust:?}");
    }
    let rows = store.reports_by_id("1").await.unwrap();
    let superseded: Vec<_> = rows.iter().map(|r| (r.successful, r.superseded)).collect();
    // The two forged ones say the same, so they are one report.
    assert_eq!(superseded, [(999_999, true), (100, false)]);
}

pub async fn evidence_replaces_weak(store: Opened) {
    hold(&store, "d.example").await;
    store.insert_items(&[version(Trust::Unverified, "03-20", 1)]).await.unwrap();
    assert_eq!(sums(&store, "d.example", "03-13").await, [0, 0, 1, 1]);
    store.insert_items(&[version(Trust::Unauthenticated, "03-18", 2)]).await.unwrap();
    assert_eq!(sums(&store, "d.example", "03-13").await, [0, 0, 2, 1]);
    // Received earlier, but believed.
    store.insert_items(&[version(Trust::Trusted, "03-14", 3)]).await.unwrap();
    assert_eq!(sums(&store, "d.example", "03-13").await, [3, 1, 0, 0]);
    // Of two believed alike the newer counts, in whatever order they are stored.
    store.insert_items(&[version(Trust::DkimVerified, "03-13", 4)]).await.unwrap();
    assert_eq!(sums(&store, "d.example", "03-13").await, [3, 1, 0, 0]);
    store.insert_items(&[version(Trust::DkimVerified, "03-15", 5)]).await.unwrap();
    assert_eq!(sums(&store, "d.example", "03-13").await, [5, 1, 0, 0]);
}

pub async fn copy_lends_its_trust(store: Opened) {
    hold(&store, "d.example").await;
    store.insert_items(&[version(Trust::Unauthenticated, "03-14", 100)]).await.unwrap();
    assert_eq!(sums(&store, "d.example", "03-13").await, [0, 0, 100, 1]);
    let signed = version(Trust::DkimVerified, "03-15", 100);
    let stored = store.insert_items(std::slice::from_ref(&signed)).await.unwrap();
    assert_eq!((stored[0].new, stored[0].duplicates), (0, 1));
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 1, 0, 0]);
    let row = store.reports_by_id("1").await.unwrap().remove(0);
    assert_eq!((row.trust, row.item), (Trust::DkimVerified, stored[0].item), "the item that proves it");
    let problem = store.problems(None, crate::build::day("03-01"), 9).await.unwrap().remove(0);
    assert_eq!((problem.sessions, problem.weak_sessions), (1, 0));
    assert_eq!(store.reporters(None, 9).await.unwrap()[0].trust, Trust::DkimVerified);
    // The same bytes, believed later (a resolver was down): the item too.
    let mut later = version(Trust::Unverified, "03-16", 7);
    store.insert_items(std::slice::from_ref(&later)).await.unwrap();
    later.trust = Trust::Trusted;
    store.insert_items(&[later]).await.unwrap();
    assert_eq!(sums(&store, "d.example", "03-13").await, [7, 1, 0, 0]);
}

pub async fn proof_brings_a_version_back(store: Opened) {
    hold(&store, "d.example").await;
    store.insert_items(&[version(Trust::Unauthenticated, "03-14", 100)]).await.unwrap();
    store.insert_items(&[version(Trust::Unauthenticated, "03-15", 999)]).await.unwrap();
    assert_eq!(sums(&store, "d.example", "03-13").await, [0, 0, 999, 1]);
    store.insert_items(&[version(Trust::DkimVerified, "03-16", 100)]).await.unwrap();
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 1, 0, 0]);
    let rows = store.reports_by_id("1").await.unwrap();
    let superseded: Vec<_> = rows.iter().map(|r| (r.successful, r.superseded)).collect();
    assert_eq!(superseded, [(999, true), (100, false)]);
}

pub async fn proof_names_the_submitter(store: Opened) {
    hold(&store, "d.example").await;
    // No resolver at first: the submitter is what the report says of itself.
    let guessed = version(Trust::Unverified, "03-14", 100);
    let mut proven = IncomingItem { trust: Trust::DkimVerified, ..guessed.clone() };
    proven.submitter = "mail.r.example".into();
    let other = version(Trust::Unverified, "03-14", 5);
    for items in [vec![guessed.clone()], vec![other, proven.clone()], vec![guessed, proven]] {
        let stored = store.insert_items(&items).await.unwrap();
        let proven = stored.last().unwrap();
        assert_eq!((proven.duplicates, proven.revisions), (u32::from(stored.len() > 1), 0));
    }
    let of_proven = store.reports(&Default::default(), None, 9).await.unwrap().rows;
    let rows: Vec<_> = of_proven.iter().map(|r| (r.submitter.as_str(), r.successful, r.superseded)).collect();
    assert_eq!(rows, [("mail.r.example", 100, false), ("r.example", 5, false)]);
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 1, 5, 1]);
    let problem = store.problems(None, crate::build::day("03-01"), 9).await.unwrap().remove(0);
    assert_eq!(problem.reporters, ["mail.r.example", "r.example"]);
    let reporters = store.reporters(None, 9).await.unwrap();
    assert_eq!(reporters.iter().map(|r| r.reports).collect::<Vec<_>>(), [1, 1]);
}
