//! Reports posted by all sorts of senders.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::Request;
use mailward_core::rollout::Trust;
use mailward_receiving::https::Limits;
use mailward_receiving::intake::https::{Options, TrustedSource};
use mailward_store::reports::ReportFilter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{connect, http2, post, raw, status};
use crate::house::House;

const NAME: &str = "reports.example.com";
const PATH: &str = "/v1/tls-rpt";
const GZIP: &str = "application/tlsrpt+gzip";
const JSON: &str = "application/tlsrpt+json";

/// A report whose figures differ with its id: equal content under two ids is one report.
pub fn report(id: &str, domain: &str, organization: &str) -> String {
    let sessions: u64 = id.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
    format!(
        r#"{{"organization-name":"{organization}","date-range":{{"start-datetime":"2026-11-01T00:00:00Z",
        "end-datetime":"2026-11-01T23:59:59Z"}},"contact-info":"tls@reporter.example","report-id":"{id}",
        "policies":[{{"policy":{{"policy-type":"sts","policy-string":["version: STSv1"],
        "policy-domain":"{domain}","mx-host":["mx1.{domain}"]}},"summary":{{"total-successful-session-count":{sessions},
        "total-failure-session-count":1}},"failure-details":[{{"result-type":"certificate-expired",
        "receiving-mx-hostname":"mx1.{domain}","failed-session-count":1}}]}}]}}"#
    )
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn house() -> House {
    let options = Options {
        trusted: vec![TrustedSource { name: "own relay".into(), token: "s3cret".into() }],
        ..Options::default()
    };
    let house = House::with(options, Limits::default()).await;
    house.certify(NAME, &[NAME]);
    house.hold("example.com", &["mx1.example.com"]).await;
    house
}

