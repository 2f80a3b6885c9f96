//! Compressed containers, told by their first bytes and unpacked with bounds.
//!
//! Stated sizes are never trusted: bytes are counted as they come out, and unpacking stops at the limit
//! or when the ratio is that of a bomb. What is cut off or damaged yields nothing at all, since half a
//! report would be counted as a whole one.

use std::io::{Cursor, Read};

use flate2::bufread::GzDecoder;

use super::Limits;
use super::oddity::Refusal;

/// Output of more than this is suspicious when the ratio is, too.
const FREE_OF_RATIO: usize = 4 << 20;
/// The largest believable ratio of JSON to its compressed form.
const RATIO: usize = 200;

/// What bytes are by their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gzip,
    Zip,
    Text,
}

impl Kind {
    pub(super) fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            _ => Self::Text,
        }
    }
}

/// Unpacks all members of a gzip. `left` is what the item may still unpack.
pub(super) fn gunzip(bytes: &[u8], left: &mut usize, subject: &str) -> Result<Unzipped, Refusal> {
    let mut out = Vec::new();
    let mut rest = bytes;
    loop {
        let mut member = GzDecoder::new(rest);
        drain(&mut member, &mut out, bytes.len(), left, subject)?;
        rest = member.into_inner();
        if Kind::of(rest) == Kind::Gzip {
            continue; // RFC 1952 §2.2: members simply follow each other.
        }
        let blank = rest.iter().all(|b| b.is_ascii_whitespace() || *b == 0);
        if !blank {
            return Err(Refusal::quarantine(
                "REP-070",
                subject,
                format!("{} bytes that are no gzip follow the compressed data.", rest.len()),
            ));
        }
        *left -= out.len();
        return Ok(Unzipped { bytes: out, padded: rest.contains(&0) });
    }
}

/// What came out of a gzip.
#[derive(Debug)]
pub(super) struct Unzipped {
    pub(super) bytes: Vec<u8>,
    /// NUL bytes follow the last member.
    pub(super) padded: bool,
}

/// Hands every file of a zip to `each`, one after the other.
pub(super) fn unzip(
    bytes: &[u8],
    limits: &Limits,
    left: &mut usize,
    subject: &str,
    mut each: impl FnMut(&str, Result<Vec<u8>, Refusal>, &mut usize),
) -> Result<(), Refusal> {
    let damaged =
        |why: String| Refusal::quarantine("REP-070", subject, format!("The zip cannot be read: {why}."));
    // Counted before anybody builds a directory of them: one header stands for each entry.
    let headers = bytes.windows(4).filter(|four| four == b"PK\x01\x02").count();
    if headers > limits.zip_entries {
        let message = format!("The zip has {headers} entries; {} are allowed.", limits.zip_entries);
        return Err(Refusal::quarantine("REP-072", subject, message));
    }
    if bytes.windows(4).filter(|four| four == b"PK\x05\x06").count() > 16 {
        return Err(damaged("it has many ends".to_owned()));
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(e.to_string()))?;
    for index in 0..archive.len() {
        let (name, content) = match archive.by_index(index) {
            // Folders, and what macOS adds beside every file.
            Ok(entry) if entry.is_dir() || entry.name().starts_with("__MACOSX/") => continue,
            Ok(mut entry) => {
                let name = entry.name().to_owned();
                let packed = usize::try_from(entry.compressed_size()).unwrap_or(usize::MAX);
                let mut out = Vec::new();
                let content = drain(&mut entry, &mut out, packed.min(bytes.len()), left, &name);
                let content = content.map(|()| out);
                (name, content)
            }
            Err(error) => (subject.to_owned(), Err(damaged(error.to_string()))),
        };
        match content {
            // Nothing more can be unpacked, so the other entries are not even begun.
            Err(over) if *left == 0 => return Err(over),
            Err(refusal) => each(&name, Err(refusal), left),
            Ok(out) => {
                *left -= out.len();
                each(&name, Ok(out), left);
            }
        }
    }
    Ok(())
}

/// Reads to the end. Whoever passes a bound has nothing left for anything else in the item: a hundred
/// bombs cost no more than one.
fn drain(
    from: &mut impl Read,
    out: &mut Vec<u8>,
    packed: usize,
    left: &mut usize,
    subject: &str,
) -> Result<(), Refusal> {
    let mut chunk = [0; 16 << 10];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) => {
                let message = format!("The compressed data is damaged or cut off: {error}.");
                return Err(Refusal::quarantine("REP-070", subject, message));
            }
        };
        let total = out.len() + read;
        if total > *left {
            let message = format!("Unpacked it is larger than the {left} bytes that are left to it.");
            *left = 0;
            return Err(Refusal::quarantine("REP-071", subject, message));
        }
        if total > FREE_OF_RATIO && total / RATIO > packed {
            let message = format!("{packed} bytes unpack to more than {RATIO} times as many: a bomb.");
            *left = 0;
            return Err(Refusal::quarantine("REP-071", subject, message));
        }
        out.extend_from_slice(&chunk[..read]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn id(result: Result<Unzipped, Refusal>) -> &'static str {
        match result {
            Err(Refusal::Quarantine(id, ..) | Refusal::Foreign(id, ..)) => id,
            Ok(_) => "unpacked",
        }
    }

    #[test]
    fn members_are_joined_and_padding_is_seen() {
        let mut two = gzip(b"one ");
        two.extend(gzip(b"two"));
        let mut left = 100;
        let out = gunzip(&two, &mut left, "x").unwrap();
        assert_eq!((out.bytes.as_slice(), out.padded, left), (b"one two".as_slice(), false, 93));
        two.extend(b"\r\n");
        assert!(!gunzip(&two, &mut 100, "x").unwrap().padded);
        two.extend([0; 10]);
        assert!(gunzip(&two, &mut 100, "x").unwrap().padded);
    }

    #[test]
    fn damage_and_bombs_yield_nothing() {
        let good = gzip(b"some text that is long enough");
        let mut flipped = good.clone();
        let at = flipped.len() - 6;
        flipped[at] ^= 1; // a bit of the check sum
        let mut tail = good.clone();
        tail.extend(b"tail");
        let blanks = gzip(&vec![b' '; 5 << 20]);
        let rows: [(&[u8], usize, &str, &str); 7] = [
            (&good, 100, "unpacked", "faultless"),
            (&good, 29, "unpacked", "exactly the limit"),
            (&good, 28, "REP-071", "one over the limit"),
            (&good[..good.len() - 3], 100, "REP-070", "cut off in the trailer"),
            (&flipped, 100, "REP-070", "check sum"),
            (&tail, 100, "REP-070", "garbage behind"),
            (&blanks, 20_000_000, "REP-071", "ratio of a bomb"),
        ];
        for (bytes, mut left, want, why) in rows {
            assert_eq!(id(gunzip(bytes, &mut left, "x")), want, "{why}");
        }
    }

    #[test]
    fn content_is_told_by_its_first_bytes() {
        let rows: [(&[u8], Kind); 6] = [
            (b"\x1f\x8b\x08", Kind::Gzip),
            (b"PK\x03\x04", Kind::Zip),
            (b"PK\x05\x06", Kind::Zip),
            (b"PK", Kind::Text),
            (b"{}", Kind::Text),
            (b"", Kind::Text),
        ];
        for (bytes, kind) in rows {
            assert_eq!(Kind::of(bytes), kind);
        }
    }
}
