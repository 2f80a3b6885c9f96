//! What is counted, on which day, and what happens when the store or a peer does not behave.

use std::process::Command;
use std::time::Duration;

use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::datagram::parse;
use mailward_core::tlsrpt::seen::Seen;
use mailward_sending::collector::Own;
use mailward_store::tallies::{KINDS_A_DAY, TallySource};

use crate::house::{DAY, Hand, House, NEXT, failure, stored, success, tell, until};

#[tokio::test(flavor = "multi_thread")]
async fn hostile_datagrams_end_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    let server = house.server();
    server.set_nonblocking(false).unwrap();
    let valid = String::from_utf8(success("d.test")).unwrap();
    let rows: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\0".to_vec(),
        b"\xff\xfe\xfd".to_vec(),
        b"1".to_vec(),
        b"null".to_vec(),
        b"not json".to_vec(),
        b"[".repeat(100_000),
        br#"{"d":"#.repeat(20_000),
        br#"{"d":null,"pr":"x","policies":[]}"#.to_vec(),
        br#"{"d":"d.test","pr":"x","policies":[]}"#.to_vec(),
        br#"{"d":"","pr":"x","policies":[{"policy-type":9,"f":0}]}"#.to_vec(),
        valid.replace("\"policy-type\":2", "\"policy-type\":7").into_bytes(),
        valid.replace("\"policy-type\":2", "\"policy-type\":1e99").into_bytes(),
        valid.replace("\"f\":0", "\"f\":2").into_bytes(),
        valid.replace("\"f\":0", "\"f\":-1").into_bytes(),
        valid.as_bytes()[..valid.len() - 1].to_vec(),
        [valid.as_bytes(), b"}"].concat(),
        vec![b' '; 200_000],
    ];
    for row in &rows {
        server.send(row).unwrap();
        server.send(valid.as_bytes()).unwrap();
    }
    house.until(DAY, "d.test", rows.len() as u64).await;
    assert!(house.status.health().ok);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_the_day_on_which_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Hand::at("2028-02-29T23:59:59.9Z");
    let house = House::at(folder.path(), clock.clone()).await;
    let server = house.server();
    tell(&server, &success("d.test"), 9);
    house.until(DAY, "d.test", 9).await;
    clock.put("2028-03-01T00:00:00Z");
    tell(&server, &success("d.test"), 4);
    house.until(NEXT, "d.test", 4).await;
    // A clock that is put back across midnight.
    clock.put("2028-02-29T23:59:58Z");
    server.send(&success("d.test")).unwrap();
    house.until(DAY, "d.test", 10).await;
    house.close().await;
    // A restart on another day moves nothing.
    let house = House::at(folder.path(), Hand::at("2028-03-02T08:00:00Z")).await;
    assert_eq!(
        (stored(&house.store, DAY, "d.test").await, stored(&house.store, NEXT, "d.test").await),
        (10, 4)
    );
    let waiting = house.store.tally_domains("2028-03-02".parse().unwrap(), None, 9).await.unwrap();
    assert_eq!(waiting.iter().map(|(day, ..)| *day).collect::<Vec<_>>(), [DAY, NEXT]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut sent = 0;
    for round in 0..5 {
        let house = House::open(folder.path()).await;
        let server = house.server();
        // Where the queue is short, not all of them fit; those that were taken count.
        for n in 0..400 * round {
            sent += u64::from(server.send(&success("d.test")).is_ok());
            if n % 50 == 0 {
                sent += u64::from(server.send(&failure("d.test", &format!("mx at {n}"))).is_ok());
            }
        }
        // At once, with the queue full.
        house.close().await;
        assert!(server.send(&success("d.test")).is_err(), "nobody listens any more");
        assert!(!folder.path().join("tlsrpt.sock").exists());
    }
    let house = House::open(folder.path()).await;
    assert_eq!(stored(&house.store, DAY, "d.test").await, sent);
    assert!(sent > 100, "{sent}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ehlo_answers_that_tell_the_time_are_capped() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    let server = house.server();
    server.set_nonblocking(false).unwrap();
    for n in 0..3 * KINDS_A_DAY {
        server.send(&failure("d.test", &format!("250-mx id {n}\r\n250 STARTTLS"))).unwrap();
    }
    house.until(DAY, "d.test", 3 * KINDS_A_DAY as u64).await;
    let tally = house.store.tally(DAY, &PolicyDomain::parse("d.test").unwrap()).await.unwrap().unwrap();
    let failures = &tally.policies[0].failures;
    assert_eq!(failures.len(), KINDS_A_DAY + 1);
    assert_eq!(failures.iter().map(|(_, count)| count).sum::<u64>(), 3 * KINDS_A_DAY as u64);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_see_ourselves_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.server().send(&failure("d.test", "mx")).unwrap();
    // The same policy and failure as told by the mail server: a failed session twice, a detail alone once.
    for (source, session_failed) in [
        (TallySource::Mailward, true),
        (TallySource::Mailward, true),
        (TallySource::Mailward, false),
        (TallySource::Probe, false),
    ] {
        let told = parse(&failure("d.test", "mx")).unwrap();
        let seen = told.policies.into_iter().map(|session| Seen {
            policy: session.policy,
            session_failed,
            failures: session.failures,
        });
        let (domain, record, seen) = (told.domain, told.record, seen.collect());
        house.door.count(Own { domain, record, source, seen });
    }
    house.until(DAY, "d.test", 3).await;
    let domain = PolicyDomain::parse("d.test").unwrap();
    for (source, sessions, failures) in [
        (Some(TallySource::MailServer), 1, 1),
        (Some(TallySource::Mailward), 2, 3),
        (Some(TallySource::Probe), 0, 1),
        (None, 3, 4),
    ] {
        let tally = house.store.tally_from(DAY, &domain, source).await.unwrap().unwrap();
        let [policy] = &tally.policies[..] else { panic!("{source:?}: {:?}", tally.policies) };
        let sum: u64 = policy.failures.iter().map(|(_, count)| count).sum();
        assert_eq!((policy.successful, policy.failed, sum), (0, sessions, failures), "{source:?}");
    }
    house.close().await;
}

fn sqlite(house: &House, statement: &str) -> bool {
    let database = house.folder.join("mailward.db");
    Command::new("sqlite3").arg(database).arg(statement).status().is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_goes_on_while_the_store_fails() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    if !sqlite(&house, "PRAGMA busy_timeout = 20000; ALTER TABLE tallies RENAME TO away") {
        assert!(std::env::var_os("CI").is_none(), "sqlite3 is not installed");
        eprintln!("skipped: sqlite3 is not installed");
        return house.close().await;
    }
    let server = house.server();
    server.set_nonblocking(false).unwrap();
    server.send(&success("d.test")).unwrap();
    until("the health tells of the store", async || !house.status.health().ok).await;
    let reason = house.status.health().reason.unwrap();
    assert!(reason.contains("in memory") && reason.contains("tallies"), "{reason}");
    for n in 0..200 {
        server.send(&success(&format!("d{}.test", n % 10))).unwrap();
        server.send(&success("d.test")).unwrap();
    }
    assert!(sqlite(&house, "PRAGMA busy_timeout = 20000; ALTER TABLE away RENAME TO tallies"));
    house.until(DAY, "d.test", 201).await;
    for n in 0..10 {
        house.until(DAY, &format!("d{n}.test"), 20).await;
    }
    until("it is well again", async || house.status.health().ok).await;
    // At the end there is a limit to waiting.
    assert!(sqlite(&house, "PRAGMA busy_timeout = 20000; ALTER TABLE tallies RENAME TO away"));
    server.send(&success("d.test")).unwrap();
    let began = tokio::time::Instant::now();
    house.close().await;
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_tallies_go_when_the_collector_starts() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::at(folder.path(), Hand::at("2028-02-29T12:00:00Z")).await;
    house.server().send(&success("d.test")).unwrap();
    house.until(DAY, "d.test", 1).await;
    house.close().await;
    // Thirty days later it is still there, a day more and it is not.
    let house = House::at(folder.path(), Hand::at("2028-03-30T12:00:00Z")).await;
    house.server().send(&success("d.test")).unwrap();
    house.until("2028-03-30".parse().unwrap(), "d.test", 1).await;
    assert_eq!(stored(&house.store, DAY, "d.test").await, 1);
    house.close().await;
    let house = House::at(folder.path(), Hand::at("2028-03-31T00:00:01Z")).await;
    until("the day is dropped", async || stored(&house.store, DAY, "d.test").await == 0).await;
    assert_eq!(stored(&house.store, "2028-03-30".parse().unwrap(), "d.test").await, 1);
    house.close().await;
}
