//! `mailward domain apply FILE`: the domains of a file, held just so.
//!
//! Domains that the file does not name are left alone and listed: a line lost in an editor must not
//! take a policy away from a domain whose senders enforce it.

use std::path::Path;

use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use mailward_store::Store;
use mailward_store::domains::HeldDomain;
use serde::{Deserialize, Serialize};

use super::{AUTHOR, FIRST_MAX_AGE, FIRST_MODE, desired};
use crate::Context;
use crate::exit::{Failure, Outcome, Result};
use crate::output;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    domain: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: PolicyDomain,
    #[serde(default)]
    mx: Vec<String>,
    mode: Option<Mode>,
    max_age: Option<u32>,
    rua: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Change {
    domain: PolicyDomain,
    change: &'static str,
    detail: Vec<String>,
}

/// Prints the difference, then applies it unless it is a dry run.
pub(super) async fn run(context: &Context, store: &Store, file: &Path, dry_run: bool) -> Result {
    let place = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("cannot read {place}: {e}")))?;
    let wanted: File = toml::from_str(&text).map_err(|e| Failure::usage(format!("{place}: {e}")))?;
    let now = context.clock.now();
    let mut changes = vec![];
    let mut writes = vec![];
    for entry in &wanted.domain {
        let before = store.domain(&entry.name).await?;
        let mx = match (&before, entry.mx.is_empty()) {
            (_, false) => entry.mx.clone(),
            (Some(held), true) => held.mx.clone(),
            (None, true) => super::mx_from_dns(context, &entry.name).await?,
        };
        let mode = entry.mode.or(before.as_ref().map(|b| b.mode)).unwrap_or(FIRST_MODE);
        let max_age = entry.max_age.or(before.as_ref().map(|b| b.max_age)).unwrap_or(FIRST_MAX_AGE);
        let rua = entry.rua.clone().or_else(|| before.as_ref().map(|b| b.rua.clone()));
        let rua = rua.unwrap_or_else(|| context.loaded.config.publish.rua.clone());
        let after = desired(before.as_ref(), &entry.name, &mx, mode, max_age, rua, now)?;
        if before.as_ref() == Some(&after) {
            continue;
        }
        let change = if before.is_some() { "change" } else { "add" };
        changes.push(Change {
            domain: entry.name.clone(),
            change,
            detail: difference(before.as_ref(), &after),
        });
        writes.push(after);
    }
    let named = |d: &HeldDomain| wanted.domain.iter().any(|e| e.name == d.domain);
    let left_alone: Vec<PolicyDomain> =
        store.domains().await?.into_iter().filter(|d| !named(d)).map(|d| d.domain).collect();
    if context.json() {
        output::print_json(&serde_json::json!({
            "schema": "mailward.apply/1", "dry_run": dry_run, "changes": changes, "left_alone": left_alone,
        }));
    } else {
        print(&changes, &left_alone);
    }
    if !dry_run {
        for held in &writes {
            store.put_domain(held, AUTHOR, &format!("applied from {place}"), now).await?;
        }
    }
    if !context.json() && !changes.is_empty() {
        anstream::println!("{}", if dry_run { "Nothing is applied yet (--dry-run)." } else { "Applied." });
    }
    Ok(Outcome::Fine)
}

fn difference(before: Option<&HeldDomain>, after: &HeldDomain) -> Vec<String> {
    let mut lines = vec![];
    let mut line = |name: &str, old: Option<String>, new: String| match old {
        Some(old) if old == new => {}
        Some(old) => lines.push(format!("{name}: {old} → {new}")),
        None => lines.push(format!("{name}: {new}")),
    };
    line("mode", before.map(|b| b.mode.to_string()), after.mode.to_string());
    line("mx", before.map(|b| b.mx.join(", ")), after.mx.join(", "));
    line("max_age", before.map(|b| b.max_age.to_string()), after.max_age.to_string());
    line("rua", before.map(|b| b.rua.join(", ")), after.rua.join(", "));
    lines
}

fn print(changes: &[Change], left_alone: &[PolicyDomain]) {
    if changes.is_empty() {
        anstream::println!("Everything is as the file says.");
    }
    for change in changes {
        let sign = if change.change == "add" { "+" } else { "~" };
        anstream::println!("{sign} {}", output::strong(&change.domain));
        change.detail.iter().for_each(|l| anstream::println!("    {}", output::clean(l)));
    }
    for domain in left_alone {
        anstream::println!(
            "  {domain} is held and not in the file: left alone (mailward domain remove {domain})"
        );
    }
}
