//! The gate, by worked examples and by everything that must not flip it.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::audit::example::*;
use crate::audit::probe_round;
use crate::dns::DnsError;
use crate::facts::{FetchCause, ProbeOutcome};

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn reported(day: &str, reporter: &str, trust: Trust, successful: u64, failed: u64) -> ReportedDay {
    ReportedDay { day: date(day), reporter: reporter.into(), trust, successful, failed }
}

fn failure(
    day: &str,
    reporter: &str,
    trust: Trust,
    result_type: ResultType,
    mx: &str,
    sessions: u64,
) -> ReportedFailure {
    let mx = (!mx.is_empty()).then(|| mx.to_owned());
    ReportedFailure {
        day: date(day),
        reporter: reporter.into(),
        trust,
        result_type,
        mx,
        reason: None,
        sessions,
    }
}

/// Hourly rounds of the last eight days, all green.
fn green_rounds(facts: &DomainFacts, now: Timestamp) -> Vec<ProbeRound> {
    let round = probe_round(facts, now);
    (0..=8 * 24)
        .rev()
        .map(|hours| ProbeRound { at: now - SignedDuration::from_hours(hours), ..round.clone() })
        .collect()
}

/// Worked example 2: testing since 2026-03-02 10:06, two reporters, 908 sessions, no failure.
fn open() -> Evidence {
    let mut facts = perfect();
    serve(&mut facts, &policy_text("testing", &["mx1.example.com", "mx2.example.com"], 86_400));
    facts.observed_at = time("2026-03-16T11:30:00Z");
    Evidence {
        domain: facts.domain.clone(),
        mode: Some(Mode::Testing),
        testing_since: Some(time("2026-03-02T10:06:00Z")),
        probes: green_rounds(&facts, now()),
        days: vec![
            reported("2026-03-08", "google.com", Trust::DkimVerified, 500, 0),
            reported("2026-03-14", "microsoft.com", Trust::DkimVerified, 408, 0),
        ],
        failures: Vec::new(),
        latest: Some(facts),
        excused: Vec::new(),
        waived: BTreeMap::new(),
        pending: None,
    }
}

fn at(evidence: &Evidence, moment: &str) -> Judgement {
    judge(evidence, &Gate::default(), time(moment))
}

fn now_judged(evidence: &Evidence) -> Judgement {
    judge(evidence, &Gate::default(), now())
}

fn obstacles(judgement: &Judgement) -> Vec<u8> {
    match &judgement.verdict {
        Verdict::NotYet { obstacles } => obstacles.clone(),
        other => panic!("{other:?}: {:#?}", judgement.items),
    }
}

fn missing(judgement: &Judgement) -> Vec<u8> {
    match &judgement.verdict {
        Verdict::Unknown { missing } => missing.clone(),
        other => panic!("{other:?}: {:#?}", judgement.items),
    }
}

fn item(judgement: &Judgement, number: u8) -> &GateItem {
    &judgement.items[usize::from(number) - 1]
}

#[test]
fn example_1_time_opens_the_gate_not_before() {
    let evidence = Evidence { probes: Vec::new(), ..open() };
    let judgement = at(&evidence, "2026-03-10T12:00:00Z");
    assert_eq!(item(&judgement, 1).state, ItemState::Obstacle);
    assert_eq!(judgement.earliest, Some(time("2026-03-16T10:06:00Z")));
    assert_eq!(item(&at(&evidence, "2026-03-16T10:05:59Z"), 1).state, ItemState::Obstacle);
    assert_eq!(item(&at(&evidence, "2026-03-16T10:06:00Z"), 1).state, ItemState::Holds);
}

