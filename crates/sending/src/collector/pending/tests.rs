use super::*;
use mailward_core::tlsrpt::datagram;

const DAY: Date = Date::constant(2028, 2, 29);
const NEXT: Date = Date::constant(2028, 3, 1);

fn told(name: &str, line: &str, helo: &str) -> Datagram {
    let text = serde_json::json!({"d": name, "pr": "v=TLSRPTv1", "policies": [{
        "policy-type": 2, "policy-string": [line], "f": 1, "failure-details": [{"c": 201, "h": helo}],
    }]});
    datagram::parse(text.to_string().as_bytes()).unwrap()
}

/// Sessions, failures, kinds and policies in increments.
fn sums(increments: &[Increment]) -> (u64, u64, usize, usize) {
    let failures = increments.iter().flat_map(|i| &i.failures);
    (
        increments.iter().map(|i| i.successful + i.failed).sum(),
        failures.clone().map(|(_, count)| count).sum(),
        failures.count(),
        increments.len(),
    )
}

fn all(mut pending: Pending) -> Vec<Increment> {
    let mut increments = Vec::new();
    while !pending.is_empty() {
        increments.extend(pending.take(7));
    }
    assert_eq!(pending.weight, 0, "everything that was weighed is taken out");
    increments
}

#[test]
fn counts_are_exact_and_texts_are_capped() {
    let mut pending = Pending::default();
    for n in 0..2 * KINDS_A_DAY {
        pending.add(DAY, TallySource::MailServer, &told("d.example", "one", &format!("mx at {n}")), 2);
    }
    for n in 0..2 * POLICIES_A_DAY {
        pending.add(DAY, TallySource::MailServer, &told("e.example", &format!("line {n}"), "mx"), 3);
    }
    pending.add(NEXT, TallySource::Mailward, &told("d.example", "one", "mx"), 1);
    assert_eq!(pending.take_lost(), 0);
    let increments = all(pending);
    let of = |name: &str, day| {
        let of: Vec<_> =
            increments.iter().filter(|i| i.domain.as_str() == name && i.day == day).cloned().collect();
        sums(&of)
    };
    assert_eq!(of("d.example", DAY), (4000, 4000, KINDS_A_DAY + 1, 1));
    assert_eq!(of("e.example", DAY), (600, 600, POLICIES_A_DAY + 1, POLICIES_A_DAY + 1));
    assert_eq!(of("d.example", NEXT), (1, 1, 1, 1));
}

#[test]
fn what_is_put_back_adds_up_and_newer_records_stay() {
    let mut first = Pending::default();
    let old = told("d.example", "one", "mx");
    first.add(DAY, TallySource::MailServer, &old, 5);
    first.add(DAY, TallySource::MailServer, &told("e.example", "one", "mx"), 1);
    let refused = first.take(10);
    assert!(first.is_empty());
    let newer = Datagram { record: "v=TLSRPTv1; rua=mailto:new@d.example".into(), ..old };
    let mut second = Pending::default();
    second.add(DAY, TallySource::MailServer, &newer, 2);
    first.put_back(refused);
    first.merge(second);
    let increments = all(first);
    assert_eq!(sums(&increments), (8, 8, 2, 2));
    let d = increments.iter().find(|i| i.domain.as_str() == "d.example").unwrap();
    assert_eq!((d.failed, &d.record), (7, &newer.record));
}

#[test]
fn memory_is_bounded_and_what_is_lost_is_known() {
    let mut pending = Pending::default();
    let long = "x".repeat(4000);
    for n in 0..40_000 {
        pending.add(
            DAY,
            TallySource::MailServer,
            &told(&format!("d{n}.example"), &format!("{n}{long}"), "mx"),
            1,
        );
    }
    assert!(pending.weight <= LIMIT + 1000, "{}", pending.weight);
    // A domain that is there goes on counting, without new texts.
    for n in 0..500 {
        pending.add(DAY, TallySource::MailServer, &told("d0.example", &format!("{n}"), &format!("{n}")), 1);
    }
    assert!(pending.weight <= LIMIT + 1000, "{}", pending.weight);
    let lost = pending.take_lost();
    assert!(lost > 1000, "{lost}");
    let increments = all(pending);
    assert_eq!(sums(&increments).0 + lost, 40_500);
    let first: Vec<_> = increments.into_iter().filter(|i| i.domain.as_str() == "d0.example").collect();
    assert_eq!(sums(&first), (501, 501, 2, 2));
}
