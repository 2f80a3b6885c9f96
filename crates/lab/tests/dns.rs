//! The DNS of the lab: seen by a stub, and by a real unbound that validates from the world's anchor.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use mailward_lab::dns::ask::{Data, Flags, Reply, ask};
use mailward_lab::{Fault, Poison, Security, World, WorldOptions};

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

fn world() -> World {
    let world = World::start(&WorldOptions::default()).unwrap();
    for (apex, security) in [
        ("good.test", Security::Signed),
        ("plain.test", Security::Unsigned),
        ("broken.test", Security::Bogus),
        ("over.test", Security::Expired),
        ("wrongds.test", Security::WrongDs),
        ("deep.good.test", Security::Signed),
    ] {
        world.zone(apex, security).unwrap();
        world.set(apex, "MX", &[&format!("10 mx.{apex}."), &format!("20 mx2.{apex}.")]).unwrap();
        world.set(&format!("mx.{apex}"), "A", &["127.0.0.9"]).unwrap();
        world.set(&format!("_25._tcp.mx.{apex}"), "TLSA", &["3 1 1 aa"]).unwrap();
        world.set(&format!("*.wild.{apex}"), "TXT", &["any"]).unwrap();
    }
    world.set("alias.good.test", "CNAME", &["mx.plain.test."]).unwrap();
    world.set("inner.good.test", "CNAME", &["mx.good.test."]).unwrap();
    world.set("nowhere.good.test", "CNAME", &["absent.good.test."]).unwrap();
    world.set("loop.good.test", "CNAME", &["loop.good.test."]).unwrap();
    let long: Vec<String> = (0..80).map(|n| format!("3 1 1 {}", format!("{n:02x}").repeat(32))).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    world.set("_25._tcp.many.good.test", "TLSA", &long).unwrap();
    world
}

/// Name, type, response code, AD, records in the answer.
const ROWS: [(&str, &str, u8, bool, usize); 24] = [
    (".", "DNSKEY", NOERROR, true, 1),
    ("good.test", "MX", NOERROR, true, 2),
    ("GOOD.Test", "MX", NOERROR, true, 2),
    ("deep.good.test", "MX", NOERROR, true, 2),
    ("mx.good.test", "A", NOERROR, true, 1),
    ("mx.good.test", "AAAA", NOERROR, true, 0),
    ("_tcp.mx.good.test", "TXT", NOERROR, true, 0),
    ("absent.good.test", "A", NXDOMAIN, true, 0),
    ("zzz.test", "A", NXDOMAIN, true, 0),
    ("x.wild.good.test", "TXT", NOERROR, true, 1),
    ("x.wild.good.test", "A", NOERROR, true, 0),
    ("_25._tcp.many.good.test", "TLSA", NOERROR, true, 80),
    ("good.test", "DS", NOERROR, true, 1),
    ("inner.good.test", "A", NOERROR, true, 2),
    ("alias.good.test", "A", NOERROR, false, 2),
    ("nowhere.good.test", "A", NXDOMAIN, true, 1),
    ("plain.test", "MX", NOERROR, false, 2),
    ("mx.plain.test", "AAAA", NOERROR, false, 0),
    ("absent.plain.test", "A", NXDOMAIN, false, 0),
    ("plain.test", "DS", NOERROR, true, 0),
    ("broken.test", "MX", SERVFAIL, false, 0),
    ("absent.broken.test", "A", SERVFAIL, false, 0),
    ("over.test", "MX", SERVFAIL, false, 0),
    ("wrongds.test", "MX", SERVFAIL, false, 0),
];

fn check(rows: &[(&str, &str, u8, bool, usize)], answers: &[Reply]) {
    for ((name, rtype, rcode, authentic, records), reply) in rows.iter().zip(answers) {
        let seen = (reply.rcode, reply.authentic, reply.answer.len());
        assert_eq!(seen, (*rcode, *authentic, *records), "{name} {rtype}: {reply:?}");
    }
}

async fn ask_all(server: SocketAddr) -> Vec<Reply> {
    let mut replies = Vec::new();
    for (name, rtype, ..) in ROWS {
        let flags = Flags { dnssec_ok: true, checking_disabled: false };
        replies.push(ask(server, name, rtype, flags).await.unwrap_or_else(|e| panic!("{name} {rtype}: {e}")));
    }
    replies
}

#[tokio::test]
async fn a_stub_sees_a_validating_resolver() {
    let world = world();
    check(&ROWS, &ask_all(world.resolver).await);
}

#[tokio::test]
async fn checking_disabled_shows_what_is_bogus() {
    let world = world();
    let flags = Flags { dnssec_ok: true, checking_disabled: true };
    for name in ["broken.test", "over.test", "wrongds.test"] {
        let reply = ask(world.resolver, name, "MX", flags).await.unwrap();
        assert_eq!((reply.rcode, reply.authentic, reply.answer.len()), (NOERROR, false, 2), "{name}");
    }
}

