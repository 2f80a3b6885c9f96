//! What the monitor saw: the newest whole, rounds before, and which findings came and went.

use jiff::Timestamp;
use mailward_core::audit::{Audit, DaneState, Records, ReportingState, StsState, Summary};
use mailward_core::dns::DnsError;
use mailward_core::facts::{DomainFacts, PolicyHostFacts};
use mailward_core::rollout::ProbeRound;
use mailward_core::{Finding, Severity};

use crate::build::{at, day, domain, hold};
use crate::engines::Opened;

pub fn facts(observed_at: Timestamp) -> DomainFacts {
    DomainFacts {
        domain: domain("d.example"),
        observed_at,
        sts_record: Err(DnsError::Timeout),
        tlsrpt_record: Err(DnsError::ServerFailure(Some("a\0b".into()))),
        mx: Err(DnsError::Timeout),
        policy_host: PolicyHostFacts {
            addresses: Err(DnsError::Timeout),
            fetch: None,
            by_address: Vec::new(),
        },
        hosts: Vec::new(),
    }
}

pub fn audit(checked_at: Timestamp, findings: Vec<Finding>) -> Audit {
    Audit {
        domain: domain("d.example"),
        checked_at,
        summary: Summary {
            mta_sts: StsState::Testing,
            dane: DaneState::Absent,
            tls_rpt: ReportingState::Present,
            worst: findings.iter().map(|f| f.severity).max(),
            consequence: "nobody loses mail".into(),
        },
        findings,
        policy: None,
        policy_text: None,
        records: Records::default(),
        mx: Vec::new(),
    }
}

pub fn round(at: Timestamp) -> ProbeRound {
    let faults = [("mx1.d.example 192.0.2.1".to_owned(), None)].into();
    ProbeRound { at, faults, mx: Vec::new(), complete: true }
}

fn finding(id: &str, severity: Severity, subject: &str) -> Finding {
    Finding::new(id, severity, subject, "seen")
}

async fn observe(store: &Opened, on: &str, findings: &[Finding]) -> [usize; 3] {
    let at = at(on);
    let seen = store.record_observation(&facts(at), &audit(at, findings.to_vec()), &round(at)).await.unwrap();
    [seen.added.len(), seen.sustained.len(), seen.removed.len()]
}

pub async fn findings_come_and_go(store: Opened) {
    let a = finding("SMTP-003", Severity::Warning, "mx1");
    let b = finding("SMTP-003", Severity::Error, "mx2\0");
    assert_eq!(observe(&store, "03-01", &[a.clone(), a.clone()]).await, [2, 0, 0]);
    assert_eq!(observe(&store, "03-02", &[a.clone(), b.clone()]).await, [1, 1, 0]);
    assert_eq!(observe(&store, "03-03", std::slice::from_ref(&b)).await, [0, 1, 1]);
    let tracked = store.tracked_findings(&domain("d.example"), at("02-01")).await.unwrap();
    let rows: Vec<_> = tracked.iter().map(|t| (t.finding.clone(), t.since, t.last_seen, t.gone)).collect();
    assert_eq!(
        rows,
        [
            (b.clone(), at("03-02"), at("03-03"), None),
            (a.clone(), at("03-01"), at("03-02"), Some(at("03-03")))
        ]
    );
    // It comes back: new trouble, and the old one is remembered.
    assert_eq!(observe(&store, "03-04", &[a.clone(), b]).await, [1, 1, 0]);
    let tracked = store.tracked_findings(&domain("d.example"), at("03-04")).await.unwrap();
    assert_eq!(tracked.iter().map(|t| t.finding.subject.as_str()).collect::<Vec<_>>(), ["mx2\0", "mx1"]);
    assert_eq!(store.tracked_findings(&domain("d.example"), at("03-03")).await.unwrap().len(), 3);
    assert_eq!(store.tracked_findings(&domain("x.example"), at("01-01")).await.unwrap(), []);
}

pub async fn newest_is_whole_and_rounds_remain(store: Opened) {
    hold(&store, "d.example").await;
    assert_eq!(store.latest_observation(&domain("d.example")).await.unwrap(), None);
    let error = finding("SMTP-003", Severity::Error, "mx1");
    observe(&store, "03-01", &[]).await;
    observe(&store, "03-03", &[error.clone(), finding("SMTP-009", Severity::Warning, "mx1")]).await;
    // An older one arrives late: its round is kept, the newest stays.
    observe(&store, "03-02", &[]).await;
    let latest = store.latest_observation(&domain("d.example")).await.unwrap().unwrap();
    assert_eq!((&latest.facts, latest.audit.findings.len()), (&facts(at("03-03")), 2));
    let rounds = store.probe_rounds(&domain("d.example"), at("03-02")).await.unwrap();
    assert_eq!(rounds, [round(at("03-02")), round(at("03-03"))]);
    let line = store.domain_lines(day("03-04")).await.unwrap().remove(0);
    assert_eq!((line.open, line.observed_at), ((1, 1), Some(at("03-03"))));
    assert_eq!(line.summary, Some(latest.audit.summary));
    let tracked = store.tracked_findings(&domain("d.example"), at("01-01")).await.unwrap();
    assert!(tracked.iter().all(|t| t.gone.is_none()));
    // Rounds do not pile up for ever.
    let later: Timestamp = "2027-05-01T00:00:00Z".parse().unwrap();
    store.record_observation(&facts(later), &audit(later, Vec::new()), &round(later)).await.unwrap();
    assert_eq!(store.probe_rounds(&domain("d.example"), at("01-01")).await.unwrap(), [round(later)]);
}
