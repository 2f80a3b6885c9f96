//! The sending side in a story: what happens by itself within seconds or at night, waited for.

use std::time::Duration;

use jiff::civil::Date;
use mailward_lab::product::{OutgoingReport, ProductResult};
use mailward_receiving::StopSignal;
use mailward_store::outgoing::{OutgoingFilter, OutgoingRow};
use mailward_store::tallies::TallySource;
use tokio::time::Instant;

use super::product::wrong;
use crate::daemon::Daemon;

/// How long anything is waited for. On a busy machine a second of work may take many.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// No story has more reports.
const MOST: u32 = 1_000;

/// Returns when the collector has brought this many sessions of a day into the store.
pub async fn counted(daemon: &Daemon, day: Date, sessions: u64) -> ProductResult<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let days = daemon.store.tally_overview(day, day).await.map_err(wrong)?;
        let sums = days.iter().flat_map(|day| &day.sums).filter(|sum| sum.source == TallySource::MailServer);
        let counted: u64 = sums.map(|sum| sum.successful + sum.failed).sum();
        match counted {
            counted if counted == sessions => return Ok(()),
            counted if counted > sessions || Instant::now() >= deadline => {
                return Err(wrong(format!("{counted} sessions of {day} are counted, of {sessions} told")));
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Makes the reports of the days that are over, sends what is due, and returns all. The duty in the daemon
/// does the same at its own pace; whoever comes first has a report.
pub async fn reports(daemon: &Daemon) -> ProductResult<Vec<OutgoingReport>> {
    let Some(reporter) = &daemon.reporter else { return Err(wrong("there is no [reporter]")) };
    let (_signal, stop) = StopSignal::new();
    reporter.make(&stop).await.map_err(wrong)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        reporter.send(&stop).await.map_err(wrong)?;
        let page =
            daemon.store.outgoing_reports(&OutgoingFilter::default(), None, MOST).await.map_err(wrong)?;
        let now = daemon.clock.now();
        let mut targets = page.rows.iter().flat_map(|row| &row.targets);
        if !targets.any(|target| target.next_at.is_some_and(|at| at <= now)) || Instant::now() >= deadline {
            return Ok(page.rows.into_iter().map(outgoing).collect());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn outgoing(row: OutgoingRow) -> OutgoingReport {
    let target =
        |target: mailward_store::outgoing::OutgoingTarget| (target.uri, target.state.as_str().to_owned());
    OutgoingReport {
        day: row.day,
        domain: row.domain.to_string(),
        successful: row.successful,
        failed: row.failed,
        targets: row.targets.into_iter().map(target).collect(),
    }
}
