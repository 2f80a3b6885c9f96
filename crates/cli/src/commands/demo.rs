//! `mailward demo`: a mail internet on loopback with the daemon against it.
//!
//! A scenario of the lab is played against the same rooms that `serve` runs, from some days ago up to
//! now; then the world stays up, with the dashboard and a configuration file for trying commands on it.

mod narrator;
mod product;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use mailward_core::Clock;
use mailward_lab::scenario::{Scenario, Stage};
use mailward_lab::world::WorldOptions;
use mailward_web::Access;

use crate::Context;
use crate::args::Demo;
use crate::commands::serve::Signals;
use crate::config::{self, Config};
use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, strong, wrap};
use narrator::Terminal;
use product::Mailward;

/// Between two looks of the monitor while time is made up for.
const LOOKS_APART: SignedDuration = SignedDuration::from_hours(6);

/// Between two looks while the world stands.
const LIVE_LOOKS_APART: Duration = Duration::from_secs(300);

/// Played when none is named: several domains with different luck.
const LIVING: &str = "living-world";

/// Runs it.
pub async fn run(context: &Context, args: Demo) -> Result {
    let scenarios = Scenario::all();
    if args.list {
        list(context, &scenarios);
        return Ok(Outcome::Fine);
    }
    let name = args.scenario.as_deref().unwrap_or(LIVING);
    let scenario = scenarios.into_iter().find(|s| s.name == name).ok_or_else(|| {
        Failure::usage(format!("there is no scenario {name:?}; mailward demo --list shows them"))
    })?;
    let mut signals = Signals::new()?;
    let played = play(context, scenario, args.once);
    let outcome = tokio::select! {
        played = played => played?,
        () = signals.stop() => return Ok(Outcome::Fine),
    };
    match outcome {
        Played::Ended(outcome) => Ok(outcome),
        Played::Standing(world) => {
            stand(&world, &mut signals).await;
            world.daemon.stop().await;
            Ok(Outcome::Fine)
        }
    }
}

enum Played {
    Ended(Outcome),
    Standing(Box<Standing>),
}

/// A world that stays up; it ends with its stage.
struct Standing {
    _stage: Stage,
    daemon: Daemon,
    config: PathBuf,
}

fn list(context: &Context, scenarios: &[Scenario]) {
    if context.json() {
        let rows: Vec<_> =
            scenarios.iter().map(|s| serde_json::json!({"name": s.name, "summary": s.summary})).collect();
        output::print_json(&rows);
        return;
    }
    use output::table::Align::Left;
    let rows: Vec<Vec<String>> = scenarios.iter().map(|s| vec![strong(&s.name), s.summary.clone()]).collect();
    anstream::print!("{}", output::table::render(&[("scenario", Left), ("what it shows", Left)], &rows));
    anstream::println!("\nPlay one: mailward demo NAME. Plain `mailward demo` plays {LIVING}.");
}

async fn play(context: &Context, scenario: Scenario, once: bool) -> Result<Played> {
    let (name, summary, story) = (scenario.name.clone(), scenario.summary.clone(), scenario.story.clone());
    let now = context.clock.now();
    let mut stage = Stage::set(scenario, now, &WorldOptions::default())
        .map_err(|e| Failure::unavailable(format!("the world cannot be started: {e}")))?;
    let (config, file) = configure(&stage, once)?;
    let daemon = Daemon::start(&config, stage.world.clock.clone(), Access::Open).await?;
    anstream::println!("{}  {summary}\n\n{}\n", strong(&name), wrap(story.trim(), 0));
    let mut product = Mailward::new(daemon, &stage.world.directory, config);
    let told = stage.play(&mut product, &mut Terminal::default()).await;
    let daemon = product.into_daemon();
    if let Err(mismatch) = &told {
        anstream::println!(
            "\n{} {}",
            strong("It did not come out as told:"),
            output::clean(&mismatch.to_string())
        );
    }
    if !once {
        catch_up(&stage, &daemon, context).await;
        return Ok(Played::Standing(Box::new(Standing { _stage: stage, daemon, config: file })));
    }
    daemon.stop().await;
    Ok(Played::Ended(match told {
        Ok(story) => {
            anstream::println!(
                "\nIt came out as told: {} steps, {} expectations met.",
                story.steps,
                story.met
            );
            Outcome::Fine
        }
        Err(_) => Outcome::Findings,
    }))
}

