//! Thousands of domains in good order, in a process of their own: what the network costs is then told
//! apart from what the product costs.
//!
//! Each domain has its own signed zone, its own MX name and certificate with a TLSA record, its own
//! policy host name and certificate, and a TLS-RPT record. Addresses are shared, because a world has
//! few. The child prints where it is and then answers questions on its input until that ends.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::Arc;
use std::time::Duration;

use mailward_core::Clock;
use mailward_lab::{Behaviour, CertificateKind, Security, World, WorldOptions};
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};
use mailward_net::tls::Roots;
use mailward_net::{Outside, OutsideOptions};

use crate::{child, measure};

/// Addresses that MX hosts share.
const MX_ADDRESSES: usize = 128;

/// The name of a domain by number.
pub fn domain(number: usize) -> String {
    format!("d{number}.test")
}

/// The child: makes a world of so many domains and serves it until its input ends.
pub fn serve(domains: usize) -> Result<(), String> {
    let world = World::start(&WorldOptions { now: measure::now(), ..WorldOptions::default() })
        .map_err(|e| e.to_string())?;
    let mx = mx_hosts(&world)?;
    let mut policy = Ipv4Addr::LOCALHOST;
    for number in 0..domains {
        policy = add(&world, number, mx[number % mx.len()])?;
    }
    introduce(&world, &[policy], &mx);
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            break;
        }
        println!("{}", world.dns.questions());
    }
    Ok(())
}

/// Prints where everything is, for [`Elsewhere::spawn`].
pub fn introduce(world: &World, policy: &[Ipv4Addr], mx: &[Ipv4Addr]) {
    let list = |addresses: &[Ipv4Addr]| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",") + ","
    };
    println!(
        "{} {} {} {} {} {}",
        world.resolver,
        world.root_pem.display(),
        world.https_port,
        world.smtp_port,
        list(policy),
        list(mx)
    );
}

fn mx_hosts(world: &World) -> Result<Vec<Ipv4Addr>, String> {
    let host = |number: usize| {
        let (name, address) = (format!("shared{number}.hosting.test"), world.address());
        let identity = world.ca.issue(&[&name], CertificateKind::Good);
        world.mx_hosts.start(address, &name, Behaviour::Good, identity).map(|()| address)
    };
    (0..MX_ADDRESSES).map(host).collect::<Result<_, _>>().map_err(|e| e.to_string())
}

fn add(world: &World, number: usize, mx: Ipv4Addr) -> Result<Ipv4Addr, String> {
    let domain = domain(number);
    let host = format!("mx.{domain}");
    let text = |e: &dyn std::fmt::Display| e.to_string();
    world.zone(&domain, Security::Signed).map_err(|e| text(&e))?;
    let identity = world.ca.issue(&[&host], CertificateKind::Good);
    let set = |owner: &str, rtype: &str, data: &str| {
        world.set(owner, rtype, &[data]).map_err(|e| format!("{owner} {rtype}: {e}"))
    };
    set(&domain, "MX", &format!("10 {host}."))?;
    set(&host, "A", &mx.to_string())?;
    set(&format!("_25._tcp.{host}"), "TLSA", &format!("3 1 1 {}", identity.spki_sha256()))?;
    set(&format!("_smtp._tls.{domain}"), "TXT", &format!("v=TLSRPTv1; rua=mailto:tls@{domain}"))?;
    world.mx_hosts.add_certificate(mx, &host, identity);
    let body = format!("version: STSv1\r\nmode: enforce\r\nmx: {host}\r\nmax_age: 1209600\r\n");
    let address = world
        .policy(&domain, &body, mailward_lab::Answer::Ok, CertificateKind::Good)
        .map_err(|e| text(&e))?;
    world.announce(&domain, "20261101T000000").map_err(|e| text(&e))?;
    Ok(address)
}

/// A world in a child process, ended with this value.
pub struct Elsewhere {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Where its DNS answers.
    pub resolver: SocketAddr,
    /// The certificate of its root.
    pub root_pem: PathBuf,
    /// Port of policy hosts.
    pub https_port: u16,
    /// Port of MX hosts.
    pub smtp_port: u16,
    /// Where policy hosts are; domain n uses the one at n modulo their number.
    pub policy: Vec<Ipv4Addr>,
    /// Where MX hosts are, in the same way.
    pub mx: Vec<Ipv4Addr>,
}

