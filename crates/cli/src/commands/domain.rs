//! `mailward domain`: which domains are held. Works with and without a running daemon: the database is
//! the truth, and the daemon notices within seconds.

mod apply;

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::{Mode, publish};
use mailward_core::tlsrpt::ReportUri;
use mailward_store::Store;
use mailward_store::domains::HeldDomain;

use crate::Context;
use crate::args::Domain;
use crate::commands::rollout::held;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, clean, strong, table};
use crate::rooms;

/// Who wrote an intent from here, for the log.
pub const AUTHOR: &str = "cli";

/// A new domain begins like this (facts: rollout, state Testing).
const FIRST_MODE: Mode = Mode::Testing;
const FIRST_MAX_AGE: u32 = 86_400;

/// Runs it.
pub async fn run(context: &Context, args: Domain) -> Result {
    let store = rooms::store(&context.loaded.config).await?;
    let outcome = match args {
        Domain::Add { domain, mx, rua } => add(context, &store, &domain, mx, rua).await,
        Domain::List => list(context, &store).await,
        Domain::Show { domain } => show(context, &store, &domain).await,
        Domain::Remove { domain, reason } => remove(context, &store, &domain, &reason).await,
        Domain::Apply { file, dry_run } => apply::run(context, &store, &file, dry_run).await,
    };
    store.close().await;
    outcome
}

async fn add(context: &Context, store: &Store, domain: &str, mx: Vec<String>, rua: Vec<String>) -> Result {
    let domain = PolicyDomain::parse(domain)?;
    let now = context.clock.now();
    let before = store.domain(&domain).await?;
    let mx = match (&before, mx.is_empty()) {
        (Some(held), true) => held.mx.clone(),
        (None, true) => mx_from_dns(context, &domain).await?,
        (_, false) => mx,
    };
    let rua = match (&before, rua.is_empty()) {
        (Some(held), true) => held.rua.clone(),
        (None, true) => context.loaded.config.publish.rua.clone(),
        (_, false) => rua,
    };
    let (mode, max_age) = before.as_ref().map_or((FIRST_MODE, FIRST_MAX_AGE), |h| (h.mode, h.max_age));
    let held = desired(before.as_ref(), &domain, &mx, mode, max_age, rua, now)?;
    let changed = store
        .put_domain(&held, AUTHOR, if before.is_some() { "changed by hand" } else { "added by hand" }, now)
        .await?;
    if context.json() {
        output::print_json(
            &serde_json::json!({"schema": "mailward.domain/1", "changed": changed, "domain": held}),
        );
        return Ok(Outcome::Fine);
    }
    match (before.is_some(), changed) {
        (false, _) => anstream::println!(
            "{} is held: mode {}, max_age {}, mx {}.",
            strong(&domain),
            held.mode,
            held.max_age,
            held.mx.join(", ")
        ),
        (true, true) => anstream::println!(
            "{} is changed: mx {}; the policy has a new id, {}.",
            strong(&domain),
            held.mx.join(", "),
            held.policy_id
        ),
        (true, false) => anstream::println!("{} is held already, just so.", strong(&domain)),
    }
    if held.rua.is_empty() {
        anstream::println!(
            "No report address is set: give one with --rua mailto:tls-reports@{domain}, or nobody tells you what goes wrong."
        );
    }
    anstream::println!("Next: mailward dns {domain} shows the records to publish, in order.");
    Ok(Outcome::Fine)
}

/// The domain as it shall be held. Keeps id and dates where the policy stays the same.
///
/// # Errors
/// When the patterns, the age or the addresses cannot be published.
pub fn desired(
    before: Option<&HeldDomain>,
    domain: &PolicyDomain,
    mx: &[String],
    mode: Mode,
    max_age: u32,
    rua: Vec<String>,
    now: Timestamp,
) -> Result<HeldDomain> {
    for uri in &rua {
        ReportUri::parse(uri)
            .map_err(|e| Failure::usage(format!("the report address {uri:?} cannot be used: {e}")))?;
    }
    let made =
        publish::new_policy(mx, mode, max_age, now).map_err(|e| Failure::usage(format!("{domain}: {e}")))?;
    let patterns: Vec<String> = made.policy.mx.iter().map(ToString::to_string).collect();
    let same_body = before.filter(|b| b.policy_body == made.body);
    let same_stage = before.filter(|b| b.mode == mode && b.mx == patterns);
    Ok(HeldDomain {
        domain: domain.clone(),
        mode,
        mx: patterns,
        max_age,
        policy_id: same_body.map_or(made.id, |b| b.policy_id.clone()),
        policy_body: made.body,
        rua,
        added_at: before.map_or(now, |b| b.added_at),
        mode_since: same_stage.map_or(now, |b| b.mode_since),
    })
}

