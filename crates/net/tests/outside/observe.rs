//! Whole looks at domains: in the lab's world, and against a scripted DNS that counts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mailward_core::PolicyDomain;
use mailward_core::dns::{Denial, DnsError, DnssecStatus};
use mailward_core::facts::{FetchCause, ProbeOutcome};
use mailward_lab::{Answer, Behaviour, CertificateKind, Security, World, WorldOptions};
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};
use mailward_net::observe::{Depth, observe};
use mailward_net::smtp::ProbeTimeouts;
use mailward_net::tls::Roots;
use mailward_net::{Outside, OutsideOptions};

use crate::fake_dns::*;
use crate::fake_https::{End, FakeHttps, Serve};
use crate::fake_smtp::{FakeSmtp, usual};
use crate::world::{Authority, Way};

fn domain(text: &str) -> PolicyDomain {
    PolicyDomain::parse(text).unwrap()
}

fn into(world: &World) -> Outside {
    let dns = DnsOptions {
        servers: vec![world.resolver],
        dnssec: Dnssec::TrustAd,
        timeout: Duration::from_secs(4),
    };
    let options = OutsideOptions {
        helo: "probe.test".into(),
        smtp_port: world.smtp_port,
        https_port: world.https_port,
        allow_private_addresses: true,
        fetch_timeout: Duration::from_secs(4),
        probe: ProbeTimeouts { greeting: Duration::from_secs(1), ..ProbeTimeouts::default() },
    };
    Outside {
        resolver: Resolver::new(&dns, world.clock.clone()).unwrap(),
        roots: Arc::new(Roots::load(std::slice::from_ref(&world.root_pem)).unwrap()),
        options: Arc::new(options),
        clock: world.clock.clone(),
    }
}

#[tokio::test]
async fn a_domain_in_order_is_seen_whole() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let mx = world.good_domain("shop.test").unwrap();
    let outside = into(&world);
    let before = world.dns.questions();
    let facts = observe(&outside, &domain("shop.test"), Depth::Full).await;
    assert!(world.dns.questions() - before <= 10, "{} questions", world.dns.questions() - before);

    assert_eq!(facts.sts_record.as_ref().unwrap().records[0].text(), "v=STSv1; id=20261101T000000;");
    assert!(facts.tlsrpt_record.as_ref().unwrap().records[0].text().starts_with("v=TLSRPTv1;"));
    assert_eq!(facts.mx.as_ref().unwrap().status, DnssecStatus::Secure);
    let policy = facts.policy_host.fetch.as_ref().unwrap().as_ref().unwrap();
    assert!(policy.body.starts_with(b"version: STSv1\n"));
    assert!(facts.policy_host.by_address.is_empty(), "one address only");
    let [host] = facts.hosts.as_slice() else { panic!("{:?}", facts.hosts) };
    assert_eq!((host.host.as_str(), host.preference), ("mx1.shop.test", 10));
    assert_eq!(host.ipv4.as_ref().unwrap().records, [IpAddr::V4(mx)]);
    assert_eq!(host.ipv6.as_ref().unwrap().denial, Some(Denial::NoData));
    assert_eq!(host.tlsa.as_ref().unwrap().status, DnssecStatus::Secure);
    let [probe] = host.probes.as_slice() else { panic!("{:?}", host.probes) };
    assert!(
        matches!(&probe.outcome, ProbeOutcome::Tls(t) if t.web_pki.is_empty() && t.chain.len() > 1),
        "{probe:?}"
    );
}

