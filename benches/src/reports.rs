//! Reports that come in: how many a core reads, and how many an import stores for good.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailward_core::PolicyDomain;
use mailward_core::clock::FixedClock;
use mailward_core::mta_sts::Mode;
use mailward_core::tlsrpt::{Incoming, Limits, Parsed, parse};
use mailward_receiving::intake::Intake;
use mailward_store::Store;
use mailward_store::domains::HeldDomain;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::mails;
use crate::measure::{self, Cost, Stopwatch};
use crate::table::{Row, Table, thousands};

/// Different mails that are read.
const MAILS: u32 = 2_000;
/// How often all of them.
const ROUNDS: u32 = 20;
/// Mails in the folder imported, and in the smaller folder that memory is compared with.
const MANY: u32 = 20_000;
const FEW: u32 = 5_000;
/// Mails in a transaction of the yardstick, as many as the import takes.
const BATCH: usize = 512;

/// Measures and prints.
pub fn run() -> Result<(), String> {
    let mails: Vec<Vec<u8>> = (0..MAILS).map(mails::mail).collect();
    let bytes: usize = mails.iter().map(Vec::len).sum();
    println!("{MAILS} report mails of {} octets on average, one core", bytes / mails.len());
    let mut table = Table::default();
    reading(&mails, &mut table)?;
    importing(&mut table)?;
    table.print("Reports");
    Ok(())
}

/// Imports a folder of many mails, one of few, and does the least with the same many; each in a process
/// of its own, whose memory is then that of the import.
fn importing(table: &mut Table) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let of = |count: u32| folder.path().join(count.to_string());
    for count in [FEW, MANY] {
        std::fs::create_dir(of(count)).map_err(|e| e.to_string())?;
        for number in 0..count {
            let path = of(count).join(format!("{number:05}.eml"));
            std::fs::write(path, mails::mail(number)).map_err(|e| e.to_string())?;
        }
    }
    let few = child("import", &of(FEW), &folder.path().join("few.db"))?;
    let many = child("import", &of(MANY), &folder.path().join("many.db"))?;
    let bare = child("import-bare", &of(MANY), &folder.path().join("bare.db"))?;
    let count = f64::from(MANY);
    table.rate(
        "imported for good, by the clock",
        count / many.cost.wall,
        count / bare.cost.wall,
        "/s",
        3_000.0,
    );
    table.rate("imported, by processor time", count / many.cost.cpu, count / bare.cost.cpu, "/s", 10_000.0);
    table.row(Row {
        what: format!("import: peak memory, {} mails and {}", thousands(count), thousands(f64::from(FEW))),
        ours: format!("{:.1} MiB", many.peak),
        yardstick: format!("{:.1} MiB", few.peak),
        ratio: format!("{:.2}", many.peak / few.peak),
        goal: "does not grow".to_owned(),
    });
    Ok(())
}

/// What a child came to.
struct Run {
    cost: Cost,
    peak: f64,
}

