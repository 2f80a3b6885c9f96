use std::collections::BTreeMap;
use std::path::Path;

use super::*;

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

#[test]
fn json_has_the_promised_form() {
    let text = br#"{"organization-name":"R","date-range":{"start-datetime":"2026-06-01T00:00:00Z",
        "end-datetime":"2026-06-01T23:59:59Z"},"contact-info":"a@r.example","report-id":"1","policies":[{"policy":
        {"policy-type":"STS","policy-domain":"Example.COM","policy-string":["version: STSv1"],"mx-host":["*.A.example"]},
        "summary":{"total-successful-session-count":3,"total-failure-session-count":1},"failure-details":[
        {"result-type":"Certificate-Expired","failed-session-count":1,"receiving-ip":"2001:DB8::0:1"}]}]}"#;
    let json = serde_json::to_value(lint_report(text, Some("x.json"), now())).unwrap();
    assert_eq!(json["schema"], "mailward.lint.report/1");
    assert_eq!(json["verdict"], "accepted");
    let policy = &json["reports"][0]["policies"][0];
    let want = serde_json::json!({
        "policy": {"policy-type": "sts", "policy-string": ["version: STSv1"], "policy-domain": "example.com",
            "mx-host": ["*.a.example"]},
        "summary": {"total-successful-session-count": 3, "total-failure-session-count": 1},
        "failure-details": [{"result-type": "certificate-expired", "receiving-ip": "2001:db8::1",
            "failed-session-count": 1}],
    });
    assert_eq!(policy, &want);
    let ids: Vec<&str> =
        json["findings"].as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["REP-037", "REP-039", "REP-046"]);
}

#[test]
fn verdicts_other_than_accepted_have_an_error() {
    for (text, verdict) in [
        ("{\"some\":\"json\"}", ReportVerdict::NotAReport),
        ("", ReportVerdict::NotAReport),
        ("{", ReportVerdict::Quarantined),
        ("garbage", ReportVerdict::Quarantined),
    ] {
        let lint = lint_report(text.as_bytes(), None, now());
        assert_eq!(lint.verdict, verdict, "{text}");
        assert!(lint.findings.iter().any(|f| f.severity == Severity::Error), "{text}");
        assert!(lint.reports.is_empty());
    }
}

/// How the table of samples writes what must come out.
fn in_words(report: &Report) -> Vec<String> {
    let entries = report.policies.iter().map(|entry| {
        let mut failures: BTreeMap<&str, u64> = BTreeMap::new();
        for detail in &entry.failure_details {
            *failures.entry(detail.result_type.as_str()).or_default() += detail.failed_session_count;
        }
        let domain = entry.policy.policy_domain.as_ref().map_or("?", |d| d.as_str());
        let mut words = format!(
            "{}:{domain} ok={} failed={}",
            entry.policy.policy_type.as_str(),
            entry.summary.total_successful_session_count,
            entry.summary.total_failure_session_count
        );
        if !failures.is_empty() {
            let list: Vec<String> = failures.iter().map(|(kind, count)| format!("{kind}:{count}")).collect();
            words.push_str(&format!(" [{}]", list.join(", ")));
        }
        words
    });
    entries.collect()
}

#[test]
fn samples_from_the_wild_come_out_as_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples/reports");
    let Ok(index) = std::fs::read_to_string(folder.join("INDEX.tsv")) else {
        println!("skipped: the samples are not beside the workspace");
        return;
    };
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in index.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [file, _, _, _, quirk, status, reports, policies, listed] = columns[..] else {
            panic!("{row}: {} columns", columns.len())
        };
        rows += 1;
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let lint = lint_report(&bytes, Some(file), now());
        let verdict = serde_json::to_value(lint.verdict).unwrap();
        let got: Vec<String> = lint.reports.iter().flat_map(in_words).collect();
        let ids: Vec<&str> = lint.findings.iter().map(|f| f.id.as_str()).collect();
        let listed: Vec<&str> = listed.split(',').filter(|id| !id.is_empty()).collect();
        let unlisted: Vec<&Finding> = lint
            .findings
            .iter()
            .filter(|f| !listed.contains(&f.id.as_str()))
            .filter(|f| !matches!(f.severity, Severity::Info | Severity::Untested))
            .collect();
        let fits = verdict == status
            && lint.reports.len().to_string() == reports
            && got.join(" ; ") == policies
            && listed.iter().all(|id| ids.contains(id))
            && unlisted.is_empty();
        if !fits {
            wrong.push(format!("{file} ({quirk}): {verdict} {got:?} {:#?}", lint.findings));
        }
    }
    assert!(rows > 70, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
}