#[test]
fn example_2_the_gate_is_open() {
    let judgement = now_judged(&open());
    assert_eq!(judgement.verdict, Verdict::Safe, "{:#?}", judgement.items);
    assert_eq!(judgement.window, (date("2026-03-08"), date("2026-03-14")));
    assert_eq!(judgement.earliest, Some(now()));
    assert!(item(&judgement, 3).evidence.contains("google.com and microsoft.com"));
    assert!(item(&judgement, 4).evidence.starts_with("908 sessions"));
    assert!(item(&judgement, 9).evidence.contains("in 61 days"), "{}", item(&judgement, 9).evidence);
    assert!(item(&judgement, 10).evidence.contains("in 52 days"), "{}", item(&judgement, 10).evidence);
    assert!(judgement.items.iter().all(|item| item.next.is_empty()));
}

#[test]
fn example_3_too_little_heard_is_unknown() {
    let mut evidence = open();
    evidence.days = vec![reported("2026-03-10", "google.com", Trust::DkimVerified, 40, 0)];
    let judgement = now_judged(&evidence);
    assert_eq!(missing(&judgement), [3, 4]);
    assert!(item(&judgement, 3).evidence.ends_with("so 1 is missing."), "{}", item(&judgement, 3).evidence);
    assert!(item(&judgement, 4).evidence.ends_with("so 60 are missing."), "{}", item(&judgement, 4).evidence);
    evidence.waived = [(3, "small domain".to_owned()), (4, "small domain".to_owned())].into();
    let judgement = now_judged(&evidence);
    assert_eq!(judgement.verdict, Verdict::Safe);
    assert_eq!(item(&judgement, 3).state, ItemState::Waived);
    assert!(item(&judgement, 3).evidence.ends_with("small domain"));
}

#[test]
fn example_4_a_failure_in_the_window() {
    let mut evidence = open();
    for round in &mut evidence.probes {
        if round.at >= time("2026-03-13T02:00:00Z") && round.at < time("2026-03-13T09:00:00Z") {
            round.faults.insert("mx2.example.com 192.0.2.2".into(), Some("certificate-host-mismatch".into()));
        }
    }
    evidence.days.push(reported("2026-03-13", "google.com", Trust::DkimVerified, 50, 3));
    evidence.failures = vec![failure(
        "2026-03-13",
        "google.com",
        Trust::DkimVerified,
        ResultType::CertificateHostMismatch,
        "MX2.example.com.",
        3,
    )];
    let judgement = now_judged(&evidence);
    assert_eq!(obstacles(&judgement), [2, 5]);
    assert!(
        item(&judgement, 5).evidence.contains("3 sessions would have been deferred at mx2.example.com"),
        "{}",
        item(&judgement, 5).evidence
    );
    assert_eq!(judgement.would_defer, [("mx2.example.com".to_owned(), 3)].into());
    assert_eq!(judgement.earliest, Some(time("2026-03-22T00:00:00Z")));
    assert_eq!(
        window(time("2026-03-22T00:00:00Z"), &Gate::default()),
        (date("2026-03-14"), date("2026-03-20"))
    );
    // The window has moved on; the same evidence no longer stands in the way.
    let facts = evidence.latest.clone().unwrap();
    let later = time("2026-03-22T00:00:00Z");
    evidence.probes = green_rounds(&facts, later);
    evidence.latest = Some(DomainFacts { observed_at: later, ..facts });
    assert_eq!(item(&at(&evidence, "2026-03-21T23:59:59Z"), 5).state, ItemState::Obstacle);
    assert_eq!(item(&at(&evidence, "2026-03-22T00:00:00Z"), 5).state, ItemState::Holds);
}

#[test]
fn example_16_a_blocked_port_is_a_gap_that_reports_do_not_fill() {
    let mut evidence = open();
    let mut facts = evidence.latest.clone().unwrap();
    facts.hosts.iter_mut().for_each(|host| host.probes[0].outcome = ProbeOutcome::Timeout("connect".into()));
    evidence.probes = green_rounds(&facts, now());
    evidence.latest = Some(facts);
    let judgement = now_judged(&evidence);
    assert_eq!(missing(&judgement), [2, 10]);
    assert!(
        item(&judgement, 2).evidence.contains("SMTP-016")
            && item(&judgement, 10).evidence.contains("SMTP-016")
    );
}

