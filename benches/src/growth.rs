//! How the tallies grow: days of sessions over many domains, on each engine, at two sizes.
//!
//! The larger is a tenth of what the tables are thought out for: ten million sessions a day over a hundred
//! thousand domains. A day goes into the store as the collector puts it there, but five minutes at a time;
//! in between, seconds as they are in earnest are put in and their time is taken. Domains are written to
//! by Zipf's law. Sizes are those of the whole database, its log folded in.

use std::process::Command;

use jiff::Span;
use jiff::civil::Date;
use mailward_duty::StopSignal;
use mailward_lab::{Security, World, WorldOptions};
use mailward_store::Store;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};

use crate::growth_sessions::Sessions;
use crate::measure::{Stopwatch, median_and_worst};
use crate::postgres::Postgres;
use crate::reporter;
use crate::table::{Row, Table, thousands};

/// Sessions a day, and domains.
const SIZES: [(u64, usize); 2] = [(1_000_000, 10_000), (10_000_000, 100_000)];
/// Seconds that go in at once.
const LOT: u64 = 300;
/// Every so many lots …
const SAMPLE_EVERY: u64 = 36;
/// … so many seconds go in one by one.
const SAMPLE: u64 = 25;
/// Domains in one transaction, as the collector has it.
const AT_ONCE: usize = 2_000;

/// Measures and prints, for each engine that is there.
pub fn run(engines: &[&str]) -> Result<(), String> {
    let wanted = |engine: &str| engines.is_empty() || engines.contains(&engine);
    if wanted("sqlite") {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let url = |size: usize| Ok(format!("sqlite:{}/growth{size}.db", folder.path().display()));
        measured("SQLite", url)?;
    }
    if wanted("postgres") {
        match Postgres::start()? {
            Some(server) => measured("PostgreSQL", |size| server.database(&format!("growth{size}")))?,
            None => println!("PostgreSQL 15 is not installed; not measured"),
        }
    }
    Ok(())
}

fn measured(engine: &str, url: impl Fn(usize) -> Result<String, String>) -> Result<(), String> {
    let [small, large] = SIZES;
    let (few, many) = (child(&url(small.1)?, small)?, child(&url(large.1)?, large)?);
    let mut table = Table::default();
    for ((what, few), (_, many)) in few.iter().zip(&many) {
        let number = |text: &str| text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
        let ratio = number(many).zip(number(few)).filter(|(_, few)| *few > 0.0);
        table.row(Row {
            what: what.clone(),
            ours: many.clone(),
            yardstick: few.clone(),
            ratio: ratio.map_or_else(String::new, |(many, few)| format!("{:.1}", many / few)),
            goal: String::new(),
        });
    }
    table.print(&format!(
        "growth on {engine}: {} sessions a day over {} domains, and in the second column {} over {}",
        thousands(large.0 as f64),
        thousands(large.1 as f64),
        thousands(small.0 as f64),
        thousands(small.1 as f64),
    ));
    Ok(())
}

/// What a process of its own tells: a name and a figure on each line.
fn child(url: &str, (sessions, domains): (u64, usize)) -> Result<Vec<(String, String)>, String> {
    let world = World::start(&WorldOptions::default()).map_err(|e| e.to_string())?;
    world.zone("test", Security::Unsigned).map_err(|e| e.to_string())?;
    world.set("*.test", "TXT", &["v=TLSRPTv1; rua=mailto:tls@reports.test"]).map_err(|e| e.to_string())?;
    let myself = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(myself);
    command.args([
        "growth-run",
        &world.resolver.to_string(),
        url,
        &sessions.to_string(),
        &domains.to_string(),
    ]);
    let output = command.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("growth-run: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    eprint!("{text}");
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    Ok(lines.map(|(what, figure)| (what.to_owned(), figure.to_owned())).collect())
}

/// The child: four days, the reports of the first, and the first two dropped before the last.
pub fn grow(resolver: &str, url: &str, sessions: u64, domains: usize) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let store = Store::open(url).await.map_err(|e| e.to_string())?;
        let mut source = Sessions::new(sessions, domains)?;
        let last = reporter::yesterday()?;
        let day = |back: i64| last.saturating_sub(Span::new().days(back));
        let empty = size(url).await?;
        let first = fill(&store, &mut source, day(3)).await?;
        let one = size(url).await?;
        println!("size after a day: {}", mib(one.0));
        println!("for each domain: {:.0} bytes", (one.0 - empty.0) / domains as f64);
        println!("a second's sessions stored, in the middle of 200 of the first day: {:.1} ms", first.middle);
        println!("at worst: {:.1} ms", first.worst);
        println!("processor time of it: {:.1} ms", first.cpu);
        println!("a whole day stored, five minutes at a time: {:.1} s", first.whole);

        let made = make(resolver, &store).await?;
        let reported = size(url).await?;
        println!("reports of a day made, by the clock: {:.1} s", made.0);
        println!("the same in processor time: {:.1} s", made.1);
        println!("size of a day's reports: {}", mib(reported.0 - one.0));

        fill(&store, &mut source, day(2)).await?;
        let two = size(url).await?;
        println!("size of the second day: {}", mib(two.0 - reported.0));
        let third = fill(&store, &mut source, day(1)).await?;
        let three = size(url).await?;
        println!("size of the third day: {}", mib(three.0 - two.0));
        println!("a second's sessions stored, in the middle of 200 of the third day: {:.1} ms", third.middle);

        let watch = Stopwatch::start();
        store.drop_tallies(day(1)).await.map_err(|e| e.to_string())?;
        println!("two days dropped: {:.1} s", watch.cost().wall);
        let dropped = size(url).await?;
        println!("size then: {}", mib(dropped.0));
        println!("of it free: {}", mib(dropped.1));
        fill(&store, &mut source, day(0)).await?;
        println!("size after one more day: {}", mib(size(url).await?.0));
        store.close().await;
        Ok(())
    })
}

