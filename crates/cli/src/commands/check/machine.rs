//! The audit for machines: JSON, JSON lines, JUnit, SARIF, Prometheus.

use std::collections::BTreeMap;

use mailward_core::audit::Audit;
use mailward_core::finding::catalogue;
use mailward_core::{Finding, Severity};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::CheckFormat;
use crate::output::{print_json, print_json_line};

/// `mailward.check/1`: one object a domain.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    audit: &'a Audit,
}

fn document(audit: &Audit) -> Document<'_> {
    Document { schema: "mailward.check/1", audit }
}

/// Prints audits as they come, or at the end where the format is one document.
pub(super) struct Printer {
    format: CheckFormat,
    many: bool,
    kept: Vec<Value>,
    rules: BTreeMap<String, Value>,
}

impl Printer {
    pub(super) fn new(format: CheckFormat, many: bool) -> Self {
        let printer = Self { format, many, kept: vec![], rules: BTreeMap::new() };
        if format == CheckFormat::Prometheus {
            anstream::println!(
                "# HELP mailward_check_findings Findings of an audit, by severity.\n# TYPE mailward_check_findings gauge"
            );
        }
        printer
    }

    pub(super) fn print(&mut self, audit: Audit) {
        match self.format {
            CheckFormat::Human => {}
            CheckFormat::Jsonl => print_json_line(&document(&audit)),
            CheckFormat::Json if !self.many => print_json(&document(&audit)),
            CheckFormat::Json => self.kept.push(json!(document(&audit))),
            CheckFormat::Prometheus => prometheus(&audit),
            CheckFormat::Junit => self.kept.push(Value::String(junit_suite(&audit))),
            CheckFormat::Sarif => {
                for finding in &audit.findings {
                    self.rules.entry(finding.id.clone()).or_insert_with(|| sarif_rule(finding));
                    self.kept.push(sarif_result(&audit, finding));
                }
            }
        }
    }

    pub(super) fn finish(self) {
        match self.format {
            CheckFormat::Json if self.many => print_json(&self.kept),
            CheckFormat::Junit => {
                anstream::println!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mailward check\">"
                );
                self.kept.iter().filter_map(Value::as_str).for_each(|suite| anstream::print!("{suite}"));
                anstream::println!("</testsuites>");
            }
            CheckFormat::Sarif => print_json(&json!({
                "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
                "version": "2.1.0",
                "runs": [{
                    "tool": {"driver": {
                        "name": "mailward",
                        "version": env!("CARGO_PKG_VERSION"),
                        "rules": self.rules.into_values().collect::<Vec<_>>(),
                    }},
                    "results": self.kept,
                }],
            })),
            _ => {}
        }
    }
}

fn prometheus(audit: &Audit) {
    for severity in [Severity::Error, Severity::Warning, Severity::Untested, Severity::Info] {
        let count = audit.findings.iter().filter(|f| f.severity == severity).count();
        anstream::println!(
            "mailward_check_findings{{domain=\"{}\",severity=\"{}\"}} {count}",
            audit.domain,
            severity.as_str()
        );
    }
}

fn xml(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            c if c.is_control() && c != '\n' && c != '\t' => "\u{fffd}".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

fn junit_suite(audit: &Audit) -> String {
    let failed: Vec<&Finding> = audit.findings.iter().filter(|f| f.severity >= Severity::Warning).collect();
    let skipped: Vec<&Finding> = audit.findings.iter().filter(|f| f.severity == Severity::Untested).collect();
    let tests = (failed.len() + skipped.len()).max(1);
    let mut text = format!(
        "  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{}\" skipped=\"{}\">\n",
        audit.domain,
        failed.len(),
        skipped.len()
    );
    for f in failed {
        text.push_str(&format!(
            "    <testcase classname=\"{}\" name=\"{} {}\"><failure type=\"{}\" message=\"{}\">{}</failure></testcase>\n",
            audit.domain,
            f.id,
            xml(&f.subject),
            f.severity.as_str(),
            xml(&f.message),
            xml(&format!("{}\n{}", f.consequence, f.fix.join("\n"))),
        ));
    }
    for f in skipped {
        text.push_str(&format!(
            "    <testcase classname=\"{}\" name=\"{} {}\"><skipped message=\"{}\"/></testcase>\n",
            audit.domain,
            f.id,
            xml(&f.subject),
            xml(&f.message)
        ));
    }
    if !text.contains("<testcase") {
        text.push_str(&format!("    <testcase classname=\"{}\" name=\"audit\"/>\n", audit.domain));
    }
    text.push_str("  </testsuite>\n");
    text
}

fn sarif_level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info | Severity::Untested => "note",
    }
}

fn sarif_rule(finding: &Finding) -> Value {
    let entry = catalogue::entry(&finding.id);
    json!({
        "id": finding.id,
        "shortDescription": {"text": entry.map_or("", |e| e.title)},
        "help": {"text": entry.map_or("", |e| e.remedy)},
        "defaultConfiguration": {"level": sarif_level(entry.map_or(finding.severity, |e| e.severity))},
    })
}

fn sarif_result(audit: &Audit, finding: &Finding) -> Value {
    json!({
        "ruleId": finding.id,
        "level": sarif_level(finding.severity),
        "message": {"text": format!("{}: {}", finding.subject, finding.message)},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": format!("{}/{}", audit.domain, finding.subject), "kind": "resource"}]}],
        "partialFingerprints": {"mailward/1": format!("{}|{}|{}", audit.domain, finding.id, finding.subject)},
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn xml_is_well_formed_whatever_a_server_says() {
        assert_eq!(super::xml("<a href=\"x\">&\u{1}"), "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}");
    }
}
