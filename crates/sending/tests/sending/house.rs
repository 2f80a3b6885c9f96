//! A policy cache and its server in a world, and a client that speaks socketmap.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use mailward_core::PolicyDomain;
use mailward_core::chain::TrustAnchors;
use mailward_duty::{Stop, StopSignal};
use mailward_lab::{Answer, CertificateKind, World, WorldOptions};
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};
use mailward_net::smtp::ProbeTimeouts;
use mailward_net::tls::Roots;
use mailward_net::{Outside, OutsideOptions};
use mailward_sending::policy::Options;
use mailward_sending::policyd::Listen;
use mailward_sending::{Policies, Policyd};
use mailward_store::Store;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A round of the timer that no test has to wait for.
pub const SOON: Duration = Duration::from_millis(256);

/// What everything goes through.
pub struct House {
    pub world: World,
    pub directory: TempDir,
    pub store: Store,
    pub node: Node,
}

/// One daemon.
pub struct Node {
    pub policies: Policies,
    pub address: SocketAddr,
    pub stop: Stop,
    signal: StopSignal,
    tasks: Vec<JoinHandle<()>>,
}

impl House {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = sqlite(&directory);
        Self::on(directory, &url, options).await
    }

    /// On a database that is there already.
    pub async fn on(directory: TempDir, url: &str, options: Options) -> Self {
        let world = World::start(&WorldOptions::default()).unwrap();
        world.zone("test", mailward_lab::Security::Unsigned).unwrap();
        let store = Store::open(url).await.unwrap();
        let node = Node::start(&world, &store, options).await;
        Self { world, directory, store, node }
    }

    /// Ends the daemon and starts another on the same database.
    pub async fn restart(&mut self, options: Options) {
        self.node.end().await;
        self.node = Node::start(&self.world, &self.store, options).await;
    }

    pub async fn ask(&self, request: &str) -> String {
        self.node.ask(request).await
    }

    /// A domain with one MX and an enforced policy that names it.
    pub fn domain(&self, domain: &str) {
        self.domain_with(domain, &format!("mx.{domain}"), 604_800);
    }

    /// The same with another pattern and age.
    pub fn domain_with(&self, domain: &str, pattern: &str, max_age: u32) {
        self.world.set(domain, "MX", &[&format!("10 mx.{domain}.")]).unwrap();
        self.world.set(&format!("mx.{domain}"), "A", &["127.0.0.1"]).unwrap();
        let body = policy("enforce", pattern, max_age);
        self.world.policy(domain, &body, Answer::Ok, CertificateKind::Good).unwrap();
        self.world.announce(domain, "1").unwrap();
    }

    pub fn pass(&self, seconds: i64) {
        self.world.clock.advance(SignedDuration::from_secs(seconds));
    }

    pub fn fetches(&self, domain: &str) -> u64 {
        self.world.policy_hosts.requests(&format!("mta-sts.{domain}"))
    }
}

impl Node {
    pub async fn start(world: &World, store: &Store, options: Options) -> Self {
        Self::through(outside(world), store, options).await
    }

    /// With a way out of its own.
    pub async fn through(outside: Outside, store: &Store, options: Options) -> Self {
        let policies = Policies::new(store.clone(), outside, options);
        let listen = [Listen::Tcp("127.0.0.1:0".parse().unwrap())];
        let policyd = Policyd::bind(&listen, policies.clone()).await.unwrap();
        let address = policyd.addresses()[0].parse().unwrap();
        let (signal, stop) = StopSignal::new();
        let tasks =
            vec![tokio::spawn(policies.clone().run(stop.clone())), tokio::spawn(policyd.run(stop.clone()))];
        Self { policies, address, stop, signal, tasks }
    }

    pub async fn ask(&self, request: &str) -> String {
        Client::connect(self.address).await.ask(request).await
    }

    /// Tells it to stop and waits until it has.
    pub async fn end(&mut self) {
        self.signal.stop();
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
    }
}

/// A client, as Postfix is one.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), received: Vec::new() }
    }

    pub async fn ask(&mut self, request: &str) -> String {
        self.send(&frame(request)).await;
        self.read().await.expect("an answer")
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer; `None` when the connection was closed.
    pub async fn read(&mut self) -> Option<String> {
        loop {
            if let Some((payload, used)) = whole(&self.received) {
                self.received.drain(..used);
                return Some(payload);
            }
            if self.stream.read_buf(&mut self.received).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

/// A netstring at the start of `bytes`.
fn whole(bytes: &[u8]) -> Option<(String, usize)> {
    let colon = bytes.iter().position(|b| *b == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).unwrap().parse().unwrap();
    let end = colon + 1 + length;
    assert!(bytes.get(end).is_none_or(|b| *b == b','), "no comma behind an answer");
    (bytes.len() > end).then(|| (String::from_utf8(bytes[colon + 1..end].to_vec()).unwrap(), end + 1))
}

pub fn frame(request: &str) -> Vec<u8> {
    format!("{}:{request},", request.len()).into_bytes()
}

pub fn policy(mode: &str, pattern: &str, max_age: u32) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: {pattern}\nmax_age: {max_age}\n")
}

pub fn secure(names: &str) -> String {
    format!("OK secure match={names} servername=hostname")
}

pub fn named(domain: &str) -> PolicyDomain {
    PolicyDomain::parse(domain).unwrap()
}

/// The URL of a database in a folder.
pub fn sqlite(directory: &TempDir) -> String {
    format!("sqlite:{}", directory.path().join("mailward.db").display())
}

/// The way out into a world; nothing of it takes longer than half a second.
pub fn outside(world: &World) -> Outside {
    outside_by(world, world.resolver)
}

/// The same by another name server.
pub fn outside_by(world: &World, server: SocketAddr) -> Outside {
    let dns = DnsOptions { servers: vec![server], dnssec: Dnssec::Off, timeout: Duration::from_millis(500) };
    let options = OutsideOptions {
        helo: "sender.test".into(),
        smtp_port: world.smtp_port,
        https_port: world.https_port,
        allow_private_addresses: true,
        fetch_timeout: Duration::from_secs(20),
        probe: ProbeTimeouts::default(),
    };
    let (anchors, _) = TrustAnchors::from_der([&world.ca.root()]);
    Outside {
        resolver: Resolver::new(&dns, world.clock.clone()).unwrap(),
        roots: Arc::new(Roots::new(anchors).unwrap()),
        options: Arc::new(options),
        clock: world.clock.clone(),
    }
}

/// Asks until the answer is yes, at most for thirty seconds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let give_up = tokio::time::Instant::now() + Duration::from_secs(30);
    while !ask().await {
        assert!(tokio::time::Instant::now() < give_up, "not within thirty seconds: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