/// What it took to store a day: milliseconds for a second's sessions, seconds for the whole.
struct Filled {
    middle: f64,
    worst: f64,
    cpu: f64,
    whole: f64,
}

async fn fill(store: &Store, source: &mut Sessions, day: Date) -> Result<Filled, String> {
    let (mut times, mut cpu, mut whole) = (Vec::new(), 0.0, 0.0);
    let mut second = 0;
    let mut lot = 0;
    while second < 86_400 {
        let sampled = lot % SAMPLE_EVERY == SAMPLE_EVERY - 1;
        let pieces: Vec<u64> = match sampled {
            true => {
                std::iter::repeat_n(1, usize::try_from(SAMPLE).unwrap_or(0)).chain([LOT - SAMPLE]).collect()
            }
            false => vec![LOT],
        };
        for seconds in pieces {
            let increments = source.take(day, seconds)?;
            let watch = Stopwatch::start();
            for part in increments.chunks(AT_ONCE) {
                store.add_tallies(part).await.map_err(|e| e.to_string())?;
            }
            let cost = watch.cost();
            if seconds == 1 {
                times.push(watch.elapsed());
                cpu += cost.cpu;
            } else {
                whole += cost.wall;
            }
        }
        second += LOT;
        lot += 1;
    }
    let samples = times.len() as f64;
    let (middle, worst) = median_and_worst(times);
    Ok(Filled { middle, worst, cpu: cpu * 1000.0 / samples, whole })
}

/// Seconds by the clock, and of processor time of this process.
async fn make(resolver: &str, store: &Store) -> Result<(f64, f64), String> {
    let reporter = reporter::reporter(resolver, store, vec![])?;
    let (_signal, stop) = StopSignal::new();
    let watch = Stopwatch::start();
    reporter.make(&stop).await.map_err(|e| e.to_string())?;
    let cost = watch.cost();
    Ok((cost.wall, cost.cpu))
}

/// Bytes of the database, and those of it that are free for what comes.
async fn size(url: &str) -> Result<(f64, f64), String> {
    let text = |e: sqlx::Error| e.to_string();
    let Some(file) = url.strip_prefix("sqlite:") else {
        let options: sqlx::postgres::PgConnectOptions = url.parse().map_err(text)?;
        let mut connection = options.connect().await.map_err(text)?;
        sqlx::query("VACUUM").execute(&mut connection).await.map_err(text)?;
        let size = "SELECT pg_database_size(current_database())";
        let row = sqlx::query(size).fetch_one(&mut connection).await.map_err(text)?;
        connection.close().await.map_err(text)?;
        return Ok((row.get::<i64, _>(0) as f64, 0.0));
    };
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = options.connect().await.map_err(text)?;
    let mut figures = [0.0; 2];
    for (figure, pragma) in figures.iter_mut().zip(["page_size", "freelist_count"]) {
        let query = AssertSqlSafe(format!("PRAGMA {pragma}"));
        let row = sqlx::query(query).fetch_one(&mut connection).await.map_err(text)?;
        *figure = row.get::<i64, _>(0) as f64;
    }
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.map_err(text)?;
    connection.close().await.map_err(text)?;
    let [page, free] = figures;
    let bytes = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    Ok((bytes as f64, page * free))
}

fn mib(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}
