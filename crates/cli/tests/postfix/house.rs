//! One namespace furnished: the lab's world, unbound, Postfix and mailward, and a way to ask mailward what
//! Postfix asks.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use jiff::Timestamp;
use mailward_lab::address::Ports;
use mailward_lab::{Answer, Behaviour, CertificateKind, Identity, Security, World, WorldOptions};

use crate::clock::MovedClock;
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
    pub resolver: SocketAddr,
    /// That of mailward, when it is another than the machine's.
    pub clock: Option<MovedClock>,
    pub world: World,
}

impl House {
    /// Builds the world with `furnish`, then starts everything in it.
    pub fn build(release: Release, furnish: impl FnOnce(&World)) -> Self {
        Self::build_at(release, None, |world| {
            furnish(world);
            String::new()
        })
    }

    /// The same at another time, for the world and for mailward. `furnish` returns more of mailward's
    /// configuration.
    pub fn build_at(
        release: Release,
        time: Option<Timestamp>,
        furnish: impl FnOnce(&World) -> String,
    ) -> Self {
        let options = WorldOptions {
            now: time.unwrap_or_else(Timestamp::now),
            ports: Ports::REAL,
            network: Some((77, 1)),
            ..WorldOptions::default()
        };
        let world = World::start(&options).unwrap();
        let more = furnish(&world);
        let clock = time.map(|time| MovedClock::showing(time, &world.directory));
        let resolver = SocketAddr::from((world.address(), 53));
        // unbound knows the zones that there are when it starts.
        let unbound = unbound_at(&world, resolver, SHORT_MEMORY).unwrap();
        let postfix = Postfix::prepare(release, &world.directory);
        let (policyd, collector) = (postfix.listen(), postfix.collector());
        let duties = format!(
            "[policyd]\nlisten = [\"{policyd}\"]\nrecheck = \"1s\"\n\
             [collector]\nsocket = \"{collector}\"\nmode = \"0666\"\n\
             [web]\nlisten = [\"{WEB}\"]\n{more}"
        );
        let configuration = configuration_with(&world, resolver, "trust-ad") + &duties;
        std::fs::write(world.directory.join("mailward.toml"), configuration).unwrap();
        postfix.start(resolver, &world.root_pem);
        let mut house = Self { mailward: None, postfix, _unbound: unbound, resolver, clock, world };
        house.start_mailward();
        house
    }

    /// Starts `mailward serve` and waits until it answers.
    pub fn start_mailward(&mut self) {
        self.begin_mailward();
        wait::until("mailward answers", 20, || self.try_ask("nobody.test").is_some());
    }

    /// Starts `mailward serve` and waits until it says that it listens.
    pub fn begin_mailward(&mut self) {
        let mut serve = mailward();
        serve.arg("serve").current_dir(&self.world.directory);
        if let Some(clock) = &self.clock {
            clock.preload(&mut serve);
        }
        let mut daemon = Daemon::start(&mut serve);
        daemon.says("Postfix is answered on", 20);
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
        wait::until("the collector hears of the sessions", 20, || self.sessions_heard() >= least);
    }

    /// The sessions that the collector has counted. Panics when there was anything that it could not read.
    #[track_caller]
    pub fn sessions_heard(&self) -> usize {
        let page = http::get(WEB.parse().unwrap(), "/metrics", "").unwrap().body;
        let results = page.lines().filter_map(|line| line.strip_prefix(DATAGRAMS)?.split_once("\"} "));
        let (accepted, others): (Vec<_>, Vec<_>) = results.partition(|(result, _)| *result == "accepted");
        assert!(others.iter().all(|(_, number)| *number == "0"), "{page}");
        accepted.iter().map(|(_, number)| number.parse::<usize>().unwrap()).sum()
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
        let records = tlsa.records(self.world, &self.world.mx_hosts.identity(address).unwrap());
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        self.world.set(&format!("_25._tcp.{}", self.host(label)), "TLSA", &records).unwrap();
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
    /// `3 0 1` of itself.
    Certificate,
    /// `2 0 1` of its issuer.
    Issuer,
    /// `2 1 1` of its issuer's key.
    IssuerKey,
    /// `3 1 1` of another key.
    OtherKey,
    /// `2 0 1` of another issuer.
    OtherIssuer,
    /// Two records, of which the second fits.
    OtherKeyOrIssuer,
    /// Usage 1, which says nothing on port 25 (RFC 7672 §3.1.3).
    Unusable,
    /// A matching type that nobody knows.
    OddDigest,
}

impl Tlsa {
    pub fn records(self, world: &World, identity: &Identity) -> Vec<String> {
        let other = "ab".repeat(32);
        let one = |text: String| vec![text];
        match self {
            Self::Key => one(format!("3 1 1 {}", identity.spki_sha256())),
            Self::Certificate => one(format!("3 0 1 {}", identity.certificate_sha256(0).unwrap())),
            Self::Issuer => one(format!("2 0 1 {}", identity.certificate_sha256(1).unwrap())),
            Self::IssuerKey => one(format!("2 1 1 {}", world.ca.intermediate_spki_sha256())),
            Self::OtherKey => one(format!("3 1 1 {other}")),
            Self::OtherIssuer => one(format!("2 0 1 {other}")),
            Self::OtherKeyOrIssuer => {
                [Self::OtherKey, Self::Issuer].iter().flat_map(|tlsa| tlsa.records(world, identity)).collect()
            }
            Self::Unusable => one(format!("1 1 1 {}", identity.spki_sha256())),
            Self::OddDigest => one(format!("3 1 9 {}", identity.spki_sha256())),
        }
    }
}
