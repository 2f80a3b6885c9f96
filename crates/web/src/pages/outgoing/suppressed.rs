//! `/outgoing/suppressed`: whom do we send no report, why, and how is that taken back?

use askama::Template;
use axum::Extension;
use axum::extract::State as Shared;
use axum::response::Response;
use jiff::Timestamp;
use mailward_store::outgoing::Suppression;

use crate::App;
use crate::access::Visitor;
use crate::failure::PageFailure;
use crate::frame::{Frame, Part, html};
use crate::words::{self, Markup};

/// Shown at the most; the document has all.
const MOST: usize = 200;

struct Row {
    what: String,
    until: Option<Markup>,
    reason: String,
    author: String,
    set_at: Markup,
}

#[derive(Template)]
#[template(path = "outgoing_suppressed.html")]
struct SuppressedPage {
    frame: Frame,
    headline: String,
    rows: Vec<Row>,
    more: usize,
}

pub(in crate::pages) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let all = app.store.outgoing_suppressions(now).await?;
    let headline = match all.len() {
        0 => "Every address that asks for reports gets them.".to_owned(),
        1 => "One address or host is sent no report.".to_owned(),
        n => format!("{} addresses and hosts are sent no report.", words::count(n as u64)),
    };
    Ok(html(&SuppressedPage {
        frame: Frame::new("Suppressed addresses", Part::Reports, &visitor, now)
            .crumb("Reports", "/reports")
            .crumb("Outgoing", "/outgoing")
            .here("Suppressed")
            .document("/api/outgoing/suppressed"),
        headline,
        rows: all.iter().take(MOST).map(|one| row(one, now)).collect(),
        more: all.len().saturating_sub(MOST),
    }))
}

fn row(one: &Suppression, now: Timestamp) -> Row {
    Row {
        what: one.what.clone(),
        until: one.until.map(|until| words::moment(until, now).tag()),
        reason: words::cut(&one.reason, 600),
        author: one.author.clone(),
        set_at: words::moment(one.set_at, now).short(),
    }
}
