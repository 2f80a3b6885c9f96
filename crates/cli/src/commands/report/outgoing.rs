//! `mailward report outgoing`: the reports that we send. Works beside a running daemon and without one:
//! the database is the truth, and the daemon acts on it within seconds.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::outgoing::address_or_host;
use mailward_core::tlsrpt::write::unpacked;
use mailward_sending::reporter::human_part;
use mailward_store::outgoing::{OutgoingFilter, OutgoingReport, OutgoingRow, Suppression};
use mailward_store::{Store, StoreError};
use mailward_web::documents;

use crate::Context;
use crate::args::{ListPart, Outgoing};
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, clean, strong, table};
use crate::when;

/// Runs it.
pub async fn run(context: &Context, store: &Store, args: Outgoing) -> Result {
    match args {
        Outgoing::List { domain, day, state, part } => {
            let domain = domain.as_deref().map(PolicyDomain::parse).transpose()?;
            list(context, store, &OutgoingFilter { domain, day, state }, part).await
        }
        Outgoing::Show { id, raw } => show(context, store, &id, raw).await,
        Outgoing::Preview { domain, day } => preview(context, store, &domain, day).await,
        Outgoing::Send { id, author } => send(context, store, &id, &author).await,
        Outgoing::Suppress { what, until, reason, author } => {
            let now = context.clock.now();
            let until = until.map(|text| when::moment("--until", &text, now)).transpose()?;
            let suppression = Suppression {
                what: address_or_host(&what).map_err(Failure::usage)?,
                until,
                reason,
                author,
                set_at: now,
            };
            store.suppress_outgoing(&suppression).await?;
            done(context, &format!("No report is sent to {} from now on.", suppression.what));
            Ok(Outcome::Fine)
        }
        Outgoing::Unsuppress { what, reason, author } => {
            let what = address_or_host(&what).map_err(Failure::usage)?;
            match store.unsuppress_outgoing(&what, &author, &reason, context.clock.now()).await {
                Err(StoreError::NotFound(_)) => {
                    return Err(Failure::usage(format!(
                        "{what} is not suppressed; mailward report outgoing suppressed lists what is"
                    )));
                }
                outcome => outcome?,
            }
            done(context, &format!("Reports are sent to {what} again, beginning with the next day's."));
            Ok(Outcome::Fine)
        }
        Outgoing::Suppressed => suppressed(context, store).await,
    }
}

fn done(context: &Context, what: &str) {
    if context.json() {
        output::print_json(&serde_json::json!({"schema": "mailward.done/1", "done": what}));
    } else {
        anstream::println!("{what}");
    }
}

async fn list(context: &Context, store: &Store, filter: &OutgoingFilter, part: ListPart) -> Result {
    let page = store.outgoing_reports(filter, part.before, part.limit).await?;
    if context.json() {
        output::print_json(&documents::outgoing_reports(&page));
        return Ok(Outcome::Fine);
    }
    if page.rows.is_empty() {
        anstream::println!(
            "There are no outgoing reports here. They are made after the end of a UTC day, from what [collector] counted."
        );
    } else {
        anstream::print!("{}", rows_table(&page.rows));
    }
    if let Some(next) = page.next {
        anstream::eprintln!("More: mailward report outgoing list --before {next}");
    }
    Ok(Outcome::Fine)
}

fn rows_table(rows: &[OutgoingRow]) -> String {
    use table::Align::{Left, Right};
    let headings = [
        ("number", Right),
        ("day", Left),
        ("domain", Left),
        ("passed", Right),
        ("failed", Right),
        ("state", Left),
        ("to", Left),
    ];
    let cells = |row: &OutgoingRow| {
        let to: Vec<&str> = row.targets.iter().map(|target| target.uri.as_str()).collect();
        vec![
            row.number.to_string(),
            row.day.to_string(),
            row.domain.to_string(),
            output::count(row.successful),
            output::count(row.failed),
            row.state.map_or(row.made.as_str(), |state| state.as_str()).to_owned(),
            clean(&to.join(", ")),
        ]
    };
    table::render(&headings, &rows.iter().map(cells).collect::<Vec<_>>())
}

