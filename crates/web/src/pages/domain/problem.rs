//! One problem: what reporters say, our own probe of that MX beside it, the exact fix.

use jiff::Timestamp;
use mailward_store::sessions::Problem;

use super::mx;
use crate::sheet::Sheet;
use crate::state;
use crate::words::{self, Markup};

/// Failures of one kind.
pub(crate) struct ProblemGroup {
    pub(crate) result_type: String,
    /// Where it is explained.
    pub(crate) explain: String,
    pub(crate) mx: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) sessions: String,
    pub(crate) weak: Option<String>,
    pub(crate) days: String,
    pub(crate) reporters: Vec<String>,
    /// Address, verdict by MTA-STS, verdict by DANE, error.
    pub(crate) probe: Vec<(String, Markup, Markup, String)>,
    pub(crate) probed_at: Option<Markup>,
    /// Finding id, message and fix, where our own look found the same host at fault.
    pub(crate) findings: Vec<(String, String, Vec<String>)>,
    pub(crate) excuse: Option<String>,
    /// Probe and fix stand at the problem before, which differs only in the reason given.
    pub(crate) as_above: bool,
}

/// All problems of a sheet. Those of one type at one MX stand together, so that the probe and the fix
/// are told once.
pub(super) fn groups(sheet: &Sheet, now: Timestamp) -> Vec<ProblemGroup> {
    let mut list: Vec<&Problem> = Vec::with_capacity(sheet.problems.len());
    for problem in &sheet.problems {
        let alike = |other: &&Problem| other.result_type == problem.result_type && other.mx == problem.mx;
        match list.iter().rposition(alike) {
            Some(last) => list.insert(last + 1, problem),
            None => list.push(problem),
        }
    }
    let mut groups: Vec<ProblemGroup> = Vec::with_capacity(list.len());
    for problem in list {
        let mut group = ProblemGroup::new(problem, sheet, now);
        group.as_above =
            groups.last().is_some_and(|above| above.result_type == group.result_type && above.mx == group.mx);
        groups.push(group);
    }
    groups
}

impl ProblemGroup {
    pub(crate) fn new(problem: &Problem, sheet: &Sheet, now: Timestamp) -> Self {
        let own = sheet.own_probe(problem);
        let seen = sheet.observation.as_ref();
        let findings = own
            .map(|own| {
                seen.iter()
                    .flat_map(|seen| &seen.audit.findings)
                    .filter(|finding| state::speaks_of(finding, own.host.as_str()))
                    .filter(|finding| !finding.fix.is_empty())
                    .take(3)
                    .map(|f| (f.id.clone(), f.message.clone(), f.fix.clone()))
                    .collect()
            })
            .unwrap_or_default();
        Self {
            result_type: problem.result_type.as_str().to_owned(),
            explain: format!("/explain/{}", words::query_value(problem.result_type.as_str())),
            mx: problem.mx.clone(),
            reason: problem.reason.clone(),
            sessions: words::counted(problem.sessions, "session"),
            weak: (problem.weak_sessions > 0).then(|| words::count(problem.weak_sessions)),
            days: days(problem),
            reporters: problem.reporters.clone(),
            probe: own
                .map(|own| {
                    own.addresses
                        .iter()
                        .map(|a| {
                            (a.ip.to_string(), mx::sts(a), mx::dane(a), a.error.clone().unwrap_or_default())
                        })
                        .collect()
                })
                .unwrap_or_default(),
            probed_at: seen.map(|seen| words::moment(seen.audit.checked_at, now).tag()),
            findings,
            excuse: sheet.excuse(problem).map(ToOwned::to_owned),
            as_above: false,
        }
    }
}

/// `on 2026-11-20` or `2026-11-18 to 2026-11-20`.
fn days(problem: &Problem) -> String {
    if problem.first_day == problem.last_day {
        format!("on {}", problem.first_day)
    } else {
        format!("{} to {}", problem.first_day, problem.last_day)
    }
}
