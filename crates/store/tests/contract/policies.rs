//! What the sending side knows of other domains' policies.

use jiff::{SignedDuration, Timestamp};
use mailward_core::mta_sts::Mode;
use mailward_store::policies::{Branch, HeldPolicy, KnownPolicy, PolicyCounts, PolicyFilter, RefreshFailure};
use mailward_store::{Store, StoreError};

use crate::build::{at, domain};
use crate::engines::{Opened, run_sql};

pub fn nothing_of(name: &str) -> KnownPolicy {
    KnownPolicy { domain: domain(name), policy: None, failure: None, branch: None, used_at: at("03-14") }
}

/// Fetched at noon of a day, for a day.
pub fn policy(name: &str, mode: Mode, on: &str) -> KnownPolicy {
    let held = HeldPolicy {
        id: format!("id{on}").replace('-', ""),
        body: format!("version: STSv1\nmode: {mode}\nmx: *.{name}\nmax_age: 86400\n").into_bytes(),
        mode,
        max_age: 86_400,
        fetched_at: at(on),
        record_seen_at: at(on),
    };
    KnownPolicy { policy: Some(held), ..nothing_of(name) }
}

fn failure() -> Option<RefreshFailure> {
    Some(RefreshFailure {
        id: Some("id2".into()),
        since: at("03-12"),
        last_at: at("03-13"),
        reason: "fetch-failed".into(),
        detail: "certificate has expired".into(),
    })
}

fn failing(name: &str) -> KnownPolicy {
    KnownPolicy { failure: failure(), ..nothing_of(name) }
}

fn decision(kind: &str) -> Option<Branch> {
    let mx = vec!["mx2.example".into(), "mx1.example".into()];
    Some(Branch { kind: kind.into(), mx, decided_at: at("03-13"), ttl: 300 })
}

fn branch(name: &str, kind: &str) -> KnownPolicy {
    KnownPolicy { branch: decision(kind), ..nothing_of(name) }
}

async fn everything(store: &Store) -> Vec<KnownPolicy> {
    store.known_policies_since(0, 1_000_000).await.unwrap().0
}

fn names<'a>(rows: impl IntoIterator<Item = &'a KnownPolicy>) -> Vec<&'a str> {
    rows.into_iter().map(|row| row.domain.as_str()).collect()
}

pub async fn rows_come_back(store: Opened) {
    let mut binary = policy("binary.example", Mode::Testing, "03-13");
    let held = binary.policy.as_mut().unwrap();
    held.body = (0..=255).cycle().take(65_536).collect();
    (held.max_age, held.fetched_at) = (u32::MAX, Timestamp::from_microsecond(1_773_400_000_000_001).unwrap());
    let all = KnownPolicy {
        failure: failure(),
        branch: decision("full"),
        ..policy("all.example", Mode::Enforce, "03-12")
    };
    let rows = [
        all,
        nothing_of("nothing.example"),
        policy("none.example", Mode::None, "03-13"),
        failing("failing.example"),
        branch("branch.example", "absent"),
        binary,
    ];
    store.put_known_policies(&rows).await.unwrap();
    for row in &rows {
        assert_eq!(store.known_policy(&row.domain).await.unwrap().as_ref(), Some(row));
    }
    assert_eq!(store.known_policy(&domain("other.example")).await.unwrap(), None);
    assert_eq!(rows[2].policy.as_ref().unwrap().expires_at(), at("03-14"));
}

