//! Outgoing reports: one a day and domain, each target with one node at a time, refusals remembered.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use mailward_core::tlsrpt::PolicyType;
use mailward_core::tlsrpt::datagram::SessionPolicy;
use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_store::outgoing::{
    ClaimLimits, Claimed, MAIL_LANE, Made, NewOutgoing, NewTarget, Outcome, OutgoingCounts, OutgoingDay,
    OutgoingFilter, OutgoingState, REFUSALS_IN_A_ROW, Suppression,
};
use mailward_store::tallies::{Increment, TallySource};
use mailward_store::{Store, StoreError};

use crate::build::{at, day, domain};
use crate::engines::Opened;

const LIMITS: ClaimLimits =
    ClaimLimits { lease: SignedDuration::from_mins(5), targets: 100, mails: 50, per_host: 2 };

async fn tally(store: &Store, on: &str, name: &str) {
    let increment = Increment {
        day: day(on),
        domain: domain(name),
        record: format!("v=TLSRPTv1; rua=mailto:tls@{name}"),
        source: TallySource::MailServer,
        policy: SessionPolicy {
            policy_type: PolicyType::NoPolicyFound,
            policy_domain: name.parse().unwrap(),
            policy_string: vec![],
            mx_host: vec![],
        },
        successful: 3,
        failed: 1,
        failures: vec![],
    };
    store.add_tallies(&[increment]).await.unwrap();
}

fn mail(name: &str) -> NewTarget {
    NewTarget {
        uri: format!("mailto:tls@{name}"),
        host: name.to_owned(),
        lane: MAIL_LANE.into(),
        first_try: at("03-14"),
    }
}

fn https(host: &str, path: &str) -> NewTarget {
    let uri = format!("https://{host}/{path}");
    NewTarget { uri, host: host.to_owned(), lane: host.to_owned(), first_try: at("03-14") }
}

fn report(on: &str, name: &str, unique: &str, targets: Vec<NewTarget>) -> NewOutgoing {
    NewOutgoing {
        day: day(on),
        domain: domain(name),
        report_id: format!("2026{on}.{name}.{unique}@sender.example"),
        made: Made::Report,
        detail: String::new(),
        successful: 3,
        failed: 1,
        gzip: vec![0x1f, 0x8b, 0, 255],
        targets,
    }
}

/// A tally and the report of it, made at once.
async fn made(store: &Store, on: &str, name: &str, targets: Vec<NewTarget>) {
    tally(store, on, name).await;
    let new = report(on, name, "1", targets);
    assert_eq!(store.make_outgoing(&[new], at("03-14")).await.unwrap(), 1);
}

fn outcome(state: TargetState, next: Option<Timestamp>, answer: &str) -> Outcome {
    Outcome { state, next_at: next, answer: answer.into() }
}

async fn claim(store: &Store, who: i64, now: Timestamp) -> Vec<Claimed> {
    store.claim_outgoing(who, LIMITS, now).await.unwrap()
}

