//! What a report says of each policy, for the pages of reports that came in, that leave, and that are not
//! made yet.

use std::collections::HashSet;

use mailward_core::tlsrpt::{FailureDetails, PolicyResult, Report};

use crate::words;

/// The most shown on one page; the rest is in the document.
const POLICIES: usize = 50;
const DETAILS: usize = 100;

/// What it says.
pub(crate) struct Told {
    pub(super) policies: Vec<Policy>,
    /// How many policies are not shown.
    pub(super) more: usize,
    /// Who saw the policies.
    pub(super) by: &'static str,
    /// What is said of a domain that has no page.
    pub(super) unlinked: &'static str,
}

/// One failure of a policy.
pub(crate) struct Detail {
    pub(super) result_type: String,
    pub(super) explain: String,
    pub(super) sessions: String,
    /// Label and value of what else was told.
    pub(super) facts: Vec<(&'static str, String)>,
}

/// One policy of the report.
pub(crate) struct Policy {
    pub(super) domain: String,
    pub(super) address: Option<String>,
    pub(super) kind: String,
    pub(super) strings: Vec<String>,
    pub(super) mx: Vec<String>,
    pub(super) passed: String,
    pub(super) failed: String,
    pub(super) details: Vec<Detail>,
    pub(super) more: usize,
}

impl Told {
    /// Of a report that came in, about domains of which some are held.
    pub(super) fn by_others(report: &Report, held: &HashSet<String>) -> Self {
        let page_of = |domain: &str| held.contains(domain).then(|| format!("/domains/{domain}"));
        Self { by: "the reporter", unlinked: "not held", ..Self::new(report, page_of) }
    }

    /// Of one of ours, about domains of others.
    pub(super) fn by_us(report: &Report) -> Self {
        Self::new(report, |domain| (!domain.is_empty()).then(|| format!("/sending/{domain}")))
    }

    fn new(report: &Report, page_of: impl Fn(&str) -> Option<String>) -> Self {
        let policies = report.policies.iter().take(POLICIES).map(|result| policy(result, &page_of));
        Self {
            policies: policies.collect(),
            more: report.policies.len().saturating_sub(POLICIES),
            by: "our servers",
            unlinked: "",
        }
    }
}

fn policy(result: &PolicyResult, page_of: impl Fn(&str) -> Option<String>) -> Policy {
    let domain = result.policy.policy_domain.as_ref().map(ToString::to_string).unwrap_or_default();
    Policy {
        address: page_of(&domain),
        domain,
        kind: result.policy.policy_type.as_str().to_owned(),
        strings: result.policy.policy_string.iter().take(50).cloned().collect(),
        mx: result.policy.mx_host.iter().take(50).cloned().collect(),
        passed: words::count(result.summary.total_successful_session_count),
        failed: words::count(result.summary.total_failure_session_count),
        details: result.failure_details.iter().take(DETAILS).map(detail).collect(),
        more: result.failure_details.len().saturating_sub(DETAILS),
    }
}

fn detail(details: &FailureDetails) -> Detail {
    let ip = |ip: &Option<std::net::IpAddr>| ip.map(|ip| ip.to_string());
    let facts = [
        ("MX", details.receiving_mx_hostname.clone()),
        ("its address", ip(&details.receiving_ip)),
        ("its EHLO", details.receiving_mx_helo.clone()),
        ("sender's address", ip(&details.sending_mta_ip)),
        ("reason code", details.failure_reason_code.clone()),
        ("more", details.additional_information.clone()),
    ];
    Detail {
        result_type: details.result_type.as_str().to_owned(),
        explain: format!("/explain/{}", words::query_value(details.result_type.as_str())),
        sessions: words::count(details.failed_session_count),
        facts: facts
            .into_iter()
            .filter_map(|(label, value)| {
                value.filter(|v| !v.is_empty()).map(|v| (label, words::cut(&v, 600)))
            })
            .collect(),
    }
}