#[tokio::test]
async fn faults_and_mending() {
    let world = world();
    let look = |name: &'static str| ask(world.resolver, name, "A", Flags::default());
    for (fault, rcode) in [(Fault::ServFail, SERVFAIL), (Fault::Refused, 5), (Fault::Bogus, SERVFAIL)] {
        world.dns.fault("mx.good.test", Some("A"), Some(fault)).unwrap();
        assert_eq!(look("mx.good.test").await.unwrap().rcode, rcode, "{fault:?}");
    }
    let bare = Flags { dnssec_ok: false, checking_disabled: true };
    assert_eq!(ask(world.resolver, "mx.good.test", "A", bare).await.unwrap().answer.len(), 1);
    world.dns.fault("mx.good.test", Some("A"), Some(Fault::Garbage)).unwrap();
    assert!(look("mx.good.test").await.is_err());
    world.dns.fault("mx.good.test", Some("A"), None).unwrap();
    assert_eq!(look("mx.good.test").await.unwrap().answer.len(), 1);
    assert_eq!(look("loop.good.test").await.unwrap().rcode, SERVFAIL);
}

#[tokio::test]
async fn records_change_while_it_runs() {
    let world = world();
    let texts = || async {
        let reply = ask(world.resolver, "_mta-sts.good.test", "TXT", Flags::default()).await.unwrap();
        (reply.rcode, reply.texts())
    };
    assert_eq!(texts().await, (NXDOMAIN, vec![]));
    world.announce("good.test", "1").unwrap();
    assert_eq!(texts().await, (NOERROR, vec!["v=STSv1; id=1;".to_owned()]));
    world.announce("good.test", "2").unwrap();
    assert_eq!(texts().await, (NOERROR, vec!["v=STSv1; id=2;".to_owned()]));
    world.dns.remove("_mta-sts.good.test", "TXT").unwrap();
    assert_eq!(texts().await, (NXDOMAIN, vec![]));
    assert_eq!(world.dns.questions(), 4);
}

#[tokio::test]
async fn without_dnssec_ok_there_are_no_signatures() {
    let world = world();
    for (dnssec_ok, some) in [(false, false), (true, true)] {
        let flags = Flags { dnssec_ok, checking_disabled: false };
        let reply = ask(world.resolver, "absent.good.test", "A", flags).await.unwrap();
        assert_eq!((reply.signatures > 0, reply.denials > 0), (some, some), "DO {dnssec_ok}");
    }
}

#[tokio::test]
async fn a_poisoned_resolver_forges_only_what_it_was_told() {
    let world = world();
    let poison = Poison::default();
    poison.set("good.test", "MX", &["5 mx.evil.test."]).unwrap();
    let server = world.poisoned_resolver(poison).unwrap();
    let forged = ask(server, "good.test", "MX", Flags::default()).await.unwrap();
    assert_eq!(forged.answer.len(), 1);
    assert!(matches!(&forged.answer[0].1, Data::Mx(5, host) if host.to_string() == "mx.evil.test"));
    assert!(!forged.authentic);
    assert_eq!(ask(server, "mx.good.test", "A", Flags::default()).await.unwrap().answer.len(), 1);
}

struct Unbound(Child);

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts unbound and waits until it answers. `None` where it is not installed.
async fn unbound(world: &World) -> Option<(Unbound, SocketAddr)> {
    let program =
        ["/usr/sbin/unbound", "/usr/bin/unbound"].into_iter().find(|p| std::path::Path::new(p).exists());
    let Some(program) = program else {
        assert!(std::env::var_os("CI").is_none(), "unbound is not installed");
        println!("skipped: unbound is not installed");
        return None;
    };
    let listen = SocketAddr::from((world.address(), 20_153));
    let conf = world.directory.join("unbound.conf");
    std::fs::write(&conf, world.unbound_conf(listen)).unwrap();
    let log = std::fs::File::create(world.directory.join("unbound.log")).unwrap();
    let mut command = Command::new(program);
    command.arg("-d").arg("-c").arg(&conf).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = Unbound(command.spawn().unwrap());
    for _ in 0..300 {
        if let Ok(Some(status)) = child.0.try_wait() {
            let log = std::fs::read_to_string(world.directory.join("unbound.log")).unwrap_or_default();
            panic!("unbound ended with {status}: {log}");
        }
        if tokio::net::TcpStream::connect(listen).await.is_ok() {
            return Some((child, listen));
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("unbound does not listen");
}

/// Unbound does the validation itself here: our signatures, denials and cuts must convince it.
#[tokio::test]
async fn unbound_agrees() {
    let world = world();
    let Some((_unbound, server)) = unbound(&world).await else { return };
    check(&ROWS, &ask_all(server).await);
}
