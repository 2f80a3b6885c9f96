//! The policy fetch against servers that do everything wrong, one thing at a time.

use std::net::IpAddr;
use std::time::Duration;

use mailward_core::PolicyDomain;
use mailward_core::chain::ChainFault;
use mailward_core::facts::{FetchCause, FetchError, FetchedPolicy};
use mailward_net::policy_host::fetch;
use rcgen::{DnType, ExtendedKeyUsagePurpose, date_time_ymd};

use crate::fake_https::{End, FakeHttps, Serve};
use crate::world::{Authority, Identity, Way, self_signed};

const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx.d.test\r\nmax_age: 86400\r\n";
const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn domain() -> PolicyDomain {
    PolicyDomain::parse("d.test").unwrap()
}

/// `HTTP/1.1 200 OK`, these fields, and a body with its length.
fn ok(fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Fetches once from a server that has the right certificate.
async fn served(bytes: Vec<u8>, end: End) -> Result<FetchedPolicy, FetchError> {
    let authority = Authority::new();
    let tls = authority.issue(&["mta-sts.d.test"]).server(&[b"http/1.1"]);
    let server = FakeHttps::start(tls, Serve::Http(bytes, end)).await;
    let way = Way::to(&authority).https(server.address.port()).open();
    fetch(&way, &domain(), &[LOCAL]).await
}

#[tokio::test]
async fn a_policy_is_fetched_as_served() {
    let authority = Authority::new();
    let tls = authority.issue(&["mta-sts.d.test"]).server(&[b"http/1.1"]);
    let server =
        FakeHttps::start(tls, Serve::Http(ok("Content-Type: text/plain; charset=x\r\n", POLICY), End::Never))
            .await;
    let way = Way::to(&authority).https(server.address.port()).open();
    let policy = fetch(&way, &domain(), &[LOCAL]).await.unwrap();
    assert_eq!(policy.body, POLICY.as_bytes());
    assert_eq!(policy.content_type.as_deref(), Some("text/plain; charset=x"));
    assert_eq!(policy.address, LOCAL);
    assert_eq!(policy.chain[0].dns_names, ["mta-sts.d.test"]);
    let request = &server.requests()[0].to_ascii_lowercase();
    assert!(request.starts_with("get /.well-known/mta-sts.txt http/1.1\r\n"), "{request}");
    assert!(request.contains("accept-encoding: identity\r\n"), "{request}");
    assert!(request.contains(&format!("host: mta-sts.d.test:{}\r\n", server.address.port())), "{request}");
}

#[tokio::test]
async fn every_version_of_http_works() {
    let plain = "Content-Type: text/plain\r\n";
    let close_delimited = format!("HTTP/1.0 200 OK\r\n{plain}\r\n{POLICY}").into_bytes();
    let chunked = format!(
        "HTTP/1.1 200 OK\r\n{plain}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{POLICY}\r\n0\r\n\r\n",
        POLICY.len()
    );
    let early_hint = [b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), ok(plain, POLICY)].concat();
    for (what, bytes, end) in [
        ("1.0 until the end", close_delimited, End::Properly),
        ("1.1 with length, no close_notify", ok(plain, POLICY), End::Abruptly),
        ("1.1 chunked", chunked.into_bytes(), End::Never),
        ("after an early hint", early_hint, End::Never),
    ] {
        let policy = served(bytes, end).await;
        assert_eq!(policy.as_ref().map(|p| p.body.as_slice()), Ok(POLICY.as_bytes()), "{what}");
    }
    let authority = Authority::new();
    for alpn in [&[&b"h2"[..]][..], &[b"http/1.1", b"h2"]] {
        let tls = authority.issue(&["mta-sts.d.test"]).server(alpn);
        let header = vec![("content-type", "text/plain".to_owned())];
        let server = FakeHttps::start(tls, Serve::Http2(200, header, POLICY.into())).await;
        let way = Way::to(&authority).https(server.address.port()).open();
        // With both on offer the client's first choice is HTTP/2.
        if alpn.len() == 1 {
            let policy = fetch(&way, &domain(), &[LOCAL]).await.unwrap();
            assert_eq!(policy.body, POLICY.as_bytes());
            assert!(
                server.requests()[0].starts_with("HTTP/2.0 https://mta-sts.d.test"),
                "{:?}",
                server.requests()
            );
        }
    }
}

