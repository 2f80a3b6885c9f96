use std::net::IpAddr;

use jiff::SignedDuration;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::tlsrpt::report::{AppliedPolicy, Summary};
use crate::tlsrpt::{
    DateRange, FailureDetails, FileName, Incoming, Limits, Parsed, PolicyResult, PolicyType, ResultType,
    parse,
};

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

/// Text without blanks at its edges, with everything that JSON must escape.
fn free_text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9:;,@<>\"\\\\/ é漢\u{1f600}\t-]{1,40}"
        .prop_map(|text| text.trim().to_owned())
        .prop_filter("blank", |text| !text.is_empty())
}

fn details() -> impl Strategy<Value = FailureDetails> {
    (
        (0..ResultType::REGISTERED.len(), 1..1_000_000_u64),
        (option::of(any::<IpAddr>()), option::of(any::<IpAddr>())),
        (
            option::of("[a-z]{1,8}\\.example"),
            option::of(free_text()),
            option::of(free_text()),
            option::of(free_text()),
        ),
    )
        .prop_map(|((kind, count), (from, to), (host, helo, info, code))| FailureDetails {
            result_type: ResultType::REGISTERED[kind].clone(),
            sending_mta_ip: from,
            receiving_mx_hostname: host,
            receiving_mx_helo: helo,
            receiving_ip: to,
            failed_session_count: count,
            additional_information: info,
            failure_reason_code: code,
        })
}

fn entry(domain: String) -> impl Strategy<Value = PolicyResult> {
    let types = prop_oneof![Just(PolicyType::Tlsa), Just(PolicyType::Sts), Just(PolicyType::NoPolicyFound)];
    let pattern = "(\\*\\.)?[a-z]{1,8}\\.example";
    (types, vec("[a-z0-9:. ]{0,20}[a-z]", 0..4), vec(pattern, 0..4), 0..1_u64 << 53, vec(details(), 0..5))
        .prop_map(move |(policy_type, lines, mx_host, good, failure_details)| PolicyResult {
            policy: AppliedPolicy {
                policy_type,
                policy_string: lines.iter().map(|line| line.trim().to_owned()).collect(),
                policy_domain: Some(name(&domain)),
                mx_host,
            },
            summary: Summary {
                total_successful_session_count: good,
                total_failure_session_count: failure_details.iter().map(|d| d.failed_session_count).sum(),
            },
            failure_details,
        })
}

fn report() -> impl Strategy<Value = Report> {
    let entries = btree_map("[a-z]{1,12}\\.example", 0..1_u8, 1..5)
        .prop_flat_map(|domains| domains.into_keys().map(entry).collect::<Vec<_>>());
    (free_text(), free_text(), free_text(), 0..10_000_i64, entries).prop_map(
        |(who, contact, id, day, policies)| {
            let start = Timestamp::from_second(day * 86_400).unwrap();
            Report {
                organization_name: who,
                date_range: DateRange {
                    start_datetime: start,
                    end_datetime: start + SignedDuration::from_secs(86_399),
                },
                contact_info: contact,
                report_id: id,
                policies,
            }
        },
    )
}

fn read(bytes: &[u8]) -> Parsed {
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    parse(bytes, &Incoming::default(), &Limits::default(), now).0
}

proptest! {
    #[test]
    fn what_is_written_reads_back_without_an_oddity(report in report()) {
        let whole = Parsed::Accepted(std::vec![(report.clone(), std::vec![])]);
        prop_assert_eq!(read(&json(&report)), whole.clone());
        prop_assert_eq!(read(&gzip(&report)), whole);
        prop_assert_eq!(text(&gzip(&report)), Ok(json(&report)));
        prop_assert_eq!(unpacked(&gzip(&report)), Ok(report));
    }
}

#[test]
fn members_have_their_form() {
    let start: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    let report = Report {
        organization_name: "R".into(),
        date_range: DateRange {
            start_datetime: start,
            end_datetime: start + SignedDuration::from_secs(86_399),
        },
        contact_info: "a@r.example".into(),
        report_id: "1@r.example".into(),
        policies: vec![PolicyResult {
            policy: AppliedPolicy {
                policy_type: PolicyType::NoPolicyFound,
                policy_string: vec![],
                policy_domain: Some(name("bücher.example")),
                mx_host: vec![],
            },
            summary: Summary { total_successful_session_count: 0, total_failure_session_count: 1 },
            failure_details: vec![FailureDetails {
                result_type: ResultType::StarttlsNotSupported,
                sending_mta_ip: Some("2001:db8:0:0::1".parse().unwrap()),
                receiving_mx_hostname: None,
                receiving_mx_helo: None,
                receiving_ip: Some("192.0.2.1".parse().unwrap()),
                failed_session_count: 1,
                additional_information: None,
                failure_reason_code: None,
            }],
        }],
    };
    let want = concat!(
        r#"{"organization-name":"R","date-range":{"start-datetime":"2026-06-01T00:00:00Z","#,
        r#""end-datetime":"2026-06-01T23:59:59Z"},"contact-info":"a@r.example","report-id":"1@r.example","#,
        r#""policies":[{"policy":{"policy-type":"no-policy-found","policy-string":[],"#,
        r#""policy-domain":"xn--bcher-kva.example","mx-host":[]},"summary":{"total-successful-session-count":0,"#,
        r#""total-failure-session-count":1},"failure-details":[{"result-type":"starttls-not-supported","#,
        r#""sending-mta-ip":"2001:db8::1","receiving-ip":"192.0.2.1","failed-session-count":1}]}]}"#,
    );
    assert_eq!(String::from_utf8(json(&report)).unwrap(), want);
}

#[test]
fn names_around_a_report() {
    let begin: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    let (domain, submitter) = (name("example.com"), name("mail.sender.example"));
    let id = report_id(begin, &domain, "a:b 1", &submitter);
    assert_eq!(id, "20260601.example.com.a.b.1@mail.sender.example");
    let rows = [
        (id.as_str(), "20260601.example.com.a.b.1@mail.sender.example"),
        ("2026-06-01T00:00:00Z_x", "2026-06-01T00.00.00Z_x@mail.sender.example"),
        ("x>\r\nBcc: a@b", "x.Bcc.a@b"),
        ("", "0@mail.sender.example"),
    ];
    for (id, want) in rows {
        let want = format!("Report Domain: example.com Submitter: mail.sender.example Report-ID: <{want}>");
        assert_eq!(subject(&domain, &submitter, id), want);
    }
    let file = FileName {
        sender: submitter,
        policy_domain: domain,
        begin,
        end: begin + SignedDuration::from_secs(86_399),
        unique: Some("001".into()),
    };
    assert_eq!(file.gzip(), "mail.sender.example!example.com!1780272000!1780358399!001.json.gz");
}
