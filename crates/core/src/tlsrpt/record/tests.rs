use std::path::Path;

use serde_json::Value;

use super::*;

fn text(record: &str) -> Vec<String> {
    vec![record.to_owned()]
}

fn uris(linted: &Linted<TlsrptLint>) -> Vec<&str> {
    linted.value.rua.iter().map(ReportUri::as_str).collect()
}

fn ids(linted: &Linted<TlsrptLint>) -> Vec<&str> {
    linted.findings.iter().map(|f| f.id.as_str()).collect()
}

#[test]
fn records_that_senders_use() {
    let rows: &[(&str, &[&str], &[&str], &str)] = &[
        ("v=TLSRPTv1; rua=mailto:a@b.example", &["mailto:a@b.example"], &[], "plain"),
        ("v=TLSRPTv1;rua=mailto:a@b.example;", &["mailto:a@b.example"], &[], "final semicolon"),
        ("v=TLSRPTv1; rua=mailto:a@b.example  ", &["mailto:a@b.example"], &[], "reading B6"),
        ("v=TLSRPTv1; rua=mailto:a@b.example ; ", &["mailto:a@b.example"], &[], "blanks around it"),
        ("v=TLSRPTv1 ; rua=mailto:a@b.example", &["mailto:a@b.example"], &["STS-TXT-007"], "reading A1"),
        (
            "v=TLSRPTv1; rua=mailto:a@b.example ,\thttps://c.example/x",
            &["mailto:a@b.example", "https://c.example/x"],
            &["RPT-004"],
            "two",
        ),
        (
            "v=TLSRPTv1; rua=mailto:a@b.example; rua=mailto:c@b.example,mailto:a@b.example",
            &["mailto:a@b.example", "mailto:c@b.example"],
            &["RPT-004"],
            "union, reading B5",
        ),
        ("v=TLSRPTv1; rua=mailo:a@b.example", &[], &["RPT-002"], "no usable target, reading B4"),
        (
            "v=TLSRPTv1; rua=http://b.example,mailto:a@b.example",
            &["mailto:a@b.example"],
            &["RPT-002", "RPT-004"],
            "one of two",
        ),
        (
            "v=TLSRPTv1; p=none; rua=mailto:a@b.example; x=1",
            &["mailto:a@b.example"],
            &["RPT-010"],
            "DMARC tag",
        ),
    ];
    for (record, rua, findings, why) in rows {
        let linted = lint(&text(record));
        assert_eq!(linted.value.verdict, RecordVerdict::Valid, "{record}: {why}");
        assert_eq!((uris(&linted), ids(&linted)), (rua.to_vec(), findings.to_vec()), "{record}: {why}");
    }
}

#[test]
fn records_that_senders_cannot_use() {
    use RecordVerdict::{Invalid, None};
    let rows = [
        ("v=TLSRPTv1", None, "RPT-001", "no semicolon, reading B1"),
        ("v=TLSRPTv10; rua=mailto:a@b.example", None, "RPT-001", "other version"),
        ("v=tlsrptv1; rua=mailto:a@b.example", None, "RPT-001", "case counts"),
        (" v=TLSRPTv1; rua=mailto:a@b.example", None, "RPT-001", "leading blank"),
        ("v=spf1 -all", None, "RPT-001", "another kind"),
        ("v=TLSRPTv1;", Invalid, "RPT-002", "no rua"),
        ("v=TLSRPTv1; RUA=mailto:a@b.example", Invalid, "RPT-002", "names are case-sensitive"),
        ("v=TLSRPTv1; rua=", Invalid, "RPT-002", "empty"),
        ("v=TLSRPTv1; rua=mailto:a@b.example,", Invalid, "RPT-002", "empty address"),
        ("v=TLSRPTv1; rua=a@b.example", Invalid, "RPT-002", "no scheme"),
        ("v=TLSRPTv1; rua=mailto:a@b.example!10m", Invalid, "RPT-003", "raw !"),
        ("v=TLSRPTv1; rua=mailto:a@b.example x", Invalid, "RPT-003", "blank inside"),
        ("v=TLSRPTv1; rua=mailto:a@b.example;;", Invalid, "RPT-001", "two semicolons"),
        ("v=TLSRPTv1; rua =mailto:a@b.example", Invalid, "RPT-001", "blank before ="),
        ("v=TLSRPTv1; rua=mailto:a@b.example; x==1", Invalid, "RPT-001", "= in a value"),
        ("v=TLSRPTv1; rua=mailto:a@b.example; bad", Invalid, "RPT-001", "no value"),
    ];
    for (record, verdict, id, why) in rows {
        let linted = lint(&text(record));
        assert_eq!(linted.value.verdict, verdict, "{record}: {why}");
        assert_eq!(ids(&linted), [id], "{record}: {why}");
        assert_eq!(linted.findings[0].severity, Severity::Error, "{record}: {why}");
        assert!(linted.value.rua.is_empty());
    }
}

