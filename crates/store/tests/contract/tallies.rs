//! Tallies: nothing is lost or counted twice, caps hold exactly, days wait until they are reported.

use std::collections::BTreeMap;

use jiff::civil::Date;
use mailward_core::tlsrpt::datagram::{SessionFailure, SessionPolicy};
use mailward_core::tlsrpt::tally::PolicyTally;
use mailward_core::tlsrpt::{PolicyType, ResultType};
use mailward_store::tallies::{
    Increment, KINDS_A_DAY, POLICIES_A_DAY, TallyDay, TallySource, TallySum, without_texts,
};

use crate::build::{day, domain};
use crate::engines::Opened;

fn policy(number: usize) -> SessionPolicy {
    SessionPolicy {
        policy_type: PolicyType::Sts,
        policy_domain: "d.example".parse().unwrap(),
        policy_string: vec!["version: STSv1".into(), format!("id: {number}")],
        mx_host: vec!["*.d.example".into()],
    }
}

fn kind(number: usize) -> SessionFailure {
    SessionFailure {
        result_type: ResultType::CertificateExpired,
        sending_mta_ip: "192.0.2.1".parse().ok(),
        receiving_mx_hostname: Some("mx.d.example".into()),
        receiving_mx_helo: Some(format!("mx at {number}")),
        receiving_ip: "2001:db8::1".parse().ok(),
        additional_information: None,
        failure_reason_code: None,
    }
}

fn passed(on: &str, name: &str, successful: u64) -> Increment {
    Increment {
        day: day(on),
        domain: domain(name),
        record: format!("v=TLSRPTv1; rua=mailto:tls@{name}"),
        source: TallySource::MailServer,
        policy: policy(0),
        successful,
        failed: 0,
        failures: Vec::new(),
    }
}

fn failed(policy_number: usize, failures: Vec<(SessionFailure, u64)>) -> Increment {
    let failed = failures.iter().map(|(_, count)| count).sum();
    Increment { policy: policy(policy_number), failed, failures, ..passed("03-13", "d.example", 0) }
}

async fn policies(store: &Opened, on: &str, name: &str) -> Vec<PolicyTally> {
    let tally = store.tally(day(on), &domain(name)).await.unwrap();
    let Some(tally) = tally else { return Vec::new() };
    assert_eq!((tally.day, &tally.domain), (day(on), &domain(name)));
    tally.policies
}

/// Successful, failed, and failures of all kinds.
fn total(policies: &[PolicyTally]) -> (u64, u64, u64) {
    let failures = |p: &PolicyTally| p.failures.iter().map(|(_, count)| count).sum::<u64>();
    policies.iter().fold((0, 0, 0), |sum, p| (sum.0 + p.successful, sum.1 + p.failed, sum.2 + failures(p)))
}

pub async fn increments_add_up(store: Opened) {
    let two = failed(0, vec![(kind(1), 2), (kind(2), 3)]);
    // Twice in one batch, and again in another.
    store.add_tallies(&[passed("03-13", "d.example", 7), two.clone(), two.clone()]).await.unwrap();
    let other_type = SessionPolicy { policy_type: PolicyType::Tlsa, ..policy(0) };
    let third = Increment { policy: other_type.clone(), ..failed(0, vec![(kind(2), 1)]) };
    store
        .add_tallies(&[two, third, passed("03-14", "d.example", 1), passed("03-13", "e.example", 1)])
        .await
        .unwrap();
    store.add_tallies(&[]).await.unwrap();
    let sts = PolicyTally {
        policy: policy(0),
        successful: 7,
        failed: 15,
        failures: vec![(kind(2), 9), (kind(1), 6)],
    };
    let tlsa = PolicyTally { policy: other_type, successful: 0, failed: 1, failures: vec![(kind(2), 1)] };
    assert_eq!(policies(&store, "03-13", "d.example").await, [tlsa, sts]);
    assert_eq!(total(&policies(&store, "03-14", "d.example").await), (1, 0, 0));
    assert_eq!(total(&policies(&store, "03-13", "e.example").await), (1, 0, 0));
    for (on, name) in [("03-12", "d.example"), ("03-14", "e.example"), ("03-13", "x.example")] {
        assert_eq!(store.tally(day(on), &domain(name)).await.unwrap(), None, "{on} {name}");
    }
}

