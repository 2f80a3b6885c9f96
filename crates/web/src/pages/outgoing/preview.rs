//! `/outgoing/preview`: what is counted and in no report yet, and the report as it would be made now?

use std::collections::HashSet;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State as Shared};
use axum::response::Response;
use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::tally::{Reporter, Tally};
use mailward_core::tlsrpt::{ReportUri, record};
use serde::Deserialize;

use super::super::told::Told;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::{App, asked, words};

/// Domains of one page.
const ROWS: usize = 50;

/// What is asked for: a domain with its day, or where the list goes on.
#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    domain: String,
    #[serde(default)]
    day: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    after_day: String,
}

struct Row {
    day: Date,
    over: bool,
    name: String,
    address: String,
}

/// One domain on one day.
struct One {
    name: String,
    told: Option<Told>,
    /// Where it would go by the record that was last seen, and whether that is suppressed.
    targets: Vec<(String, bool)>,
    author: Option<Reporter>,
    lookup: String,
}

#[derive(Template)]
#[template(path = "outgoing_preview.html")]
struct PreviewPage {
    frame: Frame,
    headline: String,
    lead: String,
    domain: String,
    day: String,
    one: Option<One>,
    rows: Vec<Row>,
    first: Option<&'static str>,
    next: Option<String>,
}

pub(in crate::pages) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let today = words::day(now);
    let frame = Frame::new("Before it leaves", Part::Reports, &visitor, now)
        .crumb("Reports", "/reports")
        .crumb("Outgoing", "/outgoing");
    let day = asked::day("day", &asked.day)?.unwrap_or(today);
    let page = match asked::domain(&asked.domain)? {
        Some(domain) => {
            let name = domain.to_unicode();
            let tally = app.store.tally_told(day, &domain, &author(&app)).await?;
            let (headline, lead) = in_words(&name, day, today, tally.as_ref());
            let frame = frame.crumb("Before it leaves", "/outgoing/preview").here(format!("{name}, {day}"));
            let frame = match &tally {
                Some(_) => frame.document(format!("/api/outgoing/preview/{domain}?day={day}")),
                None => frame,
            };
            let one = Some(one(&app, &domain, day, tally).await?);
            let (rows, first, next) = (Vec::new(), None, None);
            PreviewPage { frame, headline, lead, domain: name, day: day.to_string(), one, rows, first, next }
        }
        None => {
            let (rows, next) = list(&app, &asked, today).await?;
            PreviewPage {
                frame: frame.here("Before it leaves"),
                headline: list_headline(&app, today).await?,
                lead: "Sessions are counted until the UTC day ends; minutes later each domain that asks for it gets \
                       one report. Here it can be read before."
                    .to_owned(),
                domain: String::new(),
                day: asked.day.clone(),
                one: None,
                first: (!asked.after.is_empty()).then_some("/outgoing/preview"),
                rows,
                next,
            }
        }
    };
    Ok(html(&page))
}

async fn list_headline(app: &App, today: Date) -> Result<String, Failure> {
    let counted = app.store.tally_overview(today, today).await?.into_iter().next();
    Ok(match counted {
        None => format!("Nothing was counted on {today} so far."),
        Some(day) => {
            format!("Sessions to {} were counted on {today} so far.", words::counted(day.domains, "domain"))
        }
    })
}

/// Days of domains that no report was made of, the oldest first.
async fn list(app: &App, asked: &Asked, today: Date) -> Result<(Vec<Row>, Option<String>), Failure> {
    let after = asked::day("after_day", &asked.after_day)?.zip(asked::domain(&asked.after)?);
    let tomorrow = today.tomorrow().unwrap_or(today);
    let mut waiting = app.store.tally_domains(tomorrow, after, ROWS as u32 + 1).await?;
    let more = waiting.len() > ROWS;
    waiting.truncate(ROWS);
    let query = |day: Date, domain: &PolicyDomain, names: [&str; 2]| {
        let day = day.to_string();
        words::address("/outgoing/preview", &[(names[0], domain.as_str()), (names[1], &day)])
    };
    let next =
        waiting.last().filter(|_| more).map(|(day, domain, _)| query(*day, domain, ["after", "after_day"]));
    let row = |(day, domain, _): (Date, PolicyDomain, String)| Row {
        day,
        over: day < today,
        name: domain.to_unicode(),
        address: query(day, &domain, ["domain", "day"]),
    };
    Ok((waiting.into_iter().map(row).collect(), next))
}

fn in_words(name: &str, day: Date, today: Date, tally: Option<&Tally>) -> (String, String) {
    let Some(tally) = tally else {
        let lead = "What was counted of a day goes into its report and is not kept beside it; or no mail went there.";
        return (format!("Nothing is counted of {name} on {day} that is in no report."), lead.to_owned());
    };
    let failures = if tally.has_failures() { "tells of failures" } else { "tells of no failure" };
    if day < today {
        let lead =
            "The day is over. The report is made as soon as the DNS says whether the domain asks for it.";
        (format!("The report about {name} on {day} {failures}, and is not made yet."), lead.to_owned())
    } else {
        let lead = "The day goes on, so the counts may grow. Minutes after its end the report is made, if the domain \
                    asks for it.";
        (format!("As of now the report about {name} on {day} {failures}."), lead.to_owned())
    }
}

async fn one(app: &App, domain: &PolicyDomain, day: Date, tally: Option<Tally>) -> Result<One, Failure> {
    let record = app.store.tally_record(day, domain).await?.filter(|_| tally.is_some());
    let uris = record.map(|text| record::lint(&[text]).value.rua).unwrap_or_default();
    let hosts: Vec<String> = uris.iter().map(ReportUri::host).collect();
    let names: HashSet<&str> =
        uris.iter().map(ReportUri::as_str).chain(hosts.iter().map(String::as_str)).collect();
    let suppressed = app.store.suppressed_among(names, app.now()).await?;
    let targets = uris.iter().zip(&hosts).map(|(uri, host)| {
        (uri.as_str().to_owned(), suppressed.contains(uri.as_str()) || suppressed.contains(host))
    });
    Ok(One {
        name: domain.to_unicode(),
        told: tally.map(|tally| Told::by_us(&report(app, &tally))),
        targets: targets.collect(),
        author: app.reporter.clone(),
        lookup: words::address("/outgoing", &[("domain", domain.as_str())]),
    })
}

/// The report as it would be made now.
pub(crate) fn report(app: &App, tally: &Tally) -> mailward_core::tlsrpt::Report {
    tally.preview(&author(app))
}

/// Who reports. Where no reporter runs here, nobody is named.
pub(crate) fn author(app: &App) -> Reporter {
    let nobody = || Reporter { organization: String::new(), contact: String::new(), probes: false };
    app.reporter.clone().unwrap_or_else(nobody)
}
