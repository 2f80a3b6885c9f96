//! What the gate to enforce looks at, gathered from everything that is remembered of a domain.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use mailward_core::rollout::{Evidence, Gate, ReportedDay, ReportedFailure, window};
use mailward_core::tlsrpt::ResultType;

use crate::columns::{count, date, day_number, trust};
use crate::engine::{statements, values};
use crate::names::name_hash;
use crate::{Result, Store};

/// Probes of the last 8 days: the gate asks for 7 without a gap, so the round before the first counts.
const PROBE_HOURS: i64 = 8 * 24;

statements! {
    DAYS = "SELECT s.day, n.name, s.trust, s.successful, s.failed
        FROM session_days s JOIN names n ON n.number = s.submitter
        WHERE s.domain = $1 AND s.day BETWEEN $2 AND $3 AND s.reports > 0";
    FAILURES = "SELECT d.day, n.name, d.trust, p.result_type, p.mx, p.reason, d.sessions
        FROM problems p JOIN problem_days d ON d.problem = p.number AND d.day BETWEEN $2 AND $3
        JOIN names n ON n.number = d.submitter
        WHERE p.domain = $1 AND p.last_day >= $2 AND d.sessions > 0";
    EXCUSES = "SELECT e.result_type, e.mx, e.reason FROM excuses e JOIN names n ON n.number = e.domain
        WHERE n.hash = $1 ORDER BY e.number";
    WAIVERS = "SELECT w.item, w.reason FROM waivers w JOIN names n ON n.number = w.domain WHERE n.hash = $1";
}

impl Store {
    /// What reporters told of the window, for [`mailward_core::rollout::Evidence`]; by day, then by reporter.
    ///
    /// # Errors
    /// As every function here.
    pub async fn reported(
        &self,
        domain: &PolicyDomain,
        from: Date,
        to: Date,
    ) -> Result<(Vec<ReportedDay>, Vec<ReportedFailure>)> {
        let Some(number) = self.held_number(domain).await? else { return Ok((Vec::new(), Vec::new())) };
        let range = || values![number, day_number(from), day_number(to)];
        let rows: Vec<(i64, String, i64, i64, i64)> = self.engine.all(DAYS, range()).await?;
        let mut days = Vec::with_capacity(rows.len());
        for (day, reporter, level, successful, failed) in rows {
            days.push(ReportedDay {
                day: date(day)?,
                reporter,
                trust: trust(level)?,
                successful: count(successful),
                failed: count(failed),
            });
        }
        type Row = (i64, String, i64, String, Option<String>, Option<String>, i64);
        let rows: Vec<Row> = self.engine.all(FAILURES, range()).await?;
        let mut failures = Vec::with_capacity(rows.len());
        for (day, reporter, level, result_type, mx, reason, sessions) in rows {
            failures.push(ReportedFailure {
                day: date(day)?,
                reporter,
                trust: trust(level)?,
                result_type: ResultType::from(result_type),
                mx,
                reason,
                sessions: count(sessions),
            });
        }
        days.sort_by(|a, b| (a.day, &a.reporter, a.trust).cmp(&(b.day, &b.reporter, b.trust)));
        failures.sort_by(|a, b| {
            let key = |f: &ReportedFailure| (f.day, f.reporter.clone(), f.result_type.clone(), f.mx.clone());
            key(a).cmp(&key(b)).then_with(|| (&a.reason, a.trust).cmp(&(&b.reason, b.trust)))
        });
        Ok((days, failures))
    }

    /// Marks of the operator: (result type, MX, reason), for [`mailward_core::rollout::Evidence`].
    ///
    /// # Errors
    /// As every function here.
    pub async fn excused(&self, domain: &PolicyDomain) -> Result<Vec<(ResultType, Option<String>, String)>> {
        let hash = name_hash(domain.as_str());
        let rows: Vec<(String, Option<String>, String)> =
            self.engine.all(EXCUSES, values![hash.as_slice()]).await?;
        Ok(rows.into_iter().map(|(kind, mx, reason)| (ResultType::from(kind), mx, reason)).collect())
    }

    /// Items of the gate passed by name: number to reason, for [`mailward_core::rollout::Evidence`].
    ///
    /// # Errors
    /// As every function here.
    pub async fn waived(&self, domain: &PolicyDomain) -> Result<BTreeMap<u8, String>> {
        let hash = name_hash(domain.as_str());
        let rows: Vec<(i64, String)> = self.engine.all(WAIVERS, values![hash.as_slice()]).await?;
        Ok(rows.into_iter().filter_map(|(item, reason)| Some((u8::try_from(item).ok()?, reason))).collect())
    }

    /// Everything the gate looks at, gathered from domain, served policies, observations and reports.
    /// Of a domain that is not held the mode is the one last seen, and since when is unknown.
    ///
    /// # Errors
    /// As every function here.
    pub async fn evidence(&self, domain: &PolicyDomain, gate: &Gate, now: Timestamp) -> Result<Evidence> {
        let held = self.domain(domain).await?;
        let latest = self.latest_observation(domain).await?;
        let (from, to) = window(now, gate);
        let (days, failures) = self.reported(domain, from, to).await?;
        let seen = latest.as_ref().and_then(|l| l.audit.policy.as_ref()).map(|policy| policy.mode);
        let probes_from = now.checked_sub(PROBE_HOURS.hours()).unwrap_or(Timestamp::MIN);
        // Failures on the first day of the window are held against our probes of that whole day.
        let window_from = from.to_zoned(TimeZone::UTC).map_or(probes_from, |midnight| midnight.timestamp());
        let gap = i64::from(gate.probe_gap_hours).hours();
        let probes_from = probes_from.min(window_from.checked_sub(gap).unwrap_or(Timestamp::MIN));
        Ok(Evidence {
            domain: domain.clone(),
            mode: held.as_ref().map(|held| held.mode).or(seen),
            testing_since: held.filter(|held| held.mode == Mode::Testing).map(|held| held.mode_since),
            latest: latest.map(|latest| latest.facts),
            probes: self.probe_rounds(domain, probes_from).await?,
            days,
            failures,
            excused: self.excused(domain).await?,
            waived: self.waived(domain).await?,
            pending: None,
        })
    }
}
