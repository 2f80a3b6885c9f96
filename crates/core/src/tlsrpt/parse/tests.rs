//! Rows a quirk: what comes in, what it is normalised to, which findings say so.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::finding::Severity;
use crate::tlsrpt::{PolicyType, ResultType};

mod hostile;
mod items;

pub(super) fn now() -> Timestamp {
    "2026-06-10T12:00:00Z".parse().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) const PLAIN: &str = r#"{"organization-name":"Reporter Inc.","date-range":{"start-datetime":"2026-06-01T00:00:00Z","end-datetime":"2026-06-01T23:59:59Z"},"contact-info":"tls@reporter.example","report-id":"id-1","policies":[{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: enforce","mx: mx.example.com","max_age: 86400"],"policy-domain":"example.com","mx-host":["mx.example.com"]},"summary":{"total-successful-session-count":10,"total-failure-session-count":2},"failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.1","receiving-mx-hostname":"mx.example.com","receiving-mx-helo":"mx","receiving-ip":"198.51.100.1","failed-session-count":2}]}]}"#;

/// The plain report with one piece of its text exchanged.
fn with(piece: &str, other: &str) -> String {
    assert!(PLAIN.contains(piece), "{piece}");
    PLAIN.replace(piece, other)
}

pub(super) fn read(bytes: &[u8]) -> Parsed {
    parse(bytes, &Incoming::default(), &Limits::default(), now()).0
}

/// Status and the ids of all findings.
pub(super) fn outcome(parsed: &Parsed) -> (&'static str, Vec<&str>) {
    match parsed {
        Parsed::Accepted(reports) => {
            ("accepted", reports.iter().flat_map(|(_, f)| f).map(|f| f.id.as_str()).collect())
        }
        Parsed::Quarantined(findings) => ("quarantined", findings.iter().map(|f| f.id.as_str()).collect()),
        Parsed::NotAReport(findings) => ("not-a-report", findings.iter().map(|f| f.id.as_str()).collect()),
    }
}

