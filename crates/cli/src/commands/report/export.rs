//! `mailward report export`: every report that counts, in constant memory.

use std::io::Write;

use mailward_store::Store;

use crate::Context;
use crate::exit::{Failure, Outcome, Result};

const PAGE: u32 = 500;

/// CSV rows, or with `--json` one normalised report a line.
pub async fn run(context: &Context, store: &Store) -> Result {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let failed = |e: std::io::Error| Failure::unavailable(format!("cannot write: {e}"));
    if !context.json() {
        let heads = "day,domain,reporter,trust,policy-type,successful,failed,result-type,mx,reason,sessions,report-id";
        writeln!(out, "{heads}").map_err(failed)?;
    }
    let mut after = 0;
    loop {
        let page = store.export(after, PAGE).await?;
        for stored in &page.rows {
            if context.json() {
                let line = serde_json::to_string(&stored.report).map_err(Failure::unavailable)?;
                writeln!(out, "{line}").map_err(failed)?;
            } else {
                for row in rows(stored) {
                    writeln!(out, "{}", row.iter().map(|c| cell(c)).collect::<Vec<_>>().join(","))
                        .map_err(failed)?;
                }
            }
        }
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    out.flush().map_err(failed)?;
    Ok(Outcome::Fine)
}

/// One row for the totals of each policy, and one for each kind of failure below it.
fn rows(stored: &mailward_store::reports::StoredReport) -> Vec<Vec<String>> {
    let row = &stored.row;
    let mut rows = vec![];
    for entry in &stored.report.policies {
        let start = |successful: String, failed: String| {
            vec![
                row.start.strftime("%Y-%m-%d").to_string(),
                entry.policy.policy_domain.as_ref().map(ToString::to_string).unwrap_or_default(),
                row.submitter.clone(),
                row.trust.as_str().to_owned(),
                entry.policy.policy_type.as_str().to_owned(),
                successful,
                failed,
            ]
        };
        let summary = entry.summary;
        let mut total = start(
            summary.total_successful_session_count.to_string(),
            summary.total_failure_session_count.to_string(),
        );
        total.extend([String::new(), String::new(), String::new(), String::new(), row.report_id.clone()]);
        rows.push(total);
        for failure in &entry.failure_details {
            let mut line = start(String::new(), String::new());
            line.extend([
                failure.result_type.as_str().to_owned(),
                failure.receiving_mx_hostname.clone().unwrap_or_default(),
                failure.failure_reason_code.clone().unwrap_or_default(),
                failure.failed_session_count.to_string(),
                row.report_id.clone(),
            ]);
            rows.push(line);
        }
    }
    rows
}

/// One cell: quoted where needed, and never a formula of a spreadsheet.
fn cell(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = match text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err() {
        true => format!("'{text}"),
        false => text,
    };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cells_are_no_formulas() {
        for (text, cell) in [
            ("plain", "plain"),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+1,2", "\"'+1,2\""),
            ("a\r\n=b", "a  =b"),
            ("-5", "-5"),
        ] {
            assert_eq!(super::cell(text), cell);
        }
    }
}
