//! What reports add up to: sessions by day, problems, reporters, the evidence of the gate.
//!
//! Only reports of domains held count, each (submitter, report, domain) once, revisions replaced, and
//! never added across policy types. Kept up to date at insert, so that a page with a million failure
//! rows behind it still answers in milliseconds.

use jiff::{Timestamp, ToSpan, civil::Date};
use mailward_core::PolicyDomain;
use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::ResultType;
use serde::{Deserialize, Serialize};

use crate::columns::{count, day_number, small, timestamp, trust};
use crate::engine::{statements, values};
use crate::{Result, Store};

pub(crate) mod evidence;
pub(crate) mod lines;
pub(crate) mod problems;

/// Longer lists of days are cut: a page asks for weeks, not for the calendar.
const DAYS: i64 = 3_660;

/// One UTC day of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDay {
    /// The day.
    pub day: Date,
    /// Passed, from dkim-verified and trusted sources.
    pub successful: u64,
    /// Failed, from those sources.
    pub failed: u64,
    /// The same failures by type; not exclusive, may add up to more than `failed`.
    pub failures: Vec<(ResultType, u64)>,
    /// Passed and failed as told by weaker sources, shown apart.
    pub weak_successful: u64,
    /// Likewise.
    pub weak_failed: u64,
    /// Reporters heard, all sources.
    pub reporters: u32,
}

/// One problem: failures grouped by result, MX and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The domain.
    pub domain: PolicyDomain,
    /// What went wrong.
    pub result_type: ResultType,
    /// The MX named, if any, as written.
    pub mx: Option<String>,
    /// The reason given, if any, cut to 200 characters.
    pub reason: Option<String>,
    /// First day.
    pub first_day: Date,
    /// Last day.
    pub last_day: Date,
    /// Sessions, from evidence sources.
    pub sessions: u64,
    /// Sessions from weaker sources.
    pub weak_sessions: u64,
    /// Distinct submitters, sorted, at most 20.
    pub reporters: Vec<String>,
}

/// One reporter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reporter {
    /// Submitter, lower case.
    pub submitter: String,
    /// organization-name as last written.
    pub organization: String,
    /// Best trust seen in the last report.
    pub trust: Trust,
    /// Reports that count.
    pub reports: u64,
    /// Last report received.
    pub last_received: Timestamp,
    /// Last day reported on.
    pub last_day: Date,
}

/// A domain's line on the first page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainLine {
    /// The domain.
    pub domain: PolicyDomain,
    /// Evidence sessions of the last whole day: passed, failed.
    pub day: (u64, u64),
    /// Of the last 7 whole days.
    pub week: (u64, u64),
    /// Of the last 28 whole days.
    pub month: (u64, u64),
    /// Failed sessions by day, last 28 whole days, oldest first (for the sparkline).
    pub failed_by_day: Vec<u64>,
    /// Reporters heard in the last 7 days.
    pub reporters: u32,
    /// Findings that last, from the newest observation: errors, warnings.
    pub open: (u32, u32),
    /// `sts`, `dane`, `tls_rpt` words of the newest audit, and its `worst`; `None` before the first.
    pub summary: Option<mailward_core::audit::Summary>,
    /// When the newest observation was made.
    pub observed_at: Option<Timestamp>,
}

statements! {
    DAYS_OF_DOMAIN = "SELECT day, successful, failed, weak_successful, weak_failed FROM domain_days
        WHERE domain = $1 AND day BETWEEN $2 AND $3";
    FAILURES = "SELECT day, result_type, sessions FROM failure_days
        WHERE domain = $1 AND day BETWEEN $2 AND $3 AND weak = 0 AND sessions > 0";
    HEARD = "SELECT day, COUNT(DISTINCT submitter) FROM session_days
        WHERE domain = $1 AND day BETWEEN $2 AND $3 AND reports > 0 GROUP BY day";
    REPORTERS_OF_DOMAIN = "SELECT n.name, d.organization, d.trust, d.reports, d.last_received, d.last_day
        FROM domain_reporters d JOIN names n ON n.number = d.submitter
        WHERE d.domain = $2 AND d.reports > 0 ORDER BY d.last_received DESC, d.submitter LIMIT $1";
    REPORTERS = "SELECT n.name, d.organization, d.trust, s.reports, s.last_received, s.last_day
        FROM (SELECT r.submitter, CAST(SUM(r.reports) AS BIGINT) AS reports,
                MAX(r.last_received) AS last_received, MAX(r.last_day) AS last_day
            FROM domain_reporters r JOIN domains h ON h.number = r.domain WHERE r.reports > 0
            GROUP BY r.submitter ORDER BY MAX(r.last_received) DESC, r.submitter LIMIT $1) s
        JOIN names n ON n.number = s.submitter
        JOIN domain_reporters d ON d.submitter = s.submitter AND d.domain =
            (SELECT r.domain FROM domain_reporters r JOIN domains h ON h.number = r.domain
            WHERE r.submitter = s.submitter AND r.reports > 0
            ORDER BY r.last_received DESC, r.trust DESC, r.domain LIMIT 1)
        ORDER BY s.last_received DESC, s.submitter";
}

