//! Several processes write to one database at once, as the daemon, a second node and a command do, while
//! another one follows what they write.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use jiff::SignedDuration;
use mailward_core::mta_sts::Mode;
use mailward_store::Store;
use mailward_store::policies::{HeldPolicy, KnownPolicy};

use crate::build::{at, day, domain, held, hold, item, report, sts, sums};
use crate::engines::Opened;
use crate::policies::{nothing_of, policy};

const WRITERS: u64 = 4;
const ROUNDS: u64 = 12;
/// Domains of which every writer learns something in each round.
const SHARED: u64 = 40;
/// Set for the children only.
const URL: &str = "MAILWARD_WRITERS_URL";
const WRITER: &str = "MAILWARD_WRITERS_NUMBER";
const WHAT: &str = "MAILWARD_WRITERS_WHAT";

/// Not a test of its own: what a child runs.
#[tokio::test]
#[ignore = "run by the tests of this file as a child process"]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let writer: u64 = std::env::var(WRITER).unwrap().parse().unwrap();
    let store = Store::open(&url).await.unwrap();
    for round in 0..ROUNDS {
        match std::env::var(WHAT).unwrap().as_str() {
            "reports" => write_reports(&store, writer, round).await,
            "policies" => write_policies(&store, writer, round).await,
            other => panic!("{other}"),
        }
    }
    store.close().await;
}

/// Starts the writers; returns when all have ended well.
async fn run_writers(url: &str, what: &str) {
    let start = |writer: u64| {
        Command::new(std::env::current_exe().unwrap())
            .args(["writers::child", "--exact", "--ignored", "--nocapture"])
            .env(URL, url)
            .env(WRITER, writer.to_string())
            .env(WHAT, what)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..WRITERS).map(start).collect();
    for mut child in children {
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert!(status.success(), "a writer failed: {status}");
    }
}

/// Of each round's reports the even ones are sent by all writers, the odd ones by each its own.
async fn write_reports(store: &Store, writer: u64, round: u64) {
    let items: Vec<_> = (0..5)
        .map(|n| {
            let shared = n % 2 == 0;
            let id = if shared { format!("all-{round}-{n}") } else { format!("{writer}-{round}-{n}") };
            let passed = 1 + n + 10 * round + if shared { 0 } else { 1_000 * (writer + 1) };
            let entry = sts("d.example", passed, 1).detail("certificate-expired", Some("mx1"), None, 1);
            item("03-14", report(&id, "03-13", &[entry]))
        })
        .collect();
    store.insert_items(&items).await.unwrap();
    let own = held(&format!("w{writer}-{round}.example"), "testing");
    store.put_domain(&own, "cli", "", at("03-01")).await.unwrap();
}

pub async fn reports_of_many_writers_count_once(store: Opened) {
    hold(&store, "d.example").await;
    run_writers(&store.url, "reports").await;
    let rows = store.reports(&Default::default(), None, 10_000).await.unwrap().rows;
    assert_eq!(rows.len() as u64, ROUNDS * (3 + 2 * WRITERS));
    assert!(rows.windows(2).all(|two| two[0].number > two[1].number), "each number once");
    let passed: u64 = (0..ROUNDS)
        .flat_map(|round| (0..5).map(move |n| (round, n)))
        .map(|(round, n)| match n % 2 {
            0 => 1 + n + 10 * round,
            _ => (0..WRITERS).map(|writer| 1 + n + 10 * round + 1_000 * (writer + 1)).sum(),
        })
        .sum();
    let failed = rows.len() as u64;
    assert_eq!(sums(&store, "d.example", "03-13").await, [passed, failed, 0, 0]);
    let problems = store.problems(Some(&domain("d.example")), day("03-01"), 9).await.unwrap();
    assert_eq!((problems.len(), problems[0].sessions), (1, failed));
    assert_eq!(store.domains().await.unwrap().len() as u64, 1 + WRITERS * ROUNDS);
    assert_eq!(store.served_policies(&domain("w3-0.example")).await.unwrap().len(), 1);
}

/// When a writer fetched the policy of a shared domain in a round: no two at once, and of each domain
/// another writer is the last.
fn fetched(number: u64, writer: u64, round: u64) -> HeldPolicy {
    let minutes = round * 60 + (writer * 7 + number * 3) % 11 * 4 + writer;
    let mode = [Mode::Enforce, Mode::Testing, Mode::None][((writer + round + number) % 3) as usize];
    let fetched_at = at("03-13") + SignedDuration::from_mins(i64::try_from(minutes).unwrap());
    let policy = policy(&shared(number), mode, "03-13").policy.unwrap();
    HeldPolicy { id: format!("w{writer}r{round}"), fetched_at, record_seen_at: fetched_at, ..policy }
}

fn shared(number: u64) -> String {
    format!("d{number}.example")
}

/// Batches of different sizes, so that a transaction that began first may end last.
async fn write_policies(store: &Store, writer: u64, round: u64) {
    let mut rows: Vec<KnownPolicy> = (0..SHARED)
        .map(|number| KnownPolicy {
            policy: Some(fetched(number, writer, round)),
            ..nothing_of(&shared(number))
        })
        .collect();
    let own = (writer + round) % 4 * 150;
    rows.extend((0..own).map(|n| policy(&format!("w{writer}-{round}-{n}.example"), Mode::Testing, "03-13")));
    if writer % 2 == 1 {
        rows.reverse();
    }
    store.put_known_policies(&rows).await.unwrap();
    if round == ROUNDS / 2 {
        store.forget_unused_policies(at("01-01")).await.unwrap();
    }
}

pub async fn followers_miss_no_policy(store: Opened) {
    let mut writers = std::pin::pin!(run_writers(&store.url, "policies"));
    let (mut seen, mut after, mut ended) = (BTreeMap::new(), 0, false);
    loop {
        let (rows, last) = tokio::select! {
            () = &mut writers, if !ended => { ended = true; continue }
            page = store.known_policies_since(after, 100) => page.unwrap(),
        };
        if rows.is_empty() && ended {
            break;
        }
        assert!(last > after || rows.is_empty());
        after = last;
        seen.extend(rows.into_iter().map(|row| (row.domain.clone(), row)));
    }
    let (stored, _) = store.known_policies_since(0, 1_000_000).await.unwrap();
    let own: u64 = (0..WRITERS).flat_map(|w| (0..ROUNDS).map(move |r| (w + r) % 4 * 150)).sum();
    assert_eq!(stored.len() as u64, SHARED + own);
    for row in &stored {
        assert_eq!(seen.get(&row.domain), Some(row), "the follower has it as it is stored");
    }
    for number in 0..SHARED {
        let last =
            (0..WRITERS).map(|writer| fetched(number, writer, ROUNDS - 1)).max_by_key(|p| p.fetched_at);
        assert_eq!(seen[&domain(&shared(number))].policy, last, "the last fetched of {}", shared(number));
    }
    let live = |mode| stored.iter().filter(|row| row.policy.as_ref().unwrap().mode == mode).count() as u64;
    let counts = store.policy_counts(at("03-13")).await.unwrap();
    assert_eq!(counts.domains, stored.len() as u64);
    assert_eq!(
        (counts.none, counts.testing, counts.enforce),
        (live(Mode::None), live(Mode::Testing), live(Mode::Enforce))
    );
}
