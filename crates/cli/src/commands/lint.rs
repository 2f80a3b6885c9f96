//! `mailward lint`: verdicts on texts, offline.

use std::io::Read;

use mailward_core::lint::RecordVerdict;
use mailward_core::mta_sts::{self, coverage};
use mailward_core::{DomainName, Finding, MxHost, Severity, dane, tlsrpt};
use serde_json::{Value, json};

use crate::Context;
use crate::args::Lint;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, strong};

/// Largest file read; reports have their own, smaller limits behind it.
const FILE_LIMIT: u64 = 64 << 20;

/// Runs it.
pub fn run(context: &Context, args: Lint) -> Result {
    let now = context.clock.now();
    let (document, findings) = match args {
        Lint::StsRecord { records } => sts_record(&texts(records)?),
        Lint::StsPolicy { file, mx } => {
            let hosts = mx.iter().map(|h| MxHost::parse(h)).collect::<std::result::Result<Vec<_>, _>>()?;
            sts_policy(&read(&file)?, &hosts)
        }
        Lint::TlsrptRecord { records } => {
            let document = tlsrpt::record::TlsrptLintDocument::from(tlsrpt::record::lint(&texts(records)?));
            (json_of(&document), document.findings)
        }
        Lint::Report { file } => {
            let bytes = read(&file)?;
            let name = (file != "-").then(|| std::path::Path::new(&file).file_name()?.to_str()).flatten();
            let document = tlsrpt::lint_report(&bytes, name, now);
            (json_of(&document), document.findings)
        }
        Lint::Tlsa { record, chain, name, at } => {
            let pem = read(&chain.display().to_string())?;
            let chain = dane::lint::pem_chain(&String::from_utf8_lossy(&pem))
                .map_err(|e| Failure::usage(format!("{}: {e}", chain.display())))?;
            let name = DomainName::parse(&name)?;
            let document = dane::lint::lint(&record, &chain, &name, at.unwrap_or(now));
            (json_of(&document), document.findings)
        }
    };
    if context.json() {
        output::print_json(&document);
    } else {
        print(&document, &findings);
    }
    let failed = findings.iter().any(|f| f.severity == Severity::Error);
    Ok(if failed { Outcome::Findings } else { Outcome::Fine })
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn sts_record(texts: &[String]) -> (Value, Vec<Finding>) {
    let linted = mta_sts::record::lint(texts);
    let document = json!({
        "schema": "mailward.lint.sts-record/1",
        "verdict": linted.value.verdict,
        "id": linted.value.record.filter(|_| linted.value.verdict == RecordVerdict::Valid).map(|r| r.id),
        "findings": linted.findings,
    });
    (document, linted.findings)
}

fn sts_policy(body: &[u8], hosts: &[MxHost]) -> (Value, Vec<Finding>) {
    let linted = mta_sts::policy::lint(body);
    let mut findings = linted.findings;
    let mut matches = vec![];
    if let Some(policy) = &linted.value {
        findings.extend(coverage::findings(policy, hosts));
        mailward_core::finding::sort(&mut findings);
        for covered in coverage::coverage(policy, hosts) {
            let pattern = covered.pattern.map(ToString::to_string);
            matches.push(json!({"host": covered.host, "matched": pattern.is_some(), "pattern": pattern}));
        }
    }
    let policy = linted.value.as_ref().map(|p| {
        json!({"version": "STSv1", "mode": p.mode, "max_age": p.max_age, "mx": p.mx, "extensions": p.extensions})
    });
    let document = json!({
        "schema": "mailward.lint.sts-policy/1",
        "verdict": if policy.is_some() { "valid" } else { "invalid" },
        "policy": policy,
        "mx": matches,
        "findings": findings,
    });
    (document, findings)
}

/// The arguments; `-` stands for the lines of standard input.
fn texts(arguments: Vec<String>) -> Result<Vec<String>> {
    if arguments != ["-"] {
        return Ok(arguments);
    }
    let bytes = read("-")?;
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

fn read(file: &str) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Failure::usage(format!("cannot read {file}: {e}"));
    let mut bytes = vec![];
    let source: Box<dyn Read> = match file {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    source.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(Failure::usage(format!("{file} is larger than {} MiB", FILE_LIMIT >> 20)));
    }
    Ok(bytes)
}

fn print(document: &Value, findings: &[Finding]) {
    let verdict = document["verdict"].as_str().unwrap_or_default();
    let detail = match document {
        Value::Object(members) => members
            .iter()
            .filter(|(key, value)| {
                !matches!(key.as_str(), "schema" | "verdict" | "findings" | "reports") && !value.is_null()
            })
            .filter(|(_, value)| !value.as_array().is_some_and(Vec::is_empty))
            .map(|(key, value)| format!("{key} {}", output::clean(&plain(value))))
            .collect::<Vec<_>>()
            .join(" · "),
        _ => String::new(),
    };
    anstream::println!("{}  {detail}", strong(verdict));
    for report in document["reports"].as_array().into_iter().flatten() {
        for entry in report["policies"].as_array().into_iter().flatten() {
            anstream::println!(
                "  {} {}: {} passed, {} failed",
                output::clean(&plain(&entry["policy"]["policy-type"])),
                output::clean(&plain(&entry["policy"]["policy-domain"])),
                entry["summary"]["total-successful-session-count"],
                entry["summary"]["total-failure-session-count"]
            );
        }
    }
    for finding in findings {
        anstream::print!("{}", super::check::finding_line(finding));
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            members.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
