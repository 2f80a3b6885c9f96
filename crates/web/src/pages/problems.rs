//! `/problems`: what do I do? Everything that reporters see failing, over all domains.

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State as Shared};
use axum::response::Response;
use mailward_core::PolicyDomain;
use serde::Deserialize;

use super::list::{Heading, Wanted, plain};
use crate::App;
use crate::access::Visitor;
use crate::failure::PageFailure;
use crate::frame::{Frame, Part, html};
use crate::words;

/// Filters, as they stand in the address.
#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    pub(super) domain: String,
    #[serde(default, rename = "type")]
    pub(super) result_type: String,
    #[serde(default)]
    pub(super) mx: String,
    #[serde(default)]
    pub(super) days: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    order: String,
}

struct Row {
    result_type: String,
    explain: String,
    domain: String,
    domain_address: String,
    mx: String,
    reason: String,
    sessions: String,
    weak: String,
    last_day: String,
    first_day: Option<String>,
    reporters: String,
}

#[derive(Template)]
#[template(path = "problems.html")]
struct ProblemsPage {
    frame: Frame,
    headline: String,
    domain: String,
    result_type: String,
    mx: String,
    days: i64,
    headings: Vec<Heading>,
    rows: Vec<Row>,
    cut: bool,
    export: String,
}

/// The most rows shown.
const MOST: u32 = 500;

/// Problems that fit the filters, most sessions first, and whether there are more.
pub(super) async fn read(
    app: &App,
    asked: &Asked,
) -> Result<(Vec<mailward_store::sessions::Problem>, bool), crate::failure::Failure> {
    let domain = crate::asked::domain(&asked.domain)?;
    let since = words::days_before(words::day(app.now()), asked.span());
    let mut rows = app.store.problems(domain.as_ref(), since, MOST + 1).await?;
    let more = rows.len() > MOST as usize;
    rows.truncate(MOST as usize);
    let contains = |text: &str, part: &str| text.to_lowercase().contains(&part.trim().to_lowercase());
    rows.retain(|p| contains(p.result_type.as_str(), &asked.result_type));
    rows.retain(|p| asked.mx.is_empty() || p.mx.as_deref().is_some_and(|mx| contains(mx, &asked.mx)));
    Ok((rows, more))
}

impl Asked {
    fn span(&self) -> i64 {
        match self.days.as_str() {
            "7" => 7,
            "90" => 90,
            "365" => 365,
            _ => 28,
        }
    }
}

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let (mut problems, cut) = read(&app, &asked).await?;
    let descending = asked.order == "desc";
    match asked.sort.as_str() {
        "type" => problems.sort_by(|a, b| a.result_type.as_str().cmp(b.result_type.as_str())),
        "domain" => problems.sort_by(|a, b| a.domain.cmp(&b.domain)),
        "mx" => problems.sort_by(|a, b| a.mx.cmp(&b.mx)),
        "last" => problems.sort_by_key(|p| p.last_day),
        "sessions" => problems.sort_by_key(|p| p.sessions),
        _ => problems.sort_by_key(|p| std::cmp::Reverse(p.sessions)),
    }
    if descending {
        problems.reverse();
    }
    let days = asked.span();
    let span = days.to_string();
    let filters = [
        ("domain", asked.domain.as_str()),
        ("type", asked.result_type.as_str()),
        ("mx", asked.mx.as_str()),
        ("days", if days == 28 { "" } else { &span }),
    ];
    let wanted = Wanted { path: "/problems", filters: &filters, sort: &asked.sort, descending };
    let headings = vec![
        wanted.heading("What failed", "type", false),
        wanted.heading("Domain", "domain", false),
        wanted.heading("MX", "mx", false),
        plain("Reason, as reported", false),
        wanted.heading("Sessions", "sessions", true),
        wanted.heading("Last day", "last", false),
        plain("Told by", false),
    ];
    let domains: std::collections::BTreeSet<&PolicyDomain> = problems.iter().map(|p| &p.domain).collect();
    let filtered = filters[..3].iter().any(|(_, value)| !value.is_empty());
    let headline = match problems.len() {
        0 if filtered => "No problem fits these filters.".to_owned(),
        0 => format!("No reporter tells of a failed session in the last {days} days."),
        n => {
            let sessions = problems.iter().fold(0_u64, |sum, p| sum.saturating_add(p.sessions));
            let verb = if sessions == 1 { "fails" } else { "fail" };
            format!(
                "{} {verb} in {} at {}.",
                words::counted(sessions, "session"),
                words::counted(n as u64, "way"),
                words::counted(domains.len() as u64, "domain"),
            )
        }
    };
    let export = words::address("/problems.csv", &filters);
    let rows = problems
        .iter()
        .map(|p| Row {
            result_type: p.result_type.as_str().to_owned(),
            explain: format!("/explain/{}", words::query_value(p.result_type.as_str())),
            domain: p.domain.to_unicode(),
            domain_address: format!("/domains/{}#problems", p.domain),
            mx: p.mx.clone().unwrap_or_default(),
            reason: p.reason.clone().unwrap_or_default(),
            sessions: words::count(p.sessions),
            weak: if p.weak_sessions > 0 { words::count(p.weak_sessions) } else { String::new() },
            last_day: p.last_day.to_string(),
            first_day: (p.first_day != p.last_day).then(|| p.first_day.to_string()),
            reporters: p.reporters.join(", "),
        })
        .collect();
    Ok(html(&ProblemsPage {
        frame: Frame::new("Problems", Part::Problems, &visitor, now).document("/api/problems"),
        headline,
        domain: asked.domain,
        result_type: asked.result_type,
        mx: asked.mx,
        days,
        headings,
        rows,
        cut,
        export,
    }))
}
