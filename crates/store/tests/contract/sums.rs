//! What reports add up to, and that sums stay true when reports are revised, copied or late.

use jiff::ToSpan;
use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::ResultType;
use mailward_store::reports::IncomingItem;
use mailward_store::sessions::{DomainLine, Problem, Reporter, SessionDay};

use crate::build::{Entry, at, believed, day, domain, from, hold, item, report, sts, sums};
use crate::engines::Opened;

async fn insert(store: &Opened, items: &[IncomingItem]) {
    store.insert_items(items).await.unwrap();
}

fn expired(passed: u64, failed: u64, mx: &'static str) -> Entry {
    sts("d.example", passed, failed).detail("certificate-expired", Some(mx), None, failed)
}

async fn problem_rows(store: &Opened) -> Vec<(String, String, u64, u64)> {
    let problems = store.problems(None, day("01-01"), 100).await.unwrap();
    let row = |p: Problem| (p.result_type.to_string(), p.mx.unwrap_or_default(), p.sessions, p.weak_sessions);
    problems.into_iter().map(row).collect()
}

pub async fn revision_takes_sums_back(store: Opened) {
    hold(&store, "d.example").await;
    let other = from("s.example", item("03-14", report("9", "03-13", &[expired(10, 1, "mx1")])));
    insert(&store, &[item("03-14", report("1", "03-13", &[expired(100, 5, "mx1")])), other]).await;
    assert_eq!(sums(&store, "d.example", "03-13").await, [110, 6, 0, 0]);
    let revised = item("03-15", report("1", "03-13", &[expired(90, 2, "mx2")]));
    let stored = store.insert_items(&[revised]).await.unwrap();
    assert_eq!((stored[0].new, stored[0].duplicates, stored[0].revisions), (0, 0, 1));
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 3, 0, 0]);
    let expected = [("certificate-expired", "mx2", 2, 0), ("certificate-expired", "mx1", 1, 0)];
    assert_eq!(problem_rows(&store).await, expected.map(|(a, b, c, d)| (a.into(), b.into(), c, d)));
    let problems = store.problems(None, day("01-01"), 9).await.unwrap();
    assert_eq!(problems[1].reporters, ["s.example"], "who took it back is not named any more");
    // And a revision to no failures at all.
    insert(&store, &[item("03-16", report("1", "03-13", &[sts("d.example", 95, 0)]))]).await;
    assert_eq!(sums(&store, "d.example", "03-13").await, [105, 1, 0, 0]);
    assert_eq!(problem_rows(&store).await.len(), 1);
    let days = store.session_days(&domain("d.example"), day("03-13"), day("03-13")).await.unwrap();
    assert_eq!(
        (days[0].failures.as_slice(), days[0].reporters),
        (&[(ResultType::CertificateExpired, 1)][..], 2)
    );
    let reporters = store.reporters(Some(&domain("d.example")), 9).await.unwrap();
    let reports: Vec<_> = reporters.iter().map(|r| (r.submitter.as_str(), r.reports)).collect();
    assert_eq!(reports, [("r.example", 1), ("s.example", 1)]);
}

pub async fn old_version_does_not_come_back(store: Opened) {
    hold(&store, "d.example").await;
    let old = item("03-14", report("1", "03-13", &[sts("d.example", 100, 5)]));
    let new = item("03-15", report("1", "03-13", &[sts("d.example", 90, 2)]));
    for batch in [vec![old.clone()], vec![new.clone()], vec![old.clone()], vec![old, new]] {
        insert(&store, &batch).await;
    }
    assert_eq!(sums(&store, "d.example", "03-13").await, [90, 2, 0, 0], "a folder imported twice");
    assert_eq!(store.reports_by_id("1").await.unwrap().len(), 2);
}

