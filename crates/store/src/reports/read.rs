//! Lists of reports and of quarantine, one report whole, and the bytes as they came.

use mailward_core::{Finding, PolicyDomain};

use super::{DkimFacts, QuarantineRow, ReportFilter, ReportRow, StoredReport};
use crate::bytes::unpack;
use crate::columns::{count, from_json, hash_number, timestamp, trust};
use crate::engine::{Sql, Value, statements, values};
use crate::names::name_hash;
use crate::{Page, Result, Store};

/// The columns of a list; joined with `reports r`.
macro_rules! row {
    ($rest:expr) => {
        concat!(
            "SELECT r.number, r.item, r.received_at, n.name AS submitter, r.organization, r.report_id, r.domains,
            r.range_start, r.range_end, r.successful, r.failed, r.trust, r.source, r.superseded ",
            $rest
        )
    };
}

/// The columns of a report whole.
macro_rules! whole {
    ($rest:expr) => {
        concat!(
            "SELECT r.number, r.item, r.received_at, n.name AS submitter, r.organization, r.report_id, r.domains,
            r.range_start, r.range_end, r.successful, r.failed, r.trust, r.source, r.superseded,
            r.body, r.findings, i.findings AS item_findings, i.dkim, i.origin
            FROM reports r JOIN names n ON n.number = r.submitter JOIN items i ON i.number = r.item ",
            $rest
        )
    };
}

/// A page of the reports that have a part of a domain ($3): few rows first, then joined.
macro_rules! of_domain {
    ($filter:expr) => {
        row!(concat!(
            "FROM (SELECT report FROM report_parts WHERE domain = (SELECT number FROM names WHERE hash = $3)
                AND report < $1 ",
            $filter,
            " ORDER BY report DESC LIMIT $2) p
            JOIN reports r ON r.number = p.report JOIN names n ON n.number = r.submitter ORDER BY r.number DESC"
        ))
    };
}

/// A page of all reports.
macro_rules! of_all {
    ($filter:expr) => {
        row!(concat!(
            "FROM reports r JOIN names n ON n.number = r.submitter WHERE r.number < $1 ",
            $filter,
            " ORDER BY r.number DESC LIMIT $2"
        ))
    };
}

