//! `/outgoing/N`: does this report arrive, what did each address answer, and what does it say?

use std::collections::HashSet;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_core::tlsrpt::{Report, write};
use mailward_store::outgoing::{OutgoingReport, OutgoingRow, OutgoingState, OutgoingTarget};

use super::super::report::TEXT;
use super::super::told::Told;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::words::{self, Markup};
use crate::{App, outgoing};

struct Target {
    uri: String,
    host: String,
    badge: Markup,
    tries: String,
    first: Option<Markup>,
    last: Option<Markup>,
    next: Option<Markup>,
    answer: String,
    /// What is suppressed now: the address, or everything at its host.
    suppressed: Option<String>,
}

#[derive(Template)]
#[template(path = "outgoing_report.html")]
struct ReportPage {
    frame: Frame,
    badge: Markup,
    headline: String,
    lead: String,
    number: i64,
    name: String,
    lookup: String,
    report_id: String,
    day: String,
    day_address: String,
    made: Markup,
    sessions: String,
    targets: Vec<Target>,
    /// How many addresses "send now" would ask.
    unsent: usize,
    /// Whether a reporter runs in this process.
    reports: bool,
    told: Option<Told>,
    json: String,
    json_note: String,
}

pub(in crate::pages) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Path(number): Path<String>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let found = read(&app, &number).await?;
    let row = &found.row;
    let names: HashSet<&str> =
        row.targets.iter().flat_map(|target| [target.uri.as_str(), target.host.as_str()]).collect();
    let suppressed = app.store.suppressed_among(names, now).await?;
    let report = sent(&found)?;
    let (json, json_note) = as_sent(report.as_ref());
    let name = row.domain.to_unicode();
    let state = row.state.map_or(OutgoingState::NoReport, OutgoingState::Of);
    Ok(html(&ReportPage {
        frame: Frame::new(format!("Report about {name} on {}", row.day), Part::Reports, &visitor, now)
            .crumb("Reports", "/reports")
            .crumb("Outgoing", "/outgoing")
            .here(format!("{name}, {}", row.day))
            .document(format!("/api/outgoing/{}", row.number)),
        badge: outgoing::badge(state),
        headline: headline(row, &name, now),
        lead: lead(row),
        number: row.number,
        lookup: words::address("/outgoing", &[("domain", row.domain.as_str())]),
        report_id: row.report_id.clone(),
        day: row.day.to_string(),
        day_address: words::address("/outgoing", &[("day", &row.day.to_string())]),
        made: words::moment(row.made_at, now).tag(),
        sessions: format!("{} passed, {} failed", words::count(row.successful), words::count(row.failed)),
        unsent: row.targets.iter().filter(|target| target.state != TargetState::Sent).count(),
        targets: row.targets.iter().map(|one| target(one, &suppressed, now)).collect(),
        reports: app.reporter.is_some(),
        told: report.as_ref().map(Told::by_us),
        json,
        json_note,
        name,
    }))
}

/// Reads the report of an address.
pub(crate) async fn read(app: &App, number: &str) -> Result<OutgoingReport, Failure> {
    let missing = || Failure::NotFound(format!("There is no outgoing report {}.", words::cut(number, 40)));
    let number: i64 = number.parse().map_err(|_| missing())?;
    app.store.outgoing_report(number).await?.ok_or_else(missing)
}

/// The report as it leaves; `None` where none was made.
pub(crate) fn sent(found: &OutgoingReport) -> Result<Option<Report>, Failure> {
    let report = (!found.gzip.is_empty()).then(|| write::unpacked(&found.gzip)).transpose();
    report.map_err(|why| Failure::Broken(format!("Outgoing report {}: {why}", found.row.number)))
}

/// Its text for reading: the members as they are sent, in their order, one a line.
fn as_sent(report: Option<&Report>) -> (String, String) {
    let Some(report) = report else { return Default::default() };
    let text = serde_json::to_string_pretty(report).unwrap_or_default();
    let note = if text.len() > TEXT {
        format!("The first 64 KiB of {}.", words::counted(text.len() as u64, "byte"))
    } else {
        String::new()
    };
    (words::cut(&text, TEXT), note)
}

