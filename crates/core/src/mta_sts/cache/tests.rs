use super::*;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn policy(mode: Mode, max_age: u32) -> StsPolicy {
    StsPolicy { mode, mx: vec!["a.example".parse().unwrap()], max_age, extensions: vec![] }
}

fn cached(mode: Mode) -> CachedPolicy {
    CachedPolicy { policy: policy(mode, 604_800), id: "1".into(), fetched_at: at(0), record_seen_at: at(0) }
}

fn word(step: &Step) -> String {
    match step {
        Step::Serve { freshness: Freshness::New, .. } => "new".into(),
        Step::Serve { freshness: Freshness::Fresh, .. } => "fresh".into(),
        Step::Serve { freshness: Freshness::Kept(why), .. } => format!("kept {}", why.as_str()),
        Step::AskRecord => "ask".into(),
        Step::FetchPolicy { id } => format!("fetch {id}"),
        Step::NoPolicy(why) => why.as_str().into(),
    }
}

#[test]
fn every_turn_has_its_step() {
    let live = cached(Mode::Enforce);
    let none = cached(Mode::None);
    let same = Ok(Some("1".to_owned()));
    let newer = Ok(Some("2".to_owned()));
    let absent = Ok(None);
    let silent = Err(RecordTrouble::Dns(DnsError::Timeout));
    let broken = Err(RecordTrouble::Invalid(RecordError("two".into())));
    let body = Ok(policy(Mode::Testing, 86_400));
    let no_body = Err(FetchTrouble::Fetch(FetchCause::Status(404)));
    let to_none = Ok(policy(Mode::None, 86_400));
    let nonsense = Err(FetchTrouble::Invalid(PolicyError("x".into()), Vec::new()));
    let failed = FailedFetch { id: "2".into(), at: at(7_000) };
    let refused = FailedFetch { id: "1".into(), at: at(7_000) };
    let (soon, later, day, dead) = (at(60), at(7_200), at(90_000), at(604_800));
    let known = Known { cached: Some(&live), ..Known::default() };
    let empty = Known::default();
    for (name, known, now, expected) in [
        ("fresh cache", known, soon, "fresh"),
        ("record not seen for an hour", known, later, "ask"),
        ("expired", known, dead, "ask"),
        ("nothing known", empty, soon, "ask"),
        ("same id", Known { record: Some(&same), ..known }, later, "fresh"),
        ("same id after a day", Known { record: Some(&same), ..known }, day, "fetch 1"),
        ("new id", Known { record: Some(&newer), ..known }, later, "fetch 2"),
        (
            "new id, failed just now",
            Known { record: Some(&newer), failed: Some(&failed), ..known },
            later,
            "kept back-off",
        ),
        (
            "new id, failed before",
            Known { record: Some(&newer), failed: Some(&failed), ..known },
            at(7_300),
            "fetch 2",
        ),
        (
            "failed, nothing cached",
            Known { record: Some(&newer), failed: Some(&failed), ..empty },
            later,
            "back-off",
        ),
        ("refresh is due", Known { record: Some(&same), refresh_due: true, ..known }, later, "fetch 1"),
        (
            "refresh is due, failed just now",
            Known { record: Some(&same), failed: Some(&refused), refresh_due: true, ..known },
            later,
            "kept back-off",
        ),
        (
            "refresh of mode none is due",
            Known { cached: Some(&none), record: Some(&same), refresh_due: true, ..empty },
            later,
            "fetch 1",
        ),
        ("record gone", Known { record: Some(&absent), ..known }, later, "kept no-record"),
        ("record gone, expired", Known { record: Some(&absent), ..known }, dead, "no-record"),
        ("two records", Known { record: Some(&broken), ..known }, later, "kept record-invalid"),
        ("no answer", Known { record: Some(&silent), ..known }, later, "kept dns-unavailable"),
        ("no answer, nothing cached", Known { record: Some(&silent), ..empty }, later, "dns-unavailable"),
        ("fetched", Known { record: Some(&newer), fetched: Some(&body), ..known }, later, "new"),
        (
            "not fetched",
            Known { record: Some(&newer), fetched: Some(&no_body), ..known },
            later,
            "kept fetch-failed",
        ),
        (
            "nonsense",
            Known { record: Some(&newer), fetched: Some(&nonsense), ..known },
            later,
            "kept policy-invalid",
        ),
        (
            "nonsense, nothing cached",
            Known { record: Some(&newer), fetched: Some(&nonsense), ..empty },
            later,
            "policy-invalid",
        ),
        ("mode none", Known { cached: Some(&none), ..empty }, soon, "mode-none"),
        ("clock went back: the record is looked at", known, at(-86_400), "ask"),
        (
            "clock went back, no answer",
            Known { record: Some(&silent), ..known },
            at(-86_400),
            "kept dns-unavailable",
        ),
        ("clock went back, same id", Known { record: Some(&same), ..known }, at(-86_400), "fetch 1"),
        (
            "a failure in the future",
            Known { record: Some(&newer), failed: Some(&failed), ..known },
            at(6_000),
            "fetch 2",
        ),
        ("clock went ahead", known, at(40 * 365 * 86_400), "ask"),
        ("the last second", Known { record: Some(&silent), ..known }, at(604_799), "kept dns-unavailable"),
        ("one more", Known { record: Some(&silent), ..known }, dead, "dns-unavailable"),
        ("seen just within the interval", known, at(3_599), "fresh"),
        ("at the interval", known, at(3_600), "ask"),
        (
            "mode none, new policy announced",
            Known { cached: Some(&none), record: Some(&newer), ..empty },
            later,
            "fetch 2",
        ),
        (
            "mode none, no answer",
            Known { cached: Some(&none), record: Some(&silent), ..empty },
            later,
            "mode-none",
        ),
        (
            "mode none ran out",
            Known { cached: Some(&none), record: Some(&silent), ..empty },
            dead,
            "dns-unavailable",
        ),
        (
            "the daily fetch fails",
            Known { record: Some(&same), fetched: Some(&no_body), ..known },
            day,
            "kept fetch-failed",
        ),
        (
            "the daily fetch failed just now",
            Known { record: Some(&same), failed: Some(&FailedFetch { id: "1".into(), at: day }), ..known },
            at(90_299),
            "kept back-off",
        ),
        (
            "a policy of mode none comes",
            Known { record: Some(&newer), fetched: Some(&to_none), ..known },
            later,
            "mode-none",
        ),
    ] {
        assert_eq!(word(&step(known, HOUR, now)), expected, "{name}");
    }
}

