//! What changes in the sums: each part that begins or ceases to count, folded into one row a group. Pure.

use std::collections::BTreeMap;

use super::plan::PlannedPart;
use super::tally::Shares;
use crate::columns::week;

/// Below this trust a source is weak ([`mailward_core::rollout::Trust::is_evidence`]).
pub(crate) const EVIDENCE: i64 = 2;

/// Numbers of domain, problem or submitter, and days and weeks.
type Number = i64;
type Day = i64;
type Week = i64;

#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// (domain, day, submitter, trust): reports, successful, failed.
    pub(crate) session_days: BTreeMap<(Number, Day, Number, i64), [i64; 3]>,
    /// (domain, day): successful, failed, weak successful, weak failed.
    pub(crate) domain_days: BTreeMap<(Number, Day), [i64; 4]>,
    /// (domain, submitter).
    pub(crate) domain_reporters: BTreeMap<(Number, Number), Heard>,
    /// (domain, day, weak, result type): sessions.
    pub(crate) failure_days: BTreeMap<(Number, Day, i64, String), i64>,
    /// (problem, day, submitter, trust): sessions.
    pub(crate) problem_days: BTreeMap<(Number, Day, Number, i64), i64>,
    /// (problem, week): sessions of each day, Monday first, and those of weak sources.
    pub(crate) problem_weeks: BTreeMap<(Number, Week), [[i64; 7]; 2]>,
    /// (problem, submitter): the last day told of, or `None` where something was taken back and the day
    /// must be looked up again.
    pub(crate) problem_reporters: BTreeMap<(Number, Number), Option<Day>>,
}

/// How a reporter was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) reports: i64,
    /// This and the days are `i64::MIN` where nothing came, but only the count of reports changes.
    pub(crate) last_received: i64,
    pub(crate) last_day: Day,
    pub(crate) last_evidence_day: Day,
    pub(crate) trust: i64,
    pub(crate) organization: String,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            reports: 0,
            last_received: i64::MIN,
            last_day: i64::MIN,
            last_evidence_day: i64::MIN,
            trust: 0,
            organization: String::new(),
        }
    }
}

impl Sums {
    /// Adds a part (`sign` 1) or takes it back (`sign` -1) at a trust.
    pub(crate) fn add(&mut self, part: &PlannedPart, trust: i64, shares: &Shares, sign: i64) {
        let &PlannedPart { domain, day, submitter, successful, failed, .. } = part;
        let weak = usize::from(trust < EVIDENCE);
        let (week, weekday) = week(day);
        let [reports, passed, not] = self.session_days.entry((domain, day, submitter, trust)).or_default();
        *reports += sign;
        *passed += sign * successful;
        *not += sign * failed;
        let sums = self.domain_days.entry((domain, day)).or_default();
        sums[2 * weak] += sign * successful;
        sums[2 * weak + 1] += sign * failed;
        self.domain_reporters.entry((domain, submitter)).or_default().reports += sign;
        for (result_type, sessions) in &shares.by_type {
            let key = (domain, day, i64::from(weak == 1), result_type.clone());
            *self.failure_days.entry(key).or_default() += sign * sessions;
        }
        for (problem, sessions) in &shares.by_problem {
            *self.problem_days.entry((*problem, day, submitter, trust)).or_default() += sign * sessions;
            self.problem_weeks.entry((*problem, week)).or_default()[weak][weekday] += sign * sessions;
            let last = self.problem_reporters.entry((*problem, submitter)).or_insert(Some(day));
            *last = if sign < 0 { None } else { last.map(|last| last.max(day)) };
        }
    }

    /// Notes that a part came (or came again, better believed): also one that does not count was heard.
    pub(crate) fn hear(&mut self, part: &PlannedPart) {
        let heard = self.domain_reporters.entry((part.domain, part.submitter)).or_default();
        let trust = part.now.trust;
        // "Best trust seen in the last report": of two received at once the better.
        if (part.received_at, trust) >= (heard.last_received, heard.trust) {
            heard.last_received = part.received_at;
            heard.trust = trust;
            heard.organization.clone_from(&part.organization);
        }
        heard.last_day = heard.last_day.max(part.day);
        if trust >= EVIDENCE {
            heard.last_evidence_day = heard.last_evidence_day.max(part.day);
        }
    }
}
