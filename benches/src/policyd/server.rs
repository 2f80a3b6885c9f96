//! Servers in processes of their own: ours, with its store and its way out, and how they are talked to.
//!
//! A child prints the address of its TCP socket when both sockets are open, then answers a word on its
//! input with a line until that ends.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::Arc;
use std::time::Duration;

use mailward_core::Clock;
use mailward_duty::StopSignal;
use mailward_net::dns::Dnssec;
use mailward_sending::policy::Options;
use mailward_sending::policyd::Listen;
use mailward_sending::{Policies, Policyd};
use mailward_store::Store;

use crate::child;
use crate::measure::{self, FastClock, RealClock};
use crate::world::Way;

/// What our server is started with, in the order of its arguments.
#[derive(Debug, Clone)]
pub struct Setting {
    /// URL of the store.
    pub store: String,
    /// Where the DNS is.
    pub resolver: SocketAddr,
    /// Whether its AD bit is believed; nobody validates otherwise.
    pub trust_ad: bool,
    /// The certificate of the world's root; empty when nothing is fetched.
    pub root_pem: PathBuf,
    /// Port of policy hosts.
    pub https_port: u16,
    /// Seconds that a record is believed.
    pub recheck: u64,
    /// How many times as fast as the time its clock runs.
    pub speed: u32,
}

impl Setting {
    /// A server that fetches nothing.
    pub fn offline(store: &str, resolver: SocketAddr) -> Self {
        Self {
            store: store.to_owned(),
            resolver,
            trust_ad: false,
            root_pem: PathBuf::new(),
            https_port: 443,
            recheck: 86_400,
            speed: 1,
        }
    }

    fn arguments(&self) -> [String; 7] {
        [
            self.store.clone(),
            self.resolver.to_string(),
            self.trust_ad.to_string(),
            self.root_pem.display().to_string(),
            self.https_port.to_string(),
            self.recheck.to_string(),
            self.speed.to_string(),
        ]
    }

    fn from_arguments(arguments: &[&str]) -> Option<Self> {
        let [store, resolver, trust_ad, root_pem, https_port, recheck, speed] = *arguments else {
            return None;
        };
        Some(Self {
            store: store.to_owned(),
            resolver: resolver.parse().ok()?,
            trust_ad: trust_ad.parse().ok()?,
            root_pem: root_pem.into(),
            https_port: https_port.parse().ok()?,
            recheck: recheck.parse().ok()?,
            speed: speed.parse().ok()?,
        })
    }

    fn way(&self) -> Way {
        Way {
            resolver: self.resolver,
            dnssec: if self.trust_ad { Dnssec::TrustAd } else { Dnssec::Off },
            root_pem: Some(self.root_pem.clone()).filter(|path| !path.as_os_str().is_empty()),
            https_port: self.https_port,
            smtp_port: 25,
        }
    }
}

/// The child: our server until its input ends. Counts as `mailward serve` does, for that costs, too.
pub fn serve(socket: &Path, arguments: &[&str]) -> Result<(), String> {
    let setting = Setting::from_arguments(arguments).ok_or("the arguments of a server")?;
    metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let store = Store::open(&setting.store).await.map_err(|e| e.to_string())?;
        let clock: Arc<dyn Clock> = match setting.speed {
            1 => Arc::new(RealClock),
            speed => Arc::new(FastClock::start(speed)),
        };
        let outside = setting.way().outside(clock)?;
        let options = Options { recheck: Duration::from_secs(setting.recheck), ..Options::default() };
        let policies = Policies::new(store.clone(), outside, options);
        let unix = Listen::Unix { path: socket.to_owned(), mode: 0o600, group: None };
        let tcp = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let policyd = Policyd::bind(&[unix, tcp], policies.clone()).await.map_err(|e| e.to_string())?;
        let address = policyd.addresses().into_iter().nth(1).unwrap_or_default();
        let (signal, stop) = StopSignal::new();
        let duties =
            [tokio::spawn(policies.clone().run(stop.clone())), tokio::spawn(policyd.run(stop.clone()))];
        serve_until_input_ends(&address, |_| {
            let counts = policies.counts();
            format!("{} {} {}", counts.entries, counts.bytes, counts.lookups)
        })
        .await?;
        signal.stop();
        for duty in duties {
            duty.await.map_err(|e| e.to_string())?;
        }
        store.close().await;
        Ok(())
    })
}

/// Says where it is, and answers words until there are no more.
pub(super) async fn serve_until_input_ends(
    address: &str,
    mut answer: impl FnMut(&str) -> String,
) -> Result<(), String> {
    println!("{address}");
    let (words, mut heard) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if words.send(line).is_err() {
                return;
            }
        }
    });
    while let Some(word) = heard.recv().await {
        println!("{}", answer(&word));
    }
    Ok(())
}

/// A server in a child process, ended with this value.
pub struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Its unix socket.
    pub unix: PathBuf,
    /// Its TCP socket.
    pub tcp: SocketAddr,
}

impl Server {
    /// Ours.
    pub fn ours(folder: &Path, setting: &Setting) -> Result<Self, String> {
        Self::spawn("policyd-ours", folder.join("ours.sock"), &setting.arguments())
    }

    /// The yardstick with the text that it answers.
    pub fn bare(folder: &Path, answer: &str) -> Result<Self, String> {
        Self::spawn("policyd-bare", folder.join("bare.sock"), &[answer.to_owned()])
    }

    fn spawn(command: &str, unix: PathBuf, arguments: &[String]) -> Result<Self, String> {
        let _ = std::fs::remove_file(&unix);
        let socket = unix.as_os_str();
        let mut child = child::spawn(
            [command.as_ref(), socket].into_iter().chain(arguments.iter().map(|text| text.as_ref())),
        )?;
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().ok_or("the server has no output")?);
        let line = read_line(&mut output)?;
        let tcp = line.parse().map_err(|_| format!("the server does not start: {line:?}"))?;
        Ok(Self { child, input, output, unix, tcp })
    }

    /// Entries in memory, bytes that they take by its own account, lookups under way.
    pub fn counts(&mut self) -> Result<[u64; 3], String> {
        let input = self.input.as_mut().ok_or("the server has no input")?;
        input.write_all(b"counts\n").and_then(|()| input.flush()).map_err(|e| e.to_string())?;
        let line = read_line(&mut self.output)?;
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        numbers.try_into().map_err(|_| format!("the server says {line:?}"))
    }

    /// Processor seconds it used so far.
    pub fn cpu_seconds(&self) -> f64 {
        measure::cpu_seconds(&self.child.id().to_string())
    }

    /// MiB it has resident.
    pub fn resident(&self) -> f64 {
        measure::resident_memory(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        child::end(&mut self.child);
    }
}

fn read_line(from: &mut impl BufRead) -> Result<String, String> {
    let mut line = String::new();
    from.read_line(&mut line).map_err(|e| e.to_string())?;
    Ok(line.trim_end().to_owned())
}
