//! The first page: one line for every domain held.

use std::collections::HashMap;

use jiff::civil::Date;
use mailward_core::PolicyDomain;

use super::DomainLine;
use crate::columns::{count, day_number, from_json, small, timestamp};
use crate::engine::{statements, values};
use crate::{Result, Store, StoreError};

const WEEK: i64 = 7;
const MONTH: i64 = 28;

statements! {
    // $1 first day of the month, $2 first of the week, $3 the last whole day.
    SUMS = "SELECT d.domain,
        CAST(SUM(CASE WHEN d.day = $3 THEN d.successful ELSE 0 END) AS BIGINT) AS day_successful,
        CAST(SUM(CASE WHEN d.day = $3 THEN d.failed ELSE 0 END) AS BIGINT) AS day_failed,
        CAST(SUM(CASE WHEN d.day >= $2 THEN d.successful ELSE 0 END) AS BIGINT) AS week_successful,
        CAST(SUM(CASE WHEN d.day >= $2 THEN d.failed ELSE 0 END) AS BIGINT) AS week_failed,
        CAST(SUM(d.successful) AS BIGINT) AS month_successful,
        CAST(SUM(d.failed) AS BIGINT) AS month_failed,
        STRING_AGG(CASE WHEN d.failed > 0
            THEN CAST(d.day AS TEXT) || ':' || CAST(d.failed AS TEXT) END, ',') AS failing
        FROM domains h JOIN domain_days d ON d.domain = h.number
        WHERE d.day BETWEEN $1 AND $3 GROUP BY d.domain";
    HEARD = "SELECT d.domain, COUNT(*) FROM domains h JOIN domain_reporters d ON d.domain = h.number
        WHERE d.last_evidence_day >= $1 AND d.reports > 0 GROUP BY d.domain";
    LINES = "SELECT h.number, h.name, o.summary, o.errors, o.warnings, o.observed_at
        FROM domains h LEFT JOIN latest_observations o ON o.domain = h.number";
}

impl Store {
    /// A line for every domain held, by name. `today` is the current UTC day.
    ///
    /// # Errors
    /// As every function here.
    pub async fn domain_lines(&self, today: Date) -> Result<Vec<DomainLine>> {
        let today = day_number(today);
        let (month, week) = (today - MONTH, today - WEEK);
        let sums: Vec<Sums> = self.engine.all(SUMS, values![month, week, today - 1]).await?;
        let mut sums: HashMap<i64, Sums> = sums.into_iter().map(|sums| (sums.domain, sums)).collect();
        let heard: Vec<(i64, i64)> = self.engine.all(HEARD, values![week]).await?;
        let heard: HashMap<i64, i64> = heard.into_iter().collect();
        let rows: Vec<Row> = self.engine.all(LINES, values![]).await?;
        let mut lines = Vec::with_capacity(rows.len());
        for row in rows {
            let sums = sums.remove(&row.number).unwrap_or_default();
            let heard = heard.get(&row.number).copied().unwrap_or(0);
            lines.push(line(row, sums, small(heard), month)?);
        }
        lines.sort_unstable_by(|a, b| a.domain.cmp(&b.domain));
        Ok(lines)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    number: i64,
    name: String,
    summary: Option<String>,
    errors: Option<i64>,
    warnings: Option<i64>,
    observed_at: Option<i64>,
}

#[derive(Default, sqlx::FromRow)]
struct Sums {
    domain: i64,
    day_successful: i64,
    day_failed: i64,
    week_successful: i64,
    week_failed: i64,
    month_successful: i64,
    month_failed: i64,
    /// `day:failed,day:failed`, in any order, of the days with failures.
    failing: Option<String>,
}

fn line(row: Row, sums: Sums, reporters: u32, first_day: i64) -> Result<DomainLine> {
    let mut failed_by_day = vec![0; MONTH as usize];
    for pair in sums.failing.as_deref().unwrap_or_default().split(',') {
        let Some((day, failed)) = pair.split_once(':') else { continue };
        let at = day.parse::<i64>().ok().and_then(|day| usize::try_from(day - first_day).ok());
        if let Some(place) = at.and_then(|at| failed_by_day.get_mut(at)) {
            *place = count(failed.parse().unwrap_or(0));
        }
    }
    let domain = PolicyDomain::parse(&row.name);
    Ok(DomainLine {
        domain: domain.map_err(|e| StoreError::Corrupt(format!("{:?}: {e}", row.name)))?,
        day: (count(sums.day_successful), count(sums.day_failed)),
        week: (count(sums.week_successful), count(sums.week_failed)),
        month: (count(sums.month_successful), count(sums.month_failed)),
        failed_by_day,
        reporters,
        open: (small(row.errors.unwrap_or(0)), small(row.warnings.unwrap_or(0))),
        summary: row.summary.as_deref().map(from_json).transpose()?,
        observed_at: row.observed_at.map(timestamp).transpose()?,
    })
}
