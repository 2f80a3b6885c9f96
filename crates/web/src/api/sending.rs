//! The sending side as documents.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::json;

use super::Answer;
use crate::failure::{DocumentFailure, Failure};
use crate::sending::{self, Lookup};
use crate::{App, asked, documents, pages, sheet};

pub(super) async fn sending(State(app): State<App>) -> Answer {
    let now = app.now();
    let outlook = sending::outlook(&app).await?;
    let running = app.sending.as_ref();
    Ok(Json(json!({
        "schema": "mailward.sending/1",
        "at": now,
        "state": outlook.state.word(),
        "headline": outlook.headline,
        "explanation": outlook.explanation,
        "counts": outlook.counts,
        "overrides": documents::overrides(&outlook.overrides, now),
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
    let limit = asked::number("limit", &wanted.limit)?.unwrap_or(100_u32).clamp(1, 1_000);
    let page = app.store.policies_page(filter, search, after, limit).await?;
    Ok(Json(json!({
        "schema": "mailward.policies/1",
        "policies": page.rows,
        "next": page.next,
        "looked_up_to": page.looked_up_to,
    })))
}

pub(super) async fn lookup(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Lookup>, DocumentFailure> {
    let domain = sheet::name(&name)?;
    Ok(Json(sending::explain(&app, &domain).await?))
}
