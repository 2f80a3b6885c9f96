//! `/reports/quarantine`: what arrived and could not be counted, and why?

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State as Shared};
use axum::response::Response;
use mailward_store::reports::QuarantineRow;
use serde::Deserialize;

use super::report::{self, Oddity};
use crate::App;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::words::{self, Markup};

#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    before: String,
}

struct Row {
    address: String,
    item: i64,
    received: Markup,
    source: String,
    origin: String,
    size: String,
    why: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    frame: Frame,
    headline: String,
    rows: Vec<Row>,
    older: Option<String>,
}

pub(super) async fn list(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let page = app.store.quarantine(asked.before.parse().ok(), 50).await?;
    let more = if page.next.is_some() { "More than " } else { "" };
    let headline = match page.rows.len() {
        0 => "Nothing is set aside.".to_owned(),
        n => {
            let verb = if n == 1 { "is" } else { "are" };
            format!("{more}{} {verb} set aside and not counted.", words::counted(n as u64, "item"))
        }
    };
    let rows = page
        .rows
        .iter()
        .map(|row| Row {
            address: format!("/reports/quarantine/{}", row.item),
            item: row.item,
            received: words::moment(row.received_at, now).short(),
            source: row.source.clone(),
            origin: words::cut(&row.origin, 120),
            size: words::counted(row.size, "byte"),
            why: row.findings.iter().take(3).map(|f| (f.id.clone(), words::cut(&f.message, 300))).collect(),
        })
        .collect();
    let frame = Frame::new("Quarantine", Part::Reports, &visitor, now)
        .crumb("Reports", "/reports")
        .here("Quarantine")
        .document("/api/quarantine");
    let older = page.next.map(|next| format!("/reports/quarantine?before={next}"));
    Ok(html(&QuarantinePage { frame, headline, rows, older }))
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct ItemPage {
    frame: Frame,
    headline: String,
    item: i64,
    received: Markup,
    source: String,
    origin: String,
    size: String,
    oddities: Vec<Oddity>,
    raw: String,
    raw_note: String,
}

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Path(item): Path<String>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let row = read(&app, &item).await?;
    let raw = app.store.raw_item(row.item).await?.unwrap_or_default();
    let (raw, raw_note) = report::excerpt(&raw);
    let frame = Frame::new(format!("Quarantined item {}", row.item), Part::Reports, &visitor, now)
        .crumb("Reports", "/reports")
        .crumb("Quarantine", "/reports/quarantine")
        .here(format!("Item {}", row.item));
    let headline = row
        .findings
        .first()
        .map_or_else(|| "Set aside, and not counted.".to_owned(), |f| format!("Not counted: {}", f.message));
    Ok(html(&ItemPage {
        frame,
        headline: words::cut(&headline, 300),
        item: row.item,
        received: words::moment(row.received_at, now).tag(),
        source: row.source,
        origin: row.origin,
        size: words::counted(row.size, "byte"),
        oddities: report::oddities(&row.findings),
        raw,
        raw_note,
    }))
}

async fn read(app: &App, item: &str) -> Result<QuarantineRow, Failure> {
    let missing = || Failure::NotFound(format!("There is no quarantined item {}.", words::cut(item, 40)));
    let number: i64 = item.parse().map_err(|_| missing())?;
    app.store.quarantined(number).await?.ok_or_else(missing)
}

pub(super) async fn raw(Shared(app): Shared<App>, Path(item): Path<String>) -> Result<Response, PageFailure> {
    let row = read(&app, &item).await?;
    let raw = app.store.raw_item(row.item).await?;
    let raw = raw.ok_or_else(|| Failure::NotFound("The raw bytes are not kept any more.".into()))?;
    Ok(report::attachment(raw, &format!("item-{}", row.item)))
}
