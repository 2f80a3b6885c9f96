//! `mailward demo`: a mail internet on loopback with the daemon against it.
//!
//! A scenario of the lab is played against the same rooms that `serve` runs, from some days ago up to
//! now; then the world stays up, with the dashboard and a configuration file for trying commands on it.
//! Where a scenario has organisations, each has a daemon of its own.

mod configuration;
mod narrator;
mod product;
mod sending;
mod standing;

use mailward_core::PolicyDomain;
use mailward_lab::scenario::{Scenario, Stage};
use mailward_lab::world::WorldOptions;
use mailward_web::Access;

use crate::Context;
use crate::args::Demo;
use crate::commands::serve::Signals;
use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, strong, wrap};
use configuration::Written;
use narrator::Terminal;
use product::Mailward;
use standing::{Running, Standing};

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
            world.stand(&mut signals).await;
            world.stop().await;
            Ok(Outcome::Fine)
        }
    }
}

enum Played {
    Ended(Outcome),
    Standing(Box<Standing>),
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
    let (mut places, mut products) = (vec![], vec![]);
    for Written { domain, config, file } in configuration::write(&stage, once)? {
        let daemon = Daemon::start(&config, stage.world.clock.clone(), Access::Open).await?;
        let held = domain.as_deref().map(PolicyDomain::parse).transpose()?;
        products.push(Mailward::new(daemon, &stage.world.directory, config, held));
        places.push((domain, file));
    }
    anstream::println!("{}  {summary}\n\n{}\n", strong(&name), wrap(story.trim(), 0));
    let told = stage.play(&mut products, &mut Terminal::default()).await;
    let daemons = products.into_iter().map(Mailward::into_daemon);
    if let Err(mismatch) = &told {
        anstream::println!(
            "\n{} {}",
            strong("It did not come out as told:"),
            output::clean(&mismatch.to_string())
        );
    }
    if !once {
        let running = places.into_iter().zip(daemons);
        let running = running.map(|((domain, config), daemon)| Running { domain, daemon, config });
        let standing = Standing::catch_up(stage, running.collect(), context.clock.as_ref()).await;
        return Ok(Played::Standing(Box::new(standing)));
    }
    for daemon in daemons {
        daemon.stop().await;
    }
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
