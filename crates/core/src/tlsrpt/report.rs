//! A report as everybody else in the house sees it: normalised, typed, nothing lost that counts.
//!
//! Made only by [`super::parse`] (from the wild) and by the reporter (ours). Serialises to the member
//! names and nesting of RFC 8460 §4.4.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::ResultType;
use crate::DomainName;

/// One report (RFC 8460 §4.4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Who says so; may be empty (REP-030).
    pub organization_name: String,
    /// What time it covers.
    pub date_range: DateRange,
    /// A mail address; may be empty (REP-031).
    pub contact_info: String,
    /// Compared byte by byte; may be empty (REP-032).
    pub report_id: String,
    /// One entry for each policy applied.
    pub policies: Vec<PolicyResult>,
}

/// The range of a report, read leniently, kept in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DateRange {
    /// First moment covered.
    pub start_datetime: Timestamp,
    /// Last moment covered (23:59:59 and the next midnight are both read, reading A35).
    pub end_datetime: Timestamp,
}

impl DateRange {
    /// The UTC day on which the range starts: the day on which the report counts.
    pub fn day(&self) -> Date {
        self.start_datetime.to_zoned(TimeZone::UTC).date()
    }
}

/// What happened under one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyResult {
    /// The policy applied.
    pub policy: AppliedPolicy,
    /// Session totals.
    pub summary: Summary,
    /// Failures by kind; may add up to more than the total (one session can fail in two ways).
    pub failure_details: Vec<FailureDetails>,
}

/// The policy as the reporter saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AppliedPolicy {
    /// `tlsa`, `sts`, `no-policy-found`, or what was written.
    pub policy_type: PolicyType,
    /// Policy lines or TLSA records, trimmed.
    pub policy_string: Vec<String>,
    /// The policy domain, A-labels; `None` only while the domain could not be told (REP-080).
    pub policy_domain: Option<DomainName>,
    /// Patterns of the policy, bare.
    pub mx_host: Vec<String>,
}

/// The kind of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum PolicyType {
    /// DANE TLSA.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// Neither.
    NoPolicyFound,
    /// As written (REP-037).
    Other(String),
}

impl PolicyType {
    /// The name in reports.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::NoPolicyFound => "no-policy-found",
            Self::Other(text) => text,
        }
    }
}

impl From<String> for PolicyType {
    fn from(text: String) -> Self {
        [Self::Tlsa, Self::Sts, Self::NoPolicyFound]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(&text))
            .unwrap_or(Self::Other(text))
    }
}

impl From<PolicyType> for String {
    fn from(value: PolicyType) -> Self {
        value.as_str().to_owned()
    }
}

/// Session counts, each at most 2^53-1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Sessions in which the policy held.
    pub total_successful_session_count: u64,
    /// Sessions in which it did not.
    pub total_failure_session_count: u64,
}

/// One kind of failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureDetails {
    /// What went wrong.
    pub result_type: ResultType,
    /// The sender's address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sending_mta_ip: Option<IpAddr>,
    /// The MX as named in DNS, as written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub receiving_mx_hostname: Option<String>,
    /// First line of its EHLO answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub receiving_mx_helo: Option<String>,
    /// The address connected to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub receiving_ip: Option<IpAddr>,
    /// Sessions that failed so.
    pub failed_session_count: u64,
    /// Free text or a URI of the reporter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub additional_information: Option<String>,
    /// The reporter's reason.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_reason_code: Option<String>,
}

/// What one report says of one domain on its day, counted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainTotals {
    /// The larger of the policy types' sums: never added across types.
    pub successful: u64,
    /// Likewise, for itself.
    pub failed: u64,
    /// Sums by policy type, shown beside, never added up.
    pub by_type: BTreeMap<PolicyType, Summary>,
}

impl Report {
    /// Totals by policy domain: entries of the same type are added, across types the larger counts
    /// (REP-052; the same sessions stand under `tlsa` and under `sts`).
    pub fn totals(&self) -> BTreeMap<DomainName, DomainTotals> {
        let mut sums: BTreeMap<DomainName, BTreeMap<PolicyType, Summary>> = BTreeMap::new();
        for entry in &self.policies {
            let Some(domain) = &entry.policy.policy_domain else { continue };
            let sum =
                sums.entry(domain.clone()).or_default().entry(entry.policy.policy_type.clone()).or_default();
            let add = |a: &mut u64, b: u64| *a = a.saturating_add(b);
            add(&mut sum.total_successful_session_count, entry.summary.total_successful_session_count);
            add(&mut sum.total_failure_session_count, entry.summary.total_failure_session_count);
        }
        sums.into_iter()
            .map(|(domain, by_type)| {
                let most = |f: fn(&Summary) -> u64| by_type.values().map(f).max().unwrap_or(0);
                let totals = DomainTotals {
                    successful: most(|s| s.total_successful_session_count),
                    failed: most(|s| s.total_failure_session_count),
                    by_type,
                };
                (domain, totals)
            })
            .collect()
    }
}
