//! The collector in the daemon: counts what mail servers tell of their sessions.

use mailward_sending::collector::{Collector, Options};

use super::Daemon;
use super::duties::Duties;
use crate::config::{CollectorTable, Config};
use crate::exit::{Failure, Result};

impl Daemon {
    /// Starts it when `[collector]` is there.
    pub(super) fn start_collector(&mut self, config: &Config, duties: &mut Duties) -> Result<()> {
        let Some(table) = &config.collector else { return Ok(()) };
        let collector =
            Collector::bind(&options(table), self.store.clone(), self.clock.clone()).map_err(|e| {
                Failure::usage(format!(
                    "[collector] cannot listen: {e}. `mailward config show` tells what is set."
                ))
            })?;
        duties.watch(collector.status());
        self.running.push(format!("collector on {}", collector.place()));
        let stop = self.ear.clone();
        self.tasks.spawn(async move {
            collector.run(stop).await;
            "collector"
        });
        Ok(())
    }
}

fn options(table: &CollectorTable) -> Options {
    Options {
        socket: table.socket.clone(),
        mode: table.mode.0,
        owner: table.owner.clone(),
        group: table.group.clone(),
    }
}
