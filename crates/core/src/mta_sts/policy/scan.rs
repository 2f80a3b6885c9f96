//! Reads a policy body line by line and notes every fault, voiding or not.

use std::collections::HashSet;

use super::{MAX_AGE_LIMIT, Mode, MxPattern, StsPolicy};
use crate::Severity;
use crate::finding::Finding;

/// One thing wrong with the text.
pub(super) struct Fault {
    pub(super) id: &'static str,
    pub(super) severity: Severity,
    /// Counted from 1; 0 for the whole body.
    pub(super) line: usize,
    pub(super) message: String,
    /// Whether a sender drops the policy for it.
    pub(super) voids: bool,
}

impl Fault {
    pub(super) fn into_finding(self) -> Finding {
        let subject = if self.line == 0 { "policy".to_owned() } else { format!("line {}", self.line) };
        Finding::new(self.id, self.severity, subject, self.message)
    }
}

#[derive(Default)]
struct Fields {
    version: bool,
    mode: Option<Mode>,
    max_age: Option<u32>,
    mx: Vec<MxPattern>,
    extensions: Vec<(String, String)>,
    /// Keys met, so that repeats are noticed whatever they hold (reading A9).
    met: HashSet<String>,
    faults: Vec<Fault>,
}

impl Fields {
    fn void(&mut self, id: &'static str, line: usize, message: impl Into<String>) {
        self.faults.push(Fault { id, severity: Severity::Error, line, message: message.into(), voids: true });
    }

    fn mind(&mut self, id: &'static str, severity: Severity, line: usize, message: impl Into<String>) {
        self.faults.push(Fault { id, severity, line, message: message.into(), voids: false });
    }
}

/// The policy a sender would use, if any, and every fault in the order of the text.
pub(super) fn scan(body: &[u8]) -> (Option<StsPolicy>, Vec<Fault>) {
    let mut fields = Fields::default();
    if let Some(text) = readable(body, &mut fields) {
        read_lines(text, &mut fields);
        require(&mut fields);
    }
    let voided = fields.faults.iter().any(|f| f.voids);
    let policy = match (fields.mode, fields.max_age) {
        (Some(mode), Some(max_age)) if !voided => {
            Some(StsPolicy { mode, mx: fields.mx, max_age, extensions: fields.extensions })
        }
        _ => None,
    };
    (policy, fields.faults)
}

/// The body as text, unless it is something else altogether.
fn readable<'a>(body: &'a [u8], fields: &mut Fields) -> Option<&'a str> {
    let Ok(text) = std::str::from_utf8(body) else {
        fields.void("STS-POL-014", 0, "the body is not UTF-8");
        return None;
    };
    if text.trim().is_empty() {
        fields.void("STS-POL-001", 0, "the policy is empty");
        return None;
    }
    if text.starts_with('\u{feff}') {
        // Reading B2.
        fields.void("STS-POL-014", 1, "a byte order mark stands before the first field");
        return None;
    }
    if text.trim_start().starts_with(['<', '{', '[']) {
        fields.void("STS-POL-015", 1, "the body looks like HTML or JSON, not like a policy");
        return None;
    }
    Some(text)
}

fn read_lines(text: &str, fields: &mut Fields) {
    let (mut crlf, mut lf) = (false, false);
    let mut lines = text.split('\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        let ended = lines.peek().is_some();
        // RFC 8461 §3.2: a line ends with LF or CRLF and nothing else.
        let line = match line.strip_suffix('\r') {
            Some(line) if ended => {
                crlf = true;
                line
            }
            _ => {
                lf |= ended;
                line
            }
        };
        if line.trim_matches([' ', '\t']).is_empty() {
            // Reading A4; the rest behind the last line end is no line.
            if ended || !line.is_empty() {
                let message = "a blank line: strict senders drop the policy";
                fields.mind("STS-POL-014", Severity::Warning, number, message);
            }
            continue;
        }
        read_line(line, number, fields);
    }
    if crlf && lf {
        fields.mind("STS-POL-014", Severity::Warning, 0, "lines end with LF here and with CRLF there");
    }
}

