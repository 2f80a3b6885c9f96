//! One domain under audit: the facts with what several families ask of them.

use std::cell::OnceCell;

use jiff::{SignedDuration, Timestamp};

use super::AuditOptions;
use crate::dane::assess::Assessment;
use crate::dns::{DnsError, DnsResult, DnssecStatus, TxtRecord};
use crate::facts::{DomainFacts, FetchedPolicy, MxFacts};
use crate::lint::RecordVerdict;
use crate::mta_sts::record::RecordLint;
use crate::mta_sts::{Mode, StsPolicy};
use crate::{Finding, MxHost, Severity, mta_sts, tlsrpt};

/// The facts, read once.
pub(super) struct Case<'a> {
    pub(super) facts: &'a DomainFacts,
    /// The moment to judge for.
    pub(super) at: Timestamp,
    /// Whether mail servers were probed.
    pub(super) smtp: bool,
    /// What a sender makes of the MTA-STS record; `None` when the lookup failed.
    pub(super) record: Option<RecordLint>,
    /// What is to be said of the texts at the name.
    pub(super) record_findings: Vec<Finding>,
    /// The policy a sender would use, when the fetch succeeded and the body holds one.
    pub(super) policy: Option<StsPolicy>,
    /// What is to be said of the body.
    pub(super) policy_findings: Vec<Finding>,
    /// Every MX host named, best preference first; the domain itself without an MX record (reading A31).
    pub(super) mx: Vec<MxHost>,
    /// What TLSA records say of each certificate presented, by host and probe; filled when first asked for.
    pub(super) assessments: OnceCell<Vec<Vec<Option<Assessment>>>>,
}

impl<'a> Case<'a> {
    pub(super) fn read(facts: &'a DomainFacts, options: &AuditOptions) -> Self {
        let (record, record_findings) = match &facts.sts_record {
            Ok(answer) => {
                let linted = mta_sts::record::lint(&texts(&answer.records));
                (Some(linted.value), linted.findings)
            }
            Err(_) => (None, Vec::new()),
        };
        let (policy, policy_findings) = match fetched(facts) {
            Some(fetched) => {
                let linted = mta_sts::policy::lint(&fetched.body);
                (linted.value, linted.findings)
            }
            None => (None, Vec::new()),
        };
        let mut mx: Vec<MxHost> = facts.hosts.iter().map(|host| host.host.clone()).collect();
        if let Ok(answer) = &facts.mx {
            let named = answer.records.iter().filter_map(|record| record.exchange.clone().ok());
            mx.extend(named);
        }
        let mut seen = std::collections::BTreeSet::new();
        mx.retain(|host| seen.insert(host.clone()));
        Self {
            facts,
            at: options.at,
            smtp: options.smtp,
            record,
            record_findings,
            policy,
            policy_findings,
            mx,
            assessments: OnceCell::new(),
        }
    }

    /// Mode of the policy a sender would use.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.policy.as_ref().map(|policy| policy.mode)
    }

    /// Whether senders hold mail servers to a policy, to enforce or to report.
    pub(super) fn under_policy(&self) -> bool {
        matches!(self.mode(), Some(Mode::Enforce | Mode::Testing))
    }

    /// Whether the domain announces MTA-STS, be it well or badly, or could not be asked. Without an
    /// announcement a web server that answers for every name of the domain is no fault.
    pub(super) fn announced(&self) -> bool {
        match &self.record {
            None => true,
            Some(record) => {
                record.verdict != RecordVerdict::None
                    || self
                        .record_findings
                        .iter()
                        .any(|f| f.id != "STS-TXT-001" && f.severity == Severity::Error)
            }
        }
    }

    /// Whether the MX answer is secure, so that DANE protects the choice of the host too.
    pub(super) fn secure_mx(&self) -> bool {
        self.facts.mx.as_ref().is_ok_and(|answer| answer.status == DnssecStatus::Secure)
    }

    /// `_mta-sts.example.com`.
    pub(super) fn record_name(&self) -> String {
        format!("_mta-sts.{}", self.facts.domain)
    }

    /// `mta-sts.example.com`.
    pub(super) fn policy_host(&self) -> String {
        format!("mta-sts.{}", self.facts.domain)
    }

    /// What to publish so that senders fetch the policy served now.
    pub(super) fn record_to_publish(&self) -> String {
        let body = fetched(self.facts).map(|fetched| fetched.body.as_slice()).unwrap_or_default();
        let id = crate::rollout::policy_id(self.facts.observed_at, body);
        format!("{}. 300 IN TXT \"v=STSv1; id={id};\"", self.record_name())
    }

    /// What to publish so that senders report.
    pub(super) fn reporting_record(&self) -> String {
        format!("_smtp._tls.{0}. 3600 IN TXT \"v=TLSRPTv1; rua=mailto:tls-reports@{0}\"", self.facts.domain)
    }

    /// Whole days from the moment judged for.
    pub(super) fn days_until(&self, end: Timestamp) -> i64 {
        let left = end.duration_since(self.at);
        if left.is_negative() { -1 } else { left.as_hours() / 24 }
    }

    /// Whether a moment lies at least this many days ahead.
    pub(super) fn lasts(&self, end: Timestamp, days: i64) -> bool {
        end.duration_since(self.at) >= SignedDuration::from_hours(days * 24)
    }
}

/// The policy as served, if it was.
pub(super) fn fetched(facts: &DomainFacts) -> Option<&FetchedPolicy> {
    facts.policy_host.fetch.as_ref()?.as_ref().ok()
}

pub(super) fn texts(records: &[TxtRecord]) -> Vec<String> {
    records.iter().take(50).map(TxtRecord::text).collect()
}

/// What a failed lookup is worth: when our own resolver cannot be reached we know nothing; every other
/// failure meets senders too.
pub(super) fn lookup_severity(error: &DnsError) -> Severity {
    match error {
        DnsError::Unreachable(_) => Severity::Untested,
        _ => Severity::Error,
    }
}

/// Whether the addresses of a host are secure, so that DANE senders ask for its TLSA records
/// (RFC 7672 §2.2.2).
pub(super) fn secure_addresses(host: &MxFacts) -> bool {
    let (v4, v6) = (status(&host.ipv4), status(&host.ipv6));
    [v4, v6].contains(&Some(DnssecStatus::Secure))
        && [v4, v6].into_iter().flatten().all(|status| status == DnssecStatus::Secure)
}

fn status<T>(result: &DnsResult<T>) -> Option<DnssecStatus> {
    result.as_ref().ok().map(|answer| answer.status)
}

/// What a receiver of reports publishes: verdict and findings, or the failure of the lookup.
pub(super) fn reporting(
    facts: &DomainFacts,
) -> Result<crate::lint::Linted<tlsrpt::record::TlsrptLint>, &DnsError> {
    facts.tlsrpt_record.as_ref().map(|answer| tlsrpt::record::lint(&texts(&answer.records)))
}