#[test]
fn an_empty_world_is_unknown() {
    let evidence = Evidence {
        mode: None,
        testing_since: None,
        latest: None,
        probes: Vec::new(),
        days: Vec::new(),
        ..open()
    };
    let judgement = now_judged(&evidence);
    assert_eq!(missing(&judgement), [1, 2, 3, 4, 7, 8, 9, 10]);
    assert!(
        judgement.items.iter().filter(|i| i.state == ItemState::Unknown).all(|i| !i.next.is_empty()),
        "{:#?}",
        judgement.items
    );
}

/// What sources without proof say, however loud, changes no item.
#[test]
fn weak_reports_never_flip_a_verdict() {
    let lies = |evidence: &Evidence, trust: Trust| {
        let mut evidence = evidence.clone();
        for n in 0..500 {
            let reporter = format!("liar{n}.example");
            evidence.days.push(reported("2026-03-12", &reporter, trust, u64::MAX, u64::MAX));
            for result_type in ResultType::REGISTERED {
                evidence.failures.push(failure(
                    "2026-03-12",
                    &reporter,
                    trust,
                    result_type,
                    "mx1.example.com",
                    u64::MAX,
                ));
            }
        }
        evidence
    };
    let silent = Evidence { days: Vec::new(), ..open() };
    for trust in [Trust::Unverified, Trust::Unauthenticated] {
        for honest in [&open(), &silent] {
            let (before, after) = (now_judged(honest), now_judged(&lies(honest, trust)));
            assert_eq!(before.verdict, after.verdict, "{trust:?}");
            assert_eq!(before.items, after.items, "{trust:?}");
            assert_eq!(before.would_defer, after.would_defer, "{trust:?}");
            assert_eq!(after.hints.len(), before.hints.len() + 1, "{trust:?}: shown, once");
        }
    }
}

#[test]
fn who_is_believed_about_failures() {
    let mismatch = ResultType::CertificateHostMismatch;
    let one = |result_type: ResultType, mx: &str| {
        let mut evidence = open();
        evidence.failures =
            vec![failure("2026-03-12", "google.com", Trust::DkimVerified, result_type, mx, 3)];
        evidence
    };
    let states = |evidence: &Evidence| {
        let judgement = now_judged(evidence);
        (item(&judgement, 5).state, item(&judgement, 6).state)
    };
    use ItemState::{Holds, Obstacle, Unknown};
    // One reporter alone, our probes green all day.
    assert_eq!(states(&one(mismatch.clone(), "mx1.example.com")), (Holds, Unknown));
    assert_eq!(states(&one(mismatch.clone(), "")), (Holds, Unknown));
    // A second reporter with the same type.
    let mut two = one(mismatch.clone(), "mx1.example.com");
    two.failures.push(failure("2026-03-13", "microsoft.com", Trust::Trusted, mismatch.clone(), "", 1));
    assert_eq!(states(&two), (Obstacle, Holds));
    // No probes that day: nothing speaks against the reporter.
    let mut unwatched = one(mismatch.clone(), "mx1.example.com");
    unwatched.probes.retain(|round| round.at >= time("2026-03-13T00:00:00Z"));
    assert_eq!(states(&unwatched), (Obstacle, Holds));
    // Red at that host that day.
    let mut red = one(mismatch.clone(), "mx1.example.com");
    red.probes.iter_mut().filter(|r| r.at.strftime("%d").to_string() == "12").for_each(|round| {
        round.faults.insert("mx1.example.com 192.0.2.1".into(), Some("expired".into()));
    });
    assert_eq!(states(&red), (Obstacle, Holds));
    // Not one of our mail servers.
    assert_eq!(states(&one(mismatch.clone(), "mx.evil.example")), (Holds, Unknown));
    // The policy and its host are always ours.
    assert_eq!(states(&one(ResultType::StsPolicyFetchError, "")), (Obstacle, Holds));
    assert_eq!(states(&one(ResultType::StsWebpkiInvalid, "")), (Obstacle, Holds));
    // Nothing that MTA-STS decides.
    assert_eq!(states(&one(ResultType::DaneRequired, "mx1.example.com")), (Holds, Holds));
    assert_eq!(states(&one(ResultType::Other("moon-phase".into()), "mx1.example.com")), (Holds, Unknown));
    // Outside the window.
    let mut old = two.clone();
    old.failures.iter_mut().for_each(|failure| failure.day = date("2026-03-07"));
    assert_eq!(states(&old), (Holds, Holds));
    // Marked by the operator.
    let mut excused = two.clone();
    excused.excused = vec![(mismatch, None, "their resolver".into())];
    assert_eq!(states(&excused), (Holds, Holds));
    assert!(now_judged(&excused).hints.iter().any(|hint| hint.ends_with("their resolver")));
    // Failures of which no cause is told.
    let mut bare = open();
    bare.days.push(reported("2026-03-12", "google.com", Trust::DkimVerified, 5, 2));
    assert_eq!(states(&bare), (Holds, Unknown));
    assert_eq!(now_judged(&bare).would_defer, [(String::new(), 2)].into());
}

