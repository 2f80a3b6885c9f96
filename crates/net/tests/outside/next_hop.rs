//! What is asked for a next hop, in which order, and what is made of the answers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mailward_core::PolicyDomain;
use mailward_core::clock::FixedClock;
use mailward_core::delivery::{HostAddresses, HostFacts, HostTlsa, NextHopFacts};
use mailward_lab::{Security, World, WorldOptions};
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};
use mailward_net::next_hop::look_up;

use crate::fake_dns::*;
use crate::validation::unbound;

/// Names below `plain.test` are unsigned, the others secure.
#[derive(Clone, Default)]
struct Names {
    records: HashMap<(String, u16), Vec<Vec<u8>>>,
    broken: Vec<(String, u16)>,
    silent: Vec<(String, u16)>,
}

impl Names {
    /// `NAME TYPE DATA`, one a line; `!NAME TYPE` answers SERVFAIL, `?NAME TYPE` not at all.
    fn read(text: &str) -> Self {
        let mut names = Self::default();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let mut words = line.split(' ');
            let (owner, rtype) = (words.next().unwrap(), words.next().unwrap());
            let rest: Vec<&str> = words.collect();
            let (rtype, data) = match rtype {
                "MX" => (MX, rest.get(1).map(|host| mx(rest[0].parse().unwrap(), host))),
                "A" => (A, Some(vec![192, 0, 2, 1])),
                "AAAA" => (AAAA, Some(vec![0x20; 16])),
                "CNAME" => (CNAME, rest.first().map(|target| wire_name(target))),
                "TLSA" => (TLSA, Some([&[3, 1, 1][..], &[7; 32]].concat())),
                other => panic!("{other}"),
            };
            match (owner.strip_prefix('!'), owner.strip_prefix('?')) {
                (Some(owner), _) => names.broken.push((owner.to_owned(), rtype)),
                (_, Some(owner)) => names.silent.push((owner.to_owned(), rtype)),
                _ => {
                    let set = names.records.entry((owner.to_owned(), rtype)).or_default();
                    set.push(data.unwrap());
                }
            }
        }
        names
    }

    fn answer(&self, q: &Asked) -> Vec<Vec<u8>> {
        let mut reply = Reply::to(q);
        let mut owner = q.name.clone();
        let mut secure = true;
        for _ in 0..5 {
            let key = (owner.clone(), q.rtype);
            if self.silent.contains(&key) {
                return Vec::new();
            }
            if self.broken.contains(&key) {
                return Reply::to(q).rcode(SERVFAIL).once();
            }
            secure &= !owner.ends_with("plain.test");
            let set = self.records.get(&key).cloned().unwrap_or_default();
            for data in &set {
                reply = reply.answer(&owner, q.rtype, 600, data);
            }
            match self.records.get(&(owner.clone(), CNAME)).filter(|_| set.is_empty() && q.rtype != CNAME) {
                None => break,
                Some(alias) => {
                    reply = reply.answer(&owner, CNAME, 300, &alias[0]);
                    owner = text(&alias[0]);
                }
            }
        }
        let reply = reply.soa("test", 120, 120);
        (if secure { reply.secure() } else { reply }).once()
    }
}

fn text(wire: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut rest = wire;
    while let Some((&length, after)) = rest.split_first().filter(|(l, _)| **l > 0) {
        labels.push(String::from_utf8_lossy(&after[..usize::from(length)]).into_owned());
        rest = &after[usize::from(length)..];
    }
    labels.join(".")
}

fn resolver(server: SocketAddr, dnssec: Dnssec) -> Resolver {
    let options = DnsOptions { servers: vec![server], dnssec, timeout: Duration::from_secs(4) };
    Resolver::new(&options, Arc::new(FixedClock("2026-06-01T12:00:00Z".parse().unwrap()))).unwrap()
}

fn domain(text: &str) -> PolicyDomain {
    PolicyDomain::parse(text).unwrap()
}

fn show(facts: &NextHopFacts) -> String {
    let mx = match &facts.mx {
        Ok(answer) => match answer.denial {
            Some(denial) => format!("{:?} {denial:?}", answer.status),
            None => format!("{:?}", answer.status),
        },
        Err(error) => format!("{error}"),
    };
    let hosts: Vec<String> = facts.hosts.iter().map(show_host).collect();
    format!("{mx}: {}", hosts.join("; ")).to_lowercase()
}

