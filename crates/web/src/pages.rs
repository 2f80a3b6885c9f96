//! The pages: one file a page, each with its template.

use axum::Router;
use axum::routing::{get, post};

use crate::App;

mod csv;
mod domain;
mod domains;
mod excuse;
mod explain;
mod list;
mod outgoing;
mod problems;
mod quarantine;
mod report;
mod reports;
mod sending;
mod settings;
mod today;
mod told;

pub(crate) use explain::read as read_explanation;
pub(crate) use outgoing::{
    attachment as outgoing_attachment, preview_author, preview_report, read as read_outgoing,
    sent as sent_report,
};
pub(crate) use report::{attachment, read as read_report};
pub(crate) use sending::filter as policy_filter;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(today::show))
        .route("/domains", get(domains::show))
        .route("/domains/{domain}", get(domain::show))
        .route("/domains/{domain}/sessions.csv", get(csv::sessions))
        .route("/domains/{domain}/excuse", post(excuse::write))
        .route("/outgoing", get(outgoing::show))
        .route("/outgoing/preview", get(outgoing::preview))
        .route("/outgoing/suppressed", get(outgoing::suppressed))
        .route("/outgoing/suppress", post(outgoing::suppress))
        .route("/outgoing/unsuppress", post(outgoing::unsuppress))
        .route("/outgoing/{number}", get(outgoing::report))
        .route("/outgoing/{number}/raw", get(outgoing::raw))
        .route("/outgoing/{number}/send", post(outgoing::send))
        .route("/problems", get(problems::show))
        .route("/problems.csv", get(csv::problems))
        .route("/explain", get(explain::index))
        .route("/explain/{id}", get(explain::show))
        .route("/reports", get(reports::show))
        .route("/reports.csv", get(csv::reports))
        .route("/reports/reporters", get(reports::reporters))
        .route("/reports/quarantine", get(quarantine::list))
        .route("/reports/quarantine/{item}", get(quarantine::show))
        .route("/reports/quarantine/{item}/raw", get(quarantine::raw))
        .route("/reports/{number}", get(report::show))
        .route("/reports/{number}/raw", get(report::raw))
        .route("/sending", get(sending::show))
        .route("/sending/{domain}", get(sending::domain))
        .route("/settings", get(settings::show))
}
