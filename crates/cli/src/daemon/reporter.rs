//! The reporter in the daemon: makes and sends the daily reports.

use mailward_net::Outside;
use mailward_sending::Reporter;

use super::Daemon;
use super::duties::Duties;
use crate::config::Config;
use crate::exit::{Failure, Result};

impl Daemon {
    /// Starts it when `[reporter]` is there.
    pub(super) fn start_reporter(
        &mut self,
        config: &Config,
        outside: &Outside,
        duties: &mut Duties,
    ) -> Result<()> {
        let Some(table) = &config.reporter else { return Ok(()) };
        let options = table.options(&config.store.url()).map_err(Failure::usage)?;
        if options.keys.is_empty() {
            tracing::warn!(
                "reporter.dkim is empty: receivers do not count reports by mail that nobody signed"
            );
        }
        let submitter = table.contact.rsplit('@').next().unwrap_or_default();
        self.running.push(format!("reporter as {submitter}, mail by {}", options.submit));
        let reporter = Reporter::new(self.store.clone(), outside.clone(), options)
            .map_err(|e| Failure::usage(format!("[reporter]: {e}")))?;
        if let Some(witness) = self.witness.take() {
            reporter.tell(witness);
        }
        duties.watch(reporter.status());
        self.reporter = Some(reporter.clone());
        let stop = self.ear.clone();
        self.tasks.spawn(async move {
            reporter.run(stop).await;
            "reporter"
        });
        Ok(())
    }
}
