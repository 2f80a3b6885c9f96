//! Kill -9 loses nothing and counts nothing twice: a child process stores reports in batches and is killed
//! twenty times; afterwards everything it reported as stored is there, and storing all again makes the sums
//! equal to the truth.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use jiff::civil::date;
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use mailward_core::rollout::Trust;
use mailward_store::Store;
use mailward_store::domains::HeldDomain;
use mailward_store::reports::{Content, IncomingItem};

const REPORTS: u64 = 5_000;
const BATCH: u64 = 50;
const KILLS: u64 = 20;
/// Set for the child only.
const URL: &str = "MAILWARD_CRASH_TEST_URL";
const FROM: &str = "MAILWARD_CRASH_TEST_FROM";

/// Every seventh revises the one before it.
fn id(number: u64) -> u64 {
    if number % 7 == 6 { number - 1 } else { number }
}

fn passed(number: u64) -> u64 {
    100 + number
}

fn domain(number: u64) -> String {
    format!("d{}.example", id(number) % 5)
}

fn item(number: u64) -> IncomingItem {
    let report = serde_json::json!({
        "organization-name": "Reporter", "contact-info": "tls@r.example", "report-id": id(number).to_string(),
        "date-range": {"start-datetime": "2026-03-13T00:00:00Z", "end-datetime": "2026-03-13T23:59:59Z"},
        "policies": [{
            "policy": {"policy-type": "sts", "policy-string": [], "policy-domain": domain(number), "mx-host": []},
            "summary": {"total-successful-session-count": passed(number), "total-failure-session-count": 2},
            "failure-details": [{"result-type": "certificate-expired", "failed-session-count": 2}],
        }],
    });
    IncomingItem {
        raw: report.to_string().into_bytes(),
        source: "import".into(),
        origin: number.to_string(),
        received_at: jiff::Timestamp::from_second(1_773_400_000 + i64::try_from(number).unwrap()).unwrap(),
        trust: Trust::Trusted,
        dkim: None,
        submitter: "r.example".into(),
        content: Content::Reports(vec![(serde_json::from_value(report).unwrap(), Vec::new())]),
        findings: Vec::new(),
    }
}

fn batch(first: u64) -> Vec<IncomingItem> {
    (first..first + BATCH).map(item).collect()
}

/// Not a test of its own: what the child runs.
#[tokio::test]
#[ignore = "run by kills_lose_nothing as a child process"]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let from: u64 = std::env::var(FROM).unwrap().parse().unwrap();
    let store = Store::open(&url).await.unwrap();
    for first in (from..REPORTS).step_by(BATCH as usize) {
        store.insert_items(&batch(first)).await.unwrap();
        println!("stored {first}");
    }
}

/// Runs the child from a report on and kills it in the middle of things; the last batch it told of.
fn run_and_kill(url: &str, from: u64, seed: u64) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(URL, url)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let batches = 1 + seed % 9;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let number = |line: String| line.strip_prefix("stored ")?.parse::<u64>().ok();
    let mut told = lines.by_ref().filter_map(number).take(usize::try_from(batches).unwrap()).last();
    // Some way into the next batch: the point is to strike anywhere, not to wait for anything.
    std::thread::sleep(std::time::Duration::from_micros(seed % 13 * 900));
    child.kill().unwrap();
    child.wait().unwrap();
    // What it could still tell counts too.
    told = lines.filter_map(number).last().or(told);
    told
}

#[tokio::test]
async fn kills_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/mailward.db", folder.path().display());
    let (mut next, mut seed) = (0, 7u64);
    for _ in 0..KILLS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // As an importer that starts again: some of what is stored comes once more.
        let told = run_and_kill(&url, u64::saturating_sub(next, 2 * BATCH), seed >> 33);
        next = told.map_or(next, |told| next.max(told + BATCH));
    }
    assert!(next > 0, "nothing was ever stored");

    let store = Store::open(&url).await.unwrap();
    let mut new_after_all = 0;
    for first in (0..REPORTS).step_by(BATCH as usize) {
        for stored in store.insert_items(&batch(first)).await.unwrap() {
            let changed = stored.new + stored.revisions;
            assert!(first >= next || changed == 0, "report {first} was told to be stored, and is not");
            new_after_all += changed;
        }
    }
    println!("{next} reports told as stored over {KILLS} kills, {new_after_all} left");
    let (mut before, mut ids, mut rows) = (None, HashSet::new(), 0);
    loop {
        let page = store.reports(&Default::default(), before, 500).await.unwrap();
        rows += page.rows.len() as u64;
        ids.extend(page.rows.into_iter().filter(|row| !row.superseded).map(|row| row.report_id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!((rows, ids.len() as u64), (REPORTS, REPORTS - REPORTS / 7), "each report stands once");

    let mut truth: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    // A revised report counts as its revision says.
    for number in (0..REPORTS).filter(|n| n % 7 != 5 || n + 1 == REPORTS) {
        let sums = truth.entry(domain(number)).or_default();
        *sums = (sums.0 + passed(number), sums.1 + 2);
    }
    for (name, sums) in truth {
        let name = PolicyDomain::parse(&name).unwrap();
        let at = jiff::Timestamp::UNIX_EPOCH;
        let held = HeldDomain {
            domain: name.clone(),
            mode: Mode::Testing,
            mx: Vec::new(),
            max_age: 86_400,
            policy_id: String::new(),
            policy_body: String::new(),
            rua: Vec::new(),
            added_at: at,
            mode_since: at,
        };
        store.put_domain(&held, "test", "test", at).await.unwrap();
        let days = store.session_days(&name, date(2026, 3, 13), date(2026, 3, 13)).await.unwrap();
        assert_eq!((days[0].successful, days[0].failed), sums, "{name}");
        let problems = store.problems(Some(&name), date(2026, 3, 1), 9).await.unwrap();
        assert_eq!(problems[0].sessions, sums.1, "{name}");
    }
}
