//! One namespace furnished: the lab's world, unbound, Postfix and mailward, and a way to ask mailward what
//! Postfix asks.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use jiff::Timestamp;
use mailward_lab::address::Ports;
use mailward_lab::{Answer, Behaviour, CertificateKind, Identity, Security, World, WorldOptions};

use crate::command::mailward;
use crate::daemon::Daemon;
use crate::http;
use crate::mail_world::{Ended, configuration_with, unbound_at};
use crate::mta::{Listen, Postfix, Release};
use crate::wait;

/// Records must not outlive a change that a test makes.
const SHORT_MEMORY: &str = "server:\n  cache-max-ttl: 1\n  cache-max-negative-ttl: 1\n";

/// The dashboard, for its metrics.
const WEB: &str = "127.0.0.1:8460";
const DATAGRAMS: &str = "mailward_collector_datagrams_total{result=\"";

/// Everything, running. Parts end in the order of the fields.
pub struct House {
    mailward: Option<Daemon>,
    pub postfix: Postfix,
    _unbound: Ended,
    pub world: World,
}

impl House {
    /// Builds the world with `furnish`, then starts everything in it.
    pub fn build(release: Release, furnish: impl FnOnce(&World)) -> Self {
        let options = WorldOptions {
            now: Timestamp::now(),
            ports: Ports::REAL,
            network: Some((77, 1)),
            ..WorldOptions::default()
        };
        let world = World::start(&options).unwrap();
        furnish(&world);
        let resolver = SocketAddr::from((world.address(), 53));
        // unbound knows the zones that there are when it starts.
        let unbound = unbound_at(&world, resolver, SHORT_MEMORY).unwrap();
        let postfix = Postfix::prepare(release, &world.directory);
        let (policyd, collector) = (postfix.listen(), postfix.collector());
        let duties = format!(
            "[policyd]\nlisten = [\"{policyd}\"]\nrecheck = \"1s\"\n\
             [collector]\nsocket = \"{collector}\"\nmode = \"0666\"\n\
             [web]\nlisten = [\"{WEB}\"]\n"
        );
        let configuration = configuration_with(&world, resolver, "trust-ad") + &duties;
        std::fs::write(world.directory.join("mailward.toml"), configuration).unwrap();
        postfix.start(resolver, &world.root_pem);
        let mut house = Self { mailward: None, postfix, _unbound: unbound, world };
        house.start_mailward();
        house
    }

    /// Starts `mailward serve` and waits until it answers.
    pub fn start_mailward(&mut self) {
        let mut serve = mailward();
        serve.arg("serve").current_dir(&self.world.directory);
        let mut daemon = Daemon::start(&mut serve);
        daemon.says("Postfix is answered on", 20);
        wait::until("mailward answers", 20, || self.try_ask("nobody.test").is_some());
        self.mailward = Some(daemon);
    }

    /// Ends `mailward serve` without warning.
    pub fn kill_mailward(&mut self) {
        self.mailward.take().unwrap().kill();
    }

    /// What mailward says of a domain to this release.
    #[track_caller]
    pub fn ask(&self, domain: &str) -> String {
        self.try_ask(domain).unwrap()
    }

    /// Waits until it says something with this in it.
    #[track_caller]
    pub fn until_told(&self, domain: &str, text: &str) {
        wait::until(&format!("{text:?} for {domain}"), 90, || self.ask(domain).contains(text));
    }

    fn try_ask(&self, domain: &str) -> Option<String> {
        let question = format!("{} {domain}", self.postfix.release.map);
        let question = format!("{}:{question},", question.len());
        match self.postfix.release.listen {
            Listen::Inet => exchange(TcpStream::connect("127.0.0.1:8461").ok()?, &question),
            Listen::Unix => {
                let listen = self.postfix.listen();
                exchange(UnixStream::connect(listen.strip_prefix("unix:")?).ok()?, &question)
            }
        }
    }

    /// Waits until the collector has counted at least so many sessions, and nothing that it could not read.
    #[track_caller]
    pub fn heard_of_sessions(&self, least: usize) {
        let count = |accepted: bool| -> f64 {
            let page = http::get(WEB.parse().unwrap(), "/metrics", "").unwrap().body;
            let lines = page.lines().filter_map(|line| {
                let (result, number) = line.strip_prefix(DATAGRAMS)?.split_once("\"} ")?;
                ((result == "accepted") == accepted).then(|| number.parse::<f64>().unwrap())
            });
            lines.sum()
        };
        let least = f64::from(u32::try_from(least).unwrap());
        wait::until("the collector hears of the sessions", 20, || count(true) >= least);
        assert!(count(false) == 0.0, "{}", http::get(WEB.parse().unwrap(), "/metrics", "").unwrap().body);
    }