impl Elsewhere {
    /// Starts a child with so many domains and waits until it answers.
    pub fn start(domains: usize) -> Result<Self, String> {
        Self::spawn("world", domains)
    }

    /// The same with a world of another kind, by the name of its command.
    pub fn spawn(kind: &str, domains: usize) -> Result<Self, String> {
        let mut child = child::spawn([kind, &domains.to_string()])?;
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().ok_or("the world has no output")?);
        let mut line = String::new();
        output.read_line(&mut line).map_err(|e| e.to_string())?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [resolver, root, https, smtp, policy, mx] = words[..] else {
            return Err(format!("the world does not start: {line:?}"));
        };
        let wrong = |e: &dyn std::fmt::Display| format!("the world says {line:?}: {e}");
        let list = |text: &str| {
            text.split(',').filter(|address| !address.is_empty()).map(str::parse).collect::<Result<_, _>>()
        };
        Ok(Self {
            resolver: resolver.parse().map_err(|e| wrong(&e))?,
            root_pem: root.into(),
            https_port: https.parse().map_err(|e| wrong(&e))?,
            smtp_port: smtp.parse().map_err(|e| wrong(&e))?,
            policy: list(policy).map_err(|e| wrong(&e))?,
            mx: list(mx).map_err(|e| wrong(&e))?,
            child,
            input,
            output,
        })
    }

    /// How many DNS questions it was asked so far.
    pub fn questions(&mut self) -> Result<u64, String> {
        let line = self.tell("questions")?;
        line.parse().map_err(|_| format!("the world says {line:?}"))
    }

    /// Tells the world something, and hands its answer back.
    pub fn tell(&mut self, what: &str) -> Result<String, String> {
        let input = self.input.as_mut().ok_or("the world has no input")?;
        writeln!(input, "{what}").and_then(|()| input.flush()).map_err(|e| e.to_string())?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|e| e.to_string())?;
        Ok(line.trim().to_owned())
    }

    /// Processor seconds it used so far.
    pub fn cpu_seconds(&self) -> f64 {
        measure::cpu_seconds(&self.child.id().to_string())
    }

    /// The way into it, as a validating resolver on this machine is trusted. Needs a runtime.
    pub fn outside(&self) -> Result<Outside, String> {
        let way = Way {
            resolver: self.resolver,
            dnssec: Dnssec::TrustAd,
            root_pem: Some(self.root_pem.clone()),
            https_port: self.https_port,
            smtp_port: self.smtp_port,
        };
        way.outside(Arc::new(measure::RealClock))
    }
}

/// Where a world is, as far as the product must know it.
pub struct Way {
    /// Its DNS.
    pub resolver: SocketAddr,
    /// Whether that validates.
    pub dnssec: Dnssec,
    /// The certificate of its root, if anything is fetched.
    pub root_pem: Option<PathBuf>,
    /// Port of policy hosts.
    pub https_port: u16,
    /// Port of MX hosts.
    pub smtp_port: u16,
}

impl Way {
    /// The way into the world. Needs a runtime.
    pub fn outside(&self, clock: Arc<dyn Clock>) -> Result<Outside, String> {
        let options = DnsOptions {
            servers: vec![self.resolver],
            dnssec: self.dnssec.clone(),
            timeout: Duration::from_secs(5),
        };
        let resolver = Resolver::new(&options, Arc::clone(&clock)).map_err(|e| e.to_string())?;
        let roots = Roots::load(self.root_pem.as_slice()).map_err(|e| e.to_string())?;
        let options = OutsideOptions {
            helo: "bench.example".to_owned(),
            smtp_port: self.smtp_port,
            https_port: self.https_port,
            allow_private_addresses: true,
            fetch_timeout: Duration::from_secs(20),
            probe: mailward_net::smtp::ProbeTimeouts::default(),
        };
        Ok(Outside { resolver, roots: Arc::new(roots), options: Arc::new(options), clock })
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Its input ends; then it removes its directory and goes.
        drop(self.input.take());
        child::end(&mut self.child);
    }
}
