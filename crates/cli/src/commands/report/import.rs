//! `mailward report import`: files and folders, idempotent, in constant memory.

use std::io::IsTerminal;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use mailward_receiving::intake::Intake;
use mailward_receiving::intake::import::{ImportError, Totals};
use mailward_store::Store;
use serde_json::json;

use crate::Context;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, clean, count, wrap};
use crate::rooms;

/// Imports and says what came of it.
pub async fn run(context: &Context, store: &Store, paths: &[PathBuf]) -> Result {
    // Signatures of mails are checked now; without DNS they count as not tested.
    let outside = rooms::outside(&context.loaded.config, context.clock.clone())?;
    let intake = Intake::new(store.clone(), Some(outside.resolver), context.clock.clone());
    let progress = progress();
    let totals = intake
        .import(paths, |t| {
            progress.set_position(t.items);
            progress.set_message(format!("{} new", count(t.new)));
        })
        .await
        .map_err(|e| match e {
            ImportError::Path { .. } => Failure::usage(e),
            ImportError::Store(e) => {
                Failure::unavailable(format!("{e}. What was taken in so far is kept; import again to go on."))
            }
        })?;
    progress.finish_and_clear();
    if context.json() {
        output::print_json(&document(&totals));
    } else {
        print(&totals);
    }
    Ok(Outcome::Fine)
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} items  {per_sec}  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn document(t: &Totals) -> serde_json::Value {
    let examples: Vec<_> =
        t.examples.iter().map(|e| json!({"origin": e.origin, "id": e.id, "reason": e.reason})).collect();
    json!({
        "schema": "mailward.import/1",
        "items": t.items, "bytes": t.bytes,
        "new": t.new, "duplicates": t.duplicates, "revisions": t.revisions,
        "quarantined": t.quarantined, "not_reports": t.not_reports, "unreadable": t.unreadable,
        "trust": {"dkim_verified": t.verified, "trusted": t.trusted, "unverified": t.unverified, "untested": t.untested},
        "examples": examples,
    })
}

fn print(t: &Totals) {
    anstream::println!(
        "{} items: {} new reports, {} there already, {} newer versions.",
        count(t.items),
        count(t.new),
        count(t.duplicates),
        count(t.revisions)
    );
    if t.verified + t.trusted + t.unverified > 0 {
        anstream::println!(
            "Trust: {} DKIM-verified, {} trusted (files you vouch for), {} unverified.",
            count(t.verified),
            count(t.trusted),
            count(t.unverified)
        );
    }
    if t.untested > 0 {
        anstream::println!(
            "{} signatures could not be tested, because their keys could not be looked up; import again when DNS works.",
            count(t.untested)
        );
    }
    if t.quarantined + t.not_reports + t.unreadable > 0 {
        anstream::println!(
            "Set aside: {} in quarantine, {} are no reports, {} could not be read.",
            count(t.quarantined),
            count(t.not_reports),
            count(t.unreadable)
        );
        for example in &t.examples {
            let id = example.id.as_deref().map(|id| format!("{id} ")).unwrap_or_default();
            anstream::println!(
                "  {}: {}",
                clean(&example.origin),
                wrap(&format!("{id}{}", clean(&example.reason)), 4)
            );
        }
    }
}