    /// What arrived for a recipient: the host that took it, and TLS with the name asked for, if any.
    pub fn arrived(&self, recipient: &str) -> Vec<(String, Option<String>)> {
        let mails = self.world.mx_hosts.delivered_to(recipient).into_iter();
        mails.map(|(host, mail)| (host, mail.tls.map(|_| mail.server_name.unwrap_or_default()))).collect()
    }
}

/// One question and its answer, as netstrings.
fn exchange(mut stream: impl Read + Write, question: &str) -> Option<String> {
    stream.write_all(question.as_bytes()).ok()?;
    let (mut octets, mut length) = (BufReader::new(stream).bytes(), 0);
    loop {
        match octets.next()?.ok()? {
            b':' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let answer = octets.take(length).collect::<Result<Vec<u8>, _>>().ok()?;
    Some(String::from_utf8(answer).unwrap())
}

/// A recipient domain while it is made.
pub struct Site<'w> {
    pub world: &'w World,
    pub domain: String,
}

impl<'w> Site<'w> {
    /// A zone of its own, which wants reports.
    pub fn new(world: &'w World, domain: &str, security: Security) -> Self {
        world.zone(domain, security).unwrap();
        let reports = format!("v=TLSRPTv1; rua=mailto:tls-reports@{domain}");
        world.set(&format!("_smtp._tls.{domain}"), "TXT", &[&reports]).unwrap();
        Self { world, domain: domain.to_owned() }
    }

    /// The name of a host of the domain.
    pub fn host(&self, label: &str) -> String {
        format!("{label}.{}", self.domain)
    }

    /// One more MX host, less preferred than those before.
    pub fn mx(&self, label: &str, behaviour: Behaviour, kind: CertificateKind) -> Ipv4Addr {
        let address = self.world.mx(&self.host(label), behaviour, kind).unwrap();
        let preference = address.octets()[3];
        self.world.dns.add(&self.domain, "MX", &format!("{preference} {}.", self.host(label))).unwrap();
        address
    }

    /// A policy with these hosts as patterns, announced.
    pub fn policy(&self, mode: &str, id: &str, patterns: &[&str]) -> Ipv4Addr {
        let body = policy(mode, &self.domain, patterns);
        self.world.announce(&self.domain, id).unwrap();
        self.world.policy(&self.domain, &body, Answer::Ok, CertificateKind::Good).unwrap()
    }

    /// TLSA records of a host, in words of [`Tlsa`].
    pub fn tlsa(&self, label: &str, address: Ipv4Addr, tlsa: Tlsa) {
        let record = tlsa.record(&self.world.mx_hosts.identity(address).unwrap());
        self.world.set(&format!("_25._tcp.{}", self.host(label)), "TLSA", &[&record]).unwrap();
    }
}

/// The body of a policy; patterns lie in the domain.
pub fn policy(mode: &str, domain: &str, patterns: &[&str]) -> String {
    let patterns: String = patterns.iter().map(|pattern| format!("mx: {pattern}.{domain}\n")).collect();
    format!("version: STSv1\nmode: {mode}\n{patterns}max_age: 604800\n")
}

/// What a TLSA record has to do with the certificate.
#[derive(Debug, Clone, Copy)]
pub enum Tlsa {
    /// `3 1 1` of its key.
    Key,
    /// `2 0 1` of its issuer.
    Issuer,
    /// `3 1 1` of another key.
    OtherKey,
    /// Usage 1, which says nothing on port 25 (RFC 7672 §3.1.3).
    Unusable,
}

impl Tlsa {
    fn record(self, identity: &Identity) -> String {
        match self {
            Self::Key => format!("3 1 1 {}", identity.spki_sha256()),
            Self::Issuer => format!("2 0 1 {}", identity.certificate_sha256(1).unwrap()),
            Self::OtherKey => format!("3 1 1 {}", "ab".repeat(32)),
            Self::Unusable => format!("1 1 1 {}", identity.spki_sha256()),
        }
    }
}
