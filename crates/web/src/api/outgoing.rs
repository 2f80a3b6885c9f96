//! The reports that we send as documents; the same as `mailward report outgoing … --json` prints.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde_json::json;

use super::{Answer, Part};
use crate::failure::{DocumentFailure, Failure};
use crate::{App, asked, documents, pages, sheet, words};

pub(super) async fn list(State(app): State<App>, Query(part): Query<Part>) -> Answer {
    let filter = asked::outgoing(&part.domain, &part.day, &part.state)?;
    let page = app.store.outgoing_reports(&filter, part.before()?, part.limit(50, 500)?).await?;
    Ok(Json(documents::outgoing_reports(&page)))
}

pub(super) async fn days(State(app): State<App>) -> Answer {
    Ok(Json(json!({"schema": "mailward.outgoing-days/1", "days": app.store.outgoing_days().await?})))
}

pub(super) async fn suppressed(State(app): State<App>) -> Answer {
    Ok(Json(documents::outgoing_suppressions(&app.store.outgoing_suppressions(app.now()).await?)))
}

pub(super) async fn preview(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(part): Query<Part>,
) -> Answer {
    let domain = sheet::name(&name)?;
    let day = asked::day("day", &part.day)?.unwrap_or_else(|| words::day(app.now()));
    let tally = app.store.tally_told(day, &domain, &pages::preview_author(&app)).await?;
    let tally = tally.ok_or_else(|| {
        Failure::NotFound(format!("Nothing is counted of {domain} on {day} (UTC) that is in no report."))
    })?;
    Ok(Json(documents::outgoing_preview(&pages::preview_report(&app, &tally))))
}

pub(super) async fn report(State(app): State<App>, Path(number): Path<String>) -> Answer {
    let found = pages::read_outgoing(&app, &number).await?;
    let report = pages::sent_report(&found)?;
    Ok(Json(documents::outgoing_report(&found.row, report.as_ref())))
}

pub(super) async fn raw(
    State(app): State<App>,
    Path(number): Path<String>,
) -> Result<Response, DocumentFailure> {
    let found = pages::read_outgoing(&app, &number).await?;
    Ok(pages::outgoing_attachment(found)?)
}
