//! `mailward config`: check, show, example.

use crate::Context;
use crate::args::ConfigCommand;
use crate::config::keys;
use crate::exit::{Outcome, Result};
use crate::output::{self, faint};
use crate::rooms;

/// Runs it. A configuration that cannot be read never gets here.
pub fn run(context: &Context, args: ConfigCommand) -> Result {
    match args {
        ConfigCommand::Example => anstream::print!("{}", keys::example_file()),
        ConfigCommand::Check => {
            // Roots are read now, so that a missing file is an error here and not at 3 a.m.
            mailward_net::tls::Roots::load(&context.loaded.config.tls.extra_roots)
                .map_err(|e| crate::exit::Failure::usage(format!("[tls] extra_roots: {e}")))?;
            let place = context
                .loaded
                .file
                .as_ref()
                .map_or_else(|| "no file; defaults".to_owned(), |f| f.display().to_string());
            if context.json() {
                let file = context.loaded.file.as_ref().map(|f| f.display().to_string());
                output::print_json(
                    &serde_json::json!({"schema": "mailward.config-check/1", "file": file, "usable": true}),
                );
            } else {
                anstream::println!("The configuration is usable ({place}).");
            }
        }
        ConfigCommand::Show => show(context),
    }
    Ok(Outcome::Fine)
}

fn show(context: &Context) {
    let config = &context.loaded.config;
    let mut shown = config.clone();
    shown.store.url = Some(rooms::without_password(&config.store.url()));
    let values = toml::Table::try_from(&shown).unwrap_or_default();
    if context.json() {
        output::print_json(
            &serde_json::json!({"schema": "mailward.config/1", "set": context.loaded.set, "values": values}),
        );
        return;
    }
    let place =
        context.loaded.file.as_ref().map_or_else(|| "no file".to_owned(), |f| f.display().to_string());
    anstream::println!("# {place}; what is not marked as default was set there or by --set");
    for table in keys::TABLES {
        let Some(values) = lookup(&values, table.name) else {
            anstream::println!("\n{}", faint(format!("# [{}] is not there: {}", table.name, table.doc)));
            continue;
        };
        anstream::println!("\n[{}]", table.name);
        for key in table.keys {
            let short = key.name.strip_prefix(table.name).unwrap_or(key.name).trim_start_matches('.');
            let is_set = context.loaded.set.iter().any(|s| s == key.name);
            match values.get(short) {
                Some(value) if is_set => anstream::println!("{short} = {value}"),
                Some(value) => anstream::println!("{short} = {value}  {}", faint("# default")),
                None => anstream::println!("{}", faint(format!("# {short} is not set: {}", key.doc))),
            }
        }
    }
}

fn lookup<'a>(values: &'a toml::Table, name: &str) -> Option<&'a toml::Table> {
    name.split('.').try_fold(values, |table, part| table.get(part)?.as_table())
}
