//! DNSSEC for real: a signed world, a real unbound over it, and our own validation over that unbound.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mailward_core::DomainName;
use mailward_core::dns::{Answer, Denial, DnsError, DnsResult, DnssecStatus};
use mailward_lab::{Fault, Security, World, WorldOptions};
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};

use crate::fake_dns::{Asked, FakeDns, Reply, TXT, txt};

fn world() -> World {
    let world = World::start(&WorldOptions::default()).unwrap();
    for (apex, security) in [
        ("good.test", Security::Signed),
        ("plain.test", Security::Unsigned),
        ("broken.test", Security::Bogus),
        ("over.test", Security::Expired),
        ("wrongds.test", Security::WrongDs),
    ] {
        world.zone(apex, security).unwrap();
        world.set(&format!("t.{apex}"), "TXT", &["v=STSv1; id=1;"]).unwrap();
        world.set(&format!("*.wild.{apex}"), "TXT", &["any"]).unwrap();
    }
    world.set("inner.good.test", "CNAME", &["t.good.test."]).unwrap();
    world.set("alias.good.test", "CNAME", &["t.plain.test."]).unwrap();
    world.set("back.plain.test", "CNAME", &["t.good.test."]).unwrap();
    world.set("nowhere.good.test", "CNAME", &["absent.good.test."]).unwrap();
    world.set("broken.good.test", "CNAME", &["t.broken.test."]).unwrap();
    world.dns.fault("down.good.test", None, Some(Fault::ServFail)).unwrap();
    let long: Vec<String> = (0..80).map(|n| format!("3 1 1 {}", format!("{n:02x}").repeat(32))).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    world.set("_25._tcp.many.good.test", "TLSA", &long).unwrap();
    world
}

fn resolver(world: &World, server: SocketAddr, dnssec: Dnssec) -> Resolver {
    let options = DnsOptions { servers: vec![server], dnssec, timeout: Duration::from_secs(4) };
    Resolver::new(&options, world.clock.clone()).unwrap()
}

pub struct Unbound(Child);

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts unbound and waits until it answers. `None` where it is not installed.
pub async fn unbound(world: &World) -> Option<(Unbound, SocketAddr)> {
    let program =
        ["/usr/sbin/unbound", "/usr/bin/unbound"].map(PathBuf::from).into_iter().find(|p| p.exists());
    let Some(program) = program else {
        assert!(std::env::var_os("CI").is_none(), "unbound is not installed");
        println!("skipped: unbound is not installed");
        return None;
    };
    let listen = SocketAddr::from((world.address(), 20_153));
    let conf = world.directory.join("net-unbound.conf");
    std::fs::write(&conf, world.unbound_conf(listen)).unwrap();
    let mut command = Command::new(program);
    command.arg("-d").arg("-c").arg(&conf).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = Unbound(command.spawn().unwrap());
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..500 {
        assert!(child.0.try_wait().unwrap().is_none(), "unbound ended");
        if tokio::net::TcpStream::connect(listen).await.is_ok() {
            return Some((child, listen));
        }
        pace.tick().await;
    }
    panic!("unbound does not listen");
}

/// What is expected of a TXT question.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    Records(DnssecStatus),
    No(DnssecStatus, Denial),
    Bogus,
    Outage,
}

use DnssecStatus::{Insecure, Secure};
use Expected::{Bogus, No, Outage, Records};

const ROWS: &[(&str, Expected)] = &[
    ("t.good.test", Records(Secure)),
    ("inner.good.test", Records(Secure)),
    ("x.wild.good.test", Records(Secure)),
    ("good.test", No(Secure, Denial::NoData)),
    ("absent.good.test", No(Secure, Denial::NxDomain)),
    ("nowhere.good.test", No(Secure, Denial::NxDomain)),
    ("zzz.test", No(Secure, Denial::NxDomain)),
    ("t.plain.test", Records(Insecure)),
    ("alias.good.test", Records(Insecure)),
    ("back.plain.test", Records(Insecure)),
    ("plain.test", No(Insecure, Denial::NoData)),
    ("absent.plain.test", No(Insecure, Denial::NxDomain)),
    ("t.broken.test", Bogus),
    ("absent.broken.test", Bogus),
    ("broken.good.test", Bogus),
    ("t.over.test", Bogus),
    ("t.wrongds.test", Bogus),
    ("down.good.test", Outage),
];

fn seen<T>(result: &DnsResult<T>) -> Expected {
    match result {
        Ok(Answer { status, denial: None, .. }) => Records(*status),
        Ok(Answer { status, denial: Some(denial), .. }) => No(*status, *denial),
        Err(DnsError::Bogus(_)) => Bogus,
        Err(_) => Outage,
    }
}

