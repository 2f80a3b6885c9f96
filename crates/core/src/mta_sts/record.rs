//! The TXT record at `_mta-sts.<domain>` (RFC 8461 §3.1).
//!
//! A sender counts the texts that carry the tag `v=STSv1;` and uses the one there is; an auditor also
//! says what is wrong with the others. Both read through [`fields`], which stops at the first fault.

use serde::{Deserialize, Serialize};

use crate::dns::TxtRecord;
use crate::finding::{self, Finding, Severity};
use crate::lint::{Linted, RecordVerdict};

/// The record a sender uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StsRecord {
    /// 1 to 32 letters or digits; compared for equality only.
    pub id: String,
    /// Unknown fields in order, kept.
    pub extensions: Vec<(String, String)>,
}

/// Why there is a record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(pub String);

/// A record set as an auditor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordLint {
    /// What a sender does.
    pub verdict: RecordVerdict,
    /// The record, when it is used.
    pub record: Option<StsRecord>,
}

/// What a sender finds in the TXT records at the name: a record, none, or one that is unusable and
/// means "no policy, stop discovery".
///
/// # Errors
/// More than one record with the tag, or a fault in the only one.
pub fn discover(answer: &[TxtRecord]) -> Result<Option<StsRecord>, RecordError> {
    let texts: Vec<String> = answer.iter().map(TxtRecord::text).collect();
    let tagged: Vec<&str> = texts.iter().map(String::as_str).filter(|t| after_tag(t).is_some()).collect();
    match tagged[..] {
        [] => Ok(None),
        [text] => StsRecord::parse(text).map(Some),
        // RFC 8461 §3.1: the number of resulting records is not one.
        _ => Err(RecordError(format!("{} records begin with v=STSv1; there must be one", tagged.len()))),
    }
}

impl StsRecord {
    /// Reads one text that carries the tag.
    ///
    /// # Errors
    /// The first fault in words.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let (record, faults) = read(text);
        match (record, faults.into_iter().next()) {
            (Some(record), _) => Ok(record),
            (None, fault) => {
                Err(RecordError(fault.map_or_else(|| "no MTA-STS record".to_owned(), |f| f.message)))
            }
        }
    }

    /// The record as we publish it.
    pub fn render(&self) -> String {
        let mut text = format!("v=STSv1; id={};", self.id);
        for (name, value) in &self.extensions {
            text.push_str(&format!(" {name}={value};"));
        }
        text
    }
}

/// The text behind `v=STSv1`, from the white space or semicolon on; `None` when it is no record at
/// all (RFC 8461 §3.1 discard rule, readings A1, B1).
fn after_tag(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("v=STSv1")?;
    rest.trim_start_matches(WSP).starts_with(';').then_some(rest)
}

const WSP: [char; 2] = [' ', '\t'];

struct Fault {
    id: &'static str,
    severity: Severity,
    message: String,
}

fn error(id: &'static str, message: impl Into<String>) -> Fault {
    Fault { id, severity: Severity::Error, message: message.into() }
}

fn warning(id: &'static str, message: impl Into<String>) -> Fault {
    Fault { id, severity: Severity::Warning, message: message.into() }
}

/// The record in a tagged text, if a sender can use it, and every fault up to the one that voids it.
fn read(text: &str) -> (Option<StsRecord>, Vec<Fault>) {
    let mut faults = Vec::new();
    let Some(rest) = after_tag(text) else { return (None, faults) };
    if rest.starts_with(WSP) {
        faults.push(warning("STS-TXT-007", "white space stands between v=STSv1 and the first semicolon"));
    }
    let fields = match fields(rest) {
        Ok(fields) => fields,
        Err(fault) => {
            faults.insert(0, fault);
            return (None, faults);
        }
    };
    let mut id = None;
    let mut extensions: Vec<(String, String)> = Vec::new();
    for (name, value) in fields {
        match name {
            "id" if id.is_none() => id = Some(value),
            // Reading A3: the first counts.
            "id" | "v" => {
                faults.push(warning("STS-TXT-009", format!("{name} stands more than once; the first counts")))
            }
            _ => extensions.push((name.to_owned(), value.to_owned())),
        }
    }
    let id = match id {
        Some(id) if (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            id.to_owned()
        }
        Some(id) => {
            faults.insert(0, error("STS-TXT-006", format!("id {id:?} is not 1 to 32 letters or digits")));
            return (None, faults);
        }
        None => {
            let why = match extensions.iter().find(|(n, _)| n.eq_ignore_ascii_case("id")) {
                Some((name, _)) => format!("there is no id; {name:?} is not id, names are case-sensitive"),
                None => "there is no id".to_owned(),
            };
            faults.insert(0, error("STS-TXT-006", why));
            return (None, faults);
        }
    };
    if !extensions.is_empty() {
        let names: Vec<&str> = extensions.iter().map(|(n, _)| n.as_str()).collect();
        let message = format!("unknown fields, which senders ignore: {}", names.join(", "));
        faults.push(Fault { id: "STS-TXT-010", severity: Severity::Info, message });
    }
    (Some(StsRecord { id, extensions }), faults)
}

