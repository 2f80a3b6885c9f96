//! `/reports/N`: what does this report say, as we read it and as it came?

use std::collections::HashSet;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use mailward_core::Finding;
use mailward_store::reports::StoredReport;

use super::told::Told;
use crate::App;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::state::{self, State};
use crate::words::{self, Markup};

/// A finding about the report.
pub(crate) struct Oddity {
    pub(super) id: String,
    pub(super) badge: Markup,
    pub(super) subject: String,
    pub(super) message: String,
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    frame: Frame,
    headline: String,
    number: i64,
    report_id: String,
    organization: String,
    submitter: String,
    contact: String,
    range: String,
    received: Markup,
    source: String,
    origin: String,
    trust: Markup,
    trust_words: &'static str,
    superseded: bool,
    dkim: Vec<(&'static str, String)>,
    told: Told,
    oddities: Vec<Oddity>,
    normalised: String,
    raw: String,
    raw_note: String,
}

/// Characters of a text shown on one page; the rest is in the document and the raw text.
pub(super) const TEXT: usize = 64 * 1024;

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Path(number): Path<String>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let stored = read(&app, &number).await?;
    let raw = app.store.raw_item(stored.row.item).await?.unwrap_or_default();
    let (raw, raw_note) = excerpt(&raw);
    let row = &stored.row;
    let held: HashSet<String> = app.store.domains().await?.iter().map(|d| d.domain.to_string()).collect();
    let name = words::cut(if row.organization.is_empty() { &row.submitter } else { &row.organization }, 80);
    let frame = Frame::new(format!("Report {}", row.number), Part::Reports, &visitor, now)
        .crumb("Reports", "/reports")
        .here(format!("Report {}", row.number))
        .document(format!("/api/reports/{}", row.number));
    let headline = headline(&stored, &name);
    let page = ReportPage {
        frame,
        headline,
        number: row.number,
        report_id: row.report_id.clone(),
        organization: row.organization.clone(),
        submitter: row.submitter.clone(),
        contact: stored.report.contact_info.clone(),
        range: format!("{} to {}", words::moment(row.start, now).utc, words::moment(row.end, now).utc),
        received: words::moment(row.received_at, now).tag(),
        source: row.source.clone(),
        origin: stored.origin.clone(),
        trust: State::from(row.trust).with_word(row.trust.as_str()),
        trust_words: trust_words(row.trust),
        superseded: row.superseded,
        dkim: dkim(&stored),
        told: Told::by_others(&stored.report, &held),
        oddities: oddities(&stored.findings),
        normalised: words::cut(&serde_json::to_string_pretty(&stored.report).unwrap_or_default(), TEXT),
        raw,
        raw_note,
    };
    Ok(html(&page))
}

/// Reads the report of an address.
pub(crate) async fn read(app: &App, number: &str) -> Result<StoredReport, Failure> {
    let missing = || Failure::NotFound(format!("There is no report {}.", words::cut(number, 40)));
    let number: i64 = number.parse().map_err(|_| missing())?;
    app.store.report(number).await?.ok_or_else(missing)
}

/// Who says what; whoever has proved nothing is only somebody who says so.
fn headline(stored: &StoredReport, name: &str) -> String {
    let row = &stored.row;
    let day = words::day(row.start);
    let all = row.successful.saturating_add(row.failed);
    let (failed, of) = (words::count(row.failed), words::counted(all, "session"));
    match (row.trust.is_evidence(), all) {
        (true, 0) => format!("{name} tells of no session on {day}."),
        (true, _) if row.failed == 0 => format!("{name} saw {of} pass on {day}, and none fail."),
        (true, _) => format!("{name} saw {failed} of {of} fail on {day}."),
        (false, _) => {
            format!("Somebody who proved nothing tells of {failed} of {of} failing on {day}.")
        }
    }
}

fn trust_words(trust: mailward_core::rollout::Trust) -> &'static str {
    use mailward_core::rollout::Trust;
    match trust {
        Trust::DkimVerified => "The signature proves who sent it. It counts as evidence.",
        Trust::Trusted => "An operator trusts this source by name. It counts as evidence.",
        Trust::Unauthenticated => "Nobody proved who sent it. It is shown, and is never evidence by itself.",
        Trust::Unverified => "No signature that holds. It is a hint at most.",
    }
}

fn dkim(stored: &StoredReport) -> Vec<(&'static str, String)> {
    let Some(dkim) = &stored.dkim else { return Vec::new() };
    let absent = || "–".to_owned();
    vec![
        ("Verdict", dkim.verdict.clone()),
        ("Signed by (d=)", dkim.signing_domain.clone().unwrap_or_else(absent)),
        ("Selector (s=)", dkim.selector.clone().unwrap_or_else(absent)),
        ("Services of the key", dkim.key_services.clone().unwrap_or_else(|| "any (none named)".into())),
        ("Why", dkim.detail.clone()),
    ]
}

/// Findings about a report or an item, for a page.
pub(super) fn oddities(findings: &[Finding]) -> Vec<Oddity> {
    findings
        .iter()
        .take(100)
        .map(|finding| Oddity {
            id: finding.id.clone(),
            badge: state::severity_badge(finding.severity),
            subject: words::cut(&finding.subject, 200),
            message: finding.message.clone(),
        })
        .collect()
}

/// The first of an item as text, and a note on what is not shown.
pub(super) fn excerpt(raw: &[u8]) -> (String, String) {
    let size = words::counted(raw.len() as u64, "byte");
    let cut = &raw[..raw.len().min(TEXT)];
    let odd = cut.iter().filter(|b| **b < 9 || (14..32).contains(*b)).count();
    if odd * 20 > cut.len() {
        return (String::new(), format!("{size}, compressed or no text: download it to read it."));
    }
    let text = String::from_utf8_lossy(cut).replace("\r\n", "\n");
    let note =
        if cut.len() < raw.len() { format!("The first 64 KiB of {size}.") } else { format!("{size}.") };
    (text, note)
}

pub(super) async fn raw(
    Shared(app): Shared<App>,
    Path(number): Path<String>,
) -> Result<Response, PageFailure> {
    let stored = read(&app, &number).await?;
    let raw = app.store.raw_item(stored.row.item).await?;
    let raw = raw.ok_or_else(|| Failure::NotFound("The raw bytes are not kept any more.".into()))?;
    Ok(attachment(raw, &format!("report-{}", stored.row.number)))
}

/// Bytes from outside, as something a browser saves and never shows or runs.
pub(crate) fn attachment(raw: Vec<u8>, name: &str) -> Response {
    let (media_type, extension) = match std::str::from_utf8(&raw) {
        Ok(_) => ("text/plain; charset=utf-8", "txt"),
        Err(_) => ("application/octet-stream", "bin"),
    };
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.{extension}\"")),
    ];
    (headers, raw).into_response()
}
