//! Domains met for the first time: TXT, MX and addresses by DNS, and the policy over a new connection.
//!
//! The yardstick here is no server: it is somebody who sends the same questions together, shakes hands,
//! fetches, and looks at nothing.

use mailward_store::Store;

use super::cached::unix;
use super::client::{Length, Load};
use super::server::{Server, Setting};
use super::{CONNECTIONS, at_most, millis, rate_at_least, ratio_at_most};
use crate::bare::Bare;
use crate::measure::{Cost, Stopwatch};
use crate::sender_world;
use crate::table::{Row, Table};
use crate::world::Elsewhere;

const DOMAINS: usize = 4_000;
/// Fresh servers one after the other.
const ROUNDS: usize = 2;

pub(super) fn measure(table: &mut Table) -> Result<(), String> {
    let mut world = Elsewhere::spawn("sender-world", DOMAINS)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    // Certificates are made at the first handshake.
    runtime.block_on(bare(&world))?;
    let (mut ours, mut theirs, mut waits) = (Cost::default(), Cost::default(), Vec::new());
    let before = world.questions()?;
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let url = format!("sqlite:{}", folder.path().join(format!("{round}.db")).display());
        runtime.block_on(async { Store::open(&url).await.map(drop) }).map_err(|e| e.to_string())?;
        let setting = Setting {
            trust_ad: true,
            root_pem: world.root_pem.clone(),
            https_port: world.https_port,
            ..Setting::offline(&url, world.resolver)
        };
        let mut server = Server::ours(folder.path(), &setting)?;
        // It has read its roots and its empty store.
        while server.counts()?[2] > 0 {}
        let load = Load {
            map: "mailward",
            domain: sender_world::domain,
            domains: DOMAINS,
            wanted: "OK secure match=",
            connections: CONNECTIONS,
            depth: 1,
            length: Length::Each,
        };
        let (watch, cpu) = (Stopwatch::start(), server.cpu_seconds());
        let outcome = load.run(&unix(&server))?;
        ours.add(Cost { wall: watch.elapsed().as_secs_f64(), cpu: server.cpu_seconds() - cpu });
        waits.extend(outcome.waits);
    }
    let questions = (world.questions()? - before) as f64 / (DOMAINS * ROUNDS) as f64;
    for _ in 0..ROUNDS {
        theirs.add(runtime.block_on(bare(&world))?);
    }
    let count = (DOMAINS * ROUNDS) as f64;
    let cost = |cost: Cost| cost.cpu * 1_000.0 / count;
    let row = at_most("processor time of a domain", cost(ours), 0.5, millis);
    let beside = ratio_at_most("", (cost(ours), cost(theirs)), None, millis);
    table.row(Row { yardstick: beside.yardstick, ratio: beside.ratio, ..row });
    table.row(rate_at_least(
        "domains, by the clock, world and all",
        (count / ours.wall, count / theirs.wall),
        None,
    ));
    table.row(Row {
        what: "DNS questions for a domain".into(),
        ours: format!("{questions:.2}"),
        yardstick: "4".into(),
        ratio: format!("{:.2}", questions / 4.0),
        ..Row::default()
    });
    waits.sort_unstable();
    let wait =
        |percent: usize| waits.get(waits.len() * percent / 100).map_or(0.0, |us| f64::from(*us) / 1_000.0);
    table.row(Row {
        what: "an answer: half within, 99 of 100 within".into(),
        ours: format!("{:.0} ms, {:.0} ms", wait(50), wait(99)),
        ..Row::default()
    });
    Ok(())
}

async fn bare(world: &Elsewhere) -> Result<Cost, String> {
    let asker = Bare::new(world, false)?;
    let watch = Stopwatch::start();
    let askers: Vec<_> = (0..CONNECTIONS)
        .map(|first| tokio::spawn(asker.clone().ask_as_sender(first, CONNECTIONS, DOMAINS)))
        .collect();
    for asker in askers {
        asker.await.map_err(|e| e.to_string())?.map_err(|e| format!("yardstick: {e}"))?;
    }
    Ok(watch.cost())
}
