//! Items and reports: what is new, what is there already, what is a revision; lists, export, quarantine.

use mailward_core::rollout::Trust;
use mailward_core::{Finding, Severity};
use mailward_store::reports::{Content, DkimFacts, ReportFilter, Stored};

use crate::build::{at, believed, domain, from, hold, item, report, sts, sums};
use crate::engines::Opened;

fn counts(stored: &Stored) -> (u32, u32, u32) {
    (stored.new, stored.duplicates, stored.revisions)
}

async fn insert(store: &Opened, item: mailward_store::reports::IncomingItem) -> Stored {
    store.insert_items(&[item]).await.unwrap().remove(0)
}

async fn ids(store: &Opened, filter: ReportFilter) -> Vec<String> {
    store.reports(&filter, None, 100).await.unwrap().rows.into_iter().map(|r| r.report_id).collect()
}

pub async fn same_item_twice(store: Opened) {
    hold(&store, "d.example").await;
    let one = item("03-14", report("1", "03-13", &[sts("d.example", 100, 3)]));
    let first = insert(&store, one.clone()).await;
    assert_eq!((counts(&first), first.quarantined), ((1, 0, 0), false));
    let again = insert(&store, one.clone()).await;
    assert_eq!((counts(&again), again.item), ((0, 1, 0), first.item));
    let both = store.insert_items(&[one.clone(), one]).await.unwrap();
    assert_eq!(both.iter().map(counts).collect::<Vec<_>>(), [(0, 1, 0), (0, 1, 0)]);
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 3, 0, 0]);
    assert!(store.insert_items(&[]).await.unwrap().is_empty());
}

pub async fn same_report_in_another_item(store: Opened) {
    hold(&store, "d.example").await;
    let mail = item("03-14", report("1", "03-13", &[sts("d.example", 100, 3)]));
    let mut https = mail.clone();
    https.raw = b"other bytes".to_vec();
    https.source = "https".into();
    let stored = store.insert_items(&[mail, https]).await.unwrap();
    assert_eq!(stored.iter().map(counts).collect::<Vec<_>>(), [(1, 0, 0), (0, 1, 0)]);
    assert_ne!(stored[0].item, stored[1].item);
    assert_eq!(ids(&store, ReportFilter::default()).await, ["1"]);
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 3, 0, 0]);
}

pub async fn report_ids_of_two_submitters(store: Opened) {
    hold(&store, "d.example").await;
    let one = item("03-14", report("1", "03-13", &[sts("d.example", 100, 3)]));
    insert(&store, one.clone()).await;
    assert_eq!(counts(&insert(&store, from("s.example", one.clone())).await), (1, 0, 0));
    assert_eq!(counts(&insert(&store, from("S.Example", one)).await), (0, 1, 0), "submitters have no case");
    let rows = store.reports_by_id("1").await.unwrap();
    let submitters: Vec<_> = rows.iter().map(|r| r.submitter.as_str()).collect();
    assert_eq!(submitters, ["s.example", "r.example"]);
    assert_eq!(sums(&store, "d.example", "03-13").await, [200, 6, 0, 0]);
    // Another day or another domain under the same id is another report.
    insert(&store, item("03-15", report("1", "03-14", &[sts("d.example", 1, 0)]))).await;
    insert(&store, item("03-15", report("1", "03-14", &[sts("e.example", 1, 0)]))).await;
    assert_eq!(store.reports_by_id("1").await.unwrap().len(), 4);
    assert_eq!(store.reports_by_id("2").await.unwrap(), []);
}

pub async fn empty_report_id(store: Opened) {
    hold(&store, "d.example").await;
    let one = item("03-14", report("", "03-13", &[sts("d.example", 100, 3)]));
    let two = item("03-14", report("", "03-13", &[sts("d.example", 100, 4)]));
    let mut copy = one.clone();
    copy.raw.push(b' ');
    let stored = store.insert_items(&[one, two, copy]).await.unwrap();
    assert_eq!(stored.iter().map(counts).collect::<Vec<_>>(), [(1, 0, 0), (1, 0, 0), (0, 1, 0)]);
    assert_eq!(sums(&store, "d.example", "03-13").await, [200, 7, 0, 0]);
}

