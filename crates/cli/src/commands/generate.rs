//! `mailward generate`: man pages, completions and the command reference, from the one definition in
//! `args.rs`. The packages ship them; a test compares the reference in the manual with this.

use std::fmt::Write as _;
use std::path::Path;

use clap::{CommandFactory, ValueEnum};

use crate::args::Cli;
use crate::exit::{Failure, Outcome, Result};

/// Writes everything into a directory.
pub fn run(directory: &Path) -> Result {
    let failed = |e: std::io::Error| Failure::usage(format!("cannot write to {}: {e}", directory.display()));
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    std::fs::create_dir_all(&man).map_err(failed)?;
    std::fs::create_dir_all(&completions).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &man).map_err(failed)?;
    for shell in clap_complete::Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut Cli::command(), "mailward", &completions).map_err(failed)?;
    }
    std::fs::write(directory.join("commands.md"), reference()).map_err(failed)?;
    Ok(Outcome::Fine)
}

/// The command reference in Markdown.
pub fn reference() -> String {
    let mut text =
        String::from("# Commands\n\nMade by `mailward generate` from the command line's own definition.\n");
    let mut root = Cli::command();
    root.build();
    describe(&root, &mut text);
    text
}

fn describe(command: &clap::Command, text: &mut String) {
    if command.is_hide_set() {
        return;
    }
    let help = command.clone().term_width(100).render_long_help().to_string();
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim());
    command.get_subcommands().for_each(|sub| describe(sub, text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_says_its_exit_codes() {
        fn walk(command: &clap::Command) {
            let shown = command.clone().render_long_help().to_string();
            assert!(command.is_hide_set() || shown.contains("Exit codes:"), "{}", command.get_name());
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }

    #[test]
    fn the_manual_has_the_reference_of_today() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manual/commands.md");
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(stored == reference(), "docs/manual/commands.md is old: run `cargo xtask manual`");
    }
}