pub async fn a_day_is_reported_once(store: Opened) {
    tally(&store, "03-13", "a.example").await;
    tally(&store, "03-13", "b.example").await;
    let a = report("03-13", "a.example", "1", vec![mail("a.example"), https("r.example", "x")]);
    assert_eq!(store.make_outgoing(std::slice::from_ref(&a), at("03-14")).await.unwrap(), 1);
    let waiting = store.tally_domains(day("03-14"), None, 9).await.unwrap();
    assert_eq!(waiting.iter().map(|(_, d, _)| d.as_str()).collect::<Vec<_>>(), ["b.example"]);

    // Another node was as fast: its report, under another id, is not kept. The other one is.
    let again = report("03-13", "a.example", "2", vec![mail("a.example")]);
    let mut b = report("03-13", "b.example", "1", vec![]);
    (b.made, b.detail, b.gzip) = (Made::NoRecord, "none \0 there".into(), vec![]);
    assert_eq!(store.make_outgoing(&[again, b], at("03-15")).await.unwrap(), 1);
    assert_eq!(store.tally_domains(day("03-14"), None, 9).await.unwrap(), []);

    let page = store.outgoing_reports(&OutgoingFilter::default(), None, 9).await.unwrap();
    let told: Vec<_> = page
        .rows
        .iter()
        .map(|r| (r.domain.as_str(), r.report_id.as_str(), r.made, r.detail.as_str(), r.state))
        .collect();
    assert_eq!(
        told,
        [
            (
                "b.example",
                "202603-13.b.example.1@sender.example",
                Made::NoRecord,
                "none \u{fffd} there",
                None
            ),
            ("a.example", a.report_id.as_str(), Made::Report, "", Some(TargetState::Due)),
        ]
    );
    let row = &page.rows[1];
    assert_eq!((row.day, row.made_at, row.successful, row.failed), (day("03-13"), at("03-14"), 3, 1));
    assert_eq!(
        row.targets.iter().map(|t| (t.uri.as_str(), t.next_at)).collect::<Vec<_>>(),
        [("mailto:tls@a.example", Some(at("03-14"))), ("https://r.example/x", Some(at("03-14")))]
    );
    let whole = store.outgoing_report(row.number).await.unwrap().unwrap();
    assert_eq!((&whole.row, &whole.gzip), (row, &a.gzip));
    assert_eq!(store.outgoing_by_id(&a.report_id).await.unwrap(), Some(row.number));
    assert_eq!(store.outgoing_by_id("none").await.unwrap(), None);

    assert_eq!(store.drop_outgoing(day("03-13")).await.unwrap(), 0);
    assert_eq!(store.drop_outgoing(day("03-14")).await.unwrap(), 2);
    assert_eq!(claim(&store, 1, at("03-20")).await, []);
}

pub async fn targets_are_claimed_by_one(store: Opened) {
    made(&store, "03-13", "a.example", vec![mail("a.example"), https("r.example", "x")]).await;
    made(&store, "03-13", "b.example", vec![https("r.example", "y"), https("r.example", "z")]).await;
    let (now, soon) = (at("03-14"), at("03-14") + SignedDuration::from_mins(2));
    assert_eq!(claim(&store, 1, now - SignedDuration::from_secs(1)).await, [], "not yet");
    let first = claim(&store, 1, now).await;
    let uris: Vec<_> = first.iter().map(|t| t.uri.as_str()).collect();
    assert_eq!(uris, ["mailto:tls@a.example", "https://r.example/x", "https://r.example/y"], "two a host");
    let other = Store::open(&store.url).await.unwrap();
    let second = claim(&other, 2, soon).await;
    assert_eq!(second.iter().map(|t| t.uri.as_str()).collect::<Vec<_>>(), ["https://r.example/z"]);

    // What came of it, told by whom it belongs to.
    let sent = outcome(TargetState::Sent, None, "250 ok");
    assert!(!other.finish_outgoing(2, &first[0], &sent, soon).await.unwrap(), "not theirs");
    assert!(store.finish_outgoing(1, &first[0], &sent, soon).await.unwrap());
    assert!(!store.finish_outgoing(1, &first[0], &sent, soon).await.unwrap(), "told already");
    let wait = outcome(TargetState::Waiting, Some(at("03-15")), "503");
    assert!(store.finish_outgoing(1, &first[1], &wait, soon).await.unwrap());
    store.release_outgoing(1, &first[2..]).await.unwrap();
    let third = claim(&other, 2, soon).await;
    assert_eq!(third.iter().map(|t| t.uri.as_str()).collect::<Vec<_>>(), ["https://r.example/y"]);

    // A node that ended without a word: after the lease somebody else has them.
    let late = soon + SignedDuration::from_mins(6);
    let fourth = claim(&store, 3, late).await;
    assert_eq!(
        fourth.iter().map(|t| t.uri.as_str()).collect::<Vec<_>>(),
        ["https://r.example/y", "https://r.example/z"]
    );
    assert!(!other.finish_outgoing(2, &third[0], &sent, late).await.unwrap(), "its time is over");

    // The only node of a database need not wait.
    store.release_outgoing(3, &fourth[1..]).await.unwrap();
    assert_eq!(claim(&store, 5, late).await.len(), 1);
    assert_eq!(store.free_outgoing().await.unwrap(), 2);
    let fourth = claim(&store, 3, late).await;
    assert_eq!(fourth.len(), 2);

    // A clock that was years ahead must not make anything wait for years.
    let ahead = outcome(TargetState::Waiting, Some(at("12-01")), "503");
    assert!(store.finish_outgoing(3, &fourth[0], &ahead, late).await.unwrap());
    assert_eq!(claim(&store, 3, late).await.len(), 1);

    let of = |state| OutgoingFilter { state: Some(OutgoingState::Of(state)), ..Default::default() };
    let sent = store.outgoing_reports(&of(TargetState::Sent), None, 9).await.unwrap().rows;
    assert_eq!(sent.iter().map(|r| r.domain.as_str()).collect::<Vec<_>>(), ["a.example"], "one suffices");
    let target = &sent[0].targets[1];
    assert_eq!((target.state, target.tries, target.answer.as_str()), (TargetState::Waiting, 1, "503"));
    assert_eq!((target.first_tried_at, target.next_at), (Some(soon), Some(at("03-15"))));
    let counts = OutgoingCounts { sent: 1, waiting: 1, ..Default::default() };
    assert_eq!(store.outgoing_days().await.unwrap(), [OutgoingDay { day: day("03-13"), counts }]);

    // The operator may hurry.
    let number = sent[0].number;
    assert_eq!(store.send_outgoing_again(number, "cli", late).await.unwrap(), 1, "what was sent stays");
    let hurried = claim(&store, 4, late).await;
    assert!(hurried.iter().any(|t| t.uri == "https://r.example/x" && t.tries == 0));
    let missing = store.send_outgoing_again(99, "cli", late).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound(_)), "{missing}");
    other.close().await;
}