pub async fn copies_count_once(store: Opened) {
    hold(&store, "d.example").await;
    let stored = store
        .insert_items(&["1", "2"].map(|id| item("03-14", report(id, "03-13", &[sts("d.example", 100, 3)]))))
        .await
        .unwrap();
    assert_eq!(stored.iter().map(counts).collect::<Vec<_>>(), [(1, 0, 0), (0, 1, 0)]);
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 3, 0, 0]);
    assert_eq!(ids(&store, ReportFilter::default()).await, ["2", "1"], "a list shows every id");
    // The one that counted is revised: now its copy counts beside the revision.
    insert(&store, item("03-15", report("1", "03-13", &[sts("d.example", 50, 0)]))).await;
    assert_eq!(sums(&store, "d.example", "03-13").await, [150, 3, 0, 0]);
}

pub async fn lists_and_pages(store: Opened) {
    let rows = [
        ("1", "r.example", sts("d.example", 1, 0)),
        ("2", "r.example", sts("d.example", 1, 1)),
        ("3", "s.example", sts("d.example", 1, 2)),
        ("4", "s.example", sts("e.example", 1, 3)),
        ("5", "s.example", sts("e.example", 1, 0)),
    ];
    for (id, submitter, entry) in rows {
        insert(&store, from(submitter, item("03-14", report(id, "03-13", &[entry])))).await;
    }
    let d = || Some(domain("d.example"));
    let s = || Some("S.example".to_owned());
    for (filter, expected) in [
        ((None, None, false), "54321"),
        ((None, None, true), "432"),
        ((None, s(), false), "543"),
        ((None, s(), true), "43"),
        ((d(), None, false), "321"),
        ((d(), None, true), "32"),
        ((d(), s(), false), "3"),
        ((d(), Some("r.example".into()), true), "2"),
        ((Some(domain("nobody.example")), None, false), ""),
    ] {
        let (domain, submitter, failed_only) = filter;
        let filter = ReportFilter { domain, submitter, failed_only };
        assert_eq!(ids(&store, filter.clone()).await.concat(), expected, "{filter:?}");
        let (mut before, mut paged) = (None, String::new());
        loop {
            let page = store.reports(&filter, before, 2).await.unwrap();
            assert!(page.rows.len() <= 2);
            paged.extend(page.rows.iter().map(|r| r.report_id.as_str()));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(paged, expected, "{filter:?} in pages");
    }
    let row = store.reports_by_id("2").await.unwrap().remove(0);
    assert_eq!(
        (row.organization.as_str(), row.domains.as_slice()),
        ("Reporter Inc.", &["d.example".to_owned()][..])
    );
    assert_eq!((row.start, row.received_at), ("2026-03-13T00:00:00Z".parse().unwrap(), at("03-14")));
    assert_eq!((row.successful, row.failed, row.trust, row.superseded), (1, 1, Trust::DkimVerified, false));
}

pub async fn export_leaves_superseded_out(store: Opened) {
    for (id, passed) in [("1", 1), ("2", 2), ("1", 3), ("4", 4)] {
        insert(&store, item("03-14", report(id, "03-13", &[sts("d.example", passed, 0)]))).await;
    }
    let first = store.export(0, 2).await.unwrap();
    let second = store.export(first.next.unwrap(), 2).await.unwrap();
    assert_eq!(second.next, None);
    let exported: Vec<_> = first.rows.iter().chain(&second.rows).collect();
    let passed: Vec<_> = exported.iter().map(|r| r.row.successful).collect();
    assert_eq!(passed, [2, 3, 4]);
    assert_eq!(exported[0].report, report("2", "03-13", &[sts("d.example", 2, 0)]));
    let superseded: Vec<_> =
        store.reports_by_id("1").await.unwrap().into_iter().map(|r| r.superseded).collect();
    assert_eq!(superseded, [false, true]);
}

pub async fn quarantine_and_release(store: Opened) {
    hold(&store, "d.example").await;
    let readable = item("03-14", report("1", "03-13", &[sts("d.example", 100, 3)]));
    let why = Finding::new("REP-073", Severity::Error, "body", "not JSON");
    let mut bad = readable.clone();
    bad.content = Content::Quarantined;
    bad.findings = vec![why.clone()];
    let stored = insert(&store, bad.clone()).await;
    assert_eq!((counts(&stored), stored.quarantined), ((0, 0, 0), true));
    let mut other = bad.clone();
    other.raw = b"other garbage".to_vec();
    insert(&store, other).await;
    let again = insert(&store, bad).await;
    assert_eq!((again.item, counts(&again), again.quarantined), (stored.item, (0, 1, 0), true));
    let page = store.quarantine(None, 1).await.unwrap();
    assert_eq!((page.rows.len(), page.rows[0].size), (1, 13));
    let next = store.quarantine(page.next, 9).await.unwrap();
    assert_eq!(
        (next.rows.len(), next.rows[0].item, next.rows[0].findings.as_slice()),
        (1, stored.item, &[why][..])
    );
    assert_eq!(sums(&store, "d.example", "03-13").await, [0; 4]);
    assert!(store.quarantined(stored.item).await.unwrap().is_some());

    // A newer reader understands the same bytes.
    let released = insert(&store, readable.clone()).await;
    assert_eq!((released.item, counts(&released)), (stored.item, (1, 0, 0)));
    assert_eq!(store.quarantined(stored.item).await.unwrap(), None);
    assert_eq!(store.quarantine(None, 9).await.unwrap().rows.len(), 1);
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 3, 0, 0]);
    // And an older one does not take it back.
    let mut bad = readable;
    bad.content = Content::Quarantined;
    let again = insert(&store, bad).await;
    assert_eq!((counts(&again), again.quarantined), ((0, 1, 0), false));
    assert_eq!(sums(&store, "d.example", "03-13").await, [100, 3, 0, 0]);
    assert_eq!(store.quarantined(stored.item).await.unwrap(), None);
}

