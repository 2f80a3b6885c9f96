//! `/reports` and `/reports/reporters`: what did we hear, from whom, and can we believe it?

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State as Shared};
use axum::response::Response;
use mailward_store::reports::{ReportFilter, ReportRow};
use serde::Deserialize;

use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::state::State;
use crate::words::{self, Markup};
use crate::{App, asked};

/// Filters, as they stand in the address.
#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    domain: String,
    #[serde(default)]
    submitter: String,
    #[serde(default)]
    failed: String,
    #[serde(default)]
    before: String,
}

impl Asked {
    /// The filter for the store.
    pub(super) fn filter(&self) -> Result<ReportFilter, Failure> {
        let submitter = Some(self.submitter.trim().to_lowercase()).filter(|s| !s.is_empty());
        Ok(ReportFilter {
            domain: asked::domain(&self.domain)?,
            submitter,
            failed_only: !self.failed.is_empty(),
        })
    }

    fn address(&self, path: &str, before: &str) -> String {
        let query = [
            ("domain", self.domain.as_str()),
            ("submitter", &self.submitter),
            ("failed", &self.failed),
            ("before", before),
        ];
        words::address(path, &query)
    }
}

struct Row {
    address: String,
    report_id: String,
    received: Markup,
    organization: String,
    submitter: String,
    submitter_address: String,
    domains: Vec<String>,
    more_domains: usize,
    day: String,
    passed: String,
    failed: String,
    failing: bool,
    trust: Markup,
    source: String,
    superseded: bool,
}

#[derive(Template)]
#[template(path = "reports.html")]
struct ReportsPage {
    frame: Frame,
    headline: String,
    domain: String,
    submitter: String,
    failed: bool,
    filtered: bool,
    rows: Vec<Row>,
    older: Option<String>,
    newest: Option<String>,
    export: String,
}

/// Rows of one page.
const ROWS: u32 = 50;

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let filter = asked.filter()?;
    let before: Option<i64> = asked.before.parse().ok();
    let page = app.store.reports(&filter, before, ROWS).await?;
    let filtered = filter != ReportFilter::default();
    let headline = match page.rows.first() {
        None if filtered || before.is_some() => "No report fits these filters.".to_owned(),
        None => "No report has arrived yet.".to_owned(),
        Some(_) if !filtered && before.is_none() => {
            let newest = page.rows.iter().map(|row| row.received_at).max().unwrap_or(now);
            let failing = page.rows.iter().filter(|row| row.failed > 0).count();
            let newest = words::moment(newest, now).relative;
            format!(
                "The newest report came {newest}; {failing} of the last {} tell of failures.",
                page.rows.len()
            )
        }
        Some(_) => {
            let failed = page.rows.iter().filter(|row| row.failed > 0).count();
            let more = if page.next.is_some() { "more than " } else { "" };
            format!(
                "{more}{}, {failed} of these with failed sessions.",
                words::counted(page.rows.len() as u64, "report")
            )
        }
    };
    let mut headline = headline;
    if let Some(first) = headline.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    let rows = page.rows.iter().map(|row| self::row(row, now)).collect();
    Ok(html(&ReportsPage {
        frame: Frame::new("Reports", Part::Reports, &visitor, now)
            .document(words::address("/api/reports", &[("domain", &asked.domain)])),
        headline,
        older: page.next.map(|next| asked.address("/reports", &next.to_string())),
        newest: before.map(|_| asked.address("/reports", "")),
        export: asked.address("/reports.csv", ""),
        domain: asked.domain.clone(),
        submitter: asked.submitter.clone(),
        failed: filter.failed_only,
        filtered,
        rows,
    }))
}

fn sender(row: &ReportRow) -> String {
    words::cut(if row.organization.is_empty() { &row.submitter } else { &row.organization }, 80)
}

fn row(row: &ReportRow, now: jiff::Timestamp) -> Row {
    Row {
        address: format!("/reports/{}", row.number),
        report_id: words::cut(&row.report_id, 60),
        received: words::moment(row.received_at, now).short(),
        organization: sender(row),
        submitter: row.submitter.clone(),
        submitter_address: words::address("/reports", &[("submitter", &row.submitter)]),
        domains: row.domains.iter().take(3).cloned().collect(),
        more_domains: row.domains.len().saturating_sub(3),
        day: words::day(row.start).to_string(),
        passed: words::count(row.successful),
        failed: words::count(row.failed),
        failing: row.failed > 0,
        trust: State::from(row.trust).with_word(row.trust.as_str()),
        source: row.source.clone(),
        superseded: row.superseded,
    }
}

struct ReporterRow {
    submitter: String,
    organization: String,
    trust: Markup,
    reports: String,
    received: Markup,
    last_day: String,
    address: String,
}

#[derive(Template)]
#[template(path = "reporters.html")]
struct ReportersPage {
    frame: Frame,
    headline: String,
    rows: Vec<ReporterRow>,
}

pub(super) async fn reporters(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let reporters = app.store.reporters(None, 500).await?;
    let proven = reporters.iter().filter(|r| r.trust.is_evidence()).count();
    let headline = match reporters.len() {
        0 => "No reporter was heard yet.".to_owned(),
        n => format!(
            "{} heard; what {proven} of them say counts as evidence.",
            words::counted(n as u64, "reporter")
        ),
    };
    let rows = reporters
        .into_iter()
        .map(|r| ReporterRow {
            address: words::address("/reports", &[("submitter", &r.submitter)]),
            submitter: r.submitter,
            organization: words::cut(&r.organization, 120),
            trust: State::from(r.trust).with_word(r.trust.as_str()),
            reports: words::count(r.reports),
            received: words::moment(r.last_received, now).tag(),
            last_day: r.last_day.to_string(),
        })
        .collect();
    let frame =
        Frame::new("Reporters", Part::Reports, &visitor, now).crumb("Reports", "/reports").here("Reporters");
    Ok(html(&ReportersPage { frame, headline, rows }))
}