pub async fn caps_hold_and_counts_are_exact(store: Opened) {
    // All at once: as many kinds again as are told apart, and more policies than those.
    let failures: Vec<_> = (0..2 * KINDS_A_DAY).map(|n| (kind(n), 1 + n as u64 % 3)).collect();
    let sessions: u64 = failures.iter().map(|(_, count)| count).sum();
    let mut increments = vec![failed(0, failures)];
    increments.extend((0..2 * POLICIES_A_DAY).map(|n| Increment { successful: 5, ..failed(n, Vec::new()) }));
    store.add_tallies(&increments).await.unwrap();
    let stored = policies(&store, "03-13", "d.example").await;
    assert_eq!(total(&stored), (10 * POLICIES_A_DAY as u64, sessions, sessions));
    assert_eq!(stored.len(), POLICIES_A_DAY + 1);
    let rest = without_texts(&policy(0), &domain("d.example"));
    let rest = stored.iter().find(|p| p.policy == rest).expect("the rest has a policy without texts");
    assert!(rest.successful >= 5 * (POLICIES_A_DAY as u64 - 1), "{}", rest.successful);
    let kinds: Vec<_> = stored.iter().flat_map(|p| &p.failures).collect();
    assert_eq!(kinds.len(), KINDS_A_DAY + 1);
    assert_eq!(kinds.iter().filter(|(kind, _)| *kind == kind.other()).count(), 1);
}

pub async fn caps_hold_across_additions(store: Opened) {
    let most: Vec<_> = (0..KINDS_A_DAY - 1).map(|n| (kind(n), 1)).collect();
    store.add_tallies(&[failed(0, most.clone())]).await.unwrap();
    // The same again takes no room.
    store.add_tallies(&[failed(0, most)]).await.unwrap();
    store.add_tallies(&[failed(0, vec![(kind(5000), 1)])]).await.unwrap();
    // Full: known kinds still count as themselves, new ones as others; by result type.
    let invalid = SessionFailure { result_type: ResultType::TlsaInvalid, ..kind(5001) };
    let more = vec![(kind(5001), 2), (kind(5002), 2), (kind(5000), 2), (invalid.clone(), 2)];
    store.add_tallies(&[failed(0, more)]).await.unwrap();
    let stored = policies(&store, "03-13", "d.example").await;
    let sessions = 2 * (KINDS_A_DAY as u64 - 1) + 1 + 8;
    assert_eq!(total(&stored), (0, sessions, sessions));
    let count = |kind: &SessionFailure| stored[0].failures.iter().find(|(k, _)| k == kind).map(|(_, c)| *c);
    assert_eq!(count(&kind(5000)), Some(3));
    assert_eq!(count(&kind(0).other()), Some(4));
    assert_eq!(count(&invalid.other()), Some(2));
    assert_eq!(stored[0].failures.len(), KINDS_A_DAY + 2);
    // Another policy of the day shares the cap, another day and another domain have their own.
    store.add_tallies(&[failed(1, vec![(kind(1), 1)])]).await.unwrap();
    let second = &policies(&store, "03-13", "d.example").await[1];
    assert_eq!(second.failures, [(kind(1).other(), 1)]);
    let elsewhere = [
        Increment { day: day("03-14"), ..failed(1, vec![(kind(1), 1)]) },
        Increment { domain: domain("e.example"), ..failed(1, vec![(kind(1), 1)]) },
    ];
    store.add_tallies(&elsewhere).await.unwrap();
    for (on, name) in [("03-14", "d.example"), ("03-13", "e.example")] {
        assert_eq!(policies(&store, on, name).await[0].failures, [(kind(1), 1)], "{on} {name}");
    }
    // Policies one at a time; a policy without texts has room always.
    for number in 2..POLICIES_A_DAY + 5 {
        store.add_tallies(&[failed(number, Vec::new())]).await.unwrap();
    }
    assert_eq!(policies(&store, "03-13", "d.example").await.len(), POLICIES_A_DAY + 1);
    let no_policy = SessionPolicy {
        policy_type: PolicyType::NoPolicyFound,
        ..without_texts(&policy(0), &domain("d.example"))
    };
    store.add_tallies(&[Increment { policy: no_policy, ..failed(0, Vec::new()) }]).await.unwrap();
    assert_eq!(policies(&store, "03-13", "d.example").await.len(), POLICIES_A_DAY + 2);
}

