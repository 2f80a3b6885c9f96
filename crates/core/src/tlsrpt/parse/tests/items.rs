//! Items of every kind: containers, encodings, several documents, mail.

use super::*;

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(in super::super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\r\n")
}

#[test]
fn containers_and_encodings() {
    let plain = PLAIN.as_bytes();
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(PLAIN.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let latin1: Vec<u8> =
        PLAIN.replace("Reporter", "R\u{1}").bytes().map(|b| if b == 1 { 0xe9 } else { b }).collect();
    let two = [gzip(&plain[..100]), gzip(&plain[100..])].concat();
    let rows: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("gzip", gzip(plain), &[]),
        ("two members", two, &[]),
        ("gzip in gzip", gzip(&gzip(plain)), &["REP-003"]),
        ("gzip with padding", [gzip(plain), vec![0; 9]].concat(), &["REP-023"]),
        ("zip", zip(&[("r.json", plain)]), &["REP-001"]),
        ("gzip in zip", zip(&[("r.json.gz", &gzip(plain))]), &["REP-001", "REP-003"]),
        (
            "zip with a leaflet",
            zip(&[("__MACOSX/._r.json", b"\0\x05"), ("READ.ME", b"Hello,\nworld"), ("r.json", plain)]),
            &["REP-001"],
        ),
        ("mark", [b"\xef\xbb\xbf", plain].concat(), &["REP-020"]),
        ("UTF-16", utf16, &["REP-021"]),
        ("Latin-1", latin1, &["REP-022"]),
        ("NUL behind", [plain, b"\n\0\0"].concat(), &["REP-023"]),
        ("list at the root", format!("[{PLAIN}]").into_bytes(), &["REP-024"]),
    ];
    for (why, bytes, ids) in rows {
        assert_eq!(outcome(&read(&bytes)), ("accepted", ids.to_vec()), "{why}");
    }
}

#[test]
fn several_reports_in_one_item() {
    let other = PLAIN.replace("id-1", "id-2");
    let rows: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("one behind the other", format!("{PLAIN}\n{other}").into_bytes(), &["REP-002", "REP-024"]),
        ("list", format!("[{PLAIN},{other}]").into_bytes(), &["REP-002", "REP-024"]),
        ("zip", zip(&[("a.json", PLAIN.as_bytes()), ("b.json", other.as_bytes())]), &["REP-001", "REP-002"]),
    ];
    for (why, bytes, ids) in rows {
        let Parsed::Accepted(reports) = read(&bytes) else { panic!("{why}") };
        assert_eq!(reports.iter().map(|(r, _)| r.report_id.as_str()).collect::<Vec<_>>(), ["id-1", "id-2"]);
        for (_, findings) in &reports {
            assert_eq!(findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ids, "{why}");
        }
    }
}

#[test]
fn what_is_whole_counts_beside_what_is_not() {
    let cut = &PLAIN[..300];
    let mixed = format!("[{PLAIN},{}]", PLAIN.replace(":10,", ":-1,"));
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("second document cut off", format!("{PLAIN}{cut}").into_bytes(), "REP-073"),
        ("a negative count in the second", mixed.into_bytes(), "REP-076"),
        ("damaged entry", zip(&[("a", PLAIN.as_bytes()), ("b", &gzip(PLAIN.as_bytes())[..50])]), "REP-070"),
    ];
    for (why, bytes, id) in rows {
        let Parsed::Accepted(reports) = read(&bytes) else { panic!("{why}") };
        assert_eq!(reports.len(), 1, "{why}");
        let error = reports[0].1.iter().find(|f| f.severity == Severity::Error).expect(why);
        assert_eq!(error.id, id, "{why}");
    }
}

#[test]
fn items_that_are_no_report() {
    let rows: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("nothing", vec![], "not-a-report", "REP-091"),
        ("blanks", b" \r\n\0".to_vec(), "not-a-report", "REP-091"),
        ("other JSON", b"{\"a\":1}".to_vec(), "not-a-report", "REP-092"),
        ("a number", b"[17]".to_vec(), "not-a-report", "REP-092"),
        ("empty list", b"[]".to_vec(), "not-a-report", "REP-092"),
        ("empty zip", zip(&[]), "not-a-report", "REP-091"),
        ("zip of words", zip(&[("READ.ME", b"Hello")]), "not-a-report", "REP-091"),
        ("zip of a false report", zip(&[("r.json", b"Hello")]), "quarantined", "REP-073"),
        ("gzip of nothing", gzip(b""), "not-a-report", "REP-091"),
        ("words", b"hello".to_vec(), "quarantined", "REP-073"),
        ("cut-off gzip", gzip(PLAIN.as_bytes())[..80].to_vec(), "quarantined", "REP-070"),
        ("cut-off zip", zip(&[("r.json", PLAIN.as_bytes())])[..200].to_vec(), "quarantined", "REP-070"),
    ];
    for (why, bytes, status, id) in rows {
        assert_eq!(outcome(&read(&bytes)), (status, vec![id]), "{why}");
    }
}

