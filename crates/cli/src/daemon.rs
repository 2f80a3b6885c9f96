//! The daemon: every duty whose table is in the configuration, wired to one store, one way out and one
//! clock. `serve` runs it on the system's clock; the demo runs the same against the lab's world.

mod collector;
mod dnssec;
mod duties;
mod metrics;
mod reporter;
mod sending;
mod window;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mailward_core::Clock;
use mailward_net::Outside;
use mailward_receiving::https::Server;
use mailward_receiving::https::certificates::Certificates;
use mailward_receiving::intake::Intake;
use mailward_receiving::intake::https::{Endpoint, Options, TrustedSource};
use mailward_receiving::intake::maildir::Maildir;
use mailward_receiving::monitor::Monitor;
use mailward_receiving::policy_host::{Policies, PolicyHost};
use mailward_receiving::retention::Retention;
use mailward_receiving::{Stop, StopSignal};
use mailward_sending::Reporter;
use mailward_store::Store;
use mailward_web::{Access, WebState};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::{Config, ListenAddress, PolicyHostTable, ReporterTable, ReportsHttpsTable};
use crate::exit::{Failure, Result};
use crate::{commands, rooms};
use duties::Duties;

/// What is under way gets this long to end.
const DRAIN: Duration = Duration::from_secs(12);

/// A running daemon.
pub struct Daemon {
    /// Its store.
    pub store: Store,
    /// Its time.
    pub clock: Arc<dyn Clock>,
    /// Its door for reports.
    pub intake: Intake,
    /// Its monitor, for looks on demand.
    pub looker: Monitor,
    /// Where the dashboard listens.
    pub web: Vec<SocketAddr>,
    /// Where the policy host listens.
    pub policy_host: Vec<SocketAddr>,
    /// Where Postfix asks.
    pub policyd: Vec<ListenAddress>,
    /// Its reporter, for rounds on demand.
    pub reporter: Option<Reporter>,
    /// Names of the duties that run, with where.
    pub running: Vec<String>,
    /// What the dashboard sees of the policy cache.
    window: Option<Arc<dyn mailward_web::Sending>>,
    /// The policy cache, until the witness has it.
    cache: Option<mailward_sending::Policies>,
    /// Who is told before report mail leaves.
    witness: Option<mailward_sending::Witness>,
    policies: Option<Policies>,
    certificates: Option<Certificates>,
    stop: StopSignal,
    ear: Stop,
    tasks: JoinSet<&'static str>,
}