pub async fn late_report_changes_its_day(store: Opened) {
    hold(&store, "d.example").await;
    insert(&store, &[item("03-14", report("1", "03-13", &[expired(10, 1, "mx1")]))]).await;
    insert(&store, &[from("s.example", item("04-06", report("2", "03-13", &[expired(10, 1, "mx1")])))]).await;
    assert_eq!(sums(&store, "d.example", "03-13").await, [20, 2, 0, 0]);
    let days = store.session_days(&domain("d.example"), day("03-12"), day("03-14")).await.unwrap();
    let passed: Vec<_> = days.iter().map(|d| (d.day, d.successful)).collect();
    assert_eq!(passed, [(day("03-12"), 0), (day("03-13"), 20), (day("03-14"), 0)]);
    assert_eq!(store.session_days(&domain("d.example"), day("03-14"), day("03-12")).await.unwrap(), []);
    let all = (jiff::civil::Date::MIN, jiff::civil::Date::MAX);
    assert!(store.session_days(&domain("d.example"), all.0, all.1).await.unwrap().len() < 4_000);
}

pub async fn policy_types_are_not_added(store: Opened) {
    hold(&store, "d.example").await;
    let types = ["tlsa", "sts"].map(|policy_type| Entry { policy_type, ..expired(100, 7, "mx1") });
    insert(&store, &[item("03-14", report("1", "03-13", &types))]).await;
    // Entries of one type are added.
    insert(&store, &[item("03-14", report("2", "03-13", &[sts("d.example", 1, 0), sts("d.example", 2, 0)]))])
        .await;
    assert_eq!(sums(&store, "d.example", "03-13").await, [103, 7, 0, 0]);
    assert_eq!(problem_rows(&store).await, [("certificate-expired".to_owned(), "mx1".to_owned(), 7, 0)]);
    let days = store.session_days(&domain("d.example"), day("03-13"), day("03-13")).await.unwrap();
    assert_eq!(days[0].failures, [(ResultType::CertificateExpired, 7)]);
}

pub async fn domain_added_later_finds_its_reports(store: Opened) {
    let told = [expired(100, 5, "mx1"), sts("e.example", 7, 0)];
    insert(&store, &[item("03-14", report("1", "03-13", &told))]).await;
    hold(&store, "e.example").await;
    assert_eq!(sums(&store, "d.example", "03-13").await, [0; 4], "not held, not shown");
    assert_eq!(problem_rows(&store).await, []);
    assert_eq!(store.reporters(Some(&domain("d.example")), 9).await.unwrap(), []);
    assert_eq!(store.reporters(None, 9).await.unwrap()[0].reports, 1);
    hold(&store, "d.example").await;
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 5, 0, 0]);
    assert_eq!(problem_rows(&store).await.len(), 1);
    assert_eq!(store.domain_lines(day("03-14")).await.unwrap()[0].day, (100, 5));
    store.remove_domain(&domain("d.example"), "cli", "", at("03-20")).await.unwrap();
    assert_eq!(store.domain_lines(day("03-14")).await.unwrap().len(), 1);
    assert_eq!(problem_rows(&store).await, []);
    assert_eq!(store.reports_by_id("1").await.unwrap()[0].successful, 107, "the report itself stays");
}

pub async fn huge_counts_stay_sums(store: Opened) {
    hold(&store, "d.example").await;
    let most = 9_007_199_254_740_991;
    for batch in 0..4 {
        let items: Vec<_> = (0..400)
            .map(|n| {
                let id = format!("{batch}-{n}");
                let told = sts("d.example", most, most - n).detail(
                    "certificate-expired",
                    Some("mx"),
                    None,
                    most - n,
                );
                let one = item("03-14", report(&id, "03-13", &[told]));
                believed(Trust::Unauthenticated, from(&format!("{id}.example"), one))
            })
            .collect();
        insert(&store, &items).await;
    }
    let [passed, failed, weak_passed, weak_failed] = sums(&store, "d.example", "03-13").await;
    assert_eq!((passed, failed), (0, 0));
    assert_eq!((weak_passed, weak_failed), (1_600_000_000_000_000, 1_600_000_000_000_000));
    assert_eq!(store.problems(None, day("03-01"), 9).await.unwrap()[0].weak_sessions, 1_600_000_000_000_000);
    assert_eq!(store.problems(None, day("03-01"), 9).await.unwrap()[0].reporters.len(), 20);
    assert_eq!(store.domain_lines(day("03-14")).await.unwrap()[0].day, (0, 0));
    let row = &store.reports(&Default::default(), None, 1).await.unwrap().rows[0];
    assert_eq!((row.successful, row.failed), (most, most - 399), "the report itself tells what it told");
    // Taking back leaves what was there before.
    let same = from("3-0.example", item("03-15", report("3-0", "03-13", &[sts("d.example", 1, 0)])));
    insert(&store, &[same]).await;
    assert_eq!(
        sums(&store, "d.example", "03-13").await,
        [1, 0, 1_599_000_000_000_000, 1_599_000_000_000_000]
    );
}