#[tokio::test]
async fn answers_that_are_no_policy_are_refused() {
    let plain = "Content-Type: text/plain\r\n";
    let status = |line: &str, more: &str| {
        format!("HTTP/1.1 {line}\r\n{plain}{more}Content-Length: {}\r\n\r\n{POLICY}", POLICY.len())
            .into_bytes()
    };
    let redirect = |code: u16, to: &str| FetchCause::Redirect(code, to.to_owned());
    let media = |sent: &str| FetchCause::MediaType(Some(sent.to_owned()));
    let rows: Vec<(Vec<u8>, FetchCause, &str)> = vec![
        (status("404 Not Found", ""), FetchCause::Status(404), "answers 404"),
        (status("500 x", ""), FetchCause::Status(500), "answers 500"),
        (status("203 x", ""), FetchCause::Status(203), "answers 203"),
        (status("206 x", ""), FetchCause::Status(206), "answers 206"),
        (b"HTTP/1.1 204 x\r\n\r\n".to_vec(), FetchCause::Status(204), "answers 204"),
        (b"HTTP/1.1 304 x\r\n\r\n".to_vec(), FetchCause::Status(304), "answers 304"),
        (status("301 x", "Location: /other\r\n"), redirect(301, "/other"), "a redirect to /other"),
        (status("302 x", "Location: https://mta-sts.d.test/x\r\n"), redirect(302, "https://mta-sts.d.test/x"), "302"),
        (status("303 x", "Location: /a\r\n"), redirect(303, "/a"), "303"),
        (status("307 x", "Location: http://e.test/\r\n"), redirect(307, "http://e.test/"), "307"),
        (status("308 x", "Location: /\r\n"), redirect(308, "/"), "308"),
        (status("301 x", ""), FetchCause::Status(301), "answers 301"),
        (ok("", POLICY), FetchCause::MediaType(None), "no media type"),
        (ok("Content-Type: text/html\r\n", POLICY), media("text/html"), "\"text/html\""),
        (ok("Content-Type:\r\n", POLICY), media(""), "media type"),
        (
            ok("Content-Type: text/plain\r\nContent-Type: text/html\r\n", POLICY),
            media("text/plain, text/html"),
            "media type",
        ),
        (
            ok("Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", POLICY),
            FetchCause::Encoding("gzip".into()),
            "\"gzip\"",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_vec(),
            FetchCause::Encoding("gzip, chunked".into()),
            "gzip",
        ),
    ];
    for (bytes, cause, detail) in rows {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        let error = served(bytes, End::Never).await.unwrap_err();
        assert_eq!(error.cause, cause, "{head}");
        assert!(error.detail.contains(detail) && error.detail.contains("127.0.0.1"), "{}", error.detail);
        assert_eq!(error.chain.len(), 1, "the chain is kept");
    }
}