/// The world's configuration, also written to a file so that every command can be tried on it.
fn configure(stage: &Stage, once: bool) -> Result<(Config, PathBuf)> {
    let world = &stage.world;
    let address = world.address();
    let web = if once { "127.0.0.1:0".to_owned() } else { free_dashboard() };
    let text = format!(
        "# The world of `mailward demo`: mailward --config THIS check example.test\n\
         [store]\nurl = \"sqlite:{directory}/mailward.db\"\n\
         [dns]\nservers = [\"{resolver}\"]\ndnssec = \"validate\"\ntrust_anchor = \"{anchor}\"\n\
         [tls]\nextra_roots = [\"{roots}\"]\n\
         [outside]\nhelo = \"mailward.test\"\nsmtp_port = {smtp}\nhttps_port = {https}\nallow_private_addresses = true\n\
         [web]\nlisten = [\"{web}\"]\n\
         [policy_host]\nlisten = [\"{address}:{https}\"]\ncertificates = \"{directory}/certificates\"\n\
         [reports.https]\n\
         [policyd]\nlisten = [\"unix:{directory}/policyd.sock\"]\n",
        directory = world.directory.display(),
        resolver = world.resolver,
        anchor = world.trust_anchor.display(),
        roots = world.root_pem.display(),
        smtp = world.smtp_port,
        https = world.https_port,
    );
    let file = world.directory.join("mailward.toml");
    let write = |path: &Path| {
        std::fs::create_dir_all(world.directory.join("certificates"))?;
        std::fs::write(path, &text)
    };
    write(&file).map_err(|e| Failure::unavailable(format!("cannot write {}: {e}", file.display())))?;
    Ok((config::load::from_text(&text, &[])?, file))
}

/// The usual address of the dashboard, or any free one beside another instance.
fn free_dashboard() -> String {
    let usual = "127.0.0.1:8460";
    match std::net::TcpListener::bind(usual) {
        Ok(_) => usual.to_owned(),
        Err(_) => "127.0.0.1:0".to_owned(),
    }
}

/// Lets time pass up to now, with the monitor looking as it would have, and then run on by itself: what is
/// tried next is judged by the time on the wall.
async fn catch_up(stage: &Stage, daemon: &Daemon, context: &Context) {
    let clock = &stage.world.clock;
    let now = context.clock.now();
    while clock.now() < now {
        clock.advance(now.duration_since(clock.now()).min(LOOKS_APART));
        look(daemon).await;
    }
    clock.tick();
}

/// One look at every domain held.
async fn look(daemon: &Daemon) {
    for held in daemon.store.domains().await.unwrap_or_default() {
        if let Err(error) = daemon.looker.round(&held.domain).await {
            anstream::eprintln!("a look at {} failed: {error}", held.domain);
        }
    }
}

async fn stand(world: &Standing, signals: &mut Signals) {
    let config = world.config.display();
    let domains: Vec<String> = match world.daemon.store.domains().await {
        Ok(domains) => domains.iter().map(|d| d.domain.to_string()).collect(),
        Err(_) => vec![],
    };
    let first = domains.first().map_or("example.test", String::as_str);
    for address in &world.daemon.web {
        anstream::println!("\nDashboard: {}", strong(format!("http://{address}")));
    }
    anstream::println!("\nThe world stays up until Ctrl-C. Try on it, in another terminal:");
    for command in [
        format!("mailward --config {config} check {}", domains.join(" ")),
        format!("mailward --config {config} status"),
        format!("mailward --config {config} rollout {first}"),
        format!("mailward --config {config} dns {first}"),
        format!("mailward --config {config} report list"),
        format!("mailward --config {config} lookup {first}"),
        format!("mailward --config {config} policyd query {first}"),
    ] {
        anstream::println!("  {command}");
    }
    let mut every = tokio::time::interval(LIVE_LOOKS_APART);
    loop {
        tokio::select! {
            _ = every.tick() => look(&world.daemon).await,
            () = signals.stop() => return,
        }
    }
}
