//! Mail around a report (RFC 8460 §5.3): every part is looked at, forwarded messages included.
//!
//! The content of a part decides whether it is a report. Delivery notices are never read: the report
//! inside one is our own that bounced.

use std::borrow::Cow;
use std::sync::LazyLock;

use mail_parser::{
    ContentType, Encoding, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType,
};

use super::container::Kind;
use super::oddity::{Oddities, Refusal};
use super::{Origin, Reader, text};
use crate::tlsrpt::FileName;
use crate::tlsrpt::MailFacts;

/// Parts that a mail may have. Each level of nesting needs a `Content-Type`, so this bounds the depth
/// of forwarded messages as well; the parser itself has no bound.
const PARTS: usize = 200;

/// Only what is asked for below is parsed; the rest of the header stays raw.
static PARSER: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new()
        .with_mime_headers()
        .header_address(HeaderName::From)
        .header_text(HeaderName::Subject)
        .header_id(HeaderName::MessageId)
});

/// The message that directly contains a report part.
pub(super) struct Envelope {
    pub(super) facts: MailFacts,
    /// What stands behind `Report-ID:` in the Subject, without angle brackets.
    pub(super) subject_id: Option<String>,
    /// multipart/report with report-type tlsrpt.
    is_report: bool,
}

/// Whether a text begins with a header field of a mail, perhaps behind the `From ` line of an mbox.
pub(super) fn begins_like_mail(bytes: &[u8]) -> bool {
    let bytes = without_mbox_line(bytes.trim_ascii_start());
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let Some(colon) = line.iter().position(|b| *b == b':') else { return false };
    let name = line[..colon].trim_ascii_end();
    (1..=76).contains(&name.len())
        && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn without_mbox_line(bytes: &[u8]) -> &[u8] {
    if !bytes.starts_with(b"From ") {
        return bytes;
    }
    bytes.iter().position(|b| *b == b'\n').map_or(bytes, |end| &bytes[end + 1..])
}

/// Reads all reports of a mail.
pub(super) fn read(reader: &mut Reader<'_>, bytes: &[u8], origin: &Origin<'_>) {
    let bytes = without_mbox_line(bytes.trim_ascii_start());
    if content_types(bytes) > PARTS {
        let message = format!("The mail has more than {PARTS} parts.");
        reader.refuse(Refusal::quarantine("REP-072", origin.subject(), message));
        return;
    }
    let bytes = with_short_header(bytes);
    let Some(message) = PARSER.parse(&bytes) else {
        reader.refuse(Refusal::foreign("REP-091", origin.subject(), "The mail cannot be read."));
        return;
    };
    reader.mail.get_or_insert_with(|| facts(&message, false));
    let before = reader.outcomes();
    walk(reader, &message, false, origin);
    if reader.outcomes() == before {
        reader.refuse(Refusal::foreign("REP-091", origin.subject(), "No part of the mail is a report."));
    }
}

/// The mail with only those fields in its header that matter here. Signatures and traces of many hops are
/// most of a report mail, and leaving them out saves most of the time it takes.
fn with_short_header(bytes: &[u8]) -> Vec<u8> {
    const KEPT: [&[u8]; 5] = [b"content-", b"from", b"subject", b"message-id", b"tls-report-"];
    let mut short = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut keep = false;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, behind) = rest.split_at(end + 1);
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        // RFC 5322 §2.2.3: a line that begins with a blank continues the field before it.
        if !matches!(line[0], b' ' | b'\t') {
            keep =
                KEPT.iter().any(|name| line.get(..name.len()).is_some_and(|l| l.eq_ignore_ascii_case(name)));
        }
        if keep {
            short.extend_from_slice(line);
        }
        rest = behind;
    }
    if short.is_empty() {
        short.extend_from_slice(b"Subject:\r\n"); // The parser takes no mail without a header.
    }
    short.extend_from_slice(rest);
    short
}

/// How often a header field `Content-Type` may begin; counted without looking at the structure.
fn content_types(bytes: &[u8]) -> usize {
    let is_one = |dash: usize| {
        let around = dash.checked_sub(7).and_then(|start| bytes.get(start..dash + 5));
        around.is_some_and(|name| name.eq_ignore_ascii_case(b"content-type"))
    };
    let mut count = 0;
    for (number, chunk) in bytes.chunks(64).enumerate() {
        // Most of a mail is base64 without a hyphen; this first look takes many bytes at a time.
        if chunk.iter().filter(|byte| **byte == b'-').count() > 0 {
            let dashes = chunk.iter().enumerate().filter(|(_, byte)| **byte == b'-');
            count += dashes.filter(|(at, _)| is_one(number * 64 + at)).count();
        }
    }
    count
}