statements! {
    LIST = of_all!("");
    LIST_FAILED = of_all!("AND r.failed > 0");
    LIST_SUBMITTER = of_all!("AND r.submitter = (SELECT number FROM names WHERE hash = $3)");
    LIST_SUBMITTER_FAILED =
        of_all!("AND r.failed > 0 AND r.submitter = (SELECT number FROM names WHERE hash = $3)");
    LIST_DOMAIN = of_domain!("");
    LIST_DOMAIN_FAILED = of_domain!("AND failed > 0");
    LIST_DOMAIN_SUBMITTER = of_domain!("AND submitter = (SELECT number FROM names WHERE hash = $4)");
    LIST_DOMAIN_SUBMITTER_FAILED =
        of_domain!("AND failed > 0 AND submitter = (SELECT number FROM names WHERE hash = $4)");
    BY_ID = row!("FROM reports r JOIN names n ON n.number = r.submitter
        WHERE r.report_id_hash = $1 AND r.report_id = $2 ORDER BY r.number DESC LIMIT 1000");
    ONE = whole!("WHERE r.number = $1");
    EXPORT = whole!("WHERE r.number > $1 AND r.superseded = 0 ORDER BY r.number LIMIT $2");
    RAW = "SELECT deflated, bytes FROM item_bytes WHERE item = $1";
    QUARANTINE = "SELECT number, received_at, source, origin, findings, size FROM items
        WHERE quarantined = 1 AND number < $1 ORDER BY number DESC LIMIT $2";
    QUARANTINED = "SELECT number, received_at, source, origin, findings, size FROM items
        WHERE quarantined = 1 AND number = $1";
}

impl Store {
    /// Newest received first; `before` is the number to continue below.
    ///
    /// # Errors
    /// As every function here.
    pub async fn reports(
        &self,
        filter: &ReportFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<ReportRow>> {
        let (sql, names) = list(filter);
        let mut values = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        values.extend(names);
        let rows: Vec<ListRow> = self.engine.all(sql, values).await?;
        let rows = rows.into_iter().map(ListRow::row).collect::<Result<_>>()?;
        Ok(Page::of(rows, limit, |row| row.number))
    }

    /// One report by number.
    ///
    /// # Errors
    /// As every function here.
    pub async fn report(&self, number: i64) -> Result<Option<StoredReport>> {
        let found: Option<WholeRow> = self.engine.optional(ONE, values![number]).await?;
        found.map(WholeRow::report).transpose()
    }

    /// Reports by their report-id (several submitters may use the same).
    ///
    /// # Errors
    /// As every function here.
    pub async fn reports_by_id(&self, report_id: &str) -> Result<Vec<ReportRow>> {
        let rows: Vec<ListRow> = self.engine.all(BY_ID, values![hash_number(report_id), report_id]).await?;
        rows.into_iter().map(ListRow::row).collect()
    }

    /// Reports whole, ascending by number, for export; superseded ones are left out.
    ///
    /// # Errors
    /// As every function here.
    pub async fn export(&self, after: i64, limit: u32) -> Result<Page<StoredReport>> {
        let rows: Vec<WholeRow> = self.engine.all(EXPORT, values![after, i64::from(limit) + 1]).await?;
        let reports = rows.into_iter().map(WholeRow::report).collect::<Result<_>>()?;
        Ok(Page::of(reports, limit, |report: &StoredReport| report.row.number))
    }

    /// The bytes of an item, unchanged.
    ///
    /// # Errors
    /// As every function here.
    pub async fn raw_item(&self, item: i64) -> Result<Option<Vec<u8>>> {
        let found: Option<(i64, Vec<u8>)> = self.engine.optional(RAW, values![item]).await?;
        found.map(|(deflated, bytes)| unpack(deflated, bytes)).transpose()
    }

    /// Quarantine, newest first.
    ///
    /// # Errors
    /// As every function here.
    pub async fn quarantine(&self, before: Option<i64>, limit: u32) -> Result<Page<QuarantineRow>> {
        let values = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        let rows: Vec<Quarantined> = self.engine.all(QUARANTINE, values).await?;
        let rows = rows.into_iter().map(quarantine_row).collect::<Result<_>>()?;
        Ok(Page::of(rows, limit, |row: &QuarantineRow| row.item))
    }

    /// One quarantined item.
    ///
    /// # Errors
    /// As every function here.
    pub async fn quarantined(&self, item: i64) -> Result<Option<QuarantineRow>> {
        let found: Option<Quarantined> = self.engine.optional(QUARANTINED, values![item]).await?;
        found.map(quarantine_row).transpose()
    }
}

fn list(filter: &ReportFilter) -> (Sql, Vec<Value>) {
    let domain = |domain: &PolicyDomain| Value::from(name_hash(domain.as_str()).as_slice());
    let submitter = |name: &String| Value::from(name_hash(&name.trim().to_lowercase()).as_slice());
    let names = filter.domain.iter().map(domain).chain(filter.submitter.iter().map(submitter)).collect();
    let sql = match (&filter.domain, &filter.submitter, filter.failed_only) {
        (None, None, false) => LIST,
        (None, None, true) => LIST_FAILED,
        (None, Some(_), false) => LIST_SUBMITTER,
        (None, Some(_), true) => LIST_SUBMITTER_FAILED,
        (Some(_), None, false) => LIST_DOMAIN,
        (Some(_), None, true) => LIST_DOMAIN_FAILED,
        (Some(_), Some(_), false) => LIST_DOMAIN_SUBMITTER,
        (Some(_), Some(_), true) => LIST_DOMAIN_SUBMITTER_FAILED,
    };
    (sql, names)
}

#[derive(sqlx::FromRow)]
struct ListRow {
    number: i64,
    item: i64,
    received_at: i64,
    submitter: String,
    organization: String,
    report_id: String,
    domains: String,
    range_start: i64,
    range_end: i64,
    successful: i64,
    failed: i64,
    trust: i64,
    source: String,
    superseded: i64,
}

impl ListRow {
    fn row(self) -> Result<ReportRow> {
        Ok(ReportRow {
            number: self.number,
            item: self.item,
            received_at: timestamp(self.received_at)?,
            submitter: self.submitter,
            organization: self.organization,
            report_id: self.report_id,
            domains: from_json(&self.domains)?,
            start: timestamp(self.range_start)?,
            end: timestamp(self.range_end)?,
            successful: count(self.successful),
            failed: count(self.failed),
            trust: trust(self.trust)?,
            source: self.source,
            superseded: self.superseded != 0,
        })
    }
}

#[derive(sqlx::FromRow)]
struct WholeRow {
    #[sqlx(flatten)]
    row: ListRow,
    body: String,
    findings: String,
    item_findings: String,
    dkim: Option<String>,
    origin: String,
}

impl WholeRow {
    fn report(self) -> Result<StoredReport> {
        let mut findings: Vec<Finding> = from_json(&self.findings)?;
        findings.extend(from_json::<Vec<Finding>>(&self.item_findings)?);
        Ok(StoredReport {
            row: self.row.row()?,
            report: from_json(&self.body)?,
            findings,
            dkim: self.dkim.as_deref().map(from_json::<DkimFacts>).transpose()?,
            origin: self.origin,
        })
    }
}

type Quarantined = (i64, i64, String, String, String, i64);

fn quarantine_row((item, received_at, source, origin, findings, size): Quarantined) -> Result<QuarantineRow> {
    Ok(QuarantineRow {
        item,
        received_at: timestamp(received_at)?,
        source,
        origin,
        findings: from_json(&findings)?,
        size: count(size),
    })
}