#[test]
fn labels_are_compared_with_the_content() {
    type Row<'a> = (&'a [u8], Option<&'a str>, Option<&'a str>, bool, &'a str);
    let rows: [Row<'_>; 8] = [
        (PLAIN.as_bytes(), Some("application/tlsrpt+json"), None, false, "registered"),
        (PLAIN.as_bytes(), Some("Application/TLSRPT+JSON; x=y"), None, false, "case, parameter"),
        (PLAIN.as_bytes(), Some("application/json"), None, true, "another type"),
        (PLAIN.as_bytes(), Some("application/tlsrpt+gzip"), None, true, "contradicts"),
        (PLAIN.as_bytes(), None, Some("r.json.gz"), true, "name contradicts"),
        (&gzip(PLAIN.as_bytes()), Some("application/tlsrpt+gzip"), Some("r.json.gz"), false, "registered"),
        (&gzip(PLAIN.as_bytes()), Some("application/tlsrpt+json"), None, true, "contradicts"),
        (PLAIN.as_bytes(), None, Some("report"), false, "no extension"),
    ];
    for (bytes, media_type, file_name, odd, why) in rows {
        let incoming = Incoming { file_name, media_type, held_domain: None };
        let parsed = parse(bytes, &incoming, &Limits::default(), now()).0;
        assert_eq!(outcome(&parsed).1, if odd { vec!["REP-004"] } else { vec![] }, "{why}");
    }
}

const NAME: &str = "reporter.example!example.com!1780272000!1780358399!001.json.gz";

/// A report mail without an oddity.
pub(in super::super) fn mail() -> String {
    format!(
        "From: TLS <tls@reporter.example>\r\nTo: tlsrpt@example.com\r\nMessage-ID: <m1@reporter.example>\r\n\
         Subject: Report Domain: example.com\r\n Submitter: reporter.example\r\n Report-ID: <id-1>\r\n\
         TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: reporter.example\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"=b\"\r\n\r\n\
         --=b\r\nContent-Type: text/plain\r\n\r\nA report.\r\n\
         --=b\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"{NAME}\"\r\n\r\n{}\r\n--=b--\r\n",
        base64(&gzip(PLAIN.as_bytes()))
    )
}

