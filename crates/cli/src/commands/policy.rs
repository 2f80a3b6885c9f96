//! `mailward policy`: what mail to other domains requires by the operator's word. Works with and without a
//! running daemon: the database is the truth, and the daemon notices within seconds.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::delivery::{Override, Require};
use mailward_store::overrides::OverrideRow;
use mailward_store::{Store, StoreError};
use mailward_web::documents::{self, OverrideDocument};

use crate::Context;
use crate::args::Policy;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, clean, faint, strong, table};
use crate::{rooms, when};

/// Runs it.
pub async fn run(context: &Context, args: Policy) -> Result {
    let store = rooms::store(&context.loaded.config).await?;
    let outcome = match args {
        Policy::Set { domain, require, until, reason, author } => {
            let now = context.clock.now();
            let over = new_override(require.into(), until.as_deref(), &reason, now)?;
            set(context, &store, &PolicyDomain::parse(&domain)?, over, &author, now).await
        }
        Policy::Unset { domain, reason, author } => {
            unset(context, &store, &PolicyDomain::parse(&domain)?, &reason, &author).await
        }
        Policy::List => list(context, &store).await,
    };
    store.close().await;
    outcome
}

fn new_override(require: Require, until: Option<&str>, reason: &str, now: Timestamp) -> Result<Override> {
    let until = until.map(|text| when::moment("--until", text, now)).transpose()?;
    if let Some(past) = until.filter(|until| *until <= now) {
        return Err(Failure::usage(format!("--until {past} is over already")));
    }
    Ok(Override { require, until, reason: said(reason)? })
}

/// A reason that says something.
fn said(reason: &str) -> Result<String> {
    match reason.trim() {
        "" => Err(Failure::usage("--reason is empty; write why, for the log and the next person")),
        reason => Ok(reason.to_owned()),
    }
}

async fn set(
    context: &Context,
    store: &Store,
    domain: &PolicyDomain,
    over: Override,
    author: &str,
    now: Timestamp,
) -> Result {
    store.put_override(domain, &over, author, now).await?;
    // Set just so before, it keeps its author and its day.
    let rows = store.overrides().await?;
    let row = rows.iter().find(|(of, _)| of == domain).map(|(_, row)| row);
    let row = row.ok_or_else(|| Failure::unavailable(format!("{domain} was unset in the same moment")))?;
    if context.json() {
        let shown = OverrideDocument::new(domain, row, now);
        output::print_json(&serde_json::json!({"schema": "mailward.override/1", "override": shown}));
        return Ok(Outcome::Fine);
    }
    let end = match row.over.until {
        Some(until) => format!("until {}", output::moment(until, now)),
        None => format!("until `mailward policy unset {domain}`"),
    };
    anstream::println!("{}: {}, {end}.", strong(domain), consequence(row.over.require));
    anstream::println!("A running daemon obeys within seconds. See it: mailward lookup {domain}");
    Ok(Outcome::Fine)
}

/// What an override makes of mail.
fn consequence(require: Require) -> &'static str {
    match require {
        Require::Dane => "mail goes only to servers that match a TLSA record (DANE); else it waits",
        Require::Sts => {
            "mail goes only where the MTA-STS policy allows, also in testing mode; without a policy it waits"
        }
        Require::Encrypt => "mail goes over TLS, whoever answers; what the domain publishes is passed over",
        Require::None => {
            "mail goes with TLS where it works and without where not; what the domain publishes is passed over"
        }
    }
}

async fn unset(
    context: &Context,
    store: &Store,
    domain: &PolicyDomain,
    reason: &str,
    author: &str,
) -> Result {
    let removed = store.remove_override(domain, author, &said(reason)?, context.clock.now()).await;
    removed.map_err(|error| match error {
        StoreError::NotFound(_) => {
            Failure::usage(format!("nothing is set for {domain}; `mailward policy list` shows what is"))
        }
        other => other.into(),
    })?;
    if context.json() {
        output::print_json(&serde_json::json!({"schema": "mailward.override/1", "removed": domain}));
    } else {
        anstream::println!("{}: what the domain publishes decides again.", strong(domain));
    }
    Ok(Outcome::Fine)
}

async fn list(context: &Context, store: &Store) -> Result {
    let now = context.clock.now();
    let rows = store.overrides().await?;
    if context.json() {
        let shown = documents::overrides(&rows, now);
        output::print_json(&serde_json::json!({"schema": "mailward.overrides/1", "overrides": shown}));
        return Ok(Outcome::Fine);
    }
    if rows.is_empty() {
        anstream::println!(
            "Nothing is set: every domain is judged by what it publishes. Set something: mailward policy set DOMAIN --require dane --reason TEXT"
        );
        return Ok(Outcome::Fine);
    }
    use table::Align::Left;
    let headings = ["domain", "requires", "until", "reason", "set by", "set"].map(|heading| (heading, Left));
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(domain, OverrideRow { over, author, set_at })| {
            let until = over.until.map_or_else(|| "it is unset".to_owned(), |at| output::moment(at, now));
            let until = if over.holds(now) { until } else { faint(format!("ran out {until}")) };
            vec![
                strong(domain),
                over.require.as_str().to_owned(),
                until,
                clean(&over.reason),
                clean(author),
                set_at.strftime("%Y-%m-%d").to_string(),
            ]
        })
        .collect();
    anstream::print!("{}", table::render(&headings, &rows));
    Ok(Outcome::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_set() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let made = |until, reason| new_override(Require::None, until, reason, now);
        let over = made(Some("+1d"), " their certificate \n").unwrap();
        assert_eq!(over.reason, "their certificate");
        assert!(over.holds(now) && !over.holds("2026-03-02T00:00:00Z".parse().unwrap()));
        for (until, reason, why) in [
            (Some("2026-03-01"), "x", "over already"),
            (Some("2025-01-01"), "x", "over already"),
            (Some("soon"), "x", "--until"),
            (None, " ", "--reason is empty"),
        ] {
            let error = made(until, reason).unwrap_err().to_string();
            assert!(error.contains(why), "{until:?} {reason:?}: {error}");
        }
    }
}