/// Everything that reads sums, to compare two stores.
async fn all_sums(store: &Opened) -> (Vec<SessionDay>, Vec<Problem>, Vec<Reporter>, Vec<DomainLine>) {
    (
        store.session_days(&domain("d.example"), day("03-01"), day("03-31")).await.unwrap(),
        store.problems(None, day("03-01"), 100).await.unwrap(),
        store.reporters(None, 100).await.unwrap(),
        store.domain_lines(day("03-20")).await.unwrap(),
    )
}

/// Versions, copies, two submitters and all trusts, at random but always the same.
fn jumble() -> Vec<IncomingItem> {
    let mut seed = 7u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let trusts = [Trust::Unverified, Trust::Unauthenticated, Trust::Trusted, Trust::DkimVerified];
    (0..300)
        .map(|_| {
            let on = ["03-11", "03-12", "03-13"][next(3) as usize];
            let mx = ["mx1", "mx2"][next(2) as usize];
            let one = report(
                &next(12).to_string(),
                on,
                &[expired(next(3), next(3), mx), sts("e.example", next(2), 0)],
            );
            let received = ["03-14", "03-15", "03-16"][next(3) as usize];
            let submitter = ["r.example", "s.example"][next(2) as usize];
            believed(trusts[next(4) as usize], from(submitter, item(received, one)))
        })
        .collect()
}

pub async fn one_batch_is_like_many(store: Opened) {
    hold(&store, "d.example").await;
    hold(&store, "e.example").await;
    let items = jumble();
    for one in &items {
        insert(&store, std::slice::from_ref(one)).await;
    }
    let single = all_sums(&store).await;
    // Again: nothing changes.
    insert(&store, &items).await;
    assert_eq!(all_sums(&store).await, single);
    // Counted anew from the lists: each current content once, by its trust.
    let rows = store.reports(&Default::default(), None, 1_000).await.unwrap().rows;
    let evidence: u64 = single.0.iter().map(|d| d.successful).sum();
    assert!(evidence > 0 && single.0.iter().any(|d| d.weak_successful > 0), "the jumble tests both");
    assert!(rows.iter().any(|r| r.superseded) && single.1.len() == 2);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/other.db", folder.path().display());
    let other = Opened { store: mailward_store::Store::open(&url).await.unwrap(), url };
    hold(&other, "d.example").await;
    hold(&other, "e.example").await;
    insert(&other, &items).await;
    let batch = all_sums(&other).await;
    assert_eq!(batch.0, single.0);
    assert_eq!(batch.1, single.1);
    assert_eq!(batch.2, single.2);
    assert_eq!(batch.3, single.3);
    other.close().await;
}