#[test]
fn an_obstacle_outweighs_a_gap() {
    let mut evidence = open();
    evidence.days.clear();
    evidence.pending = Some("a change of the policy waits for two clean rounds".into());
    assert_eq!(obstacles(&now_judged(&evidence)), [11]);
    evidence.waived = [(11, "known".to_owned())].into();
    assert_eq!(missing(&now_judged(&evidence)), [3, 4]);
}

#[test]
fn probes_must_be_recent_complete_and_green() {
    type Row = (&'static str, ItemState, Option<&'static str>, fn(&mut Vec<ProbeRound>));
    let rows: &[Row] = &[
        ("all green", ItemState::Holds, None, |_| {}),
        ("a gap of 6 h", ItemState::Holds, None, |p| {
            p.retain(|r| r.at <= time("2026-03-14T00:00:00Z") || r.at >= time("2026-03-14T06:00:00Z"))
        }),
        ("a gap of 7 h", ItemState::Unknown, Some("2026-03-21T07:00:00Z"), |p| {
            p.retain(|r| r.at <= time("2026-03-14T00:00:00Z") || r.at >= time("2026-03-14T07:00:00Z"))
        }),
        ("silent since", ItemState::Unknown, Some("2026-03-23T12:00:00Z"), |p| {
            p.retain(|r| r.at < time("2026-03-16T05:00:00Z"))
        }),
        ("begun late", ItemState::Unknown, Some("2026-03-21T00:00:00Z"), |p| {
            p.retain(|r| r.at >= time("2026-03-14T00:00:00Z"))
        }),
        ("never", ItemState::Unknown, None, Vec::clear),
        ("tested nothing, said complete", ItemState::Unknown, None, |p| {
            p.iter_mut().for_each(|r| r.faults.clear())
        }),
        ("one address left out", ItemState::Unknown, Some("2026-03-23T12:00:00Z"), |p| {
            p.iter_mut().for_each(|r| r.complete = false)
        }),
        ("a host never tested", ItemState::Unknown, Some("2026-03-23T12:00:00Z"), |p| {
            p.iter_mut().for_each(|r| r.faults.retain(|k, _| k.starts_with("mx1")))
        }),
        ("red once", ItemState::Obstacle, Some("2026-03-17T12:00:00Z"), |p| {
            p.iter_mut().filter(|r| r.at == time("2026-03-10T12:00:00Z")).for_each(|r| {
                r.faults.insert("mx1.example.com 192.0.2.1".into(), Some("no STARTTLS".into()));
            });
        }),
        ("red at a host that is gone", ItemState::Holds, None, |p| {
            p[100].faults.insert("mx9.example.com 192.0.2.9".into(), Some("no STARTTLS".into()));
        }),
        ("a round of tomorrow", ItemState::Unknown, None, |p| {
            let mut last = p.pop().unwrap();
            last.at = time("2026-03-17T12:00:00Z");
            *p = vec![last];
        }),
    ];
    for (what, state, earliest, spoil) in rows {
        let mut evidence = open();
        spoil(&mut evidence.probes);
        let judgement = now_judged(&evidence);
        assert_eq!(item(&judgement, 2).state, *state, "{what}: {}", item(&judgement, 2).evidence);
        if let Some(earliest) = earliest {
            assert_eq!(judgement.earliest, Some(time(earliest)), "{what}: {}", item(&judgement, 2).evidence);
        }
    }
}

