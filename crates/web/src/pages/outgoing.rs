//! `/outgoing`: what do we tell others, and does it arrive?

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State as Shared};
use axum::response::Response;
use jiff::Timestamp;
use jiff::civil::Date;
use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_store::Page;
use mailward_store::outgoing::{
    Made, OutgoingCounts, OutgoingDay, OutgoingFilter, OutgoingRow, OutgoingState, OutgoingTarget,
};
use serde::Deserialize;

use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::outgoing::{self, Outlook};
use crate::words::{self, Markup};
use crate::{App, asked};

mod acts;
mod preview;
mod report;
mod suppressed;

pub(super) use acts::{send, suppress, unsuppress};
pub(super) use preview::show as preview;
pub(crate) use preview::{author as preview_author, report as preview_report};
pub(crate) use report::{attachment, read, sent};
pub(super) use report::{raw, show as report};
pub(super) use suppressed::show as suppressed;

/// Rows of one page.
const ROWS: u32 = 50;
/// Days of the table below the list.
const DAYS: usize = 28;
/// Addresses of a report that the list names.
const TARGETS: usize = 3;

/// Filters, as they stand in the address.
#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    domain: String,
    #[serde(default)]
    day: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    before: String,
}

impl Asked {
    fn address(&self, day: &str, state: &str, before: &str) -> String {
        let query = [("domain", self.domain.trim()), ("day", day), ("state", state), ("before", before)];
        words::address("/outgoing", &query)
    }
}

struct Chip {
    address: String,
    text: Markup,
    count: Option<String>,
    here: bool,
}

/// Where a report goes, in a list.
struct To {
    uri: String,
    said: String,
}

struct Row {
    address: String,
    name: String,
    badge: Markup,
    why: String,
    day: String,
    day_address: String,
    passed: String,
    failed: String,
    failing: bool,
    targets: Vec<To>,
    more_targets: usize,
    moved: Option<(&'static str, Markup)>,
}

/// A day of the table: its reports by state, each with the address of the list.
struct DayRow {
    day: Date,
    address: String,
    cells: Vec<(&'static str, Option<(String, String)>)>,
}

#[derive(Template)]
#[template(path = "outgoing.html")]
struct OutgoingPage {
    frame: Frame,
    badge: Option<Markup>,
    headline: String,
    explanation: String,
    /// Whether there is no report at all.
    empty: bool,
    chips: Vec<Chip>,
    domain: String,
    day: String,
    state: &'static str,
    rows: Vec<Row>,
    older: Option<String>,
    newest: Option<String>,
    heads: Vec<&'static str>,
    days: Vec<DayRow>,
}

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let filter = asked::outgoing(&asked.domain, &asked.day, &asked.state)?;
    let before: Option<i64> = asked::number("before", &asked.before)?;
    let page = app.store.outgoing_reports(&filter, before, ROWS).await?;
    let outlook = outgoing::outlook(&app).await?;
    let filtered = filter != OutgoingFilter::default() || before.is_some();
    let state = filter.state.map_or("", OutgoingState::as_str);
    let document = words::address(
        "/api/outgoing",
        &[("domain", asked.domain.trim()), ("day", asked.day.trim()), ("state", state)],
    );
    let empty = outlook.days.is_empty();
    Ok(html(&OutgoingPage {
        frame: Frame::new("Outgoing reports", Part::Reports, &visitor, now)
            .crumb("Reports", "/reports")
            .here("Outgoing")
            .document(document),
        badge: (!filtered).then(|| outlook.state.badge()),
        headline: if filtered {
            filtered_headline(&filter, &page, &outlook, before)
        } else {
            outlook.headline.clone()
        },
        explanation: if filtered { String::new() } else { outlook.explanation.clone() },
        empty,
        chips: chips(&asked, &filter, &outlook),
        domain: asked.domain.clone(),
        day: asked.day.clone(),
        state,
        older: page.next.map(|next| asked.address(asked.day.trim(), state, &next.to_string())),
        newest: before.map(|_| asked.address(asked.day.trim(), state, "")),
        rows: page.rows.iter().map(|one| row(one, now)).collect(),
        heads: OutgoingState::all().map(head).collect(),
        days: outlook.days.iter().take(DAYS).map(day_row).collect(),
    }))
}

/// What the list shows, counted where that is known.
fn filtered_headline(
    filter: &OutgoingFilter,
    page: &Page<OutgoingRow>,
    outlook: &Outlook,
    before: Option<i64>,
) -> String {
    let about = match (&filter.domain, filter.day) {
        (None, None) => String::new(),
        (Some(domain), None) => format!(" about {}", domain.to_unicode()),
        (None, Some(day)) => format!(" about {day}"),
        (Some(domain), Some(day)) => format!(" about {} on {day}", domain.to_unicode()),
    };
    if page.rows.is_empty() {
        return if before.is_some() {
            "No more reports fit.".to_owned()
        } else {
            format!("No report{about} fits.")
        };
    }
    let (reports, more) = match (&filter.domain, before) {
        // The sums know no domains.
        (Some(_), _) | (_, Some(_)) => (page.rows.len() as u64, page.next.is_some()),
        (None, None) => (counted(&outlook.counts(filter.day), filter.state), false),
    };
    let more = if more { "More than " } else { "" };
    let count = words::counted(reports, "report");
    match filter.state {
        None => format!("{more}{count}{about}."),
        Some(state) => format!("{more}{count}{about} {}.", predicate(state, reports)),
    }
}

/// What is said of reports in a state.
fn predicate(state: OutgoingState, reports: u64) -> &'static str {
    let (one, several) = match state {
        OutgoingState::Of(TargetState::Due) => ("is due", "are due"),
        OutgoingState::Of(TargetState::Waiting) => ("waits for another try", "wait for another try"),
        OutgoingState::Of(TargetState::Sent) => ("was accepted", "were accepted"),
        OutgoingState::Of(TargetState::Refused) => ("was refused", "were refused"),
        OutgoingState::Of(TargetState::GivenUp) => ("was given up", "were given up"),
        OutgoingState::Of(TargetState::Suppressed) => ("is suppressed", "are suppressed"),
        OutgoingState::NoReport => ("was not made", "were not made"),
    };
    if reports == 1 { one } else { several }
}

