//! `mailward status`: all domains held on one page.

use jiff::tz::TimeZone;
use mailward_core::audit::Summary;
use mailward_core::{Severity, rollout};

use crate::Context;
use crate::commands::rollout::verdict_word;
use crate::exit::{Outcome, Result};
use crate::output::{self, strong, table};
use crate::rooms;

/// Runs it.
pub async fn run(context: &Context) -> Result {
    let store = rooms::store(&context.loaded.config).await?;
    let now = context.clock.now();
    let gate = rollout::Gate::default();
    let lines = store.domain_lines(now.to_zoned(TimeZone::UTC).date()).await?;
    let mut documents = vec![];
    let mut rows = vec![];
    let mut broken = 0;
    for line in &lines {
        let held = store.domain(&line.domain).await?;
        let judgement = rollout::judge(&store.evidence(&line.domain, &gate, now).await?, &gate, now);
        let verdict = verdict_word(&judgement.verdict);
        let mode = held.as_ref().map(|h| h.mode.as_str()).unwrap_or_default();
        broken += usize::from(line.open.0 > 0);
        rows.push(vec![
            state(line.summary.as_ref()),
            output::clean(&line.domain.to_unicode()),
            mode.to_owned(),
            verdict.to_owned(),
            sessions(line.day),
            sessions(line.week),
            sessions(line.month),
            line.reporters.to_string(),
            format!("{} / {}", line.open.0, line.open.1),
            line.observed_at.map_or_else(|| "never".to_owned(), |at| output::moment(at, now)),
        ]);
        documents.push(serde_json::json!({"mode": mode, "verdict": verdict, "line": line}));
    }
    if context.json() {
        output::print_json(&serde_json::json!({"schema": "mailward.status/1", "domains": documents}));
    } else if lines.is_empty() {
        anstream::println!("No domain is held here yet. Hold one: mailward domain add example.com");
    } else {
        let headline = match broken {
            0 => "Nothing is broken as far as we can see.".to_owned(),
            1 => "1 domain has an error; mailward check DOMAIN says which, and the fix.".to_owned(),
            n => format!("{n} domains have errors; mailward check DOMAIN says which, and the fix."),
        };
        anstream::println!("{}\n", strong(headline));
        use table::Align::{Left, Right};
        let headings = [
            ("state", Left),
            ("domain", Left),
            ("mode", Left),
            ("enforce?", Left),
            ("yesterday ok/failed", Right),
            ("7 days", Right),
            ("28 days", Right),
            ("reporters", Right),
            ("errors / warnings", Right),
            ("looked at", Left),
        ];
        anstream::print!("{}", table::render(&headings, &rows));
    }
    store.close().await;
    Ok(if broken > 0 { Outcome::Findings } else { Outcome::Fine })
}

fn state(summary: Option<&Summary>) -> String {
    match summary.map(|s| s.worst) {
        None => "○ unknown".to_owned(),
        Some(Some(Severity::Error)) => "■ broken".to_owned(),
        Some(Some(Severity::Warning)) => "▲ look".to_owned(),
        Some(Some(Severity::Untested)) => "○ untested".to_owned(),
        Some(Some(Severity::Info) | None) => "● holds".to_owned(),
    }
}

fn sessions((passed, failed): (u64, u64)) -> String {
    match (passed, failed) {
        (0, 0) => "-".to_owned(),
        _ => format!("{}/{}", output::count(passed), output::count(failed)),
    }
}