fn read_line(line: &str, number: usize, fields: &mut Fields) {
    if let Some(c) = line.chars().find(|&c| c != '\t' && c.is_control()) {
        fields.void("STS-POL-014", number, format!("{c:?} stands in the line; only LF or CRLF end a line"));
        return;
    }
    let Some((name, value)) = line.split_once(':') else {
        fields.void("STS-POL-013", number, format!("{:?} is no \"key: value\"", shorten(line)));
        return;
    };
    let value = value.trim_matches([' ', '\t']);
    let bare = name.trim_matches([' ', '\t']);
    if bare != name {
        fields.void("STS-POL-014", number, format!("white space stands around the key {bare:?}"));
        return;
    }
    let repeated = name != "mx" && fields.met.contains(name);
    if repeated {
        fields.mind(
            "STS-POL-012",
            Severity::Warning,
            number,
            format!("{name} stands again; the first counts"),
        );
        return;
    }
    fields.met.insert(name.to_owned());
    match name {
        "version" if value == "STSv1" => fields.version = true,
        "version" => {
            fields.void("STS-POL-001", number, format!("version is {:?}, not STSv1", shorten(value)))
        }
        "mode" => match value.parse() {
            Ok(mode) => fields.mode = Some(mode),
            Err(_) => {
                let message = format!("mode {:?} is not enforce, testing or none", shorten(value));
                fields.void("STS-POL-002", number, message);
            }
        },
        "max_age" => read_max_age(value, number, fields),
        "mx" => read_mx(value, number, fields),
        _ => read_extension(name, value, number, fields),
    }
}

fn read_max_age(value: &str, number: usize, fields: &mut Fields) {
    // RFC 8461 §3.2: 1 to 10 digits.
    if value.is_empty() || value.len() > 10 || !value.bytes().all(|b| b.is_ascii_digit()) {
        let message = format!("max_age {:?} is not 1 to 10 digits", shorten(value));
        return fields.void("STS-POL-003", number, message);
    }
    let seconds: u64 = value.parse().unwrap_or(u64::MAX);
    if seconds > u64::from(MAX_AGE_LIMIT) {
        let message =
            format!("max_age {seconds} is over the maximum {MAX_AGE_LIMIT}; senders clamp it or refuse it");
        fields.mind("STS-POL-003", Severity::Error, number, message);
    }
    fields.max_age = Some(u32::try_from(seconds).unwrap_or(MAX_AGE_LIMIT).min(MAX_AGE_LIMIT));
}

fn read_mx(value: &str, number: usize, fields: &mut Fields) {
    let pattern: MxPattern = match value.parse() {
        Ok(pattern) => pattern,
        Err(_) => {
            let id =
                if value.contains('*') || value.starts_with('.') { "STS-POL-010" } else { "STS-POL-009" };
            let message = format!("mx {:?} {}", shorten(value), mx_fault(value));
            return fields.void(id, number, message);
        }
    };
    if value.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        // Reading B3.
        let message = format!("mx {value:?} is an address, which no MX host can match");
        fields.mind("STS-POL-009", Severity::Error, number, message);
    }
    fields.mx.push(pattern);
}

fn mx_fault(value: &str) -> &'static str {
    if value.is_empty() {
        "is empty"
    } else if !value.is_ascii() {
        "holds letters outside ASCII; write the A-label (xn--…)"
    } else if value.contains('*') || value.starts_with('.') {
        "has a wildcard that never matches; only a leading *. before a full name stands for one label"
    } else if value.ends_with('.') {
        "ends with a dot; leave it out"
    } else if value.contains([',', ' ', '\t']) {
        "holds more than a name; write one host a line, without preference"
    } else if value.contains('_') {
        "holds an underscore, which host names do not have"
    } else {
        "is no host name"
    }
}