impl Store {
    /// Days from `from` to `to` inclusive, every day present, oldest first; at most ten years.
    ///
    /// # Errors
    /// As every function here.
    pub async fn session_days(&self, domain: &PolicyDomain, from: Date, to: Date) -> Result<Vec<SessionDay>> {
        let (first, last) = (day_number(from), day_number(to).min(day_number(from) + DAYS));
        let mut days: Vec<SessionDay> =
            (0..=last - first).filter_map(|n| from.checked_add(n.days()).ok()).map(empty_day).collect();
        let Some(number) = self.held_number(domain).await? else { return Ok(days) };
        let range = || values![number, first, last];
        let at = |day: i64| usize::try_from(day - first).unwrap_or(usize::MAX);
        let sums: Vec<(i64, i64, i64, i64, i64)> = self.engine.all(DAYS_OF_DOMAIN, range()).await?;
        for (day, successful, failed, weak_successful, weak_failed) in sums {
            let Some(day) = days.get_mut(at(day)) else { continue };
            (day.successful, day.failed) = (count(successful), count(failed));
            (day.weak_successful, day.weak_failed) = (count(weak_successful), count(weak_failed));
        }
        let failures: Vec<(i64, String, i64)> = self.engine.all(FAILURES, range()).await?;
        for (day, result_type, sessions) in failures {
            let Some(day) = days.get_mut(at(day)) else { continue };
            day.failures.push((ResultType::from(result_type), count(sessions)));
        }
        let heard: Vec<(i64, i64)> = self.engine.all(HEARD, range()).await?;
        for (day, reporters) in heard {
            let Some(day) = days.get_mut(at(day)) else { continue };
            day.reporters = small(reporters);
        }
        for day in &mut days {
            day.failures.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        }
        Ok(days)
    }

    /// Reporters of a domain (or of all), last heard first.
    ///
    /// # Errors
    /// As every function here.
    pub async fn reporters(&self, domain: Option<&PolicyDomain>, limit: u32) -> Result<Vec<Reporter>> {
        type Row = (String, String, i64, i64, i64, i64);
        let mut values = values![i64::from(limit)];
        let rows: Vec<Row> = match domain {
            None => self.engine.all(REPORTERS, values).await?,
            Some(domain) => {
                let Some(number) = self.held_number(domain).await? else { return Ok(Vec::new()) };
                values.push(number.into());
                self.engine.all(REPORTERS_OF_DOMAIN, values).await?
            }
        };
        let reporter = |(submitter, organization, level, reports, last_received, last_day): Row| {
            Ok(Reporter {
                submitter,
                organization,
                trust: trust(level)?,
                reports: count(reports),
                last_received: timestamp(last_received)?,
                last_day: crate::columns::date(last_day)?,
            })
        };
        let mut reporters: Vec<Reporter> = rows.into_iter().map(reporter).collect::<Result<_>>()?;
        reporters.sort_by(|a, b| {
            b.last_received.cmp(&a.last_received).then_with(|| a.submitter.cmp(&b.submitter))
        });
        Ok(reporters)
    }
}

fn empty_day(day: Date) -> SessionDay {
    SessionDay {
        day,
        successful: 0,
        failed: 0,
        failures: Vec::new(),
        weak_successful: 0,
        weak_failed: 0,
        reporters: 0,
    }
}
