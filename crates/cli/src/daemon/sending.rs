//! The sending side of the daemon: the policy cache, the socketmap server in front of it, and an eye on
//! who vouches for the DNS.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use mailward_net::Outside;
use mailward_sending::Prober;
use mailward_sending::collector::Door;
use mailward_sending::policy::{self, Options, Policies};
use mailward_sending::policyd::{Listen, Policyd};
use mailward_sending::witness;

use super::dnssec::Watch;
use super::window::Window;
use super::{Daemon, Duties};
use crate::config::{Config, FirstContact, ListenAddress, PolicydTable};
use crate::exit::{Failure, Result};

impl Daemon {
    /// Starts policy cache and socketmap server when `[policyd]` is there.
    pub(super) async fn start_policyd(
        &mut self,
        config: &Config,
        outside: &Outside,
        duties: &mut Duties,
    ) -> Result<()> {
        let Some(table) = &config.policyd else { return Ok(()) };
        self.start_dnssec(config, outside, duties);
        let policies = Policies::new(self.store.clone(), outside.clone(), options(config, table));
        for address in &table.listen {
            if let ListenAddress::Unix(path) = address {
                make_folder(path).map_err(|e| cannot_listen(&format!("{}: {e}", path.display())))?;
            }
        }
        let policyd = Policyd::bind(&listen(table), policies.clone()).await.map_err(|e| cannot_listen(&e))?;
        self.policyd = policyd.addresses().iter().filter_map(|address| address.parse().ok()).collect();
        self.window = Some(Arc::new(Window::new(policies.clone(), self.policyd.clone())));
        self.cache = Some(policies.clone());
        self.running.push(format!("policyd on {}", policyd.addresses().join(", ")));
        duties.watch(policies.status());
        duties.watch(policyd.status());
        let (keeper, stop) = (policies.clone(), self.ear.clone());
        self.tasks.spawn(async move {
            keeper.run(stop).await;
            "policy"
        });
        let stop = self.ear.clone();
        self.tasks.spawn(async move {
            policyd.run(stop).await;
            "policyd"
        });
        Ok(())
    }

    /// Lets the policy cache and probes of testing policies tell what they see, when `[policyd]` and
    /// `[collector]` are there.
    pub(super) fn start_witness(&mut self, config: &Config, outside: &Outside, door: Option<Door>) {
        let (Some(table), Some(policies), Some(door)) = (&config.policyd, self.cache.take(), door) else {
            return;
        };
        let (witness, clerk) = witness::open(outside.clone(), door);
        policies.tell(witness.clone());
        self.witness = Some(witness.clone());
        let stop = self.ear.clone();
        self.tasks.spawn(async move {
            clerk.run(stop).await;
            "witness"
        });
        if table.probe {
            let prober = Prober::new(policies, outside.clone(), witness);
            let stop = self.ear.clone();
            self.tasks.spawn(async move {
                prober.run(stop).await;
                "prober"
            });
        }
    }

    fn start_dnssec(&mut self, config: &Config, outside: &Outside, duties: &mut Duties) {
        let watch = Watch::new(outside.resolver.clone(), config.dns.dnssec);
        duties.watch(watch.status());
        let stop = self.ear.clone();
        self.tasks.spawn(async move {
            watch.run(stop).await;
            "dnssec"
        });
    }
}

fn options(config: &Config, table: &PolicydTable) -> Options {
    Options {
        recheck: table.recheck.0,
        first_contact: match table.first_contact {
            FirstContact::Wait => policy::FirstContact::Wait,
            FirstContact::Async => policy::FirstContact::Async,
        },
        on_dns_failure: table.on_dns_failure,
        max_memory: table.max_memory.0,
        // Other nodes may fill the same database; an SQLite file is this machine's own.
        shared: !config.store.url().starts_with("sqlite:"),
        ..Options::default()
    }
}

fn listen(table: &PolicydTable) -> Vec<Listen> {
    let one = |address: &ListenAddress| match address {
        ListenAddress::Unix(path) => {
            Listen::Unix { path: path.clone(), mode: table.socket_mode.0, group: table.socket_group.clone() }
        }
        ListenAddress::Tcp(address) => Listen::Tcp(*address),
    };
    table.listen.iter().map(one).collect()
}

/// Makes the folder of a socket, where only that is missing: `/run` is empty after a boot.
fn make_folder(socket: &Path) -> io::Result<()> {
    match socket.parent() {
        Some(folder) if !folder.exists() => std::fs::DirBuilder::new().mode(0o755).create(folder),
        _ => Ok(()),
    }
}

fn cannot_listen(why: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!(
        "[policyd] cannot listen: {why}. Set policyd.listen to a place where this user may make a socket."
    ))
}
