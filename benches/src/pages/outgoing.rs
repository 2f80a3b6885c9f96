//! Outgoing reports as after ten days of mail to ten thousand domains, most of them accepted.

use jiff::{Timestamp, ToSpan};
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::datagram::SessionPolicy;
use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_core::tlsrpt::tally::Reporter;
use mailward_core::tlsrpt::{PolicyType, write};
use mailward_store::outgoing::{ClaimLimits, MAIL_LANE, Made, NewOutgoing, NewTarget, Outcome};
use mailward_store::tallies::{Increment, TallySource};
use mailward_store::{Store, StoreError};

/// In all.
pub const REPORTS: u32 = DOMAINS * DAYS;
const DOMAINS: u32 = 10_000;
const DAYS: u32 = 10;
/// Reports in one transaction.
const BATCH: u32 = 1_000;
/// One in so many has been tried; that keeps the filling short.
const TRIED: u32 = 50;

/// Fills.
pub async fn fill(store: &Store, now: Timestamp) -> Result<(), String> {
    for day in 1..=DAYS {
        for first in (0..DOMAINS).step_by(BATCH as usize) {
            batch(store, now, day, first).await.map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

async fn batch(store: &Store, now: Timestamp, day: u32, first: u32) -> Result<(), StoreError> {
    let day = now.to_zoned(jiff::tz::TimeZone::UTC).date().saturating_sub(i64::from(day).days());
    let names: Vec<PolicyDomain> = (first..first + BATCH)
        .filter_map(|n| PolicyDomain::parse(&format!("d{n}.customer.example")).ok())
        .collect();
    let increments: Vec<Increment> = names
        .iter()
        .map(|name| Increment {
            day,
            domain: name.clone(),
            record: format!("v=TLSRPTv1; rua=mailto:tls@{name}"),
            source: TallySource::MailServer,
            policy: SessionPolicy {
                policy_type: PolicyType::NoPolicyFound,
                policy_domain: (**name).clone(),
                policy_string: Vec::new(),
                mx_host: Vec::new(),
            },
            successful: 40,
            failed: 1,
            failures: Vec::new(),
        })
        .collect();
    store.add_tallies(&increments).await?;
    let author =
        Reporter { organization: "Example".into(), contact: "tls@sender.example".into(), probes: false };
    let mut reports = Vec::with_capacity(names.len());
    for (n, domain) in (first..).zip(names) {
        let Some(tally) = store.tally(day, &domain).await? else { continue };
        let report_id = format!("{day}.{domain}.1@sender.example");
        // Those that are not tried below are due on another day.
        let first_try = if n.is_multiple_of(TRIED) { now } else { now + 40.hours() };
        let target = NewTarget {
            uri: format!("mailto:tls@{domain}"),
            host: domain.to_string(),
            lane: MAIL_LANE.into(),
            first_try,
        };
        reports.push(NewOutgoing {
            day,
            gzip: write::gzip(&tally.report(&author, &report_id)),
            domain,
            report_id,
            made: Made::Report,
            detail: String::new(),
            successful: 40,
            failed: 1,
            targets: vec![target],
        });
    }
    store.make_outgoing(&reports, now).await?;
    let limits =
        ClaimLimits { lease: jiff::SignedDuration::from_mins(5), targets: BATCH, mails: BATCH, per_host: 1 };
    for target in store.claim_outgoing(1, limits, now).await? {
        let state = if target.report % 3 == 0 { TargetState::Refused } else { TargetState::Sent };
        let outcome = Outcome { state, next_at: None, answer: "250 2.0.0 or not".into() };
        store.finish_outgoing(1, &target, &outcome, now).await?;
    }
    Ok(())
}
