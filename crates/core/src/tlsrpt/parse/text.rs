//! Bytes to text: UTF-8, UTF-16 by its mark, else Latin-1, with the padding at the end removed.

use std::borrow::Cow;

use super::oddity::Oddities;

/// The text in these bytes; never fails, since every byte is a Latin-1 character.
pub(super) fn decode<'a>(bytes: &'a [u8], subject: &str, oddities: &mut Oddities) -> Cow<'a, str> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes, subject, oddities),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes, subject, oddities),
        _ => {}
    }
    let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => {
            oddities.note("REP-020", || subject, || "A byte order mark stands in front.".to_owned());
            rest
        }
        None => bytes,
    };
    let end = bytes.iter().rposition(|b| !is_padding(*b)).map_or(0, |last| last + 1);
    let (text, padding) = bytes.split_at(end);
    if padding.contains(&0) {
        oddities.note("REP-023", || subject, || format!("{} bytes of padding follow.", padding.len()));
    }
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) => {
            oddities.note(
                "REP-022",
                || subject,
                || format!("Byte {} is no UTF-8; the text is read as Latin-1.", error.valid_up_to()),
            );
            Cow::Owned(text.iter().map(|byte| char::from(*byte)).collect())
        }
    }
}

/// Whether a report could begin here: an object, an array, or a mark of UTF-16.
pub(super) fn begins_like_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    matches!(bytes.trim_ascii_start(), [b'{' | b'[', ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

/// Whether there is nothing but blanks.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| is_padding(*b))
}

fn is_padding(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0
}

fn utf16<'a>(bytes: &[u8], unit: fn([u8; 2]) -> u16, subject: &str, oddities: &mut Oddities) -> Cow<'a, str> {
    oddities.note("REP-021", || subject, || "The text is UTF-16.".to_owned());
    let units = bytes.chunks_exact(2).map(|two| unit([two[0], two[1]]));
    let mut text: String = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect();
    let kept = text.trim_end_matches(|c: char| c.is_ascii_whitespace() || c == '\0').len();
    if text[kept..].contains('\0') {
        oddities.note(
            "REP-023",
            || subject,
            || format!("{} characters of padding follow.", text.len() - kept),
        );
    }
    text.truncate(kept);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_is_read() {
        let rows: [(&[u8], &str, &[&str]); 8] = [
            (b"{}", "{}", &[]),
            (b"{}\r\n ", "{}", &[]),
            (b"{}\n\0\0", "{}", &["REP-023"]),
            (b"\xef\xbb\xbf{}", "{}", &["REP-020"]),
            ("\"ü\"".as_bytes(), "\"ü\"", &[]),
            (b"\"\xfc\"", "\"ü\"", &["REP-022"]),
            (b"\xff\xfe{\0\xfc\0}\0", "{ü}", &["REP-021"]),
            (b"\xfe\xff\0{\0}\0\0", "{}", &["REP-021", "REP-023"]),
        ];
        for (bytes, text, ids) in rows {
            let mut oddities = Oddities::default();
            assert_eq!(decode(bytes, "x", &mut oddities), text, "{bytes:?}");
            let findings = oddities.into_findings();
            assert_eq!(findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ids, "{bytes:?}");
        }
    }
}
