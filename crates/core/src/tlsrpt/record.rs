//! The TXT record at `_smtp._tls.<domain>` (RFC 8460 §3): where reports about a domain go.
//!
//! Senders ask [`lookup`], checkers ask [`lint`], publishers write with [`TlsrptRecord::render`]. The
//! addresses themselves are read in [`super::uri`]. Nobody here looks anything up: the TXT records
//! come in, their strings already joined.

use serde::Serialize;

pub use super::uri::{ReportUri, UriError};
use crate::Finding;
use crate::dns::TxtRecord;
use crate::finding::{self, Severity};
use crate::lint::{Linted, RecordVerdict};

const VERSION: &str = "v=TLSRPTv1";

/// Tags that belong into a DMARC record, found here by habit (RPT-010).
const DMARC_TAGS: [&str; 12] = ["p", "sp", "np", "pct", "ruf", "adkim", "aspf", "fo", "rf", "ri", "t", "psd"];

/// The record a sender uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsrptRecord {
    /// Usable targets in order (reading B4); never empty in a usable record.
    pub rua: Vec<ReportUri>,
    /// Unknown fields in order, kept.
    pub extensions: Vec<(String, String)>,
}

/// Why there is a record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// More than one text carries the tag (RFC 8460 §3).
    #[error("{0} TLS-RPT records are published; senders use none of them")]
    Repeated(usize),
    /// A field or an address breaks the grammar (reading B10: as if there were no record).
    #[error("{0}")]
    Malformed(Fault),
    /// Well-formed, and no address can be used (reading B4).
    #[error("no report address can be used: {0}")]
    NoTarget(String),
}

/// The first place where a record breaks the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no `rua` field.
    #[error("the field rua is missing")]
    RuaMissing,
    /// `rua=` lists nothing between two commas, or nothing at all.
    #[error("rua has an empty address")]
    RuaEmpty,
    /// Nothing between two semicolons.
    #[error("there is nothing between two semicolons")]
    EmptyField,
    /// A field that is no `name=value` of the allowed characters.
    #[error("the field {0:?} is malformed")]
    Field(String),
    /// An address that is no URI.
    #[error("the report address {0:?} is malformed: {1}")]
    Uri(String, UriError),
}

/// What `mailward lint tlsrpt-record` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsrptLint {
    /// Version of this form.
    pub schema: &'static str,
    /// What a sender does with the texts.
    pub verdict: RecordVerdict,
    /// Usable targets, as written.
    pub rua: Vec<ReportUri>,
}

/// [`TlsrptLint`] with its findings, as one JSON object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TlsrptLintDocument {
    /// The verdict.
    #[serde(flatten)]
    pub lint: TlsrptLint,
    /// Sorted.
    pub findings: Vec<Finding>,
}

impl From<Linted<TlsrptLint>> for TlsrptLintDocument {
    fn from(linted: Linted<TlsrptLint>) -> Self {
        Self { lint: linted.value, findings: linted.findings }
    }
}

/// What a sender learns from the TXT records at the name: a record to use, none, or why none.
///
/// # Errors
/// A [`RecordError`] when records are there and none can be used; a sender treats it as no record.
pub fn lookup(records: &[TxtRecord]) -> Result<Option<TlsrptRecord>, RecordError> {
    let texts: Vec<String> = records.iter().map(TxtRecord::text).collect();
    let tagged: Vec<&String> = texts.iter().filter(|text| fields_of(text).is_some()).collect();
    match tagged[..] {
        [] => Ok(None),
        [text] => {
            let read = read(text).map_err(RecordError::Malformed)?;
            if read.record.rua.is_empty() {
                return Err(RecordError::NoTarget(read.unusable_in_words()));
            }
            Ok(Some(read.record))
        }
        _ => Err(RecordError::Repeated(tagged.len())),
    }
}

