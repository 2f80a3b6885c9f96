//! A receiving side at work: a world, a database, certificates and listeners.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mailward_core::mta_sts::{Mode, publish};
use mailward_core::{Clock, PolicyDomain};
use mailward_lab::{CertificateKind, World, WorldOptions};
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};
use mailward_receiving::https::certificates::Certificates;
use mailward_receiving::https::{Limits, Server};
use mailward_receiving::intake::Intake;
use mailward_receiving::intake::https::{Endpoint, Options};
use mailward_receiving::policy_host::{Policies, PolicyHost};
use mailward_receiving::{Stop, StopSignal};
use mailward_store::Store;
use mailward_store::domains::HeldDomain;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub struct House {
    pub world: World,
    pub store: Store,
    pub directory: TempDir,
    pub certificates: Certificates,
    pub policies: Policies,
    pub address: SocketAddr,
    pub signal: StopSignal,
    pub stop: Stop,
    pub server: JoinHandle<()>,
}

impl House {
    pub async fn start() -> Self {
        Self::with(Options::default(), Limits::default()).await
    }

    pub async fn with(options: Options, limits: Limits) -> Self {
        let world = World::start(&WorldOptions::default()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory).await;
        let clock: Arc<dyn Clock> = world.clock.clone();
        std::fs::create_dir(directory.path().join("certificates")).unwrap();
        let certificates = Certificates::open(directory.path().join("certificates"), clock);
        let policies = Policies::new(store.clone());
        let intake = intake(&world, &store);
        let endpoint = Endpoint::new(intake, options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let site = PolicyHost::new(policies.clone(), Some(endpoint));
        let server = Server::new(vec![listener], certificates.clone(), site).limits(limits);
        let (signal, stop) = StopSignal::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { server.run(stop).await.unwrap() }
        });
        Self { world, store, directory, certificates, policies, address, signal, stop, server: running }
    }

    pub fn certificate_directory(&self) -> PathBuf {
        self.directory.path().join("certificates")
    }

    /// A good certificate of the world's CA for these names, in NAME.crt and NAME.key.
    pub fn certify(&self, name: &str, names: &[&str]) {
        let identity = self.world.ca.issue(names, CertificateKind::Good);
        self.world.write_certificate(&self.certificate_directory(), name, &identity).unwrap();
        self.certificates.reload();
    }

    /// Holds a domain, with a policy of its own; returns the body.
    pub async fn hold(&self, domain: &str, mx: &[&str]) -> String {
        hold(&self.store, domain, mx, self.world.clock.now()).await
    }
}

pub async fn hold(store: &Store, domain: &str, mx: &[&str], now: jiff::Timestamp) -> String {
    let made = publish::new_policy(mx, Mode::Testing, 86_400, now).unwrap();
    let held = HeldDomain {
        domain: PolicyDomain::parse(domain).unwrap(),
        mode: Mode::Testing,
        mx: made.policy.mx.iter().map(ToString::to_string).collect(),
        max_age: 86_400,
        policy_id: made.id,
        policy_body: made.body.clone(),
        rua: vec![format!("mailto:reports@{domain}")],
        added_at: now,
        mode_since: now,
    };
    store.put_domain(&held, "test", "test", now).await.unwrap();
    made.body
}

pub async fn open(directory: &TempDir) -> Store {
    let path = directory.path().join("mailward.db");
    Store::open(&format!("sqlite:{}", path.display())).await.unwrap()
}

pub fn resolver(world: &World) -> Resolver {
    let options = DnsOptions {
        servers: vec![world.resolver],
        dnssec: Dnssec::Off,
        timeout: Duration::from_millis(500),
    };
    Resolver::new(&options, world.clock.clone()).unwrap()
}

pub fn intake(world: &World, store: &Store) -> Intake {
    Intake::new(store.clone(), Some(resolver(world)), world.clock.clone())
}

/// Asks until the answer is yes, at most for ten seconds.
pub async fn eventually<F, T>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come true within ten seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
