//! Measures what mailward must be quick at, each time against a yardstick in the same run.
//!
//! A yardstick does the least that anybody would have to do: the same bytes, the same network, without
//! judging anything. So the ratios hold on other machines too; the rates are those of this one.
//! Nothing here is a test: a slow or busy machine fails nobody.

mod bare;
mod bare_reporter;
mod check;
mod child;
mod collect;
mod growth;
mod growth_sessions;
mod mails;
mod measure;
mod pages;
mod policyd;
mod postgres;
mod reporter;
mod reports;
mod sender_world;
mod soak;
mod table;
mod world;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Also for SQLite and the cryptography (docs/decisions/0005-mimalloc.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: mailward-bench reports | check PATH_OF_MAILWARD | pages | collect |
    policyd [cached] [large] [cold] | soak SECONDS | reporter | growth [sqlite] [postgres]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["reports"] => reports::run(),
        ["check", binary] => check::run(Path::new(binary)),
        ["pages"] => pages::run(),
        ["collect"] => collect::run(),
        ["policyd", ref parts @ ..] => policyd::run(parts),
        ["soak", seconds] => number(seconds).and_then(soak::run),
        ["reporter"] => reporter::run(),
        ["growth", ref engines @ ..] => growth::run(engines),
        // Children of those above.
        ["import", folder, database] => reports::import(Path::new(folder), Path::new(database)),
        ["import-bare", folder, database] => reports::import_bare(Path::new(folder), Path::new(database)),
        ["collect-run", socket, database] => collect::collect(Path::new(socket), Path::new(database)),
        ["collect-bare", socket, datagrams] => {
            number(datagrams).and_then(|n| collect::receive(Path::new(socket), n))
        }
        ["collect-send", socket, kind, datagrams] => {
            number(datagrams).and_then(|n| collect::send(Path::new(socket), kind, n))
        }
        ["policyd-ours", socket, ref setting @ ..] => policyd::serve(Path::new(socket), setting),
        ["policyd-bare", socket, answer] => policyd::serve_bare(Path::new(socket), answer),
        ["sender-world", domains] => {
            domains.parse().map_err(|_| USAGE.to_owned()).and_then(sender_world::serve)
        }
        ["reporter-run", resolver, database, key] => {
            reporter::make(resolver, Path::new(database), Path::new(key))
        }
        ["growth-run", resolver, url, sessions, domains] => number(sessions)
            .and_then(|s| Ok((s, usize::try_from(number(domains)?).unwrap_or(0))))
            .and_then(|(sessions, domains)| growth::grow(resolver, url, sessions, domains)),
        ["world", domains] => domains.parse().map_err(|_| USAGE.to_owned()).and_then(world::serve),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "mailward-bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| USAGE.to_owned())
}