pub async fn refusals_in_a_row_suppress(store: Opened) {
    let uri = "https://r.example/x";
    let refuse = async |number: usize, state: TargetState| {
        let name = format!("d{number}.example");
        made(&store, "03-13", &name, vec![https("r.example", "x")]).await;
        let now = at("03-14") + SignedDuration::from_secs(number as i64);
        let claimed = claim(&store, 1, now).await;
        assert_eq!(claimed.len(), 1, "{number}");
        assert!(store.finish_outgoing(1, &claimed[0], &outcome(state, None, "410 gone"), now).await.unwrap());
        store.outgoing_suppressions(now).await.unwrap().len()
    };
    assert_eq!(refuse(1, TargetState::Refused).await, 0);
    assert_eq!(refuse(2, TargetState::Sent).await, 0);
    for number in 3..2 + REFUSALS_IN_A_ROW {
        assert_eq!(refuse(number, TargetState::GivenUp).await, 0, "{number}");
    }
    assert_eq!(refuse(2 + REFUSALS_IN_A_ROW, TargetState::Refused).await, 1);
    let now = at("03-15");
    let all = store.outgoing_suppressions(now).await.unwrap();
    assert_eq!((all[0].what.as_str(), all[0].author.as_str()), (uri, "reporter"));
    assert!(all[0].reason.contains("410 gone"), "{}", all[0].reason);

    // The next report is not even tried.
    made(&store, "03-13", "next.example", vec![https("r.example", "x"), mail("next.example")]).await;
    let claimed = claim(&store, 1, now).await;
    assert_eq!(claimed.iter().map(|t| t.uri.as_str()).collect::<Vec<_>>(), ["mailto:tls@next.example"]);
    store.release_outgoing(1, &claimed).await.unwrap();

    // Lifted, it takes as many again.
    store.unsuppress_outgoing(uri, "cli", "mended", now).await.unwrap();
    assert_eq!(store.outgoing_suppressions(now).await.unwrap(), []);
    let again = store.unsuppress_outgoing(uri, "cli", "mended", now).await.unwrap_err();
    assert!(matches!(again, StoreError::NotFound(_)), "{again}");

    // Our own mail server that is down for a day is nobody's refusal.
    for number in 20..24 {
        let name = format!("d{number}.example");
        made(&store, "03-13", &name, vec![mail("m.example")]).await;
        let later = now + SignedDuration::from_secs(number);
        for target in claim(&store, 1, later).await {
            let given_up = outcome(TargetState::GivenUp, None, "connection refused");
            assert!(store.finish_outgoing(1, &target, &given_up, later).await.unwrap());
        }
    }
    assert_eq!(store.outgoing_suppressions(at("03-16")).await.unwrap(), []);
    let acts: Vec<_> =
        store.log(None, None, 9).await.unwrap().rows.into_iter().map(|e| (e.act, e.detail)).collect();
    assert_eq!(
        acts,
        [("unsuppress-reports".to_owned(), uri.to_owned()), ("suppress-reports".to_owned(), uri.to_owned())]
    );
}