fn headline(row: &OutgoingRow, name: &str, now: Timestamp) -> String {
    let what = format!("The report about {name} on {}", row.day);
    let addresses = row.targets.len();
    let accepted = row.targets.iter().filter(|target| target.state == TargetState::Sent).count();
    let next = row.targets.iter().filter_map(|target| target.next_at).min();
    let next = next.map(|at| words::moment(at.max(now), now));
    let next = next.map_or_else(String::new, |at| format!("{} ({})", at.utc, at.relative));
    match row.state {
        None => format!("No report was made about {name} on {}.", row.day),
        Some(TargetState::Sent) if addresses == 1 => format!("{what} was accepted."),
        Some(TargetState::Sent) if accepted == addresses => format!("{what} was accepted by every address."),
        Some(TargetState::Sent) => format!("{what} was accepted by {accepted} of {addresses} addresses."),
        Some(TargetState::Due) => format!("{what} leaves at {next}."),
        Some(TargetState::Waiting) => format!("{what} was not accepted yet; the next try is at {next}."),
        Some(TargetState::Refused) if addresses == 1 => format!("{what} was refused."),
        Some(TargetState::Refused) => format!("{what} was accepted by no address."),
        Some(TargetState::GivenUp) => format!("{what} was given up after a day of tries."),
        Some(TargetState::Suppressed) => format!("{what} is not sent: its address is suppressed."),
    }
}

/// What follows from it.
fn lead(row: &OutgoingRow) -> String {
    match row.state {
        None => {
            let mut why = words::cut(&row.detail, 400);
            if let Some(first) = why.get_mut(0..1) {
                first.make_ascii_uppercase();
            }
            format!("{}. What was counted of the day is not kept.", why.trim_end_matches('.'))
        }
        Some(TargetState::Sent) => "It is theirs now.".to_owned(),
        Some(TargetState::Due) => "Nobody was asked yet; this is what will leave.".to_owned(),
        Some(TargetState::Waiting) => {
            "It is tried again by itself, less and less often, until a day has passed since the first try.".to_owned()
        }
        Some(TargetState::Refused | TargetState::GivenUp) => {
            "It is not tried again by itself, and they do not learn what it says. Mail to them goes on as before."
                .to_owned()
        }
        Some(TargetState::Suppressed) => {
            "They do not learn what it says. Mail to them goes on as before.".to_owned()
        }
    }
}

fn target(target: &OutgoingTarget, suppressed: &HashSet<String>, now: Timestamp) -> Target {
    let moment = |at: Option<Timestamp>| at.map(|at| words::moment(at, now).tag());
    let held = [&target.uri, &target.host].into_iter().find(|what| suppressed.contains(*what));
    Target {
        uri: target.uri.clone(),
        host: target.host.clone(),
        badge: outgoing::badge(OutgoingState::Of(target.state)),
        tries: words::counted(target.tries.into(), "time"),
        first: moment(target.first_tried_at.filter(|_| target.tries > 1)),
        last: moment(target.last_tried_at),
        next: moment(target.next_at.map(|at| at.max(now))),
        answer: target.answer.clone(),
        suppressed: held.cloned(),
    }
}

/// The bytes that are sent.
pub(in crate::pages) async fn raw(
    Shared(app): Shared<App>,
    Path(number): Path<String>,
) -> Result<Response, PageFailure> {
    Ok(attachment(read(&app, &number).await?)?)
}

/// The bytes of a report as a file.
pub(crate) fn attachment(found: OutgoingReport) -> Result<Response, Failure> {
    if found.gzip.is_empty() {
        return Err(Failure::NotFound(format!("No report was made: {}", words::cut(&found.row.detail, 400))));
    }
    let name = format!("attachment; filename=\"outgoing-{}.json.gz\"", found.row.number);
    let headers = [(header::CONTENT_TYPE, write::GZIP_TYPE.to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, found.gzip).into_response())
}