impl Daemon {
    /// Starts every duty. Sockets are bound when this returns.
    ///
    /// # Errors
    /// When the store cannot be opened or an address cannot be listened on.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>, access: Access) -> Result<Self> {
        // Before anything counts: what is counted without a recorder is lost.
        metrics::recorder();
        let store = rooms::store(config).await?;
        let outside = rooms::outside(config, clock.clone())?;
        let (stop, ear) = StopSignal::new();
        let mut daemon = Self {
            looker: monitor(&store, &outside, config),
            intake: Intake::new(store.clone(), Some(outside.resolver.clone()), clock.clone()),
            store,
            clock: clock.clone(),
            web: vec![],
            policy_host: vec![],
            policyd: vec![],
            reporter: None,
            running: vec![],
            window: None,
            cache: None,
            witness: None,
            policies: None,
            certificates: None,
            stop,
            ear,
            tasks: JoinSet::new(),
        };
        let mut duties = Duties::default();
        daemon.start_monitor(config, &outside, &mut duties);
        daemon.start_policy_host(config, &clock, &mut duties).await?;
        daemon.start_maildir(config, &mut duties);
        daemon.start_retention();
        // First the one that makes the folder of its socket, which is often the other's too.
        daemon.start_policyd(config, &outside, &mut duties).await?;
        let door = daemon.start_collector(config, &mut duties)?;
        daemon.start_witness(config, &outside, door);
        daemon.start_reporter(config, &outside, &mut duties)?;
        daemon.start_web(config, clock, access, duties).await?;
        Ok(daemon)
    }

    fn start_monitor(&mut self, config: &Config, outside: &Outside, duties: &mut Duties) {
        let Some(table) = &config.monitor else { return };
        let monitor = monitor(&self.store, outside, config);
        let handle = monitor.handle();
        // A report of failures from a source that is no evidence starts a look of our own.
        self.intake = Intake::with(
            self.store.clone(),
            Some(outside.resolver.clone()),
            outside.clock.clone(),
            mailward_core::tlsrpt::Limits::default(),
            Some(Arc::new(move |domain| handle.look_soon(domain))),
        );
        duties.watch(monitor.status());
        let stop = self.ear.clone();
        self.tasks.spawn(async move {
            monitor.run(stop).await;
            "monitor"
        });
        self.running.push(format!("monitor, every {}", table.interval));
    }

    async fn start_policy_host(
        &mut self,
        config: &Config,
        clock: &Arc<dyn Clock>,
        duties: &mut Duties,
    ) -> Result<()> {
        let Some(table) = &config.policy_host else { return Ok(()) };
        let certificates = Certificates::open(&table.certificates, clock.clone());
        duties.watch(certificates.status());
        let (keeper, stop) = (certificates.clone(), self.ear.clone());
        self.tasks.spawn(async move {
            keeper.run(stop).await;
            "certificates"
        });
        let policies = Policies::new(self.store.clone());
        // What is served must be known before the first connection.
        if let Err(error) = policies.refresh().await {
            tracing::warn!(%error, "the policies cannot be read yet");
        }
        duties.watch(policies.status());
        let (keeper, stop) = (policies.clone(), self.ear.clone());
        self.tasks.spawn(async move {
            keeper.run(stop).await;
            "policies"
        });
        let endpoint =
            config.reports.https.as_ref().map(|t| Endpoint::new(self.intake.clone(), endpoint_options(t)));
        self.policy_host = self
            .serve_https(table, &certificates, PolicyHost::new(policies.clone(), endpoint.clone()))
            .await?;
        self.running.push(format!("policy_host on {}", addresses(&self.policy_host)));
        if let (Some(endpoint), Some(reports)) = (endpoint, &config.reports.https) {
            self.running.push(format!("reports.https at {} of the policy host", reports.path));
            if !reports.listen.is_empty() {
                let own = PolicyHostTable {
                    listen: reports.listen.clone(),
                    certificates: table.certificates.clone(),
                };
                let bound = self.serve_https(&own, &certificates, PolicyHost::reports_only(endpoint)).await?;
                self.running.push(format!("reports.https on {}", addresses(&bound)));
            }
        }
        self.policies = Some(policies);
        self.certificates = Some(certificates);
        Ok(())
    }

    async fn serve_https(
        &mut self,
        table: &PolicyHostTable,
        certificates: &Certificates,
        site: PolicyHost,
    ) -> Result<Vec<SocketAddr>> {
        let mut listeners = vec![];
        let mut bound = vec![];
        for address in &table.listen {
            let listener = listen(*address).await?;
            bound.push(local(&listener, *address));
            listeners.push(listener);
        }
        let server = Server::new(listeners, certificates.clone(), site);
        let stop = self.ear.clone();
        self.tasks.spawn(async move {
            if let Err(error) = server.run(stop).await {
                tracing::error!(%error, "the HTTPS listener ended");
            }
            "https"
        });
        Ok(bound)
    }

    /// Always: an import by hand brings reports as well.
    fn start_retention(&mut self) {
        let retention = Retention::new(self.store.clone(), self.clock.clone());
        let stop = self.ear.clone();
        self.tasks.spawn(async move {
            retention.run(stop).await;
            "retention"
        });
    }

    fn start_maildir(&mut self, config: &Config, duties: &mut Duties) {
        let Some(table) = &config.reports.maildir else { return };
        let maildir = Maildir::new(&table.path, table.interval.0, self.intake.clone());
        duties.watch(maildir.status());
        let stop = self.ear.clone();
        self.tasks.spawn(async move {
            maildir.run(stop).await;
            "reports.maildir"
        });
        self.running.push(format!("reports.maildir in {}, every {}", table.path.display(), table.interval));
    }

    async fn start_web(
        &mut self,
        config: &Config,
        clock: Arc<dyn Clock>,
        access: Access,
        duties: Duties,
    ) -> Result<()> {
        let state = WebState {
            store: self.store.clone(),
            clock,
            access,
            health: Arc::new(duties),
            sending: self.window.clone(),
            reporter: config.reporter.as_ref().map(ReporterTable::author),
            metrics: metrics::recorder(),
            gate: mailward_core::rollout::Gate::default(),
            publishing: commands::dns::publishing(&config.publish)?,
        };
        let service = mailward_web::router(state).into_make_service_with_connect_info::<SocketAddr>();
        for address in &config.web.listen {
            let listener = listen(*address).await?;
            self.web.push(local(&listener, *address));
            let (service, mut stop) = (service.clone(), self.ear.clone());
            self.tasks.spawn(async move {
                let served = axum::serve(listener, service)
                    .with_graceful_shutdown(async move { stop.requested().await });
                if let Err(error) = served.await {
                    tracing::error!(%error, "the dashboard's listener ended");
                }
                "web"
            });
        }
        self.running.push(format!("web on {}", addresses(&self.web)));
        Ok(())
    }

    /// Reads certificates and policies again, without dropping a connection.
    pub async fn reload(&self) {
        if let Some(certificates) = &self.certificates {
            certificates.reload();
        }
        if let Some(policies) = &self.policies
            && let Err(error) = policies.refresh().await
        {
            tracing::warn!(%error, "the policies cannot be read again; the last known ones are served");
        }
    }

    /// Stops every duty, ends what is under way, closes the store.
    pub async fn stop(mut self) {
        self.stop.stop();
        let drained =
            tokio::time::timeout(DRAIN, async { while self.tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!("some duties did not end in time");
            self.tasks.abort_all();
        }
        drop(self.intake);
        self.store.close().await;
    }
}

/// A monitor with the interval of the configuration; without `[monitor]` it only looks on demand.
fn monitor(store: &Store, outside: &Outside, config: &Config) -> Monitor {
    let interval = config.monitor.clone().unwrap_or_default().interval;
    Monitor::new(store.clone(), outside.clone(), interval.0)
}

fn endpoint_options(table: &ReportsHttpsTable) -> Options {
    let name = |(n, token): (usize, &String)| TrustedSource {
        name: format!("token {}", n + 1),
        token: token.clone(),
    };
    Options {
        path: table.path.clone(),
        trusted: table.trusted_tokens.iter().enumerate().map(name).collect(),
        ..Options::default()
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| Failure::usage(format!("cannot listen on {address}: {e}")))
}

fn local(listener: &TcpListener, wanted: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(wanted)
}

fn addresses(list: &[SocketAddr]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