/// What a sender does with these texts, and what an auditor says. One text is one TXT record found at
/// the name; no text at all means that there is none.
pub fn lint(texts: &[String]) -> Linted<TlsrptLint> {
    let tagged: Vec<&String> = texts.iter().filter(|text| fields_of(text).is_some()).collect();
    let (verdict, rua, mut findings) = match tagged[..] {
        [] => (RecordVerdict::None, Vec::new(), vec![none_of(texts)]),
        [text] => one(text),
        _ => (RecordVerdict::Invalid, Vec::new(), vec![repeated(&tagged)]),
    };
    finding::sort(&mut findings);
    Linted { value: TlsrptLint { schema: "mailward.lint.tlsrpt-record/1", verdict, rua }, findings }
}

/// Whether a text that is no record looks like a failed attempt at one: an auditor complains about it,
/// and passes over what merely lies at the same name.
pub fn resembles_record(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("tlsrpt") || lower.contains("rua=")
}

impl TlsrptRecord {
    /// The text to publish: no blank before the first semicolon (reading A1), `rua` first.
    pub fn render(&self) -> String {
        let uris: Vec<&str> = self.rua.iter().map(ReportUri::as_str).collect();
        let mut text = format!("{VERSION}; rua={}", uris.join(","));
        for (name, value) in &self.extensions {
            text.push_str(&format!("; {name}={value}"));
        }
        text
    }
}

/// A text read as a record: the record, and the addresses no sender can use.
struct Read {
    record: TlsrptRecord,
    unusable: Vec<(String, UriError)>,
}

impl Read {
    fn unusable_in_words(&self) -> String {
        let words: Vec<String> = self.unusable.iter().map(|(uri, why)| format!("{uri} ({why})")).collect();
        words.join(", ")
    }
}

/// What follows the first semicolon, when the text is a record at all (reading B1).
fn fields_of(text: &str) -> Option<&str> {
    text.strip_prefix(VERSION)?.trim_start_matches(WSP).strip_prefix(';')
}

const WSP: [char; 2] = [' ', '\t'];

fn read(text: &str) -> Result<Read, Fault> {
    let mut record = TlsrptRecord { rua: Vec::new(), extensions: Vec::new() };
    let mut unusable = Vec::new();
    let mut rua_seen = false;
    let fields: Vec<&str> = fields_of(text).unwrap_or_default().split(';').collect();
    for (index, field) in fields.iter().enumerate() {
        // Reading B6: blanks at the end are accepted, since a list of addresses often has them.
        let field = field.trim_matches(WSP);
        if field.is_empty() {
            if index + 1 == fields.len() {
                break; // RFC 8460 §3: one semicolon may end the record.
            }
            return Err(Fault::EmptyField);
        }
        let (name, value) = field.split_once('=').ok_or_else(|| Fault::Field(field.to_owned()))?;
        if name != "rua" {
            if !is_extension(name, value) {
                return Err(Fault::Field(field.to_owned()));
            }
            record.extensions.push((name.to_owned(), value.to_owned()));
            continue;
        }
        rua_seen = true;
        // Reading B5: a second rua adds to the first.
        for written in value.split(',') {
            let written = written.trim_matches(WSP);
            if written.is_empty() {
                return Err(Fault::RuaEmpty);
            }
            match ReportUri::parse(written) {
                Ok(uri) if record.rua.contains(&uri) => {}
                Ok(uri) => record.rua.push(uri),
                Err(why) if why.is_malformed() => return Err(Fault::Uri(written.to_owned(), why)),
                Err(why) => unusable.push((written.to_owned(), why)),
            }
        }
    }
    if rua_seen { Ok(Read { record, unusable }) } else { Err(Fault::RuaMissing) }
}

/// RFC 8460 §3: `tlsrpt-ext-name "=" tlsrpt-ext-value`.
fn is_extension(name: &str, value: &str) -> bool {
    let named = name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    named && !value.is_empty() && value.bytes().all(|b| matches!(b, 0x21..=0x3a | 0x3c | 0x3e..=0x7e))
}