fn walk(reader: &mut Reader<'_>, message: &Message<'_>, forwarded: bool, origin: &Origin<'_>) {
    let content_type = message.content_type();
    let report_type = content_type.and_then(|t| t.attribute("report-type")).unwrap_or_default();
    let is_multipart_report = is_type(content_type, "multipart", "report");
    if is_multipart_report && report_type.eq_ignore_ascii_case("delivery-status")
        || is_type(content_type, "message", "delivery-status")
    {
        let words = "The mail is a delivery notice; a report inside it is one of ours that bounced.";
        reader.refuse(Refusal::foreign("REP-090", origin.subject(), words));
        return;
    }
    let envelope = Envelope {
        facts: facts(message, forwarded),
        subject_id: message.subject().and_then(report_id_in),
        is_report: is_multipart_report && report_type.eq_ignore_ascii_case("tlsrpt"),
    };
    for part in &message.parts {
        match &part.body {
            PartType::Multipart(_) => {}
            PartType::Message(inner) => walk(reader, inner, true, origin),
            PartType::Text(_) | PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) => {
                leaf(reader, message, part, &envelope, origin);
            }
        }
    }
}

fn is_type(content_type: Option<&ContentType<'_>>, main: &str, sub: &str) -> bool {
    content_type.is_some_and(|t| {
        t.ctype().eq_ignore_ascii_case(main) && t.subtype().is_some_and(|s| s.eq_ignore_ascii_case(sub))
    })
}

fn leaf(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
    part: &MessagePart<'_>,
    envelope: &Envelope,
    origin: &Origin<'_>,
) {
    let bytes = contents(message, part);
    let media_type = media_type(part.content_type());
    let name = part.attachment_name().or_else(|| part.content_description());
    let promised = is_promised(&media_type, name);
    let kind = Kind::of(bytes);
    if kind == Kind::Text && !text::begins_like_json(bytes) {
        if promised && !text::is_blank(bytes) {
            let words = "The part is labelled as a report, and its content is none.";
            let id = if labelled_compressed(&media_type, name) { "REP-070" } else { "REP-073" };
            reader.refuse(Refusal::quarantine(id, name.unwrap_or(origin.subject()), words));
        }
        return;
    }
    let mut oddities = origin.oddities.clone();
    note(envelope, name, kind, &media_type, &mut oddities);
    let inner = Origin { name, media_type: None, envelope: Some(envelope), oddities };
    if promised || kind != Kind::Text {
        reader.item(bytes, &inner, 0);
    } else {
        reader.attempt(bytes, &inner);
    }
}

/// The bytes of a part after its transfer encoding, before anybody guesses their character set.
fn contents<'m>(message: &'m Message<'_>, part: &'m MessagePart<'_>) -> &'m [u8] {
    if part.encoding == Encoding::None && matches!(part.body, PartType::Text(_) | PartType::Html(_)) {
        let range = part.offset_body as usize..part.offset_end as usize;
        if let Some(bytes) = message.raw_message.get(range) {
            return bytes;
        }
    }
    part.contents()
}

