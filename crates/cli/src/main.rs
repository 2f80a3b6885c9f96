//! The `mailward` command: reads arguments and configuration, builds the rooms, wires them, and turns
//! what comes out into words and exit codes. It knows no protocol.

mod args;
mod clock;
mod commands;
mod config;
mod daemon;
mod exit;
mod output;
mod postfix;
mod rooms;
mod socketmap;
mod when;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use mailward_core::Clock;

use args::{Cli, Command, Global};
use config::Loaded;
use exit::Failure;

/// Also for SQLite and the cryptography (docs/decisions/0005-mimalloc.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What every command gets.
pub struct Context {
    /// The global options.
    pub global: Global,
    /// The configuration in force.
    pub loaded: Loaded,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Context {
    /// Whether data is printed as JSON.
    pub fn json(&self) -> bool {
        self.global.json
    }
}

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    // Options before and after the subcommand add up; the parser keeps only the later place.
    cli.global.set = args::all_sets(std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()));
    output::set_color(cli.global.color);
    let run = || -> exit::Result {
        // Offline commands need no configuration, and must work beside a broken one.
        let needs_config = !matches!(
            cli.command,
            Command::Lint(_) | Command::Explain { .. } | Command::Generate { .. } | Command::Demo(_)
        );
        let loaded = match needs_config {
            true => config::load(cli.global.config.as_deref(), &cli.global.set)?,
            false => Loaded { config: config::Config::default(), file: None, set: vec![] },
        };
        let context = Context { global: cli.global, loaded, clock: Arc::new(clock::SystemClock) };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::unavailable(format!("cannot start: {e}")))?;
        let outcome = runtime.block_on(commands::run(&context, cli.command));
        // A probe that hangs in a resolver thread must not hold up the prompt.
        runtime.shutdown_timeout(std::time::Duration::from_millis(200));
        outcome
    };
    match run() {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            anstream::eprintln!(
                "{} {failure}",
                output::styled(output::severity_style(mailward_core::Severity::Error), "mailward:")
            );
            ExitCode::from(failure.code())
        }
    }
}