async fn mx_from_dns(context: &Context, domain: &PolicyDomain) -> Result<Vec<String>> {
    let outside = rooms::outside(&context.loaded.config, context.clock.clone())?;
    let answer = outside.resolver.mx(domain).await.map_err(|e| {
        Failure::unavailable(format!(
            "the MX records of {domain} could not be looked up: {e}. Name the hosts yourself: --mx HOST"
        ))
    })?;
    let hosts: Vec<String> =
        answer.records.iter().filter_map(|r| r.exchange.as_ref().ok()).map(ToString::to_string).collect();
    match (hosts.is_empty(), answer.is_absent()) {
        (false, _) => Ok(hosts),
        // Reading A31: without an MX record the domain itself is the host.
        (true, true) => Ok(vec![domain.to_string()]),
        (true, false) => Err(Failure::usage(format!(
            "{domain} takes no mail (its MX record says so); name the hosts yourself if that is wrong: --mx HOST"
        ))),
    }
}

async fn list(context: &Context, store: &Store) -> Result {
    let domains = store.domains().await?;
    if context.json() {
        output::print_json(&mailward_web::documents::domains(&domains));
    } else if domains.is_empty() {
        anstream::println!("No domain is held here yet. Hold one: mailward domain add example.com");
    } else {
        let rows: Vec<Vec<String>> = domains
            .iter()
            .map(|d| {
                vec![
                    d.domain.to_unicode(),
                    d.mode.to_string(),
                    d.max_age.to_string(),
                    d.mx.join(", "),
                    d.policy_id.clone(),
                ]
            })
            .collect();
        use table::Align::{Left, Right};
        let headings = [("domain", Left), ("mode", Left), ("max_age", Right), ("mx", Left), ("id", Left)];
        anstream::print!("{}", table::render(&headings, &rows));
    }
    Ok(Outcome::Fine)
}

async fn show(context: &Context, store: &Store, domain: &str) -> Result {
    let domain = PolicyDomain::parse(domain)?;
    let held = held(store, &domain).await?;
    let served = store.served_policies(&domain).await?;
    let log = store.log(Some(&domain), None, 50).await?.rows;
    let now = context.clock.now();
    if context.json() {
        output::print_json(&serde_json::json!({
            "schema": "mailward.domain/1", "domain": held, "served": served, "log": log,
        }));
        return Ok(Outcome::Fine);
    }
    anstream::println!("{}  held since {}", strong(&domain), output::moment(held.added_at, now));
    anstream::println!(
        "mode {} since {}, id {}",
        held.mode,
        output::moment(held.mode_since, now),
        held.policy_id
    );
    if !held.rua.is_empty() {
        anstream::println!("reports to {}", clean(&held.rua.join(", ")));
    }
    anstream::println!("\n{}", strong("Policy"));
    held.policy_body.lines().for_each(|l| anstream::println!("  {l}"));
    anstream::println!("\n{}", strong("Served"));
    for policy in &served {
        let until = policy.last_served.map_or_else(|| "now".to_owned(), |t| output::moment(t, now));
        anstream::println!(
            "  {}  {}  {} to {until}",
            policy.policy_id,
            policy.mode,
            output::moment(policy.first_served, now)
        );
    }
    anstream::println!("\n{}", strong("Log"));
    for entry in &log {
        let detail = [&entry.reason, &entry.detail]
            .into_iter()
            .filter(|t| !t.is_empty())
            .map(|t| clean(t))
            .collect::<Vec<_>>()
            .join("; ");
        anstream::println!(
            "  {}  {}  {}  {detail}",
            output::moment(entry.at, now),
            clean(&entry.author),
            clean(&entry.act)
        );
    }
    Ok(Outcome::Fine)
}

async fn remove(context: &Context, store: &Store, domain: &str, reason: &str) -> Result {
    let domain = PolicyDomain::parse(domain)?;
    let held = held(store, &domain).await?;
    let reason = if reason.is_empty() { "removed by hand" } else { reason };
    store.remove_domain(&domain, AUTHOR, reason, context.clock.now()).await?;
    if context.json() {
        output::print_json(&serde_json::json!({"schema": "mailward.domain/1", "removed": domain}));
        return Ok(Outcome::Fine);
    }
    anstream::println!(
        "{} is not held any more: its policy is not served here from now on.",
        strong(&domain)
    );
    if held.mode == Mode::Enforce {
        anstream::println!(
            "Its policy was enforced: senders that have it go on enforcing it for up to {} s. Whoever serves the policy now must keep the MX hosts it names.",
            held.max_age
        );
    }
    anstream::println!(
        "Put it back: mailward domain add {domain}{}",
        held.mx.iter().map(|m| format!(" --mx {m}")).collect::<String>()
    );
    Ok(Outcome::Fine)
}
