//! The JSON API: the same read models as the pages, for scripts.
//!
//! Every document names its schema. Within a version fields may be added, never renamed or retyped.
//! `openapi.json` is written by hand and tested against this router.

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mailward_core::explain::Explanation;
use mailward_store::reports::ReportFilter;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::failure::{DocumentFailure, Failure};
use crate::{asked, documents, overview, pages, sheet, words};

mod outgoing;
mod sending;

type Answer = Result<Json<Value>, DocumentFailure>;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/openapi.json", get(openapi))
        .route("/status", get(status))
        .route("/domains", get(domains))
        .route("/domains/{domain}", get(domain))
        .route("/domains/{domain}/sessions", get(sessions))
        .route("/problems", get(problems))
        .route("/reports", get(reports))
        .route("/reports/{number}", get(report))
        .route("/reports/{number}/raw", get(raw))
        .route("/reporters", get(reporters))
        .route("/quarantine", get(quarantine))
        .route("/outgoing", get(outgoing::list))
        .route("/outgoing/days", get(outgoing::days))
        .route("/outgoing/suppressed", get(outgoing::suppressed))
        .route("/outgoing/preview/{domain}", get(outgoing::preview))
        .route("/outgoing/{number}", get(outgoing::report))
        .route("/outgoing/{number}/raw", get(outgoing::raw))
        .route("/sending", get(sending::sending))
        .route("/sending/policies", get(sending::policies))
        .route("/sending/lookup/{domain}", get(sending::lookup))
        .route("/explain/{id}", get(explain))
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("assets/openapi.json")).into_response()
}

async fn status(State(app): State<App>) -> Answer {
    let overview = overview::read(&app).await?;
    Ok(Json(json!({
        "schema": "mailward.status/1",
        "at": app.now(),
        "version": env!("CARGO_PKG_VERSION"),
        "headline": overview.headline,
        "explanation": overview.explanation,
        "domains": overview.lines,
    })))
}

/// Which part of a list.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    domain: String,
    #[serde(default)]
    submitter: String,
    #[serde(default)]
    failed: String,
    #[serde(default)]
    before: String,
    #[serde(default)]
    limit: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    day: String,
    #[serde(default)]
    state: String,
}

impl Part {
    fn before(&self) -> Result<Option<i64>, Failure> {
        asked::number("before", &self.before)
    }

    fn limit(&self, default: u32, most: u32) -> Result<u32, Failure> {
        Ok(asked::number("limit", &self.limit)?.unwrap_or(default).clamp(1, most))
    }
}

async fn domains(State(app): State<App>) -> Answer {
    let domains = app.store.domains().await?;
    Ok(Json(documents::domains(&domains)))
}

async fn domain(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let domain = sheet::name(&name)?;
    let sheet = sheet::read(&app, &domain, 28).await?;
    let audit = sheet.observation.as_ref().map(|seen| &seen.audit);
    let excused: Vec<Value> = sheet
        .excused
        .iter()
        .map(|(result_type, mx, reason)| json!({"result_type": result_type, "mx": mx, "reason": reason}))
        .collect();
    Ok(Json(json!({
        "schema": "mailward.domain/1",
        "domain": domain,
        "held": sheet.held,
        "summary": audit.map(|a| &a.summary),
        "checked_at": audit.map(|a| a.checked_at),
        "judgement": sheet.judgement,
        "findings": sheet.findings,
        "records": sheet.records,
        "seen": audit.map(|a| &a.records),
        "mx": audit.map(|a| &a.mx),
        "problems": sheet.problems,
        "excused": excused,
        "policies": sheet.policies,
        "reporters": sheet.reporters,
        "log": sheet.log,
    })))
}

async fn sessions(State(app): State<App>, Path(name): Path<String>, Query(part): Query<Part>) -> Answer {
    let domain = sheet::name(&name)?;
    sheet::held(&app, &domain).await?;
    let today = words::day(app.now());
    let to = asked::day("to", &part.to)?.unwrap_or_else(|| words::days_before(today, 1));
    let from = asked::day("from", &part.from)?.unwrap_or_else(|| words::days_before(to, 27));
    let days = from.until(to).map(|span| span.get_days()).unwrap_or(i32::MAX);
    if !(0..=1_000).contains(&days) {
        let text = "from must not lie after to, and at most 1,000 days before it".to_owned();
        return Err(Failure::BadRequest(text).into());
    }
    let days = app.store.session_days(&domain, from, to).await?;
    Ok(Json(json!({
        "schema": "mailward.sessions/1",
        "domain": domain,
        "from": from,
        "to": to,
        "days": days,
    })))
}

async fn problems(State(app): State<App>, Query(part): Query<Part>) -> Answer {
    let month_ago = words::days_before(words::day(app.now()), 28);
    let since = asked::day("since", &part.since)?.unwrap_or(month_ago);
    let limit = part.limit(200, 1_000)?;
    let problems = app.store.problems(asked::domain(&part.domain)?.as_ref(), since, limit).await?;
    Ok(Json(json!({"schema": "mailward.problems/1", "since": since, "problems": problems})))
}

async fn reports(State(app): State<App>, Query(part): Query<Part>) -> Answer {
    let submitter = Some(part.submitter.trim().to_lowercase()).filter(|s| !s.is_empty());
    let failed_only = !matches!(part.failed.as_str(), "" | "0" | "false");
    let filter = ReportFilter { domain: asked::domain(&part.domain)?, submitter, failed_only };
    let page = app.store.reports(&filter, part.before()?, part.limit(50, 500)?).await?;
    Ok(Json(documents::reports(&page)))
}

async fn report(State(app): State<App>, Path(number): Path<String>) -> Answer {
    Ok(Json(documents::report(&pages::read_report(&app, &number).await?)))
}

async fn raw(State(app): State<App>, Path(number): Path<String>) -> Result<Response, DocumentFailure> {
    let stored = pages::read_report(&app, &number).await?;
    let raw = app.store.raw_item(stored.row.item).await?;
    let raw = raw.ok_or_else(|| Failure::NotFound("The raw bytes are not kept any more.".into()))?;
    Ok(pages::attachment(raw, &format!("report-{}", stored.row.number)))
}

async fn reporters(State(app): State<App>, Query(part): Query<Part>) -> Answer {
    let reporters =
        app.store.reporters(asked::domain(&part.domain)?.as_ref(), part.limit(200, 1_000)?).await?;
    Ok(Json(json!({"schema": "mailward.reporters/1", "reporters": reporters})))
}

async fn quarantine(State(app): State<App>, Query(part): Query<Part>) -> Answer {
    let page = app.store.quarantine(part.before()?, part.limit(50, 500)?).await?;
    Ok(Json(json!({"schema": "mailward.quarantine/1", "items": page.rows, "next": page.next})))
}

async fn explain(Path(id): Path<String>) -> Result<Json<Explanation>, DocumentFailure> {
    Ok(Json(pages::read_explanation(&id)?))
}