#[test]
fn the_set_of_records_decides() {
    let good = "v=TLSRPTv1; rua=mailto:a@b.example";
    let rows: &[(&[&str], Result<bool, RecordError>)] = &[
        (&[], Ok(false)),
        (&["other"], Ok(false)),
        (&[good], Ok(true)),
        (&["other", good], Ok(true)),
        (&[good, good], Err(RecordError::Repeated(2))),
        // Counted by tag, broken or not (reading A2).
        (&[good, "v=TLSRPTv1; bad"], Err(RecordError::Repeated(2))),
        (&["v=TLSRPTv1; bad"], Err(RecordError::Malformed(Fault::Field("bad".into())))),
        (
            &["v=TLSRPTv1; rua=http://x.example"],
            Err(RecordError::NoTarget("http://x.example (reports are not sent by http)".into())),
        ),
    ];
    for (texts, want) in rows {
        let records: Vec<TxtRecord> = texts.iter().map(|t| TxtRecord(t.as_bytes().to_vec())).collect();
        assert_eq!(lookup(&records).map(|r| r.is_some()), *want, "{texts:?}");
    }
    assert_eq!(lint(&[]).findings[0].severity, Severity::Info, "no record at all harms no mail");
    let twice = lint(&[good.to_owned(), good.to_owned()]);
    assert_eq!((twice.value.verdict, ids(&twice)), (RecordVerdict::Invalid, vec!["RPT-001"]));
}

#[test]
fn rendering_reads_back() {
    let record = TlsrptRecord {
        rua: vec![ReportUri::parse("mailto:x@mox.example").unwrap()],
        extensions: vec![("more".into(), "a".into()), ("ext".into(), "2".into())],
    };
    assert_eq!(record.render(), "v=TLSRPTv1; rua=mailto:x@mox.example; more=a; ext=2");
    assert_eq!(lookup(&[TxtRecord(record.render().into_bytes())]), Ok(Some(record)));
}

#[test]
fn json_has_the_promised_form() {
    let document = TlsrptLintDocument::from(lint(&text("v=TLSRPTv1; rua=mailto:a@b.example")));
    let json = serde_json::to_value(document).unwrap();
    let want = serde_json::json!({
        "schema": "mailward.lint.tlsrpt-record/1", "verdict": "valid", "rua": ["mailto:a@b.example"], "findings": []
    });
    assert_eq!(json, want);
}

/// A table of vectors beside the workspace, where there is one.
fn shared(file: &str) -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(file);
    Some(serde_json::from_slice(&std::fs::read(path).ok()?).unwrap())
}

#[test]
fn conformance_vectors() {
    let Some(document) = shared("vectors/vectors.json") else { return };
    let mut seen = 0;
    for vector in document["vectors"].as_array().unwrap() {
        if vector["kind"] != "tlsrpt-txt" {
            continue;
        }
        let linted = lint(&text(vector["input"].as_str().unwrap()));
        let verdict = serde_json::to_value(linted.value.verdict).unwrap();
        assert_eq!(verdict, vector["expect"], "{vector}");
        if let Some(rua) = vector.get("rua") {
            assert_eq!(&serde_json::to_value(&linted.value.rua).unwrap(), rua, "{vector}");
        }
        for id in vector["findings"].as_array().into_iter().flatten() {
            assert!(ids(&linted).contains(&id.as_str().unwrap()), "{vector}");
        }
        let worst = linted.findings.iter().any(|f| f.severity == Severity::Error);
        assert!(worst || linted.value.verdict == RecordVerdict::Valid, "{vector}");
        seen += 1;
    }
    assert!(seen >= 45, "{seen} vectors");
}

#[test]
fn conformance_cases() {
    let Some(document) = shared("vectors/cases.json") else { return };
    for case in document["topics"]["tlsrpt_txt_parse"].as_array().unwrap() {
        let linted = lint(&text(case["input"].as_str().unwrap()));
        match case["expect"]["rua"].as_array() {
            Some(groups) => {
                let want: Vec<&Value> = groups.iter().flat_map(|g| g.as_array().unwrap()).collect();
                assert_eq!(uris(&linted), want, "{case}");
            }
            None => assert_ne!(linted.value.verdict, RecordVerdict::Valid, "{case}"),
        }
    }
    for case in document["topics"]["tlsrpt_txt_rrset"].as_array().unwrap() {
        let Some(texts) = case["txt"].as_array() else { continue };
        let texts: Vec<String> = texts.iter().map(|t| t.as_str().unwrap().to_owned()).collect();
        let want = match case["expect"].as_str().unwrap() {
            "ok" => RecordVerdict::Valid,
            "no-record" => RecordVerdict::None,
            _ => RecordVerdict::Invalid,
        };
        assert_eq!(lint(&texts).value.verdict, want, "{case}");
    }
}
