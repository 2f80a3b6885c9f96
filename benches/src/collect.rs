//! The collector: datagrams of mail servers, read, parsed, counted and stored, against a loop that does
//! nothing but read.
//!
//! Receiver and sender are processes of their own. The sender waits for room in the queue, which no mail
//! server does, so that none is lost and the slower of the two sets the pace.

use std::io::{BufRead, BufReader, IoSliceMut, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mailward_duty::StopSignal;
use mailward_sending::collector::{Collector, Options};
use mailward_store::Store;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};

use crate::measure::{Cost, RealClock, Stopwatch, cpu_seconds, peak_memory};
use crate::table::{Row, Table, thousands};

/// Datagrams of an ordinary run.
const DATAGRAMS: u64 = 600_000;
/// Of the runs in which no two are alike.
const HOSTILE: [u64; 2] = [240_000, 480_000];
const DOMAINS: u64 = 5_000;

/// Measures and prints.
pub fn run() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    // First, so that the queue of both is as long as the collector makes it.
    let ours = collected(folder.path(), "usual", DATAGRAMS)?;
    let bare = received(folder.path(), DATAGRAMS)?;
    let few = collected(folder.path(), "hostile", HOSTILE[0])?;
    let many = collected(folder.path(), "hostile", HOSTILE[1])?;

    let mut table = Table::default();
    let rate = |run: &Run| run.datagrams as f64 / run.cost.wall;
    let micros = |run: &Run| run.cost.cpu * 1e6 / run.datagrams as f64;
    table.rate(
        "datagrams counted and stored, by the clock",
        rate(&ours),
        rate(&bare),
        "/s",
        rate(&bare) / 2.0,
    );
    let most = 2.5;
    let ratio = micros(&ours) / micros(&bare);
    table.row(Row {
        what: "processor time of the receiver for each".into(),
        ours: format!("{:.2} µs", micros(&ours)),
        yardstick: format!("{:.2} µs", micros(&bare)),
        ratio: format!("{ratio:.2}"),
        goal: format!("≤ {most}, {}", if ratio <= most { "met" } else { "missed" }),
    });
    table.row(Row {
        what: "the same when every EHLO answer is another one".into(),
        ours: format!("{:.2} µs", micros(&many)),
        ..Row::default()
    });
    let growth = many.memory / few.memory;
    table.row(Row {
        what: format!(
            "peak memory after {} and {} of those",
            thousands(HOSTILE[1] as f64),
            thousands(HOSTILE[0] as f64)
        ),
        ours: format!("{:.0} and {:.0} MiB", many.memory, few.memory),
        ratio: format!("{growth:.2}"),
        goal: format!("the same, {}", if growth <= 1.25 { "met" } else { "missed" }),
        ..Row::default()
    });
    table.row(Row {
        what: format!("peak memory, {} domains", thousands(DOMAINS as f64)),
        ours: format!("{:.0} MiB", ours.memory),
        yardstick: format!("{:.0} MiB", bare.memory),
        ..Row::default()
    });
    table.print("collector");
    Ok(())
}

struct Run {
    datagrams: u64,
    cost: Cost,
    /// MiB.
    memory: f64,
}

/// A run of the collector; everything must be in the database afterwards.
fn collected(folder: &Path, kind: &str, datagrams: u64) -> Result<Run, String> {
    let socket = folder.join("collect.sock");
    let database = folder.join(format!("{kind}-{datagrams}.db"));
    let run = measured(&["collect-run", &text(&socket), &text(&database)], &socket, kind, datagrams)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let stored = runtime.block_on(async {
        let store =
            Store::open(&format!("sqlite:{}", database.display())).await.map_err(|e| e.to_string())?;
        let days = store.tally_overview(jiff::civil::Date::MIN, jiff::civil::Date::MAX).await;
        let days = days.map_err(|e| e.to_string())?;
        Ok::<u64, String>(days.iter().flat_map(|day| &day.sums).map(|sum| sum.successful + sum.failed).sum())
    })?;
    if stored == datagrams { Ok(run) } else { Err(format!("{stored} of {datagrams} sessions were counted")) }
}

fn received(folder: &Path, datagrams: u64) -> Result<Run, String> {
    let socket = folder.join("bare.sock");
    measured(&["collect-bare", &text(&socket), &datagrams.to_string()], &socket, "usual", datagrams)
}

