//! Domains held, their history, marks of the operator, the log and tokens.

use mailward_core::mta_sts::Mode;
use mailward_core::tlsrpt::ResultType;
use mailward_store::{Store, StoreError};

use crate::build::{at, domain, held};
use crate::engines::Opened;

pub async fn put_is_idempotent_and_keeps_history(store: Opened) {
    let testing = held("d.example", "testing");
    assert!(store.put_domain(&testing, "cli", "first", at("03-01")).await.unwrap());
    let version = store.domains_version().await.unwrap();
    let again = mailward_store::domains::HeldDomain {
        added_at: at("03-02"),
        mode_since: at("03-02"),
        ..testing.clone()
    };
    assert!(!store.put_domain(&again, "cli", "again", at("03-02")).await.unwrap());
    assert_eq!(store.domains_version().await.unwrap(), version, "nothing changed");
    assert_eq!(store.domain(&testing.domain).await.unwrap(), Some(testing.clone()));

    let reporting =
        mailward_store::domains::HeldDomain { rua: vec!["https://r.example/".into()], ..testing.clone() };
    assert!(store.put_domain(&reporting, "cli", "other address", at("03-03")).await.unwrap());
    assert_eq!(store.served_policies(&testing.domain).await.unwrap().len(), 1, "the policy is the same");

    let enforce = held("d.example", "enforce");
    assert!(store.put_domain(&enforce, "web", "the gate is open", at("03-16")).await.unwrap());
    assert_ne!(store.domains_version().await.unwrap(), version);
    let served = store.served_policies(&testing.domain).await.unwrap();
    assert_eq!(served.len(), 2);
    assert_eq!(
        (served[0].mode, served[0].first_served, served[0].last_served),
        (Mode::Enforce, at("03-16"), None)
    );
    assert_eq!(served[1].body, testing.policy_body);
    assert_eq!((served[1].first_served, served[1].last_served), (at("03-01"), Some(at("03-16"))));

    let log = store.log(Some(&testing.domain), None, 10).await.unwrap();
    let acts: Vec<_> =
        log.rows.iter().map(|e| (e.act.as_str(), e.author.as_str(), e.reason.as_str(), e.at)).collect();
    assert_eq!(
        acts,
        [
            ("change-policy", "web", "the gate is open", at("03-16")),
            ("change-reporting", "cli", "other address", at("03-03")),
            ("add-domain", "cli", "first", at("03-01")),
        ]
    );
}

pub async fn mode_since_follows_mode_and_mx(store: Opened) {
    let first = held("d.example", "testing");
    let put = async |domain: mailward_store::domains::HeldDomain, on| {
        store.put_domain(&domain, "cli", "", at(on)).await.unwrap();
        store.domain(&domain.domain).await.unwrap().unwrap().mode_since
    };
    assert_eq!(put(first.clone(), "03-01").await, at("03-01"));
    let longer =
        mailward_store::domains::HeldDomain { max_age: 604_800, mode_since: at("03-05"), ..first.clone() };
    assert_eq!(put(longer.clone(), "03-05").await, at("03-01"), "mode and MX stay");
    let mut moved = longer.clone();
    moved.mx.push("mx2.d.example".into());
    moved.mode_since = at("03-07");
    assert_eq!(put(moved.clone(), "03-07").await, at("03-07"), "another MX set");
    moved.mx.reverse();
    moved.mode_since = at("03-08");
    assert_eq!(put(moved, "03-08").await, at("03-07"), "the same set in another order");
}

pub async fn removal_keeps_the_past(store: Opened) {
    let testing = held("d.example", "testing");
    assert!(!store.remove_domain(&testing.domain, "cli", "gone", at("03-02")).await.unwrap());
    store.put_domain(&testing, "cli", "first", at("03-01")).await.unwrap();
    let version = store.domains_version().await.unwrap();
    assert!(store.remove_domain(&testing.domain, "cli", "gone", at("03-02")).await.unwrap());
    assert_ne!(store.domains_version().await.unwrap(), version);
    assert_eq!(store.domain(&testing.domain).await.unwrap(), None);
    assert_eq!(store.domains().await.unwrap(), []);
    let served = store.served_policies(&testing.domain).await.unwrap();
    assert_eq!((served.len(), served[0].last_served), (1, Some(at("03-02"))));
    assert_eq!(store.log(None, None, 1).await.unwrap().rows[0].act, "remove-domain");
    store.put_domain(&testing, "cli", "back", at("03-04")).await.unwrap();
    assert_eq!(store.served_policies(&testing.domain).await.unwrap().len(), 2);
}

pub async fn version_is_seen_by_others(store: Opened) {
    let other = Store::open(&store.url).await.unwrap();
    let before = store.domains_version().await.unwrap();
    for name in ["b.example", "a-b.example", "a.example"] {
        other.put_domain(&held(name, "testing"), "cli", "", at("03-01")).await.unwrap();
    }
    assert_ne!(store.domains_version().await.unwrap(), before);
    let names: Vec<_> = store.domains().await.unwrap().into_iter().map(|d| d.domain.to_string()).collect();
    assert_eq!(names, ["a-b.example", "a.example", "b.example"]);
    other.close().await;
}