#[test]
fn max_age_zero_serves_this_delivery_only() {
    let fetched = Ok(policy(Mode::Enforce, 0));
    let record = Ok(Some("1".to_owned()));
    let known = Known { record: Some(&record), fetched: Some(&fetched), ..Known::default() };
    match step(known, HOUR, at(0)) {
        Step::Serve { expires_at, .. } => assert_eq!(expires_at, at(0)),
        other => panic!("{other:?}"),
    }
}

/// RFC 8461 leaves it open how often a domain may be fetched from; an id that changes at every query must
/// not make it more than once a minute.
#[test]
fn an_id_that_changes_all_the_time_is_not_followed() {
    let short_lived = CachedPolicy { policy: policy(Mode::Enforce, 10), ..cached(Mode::Enforce) };
    let live = cached(Mode::Enforce);
    let failed = FailedFetch { id: "x".into(), at: at(0) };
    for (name, cached, failed, id, now, expected) in [
        ("just fetched", Some(&live), None, "2", 59, "kept back-off"),
        ("a minute ago", Some(&live), None, "2", 60, "fetch 2"),
        ("just fetched, the same id, run out", Some(&short_lived), None, "1", 30, "fetch 1"),
        ("just fetched, another id, run out", Some(&short_lived), None, "2", 30, "kept back-off"),
        ("just failed, another id", None, Some(&failed), "2", 59, "back-off"),
        ("failed a minute ago, another id", None, Some(&failed), "2", 60, "fetch 2"),
        ("failed a minute ago, the same id", None, Some(&failed), "x", 60, "back-off"),
        ("failed five minutes ago, the same id", None, Some(&failed), "x", 300, "fetch x"),
        ("noted before the clock went back", Some(&live), Some(&failed), "2", -10, "fetch 2"),
    ] {
        let record = Ok(Some(id.to_owned()));
        let known = Known { cached, failed, record: Some(&record), ..Known::default() };
        assert_eq!(word(&step(known, HOUR, at(now))), expected, "{name}");
    }
}

#[test]
fn what_stands_in_when_the_record_cannot_be_looked_up() {
    let silent = NoPolicy::DnsUnavailable(DnsError::Timeout);
    let of = |mode, max_age| CachedPolicy { policy: policy(mode, max_age), ..cached(mode) };
    for (name, cached, reason, stands) in [
        ("expired", of(Mode::Enforce, 1), &silent, true),
        ("testing", of(Mode::Testing, 1), &silent, true),
        ("none", of(Mode::None, 1), &silent, false),
        ("not to be kept", of(Mode::Enforce, 0), &silent, false),
        ("the record is gone", of(Mode::Enforce, 1), &NoPolicy::NoRecord, false),
        ("the fetch fails", of(Mode::Enforce, 1), &NoPolicy::BackOff, false),
    ] {
        assert_eq!(last_known(Some(&cached), reason).is_some(), stands, "{name}");
    }
    assert_eq!(last_known(None, &silent), None);
}

#[test]
fn what_was_stored_with_a_longer_age_is_clamped() {
    let ages = CachedPolicy { policy: policy(Mode::Enforce, u32::MAX), ..cached(Mode::Enforce) };
    assert_eq!(ages.expires_at(), at(i64::from(MAX_AGE_LIMIT)));
}