fn child(command: &str, folder: &Path, database: &Path) -> Result<Run, String> {
    let myself = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = std::process::Command::new(myself).arg(command).arg(folder).arg(database).output();
    let output = output.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match figures[..] {
        [wall, cpu, peak] if output.status.success() => Ok(Run { cost: Cost { wall, cpu }, peak }),
        _ => Err(format!("{command}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn tell(cost: Cost) {
    println!("{} {} {}", cost.wall, cost.cpu, measure::peak_memory("self"));
}

/// The child that imports a folder into a new database, where a thousand domains are held.
pub fn import(folder: &Path, database: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let store =
            Store::open(&format!("sqlite:{}", database.display())).await.map_err(|e| e.to_string())?;
        hold_domains(&store).await?;
        let intake = Intake::new(store.clone(), None, Arc::new(FixedClock(now())));
        let watch = Stopwatch::start();
        let totals = intake.import(&[folder.to_owned()], |_| ()).await.map_err(|e| e.to_string())?;
        tell(watch.cost());
        store.close().await;
        if totals.new != totals.items || totals.items == 0 {
            return Err(format!("not every mail brought a new report: {totals:?}"));
        }
        Ok(())
    })
}

/// Holds the domains that the mails report on.
pub async fn hold_domains(store: &Store) -> Result<(), String> {
    for number in 0..mails::DOMAINS {
        let name = mails::domain(number);
        let domain = HeldDomain {
            domain: PolicyDomain::parse(&name).map_err(|e| e.to_string())?,
            mode: Mode::Testing,
            mx: vec![format!("mx0.{name}"), format!("mx1.{name}")],
            max_age: 604_800,
            policy_id: "20260901T000000".to_owned(),
            policy_body: format!(
                "version: STSv1\r\nmode: testing\r\nmx: mx0.{name}\r\nmx: mx1.{name}\r\nmax_age: 604800\r\n"
            ),
            rua: vec![format!("mailto:tls-reports@{name}")],
            added_at: now(),
            mode_since: now(),
        };
        store.put_domain(&domain, "bench", "measured", now()).await.map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// The child that does the least: every file read, its payload decoded and unpacked, its JSON read, its
/// bytes inserted, as durably and in batches as large.
pub fn import_bare(folder: &Path, database: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let files = std::fs::read_dir(folder).map_err(|e| e.to_string())?;
    let mut paths: Vec<_> = files.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    runtime.block_on(async {
        let text = |e: sqlx::Error| e.to_string();
        let mut connection = SqliteConnectOptions::new()
            .filename(database)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .connect()
            .await
            .map_err(text)?;
        let table = "CREATE TABLE mails (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)";
        sqlx::query(table).execute(&mut connection).await.map_err(text)?;
        let watch = Stopwatch::start();
        for batch in paths.chunks(BATCH) {
            sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(text)?;
            for path in batch {
                let mail = std::fs::read(path).map_err(|e| e.to_string())?;
                std::hint::black_box(bare_value(&mails::packed_text(&mail))?);
                let insert = sqlx::query("INSERT INTO mails (bytes) VALUES ($1)").bind(mail);
                insert.execute(&mut connection).await.map_err(text)?;
            }
            sqlx::query("COMMIT").execute(&mut connection).await.map_err(text)?;
        }
        tell(watch.cost());
        Ok(())
    })
}

/// Reads every mail some times, in turns with the yardstick, so that both meet the same machine.
fn reading(mails: &[Vec<u8>], table: &mut Table) -> Result<(), String> {
    let payloads: Vec<Vec<u8>> = mails.iter().map(|mail| mails::packed_text(mail)).collect();
    let (mut ours, mut bare) = (Cost::default(), Cost::default());
    for _ in 0..ROUNDS {
        ours.add(read_all(mails)?);
        bare.add(read_bare(&payloads)?);
    }
    let count = f64::from(MAILS * ROUNDS);
    let goal = 20_000.0;
    table.rate("read and normalised, by processor time", count / ours.cpu, count / bare.cpu, "/s", goal);
    table.rate("the same by the clock", count / ours.wall, count / bare.wall, "/s", 0.0);
    Ok(())
}

/// The day on which everything is read and asked for.
pub fn now() -> jiff::Timestamp {
    mailward_lab::WorldOptions::default().now
}

fn read_all(mails: &[Vec<u8>]) -> Result<Cost, String> {
    let (limits, now) = (Limits::default(), now());
    let watch = Stopwatch::start();
    for mail in mails {
        let (parsed, _) = parse(mail, &Incoming::default(), &limits, now);
        let Parsed::Accepted(reports) = std::hint::black_box(parsed) else {
            return Err("a generated mail is no report".to_owned());
        };
        if reports.len() != 1 {
            return Err(format!("{} reports in a generated mail", reports.len()));
        }
    }
    Ok(watch.cost())
}

/// The yardstick: the least anybody must do with the payload, who was told where it stands.
fn read_bare(payloads: &[Vec<u8>]) -> Result<Cost, String> {
    let watch = Stopwatch::start();
    for payload in payloads {
        std::hint::black_box(bare_value(payload)?);
    }
    Ok(watch.cost())
}

fn bare_value(payload: &[u8]) -> Result<serde_json::Value, String> {
    let packed = STANDARD.decode(payload).map_err(|e| e.to_string())?;
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut text).map_err(|e| e.to_string())?;
    serde_json::from_slice(&text).map_err(|e| e.to_string())
}