pub async fn operators_suppress(store: Opened) {
    let until = Some(at("03-20"));
    let set = |what: &str, until| Suppression {
        what: what.into(),
        until,
        reason: "asked us to stop".into(),
        author: "cli".into(),
        set_at: at("03-14"),
    };
    store.suppress_outgoing(&set("r.example", until)).await.unwrap();
    store.suppress_outgoing(&set("mailto:tls@a.example", None)).await.unwrap();
    let names: HashSet<&str> = ["r.example", "mailto:tls@a.example", "b.example"].into();
    let held = store.suppressed_among(names.clone(), at("03-19")).await.unwrap();
    assert_eq!(held, HashSet::from(["r.example".to_owned(), "mailto:tls@a.example".to_owned()]));
    let held = store.suppressed_among(names, at("03-20")).await.unwrap();
    assert_eq!(held, HashSet::from(["mailto:tls@a.example".to_owned()]));
    assert_eq!(
        store.outgoing_suppressions(at("03-14")).await.unwrap(),
        [set("mailto:tls@a.example", None), set("r.example", until)]
    );
    made(&store, "03-13", "a.example", vec![mail("a.example"), https("r.example", "x")]).await;
    let rows = store.outgoing_reports(&OutgoingFilter::default(), None, 9).await.unwrap().rows;
    assert_eq!(rows[0].state, Some(TargetState::Suppressed));
    assert_eq!(claim(&store, 1, at("03-14")).await, []);

    // One that was claimed before it was suppressed costs no try.
    made(&store, "03-13", "c.example", vec![mail("c.example")]).await;
    let claimed = claim(&store, 1, at("03-14")).await;
    let left_out = outcome(TargetState::Suppressed, None, "suppressed");
    assert!(store.finish_outgoing(1, &claimed[0], &left_out, at("03-14")).await.unwrap());
    let row = &store.outgoing_reports(&OutgoingFilter::default(), None, 1).await.unwrap().rows[0];
    assert_eq!((row.state, row.targets[0].tries), (Some(TargetState::Suppressed), 0));
}

