//! Pages over a full store: a thousand domains held, a million failure rows, a hundred thousand outgoing reports, a
//! million known policies, and how long a page takes.
//!
//! Pages are asked for inside the process, without a network, so the figures are those of the server
//! alone.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use jiff::{Timestamp, ToSpan};
use mailward_core::PolicyDomain;
use mailward_core::audit::{AuditOptions, audit, probe_round};
use mailward_core::clock::FixedClock;
use mailward_core::facts::DomainFacts;
use mailward_core::rollout::{Gate, Trust};
use mailward_core::tlsrpt::{Incoming, Limits, Parsed, parse};
use mailward_net::observe::{Depth, observe};
use mailward_store::Store;
use mailward_store::reports::{Content, IncomingItem};
use mailward_web::{Access, DutyHealth, Health, Publishing, WebState, router};
use tower::ServiceExt;

use crate::mails::{self, DOMAINS};
use crate::measure::{Stopwatch, median_and_worst};
use crate::policyd::stored;
use crate::reports;
use crate::table::{Row, Table, thousands};
use crate::world::Elsewhere;

mod outgoing;

/// Policies of other domains that the sending side knows.
const POLICIES: usize = 1_000_000;
/// Days with reports, before the day on which pages are asked for.
const DAYS: u32 = 20;
/// Failure details in each report.
const DETAILS: u32 = 50;
/// Reports in one transaction.
const BATCH: u32 = 250;
/// How often each page is asked for.
const TIMES: usize = 50;
/// Milliseconds in which a page should be made.
const GOAL: f64 = 50.0;

/// Measures and prints.
pub fn run() -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(measure())
}

async fn measure() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let watch = Stopwatch::start();
    let url = stored::fill(&folder.path().join("pages.db"), POLICIES).await?;
    let store = Store::open(&url).await.map_err(|e| e.to_string())?;
    let now = reports::now();
    reports::hold_domains(&store).await?;
    observe_domains(&store, now).await?;
    let rows = fill(&store, now).await?;
    outgoing::fill(&store, now).await?;
    println!(
        "a store of {} domains, {} failure rows, {} outgoing reports and {} known policies, filled in {:.0} s",
        thousands(f64::from(DOMAINS)),
        thousands(rows as f64),
        thousands(f64::from(outgoing::REPORTS)),
        thousands(POLICIES as f64),
        watch.elapsed().as_secs_f64()
    );
    let app = router(WebState {
        store,
        clock: Arc::new(FixedClock(now)),
        access: Access::Open,
        health: Arc::new(AllWell),
        sending: None,
        reporter: None,
        metrics: None,
        gate: Gate::default(),
        publishing: Publishing::default(),
    });
    let mut table = Table::default();
    let yardstick = times(&app, "/healthz").await?;
    let domain = mails::domain(7);
    let (by_domain, csv) = (format!("/domains/{domain}"), format!("/problems?domain={domain}"));
    let yesterday = now.to_zoned(jiff::tz::TimeZone::UTC).date().saturating_sub(1.days());
    let of_day = format!("/outgoing?day={yesterday}&state=refused");
    let pages = [
        "/",
        "/domains",
        &by_domain,
        "/problems",
        &csv,
        "/reports",
        "/api/status",
        "/outgoing",
        "/outgoing?state=sent",
        &of_day,
        "/outgoing?domain=d77.customer.example",
        "/outgoing/50000",
        "/outgoing/preview",
        "/sending",
        "/sending?q=d0777",
        "/sending?q=no-such-name",
    ];
    for page in pages {
        let (median, worst) = times(&app, page).await?;
        table.row(Row {
            what: format!("GET {page}"),
            ours: format!("{median:.1} ms (worst {worst:.1})"),
            yardstick: format!("{:.2} ms", yardstick.0),
            ratio: format!("{:.0}", median / yardstick.0.max(0.001)),
            goal: format!("< {GOAL:.0} ms, {}", if worst < GOAL { "met" } else { "missed" }),
        });
    }
    table.print("Pages; yardstick: GET /healthz");
    Ok(())
}

/// One real look at a domain of a world, kept as that of every domain.
async fn observe_domains(store: &Store, now: Timestamp) -> Result<(), String> {
    let world = Elsewhere::start(1)?;
    let seen = PolicyDomain::parse(&crate::world::domain(0)).map_err(|e| e.to_string())?;
    let look = observe(&world.outside()?, &seen, Depth::Full).await;
    for number in 0..DOMAINS {
        let domain = PolicyDomain::parse(&mails::domain(number)).map_err(|e| e.to_string())?;
        let facts = DomainFacts { domain, observed_at: now, ..look.clone() };
        let audit = audit(&facts, &AuditOptions { at: now, smtp: true });
        let round = probe_round(&facts, now);
        store.record_observation(&facts, &audit, &round).await.map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Stores a report of every domain for every day. Returns the number of failure rows.
async fn fill(store: &Store, now: Timestamp) -> Result<u64, String> {
    let mut rows = 0;
    let mut items = Vec::new();
    for number in 0..DOMAINS * DAYS {
        let day = now
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date()
            .saturating_sub(i64::from(number / DOMAINS + 1).days());
        let raw = mails::bare_report(number, day, DETAILS).into_bytes();
        let (parsed, _) = parse(&raw, &Incoming::default(), &Limits::default(), now);
        let Parsed::Accepted(reports) = parsed else { return Err(format!("no report: {parsed:?}")) };
        let report = &reports.first().ok_or("no report")?.0;
        rows += report.policies.iter().map(|p| p.failure_details.len() as u64).sum::<u64>();
        items.push(IncomingItem {
            raw,
            source: "import".to_owned(),
            origin: format!("report {number}"),
            received_at: now,
            trust: Trust::Trusted,
            dkim: None,
            submitter: report.contact_info.rsplit('@').next().unwrap_or_default().to_owned(),
            content: Content::Reports(reports),
            findings: Vec::new(),
        });
        if items.len() == BATCH as usize || number + 1 == DOMAINS * DAYS {
            store.insert_items(&items).await.map_err(|e| e.to_string())?;
            items.clear();
        }
    }
    Ok(rows)
}

/// The middle and the worst time of a page, in milliseconds.
async fn times(app: &Router, page: &str) -> Result<(f64, f64), String> {
    let mut times: Vec<Duration> = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let request = Request::get(page).header("host", "localhost").body(Body::empty());
        let request = request.map_err(|e| e.to_string())?;
        let watch = Stopwatch::start();
        let answer = app.clone().oneshot(request).await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.map_err(|e| e.to_string())?;
        times.push(watch.elapsed());
        if status != StatusCode::OK || body.is_empty() {
            return Err(format!("GET {page} answers {status} with {} octets", body.len()));
        }
    }
    Ok(median_and_worst(times))
}

struct AllWell;

impl Health for AllWell {
    fn report(&self) -> Vec<DutyHealth> {
        Vec::new()
    }
}
