//! The two questions of MTA-STS.

use mailward_core::PolicyDomain;
use mailward_core::dns::DnsError;
use mailward_core::facts::FetchCause;
use mailward_core::mta_sts::Mode;
use mailward_core::mta_sts::cache::{FetchTrouble, RecordTrouble};
use mailward_net::sts::{policy_addresses, sts_policy, sts_record};

use crate::fake_dns::*;
use crate::fake_https::{End, FakeHttps, Serve};
use crate::world::{Authority, Way};

fn domain(text: &str) -> PolicyDomain {
    PolicyDomain::parse(text).unwrap()
}

#[tokio::test]
async fn the_id_of_the_record_or_why_there_is_none() {
    let server = FakeDns::start(|q| {
        let reply = Reply::to(q);
        let texts: &[&[u8]] = match q.name.as_str() {
            "_mta-sts.good.test" => &[b"v=spf1 -all", b"v=STSv1; id=20260601;"],
            "_mta-sts.other.test" => &[b"v=spf1 -all"],
            "_mta-sts.two.test" => &[b"v=STSv1; id=1;", b"v=STSv1; id=2;"],
            "_mta-sts.down.test" => return reply.rcode(SERVFAIL).once(),
            _ => &[],
        };
        texts.iter().fold(reply.soa("test", 60, 60), |r, t| r.answer(&q.name, TXT, 300, &txt(t))).once()
    })
    .await;
    let outside = Way::to(&Authority::new()).dns(server.address).open();
    let label = "a".repeat(61);
    let long = format!("{label}.{label}.{label}.{label}.test");
    for (name, seen, ttl) in [
        ("good.test", Ok(Some("20260601")), Some(300)),
        ("other.test", Ok(None), Some(300)),
        ("absent.test", Ok(None), Some(60)),
        (long.as_str(), Ok(None), None),
        ("two.test", Err("invalid"), Some(300)),
        ("down.test", Err("dns"), None),
    ] {
        let found = sts_record(&outside.resolver, &domain(name)).await;
        let word = found.record.as_ref().map(Option::as_deref).map_err(|trouble| match trouble {
            RecordTrouble::Invalid(_) => "invalid",
            RecordTrouble::Dns(DnsError::ServerFailure(_)) => "dns",
            RecordTrouble::Dns(_) => "another error",
        });
        assert_eq!((word, found.ttl), (seen, ttl), "{name}");
    }
}

#[tokio::test]
async fn the_policy_with_its_body_or_why_there_is_none() {
    let authority = Authority::new();
    let tls = authority.issue(&["mta-sts.d.test"]).server(&[]);
    let serve = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
        let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        Serve::Http(text.into_bytes(), End::Never)
    };
    let body = "version: STSv1\nmode: enforce\nmx: mx.d.test\nmax_age: 86400\nnote: {x}\n";
    let good = FakeHttps::start(tls.clone(), serve(body)).await;
    let bad = FakeHttps::start(tls, serve("hello")).await;
    let server = FakeDns::start(|q| {
        let reply = Reply::to(q).soa("test", 60, 60);
        match (q.name.as_str(), q.rtype) {
            ("mta-sts.d.test", A) => reply.answer(&q.name, A, 60, &[127, 0, 0, 1]),
            _ => reply,
        }
        .once()
    })
    .await;
    let way = || Way::to(&authority).dns(server.address);
    let outside = way().https(good.address.port()).open();
    let addresses = policy_addresses(&outside.resolver, &domain("d.test")).await;
    assert_eq!(addresses, [good.address.ip()]);
    let (policy, served) = sts_policy(&outside, &domain("d.test"), &addresses).await.unwrap();
    assert_eq!((policy.mode, policy.max_age, &served[..]), (Mode::Enforce, 86_400, body.as_bytes()));

    let none = policy_addresses(&outside.resolver, &domain("other.test")).await;
    assert!(none.is_empty(), "{none:?}");
    let none = sts_policy(&outside, &domain("other.test"), &none).await;
    assert_eq!(none, Err(FetchTrouble::Fetch(FetchCause::Dns)));
    let outside = way().https(bad.address.port()).open();
    let invalid = sts_policy(&outside, &domain("d.test"), &addresses).await;
    assert!(matches!(invalid, Err(FetchTrouble::Invalid(_, _))), "{invalid:?}");
}
