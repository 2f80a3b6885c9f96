//! A collector with its socket and database, and the mail server that sends to it.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use mailward_core::{Clock, PolicyDomain};
use mailward_duty::{Status, StopSignal};
use mailward_sending::collector::{Collector, Door, Options};
use mailward_store::Store;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub const DAY: Date = Date::constant(2028, 2, 29);
pub const NEXT: Date = Date::constant(2028, 3, 1);

/// A clock that stands where it was put.
#[derive(Clone)]
pub struct Hand(Arc<Mutex<Timestamp>>);

impl Hand {
    pub fn at(text: &str) -> Self {
        Self(Arc::new(Mutex::new(text.parse().unwrap())))
    }

    pub fn put(&self, text: &str) {
        *self.0.lock().unwrap() = text.parse().unwrap();
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

pub fn options(socket: &Path) -> Options {
    Options { socket: socket.to_owned(), mode: 0o666, owner: None, group: None }
}

pub fn url(folder: &Path) -> String {
    format!("sqlite:{}/mailward.db", folder.display())
}

/// A running collector in a folder.
pub struct House {
    pub folder: PathBuf,
    pub store: Store,
    pub status: Status,
    pub door: Door,
    stop: StopSignal,
    running: JoinHandle<()>,
}

impl House {
    pub async fn open(folder: &Path) -> Self {
        Self::at(folder, Hand::at("2028-02-29T12:00:00Z")).await
    }

    pub async fn at(folder: &Path, clock: Hand) -> Self {
        let store = Store::open(&url(folder)).await.unwrap();
        let (stop, ear) = StopSignal::new();
        let options = options(&folder.join("tlsrpt.sock"));
        let collector = Collector::bind(&options, store.clone(), Arc::new(clock)).unwrap();
        let (status, door) = (collector.status(), collector.door());
        let running = tokio::spawn(collector.run(ear));
        Self { folder: folder.to_owned(), store, status, door, stop, running }
    }

    pub fn server(&self) -> UnixDatagram {
        server(&self.folder.join("tlsrpt.sock"))
    }

    /// Stops it, as the daemon would; the folder stays.
    pub async fn close(self) {
        self.stop.stop();
        self.running.await.unwrap();
        self.store.close().await;
    }

    /// Waits until so many sessions of a domain are stored.
    pub async fn until(&self, day: Date, name: &str, sessions: u64) {
        until(&format!("{sessions} sessions of {name}"), async || {
            stored(&self.store, day, name).await == sessions
        })
        .await;
    }
}

/// A mail server's end: it never waits.
pub fn server(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(path).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Sends the same again and again.
pub fn tell(server: &UnixDatagram, datagram: &[u8], times: u64) {
    for _ in 0..times {
        server.send(datagram).unwrap();
    }
}

/// Looks until it is so; gives up loudly.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so().await {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sessions of a domain, whatever came of them.
pub async fn stored(store: &Store, day: Date, name: &str) -> u64 {
    let domain = PolicyDomain::parse(name).unwrap();
    let tally = store.tally(day, &domain).await.unwrap();
    tally.map_or(0, |tally| tally.policies.iter().map(|p| p.successful + p.failed).sum())
}

/// A session that went well.
pub fn success(name: &str) -> Vec<u8> {
    format!(
        r#"{{"dpv": "1","d": "{name}","pr": "v=TLSRPTv1; rua=mailto:tls@{name}","policies":[{{"policy-type":2,"policy-domain": "{name}","policy-string":["version: STSv1","mode: enforce","mx: mx.{name}","max_age: 604800"],"mx-host":["mx.{name}"],"t":0,"f":0}}]}}"#
    )
    .into_bytes()
}

/// A session that did not, with what the server said to EHLO.
pub fn failure(name: &str, helo: &str) -> Vec<u8> {
    let text = serde_json::json!({
        "dpv": "1", "d": name, "pr": "v=TLSRPTv1; rua=mailto:tls@d.test",
        "policies": [{
            "policy-type": 9, "policy-domain": name, "t": 1, "f": 1,
            "failure-details": [{
                "c": 201, "s": "127.0.0.1", "n": format!("mx.{name}"), "h": helo, "r": "127.0.1.17",
                "f": "tls-handshake-failure",
            }],
        }],
    });
    text.to_string().into_bytes()
}
