//! Values to store: short to write, valid unless a test makes them otherwise.

use jiff::{Timestamp, civil::Date};
use mailward_core::PolicyDomain;
use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::Report;
use mailward_store::domains::HeldDomain;
use mailward_store::reports::{Content, IncomingItem};

pub fn domain(name: &str) -> PolicyDomain {
    PolicyDomain::parse(name).unwrap()
}

/// Noon of a day of 2026: `at("03-13")`.
pub fn at(day: &str) -> Timestamp {
    format!("2026-{day}T12:00:00Z").parse().unwrap()
}

pub fn day(day: &str) -> Date {
    format!("2026-{day}").parse().unwrap()
}

pub fn held(name: &str, mode: &str) -> HeldDomain {
    let body = format!("version: STSv1\nmode: {mode}\nmx: mx1.{name}\nmax_age: 86400\n");
    HeldDomain {
        domain: domain(name),
        mode: mode.parse().unwrap(),
        mx: vec![format!("mx1.{name}")],
        max_age: 86_400,
        policy_id: format!("id{mode}"),
        policy_body: body,
        rua: vec![format!("mailto:tls@{name}")],
        added_at: at("03-01"),
        mode_since: at("03-01"),
    }
}

pub async fn hold(store: &mailward_store::Store, name: &str) {
    store.put_domain(&held(name, "testing"), "test", "test", at("03-01")).await.unwrap();
}

/// One policy entry of a report.
pub struct Entry {
    pub policy_type: &'static str,
    pub domain: &'static str,
    pub successful: u64,
    pub failed: u64,
    /// Result type, MX, reason, sessions.
    pub details: Vec<(&'static str, Option<&'static str>, Option<&'static str>, u64)>,
}

pub fn sts(domain: &'static str, successful: u64, failed: u64) -> Entry {
    Entry { policy_type: "sts", domain, successful, failed, details: Vec::new() }
}

impl Entry {
    pub fn detail(
        mut self,
        result_type: &'static str,
        mx: Option<&'static str>,
        reason: Option<&'static str>,
        sessions: u64,
    ) -> Self {
        self.details.push((result_type, mx, reason, sessions));
        self
    }
}

/// A report for a day of 2026.
pub fn report(id: &str, on: &str, entries: &[Entry]) -> Report {
    let policies: Vec<_> = entries
        .iter()
        .map(|entry| {
            let details: Vec<_> = entry
                .details
                .iter()
                .map(|(result_type, mx, reason, sessions)| {
                    serde_json::json!({
                        "result-type": result_type, "receiving-mx-hostname": mx, "failure-reason-code": reason,
                        "failed-session-count": sessions, "sending-mta-ip": "192.0.2.1", "receiving-ip": "2001:db8::1",
                    })
                })
                .collect();
            serde_json::json!({
                "policy": {"policy-type": entry.policy_type, "policy-string": [], "policy-domain": entry.domain, "mx-host": []},
                "summary": {"total-successful-session-count": entry.successful, "total-failure-session-count": entry.failed},
                "failure-details": details,
            })
        })
        .collect();
    serde_json::from_value(serde_json::json!({
        "organization-name": "Reporter Inc.", "contact-info": "tls@r.example", "report-id": id, "policies": policies,
        "date-range": {"start-datetime": format!("2026-{on}T00:00:00Z"), "end-datetime": format!("2026-{on}T23:59:59Z")},
    }))
    .unwrap()
}

/// An item with one report, received at noon of a day, dkim-verified, from `r.example`.
pub fn item(received: &str, report: Report) -> IncomingItem {
    IncomingItem {
        raw: serde_json::to_vec(&(received, &report)).unwrap(),
        source: "maildir".into(),
        origin: "new/1".into(),
        received_at: at(received),
        trust: Trust::DkimVerified,
        dkim: None,
        submitter: "r.example".into(),
        content: Content::Reports(vec![(report, Vec::new())]),
        findings: Vec::new(),
    }
}

/// The same from somebody else.
pub fn from(submitter: &str, mut item: IncomingItem) -> IncomingItem {
    item.raw.extend(submitter.as_bytes());
    item.submitter = submitter.into();
    item
}

/// The same, believed otherwise (and therefore other bytes).
pub fn believed(trust: Trust, mut item: IncomingItem) -> IncomingItem {
    item.raw.extend(trust.as_str().as_bytes());
    item.trust = trust;
    item
}

/// Evidence sums of a day: passed, failed; and the weak ones.
pub async fn sums(store: &mailward_store::Store, name: &str, on: &str) -> [u64; 4] {
    let days = store.session_days(&domain(name), day(on), day(on)).await.unwrap();
    assert_eq!(days.len(), 1);
    [days[0].successful, days[0].failed, days[0].weak_successful, days[0].weak_failed]
}
