//! The world after the story: it goes on by itself, and whoever looks is told where and what to try.

use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use mailward_core::Clock;
use mailward_lab::scenario::Stage;
use mailward_store::outgoing::OutgoingFilter;

use crate::commands::serve::Signals;
use crate::daemon::Daemon;
use crate::output::strong;

/// Between two looks of the monitor while time is made up for.
const LOOKS_APART: SignedDuration = SignedDuration::from_hours(6);

/// Between two looks while the world stands.
const LIVE_LOOKS_APART: Duration = Duration::from_secs(300);

/// A world that stays up; it ends with its stage.
pub struct Standing {
    stage: Stage,
    daemons: Vec<Running>,
}

/// A mailward that goes on.
pub struct Running {
    /// Whose it is, when there are several.
    pub domain: Option<String>,
    /// The daemon.
    pub daemon: Daemon,
    /// Its configuration file.
    pub config: PathBuf,
}

impl Standing {
    /// Lets time pass up to now, with the monitors looking as they would have, and then run on by itself: what
    /// is tried next is judged by the time on the wall.
    pub async fn catch_up(stage: Stage, daemons: Vec<Running>, wall: &dyn Clock) -> Self {
        let standing = Self { stage, daemons };
        let clock = &standing.stage.world.clock;
        let now = wall.now();
        while clock.now() < now {
            clock.advance(now.duration_since(clock.now()).min(LOOKS_APART));
            standing.look().await;
        }
        clock.tick();
        standing
    }

    /// One look at every domain held.
    async fn look(&self) {
        for Running { daemon, .. } in &self.daemons {
            for held in daemon.store.domains().await.unwrap_or_default() {
                if let Err(error) = daemon.looker.round(&held.domain).await {
                    anstream::eprintln!("a look at {} failed: {error}", held.domain);
                }
            }
        }
    }

    /// Says where to look and what to try; returns when told to stop.
    pub async fn stand(&self, signals: &mut Signals) {
        anstream::println!();
        for Running { domain, daemon, .. } in &self.daemons {
            let of = domain.as_ref().map(|domain| format!(" of {domain}")).unwrap_or_default();
            for address in &daemon.web {
                anstream::println!("Dashboard{of}: {}", strong(format!("http://{address}")));
            }
        }
        anstream::println!("\nThe world stays up until Ctrl-C. Try on it, in another terminal:");
        for (number, running) in self.daemons.iter().enumerate() {
            if let Some(domain) = &running.domain {
                anstream::println!("\nAs {domain}:");
            }
            let other = self.daemons.iter().cycle().nth(number + 1).and_then(|other| other.domain.as_deref());
            for command in running.tips(other).await {
                anstream::println!("  mailward --config {} {command}", running.config.display());
            }
        }
        let mut every = tokio::time::interval(LIVE_LOOKS_APART);
        loop {
            tokio::select! {
                _ = every.tick() => self.look().await,
                () = signals.stop() => return,
            }
        }
    }

    /// Ends it.
    pub async fn stop(self) {
        for Running { daemon, .. } in self.daemons {
            daemon.stop().await;
        }
    }
}

impl Running {
    /// Commands to try; `other` is whom it writes to.
    async fn tips(&self, other: Option<&str>) -> Vec<String> {
        let domains: Vec<String> = match self.daemon.store.domains().await {
            Ok(domains) => domains.iter().map(|d| d.domain.to_string()).collect(),
            Err(_) => vec![],
        };
        let first = domains.first().map_or("example.test", String::as_str);
        let mut tips = vec![
            format!("check {}", domains.join(" ")),
            "status".to_owned(),
            format!("rollout {first}"),
            format!("dns {first}"),
            "report list".to_owned(),
        ];
        if self.daemon.reporter.is_some() {
            tips.push("report outgoing list".to_owned());
            tips.extend(self.telling_report().await.map(|number| format!("report outgoing show {number}")));
        }
        let asked = other.unwrap_or(first);
        tips.push(format!("policyd query {asked}"));
        tips.push(format!("lookup {asked}"));
        tips
    }

    /// The number of the newest report that it sent of failures, else of the newest.
    async fn telling_report(&self) -> Option<i64> {
        let all = self.daemon.store.outgoing_reports(&OutgoingFilter::default(), None, 100).await.ok()?.rows;
        all.iter().find(|row| row.failed > 0).or(all.first()).map(|row| row.number)
    }
}