pub async fn old_items_go_and_reports_stay(store: Opened) {
    hold(&store, "d.example").await;
    // More than one piece of each, the old ones first, as they came.
    let readable = |received: &str, n: usize| {
        item(received, report(&format!("{received}-{n}"), "03-13", &[sts("d.example", 1, 0)]))
    };
    let quarantined = |received: &str, n: usize| {
        let mut bad = readable(received, n);
        bad.content = Content::Quarantined;
        bad.raw.extend(b"broken");
        bad
    };
    let both = |received: &'static str, count: usize| {
        (0..count).flat_map(move |n| [readable(received, n), quarantined(received, n)])
    };
    let old: Vec<_> = both("03-14", 600).collect();
    let young: Vec<_> = both("03-16", 3).collect();
    let old = store.insert_items(&old).await.unwrap();
    let young = store.insert_items(&young).await.unwrap();
    let counted = sums(&store, "d.example", "03-13").await;
    let waiting = store.quarantine(None, 2000).await.unwrap().rows.len();
    assert_eq!(waiting, 603);

    assert_eq!(store.drop_raw(at("03-15")).await.unwrap(), 600);
    assert_eq!(store.drop_raw(at("03-15")).await.unwrap(), 0);
    let has =
        async |stored: &mailward_store::reports::Stored| store.raw_item(stored.item).await.unwrap().is_some();
    assert!(!has(&old[0]).await && !has(&old[1198]).await, "the raw bytes of old reports are gone");
    assert!(has(&old[1]).await && has(&young[0]).await && has(&young[1]).await, "all else is there");
    assert_eq!(sums(&store, "d.example", "03-13").await, counted, "what was counted stays");
    assert_eq!(store.reports(&ReportFilter::default(), None, 2000).await.unwrap().rows.len(), 603);
    // The same bytes again are still the same report.
    let again = insert(&store, readable("03-14", 5)).await;
    assert_eq!((again.item, counts(&again)), (old[10].item, (0, 1, 0)));

    assert_eq!(store.drop_quarantined(at("03-15")).await.unwrap(), 600);
    assert_eq!(store.drop_quarantined(at("03-15")).await.unwrap(), 0);
    assert!(!has(&old[1]).await && has(&young[1]).await);
    let left: Vec<i64> = store.quarantine(None, 9).await.unwrap().rows.iter().map(|row| row.item).collect();
    assert_eq!(left, [young[5].item, young[3].item, young[1].item]);
}

