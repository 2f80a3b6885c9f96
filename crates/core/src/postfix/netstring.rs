//! Netstrings: `LENGTH:BYTES,` (the framing of Postfix' socketmap protocol).

use std::io::Write as _;

/// The longest request taken; Postfix sends a map name and one key.
pub const LIMIT: usize = 10_000;

/// The longest reply a client takes: Postfix' own limit is 100,000, a decision with all its reasons
/// (`mailward-trace`) may be longer.
pub const REPLY_LIMIT: usize = 1 << 20;

/// Why a stream cannot be read on: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No digit where the length should be, or something else than a colon behind it.
    #[error("no length before the colon")]
    Length,
    /// A leading zero before other digits.
    #[error("the length has a leading zero")]
    LeadingZero,
    /// More than the limit; nothing was allocated for it.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// No comma behind the bytes.
    #[error("no comma at the end")]
    End,
}

/// One frame at the start of `bytes`, a request: its payload and how many bytes it takes in all; `None`
/// when it is not complete yet.
///
/// # Errors
/// A [`Malformed`] as soon as the bytes cannot become a frame any more.
pub fn read(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    read_within(bytes, LIMIT)
}

/// As [`read`], for the reply that a client waits for.
///
/// # Errors
/// As [`read`].
pub fn read_reply(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    read_within(bytes, REPLY_LIMIT)
}

fn read_within(bytes: &[u8], limit: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let mut length = 0usize;
    let mut at = 0;
    loop {
        match bytes.get(at) {
            None => return Ok(None),
            Some(b':') if at > 0 => break,
            Some(digit @ b'0'..=b'9') => {
                if at > 0 && length == 0 {
                    return Err(Malformed::LeadingZero);
                }
                length = length * 10 + usize::from(digit - b'0');
                if length > limit {
                    return Err(Malformed::TooLong(limit));
                }
                at += 1;
            }
            Some(_) => return Err(Malformed::Length),
        }
    }
    let (start, end) = (at + 1, at + 1 + length);
    match bytes.get(end) {
        None => Ok(None),
        Some(b',') => Ok(Some((&bytes[start..end], end + 1))),
        Some(_) => Err(Malformed::End),
    }
}

/// Appends a frame.
pub fn write(payload: &[u8], to: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, and it allocates nothing for the digits.
    let _ = write!(to, "{}:", payload.len());
    to.extend_from_slice(payload);
    to.push(b',');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good() {
        for (bytes, payload, used) in [
            (&b"0:,"[..], &b""[..], 3),
            (b"5:a b.c,", b"a b.c", 8),
            (b"1:a,1:b,", b"a", 4),
            (b"3:,,,,rest", b",,,", 6),
        ] {
            assert_eq!(read(bytes), Ok(Some((payload, used))), "{bytes:?}");
        }
        let mut longest = Vec::new();
        write(&vec![b'x'; LIMIT], &mut longest);
        assert_eq!(read(&longest).map(|f| f.map(|(_, used)| used)), Ok(Some(longest.len())));
        let mut reply = Vec::new();
        write(&vec![b'x'; REPLY_LIMIT], &mut reply);
        assert_eq!(read_reply(&reply).map(|f| f.map(|(_, used)| used)), Ok(Some(reply.len())));
        assert_eq!(read_reply(b"1048577:"), Err(Malformed::TooLong(REPLY_LIMIT)));
    }

    #[test]
    fn incomplete() {
        for bytes in [&b""[..], b"1", b"12:", b"2:a", b"2:ab", b"9999:"] {
            assert_eq!(read(bytes), Ok(None), "{bytes:?}");
        }
    }

    #[test]
    fn bad() {
        for (bytes, why) in [
            (&b":,"[..], Malformed::Length),
            (b"a", Malformed::Length),
            (b"-1:", Malformed::Length),
            (b"1a", Malformed::Length),
            (b" 1:", Malformed::Length),
            (b"\xff", Malformed::Length),
            (b"05:", Malformed::LeadingZero),
            (b"00:", Malformed::LeadingZero),
            (b"10001", Malformed::TooLong(LIMIT)),
            (b"999999999", Malformed::TooLong(LIMIT)),
            (b"1:ab", Malformed::End),
            (b"0:a", Malformed::End),
        ] {
            assert_eq!(read(bytes), Err(why), "{bytes:?}");
        }
    }
}