pub async fn log_is_paged(store: Opened) {
    for number in 0..5 {
        let entry = mailward_store::log::LogEntry {
            number: 0,
            at: at("03-01"),
            domain: (number % 2 == 0).then(|| domain("d.example")),
            author: "monitor".into(),
            act: "probe".into(),
            reason: number.to_string(),
            detail: String::new(),
        };
        store.append_log(&entry).await.unwrap();
    }
    let reasons = |page: &mailward_store::Page<mailward_store::log::LogEntry>| -> String {
        page.rows.iter().map(|e| e.reason.as_str()).collect()
    };
    let first = store.log(None, None, 2).await.unwrap();
    assert_eq!(reasons(&first), "43");
    let second = store.log(None, first.next, 2).await.unwrap();
    assert_eq!(reasons(&second), "21");
    let last = store.log(None, second.next, 2).await.unwrap();
    assert_eq!((reasons(&last).as_str(), last.next), ("0", None));
    assert_eq!(reasons(&store.log(Some(&domain("d.example")), None, 9).await.unwrap()), "420");
}

pub async fn excuses_and_waivers(store: Opened) {
    let name = domain("d.example");
    store.put_domain(&held("d.example", "testing"), "cli", "", at("03-01")).await.unwrap();
    let excuse = async |mx, reason| {
        store.excuse_failures(&name, "certificate-expired", mx, "web", reason, at("03-02")).await.unwrap();
    };
    excuse(Some("mx1"), "a test of theirs").await;
    excuse(None, "first word").await;
    excuse(None, "last word").await;
    assert_eq!(
        store.excused(&name).await.unwrap(),
        [
            (ResultType::CertificateExpired, Some("mx1".into()), "a test of theirs".into()),
            (ResultType::CertificateExpired, None, "last word".into()),
        ]
    );
    store.waive_item(&name, 3, "web", "two reporters never come", at("03-02")).await.unwrap();
    assert_eq!(store.waived(&name).await.unwrap(), [(3, "two reporters never come".into())].into());
    store.put_domain(&held("d.example", "enforce"), "cli", "", at("03-03")).await.unwrap();
    assert_eq!(store.waived(&name).await.unwrap(), [].into(), "shown until the next step");
    let acts: Vec<_> =
        store.log(Some(&name), None, 9).await.unwrap().rows.into_iter().map(|e| e.act).collect();
    assert_eq!(acts, ["change-policy", "waive", "excuse", "excuse", "excuse", "add-domain"]);
}

pub async fn tokens(store: Opened) {
    let made = at("03-01");
    store.add_token("dashboard", &[1; 32], made).await.unwrap();
    store.add_token("backup", &[2; 32], made).await.unwrap();
    for (name, secret) in [("dashboard", [3; 32]), ("other", [1; 32])] {
        let refused = store.add_token(name, &secret, made).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{name}: {refused:?}");
    }
    assert_eq!(store.token(&[9; 32], made).await.unwrap(), None);
    let used: jiff::Timestamp = "2026-03-02T10:59:59Z".parse().unwrap();
    let hour: jiff::Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
    let token = store.token(&[1; 32], used).await.unwrap().unwrap();
    assert_eq!((token.name.as_str(), token.created_at, token.last_used), ("dashboard", made, Some(hour)));
    store.token(&[1; 32], at("03-01")).await.unwrap();
    let tokens = store.tokens().await.unwrap();
    let last: Vec<_> = tokens.iter().map(|t| (t.name.as_str(), t.last_used)).collect();
    assert_eq!(last, [("backup", None), ("dashboard", Some(hour))], "a clock that went back changes nothing");
    assert!(store.remove_token("dashboard").await.unwrap());
    assert!(!store.remove_token("dashboard").await.unwrap());
    assert_eq!(store.token(&[1; 32], used).await.unwrap(), None);
}

pub async fn hostile_texts(store: Opened) {
    let name = domain("d.example");
    for text in ["'; DROP TABLE domains; --", "a\0b", "\u{202e}\u{feff}<script>", &"x".repeat(100_000), ""] {
        store.excuse_failures(&name, text, Some(text), text, text, at("03-02")).await.unwrap();
        let shown = text.replace('\0', "\u{fffd}");
        let (kind, mx, reason) = store.excused(&name).await.unwrap().pop().unwrap();
        assert_eq!((kind.as_str(), mx.as_deref(), reason.as_str()), (&*shown, Some(&*shown), &*shown));
        assert_eq!(store.log(None, None, 1).await.unwrap().rows[0].author, shown);
    }
    assert_eq!(store.excused(&name).await.unwrap().len(), 5);
}