/// Starts a receiver, sends, closes its input and reads what it says of its cost.
fn measured(receiver: &[&str], socket: &Path, kind: &str, datagrams: u64) -> Result<Run, String> {
    let mut receiver = start(receiver)?;
    let mut lines = BufReader::new(receiver.stdout.take().ok_or("no output")?).lines().map_while(Result::ok);
    let ready = lines.next().ok_or("the receiver does not start")?;
    if ready != "ready" {
        return Err(ready);
    }
    let began = Stopwatch::start();
    let mut sender = start(&["collect-send", &text(socket), kind, &datagrams.to_string()])?;
    if !sender.wait().map_err(|e| e.to_string())?.success() {
        return Err("the sender failed".to_owned());
    }
    drop(receiver.stdin.take());
    let said = lines.next().ok_or("the receiver failed")?;
    let wall = began.cost().wall;
    receiver.wait().map_err(|e| e.to_string())?;
    let mut numbers = said.split(' ').filter_map(|n| n.parse::<f64>().ok());
    let (cpu, memory) = numbers.next().zip(numbers.next()).ok_or(said.clone())?;
    Ok(Run { datagrams, cost: Cost { wall, cpu }, memory })
}

fn start(arguments: &[&str]) -> Result<Child, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(own);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().map_err(|e| e.to_string())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A child: the collector, until its input ends.
pub fn collect(socket: &Path, database: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let store =
            Store::open(&format!("sqlite:{}", database.display())).await.map_err(|e| e.to_string())?;
        let options = Options { socket: socket.to_owned(), mode: 0o600, owner: None, group: None };
        let collector =
            Collector::bind(&options, store.clone(), Arc::new(RealClock)).map_err(|e| e.to_string())?;
        println!("ready");
        let (stop, ear) = StopSignal::new();
        tokio::task::spawn_blocking(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            stop.stop();
        });
        collector.run(ear).await;
        store.close().await;
        Ok::<(), String>(())
    })?;
    tell();
    Ok(())
}

/// A child: the yardstick. It reads, 64 at a time, and forgets.
pub fn receive(socket: &Path, datagrams: u64) -> Result<(), String> {
    let socket = UnixDatagram::bind(socket).map_err(|e| e.to_string())?;
    println!("ready");
    let mut buffers: [Vec<u8>; 64] = std::array::from_fn(|_| vec![0; 32 << 10]);
    let mut headers = MultiHeaders::<()>::preallocate(64, None);
    let mut left = datagrams;
    while left > 0 {
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let flags = MsgFlags::MSG_WAITFORONE;
        let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None);
        left = left.saturating_sub(received.map_err(|e| e.to_string())?.count() as u64);
    }
    tell();
    Ok(())
}

fn tell() {
    println!("{} {}", cpu_seconds("self"), peak_memory("self"));
}

/// A child: the mail server.
pub fn send(socket: &Path, kind: &str, datagrams: u64) -> Result<(), String> {
    let out = UnixDatagram::unbound().map_err(|e| e.to_string())?;
    out.connect(socket).map_err(|e| e.to_string())?;
    let mut sent = 0;
    let known: Vec<Vec<u8>> = match kind {
        "usual" => (0..DOMAINS).map(success).chain((0..DOMAINS / 50).map(|n| failure(n, n % 3))).collect(),
        _ => Vec::new(),
    };
    while sent < datagrams {
        // Some domains are written to more often than others.
        let number = sent.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17);
        let datagram = match known.len() as u64 {
            0 => &failure(number % 500, sent),
            length => {
                &known[usize::try_from((number % length) * (number / length % length) / length).unwrap_or(0)]
            }
        };
        out.send(datagram).map_err(|e| e.to_string())?;
        sent += 1;
        if known.is_empty() && sent % 2_000 == 0 {
            // What cannot be counted as fast as it is read would be dropped in the end: 64 MiB may wait.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

fn success(domain: u64) -> Vec<u8> {
    format!(
        r#"{{"dpv": "1","d": "domain{domain}.example","pr": "v=TLSRPTv1; rua=mailto:tls@domain{domain}.example","policies":[{{"policy-type":2,"policy-domain": "domain{domain}.example","policy-string":["version: STSv1","mode: enforce","mx: *.domain{domain}.example","max_age: 604800"],"mx-host":["*.domain{domain}.example"],"t":0,"f":0}}]}}"#
    )
    .into_bytes()
}

fn failure(domain: u64, id: u64) -> Vec<u8> {
    format!(
        r#"{{"dpv": "1","d": "domain{domain}.example","pr": "v=TLSRPTv1; rua=mailto:tls@domain{domain}.example","policies":[{{"policy-type":9,"policy-domain": "domain{domain}.example","failure-details":[{{"c":201,"s": "192.0.2.1","n": "mx.domain{domain}.example","h": "250-mx.domain{domain}.example at your service, id {id}\r\n250-SIZE 1000000\r\n250 8BITMIME","r": "192.0.2.99","f": "starttls-not-supported"}}],"t":1,"f":1}}]}}"#
    )
    .into_bytes()
}