#[tokio::test]
async fn every_trouble_stays_in_its_place() {
    let world = World::start(&WorldOptions::default()).unwrap();
    world.zone("sad.test", Security::Unsigned).unwrap();
    for (host, behaviour) in [
        ("a.sad.test", Behaviour::NoStarttls),
        ("b.sad.test", Behaviour::Injection("250 x\r\n".into())),
        ("d.sad.test", Behaviour::DropAtHandshake),
        ("e.sad.test", Behaviour::Greeting("554 no".into())),
        ("f.sad.test", Behaviour::Ehlo("502 no".into())),
        ("g.sad.test", Behaviour::Silent),
        ("h.sad.test", Behaviour::Drip),
        ("i.sad.test", Behaviour::EndlessReply),
        ("j.sad.test", Behaviour::StarttlsReply("454 later".into())),
        ("k.sad.test", Behaviour::Tls12),
    ] {
        world.mx(host, behaviour, CertificateKind::Expired).unwrap();
        world.dns.add("sad.test", "MX", &format!("10 {host}.")).unwrap();
    }
    world.dns.add("sad.test", "MX", "90 nowhere.sad.test.").unwrap();
    world.policy("sad.test", "", Answer::Status(404), CertificateKind::Good).unwrap();
    let begun = tokio::time::Instant::now();
    let facts = observe(&into(&world), &domain("sad.test"), Depth::Full).await;
    assert!(begun.elapsed() < Duration::from_secs(8));

    assert!(facts.sts_record.as_ref().unwrap().is_absent());
    // Fetched although nothing announces it.
    let fetch = facts.policy_host.fetch.as_ref().unwrap().as_ref().unwrap_err();
    assert_eq!(fetch.cause, FetchCause::Status(404));
    let outcomes: Vec<String> = facts
        .hosts
        .iter()
        .flat_map(|h| h.probes.iter().map(move |p| (h, p)))
        .map(|(host, probe)| {
            let what = match &probe.outcome {
                ProbeOutcome::Tls(t) => format!("{} {}", t.version, t.web_pki[0].reason_code()),
                // What else the lab's server can do is the lab's affair.
                ProbeOutcome::NoStartTls(_) => "no STARTTLS".into(),
                ProbeOutcome::Handshake(failure) => failure.reason.clone(),
                ProbeOutcome::Protocol(what) => what.clone(),
                other => format!("{other:?}"),
            };
            format!("{}: {what}", host.host.as_str().split('.').next().unwrap())
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            "a: no STARTTLS",
            "b: StartTlsInjection",
            "d: tls-eof",
            "e: Greeting(\"554 no\")",
            "f: Ehlo(\"502 no\")",
            "g: Timeout(\"greeting\")",
            "h: Timeout(\"greeting\")",
            "i: a reply of more than 128 lines (ehlo)",
            "j: StartTlsRefused(\"454 later\")",
            "k: 1.2 expired",
        ]
    );
    let last = facts.hosts.last().unwrap();
    assert_eq!((last.host.as_str(), last.probes.len()), ("nowhere.sad.test", 0));
    assert_eq!(last.ipv4.as_ref().unwrap().denial, Some(Denial::NxDomain));
}

