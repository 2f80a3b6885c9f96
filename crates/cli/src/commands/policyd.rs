//! `mailward policyd`: ask the policy daemon as Postfix does, and take over what another daemon knows.

mod import;
mod query;

use crate::Context;
use crate::args::Policyd;
use crate::exit::Result;

/// Runs it.
pub async fn run(context: &Context, args: Policyd) -> Result {
    match args {
        Policyd::Query { key, map, socket } => query::run(context, &key, &map, socket).await,
        Policyd::Import { file } => import::run(context, &file).await,
    }
}