pub async fn revisions_tell_what_changed(store: Opened) {
    store.put_known_policies(&[]).await.unwrap();
    assert_eq!(store.known_policies_since(0, 9).await.unwrap(), (vec![], 0));
    let rows: Vec<_> = (0..5).map(|n| policy(&format!("d{n}.example"), Mode::Enforce, "03-10")).collect();
    store.put_known_policies(&rows).await.unwrap();
    let (first, after) = store.known_policies_since(0, 2).await.unwrap();
    let (second, after) = store.known_policies_since(after, 2).await.unwrap();
    let (third, after) = store.known_policies_since(after, 2).await.unwrap();
    assert_eq!([&first[..], &second, &third].concat(), rows);
    assert_eq!(store.known_policies_since(after, 2).await.unwrap(), (vec![], after));

    store.put_known_policies(&rows).await.unwrap();
    assert_eq!(store.known_policies_since(after, 9).await.unwrap(), (vec![], after), "the same again");
    let mixed = [rows[4].clone(), policy("d1.example", Mode::Enforce, "03-11"), rows[0].clone()];
    store.put_known_policies(&mixed).await.unwrap();
    let (changed, after) = store.known_policies_since(after, 9).await.unwrap();
    assert_eq!(changed, mixed[1..2], "alone what changed");

    // Another process sees it as well, and where to go on.
    let other = Store::open(&store.url).await.unwrap();
    assert_eq!(other.known_policies_since(after, 9).await.unwrap(), (vec![], after));
    assert_eq!(other.known_policies_since(0, 9).await.unwrap().0.len(), 5, "each domain once");
    other.close().await;
}

pub async fn later_fetch_stays(store: Opened) {
    let (old, new) =
        (policy("d.example", Mode::Testing, "03-10"), policy("d.example", Mode::Enforce, "03-12"));
    let name = &new.domain;
    for order in [[&old, &new], [&new, &old]] {
        for row in order {
            store.put_known_policies(std::slice::from_ref(row)).await.unwrap();
        }
        assert_eq!(store.known_policy(name).await.unwrap().as_ref(), Some(&new), "one after the other");
        store.put_known_policies(&[order[0].clone(), order[1].clone()]).await.unwrap();
        assert_eq!(store.known_policy(name).await.unwrap().as_ref(), Some(&new), "in one batch");
    }
    let extended = policy("d.example", Mode::Enforce, "03-13");
    store.put_known_policies(std::slice::from_ref(&extended)).await.unwrap();
    assert_eq!(store.known_policy(name).await.unwrap(), Some(extended));
}

pub async fn failures_and_decisions_merge(store: Opened) {
    let name = domain("d.example");
    store.put_known_policies(&[policy("d.example", Mode::Enforce, "03-10")]).await.unwrap();
    store.put_known_policies(&[branch("d.example", "full")]).await.unwrap();
    let fails = KnownPolicy { failure: failure(), ..policy("d.example", Mode::Enforce, "03-10") };
    store.put_known_policies(std::slice::from_ref(&fails)).await.unwrap();
    let known = store.known_policy(&name).await.unwrap().unwrap();
    assert_eq!((&known.policy, &known.failure), (&fails.policy, &fails.failure));
    assert_eq!(known.branch, decision("full"), "a policy takes no decision away");
    store.put_known_policies(&[policy("d.example", Mode::Enforce, "03-14")]).await.unwrap();
    let known = store.known_policy(&name).await.unwrap().unwrap();
    assert_eq!(known.failure, None, "success clears");
    assert!(known.branch.is_some());
}

