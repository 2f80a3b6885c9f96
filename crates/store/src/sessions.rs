//! What reports add up to: sessions by day, problems, reporters, the evidence of the gate.
//!
//! Only reports of domains held count, each (submitter, report, domain) once, revisions replaced, and
//! never added across policy types. Kept up to date at insert, so that a page with a million failure
//! rows behind it still answers in milliseconds.

use jiff::{Timestamp, civil::Date};
use mailward_core::PolicyDomain;
use mailward_core::rollout::{ReportedDay, ReportedFailure, Trust};
use mailward_core::tlsrpt::ResultType;
use serde::{Deserialize, Serialize};

use crate::{Result, Store};

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

impl Store {
    /// Days from `from` to `to` inclusive, every day present, oldest first.
    pub async fn session_days(&self, domain: &PolicyDomain, from: Date, to: Date) -> Result<Vec<SessionDay>> {
        let _ = (domain, from, to);
        unimplemented!()
    }

    /// Problems with a failure on or after `since`, most evidence sessions first; all domains held when
    /// none is named.
    pub async fn problems(
        &self,
        domain: Option<&PolicyDomain>,
        since: Date,
        limit: u32,
    ) -> Result<Vec<Problem>> {
        let _ = (domain, since, limit);
        unimplemented!()
    }

    /// Reporters of a domain (or of all), last heard first.
    pub async fn reporters(&self, domain: Option<&PolicyDomain>, limit: u32) -> Result<Vec<Reporter>> {
        let _ = (domain, limit);
        unimplemented!()
    }

    /// What reporters told of the window, for [`mailward_core::rollout::Evidence`].
    pub async fn reported(
        &self,
        domain: &PolicyDomain,
        from: Date,
        to: Date,
    ) -> Result<(Vec<ReportedDay>, Vec<ReportedFailure>)> {
        let _ = (domain, from, to);
        unimplemented!()
    }

    /// Marks of the operator: (result type, MX, reason), for [`mailward_core::rollout::Evidence`].
    pub async fn excused(&self, domain: &PolicyDomain) -> Result<Vec<(ResultType, Option<String>, String)>> {
        let _ = domain;
        unimplemented!()
    }

    /// A line for every domain held, by name. `today` is the current UTC day.
    pub async fn domain_lines(&self, today: Date) -> Result<Vec<DomainLine>> {
        let _ = today;
        unimplemented!()
    }

    /// Everything the gate looks at, gathered from domain, served policies, observations and reports.
    pub async fn evidence(
        &self,
        domain: &PolicyDomain,
        gate: &mailward_core::rollout::Gate,
        now: Timestamp,
    ) -> Result<mailward_core::rollout::Evidence> {
        let _ = (domain, gate, now);
        unimplemented!()
    }
}
