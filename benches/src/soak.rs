//! Hours of mail in minutes: ten thousand questions a second about a world in which a tenth of the domains
//! change, break and heal all the time.
//!
//! What each domain must answer is known at every moment. A new policy may be answered from the moment it
//! can be had, and must be answered when the longest time has gone by after which anybody who obeys
//! RFC 8461 has seen it; while its host, or its DNS, is broken the old one holds. The daemon's clock runs
//! twenty times as fast as the time, so that ten minutes see more than three hours of rechecks and
//! refreshes; its waits are as long as ever.

mod traffic;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use mailward_store::Store;
use tokio::time::{Instant, sleep, sleep_until};

use crate::policyd::{Place, Server, Setting};
use crate::sender_world;
use crate::table::{Row, Table, thousands};
use crate::world::Elsewhere;
use traffic::{Seen, traffic};
use trouble::{Ledger, restlessness};

/// Domains; every tenth is restless.
const DOMAINS: usize = 2_000;
/// Questions a second.
const RATE: usize = 10_000;
/// How many times as fast as the time the daemon's clock runs.
const SPEED: u32 = 20;
/// Seconds of that clock for which a record is believed.
const RECHECK: u64 = 300;
/// Before this the daemon meets its domains, and its memory grows.
const SETTLING: Duration = Duration::from_secs(60);
/// Nothing may take longer.
const LONGEST: Duration = Duration::from_secs(5);
/// Memory may differ by so much between the first and the last third after settling.
const GROWTH: f64 = 1.05;

/// Runs for so many seconds and prints what was seen; an error when something was not as it must be.
pub fn run(seconds: u64) -> Result<(), String> {
    let world = Elsewhere::spawn("sender-world", DOMAINS)?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let url = format!("sqlite:{}", folder.path().join("soak.db").display());
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async { Store::open(&url).await.map(drop) }).map_err(|e| e.to_string())?;
    let setting = Setting {
        trust_ad: true,
        root_pem: world.root_pem.clone(),
        https_port: world.https_port,
        recheck: RECHECK,
        speed: SPEED,
        ..Setting::offline(&url, world.resolver)
    };
    let server = Server::ours(folder.path(), &setting)?;
    let place = Place::Unix(server.unix.clone());
    println!(
        "{} domains, {} questions a second for {seconds} s, the clock {SPEED} times as fast",
        thousands(DOMAINS as f64),
        thousands(RATE as f64)
    );
    runtime.block_on(async {
        let ledger = Arc::new(Ledger::new(DOMAINS));
        traffic::meet_all(&place, &ledger).await?;
        let end = Instant::now() + Duration::from_secs(seconds);
        let trouble = tokio::task::spawn_blocking({
            let ledger = Arc::clone(&ledger);
            move || restlessness(world, &ledger, end.into_std())
        });
        let asking = traffic(&place, Arc::clone(&ledger), RATE, end);
        let (memory, seen) = tokio::join!(watch(&server, end), asking);
        let seen = seen?;
        let changes = trouble.await.map_err(|e| e.to_string())??;
        verdict(&memory, &seen, changes, &server)
    })
}

/// Resident memory once a second.
async fn watch(server: &Server, end: Instant) -> Vec<f64> {
    let mut memory = Vec::new();
    sleep(SETTLING).await;
    let mut next = Instant::now();
    while next < end {
        memory.push(server.resident());
        if memory.len() % 60 == 1 {
            println!("{:>6} s: {:.1} MiB resident", memory.len() + 59, server.resident());
        }
        next += Duration::from_secs(1);
        sleep_until(next).await;
    }
    memory
}

fn verdict(memory: &[f64], seen: &Seen, changes: u64, server: &Server) -> Result<(), String> {
    let third = (memory.len() / 3).max(1);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let first = mean(memory.get(..third).unwrap_or_default());
    let last = mean(memory.get(memory.len().saturating_sub(third)..).unwrap_or_default());
    let verdict = |fine: bool| if fine { "met" } else { "missed" };
    let row =
        |what: &str, ours: String, goal: String| Row { what: what.into(), ours, goal, ..Row::default() };
    let grows = memory.len() > 3 && last > first * GROWTH;
    let longest = Duration::from_micros(seen.longest);
    let mut table = Table::default();
    table.row(row("questions answered", thousands(seen.answers as f64), String::new()));
    table.row(row("answers a second", thousands(seen.rate), String::new()));
    table.row(row("policies changed, broken or healed", thousands(changes as f64), String::new()));
    table.row(row("answers of a new policy seen in time", thousands(seen.renewed as f64), String::new()));
    let wrong = seen.wrong == 0;
    table.row(row("wrong answers", thousands(seen.wrong as f64), format!("none, {}", verdict(wrong))));
    let in_time = longest <= LONGEST;
    table.row(row(
        "longest wait",
        format!("{:.3} s", longest.as_secs_f64()),
        format!("≤ 5 s, {}", verdict(in_time)),
    ));
    table.row(row("99.9 of 100 within", format!("{:.1} ms", seen.most as f64 / 1000.0), String::new()));
    let shown = format!("{last:.1} MiB");
    table.row(Row {
        yardstick: format!("{first:.1} MiB"),
        ratio: format!("{:.2}", last / first),
        ..row(
            "resident memory, last third beside the first",
            shown,
            format!("does not grow, {}", verdict(!grows)),
        )
    });
    table.row(row("processor time of the daemon", format!("{:.1} s", server.cpu_seconds()), String::new()));
    table.print("Soak");
    for example in &seen.examples {
        println!("{example}");
    }
    match wrong && in_time && !grows {
        true => Ok(()),
        false => Err("not everything was as it must be".to_owned()),
    }
}

/// What a domain answers by one version of its policy.
fn answer(number: usize, version: u32, max_age: u32, map: &str) -> String {
    let mx = sender_world::mx(number);
    let mut answer = format!("OK secure match={mx} servername=hostname");
    if map == "mailward-tlsrpt" {
        let domain = sender_world::domain(number);
        answer += &format!(" policy_type=sts policy_domain={domain}");
        for line in sender_world::policy(number, version, max_age).lines() {
            answer += &format!(" {{ policy_string = {line} }}");
        }
        answer += &format!(" mx_host_pattern={mx} mx_host_pattern=v{version}.{domain}");
    }
    answer
}
