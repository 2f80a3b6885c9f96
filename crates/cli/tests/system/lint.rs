//! `mailward lint`: one JSON document, exit 1 exactly when a finding is an error.

use std::process::Command;

use serde_json::json;

use crate::command::{binary, ids, run, run_with_input, shared, skip};

#[test]
fn each_kind_of_text_has_its_shape() {
    let good = run(&["lint", "sts-record", "--json", "--", "v=STSv1; id=20260101T000000;"]).exits(0).json();
    assert_eq!(
        good,
        json!({"schema": "mailward.lint.sts-record/1", "verdict": "valid", "id": "20260101T000000", "findings": []})
    );

    let policy = b"version: STSv1\r\nmode: enforce\r\nmx: *.example.com\r\nmax_age: 99999999\r\n";
    let arguments = ["lint", "sts-policy", "--json", "--mx", "a.example.com", "--mx", "a.b.example.com", "-"];
    let judged = run_with_input(&arguments, policy).exits(1).json();
    assert_eq!(judged["verdict"], "valid");
    assert_eq!(judged["policy"]["max_age"], 31_557_600, "the number after clamping");
    assert_eq!(judged["policy"]["mx"], json!(["*.example.com"]));
    assert_eq!(
        judged["mx"],
        json!([
            {"host": "a.example.com", "matched": true, "pattern": "*.example.com"},
            {"host": "a.b.example.com", "matched": false, "pattern": null}
        ])
    );
    assert!(ids(&judged).contains(&"STS-MX-007"), "{judged}");

    let record = "v=TLSRPTv1; rua=mailto:a@example.com,https://r.example/x,ftp://no.example";
    let judged = run(&["lint", "tlsrpt-record", "--json", "--", record]).json();
    assert_eq!(judged["verdict"], "valid");
    assert_eq!(judged["rua"], json!(["mailto:a@example.com", "https://r.example/x"]), "usable, as written");

    let report = run_with_input(&["lint", "report", "--json", "-"], REPORT.as_bytes()).exits(0).json();
    assert_eq!(report["verdict"], "accepted");
    let entry = &report["reports"][0]["policies"][0];
    assert_eq!(entry["policy"]["policy-type"], "sts", "lower case");
    assert_eq!(entry["policy"]["policy-domain"], "xn--bcher-kva.example", "A-labels, lower case");
    assert_eq!(entry["summary"]["total-successful-session-count"], 4);
    assert_eq!(entry["failure-details"][0]["result-type"], "certificate-expired");
}

const REPORT: &str = r#"{"organization-name":"Mail & Co","date-range":{"start-datetime":"2026-10-01T00:00:00Z",
"end-datetime":"2026-10-01T23:59:59Z"},"contact-info":"tls@mail.example","report-id":"1@mail.example","policies":[
{"policy":{"policy-type":"STS","policy-domain":"Bücher.example","policy-string":["version: STSv1","mode: testing",
"mx: mx.example","max_age: 86400"],"mx-host":["mx.example"]},"summary":{"total-successful-session-count":4,
"total-failure-session-count":1},"failure-details":[{"result-type":"Certificate-Expired","sending-mta-ip":"192.0.2.1",
"receiving-mx-hostname":"mx.example","receiving-ip":"192.0.2.2","failed-session-count":1}]}]}"#;

#[test]
fn verdicts_and_exit_codes_agree() {
    for (arguments, verdict, code) in [
        (&["sts-record", "--json", "--", "v=STSv1; id=1;"][..], "valid", 0),
        (&["sts-record", "--json", "--", "v=STSv1; id=;"], "invalid", 1),
        (&["sts-record", "--json", "--", "v=spf1 -all"], "none", 1),
        (&["sts-record", "--json", "--", "v=STSv1; id=1;", "v=STSv1; id=2;"], "invalid", 1),
        (&["tlsrpt-record", "--json", "--", "v=TLSRPTv1; rua=mailto:a@example.com"], "valid", 0),
        // Reading B4: a record, but of no use to anybody.
        (&["tlsrpt-record", "--json", "--", "v=TLSRPTv1; rua=ftp://a.example"], "valid", 1),
        (&["tlsrpt-record", "--json", "--", "v=TLSRPTv1;"], "invalid", 1),
        (&["tlsrpt-record", "--json", "--", "-all"], "none", 1),
    ] {
        let ran = run(&[&["lint"], arguments].concat()).exits(code);
        assert_eq!(ran.json()["verdict"], verdict, "{arguments:?}");
        let errors = ran.json()["findings"].as_array().unwrap().iter().any(|f| f["severity"] == "error");
        assert_eq!(errors, code == 1, "{arguments:?}: exit 1 exactly when a finding is an error");
    }
    for (input, verdict, code) in [
        (&b""[..], "not-a-report", 1),
        (b"\x1f\x8b\x08\x00garbage", "quarantined", 1),
        (b"[1,2,3]", "not-a-report", 1),
        (b"From: a@example.com\r\nSubject: Lunch?\r\n\r\nNoon.\r\n", "not-a-report", 1),
        (REPORT.as_bytes(), "accepted", 0),
    ] {
        let ran = run_with_input(&["lint", "report", "--json", "-"], input).exits(code);
        let document = ran.json();
        let refused = ["quarantined", "not-a-report"].contains(&document["verdict"].as_str().unwrap());
        assert!(document["verdict"] == verdict || (refused && verdict != "accepted"), "{document}");
    }
}