fn counted(counts: &OutgoingCounts, state: Option<OutgoingState>) -> u64 {
    state.map_or(counts.all(), |state| counts.of(state.target()))
}

/// The heading of a state.
fn head(state: OutgoingState) -> &'static str {
    use TargetState::{Due, GivenUp, Refused, Sent, Suppressed, Waiting};
    match state {
        OutgoingState::Of(Due) => "Due",
        OutgoingState::Of(Waiting) => "Waiting",
        OutgoingState::Of(Sent) => "Sent",
        OutgoingState::Of(Refused) => "Refused",
        OutgoingState::Of(GivenUp) => "Given up",
        OutgoingState::Of(Suppressed) => "Suppressed",
        OutgoingState::NoReport => "No report",
    }
}

fn chips(asked: &Asked, filter: &OutgoingFilter, outlook: &Outlook) -> Vec<Chip> {
    let counts = filter.domain.is_none().then(|| outlook.counts(filter.day));
    let day = asked.day.trim();
    let chip = |state: Option<OutgoingState>, text: Markup| Chip {
        address: asked.address(day, state.map_or("", OutgoingState::as_str), ""),
        text,
        count: counts.map(|counts| words::count(counted(&counts, state))),
        here: state == filter.state,
    };
    let mut chips = vec![chip(None, askama::filters::Safe("All".to_owned()))];
    chips.extend(OutgoingState::all().map(|state| chip(Some(state), outgoing::badge(state))));
    chips
}

fn row(row: &OutgoingRow, now: Timestamp) -> Row {
    let state = row.state.map_or(OutgoingState::NoReport, OutgoingState::Of);
    Row {
        address: format!("/outgoing/{}", row.number),
        name: row.domain.to_unicode(),
        badge: outgoing::badge(state),
        why: why(row),
        day: row.day.to_string(),
        day_address: words::address("/outgoing", &[("day", &row.day.to_string())]),
        passed: words::count(row.successful),
        failed: words::count(row.failed),
        failing: row.failed > 0,
        targets: row.targets.iter().take(TARGETS).map(|target| to(target, row.targets.len() > 1)).collect(),
        more_targets: row.targets.len().saturating_sub(TARGETS),
        moved: moved(row, now),
    }
}

/// Why there is no report.
fn why(row: &OutgoingRow) -> String {
    match row.made {
        Made::Report => String::new(),
        _ => words::cut(&row.detail, 200),
    }
}

/// An address with what it last answered; its own state as well where another may differ.
fn to(target: &OutgoingTarget, several: bool) -> To {
    let state = if several { target.state.as_str() } else { "" };
    let answer = words::cut(&target.answer, 160);
    // Of one that was left alone nothing was answered.
    let answer = if target.state == TargetState::Suppressed { "" } else { &answer };
    let said = [state, answer].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    To { uri: words::cut(&target.uri, 160), said }
}

/// The next thing that happens, else the last that did.
fn moved(row: &OutgoingRow, now: Timestamp) -> Option<(&'static str, Markup)> {
    let next = row.targets.iter().filter_map(|target| target.next_at).min();
    let last = row.targets.iter().filter_map(|target| target.last_tried_at).max();
    match (next, last) {
        // A time that has passed is being acted on.
        (Some(next), _) => Some(("next try", words::moment(next.max(now), now).short())),
        (None, Some(last)) => Some(("last tried", words::moment(last, now).short())),
        (None, None) => None,
    }
}

fn day_row(one: &OutgoingDay) -> DayRow {
    let day = one.day.to_string();
    let cell = |state: OutgoingState| {
        let reports = one.counts.of(state.target());
        let address = words::address("/outgoing", &[("day", &day), ("state", state.as_str())]);
        (head(state), (reports > 0).then(|| (words::count(reports), address)))
    };
    DayRow {
        day: one.day,
        address: words::address("/outgoing", &[("day", &day)]),
        cells: OutgoingState::all().map(cell).collect(),
    }
}

/// The reports that we send in one line of the page of the sending side; nothing where none is made.
pub(super) async fn card(app: &App) -> Result<Option<(Markup, String)>, Failure> {
    let outlook = outgoing::outlook(app).await?;
    let shown = app.reporter.is_some() || !outlook.days.is_empty();
    Ok(shown.then(|| (outlook.state.badge(), outlook.headline)))
}