async fn show(context: &Context, store: &Store, id: &str, raw: bool) -> Result {
    let found = find(store, id).await?;
    if raw {
        use std::io::Write;
        std::io::stdout().write_all(&found.gzip).map_err(Failure::unavailable)?;
        return Ok(Outcome::Fine);
    }
    let report = (!found.gzip.is_empty()).then(|| unpacked(&found.gzip)).transpose();
    let report = report.map_err(Failure::unavailable)?;
    if context.json() {
        output::print_json(&documents::outgoing_report(&found.row, report.as_ref()));
        return Ok(Outcome::Fine);
    }
    let row = &found.row;
    anstream::println!("{}  {}", strong(format!("Outgoing report {}", row.number)), clean(&row.report_id));
    anstream::println!("about     {} on {}, made {}", row.domain, row.day, row.made_at);
    if !row.detail.is_empty() {
        anstream::println!("no report {}", clean(&row.detail));
    }
    for target in &row.targets {
        anstream::println!("to        {}: {}", clean(&target.uri), target.state.as_str());
        if let Some(last) = target.last_tried_at {
            anstream::println!(
                "          tried {} times, last {last}: {}",
                target.tries,
                clean(&target.answer)
            );
        }
        if let Some(next) = target.next_at {
            anstream::println!("          next try {next}");
        }
    }
    if let Some(report) = report {
        anstream::println!("\n{}", clean_lines(&human_part(&report, &report.organization_name)));
    }
    Ok(Outcome::Fine)
}

fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

async fn find(store: &Store, id: &str) -> Result<OutgoingReport> {
    let number = match id.parse::<i64>() {
        Ok(number) => Some(number),
        Err(_) => store.outgoing_by_id(id).await?,
    };
    let found = match number {
        Some(number) => store.outgoing_report(number).await?,
        None => None,
    };
    found.ok_or_else(|| {
        Failure::usage(format!(
            "there is no outgoing report with the number or report-id {id:?}; mailward report outgoing list"
        ))
    })
}

async fn preview(context: &Context, store: &Store, domain: &str, day: Option<Date>) -> Result {
    let config = &context.loaded.config;
    let domain = PolicyDomain::parse(domain)?;
    let day = day.unwrap_or_else(|| context.clock.now().to_zoned(TimeZone::UTC).date());
    let Some(table) = &config.reporter else {
        return Err(Failure::usage("there is no [reporter] in the configuration: who would report?"));
    };
    table.check().map_err(Failure::usage)?;
    let Some(tally) = store.tally_told(day, &domain, &table.author()).await? else {
        return Err(Failure::unavailable(format!("nothing was counted of {domain} on {day} (UTC)")));
    };
    let report = tally.preview(&table.author());
    if context.json() {
        output::print_json(&documents::outgoing_preview(&report));
    } else {
        anstream::println!("{}", clean_lines(&human_part(&report, &report.organization_name)));
    }
    Ok(Outcome::Fine)
}

async fn send(context: &Context, store: &Store, id: &str, author: &str) -> Result {
    let found = find(store, id).await?;
    let due = store.send_outgoing_again(found.row.number, author, context.clock.now()).await?;
    let what = match due {
        0 => "Every target has it, or is being tried right now.".to_owned(),
        due => format!("{due} targets are due now; a running `mailward serve` with [reporter] tries them."),
    };
    done(context, &what);
    Ok(Outcome::Fine)
}

async fn suppressed(context: &Context, store: &Store) -> Result {
    let all = store.outgoing_suppressions(context.clock.now()).await?;
    if context.json() {
        output::print_json(&documents::outgoing_suppressions(&all));
        return Ok(Outcome::Fine);
    }
    if all.is_empty() {
        anstream::println!("Nothing is suppressed.");
        return Ok(Outcome::Fine);
    }
    use table::Align::Left;
    let headings = [("address or host", Left), ("until", Left), ("by", Left), ("reason", Left)];
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|s| {
            let until = s.until.map_or_else(|| "it is lifted".to_owned(), |until| until.to_string());
            vec![clean(&s.what), until, clean(&s.author), clean(&s.reason)]
        })
        .collect();
    anstream::print!("{}", table::render(&headings, &rows));
    Ok(Outcome::Fine)
}
