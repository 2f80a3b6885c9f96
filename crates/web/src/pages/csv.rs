//! Lists as CSV (RFC 4180), safe to open in a spreadsheet: a cell that would be taken for a formula
//! begins with an apostrophe.

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::App;
use crate::failure::PageFailure;
use crate::{sheet, visible, words};

use super::{problems as problem_list, reports as report_list};

/// The most rows of one file.
const MOST: usize = 10_000;

/// Writes one line.
fn line(to: &mut String, cells: &[&str]) {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            to.push(',');
        }
        to.push_str(&escaped(cell));
    }
    to.push_str("\r\n");
}

/// A cell with formulas defused and, where needed, quoted.
fn escaped(cell: &str) -> String {
    let defused = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{}", visible::text(cell))
    } else {
        visible::text(cell)
    };
    if defused.contains([',', '"', '\n', '\'', ';', '\t']) {
        format!("\"{}\"", defused.replace('"', "\"\""))
    } else {
        defused
    }
}

fn file(name: &str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    (headers, body).into_response()
}

pub(super) async fn reports(
    State(app): State<App>,
    Query(asked): Query<report_list::Asked>,
) -> Result<Response, PageFailure> {
    let filter = asked.filter()?;
    let mut body = String::new();
    line(
        &mut body,
        &[
            "number",
            "received_at",
            "submitter",
            "organization",
            "report_id",
            "domains",
            "start",
            "end",
            "successful",
            "failed",
            "trust",
            "source",
            "superseded",
        ],
    );
    let (mut before, mut rows) = (None, 0);
    loop {
        let page = app.store.reports(&filter, before, 500).await?;
        for row in &page.rows {
            line(
                &mut body,
                &[
                    &row.number.to_string(),
                    &row.received_at.to_string(),
                    &row.submitter,
                    &row.organization,
                    &row.report_id,
                    &row.domains.join(" "),
                    &row.start.to_string(),
                    &row.end.to_string(),
                    &row.successful.to_string(),
                    &row.failed.to_string(),
                    row.trust.as_str(),
                    &row.source,
                    &row.superseded.to_string(),
                ],
            );
        }
        rows += page.rows.len();
        before = page.next;
        if before.is_none() || rows >= MOST {
            return Ok(file("reports", body));
        }
    }
}

pub(super) async fn problems(
    State(app): State<App>,
    Query(asked): Query<problem_list::Asked>,
) -> Result<Response, PageFailure> {
    let (problems, _) = problem_list::read(&app, &asked).await?;
    let mut body = String::new();
    line(
        &mut body,
        &[
            "domain",
            "result_type",
            "mx",
            "reason",
            "first_day",
            "last_day",
            "sessions",
            "weak_sessions",
            "reporters",
        ],
    );
    for problem in &problems {
        line(
            &mut body,
            &[
                problem.domain.as_str(),
                problem.result_type.as_str(),
                problem.mx.as_deref().unwrap_or_default(),
                problem.reason.as_deref().unwrap_or_default(),
                &problem.first_day.to_string(),
                &problem.last_day.to_string(),
                &problem.sessions.to_string(),
                &problem.weak_sessions.to_string(),
                &problem.reporters.join(" "),
            ],
        );
    }
    Ok(file("problems", body))
}

#[derive(Deserialize)]
pub(crate) struct Span {
    #[serde(default)]
    days: String,
}

pub(super) async fn sessions(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(span): Query<Span>,
) -> Result<Response, PageFailure> {
    let domain = sheet::name(&name)?;
    sheet::held(&app, &domain).await?;
    let days = span.days.parse().unwrap_or(28_i64).clamp(1, 400);
    let today = words::day(app.now());
    let rows = app
        .store
        .session_days(&domain, words::days_before(today, days), words::days_before(today, 1))
        .await?;
    let mut body = String::new();
    line(
        &mut body,
        &["day", "successful", "failed", "failures", "weak_successful", "weak_failed", "reporters"],
    );
    for day in &rows {
        let types: Vec<String> = day.failures.iter().map(|(t, n)| format!("{}={n}", t.as_str())).collect();
        line(
            &mut body,
            &[
                &day.day.to_string(),
                &day.successful.to_string(),
                &day.failed.to_string(),
                &types.join(" "),
                &day.weak_successful.to_string(),
                &day.weak_failed.to_string(),
                &day.reporters.to_string(),
            ],
        );
    }
    Ok(file(&format!("{domain}-sessions"), body))
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn formulas_are_defused() {
        for (cell, written) in [
            ("example.com", "example.com"),
            ("=HYPERLINK(\"http://evil\")", "\"'=HYPERLINK(\"\"http://evil\"\")\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'⟨U+000D⟩=1\""),
            ("a,b", "\"a,b\""),
            ("two\nlines", "\"two\nlines\""),
            ("bell\u{7}", "bell⟨U+0007⟩"),
        ] {
            assert_eq!(escaped(cell), written, "{cell:?}");
        }
    }
}