fn read_extension(name: &str, value: &str, number: usize, fields: &mut Fields) {
    let name_ok = (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !name_ok {
        return fields.void("STS-POL-013", number, format!("{:?} is no key", shorten(name)));
    }
    if value.is_empty() || value.contains('\t') {
        return fields.void("STS-POL-013", number, format!("the value of {name} is empty or holds a tab"));
    }
    fields.mind(
        "STS-POL-013",
        Severity::Info,
        number,
        format!("{name} is not a key of RFC 8461; senders ignore it"),
    );
    fields.extensions.push((name.to_owned(), value.to_owned()));
}

/// What must be there once (RFC 8461 §3.2), with the near miss that explains why it is not.
fn require(fields: &mut Fields) {
    for (key, id) in [("version", "STS-POL-001"), ("mode", "STS-POL-002"), ("max_age", "STS-POL-003")] {
        if !fields.met.contains(key) {
            near_miss(key, fields);
            fields.void(id, 0, format!("there is no {key}"));
        }
    }
    let bad_mx = fields.faults.iter().any(|f| matches!(f.id, "STS-POL-009" | "STS-POL-010") && f.voids);
    if fields.mx.is_empty() && !bad_mx && matches!(fields.mode, Some(Mode::Enforce | Mode::Testing)) {
        near_miss("mx", fields);
        fields.void("STS-POL-008", 0, "there is no mx, and mode is not none");
    }
}

fn near_miss(key: &str, fields: &mut Fields) {
    let squeeze = |t: &str| t.to_ascii_lowercase().replace(['-', '_', '.'], "");
    let wanted = squeeze(key);
    let near = fields.extensions.iter().map(|(n, _)| n).find(|n| {
        let given = squeeze(n);
        given == wanted || given.strip_suffix('s') == Some(&wanted)
    });
    if let Some(near) = near.cloned() {
        fields.mind(
            "STS-POL-013",
            Severity::Error,
            0,
            format!("{near:?} is not {key:?}; keys are case-sensitive"),
        );
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 1209600\n";

    fn ids(body: &str) -> Vec<&'static str> {
        scan(body.as_bytes()).1.iter().map(|f| f.id).collect()
    }

    #[test]
    fn good_policies() {
        for (body, mode, mx, max_age) in [
            (GOOD, Mode::Enforce, vec!["a.example"], 1_209_600),
            ("version:STSv1\r\nmode:\tnone \r\nmax_age:0", Mode::None, vec![], 0),
            (
                "mode: testing\nmax_age: 0000086400\nmx: *.A.example\nmx: b.example\nversion: STSv1",
                Mode::Testing,
                vec!["*.a.example", "b.example"],
                86_400,
            ),
            (
                "version: STSv1\nmode: enforce\nmode: bad\nmx: a.example\nmax_age: 99999999\nmax_age: x\n",
                Mode::Enforce,
                vec!["a.example"],
                MAX_AGE_LIMIT,
            ),
            ("version: STSv1\n\nmode: none\nmax_age: 1\nmore:ext e  ns ion\n", Mode::None, vec![], 1),
        ] {
            let policy = StsPolicy::parse(body.as_bytes()).unwrap();
            let patterns: Vec<String> = policy.mx.iter().map(ToString::to_string).collect();
            assert_eq!(
                (policy.mode, patterns, policy.max_age),
                (mode, mx.iter().map(|m| (*m).to_owned()).collect(), max_age),
                "{body}"
            );
        }
        assert!(ids(GOOD).is_empty());
    }

    #[test]
    fn bad_policies_say_why() {
        let with = |from: &str, to: &str| GOOD.replace(from, to);
        for (body, id) in [
            (String::new(), "STS-POL-001"),
            ("\n \n".into(), "STS-POL-001"),
            (with("STSv1", "STSv2"), "STS-POL-001"),
            (with("version: STSv1\n", ""), "STS-POL-001"),
            (with("enforce", "Enforce"), "STS-POL-002"),
            (with("mode", "Mode"), "STS-POL-013"),
            (with("max_age", "max-age"), "STS-POL-013"),
            (with("1209600", "-1"), "STS-POL-003"),
            (with("1209600", "01234567890"), "STS-POL-003"),
            (with("1209600", ""), "STS-POL-003"),
            (with("mx: a.example\n", ""), "STS-POL-008"),
            (with("a.example", "a.example."), "STS-POL-009"),
            (with("a.example", "a.example, b.example"), "STS-POL-009"),
            (with("a.example", "10 a.example"), "STS-POL-009"),
            (with("a.example", "m\u{f8}x.example"), "STS-POL-009"),
            (with("a.example", "a_b.example"), "STS-POL-009"),
            (with("a.example", "*"), "STS-POL-010"),
            (with("a.example", "a.*.example"), "STS-POL-010"),
            (with("a.example", "*.*.example"), "STS-POL-010"),
            (with("a.example", ".example"), "STS-POL-010"),
            (GOOD.replace('\n', "\r"), "STS-POL-014"),
            (format!("\u{feff}{GOOD}"), "STS-POL-014"),
            (with("enforce", "enforce\0"), "STS-POL-014"),
            (with("mode:", "mode :"), "STS-POL-014"),
            (with("mode:", " mode:"), "STS-POL-014"),
            ("<html>".into(), "STS-POL-015"),
            ("{\"version\": 1}".into(), "STS-POL-015"),
            (format!("{GOOD}garbage\n"), "STS-POL-013"),
            (format!("{GOOD}ext:\n"), "STS-POL-013"),
            (format!("{GOOD}_bad: x\n"), "STS-POL-013"),
        ] {
            assert!(StsPolicy::parse(body.as_bytes()).is_err(), "{body:?}");
            assert!(ids(&body).contains(&id), "{body:?}: {:?}", ids(&body));
        }
        assert!(StsPolicy::parse(b"version: STSv1\nmode: none\nmax_age: 1\nx: \xff\n").is_err());
    }

    #[test]
    fn many_lines_are_read_whole() {
        let body = format!("{GOOD}{}", "mx: b.example\n".repeat(4_000));
        assert_eq!(StsPolicy::parse(body.as_bytes()).unwrap().mx.len(), 4_001);
        let keys: String = (0..9_000).map(|n| format!("k{n}:x\n")).collect();
        assert_eq!(StsPolicy::parse(format!("{GOOD}{keys}").as_bytes()).unwrap().extensions.len(), 9_000);
    }
}