#[tokio::test]
async fn sizes_are_counted_before_they_are_kept() {
    let plain = "Content-Type: text/plain\r\n";
    let of = |n: usize| "x".repeat(n);
    let chunks = |n: usize, count: usize| {
        let chunk = format!("{n:x}\r\n{}\r\n", of(n));
        format!(
            "HTTP/1.1 200 OK\r\n{plain}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(count)
        )
    };
    let endless = format!("HTTP/1.0 200 OK\r\n{plain}\r\n{}", of(200_000));
    let head = |n: usize| format!("HTTP/1.1 200 OK\r\n{plain}X: {}\r\nContent-Length: 1\r\n\r\nx", of(n));
    let fields = |n: usize| {
        let many: String = (0..n).map(|i| format!("X{i}: y\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{plain}{many}Content-Length: 1\r\n\r\nx")
    };
    let exact = head(0).len() - 1;
    for (what, bytes, good) in [
        ("65,536 bytes", String::from_utf8(ok(plain, &of(65_536))).unwrap(), true),
        ("65,537 bytes", String::from_utf8(ok(plain, &of(65_537))).unwrap(), false),
        ("65,536 bytes in chunks", chunks(64, 1024), true),
        ("2049 chunks of 64 bytes", chunks(64, 2049), false),
        ("without a length", endless, false),
        ("a header of 16 KiB", head(16 * 1024 - exact), true),
        ("one byte more", head(16 * 1024 - exact + 1), false),
        ("a field of 64 KiB", head(64 * 1024), false),
        ("100 fields", fields(98), true),
        ("101 fields", fields(99), false),
        ("1000 fields", fields(1000), false),
    ] {
        let result = served(bytes.into_bytes(), End::Properly).await;
        match result {
            Ok(_) => assert!(good, "{what} was taken"),
            Err(e) => {
                assert!(!good, "{what}: {e}");
                assert_eq!(e.cause, FetchCause::TooLarge, "{what}: {e}");
            }
        }
    }
}

#[tokio::test]
async fn sizes_are_counted_in_http2_as_well() {
    let authority = Authority::new();
    let plain = || ("content-type", "text/plain".to_owned());
    let many =
        |n: usize| std::iter::once(plain()).chain((0..n).map(|_| ("x", "y".to_owned()))).collect::<Vec<_>>();
    for (what, status, header, body, cause) in [
        ("65,536 bytes", 200, vec![plain()], 65_536, None),
        ("65,537 bytes", 200, vec![plain()], 65_537, Some(FetchCause::TooLarge)),
        ("200 fields", 200, many(200), 1, Some(FetchCause::TooLarge)),
        ("a redirect", 301, vec![("location", "/x".into())], 0, Some(FetchCause::Redirect(301, "/x".into()))),
    ] {
        let tls = authority.issue(&["mta-sts.d.test"]).server(&[b"h2"]);
        let server = FakeHttps::start(tls, Serve::Http2(status, header, vec![b'x'; body])).await;
        let way = Way::to(&authority).https(server.address.port()).open();
        let result = fetch(&way, &domain(), &[LOCAL]).await;
        assert_eq!(result.err().map(|e| e.cause), cause, "{what}");
    }
    // A header block that the library itself refuses.
    let tls = authority.issue(&["mta-sts.d.test"]).server(&[b"h2"]);
    let huge = vec![plain(), ("x", "y".repeat(40_000))];
    let server = FakeHttps::start(tls, Serve::Http2(200, huge, vec![])).await;
    let way = Way::to(&authority).https(server.address.port()).open();
    let error = fetch(&way, &domain(), &[LOCAL]).await.unwrap_err();
    assert!(matches!(error.cause, FetchCause::TooLarge | FetchCause::Http(_)), "{error:?}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_body() {
    let plain = "Content-Type: text/plain\r\n";
    let short = format!("HTTP/1.1 200 OK\r\n{plain}Content-Length: 1000\r\n\r\n{POLICY}");
    let huge = format!("HTTP/1.1 200 OK\r\n{plain}Content-Length: 99999999999\r\n\r\n{POLICY}");
    let chunk = format!("HTTP/1.1 200 OK\r\n{plain}Transfer-Encoding: chunked\r\n\r\nff\r\n{POLICY}");
    let unbounded = format!("HTTP/1.0 200 OK\r\n{plain}\r\n{POLICY}");
    for (what, bytes, end) in [
        ("less than its length", short, End::Properly),
        ("far less than its length", huge, End::Properly),
        ("a chunk cut", chunk, End::Properly),
        ("no length, no close_notify", unbounded, End::Abruptly),
        ("nothing", String::new(), End::Properly),
        ("half a header", "HTTP/1.1 200 OK\r\nContent-Ty".into(), End::Properly),
        ("no HTTP", "220 mx.d.test ESMTP\r\n".into(), End::Properly),
        ("HTTP/0.9", POLICY.into(), End::Properly),
    ] {
        let error = served(bytes.into_bytes(), end).await.unwrap_err();
        assert!(matches!(error.cause, FetchCause::Http(_)), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn one_deadline_covers_everything() {
    let authority = Authority::new();
    let tls = authority.issue(&["mta-sts.d.test"]).server(&[b"http/1.1"]);
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 60000\r\n\r\n";
    for (serve, phase) in [
        (Serve::Nothing, "shaking hands"),
        (Serve::Http(vec![], End::Never), "waiting for 127.0.0.1 to answer"),
        (Serve::Http(b"HTTP/1.1 200 OK\r\n".to_vec(), End::Dripping), "waiting for 127.0.0.1 to answer"),
        (Serve::Http(begun.into(), End::Dripping), "reading the body"),
    ] {
        let server = FakeHttps::start(tls.clone(), serve).await;
        let way = Way::to(&authority)
            .https(server.address.port())
            .with(|o| o.fetch_timeout = Duration::from_millis(300))
            .open();
        let started = tokio::time::Instant::now();
        let error = fetch(&way, &domain(), &[LOCAL]).await.unwrap_err();
        assert_eq!(error.cause, FetchCause::Timeout);
        assert!(error.detail.contains("within 0.3 s") && error.detail.contains(phase), "{}", error.detail);
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn certificates_are_judged_for_the_policy_host() {
    let authority = Authority::new();
    let issue = |names: &[&str]| authority.issue(names);
    let expired = authority.issue_with(&["mta-sts.d.test"], |p| p.not_after = date_time_ymd(2026, 5, 1));
    let early = authority.issue_with(&["mta-sts.d.test"], |p| p.not_before = date_time_ymd(2026, 7, 1));
    let client = authority.issue_with(&["mta-sts.d.test"], |p| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let cn_only =
        authority.issue_with(&[], |p| p.distinguished_name.push(DnType::CommonName, "mta-sts.d.test"));
    let stranger = Authority::new().issue(&["mta-sts.d.test"]);
    type Row = (&'static str, Identity, fn(&ChainFault) -> bool);
    let rows: Vec<Row> = vec![
        (
            "another name",
            issue(&["mta-sts.provider.test"]),
            |f| matches!(f, ChainFault::HostMismatch(n) if n == &["mta-sts.provider.test"]),
        ),
        ("a wildcard too high", issue(&["*.test"]), |f| matches!(f, ChainFault::HostMismatch(_))),
        ("a wildcard in a label", issue(&["mta*.d.test"]), |f| matches!(f, ChainFault::HostMismatch(_))),
        ("a common name only", cn_only, |f| matches!(f, ChainFault::HostMismatch(_))),
        (
            "expired",
            expired,
            |f| matches!(f, ChainFault::Expired(t) if t.to_string() == "2026-05-01T00:00:00Z"),
        ),
        ("not yet valid", early, |f| matches!(f, ChainFault::NotYetValid(_))),
        ("for clients", client, |f| matches!(f, ChainFault::Purpose)),
        ("of a stranger", stranger, |f| {
            matches!(f, ChainFault::UnknownIssuer | ChainFault::IncompleteChain | ChainFault::BadSignature)
        }),
        ("self-signed", self_signed(&["mta-sts.d.test"]), |f| matches!(f, ChainFault::SelfSigned)),
    ];
    for (what, identity, expected) in rows {
        let serve = Serve::Http(ok("Content-Type: text/plain\r\n", POLICY), End::Never);
        let server = FakeHttps::start(identity.server(&[]), serve).await;
        let way = Way::to(&authority).https(server.address.port()).open();
        let error = fetch(&way, &domain(), &[LOCAL]).await.unwrap_err();
        assert!(matches!(&error.cause, FetchCause::Certificate(f) if expected(f)), "{what}: {error:?}");
        assert_eq!(error.chain.len(), 1, "{what}");
        assert!(error.detail.contains("certificate at 127.0.0.1 does not hold"), "{}", error.detail);
        assert!(server.requests().is_empty(), "{what}: nothing is asked of it");
    }
    // A wildcard for exactly this level is right.
    let serve = Serve::Http(ok("Content-Type: text/plain\r\n", POLICY), End::Never);
    let server = FakeHttps::start(issue(&["*.d.test"]).server(&[]), serve).await;
    let way = Way::to(&authority).https(server.address.port()).open();
    assert!(fetch(&way, &domain(), &[LOCAL]).await.is_ok());
}

#[tokio::test]
async fn handshakes_that_fail_have_names() {
    let authority = Authority::new();
    for (bytes, reason) in [
        // What a server of TLS 1.1 answers to us: alert 70.
        (&[21, 3, 1, 0, 2, 2, 70][..], "alert-protocol_version"),
        (&[21, 3, 3, 0, 2, 2, 40], "alert-handshake_failure"),
        (&[21, 3, 3, 0, 2, 2, 112], "alert-unrecognised_name"),
        (&[], "eof"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "invalid_message-invalid_content_type"),
    ] {
        let tls = authority.issue(&["mta-sts.d.test"]).server(&[]);
        let server = FakeHttps::start(tls, Serve::Clear(bytes.into())).await;
        let way = Way::to(&authority).https(server.address.port()).open();
        let error = fetch(&way, &domain(), &[LOCAL]).await.unwrap_err();
        assert_eq!(error.cause, FetchCause::Tls(reason.into()), "{error}");
        assert_eq!(error.cause.reason_code(), format!("tls-{reason}"));
    }
}

#[tokio::test]
async fn a_dead_address_does_not_hide_a_live_one() {
    let authority = Authority::new();
    let tls = authority.issue(&["mta-sts.d.test"]).server(&[]);
    let server =
        FakeHttps::start(tls, Serve::Http(ok("Content-Type: text/plain\r\n", POLICY), End::Never)).await;
    let way = Way::to(&authority).https(server.address.port()).open();
    // Nobody listens at these; the discard prefix leads nowhere.
    let addresses: Vec<IpAddr> =
        ["100::1", "127.0.0.9", "127.0.0.8", "127.0.0.1"].iter().map(|a| a.parse().unwrap()).collect();
    let policy = fetch(&way, &domain(), &addresses).await.unwrap();
    assert_eq!(policy.address, LOCAL);
}

#[tokio::test]
async fn addresses_that_do_not_serve_are_all_named() {
    let authority = Authority::new();
    let nobody = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let way = Way::to(&authority).https(nobody).open();
    let addresses: Vec<IpAddr> = vec![LOCAL, "127.0.0.2".parse().unwrap()];
    let error = fetch(&way, &domain(), &addresses).await.unwrap_err();
    assert_eq!(error.cause, FetchCause::Connect);
    assert!(error.detail.contains("127.0.0.1: ") && error.detail.contains("127.0.0.2: "), "{}", error.detail);
    let error = fetch(&way, &domain(), &[]).await.unwrap_err();
    assert_eq!(error.cause, FetchCause::Dns);
}

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let authority = Authority::new();
    let tls = authority.issue(&["mta-sts.d.test"]).server(&[]);
    let server =
        FakeHttps::start(tls, Serve::Http(ok("Content-Type: text/plain\r\n", POLICY), End::Never)).await;
    let way =
        Way::to(&authority).https(server.address.port()).with(|o| o.allow_private_addresses = false).open();
    let addresses: Vec<IpAddr> = ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "169.254.169.254"]
        .iter()
        .map(|a| a.parse().unwrap())
        .collect();
    let error = fetch(&way, &domain(), &addresses).await.unwrap_err();
    assert_eq!(error.cause, FetchCause::PrivateAddress);
    assert!(error.detail.contains("169.254.169.254"), "{}", error.detail);
    assert_eq!(server.connections(), 0);
}
