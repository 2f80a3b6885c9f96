//! Hours of mail in minutes: ten thousand questions a second about a world in which a tenth of the domains
//! change, break and heal all the time.
//!
//! What each domain must answer is known at every moment. A new policy may be answered from the moment it
//! can be had, and must be answered when the longest time has gone by after which anybody who obeys
//! RFC 8461 has seen it; while its host, or its DNS, is broken the old one holds. The daemon's clock runs
//! twenty times as fast as the time, so that ten minutes see more than three hours of rechecks and
//! refreshes; its waits are as long as ever.
//!
//! It ends with its verdict in every case: when the time is over, when something breaks, and when it is told
//! to end (SIGINT, SIGTERM). A terminal that goes away ends nothing.

mod seen;
mod traffic;
mod trouble;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use mailward_duty::{Stop, StopSignal};
use mailward_store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::policyd::{Place, Server, Setting};
use crate::sender_world;
use crate::table::{say, thousands};
use crate::world::Elsewhere;
use seen::Seen;
use traffic::{Asker, traffic};
use trouble::{Ledger, restlessness};
use verdict::Outcome;

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
/// Memory is looked at so often.
const SECOND: Duration = Duration::from_secs(1);
/// A line is printed so often, in seconds.
const TOLD: usize = 60;

/// Runs for so many seconds and prints what was seen; an error when something was not as it must be.
pub fn run(seconds: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let world = Elsewhere::spawn("sender-world", DOMAINS)?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let url = format!("sqlite:{}", folder.path().join("soak.db").display());
    let store = runtime.block_on(Store::open(&url)).map_err(|e| e.to_string())?;
    let setting = Setting {
        trust_ad: true,
        root_pem: world.root_pem.clone(),
        https_port: world.https_port,
        recheck: RECHECK,
        speed: SPEED,
        ..Setting::offline(&url, world.resolver)
    };
    let server = Server::ours(folder.path(), &setting)?;
    say(&format!(
        "{} domains, {} questions a second for {seconds} s, the clock {SPEED} times as fast",
        thousands(DOMAINS as f64),
        thousands(RATE as f64)
    ));
    runtime.block_on(soak(world, &server, store, Duration::from_secs(seconds)))?.judge()
}

/// Asks, troubles and watches until the time is over or something ends it.
async fn soak(world: Elsewhere, server: &Server, store: Store, time: Duration) -> Result<Outcome, String> {
    let place = Place::Unix(server.unix.clone());
    let ledger = Arc::new(Ledger::new(DOMAINS));
    traffic::meet_all(&place, &ledger).await?;
    let seen = Arc::new(Seen::nothing());
    let asker = Asker { place, ledger: Arc::clone(&ledger), seen: Arc::clone(&seen), store };
    let (begun, end) = (Instant::now(), Instant::now() + time);
    let (signal, stop) = StopSignal::new();
    // Dropped, it ends the troubles.
    let (go_on, until_dropped) = std::sync::mpsc::channel();
    let trouble = tokio::task::spawn_blocking({
        let ledger = Arc::clone(&ledger);
        move || restlessness(world, &ledger, end.into_std(), &until_dropped)
    });
    let watching = tokio::spawn(told_to_end());
    let asking = async {
        let asked = tokio::select! {
            asked = traffic(&asker, RATE, end, stop.clone()) => asked,
            why = watching => Err(why.unwrap_or_else(|e| e.to_string())),
        };
        signal.stop();
        drop(go_on);
        asked
    };
    let (memory, asked) = tokio::join!(watch(server, &seen, stop.clone()), asking);
    let time = begun.elapsed();
    let (changes, troubled) = match trouble.await.map_err(|e| e.to_string()) {
        Ok(Ok(changes)) => (changes, Ok(())),
        Ok(Err(why)) | Err(why) => (0, Err(format!("the world: {why}"))),
    };
    let ended = asked.and(troubled).err();
    Ok(Outcome { time, seen: seen.counts(), memory, changes, cpu: server.cpu_seconds(), ended })
}

/// Waits for a signal that asks to end; a hangup is none. Never ends without one.
async fn told_to_end() -> String {
    let of = |kind: SignalKind| signal(kind).map_err(|e| format!("no signal can be waited for: {e}"));
    let (mut interrupt, mut terminate, mut hangup) =
        match (of(SignalKind::interrupt()), of(SignalKind::terminate()), of(SignalKind::hangup())) {
            (Ok(interrupt), Ok(terminate), Ok(hangup)) => (interrupt, terminate, hangup),
            (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => return why,
        };
    loop {
        tokio::select! {
            _ = interrupt.recv() => return "interrupted".to_owned(),
            _ = terminate.recv() => return "told to end (SIGTERM)".to_owned(),
            _ = hangup.recv() => {}
        }
    }
}

/// Resident memory once a second after settling, and a line of progress a minute.
async fn watch(server: &Server, seen: &Seen, mut stop: Stop) -> Vec<f64> {
    let mut memory = Vec::new();
    let begun = Instant::now();
    let mut seconds = interval_at(begun + SECOND, SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks: usize = 0;
    loop {
        tokio::select! {
            _ = seconds.tick() => ticks += 1,
            () = stop.requested() => return memory,
        }
        if begun.elapsed() >= SETTLING {
            memory.push(server.resident());
        }
        if ticks.is_multiple_of(TOLD) {
            let counts = seen.counts();
            say(&format!(
                "{:>6.0} s: {} answers, {} wrong, longest wait {:.3} s, {:.1} MiB resident",
                begun.elapsed().as_secs_f64(),
                thousands(counts.answers as f64),
                thousands(counts.wrong as f64),
                counts.longest.as_secs_f64(),
                server.resident()
            ));
        }
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