#[test]
fn findings_say_everything_a_finding_must() {
    let document = run(&["lint", "sts-record", "--json", "--", "v=STSv1; id=not-plain;"]).exits(1).json();
    let finding = &document["findings"][0];
    for key in ["id", "severity", "subject", "message", "consequence", "fix", "reference", "evidence"] {
        assert!(finding.get(key).is_some(), "{key} is missing: {finding}");
    }
    assert!(finding["fix"].as_array().is_some_and(|steps| !steps.is_empty()));
    let told = run(&["lint", "sts-record", "--", "v=STSv1; id=not-plain;"]).exits(1);
    assert!(told.stdout.contains(finding["id"].as_str().unwrap()), "{}", told.stdout);
    assert!(told.stderr.is_empty(), "data goes to standard output alone: {}", told.stderr);
}

#[test]
fn standard_input_is_one_record_a_line() {
    let ran = run_with_input(&["lint", "sts-record", "--json", "-"], b"v=STSv1; id=1;\nv=STSv1; id=2;\n");
    assert_eq!(ran.exits(1).json()["verdict"], "invalid", "two records: the domain has none (RFC 8461 §3.1)");
    let ran =
        run_with_input(&["lint", "tlsrpt-record", "--json", "-"], b"v=TLSRPTv1; rua=mailto:a@b.example\n");
    assert_eq!(ran.exits(0).json()["verdict"], "valid");
}

#[test]
fn what_cannot_be_read_is_a_matter_of_usage() {
    for arguments in [
        &["lint", "report", "/nonexistent/report.json"][..],
        &["lint", "report", "/"],
        &["lint", "sts-policy", "/nonexistent"],
        &["lint", "sts-record"],
        &["lint", "tlsa", "--record", "3 1 1 00", "--chain", "/nonexistent.pem", "--name", "mx.example"],
        &["lint"],
    ] {
        let ran = run(arguments).exits(2);
        assert!(ran.stdout.is_empty(), "{arguments:?}: {}", ran.stdout);
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn a_certificate_against_records() {
    let world = mailward_lab::World::start(&mailward_lab::WorldOptions::default()).unwrap();
    let good = world.ca.issue(&["mx.example"], mailward_lab::CertificateKind::Good);
    let old = world.ca.issue(&["mx.example"], mailward_lab::CertificateKind::Expired);
    let chain = |name: &str, identity: &mailward_lab::Identity| {
        let path = world.directory.join(name);
        std::fs::write(&path, identity.certificate_pem()).unwrap();
        path.display().to_string()
    };
    let (good_pem, old_pem) = (chain("good.pem", &good), chain("old.pem", &old));
    let own = |identity: &mailward_lab::Identity| format!("3 1 1 {}", identity.spki_sha256());
    let anchor = format!("2 1 1 {}", world.ca.intermediate_spki_sha256());
    let other = format!("3 1 1 {}", "00".repeat(32));
    for (records, pem, name, verdict, code) in [
        (vec![own(&good)], &good_pem, "mx.example", "match", 0),
        (vec![other.clone(), own(&good)], &good_pem, "mx.example", "match", 0),
        // RFC 7671 §5.1: neither name nor dates matter for DANE-EE.
        (vec![own(&old)], &old_pem, "elsewhere.example", "match", 0),
        (vec![other.clone()], &good_pem, "mx.example", "no-match", 1),
        (vec![anchor.clone()], &good_pem, "mx.example", "match", 0),
        (vec![anchor.clone()], &good_pem, "elsewhere.example", "name-mismatch", 1),
        (vec![anchor], &old_pem, "mx.example", "expired", 1),
        // RFC 7672 §3.1.3: PKIX usages are not for SMTP.
        (vec![format!("1 1 1 {}", good.spki_sha256())], &good_pem, "mx.example", "unusable", 1),
    ] {
        let mut arguments = vec!["lint", "tlsa", "--json", "--chain", pem, "--name", name];
        arguments.extend(["--at", "2026-11-02T09:00:00Z"]);
        records.iter().for_each(|r| arguments.extend(["--record", r]));
        let ran = run(&arguments).exits(code);
        assert_eq!(ran.json()["verdict"], verdict, "{records:?} {name}");
    }
}

/// Runs in the middle of everything that was ever thought of, where it is at hand.
#[test]
fn shared_vectors_and_cases() {
    let Some(runner) = shared("vectors/run.py") else {
        return println!("skipped: no vectors beside the workspace");
    };
    for file in ["vectors.json", "cases.json"] {
        let ran = Command::new("python3")
            .arg(&runner)
            .args(["--bin", binary(), "--jobs", "2", "--file"])
            .arg(runner.with_file_name(file))
            .output();
        let Ok(ran) = ran else { return skip("python3 is not installed") };
        let told = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && told.contains(", 0 failed,"), "{file}: {told}");
    }
}

#[test]
fn shared_reports_have_the_status_they_should() {
    let Some(folder) = shared("samples/reports") else {
        return println!("skipped: no reports beside the workspace");
    };
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let mut rows = index.lines();
    let heads: Vec<&str> = rows.next().unwrap().split('\t').collect();
    let column = |name: &str| heads.iter().position(|h| *h == name).unwrap();
    let (file, status, reports) = (column("file"), column("expected_status"), column("expected_reports"));
    let mut wrong = vec![];
    for row in rows.filter(|r| !r.is_empty()) {
        let cells: Vec<&str> = row.split('\t').collect();
        let path = folder.join(cells[file]).display().to_string();
        let document = run(&["lint", "report", "--json", &path]).json();
        let seen = (document["verdict"].as_str().unwrap(), document["reports"].as_array().unwrap().len());
        let wanted_reports = cells[reports].parse().unwrap_or(seen.1);
        if seen != (cells[status], wanted_reports) {
            wrong.push(format!("{}: {seen:?}, not {:?}", cells[file], (cells[status], wanted_reports)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
