//! What a report says of each domain, boiled down to what is counted. Pure.
//!
//! Totals never add across policy types (REP-052: the same sessions stand under `tlsa` and under `sts`),
//! and neither do failures: for one trouble, entries of one type are added, the largest type counts.
//! Anyone can post anything, so one report can neither make sums overflow nor fill the tables.

use std::collections::{BTreeMap, HashMap, HashSet};

use mailward_core::tlsrpt::{FailureDetails, Report};

use crate::columns::{cut, number};

/// More sessions than mail is sent in the world on a day. A larger count is kept with the report, but
/// counts as this: millions of such reports still add up within 63 bits.
pub(crate) const COUNT_LIMIT: u64 = 1_000_000_000_000;
/// Distinct troubles told of one domain: beyond, first the reason is left out, then the MX, then the type.
const TROUBLES: [usize; 3] = [300, 400, 500];
/// Failure rows kept one by one; more are merged by trouble.
const DETAILS: usize = 1_000;
/// Policy types told apart in failures.
const POLICY_TYPES: usize = 8;

const RESULT_TYPE_LENGTH: usize = 100;
const POLICY_TYPE_LENGTH: usize = 64;
const MX_LENGTH: usize = 255;
/// As the read models promise.
const REASON_LENGTH: usize = 200;

/// Failures that are the same trouble: shown as one problem.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Trouble {
    pub(crate) result_type: String,
    pub(crate) mx: Option<String>,
    pub(crate) reason: Option<String>,
}

/// One failure detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) trouble: Trouble,
    pub(crate) policy_type: String,
    pub(crate) sessions: i64,
    pub(crate) sending_ip: Option<String>,
    pub(crate) receiving_ip: Option<String>,
}

/// What a report says of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Empty when the report names no domain at all: its reporter is heard, nothing counts (REP-053).
    pub(crate) domain: String,
    pub(crate) successful: i64,
    pub(crate) failed: i64,
    pub(crate) failures: Vec<Failure>,
}

/// The parts of a report by domain; at least one.
pub(crate) fn parts(report: &Report) -> Vec<Part> {
    let totals = report.totals();
    let mut failures: HashMap<&str, Vec<(&str, &FailureDetails)>> = HashMap::new();
    for entry in &report.policies {
        let Some(domain) = &entry.policy.policy_domain else { continue };
        let policy_type = cut(entry.policy.policy_type.as_str(), POLICY_TYPE_LENGTH);
        let told = entry.failure_details.iter().filter(|d| d.failed_session_count > 0);
        failures.entry(domain.as_str()).or_default().extend(told.map(|d| (policy_type, d)));
    }
    if totals.is_empty() {
        return vec![Part { domain: String::new(), successful: 0, failed: 0, failures: Vec::new() }];
    }
    totals
        .into_iter()
        .map(|(domain, totals)| Part {
            successful: number(totals.successful.min(COUNT_LIMIT)),
            failed: number(totals.failed.min(COUNT_LIMIT)),
            failures: bounded(failures.remove(domain.as_str()).unwrap_or_default()),
            domain: domain.into(),
        })
        .collect()
}

fn bounded(told: Vec<(&str, &FailureDetails)>) -> Vec<Failure> {
    let (mut troubles, mut types) = (HashSet::new(), HashSet::new());
    let many = told.len() > DETAILS;
    let failures = told.into_iter().map(|(policy_type, details)| {
        if types.len() < POLICY_TYPES {
            types.insert(policy_type);
        }
        let address = |ip: Option<std::net::IpAddr>| ip.filter(|_| !many).map(|ip| ip.to_string());
        Failure {
            trouble: known_or_coarser(&mut troubles, trouble(details)),
            policy_type: if types.contains(policy_type) { policy_type } else { "other" }.to_owned(),
            sessions: number(details.failed_session_count.min(COUNT_LIMIT)),
            sending_ip: address(details.sending_mta_ip),
            receiving_ip: address(details.receiving_ip),
        }
    });
    if !many {
        return failures.collect();
    }
    let mut merged: BTreeMap<(String, Trouble), i64> = BTreeMap::new();
    for failure in failures {
        let sum = merged.entry((failure.policy_type, failure.trouble)).or_default();
        *sum = limited(sum.saturating_add(failure.sessions));
    }
    let row = |((policy_type, trouble), sessions)| Failure {
        trouble,
        policy_type,
        sessions,
        sending_ip: None,
        receiving_ip: None,
    };
    merged.into_iter().map(row).collect()
}

fn trouble(details: &FailureDetails) -> Trouble {
    let text = |text: &Option<String>, length| {
        text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(|t| cut(t, length).to_owned())
    };
    Trouble {
        result_type: cut(details.result_type.as_str(), RESULT_TYPE_LENGTH).to_owned(),
        mx: text(&details.receiving_mx_hostname, MX_LENGTH),
        reason: text(&details.failure_reason_code, REASON_LENGTH),
    }
}

fn known_or_coarser(known: &mut HashSet<Trouble>, mut trouble: Trouble) -> Trouble {
    for step in 0..=TROUBLES.len() {
        if known.contains(&trouble) {
            break;
        }
        match TROUBLES.get(step) {
            Some(limit) if known.len() < *limit => {
                known.insert(trouble.clone());
                break;
            }
            _ if step == 0 => trouble.reason = None,
            _ if step == 1 => trouble.mx = None,
            _ => trouble.result_type = "unspecified".to_owned(),
        }
    }
    trouble
}