pub async fn problems_group_and_sort(store: Opened) {
    hold(&store, "d.example").await;
    hold(&store, "e.example").await;
    let told = |mx, reason, sessions| {
        sts("d.example", 0, sessions).detail("validation-failure", mx, reason, sessions)
    };
    insert(
        &store,
        &[
            item("03-02", report("1", "03-01", &[told(Some("mx1"), Some("timeout"), 3)])),
            item("03-12", report("2", "03-11", &[told(Some("mx1"), Some("timeout"), 4)])),
            from("s.example", item("03-12", report("3", "03-12", &[told(Some("mx1"), Some("timeout"), 5)]))),
            item("03-12", report("4", "03-12", &[told(None, None, 20)])),
            believed(
                Trust::Unauthenticated,
                from("t.example", item("03-12", report("5", "03-12", &[told(Some("mx2"), None, 99)]))),
            ),
            item(
                "03-12",
                report(
                    "6",
                    "03-12",
                    &[sts("e.example", 0, 8).detail("tlsa-invalid", Some("mx1"), Some(""), 8)],
                ),
            ),
            item(
                "03-02",
                report("7", "03-02", &[sts("e.example", 0, 8).detail("old-trouble", None, None, 8)]),
            ),
        ],
    )
    .await;
    let problems = store.problems(None, day("03-05"), 100).await.unwrap();
    let rows: Vec<_> = problems
        .iter()
        .map(|p| (p.domain.as_str(), p.mx.as_deref(), p.reason.as_deref(), p.sessions, p.weak_sessions))
        .collect();
    assert_eq!(
        rows,
        [
            ("d.example", None, None, 20, 0),
            ("d.example", Some("mx1"), Some("timeout"), 9, 0),
            ("e.example", Some("mx1"), None, 8, 0),
            ("d.example", Some("mx2"), None, 0, 99),
        ]
    );
    assert_eq!((problems[1].first_day, problems[1].last_day), (day("03-01"), day("03-12")));
    assert_eq!(problems[1].reporters, ["r.example", "s.example"]);
    assert_eq!(store.problems(None, day("03-05"), 1).await.unwrap(), problems[..1]);
    let of_e = store.problems(Some(&domain("e.example")), day("03-01"), 9).await.unwrap();
    assert_eq!(
        of_e.iter().map(|p| p.result_type.as_str()).collect::<Vec<_>>(),
        ["tlsa-invalid", "old-trouble"]
    );
    assert_eq!(store.problems(Some(&domain("x.example")), day("03-01"), 9).await.unwrap(), []);
}

/// The days that [`two_weeks_of_problems`] tells of: a Sunday to a Tuesday.
fn two_weeks() -> Vec<String> {
    (1..=17).map(|n| format!("03-{n:02}")).collect()
}

/// A report of each day by `r.example`, and a weak one by `w.example`. Each has its own bit, so that a sum
/// tells which days are in it.
pub async fn two_weeks_of_problems(store: &Opened) {
    let mut items = Vec::new();
    for (at, day) in two_weeks().iter().enumerate() {
        let told = |bits: u64| {
            let failed = sts("d.example", 1, bits).detail("certificate-expired", Some("mx1"), None, bits);
            item("03-20", report(&format!("{at}"), day, &[failed]))
        };
        items.push(told(1 << at));
        items.push(believed(Trust::Unauthenticated, from("w.example", told(1 << (at + 20)))));
    }
    insert(store, &items).await;
}

/// Sums are kept by week; a window begins on any day of one.
pub async fn windows_of_problems_begin_on_any_day(store: Opened) {
    hold(&store, "d.example").await;
    two_weeks_of_problems(&store).await;
    let days = two_weeks();
    let mut counted = vec![true; days.len()];
    for round in ["as told", "after a day was taken back"] {
        for since in 0..days.len() {
            let of_day = |at: usize, shift: usize| if counted[at] { 1_u64 << (at + shift) } else { 0 };
            let sum = |shift: usize| (since..days.len()).map(|at| of_day(at, shift)).sum::<u64>();
            let weak: u64 = (since..days.len()).map(|at| 1_u64 << (at + 20)).sum();
            for of in [None, Some(&domain("d.example"))] {
                let problems = store.problems(of, day(&days[since]), 9).await.unwrap();
                let [problem] = problems.as_slice() else { panic!("{round}: {problems:?}") };
                let why = format!("{round}, since {}, of {of:?}", days[since]);
                assert_eq!((problem.sessions, problem.weak_sessions), (sum(0), weak), "{why}");
                assert_eq!((problem.first_day, problem.last_day), (day("03-01"), day("03-17")), "{why}");
            }
        }
        assert_eq!(store.problems(None, day("03-18"), 9).await.unwrap(), [], "{round}: nothing since");
        insert(&store, &[item("03-21", report("9", &days[9], &[sts("d.example", 1, 0)]))]).await;
        counted[9] = false;
    }
    // Days without sessions any more are neither the first nor the last.
    for at in [0, 16] {
        let none = || report(&format!("{at}"), &days[at], &[sts("d.example", 1, 0)]);
        let weak = believed(Trust::Unauthenticated, from("w.example", item("03-22", none())));
        insert(&store, &[item("03-22", none()), weak]).await;
    }
    let problems = store.problems(None, day("03-01"), 9).await.unwrap();
    assert_eq!((problems[0].first_day, problems[0].last_day), (day("03-02"), day("03-16")));
    assert_eq!(store.problems(None, day("03-17"), 9).await.unwrap(), [], "told of once, and taken back");
}

