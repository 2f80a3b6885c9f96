//! `mailward config`: check, show, example.

mod advice;
mod reporter;

use crate::Context;
use crate::args::ConfigCommand;
use crate::config::{Config, keys};
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, faint, wrap};
use crate::postfix::Postfix;
use crate::rooms;

/// Runs it. A configuration that cannot be read never gets here.
pub async fn run(context: &Context, args: ConfigCommand) -> Result {
    match args {
        ConfigCommand::Example => anstream::print!("{}", keys::example_file()),
        ConfigCommand::Check => check(context).await?,
        ConfigCommand::Show => show(context),
    }
    Ok(Outcome::Fine)
}

async fn check(context: &Context) -> Result<()> {
    let config = &context.loaded.config;
    // Roots are read now, so that a missing file is an error here and not at 3 a.m.
    mailward_net::tls::Roots::load(&config.tls.extra_roots)
        .map_err(|e| Failure::usage(format!("[tls] extra_roots: {e}")))?;
    let mut advice = if config.policyd.is_some() { advice(config)? } else { vec![] };
    advice.extend(reporter::advice(config, context.clock.clone()).await?);
    let file = context.loaded.file.as_ref().map(|f| f.display().to_string());
    if context.json() {
        output::print_json(&serde_json::json!({
            "schema": "mailward.config-check/1", "file": file, "usable": true, "advice": advice,
        }));
        return Ok(());
    }
    anstream::println!("The configuration is usable ({}).", file.as_deref().unwrap_or("no file; defaults"));
    for point in advice {
        let text = wrap(&format!("{}: {}", point.about, point.message), 6);
        anstream::println!("{}{text}", output::severity_word(point.severity));
        // Unwrapped, to be copied.
        if let Some(line) = point.main_cf {
            anstream::println!("        {line}");
        }
    }
    Ok(())
}

/// What there is to say of the policy daemon, on this machine.
fn advice(config: &Config) -> Result<Vec<advice::Advice>> {
    let servers = mailward_net::dns::servers(&rooms::dns_options(config))
        .map_err(|e| Failure::usage(format!("[dns]: {e}")))?;
    let postfix = Postfix::here();
    let user = postfix.as_ref().and_then(|postfix| {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        advice::User::find(&postfix.owner, &read("/etc/passwd"), &read("/etc/group"))
    });
    Ok(advice::advice(config, &servers, postfix.as_ref(), user.as_ref()))
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
