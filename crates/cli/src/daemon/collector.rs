//! The collector in the daemon: counts what mail servers tell of their sessions.

use mailward_sending::collector::{Collector, Door, Options};

use super::Daemon;
use super::duties::Duties;
use crate::config::{CollectorTable, Config};
use crate::exit::{Failure, Result};

impl Daemon {
    /// Starts it when `[collector]` is there; the door for what mailward sees itself.
    pub(super) fn start_collector(&mut self, config: &Config, duties: &mut Duties) -> Result<Option<Door>> {
        let Some(table) = &config.collector else { return Ok(None) };
        let collector =
            Collector::bind(&options(table), self.store.clone(), self.clock.clone()).map_err(|e| {
                Failure::usage(format!(
                    "[collector] cannot listen: {e}. `mailward config show` tells what is set."
                ))
            })?;
        duties.watch(collector.status());
        self.running.push(format!("collector on {}", collector.place()));
        let (door, stop) = (collector.door(), self.ear.clone());
        self.tasks.spawn(async move {
            collector.run(stop).await;
            "collector"
        });
        Ok(Some(door))
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