async fn check(resolver: &Resolver, what: &str) {
    for (text, expected) in ROWS {
        let result = resolver.txt(&DomainName::parse(text).unwrap()).await;
        assert_eq!(seen(&result), *expected, "{what}, {text}: {result:?}");
    }
    let many = resolver.tlsa(&DomainName::parse("_25._tcp.many.good.test").unwrap()).await.unwrap();
    assert_eq!((many.records.len(), many.status), (80, Secure), "{what}, over TCP");
    assert_eq!(resolver.self_test().await, Ok(Secure), "{what}");
}

#[tokio::test]
async fn the_ad_bit_of_a_validating_server_is_right() {
    let world = world();
    check(&resolver(&world, world.resolver, Dnssec::TrustAd), "the lab's own server").await;
    let Some((_unbound, server)) = unbound(&world).await else { return };
    let resolver = resolver(&world, server, Dnssec::TrustAd);
    check(&resolver, "unbound").await;
    let error = resolver.txt(&DomainName::parse("t.over.test").unwrap()).await.unwrap_err();
    // Whether the cause stays in unbound's cache is its affair; when it is told, it is kept.
    assert!(matches!(error, DnsError::Bogus(_)), "{error:?}");
}

#[tokio::test]
async fn our_own_validation_agrees_with_unbound() {
    let world = world();
    let Some((_unbound, server)) = unbound(&world).await else { return };
    let anchor = Some(world.trust_anchor.clone());
    check(&resolver(&world, server, Dnssec::Validate(anchor)), "in process").await;
    // From another root nothing is secure, and nothing is believed.
    let strange = resolver(&world, server, Dnssec::Validate(None));
    let result = strange.txt(&DomainName::parse("t.good.test").unwrap()).await;
    assert!(matches!(result, Err(DnsError::Bogus(_))), "{result:?}");
}

#[tokio::test]
async fn an_outage_of_keys_is_not_bogus_data() {
    let world = world();
    world.dns.fault("good.test", Some("DNSKEY"), Some(Fault::ServFail)).unwrap();
    let resolver = resolver(&world, world.resolver, Dnssec::Validate(Some(world.trust_anchor.clone())));
    let error = resolver.txt(&DomainName::parse("t.good.test").unwrap()).await.unwrap_err();
    assert!(
        matches!(&error, DnsError::ServerFailure(Some(why)) if why.contains("DNSKEY") && why.contains("SERVFAIL")),
        "{error:?}"
    );
    // Another zone is none the worse.
    let other = resolver.txt(&DomainName::parse("t.broken.test").unwrap()).await;
    assert!(matches!(other, Err(DnsError::Bogus(_))), "{other:?}");
}

/// The library lacks Ed25519 and calls such a zone insecure. To believe that would switch DANE off for it
/// without a word.
#[tokio::test]
async fn an_algorithm_that_we_lack_is_no_proof_of_insecurity() {
    let world = world();
    // A secure delegation to a zone of algorithm 15, whose answers nobody can check here.
    let ds = format!("4711 15 2 {}", "ab".repeat(32));
    world.set("ed.test", "DS", &[&ds]).unwrap();
    let upstream = world.resolver;
    let front = FakeDns::start(move |q| match q.name.as_str() {
        "t.ed.test" if q.rtype == TXT => Reply::to(q).answer("t.ed.test", TXT, 60, &txt(b"x")).once(),
        _ => vec![pass_on(q, upstream)],
    })
    .await;
    let resolver = resolver(&world, front.address, Dnssec::Validate(Some(world.trust_anchor.clone())));
    let answer = resolver.txt(&DomainName::parse("t.ed.test").unwrap()).await.unwrap();
    assert_eq!(answer.status, DnssecStatus::Indeterminate);
    let answer = resolver.txt(&DomainName::parse("t.plain.test").unwrap()).await.unwrap();
    assert_eq!(answer.status, Insecure, "a proof of no DS is one");
}

/// Asks another server the same question, with DO and CD.
fn pass_on(asked: &Asked, server: SocketAddr) -> Vec<u8> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut message = [&asked.id[..], &[1, 0x30, 0, 1, 0, 0, 0, 0, 0, 1], &asked.question].concat();
    message.extend([0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
    socket.send_to(&message, server).unwrap();
    let mut answer = vec![0; 4096];
    let length = socket.recv(&mut answer).unwrap();
    answer.truncate(length);
    answer
}

#[tokio::test]
async fn a_resolver_needs_servers_and_a_readable_anchor() {
    let clock = Arc::new(mailward_core::clock::FixedClock(jiff::Timestamp::UNIX_EPOCH));
    let options = |path: &str| DnsOptions {
        servers: vec!["127.0.0.1:9".parse().unwrap()],
        dnssec: Dnssec::Validate(Some(path.into())),
        timeout: Duration::from_secs(1),
    };
    let error = Resolver::new(&options("/nowhere/anchor.key"), clock.clone()).err().unwrap().to_string();
    assert!(error.contains("/nowhere/anchor.key"), "{error}");
    let error = Resolver::new(&options("/dev/null"), clock).err().unwrap().to_string();
    assert!(error.contains("no DS or DNSKEY record"), "{error}");
}