pub async fn days_wait_for_their_report(store: Opened) {
    let mut increments = Vec::new();
    for on in ["03-13", "03-14", "03-12"] {
        increments.extend((0..5).map(|n| passed(on, &format!("d{n}.example"), 1)));
    }
    store.add_tallies(&increments).await.unwrap();
    // The record last seen on the day.
    let newer = Increment {
        record: "v=TLSRPTv1; rua=mailto:new@d0.example".into(),
        ..passed("03-13", "d0.example", 1)
    };
    store.add_tallies(&[newer]).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let after = seen.last().map(|(day, domain, _): &(Date, _, _)| (*day, Clone::clone(domain)));
        let page = store.tally_domains(day("03-14"), after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 3);
        seen.extend(page);
    }
    let days: Vec<_> = seen.iter().map(|(day, ..)| *day).collect();
    assert_eq!(days, [vec![day("03-12"); 5], vec![day("03-13"); 5]].concat());
    let record = |on: &str, name: &str| {
        seen.iter().find(|(d, n, _)| *d == day(on) && *n == domain(name)).map(|(_, _, r)| r.as_str())
    };
    assert_eq!(record("03-13", "d0.example"), Some("v=TLSRPTv1; rua=mailto:new@d0.example"));
    assert_eq!(record("03-12", "d0.example"), Some("v=TLSRPTv1; rua=mailto:tls@d0.example"));
    let alone = store.tally_record(day("03-13"), &domain("d0.example")).await.unwrap();
    assert_eq!(alone.as_deref(), record("03-13", "d0.example"));
    assert_eq!(seen.iter().map(|(d, n, _)| (d, n)).collect::<std::collections::BTreeSet<_>>().len(), 10);
    // Nothing waits before the first day, and a domain that is gone is no reason to begin anew.
    assert_eq!(store.tally_domains(day("03-12"), None, 9).await.unwrap(), []);
    let gone = Some((day("03-12"), domain("gone.example")));
    assert_eq!(store.tally_domains(day("03-14"), gone, 9).await.unwrap().len(), 5);
}

pub async fn sources_are_told_apart(store: Opened) {
    let ours = Increment { source: TallySource::Mailward, ..failed(0, vec![(kind(1), 2)]) };
    let probe = Increment { source: TallySource::Probe, failed: 0, ..failed(0, vec![(kind(1), 7)]) };
    store.add_tallies(&[ours, failed(0, vec![(kind(1), 3)]), probe]).await.unwrap();
    let probes =
        store.tally_from(day("03-13"), &domain("d.example"), Some(TallySource::Probe)).await.unwrap();
    assert_eq!(total(&probes.unwrap().policies), (0, 0, 7), "probes are no sessions");
    let sums = &store.tally_overview(day("03-13"), day("03-13")).await.unwrap()[0].sums;
    assert!(sums.iter().all(|sum| sum.source != TallySource::Probe), "{sums:?}");
    for (source, count) in [(Some(TallySource::Mailward), 2), (Some(TallySource::MailServer), 3), (None, 5)] {
        let tally = store.tally_from(day("03-13"), &domain("d.example"), source).await.unwrap().unwrap();
        assert_eq!((tally.policies[0].failed, &tally.policies[0].failures), (count, &vec![(kind(1), count)]));
        assert_eq!(tally.policies.len(), 1, "{source:?}");
    }
}

pub async fn sums_for_a_page(store: Opened) {
    let none = SessionPolicy { policy_type: PolicyType::NoPolicyFound, ..policy(0) };
    let ours = Increment { source: TallySource::Mailward, ..failed(0, vec![(kind(1), 2)]) };
    let first = [passed("03-13", "d.example", 4), passed("03-14", "d.example", 1), ours];
    store.add_tallies(&first).await.unwrap();
    let second =
        [passed("03-13", "e.example", 2), Increment { policy: none, ..passed("03-13", "d.example", 3) }];
    store.add_tallies(&second).await.unwrap();
    let sum = |policy_type, source, successful, failed| TallySum { policy_type, source, successful, failed };
    let (server, mailward) = (TallySource::MailServer, TallySource::Mailward);
    let expected = TallyDay {
        day: day("03-13"),
        domains: 2,
        sums: vec![
            sum(PolicyType::NoPolicyFound, server, 3, 0),
            sum(PolicyType::Sts, server, 6, 0),
            sum(PolicyType::Sts, mailward, 0, 2),
        ],
    };
    let seen = store.tally_overview(day("03-01"), day("03-13")).await.unwrap();
    assert_eq!(seen, [expected]);
    assert_eq!(store.tally_overview(day("03-01"), day("03-31")).await.unwrap().len(), 2);
}