/// What a part adds to problems (by number) and to result types: computed alike when it is counted and
/// when it is taken back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) by_problem: BTreeMap<i64, i64>,
    pub(crate) by_type: BTreeMap<String, i64>,
}

/// One failure, as far as it is counted.
pub(crate) struct Counted<'a> {
    pub(crate) policy_type: &'a str,
    pub(crate) problem: i64,
    pub(crate) result_type: &'a str,
    pub(crate) sessions: i64,
}

pub(crate) fn shares<'a>(failures: impl IntoIterator<Item = Counted<'a>>) -> Shares {
    let mut problems: BTreeMap<(i64, &str), i64> = BTreeMap::new();
    let mut types: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for failure in failures {
        let add = |sum: &mut i64| *sum = limited(sum.saturating_add(failure.sessions));
        add(problems.entry((failure.problem, failure.policy_type)).or_default());
        add(types.entry((failure.result_type, failure.policy_type)).or_default());
    }
    let mut shares = Shares::default();
    for ((problem, _), sessions) in problems {
        let most = shares.by_problem.entry(problem).or_default();
        *most = sessions.max(*most);
    }
    for ((result_type, _), sessions) in types {
        let most = shares.by_type.entry(result_type.to_owned()).or_default();
        *most = sessions.max(*most);
    }
    shares
}

fn limited(count: i64) -> i64 {
    count.min(number(COUNT_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(policies: &str) -> Report {
        let text = format!(
            r#"{{"organization-name": "o", "contact-info": "c@r.example", "report-id": "1", "policies": [{policies}],
            "date-range": {{"start-datetime": "2026-03-13T00:00:00Z", "end-datetime": "2026-03-13T23:59:59Z"}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn entry(policy_type: &str, failed: u64, details: &str) -> String {
        format!(
            r#"{{"policy": {{"policy-type": "{policy_type}", "policy-string": [], "policy-domain": "d.example", "mx-host": []}},
            "summary": {{"total-successful-session-count": 10, "total-failure-session-count": {failed}}},
            "failure-details": [{details}]}}"#
        )
    }

    fn detail(result_type: &str, mx: &str, reason: &str, count: u64) -> String {
        format!(
            r#"{{"result-type": "{result_type}", "receiving-mx-hostname": "{mx}", "failure-reason-code": "{reason}",
            "failed-session-count": {count}}}"#
        )
    }

    fn shares_of(part: &Part) -> Shares {
        let mut numbers: Vec<&Trouble> = Vec::new();
        let counted = part.failures.iter().map(|failure| {
            let at = numbers.iter().position(|t| **t == failure.trouble).unwrap_or(numbers.len());
            if at == numbers.len() {
                numbers.push(&failure.trouble);
            }
            Counted {
                policy_type: &failure.policy_type,
                problem: at as i64,
                result_type: &failure.trouble.result_type,
                sessions: failure.sessions,
            }
        });
        shares(counted.collect::<Vec<_>>())
    }

    #[test]
    fn failures_are_not_added_across_policy_types() {
        let details =
            [detail("certificate-expired", "mx1", "", 3), detail("certificate-expired", "mx1", "", 4)]
                .join(",");
        let both = [entry("tlsa", 7, &details), entry("sts", 7, &details)].join(",");
        let parts = parts(&report(&both));
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].successful, parts[0].failed), (10, 7));
        assert_eq!(parts[0].failures.len(), 4, "one row a detail");
        let shares = shares_of(&parts[0]);
        assert_eq!(shares.by_problem, BTreeMap::from([(0, 7)]));
        assert_eq!(shares.by_type, BTreeMap::from([("certificate-expired".into(), 7)]));
    }

    #[test]
    fn a_report_without_domain_has_one_empty_part() {
        let parts = parts(&report(""));
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].domain.as_str(), parts[0].failures.len()), ("", 0));
    }

    #[test]
    fn huge_counts_are_limited() {
        let most = 9_007_199_254_740_991;
        let details = [detail("x", "mx", "", most), detail("x", "mx", "", most)].join(",");
        let part = &parts(&report(&entry("sts", most, &details)))[0];
        assert_eq!(part.failed, 1_000_000_000_000);
        assert_eq!(shares_of(part).by_problem, BTreeMap::from([(0, 1_000_000_000_000)]));
    }

    #[test]
    fn a_flood_of_troubles_becomes_coarser() {
        let row = |at: u64| detail(&format!("type{at}"), &format!("mx{at}"), &format!("reason{at}"), 1);
        let details: Vec<String> = (0..3_000).map(row).collect();
        let part = &parts(&report(&entry("sts", 3_000, &details.join(","))))[0];
        assert!(part.failures.len() <= 501, "{}", part.failures.len());
        assert_eq!(part.failures.iter().map(|f| f.sessions).sum::<i64>(), 3_000);
    }

    #[test]
    fn texts_are_cut() {
        let long = "ä".repeat(5_000);
        let part = &parts(&report(&entry("sts", 1, &detail(&long, &long, &long, 1))))[0];
        let Trouble { result_type, mx, reason } = &part.failures[0].trouble;
        assert_eq!(result_type.chars().count(), 100);
        assert_eq!(mx.as_ref().unwrap().chars().count(), 255);
        assert_eq!(reason.as_ref().unwrap().chars().count(), 200);
    }
}