fn show_host(facts: &HostFacts) -> String {
    let addresses = match &facts.addresses {
        HostAddresses::Failed(_) => "failed".to_owned(),
        other => format!("{other:?}"),
    };
    let tlsa = match &facts.tlsa {
        HostTlsa::Found { base, records } => format!("{} at {base}", records.len()),
        HostTlsa::Failed(_) => "failed".to_owned(),
        other => format!("{other:?}"),
    };
    format!("{} {addresses}, tlsa {tlsa}, {}", facts.host, facts.ttl)
}

/// The zone, what is made of it, and the questions in order.
async fn check(what: &str, zone: &str, facts: &str, questions: &str) {
    let names = Names::read(zone);
    let server = FakeDns::start(move |q| names.answer(q)).await;
    let seen = look_up(&resolver(server.address, Dnssec::TrustAd), &domain("d.test"), 25).await;
    assert_eq!(show(&seen), facts, "{what}");
    let named = |q: Asked| match q.rtype {
        A => format!("{} a", q.name),
        AAAA => format!("{} aaaa", q.name),
        CNAME => format!("{} cname", q.name),
        MX => format!("{} mx", q.name),
        TLSA => format!("{} tlsa", q.name),
        other => format!("{} {other}", q.name),
    };
    let mut asked: Vec<String> = server.asked().into_iter().filter(|q| !q.cd).map(named).collect();
    if facts.contains("; ") {
        // Several hosts are looked up at once, each in its order.
        asked.sort();
    }
    assert_eq!(asked.join(", "), questions, "{what}");
}

#[tokio::test]
async fn the_decision_table_of_the_rfc() {
    for (what, zone, facts, questions) in [
        (
            "the MX lookup fails: no implicit MX",
            "!d.test MX",
            "the resolver answered servfail: ",
            "d.test mx",
        ),
        ("null MX", "d.test MX 0 .", "secure: ", "d.test mx"),
        (
            "no MX: the domain is the host",
            "d.test A",
            "secure nodata: d.test found(secure), tlsa none(secure), 120",
            "d.test mx, d.test a, _25._tcp.d.test tlsa",
        ),
        (
            "nothing at all",
            "",
            "secure nodata: d.test absent, tlsa notasked, 120",
            "d.test mx, d.test a, d.test aaaa",
        ),
        (
            "the address fails in both families",
            "d.test MX 1 mx.test
             !mx.test A
             !mx.test AAAA",
            "secure: mx.test failed, tlsa notasked, 5",
            "d.test mx, mx.test a, mx.test aaaa",
        ),
        (
            "A fails, AAAA denies: not known to be absent",
            "d.test MX 1 mx.test
             !mx.test A",
            "secure: mx.test failed, tlsa notasked, 5",
            "d.test mx, mx.test a, mx.test aaaa",
        ),
        (
            "A fails, AAAA works",
            "d.test MX 1 mx.test
             !mx.test A
             mx.test AAAA
             _25._tcp.mx.test TLSA",
            "secure: mx.test found(secure), tlsa 1 at mx.test, 600",
            "d.test mx, mx.test a, mx.test aaaa, _25._tcp.mx.test tlsa",
        ),
        (
            "AAAA is broken beside a good A",
            "d.test MX 1 mx.test
             mx.test A
             !mx.test AAAA
             _25._tcp.mx.test TLSA",
            "secure: mx.test found(secure), tlsa 1 at mx.test, 600",
            "d.test mx, mx.test a, _25._tcp.mx.test tlsa",
        ),
        (
            "an unsigned host: its broken TLSA answer is never asked for",
            "d.test MX 1 mx.plain.test
             mx.plain.test A
             !_25._tcp.mx.plain.test TLSA",
            "secure: mx.plain.test found(insecure), tlsa notasked, 600",
            "d.test mx, mx.plain.test a",
        ),
        (
            "no TLSA",
            "d.test MX 1 mx.test
             mx.test A",
            "secure: mx.test found(secure), tlsa none(secure), 120",
            "d.test mx, mx.test a, _25._tcp.mx.test tlsa",
        ),
        (
            "the TLSA answer fails",
            "d.test MX 1 mx.test
             mx.test A
             !_25._tcp.mx.test TLSA",
            "secure: mx.test found(secure), tlsa failed, 5",
            "d.test mx, mx.test a, _25._tcp.mx.test tlsa",
        ),
        (
            "an insecure TLSA answer counts as none",
            "d.test MX 1 mx.test
             mx.test A
             _25._tcp.mx.test CNAME t.plain.test
             t.plain.test TLSA",
            "secure: mx.test found(secure), tlsa none(insecure), 300",
            "d.test mx, mx.test a, _25._tcp.mx.test tlsa",
        ),
        (
            "an alias at the TLSA name changes no base domain",
            "d.test MX 1 mx.test
             mx.test A
             _25._tcp.mx.test CNAME t.test
             t.test TLSA",
            "secure: mx.test found(secure), tlsa 1 at mx.test, 300",
            "d.test mx, mx.test a, _25._tcp.mx.test tlsa",
        ),
        (
            "each host once, best first, one host's failure alone",
            "d.test MX 20 mx.test
             d.test MX 10 b.test
             d.test MX 30 b.test
             d.test MX 40 192.0.2.7
             mx.test A
             b.test A
             !_25._tcp.b.test TLSA
             _25._tcp.mx.test TLSA",
            "secure: b.test found(secure), tlsa failed, 5; mx.test found(secure), tlsa 1 at mx.test, 600",
            "_25._tcp.b.test tlsa, _25._tcp.mx.test tlsa, b.test a, d.test mx, mx.test a",
        ),
    ] {
        check(what, zone, facts, questions).await;
    }
}