pub async fn raw_bytes_are_unchanged(store: Opened) {
    let big: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (number, raw) in [big, b"From: <a@b>\r\n\0\xff".repeat(50), Vec::new()].into_iter().enumerate() {
        let mut one = item("03-14", report(&number.to_string(), "03-13", &[sts("d.example", 1, 0)]));
        one.raw = raw.clone();
        one.dkim = Some(DkimFacts {
            verdict: "pass".into(),
            signing_domain: Some("r.example".into()),
            selector: Some("s1".into()),
            key_services: None,
            detail: "d=r.example".into(),
        });
        one.findings = vec![Finding::new("REP-001", Severity::Info, "item", "zip")];
        let stored = insert(&store, one.clone()).await;
        assert!(store.raw_item(stored.item).await.unwrap() == Some(raw));
        let row = store.reports_by_id(&number.to_string()).await.unwrap().remove(0);
        let whole = store.report(row.number).await.unwrap().unwrap();
        assert_eq!((whole.dkim, whole.findings, whole.origin.as_str()), (one.dkim, one.findings, "new/1"));
        assert_eq!(whole.row, row);
    }
    assert_eq!(store.raw_item(999).await.unwrap(), None);
    assert_eq!(store.report(999).await.unwrap(), None);
}

pub async fn report_without_domain(store: Opened) {
    hold(&store, "d.example").await;
    let one = item("03-14", report("1", "03-13", &[]));
    assert_eq!(counts(&insert(&store, one.clone()).await), (1, 0, 0));
    assert_eq!(counts(&insert(&store, one).await), (0, 1, 0));
    let row = store.reports_by_id("1").await.unwrap().remove(0);
    assert_eq!((row.domains.len(), row.superseded), (0, false));
    assert_eq!(store.reporters(None, 9).await.unwrap(), [], "no domain held was reported on");
}

pub async fn hostile_report(store: Opened) {
    hold(&store, "d.example").await;
    let long = "\u{1f4a3}".repeat(5_000);
    let mut nasty =
        report("1", "03-13", &[sts("d.example", 1, 2).detail("certificate-expired", None, None, 2)]);
    for text in ["a\0b", "'; DROP TABLE reports; --", &long, "\u{202e}"] {
        nasty.report_id = text.into();
        nasty.organization_name = text.into();
        let details = &mut nasty.policies[0].failure_details[0];
        details.result_type = text.to_owned().into();
        details.receiving_mx_hostname = Some(text.into());
        details.failure_reason_code = Some(text.into());
        details.additional_information = Some(text.into());
        let mut one = believed(Trust::Unauthenticated, item("03-14", nasty.clone()));
        one.submitter = text.to_lowercase();
        one.origin = text.into();
        assert_eq!(counts(&insert(&store, one.clone()).await), (1, 0, 0));
        assert_eq!(counts(&insert(&store, one).await), (0, 1, 0));
        let rows = store.reports_by_id(text).await.unwrap();
        assert_eq!(rows.len(), 1);
        let whole = store.report(rows[0].number).await.unwrap().unwrap();
        assert_eq!(whole.report, nasty, "the report itself is kept to the byte");
        let filter = ReportFilter { submitter: Some(text.into()), ..ReportFilter::default() };
        assert_eq!(store.reports(&filter, None, 9).await.unwrap().rows.len(), 1);
    }
    assert_eq!(sums(&store, "d.example", "03-13").await, [0, 0, 4, 8]);
    let problems = store.problems(None, crate::build::day("03-01"), 9).await.unwrap();
    assert_eq!(problems.len(), 4);
    assert!(problems.iter().all(|p| p.reason.as_ref().unwrap().chars().count() <= 200));
}
