//! Very many policies: the memory they take, how soon the first question is answered after a start, and
//! whether an answer among a million costs more than one among a thousand.

use std::time::Duration;

use super::cached::unix;
use super::client::{Length, Load, Pipe};
use super::flat_dns::FlatDns;
use super::server::{Server, Setting};
use super::{CONNECTIONS, at_most, micros, ratio_at_most, stored};
use crate::measure::Stopwatch;
use crate::table::{Row, Table, thousands};

const FEW: usize = 1_000;
const TURNS: usize = 4;
const TURN: Duration = Duration::from_millis(1_500);
/// After work, before memory is looked at: what the work took is written and given back within that time.
const SETTLING: Duration = Duration::from_secs(15);
/// Connections that make every name known; each waits for its lookups.
const WARMERS: usize = 256;

pub(super) fn measure(table: &mut Table) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let dns = FlatDns::start()?;
    let start = |domains: usize| -> Result<(Server, f64, f64), String> {
        let url = runtime.block_on(stored::fill(&folder.path().join(format!("{domains}.db")), domains))?;
        // The rows may still be on their way to the disk.
        std::process::Command::new("sync").status().map_err(|e| e.to_string())?;
        let own = folder.path().join(format!("{domains}"));
        std::fs::create_dir(&own).map_err(|e| e.to_string())?;
        let watch = Stopwatch::start();
        let mut server = Server::ours(&own, &Setting::offline(&url, dns.address))?;
        runtime.block_on(async {
            let mut pipe = Pipe::connect(&unix(&server)).await?;
            // The last row, which is far from read.
            pipe.ask("mailward", &stored::domain(domains - 1));
            pipe.send().await?;
            match pipe.answer().await? {
                answer if answer.starts_with(b"OK secure") => Ok(()),
                answer => Err(format!("the first answer is {:?}", String::from_utf8_lossy(answer))),
            }
        })?;
        let first = watch.elapsed().as_secs_f64();
        while server.counts()?[0] < domains as u64 {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok((server, first, watch.elapsed().as_secs_f64()))
    };
    let (few, ..) = start(FEW)?;
    let empty = few.resident();
    let mut many = None;
    for (domains, limit) in [(100_000, 60.0), (1_000_000, 450.0)] {
        let (mut server, first, loaded) = start(domains)?;
        std::thread::sleep(SETTLING);
        let count = thousands(domains as f64);
        let mib = |mib: f64| format!("{mib:.0} MiB");
        table.row(at_most(&format!("{count} policies, read: resident"), server.resident(), limit, mib));
        let seconds = |s: f64| format!("{s:.2} s");
        table.row(at_most(&format!("{count} policies: first answer after the start"), first, 1.0, seconds));
        table.row(plain(&format!("{count} policies: all read after"), format!("{loaded:.1} s")));
        let watch = Stopwatch::start();
        each(WARMERS, domains).run(&unix(&server))?;
        let rate = domains as f64 / watch.elapsed().as_secs_f64();
        std::thread::sleep(SETTLING);
        table.row(plain(
            &format!("{count} policies: asked for once, each with a DNS question"),
            format!("{}/s", thousands(rate)),
        ));
        table.row(at_most(
            &format!("{count} policies, all answered: resident"),
            server.resident(),
            limit,
            mib,
        ));
        let [_, bytes, _] = server.counts()?;
        let accounted = format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
        table.row(plain(&format!("{count} policies: bytes by its own account"), accounted));
        many = Some(server);
    }
    table.row(plain("1 000 policies, read: resident", format!("{empty:.0} MiB")));
    let many = many.ok_or("no server with many policies")?;
    each(WARMERS, FEW).run(&unix(&few))?;
    costs(table, &few, &many)
}

/// What an answer costs, in turns.
fn costs(table: &mut Table, few: &Server, many: &Server) -> Result<(), String> {
    let mut costs = [(0usize, 0.0), (0usize, 0.0)];
    for _ in 0..TURNS {
        for ((server, domains), (answers, cpu)) in [(many, 1_000_000), (few, FEW)].into_iter().zip(&mut costs)
        {
            let load = Load { length: Length::For(TURN), ..each(CONNECTIONS, domains) };
            let before = server.cpu_seconds();
            *answers += load.run(&unix(server))?.answers;
            *cpu += server.cpu_seconds() - before;
        }
    }
    let [many, few] = costs.map(|(answers, cpu)| cpu * 1e6 / answers as f64);
    table.row(ratio_at_most(
        "an answer among 1 000 000, beside one among 1 000",
        (many, few),
        Some(1.3),
        micros,
    ));
    Ok(())
}

fn each(connections: usize, domains: usize) -> Load {
    Load {
        map: "mailward",
        domain: stored::domain,
        domains,
        wanted: "OK secure match=",
        connections,
        depth: 1,
        length: Length::Each,
    }
}

fn plain(what: &str, ours: String) -> Row {
    Row { what: what.to_owned(), ours, ..Row::default() }
}