pub async fn outgoing_pages(store: Opened) {
    for number in 0..5 {
        let name = if number % 2 == 0 { "a.example" } else { "b.example" };
        made(&store, &format!("03-0{}", number + 1), name, vec![mail(name)]).await;
    }
    let due = Some(OutgoingState::Of(TargetState::Due));
    let filter = OutgoingFilter { domain: Some(domain("a.example")), state: due, ..Default::default() };
    let first = store.outgoing_reports(&filter, None, 2).await.unwrap();
    let second = store.outgoing_reports(&filter, first.next, 2).await.unwrap();
    let days = |rows: &[mailward_store::outgoing::OutgoingRow]| {
        rows.iter().map(|r| r.day.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(days(&first.rows), ["2026-03-05", "2026-03-03"]);
    assert_eq!((days(&second.rows), second.next), (vec!["2026-03-01".to_owned()], None));
    assert!(first.rows.iter().chain(&second.rows).all(|r| r.targets.len() == 1));
}

pub async fn outgoing_by_day_and_state(store: Opened) {
    for name in ["a.example", "b.example", "c.example"] {
        made(&store, "03-12", name, vec![mail(name)]).await;
        made(&store, "03-13", name, vec![mail(name)]).await;
    }
    tally(&store, "03-13", "d.example").await;
    let none = NewOutgoing { made: Made::NoRecord, ..report("03-13", "d.example", "1", vec![]) };
    store.make_outgoing(&[none], at("03-14")).await.unwrap();
    for target in claim(&store, 1, at("03-14")).await {
        let state = if target.uri.contains("a.example") { TargetState::Sent } else { TargetState::Waiting };
        let next = (state == TargetState::Waiting).then(|| at("03-15"));
        assert!(store.finish_outgoing(1, &target, &outcome(state, next, "x"), at("03-14")).await.unwrap());
    }
    let last = OutgoingCounts { sent: 1, waiting: 2, none: 1, ..Default::default() };
    let before = OutgoingCounts { sent: 1, waiting: 2, ..Default::default() };
    let days = store.outgoing_days().await.unwrap();
    let expected = [(day("03-13"), last), (day("03-12"), before)];
    assert_eq!(days.iter().map(|d| (d.day, d.counts)).collect::<Vec<_>>(), expected);
    assert_eq!((last.all(), last.with(&before).waiting), (4, 4));

    let (yesterday, sent) = (Some(day("03-13")), Some(OutgoingState::Of(TargetState::Sent)));
    let of = |name: Option<&str>, day, state| OutgoingFilter { domain: name.map(domain), day, state };
    for (filter, found, why) in [
        (of(None, yesterday, None), &["d", "c", "b", "a"][..], "a day"),
        (
            of(None, yesterday, Some(OutgoingState::Of(TargetState::Waiting))),
            &["c", "b"],
            "a day and a state",
        ),
        (of(None, None, Some(OutgoingState::NoReport)), &["d"], "no report"),
        (of(None, None, sent), &["a", "a"], "a state"),
        (of(Some("a.example"), yesterday, None), &["a"], "a domain and a day"),
        (of(Some("a.example"), None, sent), &["a", "a"], "a domain and a state"),
        (of(Some("d.example"), yesterday, Some(OutgoingState::NoReport)), &["d"], "all three"),
        (of(Some("d.example"), yesterday, sent), &[], "all three, nothing"),
        (of(None, Some(day("03-14")), None), &[], "another day"),
    ] {
        let whole = store.outgoing_reports(&filter, None, 9).await.unwrap().rows;
        let names: Vec<&str> = whole.iter().filter_map(|r| r.domain.as_str().split('.').next()).collect();
        assert_eq!(names, found, "{why}");
        // The same in pages of one.
        let (mut next, mut pages) = (None, Vec::new());
        for _ in found {
            let page = store.outgoing_reports(&filter, next, 1).await.unwrap();
            next = page.next;
            pages.extend(page.rows);
        }
        assert_eq!((pages, next), (whole, None), "{why}");
    }

    // A report that is made due again leaves its sum, and days that are dropped take theirs along.
    let waiting = of(Some("b.example"), yesterday, None);
    let number = store.outgoing_reports(&waiting, None, 1).await.unwrap().rows[0].number;
    assert_eq!(store.send_outgoing_again(number, "cli", at("03-14")).await.unwrap(), 1);
    let hurried = OutgoingCounts { due: 1, waiting: 1, ..last };
    assert_eq!(store.outgoing_days().await.unwrap()[0].counts, hurried);
    store.drop_outgoing(day("03-13")).await.unwrap();
    let days = store.outgoing_days().await.unwrap();
    assert_eq!(days.iter().map(|d| (d.day, d.counts)).collect::<Vec<_>>(), [(day("03-13"), hurried)]);
}

pub async fn nodes_never_share_a_target(store: Opened) {
    for number in 0..40 {
        let name = format!("d{number}.example");
        made(&store, "03-13", &name, vec![mail(&name)]).await;
    }
    let nodes = (1..=4).map(|who| {
        let url = store.url.clone();
        tokio::spawn(async move {
            let node = Store::open(&url).await.unwrap();
            let mut mine = Vec::new();
            loop {
                let limits = ClaimLimits { mails: 3, ..LIMITS };
                let claimed = node.claim_outgoing(who, limits, at("03-14")).await.unwrap();
                if claimed.is_empty() {
                    break;
                }
                for target in &claimed {
                    let sent = outcome(TargetState::Sent, None, "250");
                    assert!(node.finish_outgoing(who, target, &sent, at("03-14")).await.unwrap());
                }
                mine.extend(claimed.into_iter().map(|t| t.uri));
            }
            node.close().await;
            mine
        })
    });
    let mut all = Vec::new();
    for node in nodes.collect::<Vec<_>>() {
        all.extend(node.await.unwrap());
    }
    assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (40, 40));
}