#[test]
fn what_the_last_look_shows() {
    use ItemState::{Obstacle, Unknown};
    type Row = (&'static str, u8, ItemState, fn(&mut DomainFacts));
    let rows: &[Row] = &[
        ("an MX outside the policy", 7, Obstacle, |f| {
            f.mx.as_mut().unwrap().records.push(mx_record(30, "mx3.example.com"))
        }),
        ("MX lookup failed", 7, Unknown, |f| f.mx = Err(DnsError::Timeout)),
        ("null MX", 7, Obstacle, |f| f.mx = secure(vec![mx_record(0, ".")])),
        ("wildcard too high", 7, Obstacle, |f| serve(f, &policy_text("testing", &["*.com"], 86_400))),
        ("404", 8, Obstacle, |f| f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Status(404))))),
        ("not reached", 8, Unknown, |f| f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Timeout)))),
        ("record lookup failed", 8, Unknown, |f| f.sts_record = servfail()),
        ("record gone", 8, Obstacle, |f| f.sts_record = secure(vec![])),
        ("two records", 8, Obstacle, |f| f.sts_record = secure(txt(&["v=STSv1; id=a", "v=STSv1; id=b"]))),
        ("foreign id", 8, Unknown, |f| f.sts_record = secure(txt(&["v=STSv1; id=1"]))),
        ("id of another body", 8, Obstacle, |f| {
            f.sts_record = secure(txt(&["v=STSv1; id=20260302T100500Z000000000000"]))
        }),
        ("an address not asked", 8, Unknown, |f| {
            f.policy_host.addresses = secure(vec![address("192.0.2.80"), address("2001:db8::80")])
        }),
        ("an address with another body", 8, Obstacle, |f| {
            f.policy_host.by_address = vec![crate::facts::AddressFetch {
                address: address("192.0.2.81"),
                body_sha256: Ok("00".into()),
            }]
        }),
        ("void policy", 8, Obstacle, |f| serve(f, "mode: testing\n")),
        ("21 days", 9, Obstacle, |f| {
            f.policy_host.fetch.as_mut().unwrap().as_mut().unwrap().chain =
                vec![certificate("2026-04-06T12:00:00Z")]
        }),
        ("no certificate seen", 9, Unknown, |f| {
            f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Connect)))
        }),
        ("14 days", 10, Obstacle, |f| {
            f.hosts[1].probes[0].outcome = ProbeOutcome::Tls(tls("2026-03-30T12:00:00Z"))
        }),
        ("one host not probed", 10, Unknown, |f| f.hosts[1].probes.clear()),
        ("stale", 7, Unknown, |f| f.observed_at = time("2026-03-16T05:59:59Z")),
        ("stale", 10, Unknown, |f| f.observed_at = time("2026-03-16T05:59:59Z")),
    ];
    for (what, number, state, spoil) in rows {
        let mut evidence = open();
        spoil(evidence.latest.as_mut().unwrap());
        let judgement = now_judged(&evidence);
        let item = item(&judgement, *number);
        assert_eq!(item.state, *state, "{what}: {}", item.evidence);
        assert!(!item.next.is_empty(), "{what} says what to do");
        assert_ne!(judgement.verdict, Verdict::Safe, "{what}");
    }
}

#[test]
fn later_steps_do_not_ask_for_days_in_testing() {
    let evidence = Evidence { mode: Some(Mode::Enforce), testing_since: None, ..open() };
    assert_eq!(now_judged(&evidence).verdict, Verdict::Safe);
    let evidence = Evidence { mode: Some(Mode::None), ..open() };
    assert_eq!(obstacles(&now_judged(&evidence)), [1]);
}