fn one(text: &str) -> (RecordVerdict, Vec<ReportUri>, Vec<Finding>) {
    let mut findings = Vec::new();
    if text.strip_prefix(VERSION).is_some_and(|rest| rest.starts_with(WSP)) {
        findings.push(Finding::new(
            "STS-TXT-007",
            Severity::Warning,
            "v=TLSRPTv1",
            "White space stands before the first semicolon: strict senders discard the record.",
        ));
    }
    let read = match read(text) {
        Ok(read) => read,
        Err(fault) => {
            findings.push(malformed(&fault));
            return (RecordVerdict::Invalid, Vec::new(), findings);
        }
    };
    let severity = if read.record.rua.is_empty() { Severity::Error } else { Severity::Warning };
    for (uri, why) in &read.unusable {
        findings.push(
            Finding::new("RPT-002", severity, uri.clone(), format!("{uri} cannot receive reports: {why}."))
                .fix(["publish a mailto: or https: address that takes reports"]),
        );
    }
    if read.record.rua.len() + read.unusable.len() > 1 {
        findings.push(Finding::new(
            "RPT-004",
            Severity::Info,
            "rua",
            format!("{} report addresses are listed.", read.record.rua.len() + read.unusable.len()),
        ));
    }
    for (name, value) in &read.record.extensions {
        if DMARC_TAGS.contains(&name.as_str()) {
            findings.push(Finding::new(
                "RPT-010",
                Severity::Info,
                name.clone(),
                format!("{name}={value} belongs into a DMARC record; senders of TLS reports ignore it."),
            ));
        }
    }
    (RecordVerdict::Valid, read.record.rua, findings)
}

fn malformed(fault: &Fault) -> Finding {
    let message = format!("Senders treat the record as absent: {fault}.");
    match fault {
        Fault::Uri(uri, UriError::Character(_)) => {
            Finding::new("RPT-003", Severity::Error, uri.clone(), message)
                .fix(["percent-encode the character, for example ! as %21, or remove it"])
        }
        Fault::Uri(uri, _) => Finding::new("RPT-002", Severity::Error, uri.clone(), message)
            .fix(["publish the address as mailto:name@domain or https://host/path"]),
        Fault::RuaMissing | Fault::RuaEmpty => Finding::new("RPT-002", Severity::Error, "rua", message)
            .fix(["publish rua=mailto:name@domain or rua=https://host/path"]),
        // Reading B10: to a sender a record with a syntax error is no record.
        Fault::EmptyField | Fault::Field(_) => {
            Finding::new("RPT-001", Severity::Error, "_smtp._tls", message)
                .fix(["remove or correct the field, so that exactly one well-formed record is left"])
        }
    }
}

fn repeated(tagged: &[&String]) -> Finding {
    let message = format!("{} TLS-RPT records are published; senders use none of them.", tagged.len());
    Finding::new("RPT-001", Severity::Error, "_smtp._tls", message)
        .fix(["keep one record and delete the others", "put further addresses into its rua, after a comma"])
        .evidence("records", tagged.iter().map(|text| (*text).clone()).collect::<Vec<_>>())
}

fn none_of(texts: &[String]) -> Finding {
    let Some(text) = texts.iter().find(|text| resembles_record(text)).or_else(|| texts.first()) else {
        return Finding::new("RPT-001", Severity::Info, "_smtp._tls", "There is no TLS-RPT record.")
            .consequence("Senders cannot report; failures stay invisible.")
            .fix(["publish v=TLSRPTv1; rua=mailto:name@domain"]);
    };
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\u{feff}'));
    let why = if trimmed != text && fields_of(trimmed).is_some() {
        "something stands in front of the version tag"
    } else if trimmed == VERSION {
        "no semicolon follows the version"
    } else if resembles_record(text) {
        "a record begins with v=TLSRPTv1 in exactly this case, followed by a semicolon"
    } else {
        "it is a record of another kind"
    };
    Finding::new("RPT-001", Severity::Error, "_smtp._tls", format!("{text:?} is no TLS-RPT record: {why}."))
        .consequence("Senders find no record here and do not report; failures stay invisible.")
        .fix(["publish v=TLSRPTv1; rua=mailto:name@domain as the only record of its kind"])
}

#[cfg(test)]
mod tests;
