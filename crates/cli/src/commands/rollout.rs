//! `mailward rollout DOMAIN show`: the gate to enforce, with its evidence.

use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use mailward_core::rollout::{Gate, ItemState, Judgement, Verdict, judge};
use mailward_store::Store;
use mailward_store::domains::HeldDomain;

use super::domain::AUTHOR;
use crate::Context;
use crate::args::{Rollout, RolloutAction};
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, strong, wrap};
use crate::rooms;

/// Runs it.
pub async fn run(context: &Context, args: Rollout) -> Result {
    let domain = PolicyDomain::parse(&args.domain)?;
    let store = rooms::store(&context.loaded.config).await?;
    let held = held(&store, &domain).await?;
    if args.action != RolloutAction::Show {
        note(context, &store, &domain, &args).await?;
    }
    let now = context.clock.now();
    let gate = Gate::default();
    let judgement = judge(&store.evidence(&domain, &gate, now).await?, &gate, now);
    if context.json() {
        let (from, to) = judgement.window;
        output::print_json(&serde_json::json!({
            "schema": "mailward.rollout/1",
            "domain": domain,
            "mode": held.mode,
            "mode_since": held.mode_since,
            "max_age": held.max_age,
            "verdict": verdict_word(&judgement.verdict),
            "obstacles": if let Verdict::NotYet { obstacles } = &judgement.verdict { obstacles.clone() } else { vec![] },
            "missing": if let Verdict::Unknown { missing } = &judgement.verdict { missing.clone() } else { vec![] },
            "window": {"from": from, "to": to},
            "items": judgement.items,
            "would_defer": judgement.would_defer,
            "hints": judgement.hints,
            "earliest": judgement.earliest,
        }));
    } else {
        print(&held, &judgement, now);
    }
    store.close().await;
    Ok(match judgement.verdict {
        Verdict::Safe => Outcome::Fine,
        Verdict::NotYet { .. } => Outcome::Findings,
        Verdict::Unknown { .. } => Outcome::Unknown,
    })
}

/// Writes down what the operator decides; the verdict that follows is shown.
async fn note(context: &Context, store: &Store, domain: &PolicyDomain, args: &Rollout) -> Result<()> {
    let now = context.clock.now();
    let reason = args.reason.as_deref().map(str::trim).filter(|r| !r.is_empty());
    let reason = reason.ok_or_else(|| Failure::usage("give a reason: --reason TEXT"))?;
    match (args.action, args.item, &args.result_type) {
        (RolloutAction::Pass, Some(item), _) => store.waive_item(domain, item, AUTHOR, reason, now).await?,
        (RolloutAction::Excuse, _, Some(kind)) => {
            store.excuse_failures(domain, kind, args.mx.as_deref(), AUTHOR, reason, now).await?;
        }
        _ => {}
    }
    Ok(())
}

/// A domain held, or an error that says how to hold it.
pub async fn held(store: &Store, domain: &PolicyDomain) -> Result<HeldDomain> {
    store.domain(domain).await?.ok_or_else(|| {
        Failure::usage(format!("{domain} is not held here. Hold it: mailward domain add {domain}"))
    })
}

/// `safe`, `not-yet`, `unknown`.
pub fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Safe => "safe",
        Verdict::NotYet { .. } => "not-yet",
        Verdict::Unknown { .. } => "unknown",
    }
}

fn print(held: &HeldDomain, judgement: &Judgement, now: jiff::Timestamp) {
    let headline = match (&judgement.verdict, held.mode) {
        (Verdict::Safe, Mode::Enforce) => {
            "It is safe to go on enforcing: every item of the gate holds.".to_owned()
        }
        (Verdict::Safe, _) => "It is safe to enforce: every item of the gate holds.".to_owned(),
        (Verdict::NotYet { obstacles }, _) => {
            format!("Not yet: {} in the way.", things(obstacles.len(), "item stands", "items stand"))
        }
        (Verdict::Unknown { missing }, _) => {
            format!(
                "Unknown: nothing stands in the way, but {} not known.",
                things(missing.len(), "item is", "items are")
            )
        }
    };
    anstream::println!("{}  {}", strong(&held.domain), strong(headline));
    anstream::println!(
        "mode {}, max_age {}, since {}; reports counted from {} to {}\n",
        held.mode,
        held.max_age,
        output::moment(held.mode_since, now),
        judgement.window.0,
        judgement.window.1
    );
    for item in &judgement.items {
        let (shape, word) = match item.state {
            ItemState::Holds => ("●", "holds"),
            ItemState::Obstacle => ("■", "in the way"),
            ItemState::Unknown => ("○", "unknown"),
            ItemState::Waived => ("◐", "passed by name"),
        };
        anstream::println!(
            "{shape} {word:<15}{}  {}",
            strong(format!("G{:<3}", item.number)),
            wrap(&item.question, 23)
        );
        anstream::println!("{:23}{}", "", wrap(&output::clean(&item.evidence), 23));
        for (n, step) in item.next.iter().enumerate() {
            anstream::println!("{:23}{}  {}", "", n + 1, wrap(&output::clean(step), 26));
        }
    }
    if !judgement.would_defer.is_empty() {
        let by_mx: Vec<String> = judgement
            .would_defer
            .iter()
            .map(|(mx, n)| {
                format!("{} at {}", output::count(*n), if mx.is_empty() { "an MX not named" } else { mx })
            })
            .collect();
        let text = format!(
            "Under enforce these sessions of the window would have been deferred: {}.",
            by_mx.join(", ")
        );
        anstream::println!("\n{}", wrap(&output::clean(&text), 0));
    }
    for hint in &judgement.hints {
        anstream::println!("\nHint, no evidence: {}", wrap(&output::clean(hint), 20));
    }
    if let Some(earliest) = judgement.earliest {
        anstream::println!("\nEarliest: {}", output::moment(earliest, now));
    }
}

fn things(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}