pub async fn old_days_go_with_their_texts(store: Opened) {
    // More than one piece.
    let many: Vec<_> = (0..2500).map(|n| passed("03-12", &format!("d{n}.example"), 1)).collect();
    store.add_tallies(&many).await.unwrap();
    let kept = Increment { failures: vec![(kind(1), 1)], failed: 1, ..passed("03-13", "d7.example", 1) };
    store.add_tallies(&[kept]).await.unwrap();
    assert_eq!(store.drop_tallies(day("03-13")).await.unwrap(), 2500);
    assert_eq!(store.drop_tallies(day("03-13")).await.unwrap(), 0);
    assert_eq!(policies(&store, "03-12", "d7.example").await, []);
    assert_eq!(store.tally_overview(day("03-01"), day("03-12")).await.unwrap(), []);
    // What is used on a later day keeps its texts; what was dropped comes anew.
    let left = policies(&store, "03-13", "d7.example").await;
    assert_eq!((total(&left), &left[0].failures), ((1, 1, 1), &vec![(kind(1), 1)]));
    assert_eq!(store.tally_domains(day("04-01"), None, 9).await.unwrap().len(), 1);
    store.add_tallies(&[passed("03-14", "d8.example", 2)]).await.unwrap();
    assert_eq!(total(&policies(&store, "03-14", "d8.example").await), (2, 0, 0));
}

pub async fn hostile_texts_come_back(store: Opened) {
    let texts = ["a\0b", "\u{fffd}", "'; DROP TABLE tallies; --", "\u{1f600}", "", &"x".repeat(4096)];
    let hostile: Vec<_> = texts
        .iter()
        .map(|text| {
            let policy = SessionPolicy { policy_string: vec![(*text).into(), String::new()], ..policy(0) };
            let kind = SessionFailure { failure_reason_code: Some((*text).into()), ..kind(1) };
            Increment { policy, record: (*text).into(), ..failed(0, vec![(kind, 1)]) }
        })
        .collect();
    store.add_tallies(&hostile).await.unwrap();
    let stored = policies(&store, "03-13", "d.example").await;
    assert_eq!(stored.len(), texts.len());
    for increment in &hostile {
        let found = stored.iter().find(|p| p.policy == increment.policy).expect("each comes back");
        assert_eq!(found.failures, increment.failures);
    }
    let record = store.tally_record(day("03-13"), &domain("d.example")).await.unwrap();
    assert_eq!(record.as_deref(), Some(texts[5]));
}

pub async fn nodes_add_to_one_database(store: Opened) {
    let nodes = (0..4).map(|node| {
        let url = store.url.clone();
        tokio::spawn(async move {
            let store = mailward_store::Store::open(&url).await.unwrap();
            for round in 0..5 {
                // Texts that all of them meet first, in another order each, and some of their own.
                let mut batch: Vec<_> =
                    (0..40).map(|n| passed("03-13", &format!("d{n}.example"), 1)).collect();
                let failures = (0..100).map(|n| (kind(1000 * node + 100 * round + n), 1)).collect();
                batch.push(failed(0, failures));
                batch.rotate_left(10 * node);
                store.add_tallies(&batch).await.unwrap();
            }
            store.close().await;
        })
    });
    for node in nodes.collect::<Vec<_>>() {
        node.await.unwrap();
    }
    let mut sums = BTreeMap::new();
    for n in 0..40 {
        let name = format!("d{n}.example");
        *sums.entry(total(&policies(&store, "03-13", &name).await)).or_insert(0) += 1;
    }
    assert_eq!(sums, [((20, 0, 0), 40)].into());
    let capped = policies(&store, "03-13", "d.example").await;
    assert_eq!(total(&capped), (0, 2000, 2000));
    assert_eq!(capped[0].failures.len(), KINDS_A_DAY + 1);
    assert_eq!(store.tally_overview(day("03-13"), day("03-13")).await.unwrap()[0].domains, 41);
}