/// The fields behind the version: `*(*WSP ; *WSP field)`, with one optional delimiter at the end.
fn fields(mut rest: &str) -> Result<Vec<(&str, &str)>, Fault> {
    if let Some(c) = rest.chars().find(|c| !matches!(c, '\t' | ' '..='~')) {
        return Err(error("STS-TXT-008", format!("{c:?} is not allowed; the record is printable ASCII")));
    }
    let mut fields = Vec::new();
    loop {
        let trimmed = rest.trim_start_matches(WSP);
        let Some(behind) = trimmed.strip_prefix(';') else {
            if trimmed.is_empty() && rest.is_empty() && !fields.is_empty() {
                return Ok(fields);
            }
            return Err(match trimmed.is_empty() {
                // Reading B6.
                true => error("STS-TXT-008", "white space stands at the end without a semicolon"),
                false => {
                    error("STS-TXT-008", format!("{trimmed:?} follows white space where a semicolon belongs"))
                }
            });
        };
        let field = behind.trim_start_matches(WSP);
        if field.is_empty() {
            return match fields.is_empty() {
                true => Err(error("STS-TXT-006", "there is no field behind the version, so there is no id")),
                false => Ok(fields),
            };
        }
        let end = field.find([';', ' ', '\t']).unwrap_or(field.len());
        let (token, next) = field.split_at(end);
        fields.push(field_of(token, next)?);
        rest = next;
    }
}

