//! What memory has: a thousand names with policies, over each transport, for each map.

use std::time::Duration;

use super::client::{Length, Load, Outcome, Place};
use super::flat_dns::FlatDns;
use super::server::{Server, Setting};
use super::{CONNECTIONS, micros, rate_at_least, ratio_at_most, stored};
use crate::table::Table;

const DOMAINS: usize = 1_000;
/// Each server has so many turns of this length; they alternate.
const TURNS: usize = 4;
const TURN: Duration = Duration::from_millis(700);

pub(super) fn measure(table: &mut Table) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let dns = FlatDns::start()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let url = runtime.block_on(stored::fill(&folder.path().join("policies.db"), DOMAINS))?;
    let ours = Server::ours(folder.path(), &Setting::offline(&url, dns.address))?;
    let mut load = Load {
        map: "mailward",
        domain: stored::domain,
        domains: DOMAINS,
        wanted: "OK secure match=",
        connections: CONNECTIONS,
        depth: 1,
        length: Length::Each,
    };
    load.run(&Place::Unix(ours.unix.clone()))?;
    load.length = Length::For(TURN);
    for map in ["mailward", "mailward-tlsrpt"] {
        load.map = map;
        let answer = runtime.block_on(one(&ours, map))?;
        let bare = Server::bare(folder.path(), &answer)?;
        for (transport, place) in [("unix", unix as fn(&Server) -> Place), ("TCP", tcp)] {
            for depth in [1, 16] {
                load.depth = depth;
                let mut results = [(Outcome::default(), 0.0), (Outcome::default(), 0.0)];
                for _ in 0..TURNS {
                    for (server, (outcome, cpu)) in [&ours, &bare].into_iter().zip(&mut results) {
                        let before = server.cpu_seconds();
                        outcome.add(load.run(&place(server))?);
                        *cpu += server.cpu_seconds() - before;
                    }
                }
                let [ours, bare] = results;
                lines(table, &format!("{map}, {transport}, depth {depth}"), depth == 1, ours, bare);
            }
        }
    }
    Ok(())
}

fn lines(table: &mut Table, what: &str, has_goal: bool, ours: (Outcome, f64), bare: (Outcome, f64)) {
    let ((mut ours, our_cpu), (mut bare, bare_cpu)) = (ours, bare);
    let goal = |limit: f64| has_goal.then_some(limit);
    table.row(rate_at_least(&format!("{what}: answers"), (ours.rate(), bare.rate()), goal(0.8)));
    let cost = |outcome: &Outcome, cpu: f64| cpu * 1e6 / outcome.answers as f64;
    let costs = (cost(&ours, our_cpu), cost(&bare, bare_cpu));
    table.row(ratio_at_most(&format!("{what}: processor time"), costs, goal(1.5), micros));
    let waits = (ours.percentile(99), bare.percentile(99));
    table.row(ratio_at_most(&format!("{what}: 99 of 100 within"), waits, goal(2.0), |us| {
        format!("{us:.0} µs")
    }));
}

/// What ours answers, for the yardstick to say the same.
async fn one(ours: &Server, map: &str) -> Result<String, String> {
    let mut pipe = super::Pipe::connect(&unix(ours)).await?;
    pipe.ask(map, &stored::domain(0));
    pipe.send().await?;
    Ok(String::from_utf8_lossy(pipe.answer().await?).into_owned())
}

pub(super) fn unix(server: &Server) -> Place {
    Place::Unix(server.unix.clone())
}

fn tcp(server: &Server) -> Place {
    Place::Tcp(server.tcp)
}