/// Each in turn, since a write sets no more columns than it has to.
pub async fn each_part_can_change(store: Opened) {
    let mut row = policy("d.example", Mode::Testing, "03-10");
    type Change = (&'static str, fn(&mut KnownPolicy));
    let changes: [Change; 12] = [
        ("nothing yet", |_| ()),
        ("used", |row| row.used_at = at("03-15")),
        ("decision", |row| row.branch = decision("full")),
        ("later decision", |row| {
            row.branch = Some(Branch { kind: "half".into(), mx: vec![], decided_at: at("03-14"), ttl: 9 });
        }),
        ("look", |row| row.policy.as_mut().unwrap().record_seen_at = at("03-11")),
        ("id", |row| row.policy.as_mut().unwrap().id = "other".into()),
        ("age", |row| row.policy.as_mut().unwrap().max_age = 7),
        ("body", |row| row.policy.as_mut().unwrap().body = b"other".to_vec()),
        ("mode", |row| row.policy.as_mut().unwrap().mode = Mode::Enforce),
        ("failure", |row| row.failure = failure()),
        ("later failure", |row| row.failure.as_mut().unwrap().last_at = at("03-14")),
        ("success", |row| row.failure = None),
    ];
    for (what, change) in changes {
        change(&mut row);
        store.put_known_policies(std::slice::from_ref(&row)).await.unwrap();
        assert_eq!(store.known_policy(&row.domain).await.unwrap().as_ref(), Some(&row), "{what}");
    }
    row.policy.as_mut().unwrap().fetched_at = at("03-14");
    store.put_known_policies(std::slice::from_ref(&row)).await.unwrap();
    assert_eq!(store.known_policy(&row.domain).await.unwrap().as_ref(), Some(&row), "fetched again");
    let soon = at("03-14") + SignedDuration::from_secs(6);
    assert_eq!(store.policy_counts(soon).await.unwrap().enforce, 1, "counted by its new age");
    assert_eq!(store.policy_counts(soon + SignedDuration::from_secs(1)).await.unwrap().expired, 1);
}

pub async fn unused_is_forgotten(store: Opened) {
    let used = |name: &str, on| KnownPolicy { used_at: at(on), ..policy(name, Mode::Enforce, "03-14") };
    let rows = [used("a.example", "01-01"), used("b.example", "02-12"), used("c.example", "02-13")];
    store.put_known_policies(&rows).await.unwrap();
    assert_eq!(store.forget_unused_policies(at("02-13")).await.unwrap(), 2, "live and enforce, and unused");
    assert_eq!(names(&everything(&store).await), ["c.example"]);
    assert_eq!(store.forget_unused_policies(at("02-13")).await.unwrap(), 0);
    assert_eq!(store.policy_counts(at("03-14")).await.unwrap().domains, 1);

    // More than goes in one transaction.
    let many: Vec<_> = (0..5_003).map(|n| nothing_of(&format!("d{n}.example"))).collect();
    store.put_known_policies(&many).await.unwrap();
    assert_eq!(store.forget_unused_policies(at("03-15")).await.unwrap(), 5_004);
    assert_eq!(store.policy_counts(at("03-14")).await.unwrap(), PolicyCounts::default());
    store.put_known_policies(&rows).await.unwrap();
    assert_eq!(store.known_policies_since(5_006, 9).await.unwrap().0.len(), 3, "revisions never come again");
}

pub async fn counts_follow(store: Opened) {
    // Expire at noon of the 14th.
    let day = |name: &str, mode| policy(name, mode, "03-13");
    let rows = [
        day("a.example", Mode::Enforce),
        day("b.example", Mode::Testing),
        KnownPolicy { failure: failure(), ..policy("c.example", Mode::Enforce, "03-12") },
        KnownPolicy { branch: decision("full"), ..day("d.example", Mode::None) },
        failing("e.example"),
        branch("f.example", "full"),
        branch("g.example", "absent"),
        nothing_of("h.example"),
    ];
    store.put_known_policies(&rows).await.unwrap();
    let expected = |none, testing, enforce, expired| PolicyCounts {
        domains: 8,
        none,
        testing,
        enforce,
        expired,
        failing: 2,
        branches: [("full".into(), 2), ("absent".into(), 1)].into(),
    };
    let noon = at("03-14");
    let tick = SignedDuration::from_micros(1);
    for (now, counts, why) in [
        (at("03-12"), expected(1, 1, 2, 0), "all live"),
        (at("03-13") - tick, expected(1, 1, 2, 0), "just before the first expires"),
        (at("03-13"), expected(1, 1, 1, 1), "the moment it expires"),
        (noon - tick, expected(1, 1, 1, 1), "just before the others expire"),
        (noon, expected(0, 0, 0, 4), "the moment they expire"),
        (noon + SignedDuration::from_mins(59), expected(0, 0, 0, 4), "within that hour"),
        (noon + SignedDuration::from_hours(1), expected(0, 0, 0, 4), "in the next"),
        (Timestamp::MIN, expected(1, 1, 2, 0), "a clock far off"),
        (Timestamp::MAX, expected(0, 0, 0, 4), "a clock far off"),
    ] {
        assert_eq!(store.policy_counts(now).await.unwrap(), counts, "{why}");
    }

    // Each thing changes: mode, expiry, failure, decision.
    let changes = [
        policy("a.example", Mode::Testing, "03-14"),
        policy("c.example", Mode::Enforce, "03-14"),
        KnownPolicy {
            branch: Some(Branch { decided_at: noon, ..decision("full").unwrap() }),
            ..nothing_of("g.example")
        },
        policy("i.example", Mode::Enforce, "03-14"),
    ];
    store.put_known_policies(&changes).await.unwrap();
    store.put_known_policies(&changes).await.unwrap();
    let counts = store.policy_counts(noon).await.unwrap();
    let branches = [("full".into(), 3)].into();
    let expected =
        PolicyCounts { domains: 9, none: 0, testing: 1, enforce: 2, expired: 2, failing: 1, branches };
    assert_eq!(counts, expected);
}

const MUNICH: &str = "xn--mnchen-3ya.example";

pub async fn pages_by_domain(store: Opened) {
    let rows = [
        policy("b-a.example", Mode::Enforce, "03-13"),
        policy("ba.example", Mode::Testing, "03-13"),
        policy("a_a.example", Mode::Enforce, "03-12"),
        failing("axa.example"),
        KnownPolicy { failure: failure(), ..policy("xn--mnchen-3ya.example", Mode::None, "03-13") },
        branch("b.a.example", "half"),
    ];
    store.put_known_policies(&rows).await.unwrap();
    let all =
        ["a_a.example", "axa.example", "b-a.example", "b.a.example", "ba.example", "xn--mnchen-3ya.example"];
    use PolicyFilter::{All, Enforced, Failing};
    for (filter, search, found, why) in [
        (All, None, &all[..], "in the order of bytes, not of a language"),
        (All, Some(""), &all[..], "nothing to look for"),
        (All, Some("XA.Example"), &["axa.example"], "any case"),
        (All, Some("a_a"), &["a_a.example"], "no wildcard of SQL"),
        (All, Some("%"), &[], "nor this one"),
        (All, Some("!"), &[], "nor the sign before them"),
        (All, Some(" münchen.example "), &["xn--mnchen-3ya.example"], "a name as people write it"),
        (All, Some("\0'\\"), &[], "hostile"),
        (Enforced, None, &["a_a.example", "b-a.example"], "by mode"),
        (Enforced, Some("-"), &["b-a.example"], "both"),
        (Failing, None, &["axa.example", "xn--mnchen-3ya.example"], "by failure"),
        (Failing, Some("mnchen"), &["xn--mnchen-3ya.example"], "both"),
        (All, Some("b"), &["b-a.example", "b.a.example", "ba.example"], "those that begin so"),
        (
            All,
            Some("a"),
            &["a_a.example", "axa.example", "b-a.example", "b.a.example", "ba.example", MUNICH],
            "those that begin so, then the others",
        ),
        (
            All,
            Some("x"),
            &[MUNICH, "a_a.example", "axa.example", "b-a.example", "b.a.example", "ba.example"],
            "the same, last first",
        ),
        (Enforced, Some("b"), &["b-a.example"], "both"),
    ] {
        // Looking through every name at once, two at a time, one at a time; in pages of any size.
        for looked_through in [100, 2, 1] {
            for limit in [9, 2, 1] {
                let (mut names, mut after, mut asked) = (Vec::new(), None::<String>, 0);
                loop {
                    let page = store.policies_among(filter, search, after.as_deref(), limit, looked_through);
                    let page = page.await.unwrap();
                    assert!(page.rows.len() <= limit as usize, "{why}");
                    let full = page.rows.len() == limit as usize;
                    assert!(full || page.next.is_none() || page.looked_up_to.is_some(), "{why}");
                    names.extend(page.rows.into_iter().map(|row| row.domain.to_string()));
                    asked += 1;
                    assert!(asked < 20, "{why}: it goes on for ever");
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(names, found, "{why}, {looked_through} at a time, pages of {limit}");
            }
        }
    }
    let begun = store.policies_among(All, Some("xn--"), None, 9, 1).await.unwrap();
    assert_eq!(begun.rows[0].domain.as_str(), MUNICH, "at once, though five names stand before it");
    let named = store.policies_page(All, None, Some("b-a.example"), 1).await.unwrap();
    assert_eq!(named.rows[0].domain.as_str(), "b.a.example", "a page may begin after any name");

    let failing_ones = store.policies_page(Failing, None, None, 9).await.unwrap().rows;
    let munich = failing_ones[1].clone();
    let line = munich.policy.unwrap();
    assert_eq!((line.mode, line.id.as_str(), line.max_age), (Mode::None, "id0313", 86_400));
    assert_eq!(
        (line.fetched_at, line.expires_at, line.record_seen_at),
        (at("03-13"), at("03-14"), at("03-13"))
    );
    assert_eq!((munich.failure, munich.branch, munich.used_at), (rows[4].failure.clone(), None, at("03-14")));
    let half = &store.policies_page(All, Some("b.a"), None, 9).await.unwrap().rows[0];
    assert_eq!((half.policy.as_ref(), half.branch.as_deref()), (None, Some("half")));
}

pub async fn hostile_policies(store: Opened) {
    let mut row = failing("d.example");
    let failure = row.failure.as_mut().unwrap();
    (failure.detail, failure.reason) = ("\0ä\u{202e}'\"".repeat(10_000), "\0".into());
    failure.last_at = Timestamp::MAX;
    let branch = Branch {
        kind: "\0\\".into(),
        mx: vec!["\0 '".into(); 100],
        decided_at: Timestamp::MIN,
        ttl: u32::MAX,
    };
    row.branch = Some(branch);
    let mut held = policy("d.example", Mode::Enforce, "03-13").policy.unwrap();
    (held.id, held.body, held.max_age, held.fetched_at) = ("a\0b".into(), vec![0; 3], u32::MAX, at("03-12"));
    row.policy = Some(held);
    store.put_known_policies(&[row.clone()]).await.unwrap();
    let known = store.known_policy(&row.domain).await.unwrap().unwrap();
    assert_eq!(known.policy.as_ref().unwrap().id, "a\u{fffd}b");
    assert_eq!(known.policy.as_ref().unwrap().body, [0; 3]);
    assert_eq!(known.failure.as_ref().unwrap().detail.chars().count(), 1_000);
    assert_eq!(known.branch.as_ref().unwrap().mx, row.branch.as_ref().unwrap().mx);
    let (_, after) = store.known_policies_since(0, 9).await.unwrap();
    store.put_known_policies(&[row.clone()]).await.unwrap();
    store.put_known_policies(&[known]).await.unwrap();
    assert_eq!(
        store.known_policies_since(after, 9).await.unwrap().0,
        [],
        "the same again, as given and as kept"
    );

    let mut last = policy("z.example", Mode::Enforce, "03-13");
    last.policy.as_mut().unwrap().fetched_at = Timestamp::MAX;
    let mut large = policy("large.example", Mode::Enforce, "03-13");
    large.policy.as_mut().unwrap().body = vec![b'a'; 65_537];
    let refused = store.put_known_policies(&[last.clone(), large]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    assert_eq!(store.known_policy(&last.domain).await.unwrap(), None, "nothing of the batch");
    store.put_known_policies(&[last.clone()]).await.unwrap();
    assert_eq!(store.policy_counts(at("03-14")).await.unwrap().enforce, 2);
}

pub async fn damage_is_told(store: Opened) {
    let row = KnownPolicy { branch: decision("full"), ..policy("d.example", Mode::Enforce, "03-13") };
    for damage in [
        "mode = 'x'",
        "policy_id = NULL",
        "fetched_at = NULL",
        "fetched_at = 9223372036854775807",
        "record_seen_at = NULL",
        "failure = '{'",
        "branch_mx = '1'",
        "branch_at = NULL",
        "domain = '..'",
    ] {
        store.put_known_policies(std::slice::from_ref(&row)).await.unwrap();
        if !run_sql(&store.url, &format!("UPDATE known_policies SET {damage}")) {
            return;
        }
        let error = store.known_policies_since(0, 9).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{damage}: {error}");
        assert!(run_sql(&store.url, "DELETE FROM known_policies"));
    }
}
