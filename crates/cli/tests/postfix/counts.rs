//! What was counted of a domain, in one form for every place that tells it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Sessions of a domain by policy type and policy domain.
pub type Counts = BTreeMap<(String, String), Sessions>;

/// Sessions under one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    pub successful: u64,
    pub failed: u64,
    /// Failures by result type and MX host.
    pub failures: BTreeMap<(String, String), u64>,
}

/// Of a report as RFC 8460 §4.4 has it.
pub fn of_report(report: &Value) -> Counts {
    gather(&report["policies"], |entry| {
        let policy = (&entry["policy"]["policy-type"], &entry["policy"]["policy-domain"]);
        let summary = &entry["summary"];
        let counts = (&summary["total-successful-session-count"], &summary["total-failure-session-count"]);
        let keys = ["result-type", "receiving-mx-hostname", "failed-session-count"];
        (policy, counts, &entry["failure-details"], keys)
    })
}

/// Of a report as parsedmarc has it.
pub fn of_parsedmarc(report: &Value) -> Counts {
    gather(&report["policies"], |entry| {
        let policy = (&entry["policy_type"], &entry["policy_domain"]);
        let counts = (&entry["successful_session_count"], &entry["failed_session_count"]);
        let keys = ["result_type", "receiving_mx_hostname", "failed_session_count"];
        (policy, counts, &entry["failure_details"], keys)
    })
}

/// The same as a receiver has it that holds this domain: what is told of TLSA records, whose policy domain is the
/// host that has them, it puts down to the domain.
pub fn put_down_to(domain: &str, counts: &Counts) -> Counts {
    let entries = counts.iter();
    entries.map(|((kind, _), sessions)| ((kind.clone(), domain.to_owned()), sessions.clone())).collect()
}

/// Policy type and domain; successful and failed; the list of failures and the names of its members.
type Entry<'a> = ((&'a Value, &'a Value), (&'a Value, &'a Value), &'a Value, [&'static str; 3]);

fn gather<'a>(policies: &'a Value, read: impl Fn(&'a Value) -> Entry<'a>) -> Counts {
    let mut counts = Counts::new();
    for entry in policies.as_array().into_iter().flatten() {
        let (policy, (successful, failed), failures, [result, mx, number]) = read(entry);
        let sessions = counts.entry((text(policy.0), text(policy.1))).or_default();
        sessions.successful += successful.as_u64().unwrap();
        sessions.failed += failed.as_u64().unwrap();
        for failure in failures.as_array().into_iter().flatten() {
            let kind = (text(&failure[result]), text(&failure[mx]));
            *sessions.failures.entry(kind).or_default() += failure[number].as_u64().unwrap();
        }
    }
    counts
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
