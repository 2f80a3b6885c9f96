//! Measures the store: how fast reports go in, and how fast pages come out.
//!
//! `cargo run --release -p mailward-store --example measure -- [STORE-URL] [REPORTS] [DETAILS] [DOMAINS]`
//! (default: a file in the temporary directory, 100,000 reports of 10 failures for 1,000 domains).

mod load;

use load::Load;
use mailward_store::Store;

const BATCH: u64 = 300;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = tempfile::tempdir()?;
    let url = arguments.next().unwrap_or_else(|| format!("sqlite:{}/measure.db", folder.path().display()));
    let mut number = |default: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let load = Load {
        reports: number(100_000),
        details: number(10),
        domains: number(1_000),
        reporters: 20,
        days: 60,
    };
    let store = Store::open(&url).await?;
    load.hold(&store).await?;

    let (mut seconds, mut cpu) = (0.0, 0.0);
    for first in (0..load.reports).step_by(usize::try_from(BATCH)?) {
        let items: Vec<_> = (first..(first + BATCH).min(load.reports)).map(|n| load.item(n)).collect();
        let (start, cpu_start) = (tokio::time::Instant::now(), cpu_seconds());
        store.insert_items(&items).await?;
        seconds += start.elapsed().as_secs_f64();
        cpu += cpu_seconds() - cpu_start;
    }
    let reports = load.reports as f64;
    println!("{} reports with {} failure rows", load.reports, load.reports * load.details);
    println!(
        "insert: {:.0}/s, {:.0} a CPU second, {} kB at most in memory",
        reports / seconds,
        reports / cpu,
        peak_memory()
    );
    for (question, milliseconds) in load::ask(&store).await? {
        println!("{milliseconds:8.2} ms  {question}");
    }
    store.close().await;
    Ok(())
}

/// User and system time of this process, where /proc tells it (in ticks of a hundredth second).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("?").trim().trim_end_matches(" kB").to_owned()
}
