//! What our senders saw of one domain on one UTC day, and the report that tells it (RFC 8460 §4).
//!
//! A tally is kept by what is the same in many sessions: the policy applied, and the kind of a failure.
//! Both have a [`Digest`], so that they can be counted without comparing long texts. Sessions are counted
//! once under each policy that was evaluated (reading A19) and never added across policy types.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::datagram::{SessionFailure, SessionPolicy};
use super::report::{AppliedPolicy, DateRange, FailureDetails, PolicyResult, Report, Summary};
use super::seen::probe;
use crate::PolicyDomain;

/// What tells two policies or two kinds of failure apart: the first half of a SHA-256.
pub type Digest = [u8; 16];

/// What was seen of one report domain on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The UTC day of receipt.
    pub day: Date,
    /// The domain reported to.
    pub domain: PolicyDomain,
    /// By policy.
    pub policies: Vec<PolicyTally>,
}

/// What was seen under one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTally {
    /// The policy.
    pub policy: SessionPolicy,
    /// Sessions in which it held.
    pub successful: u64,
    /// Sessions in which it did not.
    pub failed: u64,
    /// Failures by kind.
    pub failures: Vec<(SessionFailure, u64)>,
}

impl SessionPolicy {
    /// What tells it from other policies.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        field(&mut hash, self.policy_type.as_str());
        field(&mut hash, self.policy_domain.as_str());
        for list in [&self.policy_string, &self.mx_host] {
            hash.update((list.len() as u64).to_le_bytes());
            list.iter().for_each(|text| field(&mut hash, text));
        }
        half(hash)
    }
}

impl SessionFailure {
    /// What tells it from other kinds of failure.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        field(&mut hash, self.result_type.as_str());
        for address in [self.sending_mta_ip, self.receiving_ip] {
            field(&mut hash, &address.map(|a| a.to_string()).unwrap_or_default());
        }
        for text in [
            &self.receiving_mx_hostname,
            &self.receiving_mx_helo,
            &self.additional_information,
            &self.failure_reason_code,
        ] {
            field(&mut hash, text.as_deref().unwrap_or_default());
        }
        half(hash)
    }

    /// The same failure without what peers can make up: what is counted when there are too many kinds.
    pub fn other(&self) -> Self {
        Self {
            result_type: self.result_type.clone(),
            sending_mta_ip: None,
            receiving_mx_hostname: None,
            receiving_mx_helo: None,
            receiving_ip: None,
            additional_information: None,
            failure_reason_code: Some("other".to_owned()),
        }
    }
}

/// A text with its length in front, so that no two lists of texts look alike.
fn field(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

fn half(hash: Sha256) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

/// Who reports: `[reporter]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reporter {
    /// Name of the organisation.
    pub organization: String,
    /// A mail address.
    pub contact: String,
    /// Whether reports tell of what our own probes found, beside the sessions.
    pub probes: bool,
}

/// What stands in the place of a report-id until there is one.
pub const NO_REPORT_ID: &str = "none-before-it-is-made";

impl Tally {
    /// The report of the day (RFC 8460 §4.4).
    pub fn report(&self, reporter: &Reporter, report_id: &str) -> Report {
        Report {
            organization_name: reporter.organization.clone(),
            date_range: whole_day(self.day),
            contact_info: reporter.contact.clone(),
            report_id: report_id.to_owned(),
            policies: self.policies.iter().map(PolicyTally::entry).collect(),
        }
    }

    /// The report as it would be made now, for people to look at before it is. It has no report-id yet.
    pub fn preview(&self, reporter: &Reporter) -> Report {
        self.report(reporter, NO_REPORT_ID)
    }

    /// Adds what probes found, beside the sessions: marked, with a count of 0, for no session failed.
    pub fn tell_of_probes(&mut self, probes: Self) {
        for PolicyTally { policy, failures, .. } in probes.policies {
            let found = failures.into_iter().map(|(kind, _)| (probe::marked(kind), 0));
            match self.policies.iter_mut().find(|known| known.policy == policy) {
                Some(known) => known.failures.extend(found),
                None => {
                    let failures = found.collect();
                    self.policies.push(PolicyTally { policy, successful: 0, failed: 0, failures });
                }
            }
        }
    }

    /// Whether any session failed, or failures were told beside a success.
    pub fn has_failures(&self) -> bool {
        self.policies.iter().any(|p| p.failed > 0 || !p.failures.is_empty())
    }
}

impl PolicyTally {
    fn entry(&self) -> PolicyResult {
        let policy = &self.policy;
        PolicyResult {
            policy: AppliedPolicy {
                policy_type: policy.policy_type.clone(),
                policy_string: policy.policy_string.clone(),
                policy_domain: Some(policy.policy_domain.clone()),
                mx_host: policy.mx_host.clone(),
            },
            summary: Summary {
                total_successful_session_count: self.successful,
                total_failure_session_count: self.failed,
            },
            failure_details: self.failures.iter().map(|(kind, count)| details(kind, *count)).collect(),
        }
    }
}