#[tokio::test]
async fn aliases_name_the_base_domain() {
    for (what, zone, facts, questions) in [
        (
            "secure throughout: the expanded name first",
            "d.test MX 1 mx.test
             mx.test CNAME m.test
             m.test CNAME h.test
             h.test A
             _25._tcp.h.test TLSA
             _25._tcp.m.test TLSA
             _25._tcp.mx.test TLSA",
            "secure: mx.test found(secure), tlsa 1 at h.test, 300",
            "d.test mx, mx.test a, _25._tcp.h.test tlsa",
        ),
        (
            "then the original name, never one between",
            "d.test MX 1 mx.test
             mx.test CNAME m.test
             m.test CNAME h.test
             h.test A
             _25._tcp.m.test TLSA
             _25._tcp.mx.test TLSA",
            "secure: mx.test found(secure), tlsa 1 at mx.test, 120",
            "d.test mx, mx.test a, _25._tcp.h.test tlsa, _25._tcp.mx.test tlsa",
        ),
        (
            "insecure records at the expanded name are none",
            "d.test MX 1 mx.test
             mx.test CNAME h.test
             h.test A
             _25._tcp.h.test CNAME t.plain.test
             t.plain.test TLSA
             _25._tcp.mx.test TLSA",
            "secure: mx.test found(secure), tlsa 1 at mx.test, 300",
            "d.test mx, mx.test a, _25._tcp.h.test tlsa, _25._tcp.mx.test tlsa",
        ),
        (
            "an error at the first candidate ends the search",
            "d.test MX 1 mx.test
             mx.test CNAME h.test
             h.test A
             !_25._tcp.h.test TLSA
             _25._tcp.mx.test TLSA",
            "secure: mx.test found(secure), tlsa failed, 5",
            "d.test mx, mx.test a, _25._tcp.h.test tlsa",
        ),
        (
            "a secure alias into an unsigned zone: the original name",
            "d.test MX 1 mx.test
             mx.test CNAME h.plain.test
             h.plain.test A
             _25._tcp.mx.test TLSA",
            "secure: mx.test found(insecure), tlsa 1 at mx.test, 300",
            "d.test mx, mx.test a, mx.test cname, _25._tcp.mx.test tlsa",
        ),
        (
            "an insecure alias into a signed zone: none",
            "d.test MX 1 mx.plain.test
             mx.plain.test CNAME h.test
             h.test A
             _25._tcp.h.test TLSA",
            "secure: mx.plain.test found(insecure), tlsa notasked, 300",
            "d.test mx, mx.plain.test a, mx.plain.test cname",
        ),
        (
            "whether the alias is secure cannot be found out",
            "d.test MX 1 mx.test
             mx.test CNAME h.plain.test
             h.plain.test A
             !mx.test CNAME",
            "secure: mx.test found(insecure), tlsa failed, 5",
            "d.test mx, mx.test a, mx.test cname",
        ),
        (
            "half-DANE: an insecure MX answer, a secure host",
            "d.test CNAME d.plain.test
             d.plain.test MX 1 mx.test
             mx.test A
             _25._tcp.mx.test TLSA",
            "insecure: mx.test found(secure), tlsa 1 at mx.test, 600",
            "d.test mx, mx.test a, _25._tcp.mx.test tlsa",
        ),
    ] {
        check(what, zone, facts, questions).await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_holds_nobody_up() {
    let names = Names::read(
        "d.test MX 1 mx.test
         ?mx.test A
         mx.test AAAA
         _25._tcp.mx.test TLSA",
    );
    let server = FakeDns::start(move |q| names.answer(q)).await;
    let begun = tokio::time::Instant::now();
    let facts = look_up(&resolver(server.address, Dnssec::TrustAd), &domain("d.test"), 25).await;
    assert_eq!(show(&facts), "secure: mx.test found(secure), tlsa 1 at mx.test, 600");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn without_dnssec_only_the_mx_is_asked() {
    let names = Names::read("d.test MX 1 mx.test");
    let server = FakeDns::start(move |q| names.answer(q)).await;
    let facts = look_up(&resolver(server.address, Dnssec::Off), &domain("d.test"), 25).await;
    assert_eq!(show(&facts), format!("insecure: mx.test notasked, tlsa notasked, {}", u32::MAX));
    assert_eq!(facts.ttl(), Some(600));
    assert_eq!(server.log(), ["d.test 15"]);
}

#[tokio::test]
async fn the_port_stands_in_the_name_and_twenty_hosts_are_enough() {
    let mut zone: String = (0..30).map(|n| format!("d.test MX {n} mx{n}.test\nmx{n}.test A\n")).collect();
    zone.push_str("_2525._tcp.mx0.test TLSA\n");
    let names = Names::read(&zone);
    let server = FakeDns::start(move |q| names.answer(q)).await;
    let facts = look_up(&resolver(server.address, Dnssec::TrustAd), &domain("d.test"), 2525).await;
    assert_eq!(facts.hosts.len(), 20);
    assert!(matches!(facts.hosts[0].tlsa, HostTlsa::Found { .. }));
    assert_eq!(server.log().len(), 41, "MX, and two for each host");
}

/// Real signatures: the lab's own server, and unbound where it is installed.
#[tokio::test]
async fn signed_unsigned_and_bogus_zones() {
    let world = World::start(&WorldOptions::default()).unwrap();
    for (apex, security) in [
        ("good.test", Security::Signed),
        ("plain.test", Security::Unsigned),
        ("broken.test", Security::Bogus),
    ] {
        world.zone(apex, security).unwrap();
        world.set(&format!("mx.{apex}"), "A", &["192.0.2.1"]).unwrap();
        world.set(&format!("_25._tcp.mx.{apex}"), "TLSA", &[&format!("3 1 1 {}", "ab".repeat(32))]).unwrap();
        world.set(apex, "MX", &[&format!("10 mx.{apex}.")]).unwrap();
    }
    world.set("out.good.test", "CNAME", &["mx.plain.test."]).unwrap();
    world.set("_25._tcp.out.good.test", "TLSA", &[&format!("3 1 1 {}", "cd".repeat(32))]).unwrap();
    world.set("in.plain.test", "CNAME", &["mx.good.test."]).unwrap();
    for (domain, host) in [
        ("away.good.test", "mx.plain.test"),
        ("out.away.good.test", "out.good.test"),
        ("in.away.good.test", "in.plain.test"),
        ("bogus.away.good.test", "mx.broken.test"),
        ("half.plain.test", "mx.good.test"),
    ] {
        world.set(domain, "MX", &[&format!("10 {host}.")]).unwrap();
    }
    let rows = [
        ("good.test", "secure: mx.good.test found(secure), tlsa 1 at mx.good.test"),
        ("plain.test", "insecure: mx.plain.test found(insecure), tlsa notasked"),
        ("broken.test", "dnssec validation fails"),
        ("away.good.test", "secure: mx.plain.test found(insecure), tlsa notasked"),
        ("out.away.good.test", "secure: out.good.test found(insecure), tlsa 1 at out.good.test"),
        ("in.away.good.test", "secure: in.plain.test found(insecure), tlsa notasked"),
        ("bogus.away.good.test", "secure: mx.broken.test failed, tlsa notasked"),
        ("half.plain.test", "insecure: mx.good.test found(secure), tlsa 1 at mx.good.test"),
    ];
    let unbound = unbound(&world).await;
    let servers = [Some(world.resolver), unbound.as_ref().map(|(_, address)| *address)];
    for server in servers.into_iter().flatten() {
        let resolver = resolver(server, Dnssec::TrustAd);
        for (name, expected) in rows {
            let seen = show(&look_up(&resolver, &domain(name), 25).await);
            assert!(seen.starts_with(expected), "{name} by {server}: {seen}");
        }
    }
}