pub async fn lines_of_the_first_page(store: Opened) {
    hold(&store, "d.example").await;
    hold(&store, "a.example").await;
    let today = day("03-29");
    for back in [0i32, 1, 2, 7, 8, 28, 29] {
        let on = today.checked_sub(back.days()).unwrap();
        let on = on.strftime("%m-%d").to_string();
        let told = sts("d.example", 10, u64::try_from(back).unwrap());
        let weak = believed(
            Trust::Unauthenticated,
            from("w.example", item("03-29", report(&format!("w{back}"), &on, &[sts("d.example", 1_000, 0)]))),
        );
        insert(&store, &[item("03-29", report(&format!("{back}"), &on, &[told])), weak]).await;
    }
    insert(&store, &[from("old.example", item("03-29", report("x", "03-21", &[sts("d.example", 0, 0)])))])
        .await;
    let lines = store.domain_lines(today).await.unwrap();
    assert_eq!(lines.iter().map(|l| l.domain.as_str()).collect::<Vec<_>>(), ["a.example", "d.example"]);
    let line = &lines[1];
    assert_eq!((line.day, line.week, line.month), ((10, 1), (30, 10), (50, 46)));
    let mut sparkline = vec![0; 28];
    for (at, failed) in [(27, 1), (26, 2), (21, 7), (20, 8), (0, 28)] {
        sparkline[at] = failed;
    }
    assert_eq!(line.failed_by_day, sparkline);
    assert_eq!(
        (line.reporters, line.open, line.observed_at),
        (1, (0, 0), None),
        "heard: evidence, last 7 days"
    );
    assert_eq!((lines[0].day, lines[0].failed_by_day.len(), lines[0].reporters), ((0, 0), 28, 0));
}

pub async fn reporters_last_heard_first(store: Opened) {
    hold(&store, "d.example").await;
    hold(&store, "e.example").await;
    let mut renamed = report("2", "03-14", &[sts("e.example", 1, 0)]);
    renamed.organization_name = "Renamed".into();
    insert(
        &store,
        &[
            believed(
                Trust::Unauthenticated,
                from("w.example", item("03-15", report("3", "03-12", &[sts("d.example", 1, 0)]))),
            ),
            item("03-16", renamed),
            // Stored later, received earlier.
            item("03-14", report("1", "03-13", &[sts("d.example", 1, 0)])),
        ],
    )
    .await;
    let row = |r: &Reporter| {
        (r.submitter.clone(), r.organization.clone(), r.trust, r.reports, r.last_received, r.last_day)
    };
    let all = store.reporters(None, 9).await.unwrap();
    assert_eq!(
        all.iter().map(row).collect::<Vec<_>>(),
        [
            ("r.example".into(), "Renamed".into(), Trust::DkimVerified, 2, at("03-16"), day("03-14")),
            (
                "w.example".into(),
                "Reporter Inc.".into(),
                Trust::Unauthenticated,
                1,
                at("03-15"),
                day("03-12")
            ),
        ]
    );
    let of_d = store.reporters(Some(&domain("d.example")), 9).await.unwrap();
    assert_eq!(of_d.iter().map(|r| r.submitter.as_str()).collect::<Vec<_>>(), ["w.example", "r.example"]);
    assert_eq!(of_d[1].organization, "Reporter Inc.");
    assert_eq!(store.reporters(None, 1).await.unwrap().len(), 1);
}