fn field_of<'a>(token: &'a str, next: &str) -> Result<(&'a str, &'a str), Fault> {
    if token.is_empty() {
        return Err(error("STS-TXT-011", "a field is empty: two semicolons in a row"));
    }
    let Some((name, value)) = token.split_once('=') else {
        return Err(match next.trim_start_matches(WSP).starts_with('=') {
            true => error("STS-TXT-008", format!("white space stands around the = of {token:?}")),
            false => error("STS-TXT-011", format!("{token:?} is no name=value")),
        });
    };
    let name_ok = (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !name_ok {
        return Err(error("STS-TXT-008", format!("{name:?} is no field name")));
    }
    if value.is_empty() {
        let id = if name == "id" { "STS-TXT-006" } else { "STS-TXT-011" };
        return Err(match next.starts_with(WSP) && !next.trim_start_matches(WSP).starts_with(';') {
            true => error("STS-TXT-008", format!("white space stands behind the = of {name}")),
            false => error(id, format!("{name} has no value")),
        });
    }
    if value.contains('=') {
        return Err(error(
            if name == "id" { "STS-TXT-006" } else { "STS-TXT-008" },
            format!("{value:?} holds a ="),
        ));
    }
    Ok((name, value))
}

/// Judges the TXT records found at the name, each text one record with its strings joined.
pub fn lint(texts: &[String]) -> Linted<RecordLint> {
    let mut findings = Vec::new();
    let subject =
        |n: usize| if texts.len() == 1 { "TXT record".to_owned() } else { format!("TXT record {}", n + 1) };
    let tagged: Vec<usize> = (0..texts.len()).filter(|&n| after_tag(&texts[n]).is_some()).collect();
    for (n, text) in texts.iter().enumerate().filter(|(n, _)| !tagged.contains(n)) {
        findings.extend(unrecognised(text, subject(n), !tagged.is_empty()));
    }
    let mut record = None;
    for &n in &tagged {
        let (read, faults) = read(&texts[n]);
        findings.extend(faults.into_iter().map(|f| finding(f, subject(n), &texts[n])));
        record = read;
    }
    let verdict = match (tagged.len(), &record) {
        (0, _) => {
            let message = if texts.is_empty() {
                "there is no TXT record"
            } else {
                "no TXT record begins with v=STSv1;"
            };
            findings.push(Finding::new("STS-TXT-001", Severity::Error, "TXT records", message));
            RecordVerdict::None
        }
        (1, Some(_)) => RecordVerdict::Valid,
        (1, None) => RecordVerdict::Invalid,
        (n, _) => {
            let message = format!("{n} records begin with v=STSv1; senders act as if there were none");
            let found = Finding::new("STS-TXT-003", Severity::Error, "TXT records", message).fix([
                "Decide which record is right: its id should be the newest one you published.",
                "Delete the others.",
            ]);
            findings.push(found);
            record = None;
            RecordVerdict::Invalid
        }
    };
    finding::sort(&mut findings);
    Linted { value: RecordLint { verdict, record }, findings }
}

fn finding(fault: Fault, subject: String, text: &str) -> Finding {
    Finding::new(fault.id, fault.severity, subject, fault.message).evidence("text", shorten(text))
}

fn shorten(text: &str) -> String {
    text.chars().take(300).collect()
}

/// What to say of a text that is no record: an attempt that failed, or something unrelated.
fn unrecognised(text: &str, subject: String, beside_a_record: bool) -> Option<Finding> {
    let severity = if beside_a_record { Severity::Warning } else { Severity::Error };
    let bare = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    let fault = if bare.starts_with("v=STSv1") && bare != text {
        error("STS-TXT-008", "white space or quotation marks stand around the record")
    } else if let Some(rest) = text.strip_prefix("v=STSv1").filter(|r| r.starts_with(WSP)) {
        error(
            "STS-TXT-008",
            format!("{:?} follows v=STSv1 where a semicolon belongs", rest.trim_start_matches(WSP)),
        )
    } else if text == "v=STSv1" {
        error("STS-TXT-005", "v=STSv1 must be followed by a semicolon and an id")
    } else if bare.to_ascii_lowercase().replace(' ', "").contains("v=sts") {
        error("STS-TXT-005", "the record must begin with v=STSv1; exactly, version first, in this case")
    } else {
        warning("STS-TXT-004", "a TXT record that has nothing to do with MTA-STS stands at this name")
    };
    let severity = severity.min(fault.severity);
    Some(finding(Fault { severity, ..fault }, subject, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lint_one(text: &str) -> (RecordVerdict, Option<String>, Vec<String>) {
        let linted = lint(&[text.to_owned()]);
        let ids = linted.findings.iter().map(|f| f.id.clone()).collect();
        (linted.value.verdict, linted.value.record.map(|r| r.id), ids)
    }

    #[test]
    fn good_records_give_their_id() {
        for (text, id) in [
            ("v=STSv1; id=20260101T000000Z;", "20260101T000000Z"),
            ("v=STSv1;id=a", "a"),
            ("v=STSv1 \t;\t id=a \t; ", "a"),
            ("v=STSv1; more=!\"#$%&'()*+,-./:<>?@[\\]^_`{|}~; id=a", "a"),
            ("v=STSv1; id=first; id=second", "first"),
            ("v=STSv1; id=01234567890123456789012345678901", "01234567890123456789012345678901"),
        ] {
            let (verdict, found, _) = lint_one(text);
            assert_eq!((verdict, found.as_deref()), (RecordVerdict::Valid, Some(id)), "{text}");
            assert_eq!(StsRecord::parse(text).unwrap().id, id);
        }
    }

    #[test]
    fn bad_records_say_why() {
        use RecordVerdict::{Invalid, None};
        for (text, verdict, id) in [
            ("v=STSv1;", Invalid, "STS-TXT-006"),
            ("v=STSv1; id=", Invalid, "STS-TXT-006"),
            ("v=STSv1; id=2026-01-01", Invalid, "STS-TXT-006"),
            ("v=STSv1; id=012345678901234567890123456789012", Invalid, "STS-TXT-006"),
            ("v=STSv1; ID=a", Invalid, "STS-TXT-006"),
            ("v=STSv1; id = a", Invalid, "STS-TXT-008"),
            ("v=STSv1; id=a b", Invalid, "STS-TXT-008"),
            ("v=STSv1; id=a ", Invalid, "STS-TXT-008"),
            ("v=STSv1; id=a\n", Invalid, "STS-TXT-008"),
            ("v=STSv1; id=ä", Invalid, "STS-TXT-008"),
            ("v=STSv1; id=a;;", Invalid, "STS-TXT-011"),
            ("v=STSv1; id=a; more=", Invalid, "STS-TXT-011"),
            ("v=STSv1; more", Invalid, "STS-TXT-011"),
            ("v=STSv1", None, "STS-TXT-005"),
            ("v=STSv1 id=a", None, "STS-TXT-008"),
            ("\"v=STSv1; id=a\"", None, "STS-TXT-008"),
            (" v=STSv1; id=a", None, "STS-TXT-008"),
            ("v=stsv1; id=a", None, "STS-TXT-005"),
            ("v=STSv12; id=a", None, "STS-TXT-005"),
            ("id=a; v=STSv1", None, "STS-TXT-005"),
            ("v=spf1 -all", None, "STS-TXT-004"),
        ] {
            let (got, _, ids) = lint_one(text);
            assert_eq!(got, verdict, "{text}");
            assert!(ids.contains(&id.to_owned()), "{text}: {ids:?}");
            let worst = lint(&[text.to_owned()]).findings.iter().map(|f| f.severity).max();
            assert_eq!(worst, Some(Severity::Error), "{text}: an unusable text has an error finding");
        }
    }

    #[test]
    fn senders_count_by_tag() {
        let txt = |t: &str| TxtRecord(t.as_bytes().to_vec());
        assert_eq!(discover(&[]), Ok(None));
        assert_eq!(discover(&[txt("v=spf1 -all")]), Ok(None));
        assert_eq!(discover(&[txt("v=spf1 -all"), txt("v=STSv1; id=a")]).unwrap().unwrap().id, "a");
        // Reading A2: two with the tag, one of them broken, are still two.
        assert!(discover(&[txt("v=STSv1; id=a"), txt("v=STSv1; broken")]).is_err());
        assert!(discover(&[txt("v=STSv1; id=a"), txt("v=STSv1; id=a")]).is_err());
    }

    #[test]
    fn what_we_render_we_read_without_remark() {
        let record = StsRecord {
            id: "20260302T100500Z6648b3358ec3".into(),
            extensions: vec![("x".into(), "1".into())],
        };
        assert_eq!(StsRecord::parse(&record.render()), Ok(record));
    }
}