fn media_type(content_type: Option<&ContentType<'_>>) -> Cow<'static, str> {
    let Some(t) = content_type else { return Cow::Borrowed("text/plain") };
    for known in ["application/tlsrpt+gzip", "application/tlsrpt+json"] {
        let (main, sub) = known.split_once('/').unwrap_or_default();
        if is_type(content_type, main, sub) {
            return Cow::Borrowed(known);
        }
    }
    Cow::Owned(format!("{}/{}", t.ctype(), t.subtype().unwrap_or_default()).to_ascii_lowercase())
}

/// Whether type or name announce a report; other text that merely looks like JSON is only tried.
fn is_promised(media_type: &str, name: Option<&str>) -> bool {
    let named = name.is_some_and(|name| {
        let lower = name.to_ascii_lowercase();
        [".json", ".gz", ".zip"].iter().any(|extension| lower.ends_with(extension))
    });
    named
        || media_type.contains("tlsrpt")
        || !media_type.starts_with("text/")
            && ["json", "gzip", "zip"].iter().any(|word| media_type.contains(word))
}

fn labelled_compressed(media_type: &str, name: Option<&str>) -> bool {
    let named = name.is_some_and(|name| {
        let lower = name.to_ascii_lowercase();
        lower.ends_with(".gz") || lower.ends_with(".zip")
    });
    named || media_type.contains("zip")
}

fn note(envelope: &Envelope, name: Option<&str>, kind: Kind, media_type: &str, oddities: &mut Oddities) {
    let facts = &envelope.facts;
    if facts.forwarded {
        oddities.note(
            "REP-008",
            || "message/rfc822",
            || "The report comes inside a forwarded mail.".to_owned(),
        );
    }
    if !envelope.is_report {
        oddities.note(
            "REP-005",
            || "Content-Type",
            || "The mail is not multipart/report with report-type tlsrpt.".to_owned(),
        );
    }
    let missing: Vec<&str> =
        [("TLS-Report-Domain", &facts.report_domain), ("TLS-Report-Submitter", &facts.report_submitter)]
            .into_iter()
            .filter_map(|(name, value)| value.is_none().then_some(name))
            .collect();
    if !missing.is_empty() {
        oddities.note("REP-006", || missing[0], || format!("The mail has no {}.", missing.join(" and no ")));
    }
    if name.and_then(FileName::parse).is_none() {
        oddities.note(
            "REP-010",
            || "file name",
            || match name {
                Some(name) => format!("The file name {name:?} does not follow the form of RFC 8460."),
                None => "The report part has no file name.".to_owned(),
            },
        );
    }
    super::note_label(kind, Some(media_type), name, oddities);
}

fn facts(message: &Message<'_>, forwarded: bool) -> MailFacts {
    let header = |name: &'static str| {
        let raw = message.header_raw(name)?.trim();
        (!raw.is_empty()).then(|| raw.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    };
    let from = message.from().and_then(|from| from.first()).and_then(|first| first.address());
    MailFacts {
        from_domain: from.and_then(|a| a.rsplit_once('@')).map(|(_, domain)| domain.to_lowercase()),
        report_domain: header("TLS-Report-Domain"),
        report_submitter: header("TLS-Report-Submitter"),
        message_id: message.message_id().map(str::to_owned),
        forwarded,
    }
}

/// What stands behind `Report-ID:` in a Subject.
fn report_id_in(subject: &str) -> Option<String> {
    const MARK: &str = "report-id:";
    let at = subject
        .as_bytes()
        .windows(MARK.len())
        .rposition(|window| window.eq_ignore_ascii_case(MARK.as_bytes()))?;
    let id = subject.get(at + MARK.len()..)?.trim();
    let id = id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id);
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_are_told_from_other_texts() {
        let rows: [(&[u8], bool, &str); 9] = [
            (b"From: a@b.example\r\n", true, "header"),
            (b"\r\nReceived: by x\n", true, "blank line in front"),
            (b"From a@b Mon Jan 1\nSubject: x\n", true, "mbox"),
            (b"X-Odd_Name : y\n", true, "blank before the colon"),
            (b"{\"a\": 1}", false, "JSON"),
            (b"hello: world is nice", true, "cannot be told from a header"),
            (b"some words: no", false, "blank in the name"),
            (b"", false, "nothing"),
            (b"no colon", false, "no header"),
        ];
        for (bytes, want, why) in rows {
            assert_eq!(begins_like_mail(bytes), want, "{why}");
        }
    }

    #[test]
    fn headers_are_shortened() {
        let rows = [
            (
                "From: a\r\n b\r\nReceived: c\r\n\td\r\nSubject: e\r\n\r\nbody\nX: y\n",
                "From: a\r\n b\r\nSubject: e\r\n\r\nbody\nX: y\n",
            ),
            ("X: a\n \nCONTENT-type: b\n\nX: c", "CONTENT-type: b\n\nX: c"),
            ("X: a\nFrom: b", "Subject:\r\nFrom: b"),
            ("Received: a\r\n\r\n{}", "Subject:\r\n\r\n{}"),
        ];
        for (text, want) in rows {
            assert_eq!(String::from_utf8(with_short_header(text.as_bytes())).unwrap(), want, "{text:?}");
        }
    }

    #[test]
    fn parts_are_counted_wherever_they_stand() {
        for filler in 0..130 {
            let text = format!("{}Content-Type: a\r\nCONTENT-type : b\r\ncontent-id: c", "-".repeat(filler));
            assert_eq!(content_types(text.as_bytes()), 2, "{filler}");
        }
        assert_eq!(content_types(b"-type ntent-type content-typ"), 0);
    }

    #[test]
    fn ids_in_subjects() {
        let rows = [
            ("Report Domain: d Submitter: s Report-ID: <a@b>", Some("a@b")),
            ("Report Domain: d Submitter: s REPORT-ID:  133+d ", Some("133+d")),
            ("Report Domain: d Submitter: s Report-ID:", None),
            ("ü Report-ID: <ü>", Some("ü")),
            ("Hello", None),
        ];
        for (subject, want) in rows {
            assert_eq!(report_id_in(subject).as_deref(), want, "{subject}");
        }
    }
}