pub(super) fn one(text: &str) -> (Report, Vec<Finding>) {
    match read(text.as_bytes()) {
        Parsed::Accepted(mut reports) if reports.len() == 1 => reports.remove(0),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_plain_report_has_no_oddity() {
    let (report, findings) = one(PLAIN);
    assert_eq!(findings, []);
    assert_eq!(report.report_id, "id-1");
    let entry = &report.policies[0];
    assert_eq!(entry.policy.policy_type, PolicyType::Sts);
    assert_eq!(entry.policy.policy_string.len(), 4);
    assert_eq!(entry.failure_details[0].result_type, ResultType::CertificateExpired);
    assert_eq!(entry.failure_details[0].sending_mta_ip, Some("192.0.2.1".parse().unwrap()));
}

/// What a quirk is normalised to, as text.
fn shown(report: &Report) -> String {
    let mut text = format!("{}|{}|{}", report.organization_name, report.contact_info, report.report_id);
    for entry in &report.policies {
        let policy = &entry.policy;
        let domain = policy.policy_domain.as_ref().map_or("-", |d| d.as_str());
        let (good, bad) =
            (entry.summary.total_successful_session_count, entry.summary.total_failure_session_count);
        write!(text, "|{}:{domain}", policy.policy_type.as_str()).unwrap();
        write!(text, "|{}|{}|{good}/{bad}", policy.policy_string.join(","), policy.mx_host.join(","))
            .unwrap();
        for detail in &entry.failure_details {
            let ip = |ip: Option<std::net::IpAddr>| ip.map_or("-".to_owned(), |ip| ip.to_string());
            let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            write!(
                text,
                "|{}x{} {} {} {} {}",
                detail.result_type,
                detail.failed_session_count,
                ip(detail.sending_mta_ip),
                or(&detail.receiving_mx_helo),
                or(&detail.additional_information),
                or(&detail.failure_reason_code),
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn quirks_are_normalised() {
    let types = "\"policy-type\":\"sts\"";
    let domain = "\"policy-domain\":\"example.com\"";
    let string = "[\"version: STSv1\",\"mode: enforce\",\"mx: mx.example.com\",\"max_age: 86400\"]";
    let mx = "\"mx-host\":[\"mx.example.com\"]";
    let good = "\"total-successful-session-count\":10";
    let bad = "\"total-failure-session-count\":2";
    let kind = "\"result-type\":\"certificate-expired\"";
    let ip = "\"sending-mta-ip\":\"192.0.2.1\"";
    let failed = "\"failed-session-count\":2";
    let helo = "\"receiving-mx-helo\":\"mx\"";
    let base = "Reporter Inc.|tls@reporter.example|id-1|sts:example.com|version: STSv1,mode: enforce,mx: mx.example.com,\
                max_age: 86400|mx.example.com|10/2|certificate-expiredx2 192.0.2.1 mx - -";
    let details_at = PLAIN.find("\"failure-details\":").unwrap() + "\"failure-details\":".len();
    let details = &PLAIN[details_at..PLAIN.len() - 3];
    let rows: Vec<(String, &str, &[&str])> = vec![
        (PLAIN.into(), "", &[]),
        (
            with("\"organization-name\":\"Reporter Inc.\",", ""),
            "Reporter Inc.=>reporter.example",
            &["REP-030"],
        ),
        (with("\"tls@reporter.example\"", "null"), "tls@reporter.example=>", &["REP-031"]),
        (with(types, "\"policy-type\":\"STS\""), "", &["REP-037"]),
        (with(types, "\"policy-type\":\"dane-2\""), "sts:=>dane-2:", &["REP-037"]),
        (with(types, "\"x\":1"), "sts:=>unspecified:", &["REP-037"]),
        (with(domain, "\"policy-domain\":\"Example.COM.\""), "", &["REP-039"]),
        (
            with(domain, "\"policy-domain\":\"bücher.example\""),
            "example.com=>xn--bcher-kva.example",
            &["REP-039"],
        ),
        (with(mx, "\"mx-host\":\"mx.example.com\""), "", &["REP-040"]),
        (with(mx, "\"mx-host\":[\"mx: mx.example.com\"]"), "", &["REP-040"]),
        (with(mx, "\"mx-host-pattern\":[\"mx.example.com\"]"), "", &["REP-040"]),
        (with(mx, "\"mx-host\":[\"*.MX.example.com.\"]"), "|mx.example.com|10=>|*.mx.example.com|10", &[]),
        (with(mx, "\"mx-host\":null"), "|mx.example.com|10=>||10", &[]),
        (
            with(string, "\"version: STSv1\\nmode: enforce\\r\\nmx: mx.example.com\\nmax_age: 86400\\n\""),
            "",
            &["REP-041"],
        ),
        (
            with(
                string,
                "[\"[\\\"version: STSv1\\\",\\\"mode: enforce\\\",\\\"mx: mx.example.com\\\",\\\"max_age: 86400\\\"]\"]",
            ),
            "",
            &["REP-041"],
        ),
        (
            with(
                string,
                "[\"version: STSv1\\r\",\" mode: enforce\",\"mx: mx.example.com \",\"max_age: 86400\"]",
            ),
            "",
            &["REP-041"],
        ),
        (with(good, "\"total-successful-session-count\":\"10\""), "", &["REP-042"]),
        (with(good, "\"total-successful-session-count\":10.0"), "", &["REP-042"]),
        (with(good, "\"total-successful-session-count\":null"), "10/2=>0/2", &["REP-043"]),
        (with(bad, "\"x\":0"), "", &["REP-043"]),
        (with(&format!("\"summary\":{{{good},{bad}}},"), ""), "10/2=>0/2", &["REP-044"]),
        (with(&format!("\"summary\":{{{good},{bad}}},"), &format!("{good},{bad},")), "", &["REP-036"]),
        (with(details, "null"), "|certificate-expiredx2 192.0.2.1 mx - -=>", &["REP-045", "REP-050"]),
        (with(details, details.trim_matches(['[', ']'])), "", &["REP-045"]),
        (with(kind, "\"result-type\":\"Certificate-Expired\""), "", &["REP-046"]),
        (with(kind, "\"result-type\":\"Odd-One\""), "certificate-expired=>Odd-One", &["REP-046"]),
        (with(kind, "\"x\":1"), "certificate-expired=>unspecified", &["REP-047"]),
        (with(ip, "\"sending-mta-ip\":\"\""), "192.0.2.1=>-", &["REP-048"]),
        (with(ip, "\"sending-mta-ip\":\"[192.0.2.1]\""), "", &["REP-048"]),
        (with(ip, "\"sending-mta-ip\":\"mail.example\""), "192.0.2.1=>-", &["REP-048"]),
        (with(ip, "\"x\":1"), "192.0.2.1=>-", &[]),
        (with(helo, "\"receiving-mx-helo\":\"mx\\r\\nSIZE 1\\nSTARTTLS\""), "", &["REP-049"]),
        (with(bad, "\"total-failure-session-count\":5"), "10/2=>10/5", &["REP-050"]),
        (with(bad, "\"total-failure-session-count\":0"), "", &["REP-050"]),
        (with(failed, "\"failed-session-count\":3"), "x2=>x3", &["REP-050"]),
        (with(failed, "\"x\":1"), "x2=>x0", &["REP-043", "REP-050"]),
        (
            with(failed, &format!("{failed},\"additional-info-uri\":\"https://r.example/1\"")),
            "mx - -=>mx https://r.example/1 -",
            &["REP-051"],
        ),
        (with(failed, &format!("{failed},\"failure-reason-code\":404")), "mx - -=>mx - 404", &[]),
        (with(good, &format!("{good},{good}")), "", &["REP-025"]),
        (with("\"report-id\":\"id-1\"", "\"report-id\":\"a\",\"report-id\":\"id-1\""), "", &["REP-025"]),
        (with("\"policies\":", "\"unknown\":{\"a\":[1,{}]},\"policies\":"), "", &[]),
    ];
    for (text, change, ids) in rows {
        let (report, findings) = one(&text);
        let (from, to) = change.split_once("=>").unwrap_or_default();
        assert_eq!(shown(&report), base.replacen(from, to, usize::from(!from.is_empty())), "{text}");
        assert_eq!(findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ids, "{text}");
    }
}

#[test]
fn missing_nests_are_read_from_outside() {
    let flat = PLAIN.replacen("\"policy\":{", "", 1).replacen("]},\"summary\"", "],\"summary\"", 1);
    let (report, findings) = one(&flat);
    assert_eq!(report, one(PLAIN).0);
    assert_eq!(findings[0].id, "REP-036");
    let single = PLAIN.replacen("\"policies\":[", "\"policies\":", 1).replacen("]}]}", "]}}", 1);
    let (report, findings) = one(&single);
    assert_eq!(report, one(PLAIN).0);
    assert_eq!(findings[0].id, "REP-036");
}

#[test]
fn a_missing_id_becomes_the_content() {
    let bare = with("\"report-id\":\"id-1\",", "");
    let (report, findings) = one(&bare);
    assert_eq!((report.report_id.len(), findings[0].id.as_str()), (64, "REP-032"));
    assert_eq!(one(&bare).0.report_id, report.report_id);
    let other = bare.replace(":10,", ":11,");
    assert_ne!(one(&other).0.report_id, report.report_id);
}

#[test]
fn domains_are_looked_for_in_order() {
    let bare = |id: &str| with("\"policy-domain\":\"example.com\",", "").replace("id-1", id);
    let held = DomainName::parse("held.example").unwrap();
    let file = "reporter.example!file.example!1780272000!1780358399.json";
    let rows = [
        (bare("x_tail.example"), Some(file), Some(&held), "file.example"),
        (bare("x_tail.example"), Some("free.json"), Some(&held), "tail.example"),
        (bare("x"), None, Some(&held), "held.example"),
        (with("\"example.com\"", "\"\"").replace("id-1", "x_tail.example"), None, None, "tail.example"),
        (
            with("\"example.com\"", "\"no domain\"").replace("id-1", "x+tail.example"),
            None,
            None,
            "tail.example",
        ),
    ];
    for (text, file_name, held_domain, want) in rows {
        let incoming = Incoming { file_name, held_domain, media_type: None };
        let (parsed, mail) = parse(text.as_bytes(), &incoming, &Limits::default(), now());
        assert_eq!(mail, None);
        let Parsed::Accepted(reports) = &parsed else { panic!("{parsed:?}") };
        assert_eq!(reports[0].0.policies[0].policy.policy_domain.as_ref().unwrap().as_str(), want);
        assert_eq!(outcome(&parsed).1, ["REP-038"]);
    }
    assert_eq!(outcome(&read(bare("x").as_bytes())), ("quarantined", vec!["REP-080"]));
}

#[test]
fn domains_under_several_types_are_noted() {
    let entry = |kind: &str, domain: &str| {
        format!(
            r#"{{"policy":{{"policy-type":"{kind}","policy-domain":"{domain}"}},"summary":{{"total-successful-session-count":4,"total-failure-session-count":0}}}}"#
        )
    };
    let at = PLAIN.find("\"policies\":").unwrap();
    let report = |entries: [String; 2]| format!("{}\"policies\":[{}]}}", &PLAIN[..at], entries.join(","));
    let twice = report([entry("sts", "a.example"), entry("tlsa", "a.example")]);
    let (read, findings) = one(&twice);
    assert_eq!(findings[0].id, "REP-052");
    assert_eq!(read.totals().values().next().unwrap().successful, 4, "counted once");
    for fine in [
        [entry("sts", "a.example"), entry("sts", "a.example")],
        [entry("sts", "a.example"), entry("tlsa", "b.example")],
    ] {
        assert_eq!(one(&report(fine)).1, []);
    }
}

#[test]
fn reports_that_cannot_be_counted() {
    let at = PLAIN.find("\"policies\":").unwrap();
    let policies = |value: &str| format!("{}\"policies\":{value}}}", &PLAIN[..at]);
    let rows: Vec<(String, &str, &str)> = vec![
        (PLAIN[..PLAIN.len() - 1].into(), "REP-073", "cut off"),
        (PLAIN.replacen(':', "=", 1), "REP-073", "not JSON"),
        (format!("{PLAIN} and more"), "REP-073", "words behind"),
        (PLAIN[..at].trim_end_matches(',').to_owned() + "}", "REP-074", "no policies"),
        (policies("null"), "REP-074", "null policies"),
        (policies("\"many\""), "REP-075", "policies a text"),
        (policies("[1]"), "REP-075", "entry no object"),
        (policies("[{}]"), "REP-075", "entry empty"),
        (policies("[{\"policy\":\"sts\"}]"), "REP-075", "policy a text"),
        (with(":10,", ":-1,"), "REP-076", "negative"),
        (with(":10,", ":1.5,"), "REP-076", "fraction"),
        (with(":10,", ":1e400,"), "REP-076", "huge"),
        (with(":10,", ":9007199254740992,"), "REP-076", "beyond 2^53-1"),
        (with(":10,", ":\"ten\","), "REP-076", "no number"),
        (with("2026-06-01T23", "2026-05-01T23"), "REP-077", "reversed"),
        (with("\"date-range\"", "\"x\""), "REP-077", "no range"),
        (
            "{\"organization-name\":\"x\",\"report-id\":\"1\",\"policy\":{\"policy-type\":\"sts\"},\"summary\":{\"success-aggregate\":1}}".into(),
            "REP-078",
            "draft",
        ),
    ];
    for (text, id, why) in rows {
        let parsed = read(text.as_bytes());
        assert_eq!(outcome(&parsed), ("quarantined", vec![id]), "{why}: {text}");
        let Parsed::Quarantined(findings) = parsed else { panic!() };
        assert_eq!(findings[0].severity, Severity::Error);
    }
    let empty = read(policies("[]").as_bytes());
    assert_eq!(outcome(&empty), ("accepted", vec!["REP-053"]), "heard, nothing counted");
}

#[test]
fn long_texts_are_cut_with_a_mark() {
    let long = with("Reporter Inc.", &"ü".repeat(3000));
    let name = one(&long).0.organization_name;
    assert!(name.len() <= 4096 && name.ends_with("ü…"), "{} bytes", name.len());
    let fits = "u".repeat(4096);
    assert_eq!(one(&with("Reporter Inc.", &fits)).0.organization_name, fits);
}

#[test]
fn every_id_is_in_the_catalogue() {
    for source in [
        include_str!("../parse.rs"),
        include_str!("container.rs"),
        include_str!("count.rs"),
        include_str!("domain.rs"),
        include_str!("entry.rs"),
        include_str!("json.rs"),
        include_str!("mail.rs"),
        include_str!("normalise.rs"),
        include_str!("text.rs"),
        include_str!("time.rs"),
    ] {
        for (at, _) in source.match_indices("\"REP-") {
            let id = &source[at + 1..at + 8];
            assert!(crate::finding::catalogue::entry(id).is_some(), "{id}");
        }
    }
}