#[test]
fn mails_by_row() {
    let plain = mail();
    let (head, body) = plain.split_once("\r\n\r\n").unwrap();
    let gz = base64(&gzip(PLAIN.as_bytes()));
    let swap = |from: &str, to: &str| {
        assert!(plain.contains(from), "{from}");
        plain.replace(from, to)
    };
    let as_json = swap("application/tlsrpt+gzip", "application/tlsrpt+json")
        .replace("Content-Transfer-Encoding: base64\r\n", "")
        .replace(".json.gz", ".json")
        .replace(&gz, PLAIN);
    let forwarded = format!(
        "From: me@example.com\r\nSubject: Fwd\r\nContent-Type: multipart/mixed; boundary=f\r\n\r\n\
         --f\r\nContent-Type: message/rfc822\r\n\r\n{plain}\r\n--f--\r\n"
    );
    let bounce = format!(
        "From: mailer@example.com\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=f\r\n\r\n\
         --f\r\nContent-Type: message/rfc822\r\n\r\n{plain}\r\n--f--\r\n"
    );
    let inline = format!(
        "{}\r\nContent-Type: text/plain\r\n\r\n{PLAIN}\r\n",
        head.split("\r\nContent-Type:").next().unwrap()
    );
    let latin1 = as_json.replace("+json", "").replace("application/tlsrpt", "text/plain; charset=us-ascii");
    let rows: Vec<(&str, String, &str, &[&str])> = vec![
        ("by the book", plain.clone(), "accepted", &[]),
        ("JSON part", as_json.clone(), "accepted", &[]),
        ("line ends of Unix", plain.replace("\r\n", "\n"), "accepted", &[]),
        ("mbox", format!("From tls Mon Jan  1 00:00:00 2026\r\n{plain}"), "accepted", &[]),
        ("other type", swap("application/tlsrpt+gzip", "application/octet-stream"), "accepted", &["REP-004"]),
        ("bare type", swap("application/tlsrpt+gzip", "application/tlsrpt"), "accepted", &["REP-004"]),
        ("capitals", swap("application/tlsrpt+gzip", "Application/TLSRPT+GZIP"), "accepted", &[]),
        (
            "mixed",
            swap("multipart/report; report-type=\"tlsrpt\"", "multipart/mixed"),
            "accepted",
            &["REP-005"],
        ),
        ("other report", swap("\"tlsrpt\"", "\"feedback-report\""), "accepted", &["REP-005"]),
        ("no headers", swap("TLS-Report-", "X-"), "accepted", &["REP-006"]),
        (
            "other domain",
            swap("TLS-Report-Domain: example.com", "TLS-Report-Domain: b.example"),
            "accepted",
            &["REP-007"],
        ),
        (
            "domain in capitals",
            swap("TLS-Report-Domain: example.com", "TLS-Report-Domain: EXAMPLE.com."),
            "accepted",
            &[],
        ),
        ("forwarded", forwarded, "accepted", &["REP-008"]),
        ("other Subject", swap("<id-1>", "<id.1@reporter.example>"), "accepted", &["REP-009"]),
        ("Subject without id", swap(" Report-ID: <id-1>", " x"), "accepted", &[]),
        ("free name", swap(NAME, "report.gz"), "accepted", &["REP-010"]),
        ("report as the text", inline, "accepted", &["REP-004", "REP-005", "REP-010"]),
        ("text part", latin1, "accepted", &["REP-004"]),
        ("bounce", bounce, "not-a-report", &["REP-090"]),
        ("no report", format!("{head}\r\n\r\n--=b\r\n\r\nHello\r\n--=b--\r\n"), "not-a-report", &["REP-091"]),
        (
            "other JSON as text",
            format!("{head}\r\n\r\n--=b\r\n\r\n{{\"a\":1}}\r\n--=b--\r\n"),
            "not-a-report",
            &["REP-091"],
        ),
        ("other JSON as file", plain.replace(&gz, &base64(&gzip(b"{}"))), "not-a-report", &["REP-092"]),
        (
            "damaged part",
            plain.replace(&gz, &base64(&gzip(PLAIN.as_bytes())[..90])),
            "quarantined",
            &["REP-070"],
        ),
        ("garbage in the part", plain.replace(&gz, "!!!! no base64 !!!!"), "quarantined", &["REP-070"]),
        (
            "signature behind",
            body.replace("--=b--", "--=b\r\n\r\n{-- \r\nbye\r\n--=b--").replacen(
                "--=b",
                &format!("{head}\r\n\r\n--=b"),
                1,
            ),
            "accepted",
            &[],
        ),
    ];
    for (why, text, status, ids) in rows {
        assert_eq!(outcome(&read(text.as_bytes())), (status, ids.to_vec()), "{why}");
    }
    let compressed = read(&gzip(plain.as_bytes()));
    assert_eq!(outcome(&compressed), ("accepted", vec![]), "a mail compressed by the mailbox");
}

#[test]
fn facts_of_the_mail_are_told() {
    let facts = |text: &str| parse(text.as_bytes(), &Incoming::default(), &Limits::default(), now()).1;
    let want = MailFacts {
        from_domain: Some("reporter.example".into()),
        report_domain: Some("example.com".into()),
        report_submitter: Some("reporter.example".into()),
        message_id: Some("m1@reporter.example".into()),
        forwarded: false,
    };
    assert_eq!(facts(&mail()), Some(want.clone()));
    let forwarded = format!("From: me@evil.example\r\nContent-Type: message/rfc822\r\n\r\n{}", mail());
    assert_eq!(facts(&forwarded), Some(MailFacts { forwarded: true, ..want }));
    assert_eq!(facts(PLAIN), None);
}

#[test]
fn the_header_names_a_missing_domain_first() {
    let bare = PLAIN.replace("\"policy-domain\":\"example.com\",", "");
    let text = mail()
        .replace(&base64(&gzip(PLAIN.as_bytes())), &base64(&gzip(bare.as_bytes())))
        .replace("TLS-Report-Domain: example.com", "TLS-Report-Domain: Header.example");
    let Parsed::Accepted(reports) = read(text.as_bytes()) else { panic!() };
    assert_eq!(reports[0].0.policies[0].policy.policy_domain.as_ref().unwrap().as_str(), "header.example");
    assert_eq!(reports[0].1.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["REP-038"]);
}
