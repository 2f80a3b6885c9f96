//! One file a command.

pub mod admin;
pub mod check;
pub mod config;
pub mod demo;
pub mod dns;
pub mod domain;
pub mod explain;
pub mod generate;
pub mod lint;
pub mod lookup;
pub mod policy;
pub mod policyd;
pub mod report;
pub mod rollout;
pub mod serve;
pub mod status;

use crate::Context;
use crate::args::Command;
use crate::exit::Result;

/// Runs one command.
pub async fn run(context: &Context, command: Command) -> Result {
    match command {
        Command::Check(args) => check::run(context, args).await,
        Command::Lookup(args) => lookup::run(context, args).await,
        Command::Explain { id } => explain::run(context, &id),
        Command::Lint(args) => lint::run(context, args),
        Command::Domain(args) => domain::run(context, args).await,
        Command::Dns { domain, format } => dns::run(context, &domain, format).await,
        Command::Rollout(args) => rollout::run(context, args).await,
        Command::Report(args) => report::run(context, args).await,
        Command::Policy(args) => policy::run(context, args).await,
        Command::Policyd(args) => policyd::run(context, args).await,
        Command::Status => status::run(context).await,
        Command::Serve => serve::run(context).await,
        Command::Demo(args) => demo::run(context, args).await,
        Command::Config(args) => config::run(context, args).await,
        Command::Admin(args) => admin::run(context, args).await,
        Command::Generate { directory } => generate::run(&directory),
    }
}
