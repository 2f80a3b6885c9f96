//! Programs of other makers that read our reports: dkimpy and parsedmarc, as `scripts/python` installs them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::counts::{Counts, of_parsedmarc};
use crate::namespace::parts;

/// The Python that has them, where it is there.
pub fn python() -> Option<PathBuf> {
    let folder = parts().join("python");
    folder.join(".made-by").exists().then(|| folder.join("bin/python"))
}

/// One report as read by them.
pub struct Read {
    pub report_id: String,
    pub counts: Counts,
    /// Algorithms of the signatures, all of which are valid; `None` for what came by POST.
    pub signed: Option<Vec<String>>,
}

/// Has files read: `.eml` for mails, `.gz` for what was posted. Panics at any complaint of theirs.
#[track_caller]
pub fn read(resolver: IpAddr, files: &[PathBuf]) -> Vec<Read> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postfix/chain/readers.py");
    let python = python().expect("whoever has something read has looked for Python");
    let output = Command::new(python).arg(script).arg(resolver.to_string()).args(files).output().unwrap();
    let (told, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}{complaints}");
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), files.len(), "{told}");
    lines.iter().map(one).collect()
}

fn one(line: &Value) -> Read {
    assert_eq!((&line["type"], &line["complaints"]), (&"smtp_tls".into(), &Value::Array(vec![])), "{line}");
    let signed = line["signatures"].as_array().map(|all| {
        let algorithms = all.iter().map(|signature| {
            assert_eq!(signature["valid"], true, "{line}");
            assert_eq!(signature["domain"], crate::office::DOMAIN, "{line}");
            // RFC 8460 §3: no l=.
            assert_eq!(signature["length"], false, "{line}");
            signature["algorithm"].as_str().unwrap().to_owned()
        });
        algorithms.collect()
    });
    let report = &line["report"];
    Read {
        report_id: report["report_id"].as_str().unwrap().to_owned(),
        counts: of_parsedmarc(report),
        signed,
    }
}
