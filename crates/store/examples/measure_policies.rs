//! Measures what the sending side asks of the store: batches in, pages out, counts for the dashboard.
//!
//! `cargo run --release -p mailward-store --example measure_policies -- [STORE-URL] [DOMAINS]` (default: a
//! file in the temporary directory, 1,000,000 domains).

use jiff::{SignedDuration, Timestamp};
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use mailward_store::Store;
use mailward_store::policies::{Branch, HeldPolicy, KnownPolicy, PolicyFilter, RefreshFailure};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BATCH: u64 = 1_000;
const PAGE: u32 = 5_000;
const MAX_AGES: [u32; 4] = [86_400, 604_800, 1_209_600, 31_557_600];

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("measure.db");
    let url = arguments.next().unwrap_or_else(|| format!("sqlite:{}", file.display()));
    let domains = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let store = Store::open(&url).await?;
    let size = || std::fs::metadata(&file).map_or(0, |file| file.len() >> 20);

    put(&store, "first", domains, |n| n, 0).await?;
    println!("{:>12} MB", size());
    load(&store).await?;
    // In an order that has nothing to do with the first: as refreshes come.
    for round in 1..=3 {
        put(&store, "refresh", domains, |n| n.wrapping_mul(7_368_787) % domains, round).await?;
        println!("{:>12} MB", size());
    }
    load(&store).await?;
    ask(&store).await?;

    let start = tokio::time::Instant::now();
    let forgotten = store.forget_unused_policies(moment(3, domains - domains / 4)).await?;
    println!("{:>12.0} rows/s forgotten, {forgotten} in all", rate(forgotten, start));
    ask(&store).await?;
    store.close().await;
    println!("{:>12} MB", size());
    Ok(())
}

async fn put(store: &Store, what: &str, domains: u64, order: impl Fn(u64) -> u64, round: i64) -> Outcome<()> {
    let (mut seconds, mut longest) = (0.0, 0.0f64);
    for first in (0..domains).step_by(usize::try_from(BATCH)?) {
        let rows = (first..(first + BATCH).min(domains)).map(|n| known(order(n), round));
        let rows: Vec<_> = rows.collect::<Outcome<_>>()?;
        let start = tokio::time::Instant::now();
        store.put_known_policies(&rows).await?;
        let took = start.elapsed().as_secs_f64();
        (seconds, longest) = (seconds + took, longest.max(took));
    }
    let rate = domains as f64 / seconds;
    println!(
        "{rate:>12.0} rows/s put ({what}), the slowest batch of {BATCH} took {:.0} ms",
        longest * 1000.0
    );
    Ok(())
}

async fn load(store: &Store) -> Outcome<()> {
    let (start, mut loaded, mut after) = (tokio::time::Instant::now(), 0, 0);
    loop {
        let (rows, last) = store.known_policies_since(after, PAGE).await?;
        loaded += rows.len() as u64;
        if last == after {
            break;
        }
        after = last;
    }
    println!("{:>12.0} rows/s loaded in pages of {PAGE}, {loaded} in all", rate(loaded, start));
    Ok(())
}

async fn ask(store: &Store) -> Outcome<()> {
    let now = moment(3, 0) + SignedDuration::from_hours(30);
    for _ in 0..2 {
        let start = tokio::time::Instant::now();
        let counts = store.policy_counts(now).await?;
        println!("{:>12.2} ms  {counts:?}", start.elapsed().as_secs_f64() * 1000.0);
    }
    use PolicyFilter::{All, Enforced, Failing};
    for (filter, search, after) in [
        (All, None, None),
        (All, None, Some("d5")),
        (All, Some("77"), None),
        (All, Some("d777"), None),
        (All, Some("customer"), None),
        (All, Some("no such name"), None),
        (Enforced, None, Some("d5")),
        (Enforced, Some("no such name"), None),
        (Failing, None, None),
        (Failing, Some("99"), None),
    ] {
        let start = tokio::time::Instant::now();
        let page = store.policies_page(filter, search, after, 100).await?;
        let rows = page.rows.len();
        let took = start.elapsed().as_secs_f64() * 1000.0;
        println!(
            "{took:>12.2} ms  {rows} of {filter:?} with {search:?} after {after:?}, goes on at {:?}",
            page.next
        );
    }
    Ok(())
}

fn rate(rows: u64, start: tokio::time::Instant) -> f64 {
    rows as f64 / start.elapsed().as_secs_f64()
}

/// Twelve domains a second.
fn moment(round: i64, number: u64) -> Timestamp {
    let seconds = 1_773_400_000 + round * 86_400 + i64::try_from(number / 12).unwrap_or(0);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

fn known(number: u64, round: i64) -> Outcome<KnownPolicy> {
    let domain = PolicyDomain::parse(&format!("d{number}.customer.example"))?;
    let at = moment(round, number);
    let mode = [Mode::Enforce, Mode::Enforce, Mode::Testing, Mode::None][(number / 3 % 4) as usize];
    let max_age = MAX_AGES[(number / 7 % 4) as usize];
    let body = format!(
        "version: STSv1\r\nmode: {mode}\r\nmx: mx1.{domain}\r\nmx: *.mail.provider.example\r\nmax_age: {max_age}\r\n"
    );
    let policy = HeldPolicy {
        id: format!("20260313{number:08}"),
        body: body.into_bytes(),
        mode,
        max_age,
        fetched_at: at,
        record_seen_at: at,
    };
    let failure = (number.is_multiple_of(200)).then(|| RefreshFailure {
        id: Some("20260314".into()),
        since: at,
        last_at: at,
        reason: "fetch-failed".into(),
        detail: "the certificate has expired".into(),
    });
    let branch = (number.is_multiple_of(2)).then(|| Branch {
        kind: if number.is_multiple_of(10) { "full" } else { "absent" }.into(),
        mx: vec![format!("mx1.{domain}"), "mx2.mail.provider.example".into()],
        decided_at: at,
        ttl: 3_600,
    });
    Ok(KnownPolicy { domain, policy: Some(policy), failure, branch, used_at: at })
}
