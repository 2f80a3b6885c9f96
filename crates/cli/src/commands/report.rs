//! `mailward report`: import, list, show, export, and those that we send.

mod export;
mod import;
mod outgoing;

use mailward_core::PolicyDomain;
use mailward_store::Store;
use mailward_store::reports::{ReportFilter, ReportRow, StoredReport};
use mailward_web::documents;

use crate::Context;
use crate::args::{ListPart, Report};
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, clean, strong, table, wrap};
use crate::rooms;

/// Runs it.
pub async fn run(context: &Context, args: Report) -> Result {
    let store = rooms::store(&context.loaded.config).await?;
    let outcome = match args {
        Report::Import { paths } => import::run(context, &store, &paths).await,
        Report::List { domain, failed, part } => {
            let domain = domain.as_deref().map(PolicyDomain::parse).transpose()?;
            let filter = ReportFilter { domain, submitter: None, failed_only: failed };
            list(context, &store, &filter, part).await
        }
        Report::Show { id, raw } => show(context, &store, &id, raw).await,
        Report::Export => export::run(context, &store).await,
        Report::Outgoing(args) => outgoing::run(context, &store, args).await,
    };
    store.close().await;
    outcome
}

async fn list(context: &Context, store: &Store, filter: &ReportFilter, part: ListPart) -> Result {
    let page = store.reports(filter, part.before, part.limit).await?;
    let quarantined = store.quarantine(None, 1).await?.rows.len();
    if context.json() {
        output::print_json(&documents::reports(&page));
        return Ok(Outcome::Fine);
    }
    if page.rows.is_empty() {
        anstream::println!("There are no reports here. Take some in: mailward report import FOLDER");
    } else {
        anstream::print!("{}", report_table(&page.rows));
    }
    if let Some(next) = page.next {
        anstream::eprintln!("More: mailward report list --before {next}");
    }
    if quarantined > 0 && part.before.is_none() {
        anstream::eprintln!("Some items are in quarantine; the dashboard shows them under Reports.");
    }
    Ok(Outcome::Fine)
}

fn report_table(rows: &[ReportRow]) -> String {
    use table::Align::{Left, Right};
    let headings = [
        ("number", Right),
        ("day", Left),
        ("domain", Left),
        ("reporter", Left),
        ("passed", Right),
        ("failed", Right),
        ("trust", Left),
        ("report-id", Left),
    ];
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let superseded = if row.superseded { " (superseded)" } else { "" };
            vec![
                row.number.to_string(),
                row.start.strftime("%Y-%m-%d").to_string(),
                clean(&row.domains.join(", ")),
                clean(if row.organization.is_empty() { &row.submitter } else { &row.organization }),
                output::count(row.successful),
                output::count(row.failed),
                row.trust.as_str().to_owned(),
                format!("{}{superseded}", clean(&row.report_id)),
            ]
        })
        .collect();
    table::render(&headings, &rows)
}

async fn show(context: &Context, store: &Store, id: &str, raw: bool) -> Result {
    let report = find(store, id).await?;
    if raw {
        use std::io::Write;
        let bytes = store.raw_item(report.row.item).await?.unwrap_or_default();
        std::io::stdout().write_all(&bytes).map_err(Failure::unavailable)?;
        return Ok(Outcome::Fine);
    }
    if context.json() {
        output::print_json(&documents::report(&report));
        return Ok(Outcome::Fine);
    }
    print_report(&report);
    Ok(Outcome::Fine)
}

async fn find(store: &Store, id: &str) -> Result<StoredReport> {
    if let Ok(number) = id.parse::<i64>()
        && let Some(report) = store.report(number).await?
    {
        return Ok(report);
    }
    match &store.reports_by_id(id).await?[..] {
        [] => Err(Failure::usage(format!(
            "there is no report with the number or report-id {id:?}; mailward report list"
        ))),
        [row] => store.report(row.number).await?.ok_or_else(|| Failure::unavailable("the report is gone")),
        rows => {
            let numbers: Vec<String> =
                rows.iter().map(|r| format!("{} ({})", r.number, clean(&r.submitter))).collect();
            Err(Failure::usage(format!(
                "several reports have that report-id; name one by its number: {}",
                numbers.join(", ")
            )))
        }
    }
}

fn print_report(report: &StoredReport) {
    let row = &report.row;
    anstream::println!("{}  {}", strong(format!("Report {}", row.number)), clean(&row.report_id));
    anstream::println!("from      {} <{}>", clean(&row.organization), clean(&report.report.contact_info));
    anstream::println!("covers    {} to {}", row.start, row.end);
    anstream::println!("came      {} by {} ({})", row.received_at, row.source, clean(&report.origin));
    let dkim = report
        .dkim
        .as_ref()
        .map(|d| format!("; DKIM {}: {}", d.verdict, clean(&d.detail)))
        .unwrap_or_default();
    anstream::println!("trust     {}{dkim}", row.trust.as_str());
    for entry in &report.report.policies {
        let domain = entry.policy.policy_domain.as_ref().map_or("?", |d| d.as_str());
        anstream::println!(
            "\n{}  {} passed, {} failed",
            strong(format!("{} {}", entry.policy.policy_type.as_str(), clean(domain))),
            output::count(entry.summary.total_successful_session_count),
            output::count(entry.summary.total_failure_session_count)
        );
        for failure in &entry.failure_details {
            let place = failure.receiving_mx_hostname.as_deref().unwrap_or("an MX not named");
            let reason =
                failure.failure_reason_code.as_deref().map(|r| format!(": {}", clean(r))).unwrap_or_default();
            let line = format!("{} at {}{reason}", clean(failure.result_type.as_str()), clean(place));
            anstream::println!("  {:>8}  {}", output::count(failure.failed_session_count), wrap(&line, 12));
        }
    }
    if !report.findings.is_empty() {
        anstream::println!("\n{}", strong("Oddities"));
        report.findings.iter().for_each(|f| anstream::print!("{}", super::check::finding_line(f)));
    }
}
