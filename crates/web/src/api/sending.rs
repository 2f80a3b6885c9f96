//! The sending side as documents.

use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::delivery::Override;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Answer, number};
use crate::failure::{DocumentFailure, Failure};
use crate::sending::{self, Lookup};
use crate::{App, pages, sheet};

/// One override as `mailward policy list --json` has it.
#[derive(Serialize)]
struct Shown<'a> {
    domain: &'a PolicyDomain,
    #[serde(flatten)]
    over: &'a Override,
    author: &'a str,
    set_at: Timestamp,
    /// Whether it still holds.
    holds: bool,
}

pub(super) async fn sending(State(app): State<App>) -> Answer {
    let now = app.now();
    let outlook = sending::outlook(&app).await?;
    let shown = |(domain, row)| {
        let row: &mailward_store::overrides::OverrideRow = row;
        Shown { domain, over: &row.over, author: &row.author, set_at: row.set_at, holds: row.over.holds(now) }
    };
    let overrides: Vec<Shown<'_>> =
        outlook.overrides.iter().map(|(domain, row)| shown((domain, row))).collect();
    let running = app.sending.as_ref();
    Ok(Json(json!({
        "schema": "mailward.sending/1",
        "at": now,
        "state": outlook.state.word(),
        "headline": outlook.headline,
        "explanation": outlook.explanation,
        "counts": outlook.counts,
        "overrides": overrides,
        "running": running.is_some(),
        "listens": running.map(|sending| sending.places()).unwrap_or_default(),
        "memory": running.map(|sending| sending.size()),
        "recent": running.map(|sending| sending.recent()).unwrap_or_default(),
    })))
}

/// Which policies.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    filter: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    limit: String,
}

pub(super) async fn policies(State(app): State<App>, Query(wanted): Query<Wanted>) -> Answer {
    let filter = match wanted.filter.as_str() {
        "" | "all" | "enforced" | "failing" => pages::policy_filter(&wanted.filter),
        other => {
            let text = format!("filter: {other:?} is none of all, enforced, failing");
            return Err(Failure::BadRequest(text).into());
        }
    };
    let search = Some(wanted.q.as_str()).filter(|q| !q.trim().is_empty());
    let after = Some(wanted.after.as_str()).filter(|after| !after.is_empty());
    let limit = number("limit", &wanted.limit)?.unwrap_or(100_u32).clamp(1, 1_000);
    let mut policies = app.store.policies_page(filter, search, after, limit + 1).await?;
    let more = policies.len() > limit as usize;
    policies.truncate(limit as usize);
    let next = policies.last().filter(|_| more).map(|row| row.domain.to_string());
    Ok(Json(json!({"schema": "mailward.policies/1", "policies": policies, "next": next})))
}

pub(super) async fn lookup(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Lookup>, DocumentFailure> {
    let domain = sheet::name(&name)?;
    Ok(Json(sending::explain(&app, &domain).await?))
}