/// Answers by name and type; everything else does not exist.
fn zone(records: Vec<(&'static str, u16, Vec<u8>)>) -> impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync {
    move |q| {
        let mut reply = Reply::to(q);
        let mut known = false;
        for (owner, rtype, data) in records.iter().filter(|(owner, ..)| *owner == q.name) {
            known = true;
            if *rtype == q.rtype {
                reply = reply.answer(owner, *rtype, 60, data);
            }
        }
        let reply = if known { reply } else { reply.rcode(NXDOMAIN) };
        reply.soa("test", 60, 60).once()
    }
}

#[tokio::test]
async fn eight_questions_for_one_mx_and_none_for_nothing() {
    let good = zone(vec![("d.test", MX, mx(10, "mx.d.test")), ("mx.d.test", A, vec![127, 0, 0, 1])]);
    let server = FakeDns::start(good).await;
    let outside = Way::to(&Authority::new()).dns(server.address).open();
    let facts = observe(&outside, &domain("d.test"), Depth::WithoutSmtp).await;
    let mut log = server.log();
    log.sort();
    assert_eq!(
        log,
        [
            "_25._tcp.mx.d.test 52",
            "_mta-sts.d.test 16",
            "_smtp._tls.d.test 16",
            "d.test 15",
            "mta-sts.d.test 1",
            "mta-sts.d.test 28",
            "mx.d.test 1",
            "mx.d.test 28",
        ]
    );
    assert!(facts.policy_host.fetch.is_none() && facts.hosts[0].probes.is_empty());
    assert_eq!(facts.policy_host.addresses.unwrap().denial, Some(Denial::NxDomain));
}

#[tokio::test]
async fn no_mx_null_mx_and_broken_mx() {
    let server =
        FakeDns::start(zone(vec![("bare.test", A, vec![127, 0, 0, 1]), ("null.test", MX, mx(0, ""))])).await;
    let outside = Way::to(&Authority::new()).dns(server.address).open();
    let facts = observe(&outside, &domain("bare.test"), Depth::WithoutSmtp).await;
    assert_eq!(
        (facts.hosts.len(), facts.hosts[0].host.as_str(), facts.hosts[0].preference),
        (1, "bare.test", 0)
    );
    assert!(server.log().contains(&"_25._tcp.bare.test 52".into()));
    let facts = observe(&outside, &domain("null.test"), Depth::Full).await;
    assert_eq!(facts.mx.unwrap().records[0].exchange, Err(".".into()));
    assert!(facts.hosts.is_empty());

    let server = FakeDns::start(|q| Reply::to(q).rcode(SERVFAIL).once()).await;
    let outside = Way::to(&Authority::new()).dns(server.address).open();
    let facts = observe(&outside, &domain("down.test"), Depth::Full).await;
    assert_eq!(facts.mx, Err(DnsError::ServerFailure(None)));
    assert_eq!(facts.policy_host.addresses, Err(DnsError::ServerFailure(None)));
    assert!(facts.hosts.is_empty() && facts.policy_host.fetch.is_none(), "no implicit MX on an error");

    // No room for the labels in front.
    let label = "a".repeat(61);
    let long = format!("{label}.{label}.{label}.{label}.test");
    let facts = observe(&outside, &domain(&long), Depth::WithoutSmtp).await;
    assert!(matches!(facts.sts_record, Err(DnsError::Malformed(_))));
}

#[tokio::test]
async fn many_hosts_and_addresses_are_cut() {
    let mut records = Vec::new();
    for n in 0..100u16 {
        records.push(("d.test", MX, mx(n, &format!("mx{n}.d.test"))));
    }
    for n in 1..=100 {
        records.push(("mx0.d.test", A, vec![127, 0, 0, n]));
        records.push(("mta-sts.d.test", A, vec![127, 0, 0, n]));
    }
    let answers = zone(records);
    let server = FakeDns::start(move |q| {
        // Too long for a datagram.
        let long = q.rtype == MX || q.name == "mx0.d.test" || q.name == "mta-sts.d.test";
        if long && !q.tcp { Reply::to(q).truncated().once() } else { answers(q) }
    })
    .await;
    let outside = Way::to(&Authority::new()).dns(server.address).open();
    let facts = observe(&outside, &domain("d.test"), Depth::Full).await;
    assert_eq!(facts.mx.unwrap().records.len(), 100);
    assert_eq!(facts.hosts.len(), 20);
    assert_eq!(facts.hosts[0].ipv4.as_ref().unwrap().records.len(), 100);
    assert_eq!(facts.hosts[0].probes.len(), 5);
    assert_eq!(facts.policy_host.by_address.len(), 5);
}

#[tokio::test]
async fn each_address_of_a_policy_host_and_of_an_mx_is_asked() {
    let authority = Authority::new();
    let policy = |text: &str| {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", text.len());
        Serve::Http([head.as_bytes(), text.as_bytes()].concat(), End::Never)
    };
    let tls = authority.issue(&["mta-sts.d.test"]).server(&[]);
    let one = FakeHttps::start(tls.clone(), policy("old")).await;
    let port = one.address.port();
    let at = |last: u8, port: u16| SocketAddr::from(([127, 0, 0, last], port));
    let two = FakeHttps::start_at(at(2, port), tls.clone(), policy("new")).await;
    let mail = FakeSmtp::start(usual(authority.issue(&["mx.d.test"]).server(&[]))).await;
    let server = FakeDns::start(zone(vec![
        ("mta-sts.d.test", A, vec![127, 0, 0, 1]),
        ("mta-sts.d.test", A, vec![127, 0, 0, 2]),
        ("mta-sts.d.test", A, vec![127, 0, 0, 3]),
        ("d.test", MX, mx(10, "mx.d.test")),
        ("mx.d.test", A, vec![127, 0, 0, 1]),
        ("mx.d.test", A, vec![127, 0, 0, 9]),
    ]))
    .await;
    let outside = Way::to(&authority).dns(server.address).https(port).smtp(mail.address.port()).open();
    let facts = observe(&outside, &domain("d.test"), Depth::Full).await;
    let shown: Vec<String> = facts
        .policy_host
        .by_address
        .iter()
        .map(|a| match &a.body_sha256 {
            Ok(digest) => format!("{} {}", a.address, &digest[..8]),
            Err(e) => format!("{} {}", a.address, e.cause.reason_code()),
        })
        .collect();
    // SHA-256 of "old" and of "new".
    assert_eq!(shown, ["127.0.0.1 cba06b57", "127.0.0.2 11507a0e", "127.0.0.3 connect"]);
    assert_eq!((one.connections(), two.connections()), (1, 1), "no address is asked twice");
    let probes = &facts.hosts[0].probes;
    assert!(matches!(probes[0].outcome, ProbeOutcome::Tls(_)), "{probes:?}");
    assert!(matches!(probes[1].outcome, ProbeOutcome::Unreachable(_)), "{probes:?}");
}
