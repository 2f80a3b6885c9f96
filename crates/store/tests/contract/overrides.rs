//! What an operator says that mail requires.

use mailward_core::delivery::{Override, Require};
use mailward_store::{Store, StoreError};

use crate::build::{at, domain};
use crate::engines::Opened;

fn over(require: Require, until: Option<&str>) -> Override {
    Override { require, until: until.map(at), reason: "their certificate \0 is broken".into() }
}

pub async fn overrides_are_set_and_removed(store: Opened) {
    assert_eq!(store.overrides().await.unwrap(), []);
    for (name, require) in
        ["b.example", "a-b.example", "ab.example", "a.example"].into_iter().zip(Require::ALL)
    {
        store.put_override(&domain(name), &over(require, None), "cli", at("03-01")).await.unwrap();
    }
    let name = domain("a.example");
    let timed = Override { reason: "a week".into(), ..over(Require::Sts, Some("03-08")) };
    store.put_override(&name, &timed, "web", at("03-02")).await.unwrap();
    let rows = store.overrides().await.unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|(name, row)| (name.as_str(), row.over.require, row.over.until, row.author.as_str(), row.set_at))
        .collect();
    assert_eq!(
        told,
        [
            ("a-b.example", Require::Sts, None, "cli", at("03-01")),
            ("a.example", Require::Sts, Some(at("03-08")), "web", at("03-02")),
            ("ab.example", Require::Encrypt, None, "cli", at("03-01")),
            ("b.example", Require::Dane, None, "cli", at("03-01")),
        ]
    );
    assert_eq!(rows[1].1.over, timed);
    assert_eq!(rows[0].1.over.reason, "their certificate \u{fffd} is broken");

    store.remove_override(&name, "cli", "mended", at("03-03")).await.unwrap();
    let names: Vec<_> =
        store.overrides().await.unwrap().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["a-b.example", "ab.example", "b.example"]);
    let missing = store.remove_override(&name, "cli", "again", at("03-04")).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound(_)), "{missing}");

    let log = store.log(Some(&name), None, 9).await.unwrap();
    let acts: Vec<_> = log
        .rows
        .iter()
        .map(|e| (e.act.as_str(), e.author.as_str(), e.reason.as_str(), e.detail.as_str(), e.at))
        .collect();
    assert_eq!(
        acts,
        [
            (
                "remove-override",
                "cli",
                "mended",
                "it was sts until 2026-03-08T12:00:00Z, a week",
                at("03-03")
            ),
            ("set-override", "web", "a week", "sts until 2026-03-08T12:00:00Z", at("03-02")),
            (
                "set-override",
                "cli",
                "their certificate \u{fffd} is broken",
                "none until it is removed",
                at("03-01")
            ),
        ]
    );
}

pub async fn overrides_are_seen_by_others(store: Opened) {
    let other = Store::open(&store.url).await.unwrap();
    let name = domain("a.example");
    let mut version = store.overrides_version().await.unwrap();
    let mut changed = async || {
        let now = store.overrides_version().await.unwrap();
        now != std::mem::replace(&mut version, now)
    };
    let dane = Override { reason: "why".into(), ..over(Require::Dane, None) };
    other.put_override(&name, &dane, "cli", at("03-01")).await.unwrap();
    assert!(changed().await);
    other.put_override(&name, &dane, "web", at("03-02")).await.unwrap();
    assert!(!changed().await, "the same again");
    assert_eq!(store.overrides().await.unwrap()[0].1.author, "cli");
    assert_eq!(store.log(Some(&name), None, 9).await.unwrap().rows.len(), 1, "and is no act");
    for difference in [
        Override { require: Require::Sts, ..dane.clone() },
        Override { until: Some(at("04-01")), ..dane.clone() },
        Override { reason: "better".into(), ..dane.clone() },
    ] {
        other.put_override(&name, &difference, "cli", at("03-03")).await.unwrap();
        assert!(changed().await);
        assert_eq!(store.overrides().await.unwrap()[0].1.over, difference);
    }
    other.remove_override(&name, "cli", "", at("03-04")).await.unwrap();
    assert!(changed().await);
    assert!(other.remove_override(&name, "cli", "", at("03-04")).await.is_err());
    assert!(!changed().await, "what is refused changes nothing");
    other.close().await;
}