fn details(kind: &SessionFailure, count: u64) -> FailureDetails {
    FailureDetails {
        result_type: kind.result_type.clone(),
        sending_mta_ip: kind.sending_mta_ip,
        receiving_mx_hostname: kind.receiving_mx_hostname.clone(),
        receiving_mx_helo: kind.receiving_mx_helo.clone(),
        receiving_ip: kind.receiving_ip,
        failed_session_count: count,
        additional_information: kind.additional_information.clone(),
        failure_reason_code: kind.failure_reason_code.clone(),
    }
}

/// From midnight to 23:59:59 UTC (RFC 8460 §4.1, reading A35).
pub fn whole_day(day: Date) -> DateRange {
    let start = day.to_datetime(Time::midnight()).to_zoned(TimeZone::UTC);
    let start = start.map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp());
    let end = start.checked_add(SignedDuration::from_secs(86_399)).unwrap_or(Timestamp::MAX);
    DateRange { start_datetime: start, end_datetime: end }
}

#[cfg(test)]
mod tests {
    use super::super::{PolicyType, ResultType, lint_report};
    use super::*;

    fn policy(lines: &[&str], mx: &[&str]) -> SessionPolicy {
        SessionPolicy {
            policy_type: PolicyType::Sts,
            policy_domain: "a.example".parse().unwrap(),
            policy_string: lines.iter().map(ToString::to_string).collect(),
            mx_host: mx.iter().map(ToString::to_string).collect(),
        }
    }

    fn failure(helo: Option<&str>, reason: Option<&str>) -> SessionFailure {
        SessionFailure {
            result_type: ResultType::StarttlsNotSupported,
            sending_mta_ip: "127.0.0.1".parse().ok(),
            receiving_mx_hostname: Some("mx.a.example".into()),
            receiving_mx_helo: helo.map(str::to_owned),
            receiving_ip: None,
            additional_information: None,
            failure_reason_code: reason.map(str::to_owned),
        }
    }

    #[test]
    fn what_differs_has_another_digest() {
        let policies = [
            policy(&["a", "b"], &["c"]),
            policy(&["ab"], &["c"]),
            policy(&["a"], &["b", "c"]),
            policy(&["a", "b", "c"], &[]),
            policy(&[], &[]),
        ];
        let kinds = [failure(None, None), failure(Some("x"), None), failure(None, Some("x"))];
        let mut digests: Vec<Digest> = policies.iter().map(SessionPolicy::digest).collect();
        digests.extend(kinds.iter().map(SessionFailure::digest));
        digests.extend(kinds[1..].iter().map(|k| k.other().digest()));
        digests.sort_unstable();
        digests.dedup();
        // Both `other` are one, and nothing else is equal.
        assert_eq!(digests.len(), policies.len() + kinds.len() + 1);
    }

    #[test]
    fn a_tally_becomes_a_report_without_a_fault() {
        let other = policy(&["version: STSv1", "mode: testing"], &["*.b.example"]);
        let found = |policy| PolicyTally {
            policy,
            successful: 0,
            failed: 0,
            failures: vec![(failure(None, None), 4), (failure(None, Some("expired")), 1)],
        };
        let probes = Tally {
            day: "2028-02-29".parse().unwrap(),
            domain: PolicyDomain::parse("a.example").unwrap(),
            policies: vec![
                found(policy(&["version: STSv1", "mode: testing"], &["*.a.example"])),
                found(other),
            ],
        };
        let mut tally = Tally {
            day: "2028-02-29".parse().unwrap(),
            domain: PolicyDomain::parse("a.example").unwrap(),
            policies: vec![PolicyTally {
                policy: policy(&["version: STSv1", "mode: testing"], &["*.a.example"]),
                successful: 7,
                failed: 3,
                failures: vec![(failure(Some("mx"), None), 2), (failure(None, Some("x")), 1)],
            }],
        };
        tally.tell_of_probes(probes);
        let told = |at: usize| {
            let policy: &PolicyTally = &tally.policies[at];
            let reason = |kind: &SessionFailure| kind.failure_reason_code.clone().unwrap_or_default();
            let details: Vec<_> = policy.failures.iter().map(|(kind, n)| (reason(kind), *n)).collect();
            ((policy.successful, policy.failed), details)
        };
        let detail = |reason: &str, count| (reason.to_owned(), count);
        let probed = [detail("probe", 0), detail("probe: expired", 0)];
        let seen = [detail("", 2), detail("x", 1)];
        assert_eq!(told(0), ((7, 3), [seen, probed.clone()].concat()));
        assert_eq!(told(1), ((0, 0), probed.to_vec()));
        let reporter =
            Reporter { organization: "Sender".into(), contact: "tls@sender.example".into(), probes: false };
        let report = tally.report(&reporter, "20280229.a.example.1@sender.example");
        let text = serde_json::to_string_pretty(&report).unwrap();
        assert!(text.contains(r#""start-datetime": "2028-02-29T00:00:00Z""#), "{text}");
        assert!(text.contains(r#""end-datetime": "2028-02-29T23:59:59Z""#), "{text}");
        let linted = lint_report(&super::super::write::json(&report), None, report.date_range.end_datetime);
        assert_eq!(linted.findings, [], "{:?}", linted.findings);
        assert_eq!(linted.reports, [report]);
    }
}
