//! Documents that both the JSON API and the commands print, so that a script reads the same from either.
//!
//! Each names its schema; within a version members may be added, never renamed or retyped.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::delivery::Override;
use mailward_core::tlsrpt::Report;
use mailward_store::Page;
use mailward_store::domains::HeldDomain;
use mailward_store::outgoing::{OutgoingRow, Suppression};
use mailward_store::overrides::OverrideRow;
use mailward_store::reports::{ReportRow, StoredReport};
use serde::Serialize;
use serde_json::{Value, json};

/// The domains held.
pub fn domains(domains: &[HeldDomain]) -> Value {
    json!({"schema": "mailward.domains/1", "domains": domains})
}

/// A page of the reports that came in.
pub fn reports(page: &Page<ReportRow>) -> Value {
    json!({"schema": "mailward.reports/1", "reports": page.rows, "next": page.next})
}

/// One report that came in.
pub fn report(stored: &StoredReport) -> Value {
    let StoredReport { row, report, findings, dkim, origin } = stored;
    json!({
        "schema": "mailward.report/1", "row": row, "report": report, "findings": findings, "dkim": dkim,
        "origin": origin,
    })
}

/// A page of the reports that we send.
pub fn outgoing_reports(page: &Page<OutgoingRow>) -> Value {
    json!({"schema": "mailward.outgoing-reports/1", "reports": page.rows, "next": page.next})
}

/// One of them; `report` is `None` where none was made.
pub fn outgoing_report(row: &OutgoingRow, report: Option<&Report>) -> Value {
    json!({"schema": "mailward.outgoing-report/1", "row": row, "report": report})
}

/// A report as it would be made now.
pub fn outgoing_preview(report: &Report) -> Value {
    json!({"schema": "mailward.outgoing-preview/1", "report": report})
}

/// Addresses and hosts that no report is sent to.
pub fn outgoing_suppressions(all: &[Suppression]) -> Value {
    json!({"schema": "mailward.outgoing-suppressions/1", "suppressed": all})
}

/// The operator's word on one domain.
#[derive(Serialize)]
pub struct OverrideDocument<'a> {
    domain: &'a PolicyDomain,
    #[serde(flatten)]
    over: &'a Override,
    author: &'a str,
    set_at: Timestamp,
    /// Whether it still holds.
    holds: bool,
}

impl<'a> OverrideDocument<'a> {
    /// As it stands at a moment.
    pub fn new(domain: &'a PolicyDomain, row: &'a OverrideRow, now: Timestamp) -> Self {
        let OverrideRow { over, author, set_at } = row;
        Self { domain, over, author, set_at: *set_at, holds: over.holds(now) }
    }
}

/// Every override, in force or not.
pub fn overrides(rows: &[(PolicyDomain, OverrideRow)], now: Timestamp) -> Vec<OverrideDocument<'_>> {
    rows.iter().map(|(domain, row)| OverrideDocument::new(domain, row, now)).collect()
}
