//! The policy host against clients that do everything right, and those that do not.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use mailward_lab::CertificateKind;
use mailward_receiving::https::Limits;
use mailward_receiving::intake::https::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{connect, http2, leaf, raw, status};
use crate::house::{House, eventually};

const HOST: &str = "mta-sts.example.com";

async fn house() -> (House, String) {
    let house = House::start().await;
    house.certify(HOST, &[HOST]);
    house.certify("reports.example.com", &["reports.example.com", "mta-sts.other.example"]);
    let body = house.hold("example.com", &["mx1.example.com", "*.mx.example.net"]).await;
    house.policies.refresh().await.unwrap();
    (house, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_get_what_they_deserve() {
    let (house, body) = house().await;
    let path = "/.well-known/mta-sts.txt";
    for (name, request, code, why) in [
        (
            HOST,
            format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"),
            200,
            "the policy",
        ),
        (
            HOST,
            format!("GET {path} HTTP/1.1\r\nHost: MTA-STS.Example.COM:443\r\nConnection: close\r\n\r\n"),
            200,
            "case and port",
        ),
        (
            "MTA-sts.example.COM",
            format!("GET {path} HTTP/1.1\r\nHost: {HOST}.\r\nConnection: close\r\n\r\n"),
            200,
            "case of SNI, final dot",
        ),
        (
            HOST,
            format!("GET {path}?x=1 HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"),
            200,
            "a query says nothing",
        ),
        (HOST, format!("GET {path} HTTP/1.0\r\n\r\n"), 200, "HTTP/1.0 without Host"),
        (HOST, format!("GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n"), 200, "HTTP/1.0 with Host"),
        (HOST, format!("HEAD {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"), 200, "HEAD"),
        (
            HOST,
            format!("GET https://{HOST}{path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"),
            200,
            "absolute form",
        ),
        (HOST, format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"), 404, "another path"),
        (
            HOST,
            format!("GET {path}/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"),
            404,
            "no redirect either",
        ),
        (
            HOST,
            format!("GET /.well-known/MTA-STS.txt HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"),
            404,
            "paths have case",
        ),
        (
            HOST,
            format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            405,
            "another method",
        ),
        (
            HOST,
            format!("GET {path} HTTP/1.1\r\nHost: mta-sts.other.example\r\nConnection: close\r\n\r\n"),
            421,
            "SNI and Host differ",
        ),
        (
            "mta-sts.other.example",
            format!("GET {path} HTTP/1.1\r\nHost: mta-sts.other.example\r\nConnection: close\r\n\r\n"),
            404,
            "a certificate but no policy",
        ),
        (HOST, format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n"), 400, "no Host in 1.1"),
        (
            HOST,
            format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"),
            400,
            "two Hosts",
        ),
        (
            HOST,
            format!("GET {path} HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n"),
            400,
            "a Host that is none",
        ),
        (
            HOST,
            format!(
                "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\nConnection: close\r\n\r\n",
                "y".repeat(20_000)
            ),
            431,
            "a header too large",
        ),
        (HOST, "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), 400, "garbage"),
    ] {
        let answer = raw(&house.world, house.address, name, request.as_bytes()).await.unwrap();
        assert_eq!(status(&answer), code, "{why}: {answer}");
        assert!(!answer.to_lowercase().contains("\r\nlocation:"), "{why}: never a redirect");
        if code == 200 {
            let (head, sent) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.to_lowercase().contains("content-type: text/plain; charset=utf-8"), "{why}: {head}");
            assert!(
                head.to_lowercase().contains(&format!("content-length: {}", body.len())),
                "{why}: {head}"
            );
            assert_eq!(sent, if request.starts_with("HEAD") { "" } else { body.as_str() }, "{why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_served_as_well() {
    let (house, body) = house().await;
    for (uri, code) in [
        (format!("https://{HOST}/.well-known/mta-sts.txt"), 200),
        (format!("https://{HOST}/other"), 404),
        ("https://mta-sts.other.example/.well-known/mta-sts.txt".to_owned(), 421),
    ] {
        let request = Request::get(&uri).body(Full::default()).unwrap();
        let (head, sent) = http2(&house.world, house.address, HOST, request).await;
        assert_eq!(head.status(), code, "{uri}");
        assert_eq!(sent == body, code == 200, "{uri}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_without_a_certificate_are_refused() {
    let (house, _) = house().await;
    assert!(leaf(&house.world, house.address, "mta-sts.unknown.example").await.is_none());
    assert!(connect(&house.world, house.address, "127.0.0.1", &[]).await.is_err(), "no SNI");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_adds_is_served_soon() {
    let (house, _) = house().await;
    tokio::spawn(house.policies.clone().run(house.stop.clone()));
    house.certify("mta-sts.new.example", &["mta-sts.new.example"]);
    let other = crate::house::open(&house.directory).await;
    let body =
        crate::house::hold(&other, "new.example", &["mx.new.example"], jiff::Timestamp::UNIX_EPOCH).await;
    let served = eventually("the new policy", async || house.policies.body("mta-sts.new.example")).await;
    assert_eq!(served, body.as_bytes());
    assert!(house.policies.status().health().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_outlive_the_database() {
    let (house, body) = house().await;
    assert!(house.policies.status().health().ok);
    house.store.close().await;
    house.policies.refresh().await.unwrap_err();
    let health = house.policies.status().health();
    assert!(health.ok && health.reason.is_some(), "{health:?}");
    let request =
        format!("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let answer = raw(&house.world, house.address, HOST, request.as_bytes()).await.unwrap();
    assert!(answer.ends_with(&body), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_exchanged_only_whole() {
    let house = House::start().await;
    let directory = house.certificate_directory();
    let watching = tokio::spawn(house.certificates.clone().run(house.stop.clone()));
    let status = house.certificates.status();
    assert!(status.health().ok, "an empty folder is no fault: {:?}", status.health());

    let issue = || house.world.ca.issue(&[HOST], CertificateKind::Good);
    let (old, new) = (issue(), issue());
    house.world.write_certificate(&directory, HOST, &old).unwrap();
    let first =
        eventually("the first certificate", async || leaf(&house.world, house.address, HOST).await).await;

    std::fs::write(directory.join(format!("{HOST}.crt")), new.certificate_pem()).unwrap();
    let reason = eventually("the fault in the status", async || status.health().reason).await;
    assert!(reason.contains("does not fit") && reason.contains(HOST), "{reason}");
    assert_eq!(leaf(&house.world, house.address, HOST).await.as_ref(), Some(&first), "the old pair stays");

    std::fs::write(directory.join(format!("{HOST}.key")), new.key_pem()).unwrap();
    let second = eventually("the new certificate", async || {
        leaf(&house.world, house.address, HOST).await.filter(|leaf| *leaf != first)
    })
    .await;
    assert_eq!(status.health().reason, None);

    for (file, damage) in [
        ("crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("key", ""),
        ("crt", "garbage"),
    ] {
        std::fs::write(directory.join(format!("{HOST}.{file}")), damage).unwrap();
        house.certificates.reload();
        assert!(status.health().reason.is_some(), "{file} {damage:?}");
        assert_eq!(
            leaf(&house.world, house.address, HOST).await.as_ref(),
            Some(&second),
            "{file} {damage:?}"
        );
        house.world.write_certificate(&directory, HOST, &new).unwrap();
        house.certificates.reload();
        assert_eq!(status.health().reason, None, "{file} {damage:?}");
    }

    std::fs::remove_file(directory.join(format!("{HOST}.key"))).unwrap();
    house.certificates.reload();
    assert!(status.health().reason.unwrap().contains("missing"));
    assert_eq!(
        leaf(&house.world, house.address, HOST).await.as_ref(),
        Some(&second),
        "half a pair is no removal"
    );
    std::fs::remove_file(directory.join(format!("{HOST}.crt"))).unwrap();
    eventually("the removal", async || house.certificates.names().is_empty().then_some(())).await;
    watching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_found_by_the_names_inside() {
    let house = House::start().await;
    let directory = house.certificate_directory();
    let write = |folder: &str, names: &[&str], days: i32| {
        let identity = house.world.ca.issue_with_days_left(names, days);
        let folder = directory.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("fullchain.pem"), identity.certificate_pem()).unwrap();
        std::fs::write(folder.join("privkey.pem"), identity.key_pem()).unwrap();
        identity
    };
    write("wild", &["*.customers.example", "*.example.org"], 90);
    write("own", &["mta-sts.example.org"], 30);
    write("own-renewed", &["mta-sts.example.org"], 60);
    std::fs::create_dir(directory.join("unrelated")).unwrap();
    std::fs::write(directory.join("README"), "not a certificate").unwrap();
    house.certificates.reload();
    assert_eq!(house.certificates.status().health().reason, None);
    assert_eq!(house.certificates.names(), ["*.customers.example", "*.example.org", "mta-sts.example.org"]);
    let days = |name: &str| {
        let left =
            house.certificates.expires(name)?.duration_since(mailward_core::Clock::now(&*house.world.clock));
        Some((left.as_hours() + 12) / 24)
    };
    for (name, expected, why) in [
        ("mta-sts.example.org", Some(60), "its own before the wildcard, the renewed before the old"),
        ("MTA-STS.Example.Org.", Some(60), "case and dot"),
        ("other.example.org", Some(90), "wildcard"),
        ("a.b.example.org", None, "a wildcard stands for one label"),
        ("example.org", None, "and not for none"),
    ] {
        assert_eq!(days(name), expected, "{name}: {why}");
    }
    assert!(leaf(&house.world, house.address, "Some.Customers.Example").await.is_some());
    house.world.clock.advance(jiff::SignedDuration::from_hours(24 * 31));
    house.certificates.reload();
    assert!(house.certificates.status().health().reason.unwrap().contains("expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_idle_peers_are_shown_the_door() {
    let short = Duration::from_millis(200);
    let limits = Limits { handshake: short, header: short, connections: 4, ..Limits::default() };
    let house = House::with(Options::default(), limits).await;
    house.certify(HOST, &[HOST]);
    // As many as there are slots say nothing at all, or stop inside the header.
    let mut silent = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let mut half = connect(&house.world, house.address, HOST, &[]).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut rest = Vec::new();
    for _ in 0..8 {
        rest.push(tokio::net::TcpStream::connect(house.address).await.unwrap());
    }
    let within = Duration::from_secs(10);
    tokio::time::timeout(within, silent.read(&mut [0; 64])).await.unwrap().ok();
    let mut answer = Vec::new();
    tokio::time::timeout(within, half.read_to_end(&mut answer)).await.unwrap().ok();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let answer = raw(&house.world, house.address, HOST, request.as_bytes()).await.unwrap();
    assert_eq!(status(&answer), 404, "others are served after them: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_what_is_under_way() {
    let (house, body) = house().await;
    let mut idle = connect(&house.world, house.address, HOST, &[]).await.unwrap();
    let request = format!("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut first = vec![0; 1024];
    let read = idle.read(&mut first).await.unwrap();
    assert!(String::from_utf8_lossy(&first[..read]).contains(&body));

    house.signal.stop();
    tokio::time::timeout(Duration::from_secs(5), house.server).await.unwrap().unwrap();

    assert_eq!(idle.read(&mut first).await.unwrap_or(0), 0, "idle connections end");
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err(), "nobody listens any more");
}