async fn send(house: &House, path: &str, media_type: &str, body: &[u8]) -> (u16, String) {
    post(&house.world, house.address, NAME, path, media_type, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_get_what_they_deserve() {
    let house = house().await;
    let ours = |id: &str| report(id, "example.com", "Reporter");
    let html = report("<script>alert(1)</script>", "example.com", "<img src=x onerror=alert(1)>");
    let bomb = gzip(&vec![b' '; 50 << 20]);
    let nested = gzip(&gzip(&gzip(ours("n").as_bytes())));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let too_long = vec![b'x'; (10 << 20) + 1];
    let cut = &gzip(ours("cut").as_bytes())[..60];
    let stranger = report("s", "stranger.example", "Reporter");
    let rows: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        (PATH, GZIP, gzip(ours("1").as_bytes()), 201, "new"),
        (PATH, GZIP, gzip(ours("1").as_bytes()), 200, "the same again"),
        (PATH, JSON, ours("1").into_bytes(), 200, "the same again in other clothes"),
        (PATH, JSON, ours("2").into_bytes(), 201, "plain"),
        (PATH, "Application/TLSRPT+JSON; charset=utf-8", ours("3").into_bytes(), 201, "case and parameters"),
        (PATH, GZIP, ours("4").into_bytes(), 201, "JSON called gzip"),
        (PATH, "application/json", ours("5").into_bytes(), 201, "the plain type"),
        (PATH, "application/gzip", gzip(ours("6").as_bytes()), 201, "the plain type"),
        (PATH, JSON, html.into_bytes(), 201, "HTML is text"),
        ("/v1/tls-rpt/", JSON, ours("7").into_bytes(), 201, "a slash more"),
        ("/v1/tls-rpt/s3cret", JSON, ours("trusted").into_bytes(), 201, "a trusted source"),
        ("/v1/tls-rpt/guess", JSON, ours("8").into_bytes(), 404, "a token that is none"),
        ("/v1/tls-rptx", JSON, ours("8").into_bytes(), 404, "another path"),
        ("/", JSON, ours("8").into_bytes(), 404, "another path"),
        (PATH, "text/plain", ours("8").into_bytes(), 415, "another type"),
        (PATH, "", ours("8").into_bytes(), 415, "no type"),
        (PATH, GZIP, too_long, 413, "too long"),
        (PATH, GZIP, bomb, 422, "a bomb"),
        (PATH, GZIP, nested, 422, "a bomb in the making"),
        (PATH, GZIP, cut.to_vec(), 422, "cut off"),
        (PATH, JSON, deep.into_bytes(), 422, "depth"),
        (PATH, JSON, b"{".to_vec(), 422, "no JSON"),
        (PATH, JSON, b"null".to_vec(), 422, "no report"),
        (PATH, JSON, b"[]".to_vec(), 422, "no report"),
        (PATH, GZIP, b"\x1f\x8b\x08\x00garbage".to_vec(), 422, "garbage"),
        (PATH, JSON, vec![0xff; 1000], 422, "garbage"),
        (PATH, JSON, Vec::new(), 400, "empty"),
        (PATH, JSON, stranger.clone().into_bytes(), 201, "a stranger's domain, set aside"),
        (PATH, JSON, stranger.into_bytes(), 200, "and again"),
    ];
    for (path, media_type, body, code, why) in rows {
        let (got, answer) = send(&house, path, media_type, &body).await;
        assert_eq!(got, code, "{why}: {answer}");
        let value: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let schema = if code < 300 { "mailward.receipt/1" } else { "mailward.error/1" };
        assert_eq!(value["schema"], schema, "{why}: {answer}");
        assert!(code < 400 || value["message"].as_str().is_some_and(|m| !m.is_empty()), "{why}: {answer}");
    }
    let page = house.store.reports(&ReportFilter::default(), None, 100).await.unwrap();
    let mut ids: Vec<&str> = page.rows.iter().map(|row| row.report_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "7", "<script>alert(1)</script>", "trusted"]);
    for row in &page.rows {
        let trust = if row.report_id == "trusted" { Trust::Trusted } else { Trust::Unauthenticated };
        assert_eq!(row.trust, trust, "{}", row.report_id);
        assert_eq!(row.domains, ["example.com"], "{}", row.report_id);
    }
    let aside = house.store.quarantine(None, 100).await.unwrap().rows;
    assert!(aside.iter().any(|row| row.findings.iter().any(|f| f.id == "REP-079")), "{aside:?}");
    assert!(aside.len() >= 8, "what cannot be read is kept: {}", aside.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused() {
    let house = house().await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} {PATH} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
        let answer = raw(&house.world, house.address, NAME, request.as_bytes()).await.unwrap();
        assert_eq!(status(&answer), 405, "{method}: {answer}");
        assert!(answer.to_lowercase().contains("allow: post"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_come_in_pieces_and_by_http2() {
    let house = house().await;
    let body = report("chunked", "example.com", "Reporter");
    let (start, end) = body.split_at(50);
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n{:x}\r\n{start}\r\n{:x}\r\n{end}\r\n0\r\n\r\n",
        start.len(),
        end.len()
    );
    let answer = raw(&house.world, house.address, NAME, request.as_bytes()).await.unwrap();
    assert_eq!(status(&answer), 201, "{answer}");

    let body = gzip(report("h2", "example.com", "Reporter").as_bytes());
    let request = Request::post(format!("https://{NAME}{PATH}"))
        .header("content-type", GZIP)
        .body(Full::from(body))
        .unwrap();
    let (head, answer) = http2(&house.world, house.address, NAME, request).await;
    assert_eq!(head.status(), 201, "{answer}");

    // Endless chunks end at the limit, without a stated length.
    let mut stream = connect(&house.world, house.address, NAME, &[]).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..200 {
        if stream.write_all(piece.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap_or(0);
    assert!(read == 0 || status(&String::from_utf8_lossy(&answer[..read])) == 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_is_given_up_in_time() {
    let house = house().await;
    let mut stream = connect(&house.world, house.address, NAME, &[]).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: {JSON}\r\nContent-Length: 1000\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut answer)).await;
    let read = read.expect("an answer within ten seconds").unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&answer[..read])), 408);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_kept_and_counted_once() {
    let house = std::sync::Arc::new(house().await);
    let mut posts = tokio::task::JoinSet::new();
    for number in 0..60 {
        let house = house.clone();
        posts.spawn(async move {
            let body = gzip(report(&format!("many-{}", number / 2), "example.com", "Reporter").as_bytes());
            send(&house, PATH, GZIP, &body).await.0
        });
    }
    let mut codes = posts.join_all().await;
    codes.sort_unstable();
    assert_eq!(codes, [vec![200; 30], vec![201; 30]].concat(), "each once new and once known");
    let page = house.store.reports(&ReportFilter::default(), None, 200).await.unwrap();
    assert_eq!(page.rows.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_senders_come_again() {
    let house = house().await;
    house.store.close().await;
    let body = report("later", "example.com", "Reporter");
    let (code, answer) = send(&house, PATH, JSON, body.as_bytes()).await;
    assert_eq!(code, 503, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_told_to_wait() {
    for (options, codes, why) in [
        (Options::default(), [201, 201, 201], "loopback may be a proxy for everybody"),
        (
            Options { per_address_minute: 2, limit_loopback: true, ..Options::default() },
            [201, 201, 429],
            "address",
        ),
        (
            Options { per_submitter_hour: 2, limit_loopback: true, ..Options::default() },
            [201, 201, 429],
            "submitter",
        ),
    ] {
        let house = House::with(options, Limits::default()).await;
        house.certify(NAME, &[NAME]);
        for (number, code) in codes.into_iter().enumerate() {
            let body = report(&format!("flood-{number}"), "example.com", "Reporter");
            let (got, answer) = send(&house, PATH, JSON, body.as_bytes()).await;
            assert_eq!(got, code, "{why} {number}: {answer}");
        }
        let listed = house.store.reports(&ReportFilter::default(), None, 10).await.unwrap().rows.len();
        assert_eq!(
            listed,
            codes.iter().filter(|code| **code == 201).count(),
            "{why}: refused means not stored"
        );
    }
}
