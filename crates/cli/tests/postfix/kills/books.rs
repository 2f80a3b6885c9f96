//! What the database of the killed mailward says, read between its lives.

use std::collections::BTreeMap;
use std::path::Path;

use flate2::read::GzDecoder;
use jiff::civil::Date;
use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_store::Store;
use mailward_store::outgoing::{Made, OutgoingFilter};
use serde_json::Value;

/// How far a day has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Sessions in the tallies of the day that the feeder told of.
    pub fed: u64,
    /// Domains of days that are over which wait for their report.
    pub unmade: usize,
    /// Domains that were dealt with, of all days.
    pub made: usize,
    /// Targets that have their report, of all days.
    pub sent: usize,
    /// Targets that have not.
    pub unsent: usize,
}

/// Every database operation of the test, on a runtime of its own.
fn with<T>(directory: &Path, work: impl AsyncFnOnce(&Store) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&format!("sqlite:{}/mailward.db", directory.display())).await.unwrap();
        let done = work(&store).await;
        store.close().await;
        done
    })
}

/// Looks.
pub fn books(directory: &Path, day: Date) -> Books {
    with(directory, async |store| {
        // It tells of no policies. So does Postfix, where mailward could not find one in time.
        let days = store.tally_overview(day, day).await.unwrap();
        let sums = days.iter().flat_map(|day| &day.sums);
        let without = sums.filter(|sum| sum.policy_type.as_str() == "no-policy-found");
        let mut fed: u64 = without.map(|sum| sum.successful + sum.failed).sum();
        for domain in super::MAILED {
            let tally = store.tally(day, &domain.parse().unwrap()).await.unwrap();
            let policies = tally.iter().flat_map(|tally| &tally.policies);
            let without = policies.filter(|entry| entry.policy.policy_type.as_str() == "no-policy-found");
            fed = fed.saturating_sub(without.map(|entry| entry.successful + entry.failed).sum());
        }
        let over = store.tally_domains(day.tomorrow().unwrap(), None, 100_000).await.unwrap();
        let rows = store.outgoing_reports(&OutgoingFilter::default(), None, 100_000).await.unwrap().rows;
        let targets = || rows.iter().flat_map(|row| &row.targets);
        let sent = targets().filter(|target| target.state == TargetState::Sent).count();
        Books { fed, unmade: over.len(), made: rows.len(), sent, unsent: targets().count() - sent }
    })
}

/// Every report made, by day and domain: its id and itself. Panics when a domain has two of a day.
pub fn reports(directory: &Path) -> BTreeMap<(Date, String), (String, Value)> {
    with(directory, async |store| {
        let rows = store.outgoing_reports(&OutgoingFilter::default(), None, 100_000).await.unwrap().rows;
        let mut reports = BTreeMap::new();
        for row in rows.into_iter().filter(|row| row.made == Made::Report) {
            let whole = store.outgoing_report(row.number).await.unwrap().unwrap();
            let report = serde_json::from_reader(GzDecoder::new(&whole.gzip[..])).unwrap();
            let key = (row.day, row.domain.to_string());
            assert!(reports.insert(key.clone(), (row.report_id, report)).is_none(), "{key:?} twice");
        }
        reports
    })
}
