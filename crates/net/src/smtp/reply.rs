//! SMTP replies from bytes: pure, incremental, with every bound that a hostile server makes necessary.
//!
//! RFC 5321 §4.2: three digits, then a hyphen on all lines but the last, then text. Text is kept as
//! bytes and only ever shown escaped. A line may end in a bare LF, as some servers send; nothing here
//! depends on it, since what counts at STARTTLS is that *nothing* is left in the buffer.

use std::fmt;

/// The longest line, its end included. RFC 5321 allows 512; real servers go further.
pub const MOST_LINE: usize = 4096;
/// Lines of one reply.
pub const MOST_LINES: usize = 128;
/// Bytes of one reply.
pub const MOST_BYTES: usize = 64 * 1024;
/// Characters shown of a reply.
const MOST_SHOWN: usize = 255;

/// One whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The text of each line, without code and line end.
    pub lines: Vec<Vec<u8>>,
}

/// Why bytes are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line does not begin with three digits.
    #[error("a reply without a code of three digits")]
    Code,
    /// Something else than a blank, a hyphen or the end of the line behind the code.
    #[error("a reply code without a separator behind it")]
    Separator,
    /// Another code on a later line.
    #[error("a reply whose lines have different codes")]
    CodeChanges,
    /// More than [`MOST_LINE`] bytes.
    #[error("a reply line of more than {MOST_LINE} bytes")]
    LongLine,
    /// More than [`MOST_LINES`] lines.
    #[error("a reply of more than {MOST_LINES} lines")]
    ManyLines,
    /// More than [`MOST_BYTES`] bytes.
    #[error("a reply of more than {MOST_BYTES} bytes")]
    Long,
}

/// Takes bytes as they come and gives replies. What follows a reply stays until the next one is asked
/// for, and [`ReplyReader::is_empty`] tells whether anything does.
#[derive(Debug, Default)]
pub struct ReplyReader {
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    begun: Option<Reply>,
    taken: usize,
}

impl ReplyReader {
    /// Adds bytes. Never keeps more than was given; callers read at most [`MOST_LINE`] at once.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether nothing is left over: neither bytes nor a reply half read.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.begun.is_none()
    }

    /// The next reply, if it is complete.
    ///
    /// # Errors
    /// The first breach of form or bound. The connection is of no use after it.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        while let Some(line) = self.next_line()? {
            let (code, last, text) = split(&line)?;
            let reply = self.begun.get_or_insert_with(|| Reply { code, lines: Vec::new() });
            if reply.code != code {
                return Err(ReplyError::CodeChanges);
            }
            if reply.lines.len() == MOST_LINES {
                return Err(ReplyError::ManyLines);
            }
            reply.lines.push(text.to_vec());
            if last {
                self.taken = 0;
                return Ok(self.begun.take());
            }
        }
        Ok(None)
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, ReplyError> {
        let end = self.buffer[self.searched..].iter().position(|b| *b == b'\n').map(|at| at + self.searched);
        let length = end.map_or(self.buffer.len(), |end| end + 1);
        if length > MOST_LINE {
            return Err(ReplyError::LongLine);
        }
        if self.taken + length > MOST_BYTES {
            return Err(ReplyError::Long);
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        self.searched = 0;
        self.taken += line.len();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}

fn split(line: &[u8]) -> Result<(u16, bool, &[u8]), ReplyError> {
    let Some((code, rest)) = line.split_first_chunk::<3>() else { return Err(ReplyError::Code) };
    if !code.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::Code);
    }
    let code = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Ok((code, true, rest)),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        // A fourth digit is a code of other length.
        Some((c, _)) if c.is_ascii_digit() => Err(ReplyError::Code),
        Some(_) => Err(ReplyError::Separator),
    }
}

impl Reply {
    /// The keywords of an EHLO reply: every line but the first, which is a greeting, escaped.
    pub fn keywords(&self) -> Vec<String> {
        self.lines.iter().skip(1).map(|l| escaped(l)).collect()
    }

    /// Whether an EHLO reply offers `keyword`, with or without parameters.
    pub fn offers(&self, keyword: &str) -> bool {
        let first_word = |line: &'_ [u8]| -> Vec<u8> {
            line.split(|b| *b == b' ').next().unwrap_or_default().to_ascii_lowercase()
        };
        self.lines.iter().skip(1).any(|l| first_word(l) == keyword.to_ascii_lowercase().as_bytes())
    }

    /// What stands behind a keyword of an EHLO reply, escaped: `5` of `SIZE 5`.
    pub fn parameter(&self, keyword: &str) -> Option<String> {
        self.keywords().into_iter().find_map(|line| {
            let (first, rest) = line.split_once(' ')?;
            first.eq_ignore_ascii_case(keyword).then(|| rest.trim().to_owned())
        })
    }
}

/// Code and text on one line, escaped, at most 255 characters.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.lines.iter().map(|l| escaped(l)).collect::<Vec<_>>().join(" / ");
        let shown: String = format!("{:03} {text}", self.code).chars().take(MOST_SHOWN).collect();
        f.write_str(shown.trim_end())
    }
}

/// Printable ASCII as it is, everything else as `\xNN`, cut to 255 characters.
fn escaped(text: &[u8]) -> String {
    let text = &text[..text.len().min(MOST_SHOWN)];
    let mut shown = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' '..=b'~' => shown.push(char::from(*byte)),
            _ => shown.push_str(&format!("\\x{byte:02x}")),
        }
    }
    shown.truncate(MOST_SHOWN);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads everything in one piece and byte by byte; both must agree.
    fn read(bytes: &[u8]) -> Result<(Vec<Reply>, bool), ReplyError> {
        let run = |pieces: &[&[u8]]| {
            let (mut reader, mut replies) = (ReplyReader::default(), Vec::new());
            for piece in pieces {
                reader.push(piece);
                while let Some(reply) = reader.next_reply()? {
                    replies.push(reply);
                }
            }
            Ok((replies, reader.is_empty()))
        };
        let at_once = run(&[bytes]);
        let dripped = run(&bytes.chunks(1).collect::<Vec<_>>());
        assert_eq!(at_once, dripped, "{:?}", bytes.escape_ascii().to_string());
        at_once
    }

    #[test]
    fn good_replies() {
        for (bytes, code, lines) in [
            (&b"220 mx.example ESMTP\r\n"[..], 220, &["mx.example ESMTP"][..]),
            (b"220-a\r\n220 b\r\n", 220, &["a", "b"]),
            (b"250-a\r\n250-\r\n250\r\n", 250, &["a", "", ""]),
            (b"250 \r\n", 250, &[""]),
            (b"250\n", 250, &[""]),
            (b"554 lone\rcr\r\n", 554, &["lone\rcr"]),
            (b"000 x\r\n", 0, &["x"]),
        ] {
            let lines: Vec<Vec<u8>> = lines.iter().map(|l| l.as_bytes().to_vec()).collect();
            assert_eq!(
                read(bytes),
                Ok((vec![Reply { code, lines }], true)),
                "{:?}",
                bytes.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn what_follows_a_reply_is_left_over() {
        for (bytes, whole) in [
            (&b"220 ok\r\n250-x\r\n"[..], 1),
            (b"220 ok\r\nx", 1),
            (b"220 ok\r\n\r", 1),
            (b"220-half\r\n", 0),
            (b"22", 0),
        ] {
            let (replies, empty) = read(bytes).unwrap();
            assert_eq!((replies.len(), empty), (whole, false), "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn bad_replies() {
        let long_line = [b"220 ", &vec![b'x'; MOST_LINE][..], b"\r\n"].concat();
        let endless = vec![b'2'; MOST_LINE + 1];
        let many = b"250-x\r\n".repeat(MOST_LINES + 1);
        let long =
            [&b"250-"[..], &vec![b'x'; MOST_LINE - 6], b"\r\n"].concat().repeat(MOST_BYTES / MOST_LINE + 1);
        for (bytes, why) in [
            (&b"\r\n"[..], ReplyError::Code),
            (b"22\r\n", ReplyError::Code),
            (b"2200 x\r\n", ReplyError::Code),
            (b"abc x\r\n", ReplyError::Code),
            (b" 220 x\r\n", ReplyError::Code),
            (b"+20 x\r\n", ReplyError::Code),
            (b"\xb2\xb2\xb0 x\r\n", ReplyError::Code),
            (b"220x\r\n", ReplyError::Separator),
            (b"220\tx\r\n", ReplyError::Separator),
            (b"250-a\r\n220 b\r\n", ReplyError::CodeChanges),
            (&long_line, ReplyError::LongLine),
            (&endless, ReplyError::LongLine),
            (&many, ReplyError::ManyLines),
            (&long, ReplyError::Long),
        ] {
            assert_eq!(read(bytes).unwrap_err(), why);
        }
    }

    #[test]
    fn bounds_are_exact() {
        let line = |n: usize| [b"220 ", &vec![b'x'; n - 6][..], b"\r\n"].concat();
        assert!(read(&line(MOST_LINE)).is_ok());
        assert_eq!(read(&line(MOST_LINE + 1)), Err(ReplyError::LongLine));
        let lines = |n: usize| [b"250-x\r\n".repeat(n - 1), b"250 x\r\n".to_vec()].concat();
        assert!(read(&lines(MOST_LINES)).is_ok());
        assert_eq!(read(&lines(MOST_LINES + 1)), Err(ReplyError::ManyLines));
        let full = |last: usize| {
            let whole = [&b"250-"[..], &vec![b'x'; MOST_LINE - 6], b"\r\n"]
                .concat()
                .repeat(MOST_BYTES / MOST_LINE - 1);
            [whole, [b"250 ", &vec![b'x'; last - 6][..], b"\r\n"].concat()].concat()
        };
        assert!(read(&full(MOST_LINE)).is_ok());
        // One byte more in total, on a line of its own.
        let over = [full(MOST_LINE - 7).replace_last(), b"250 xx\r\n".to_vec()].concat();
        assert_eq!(read(&over), Err(ReplyError::Long));
    }

    trait ReplaceLast {
        fn replace_last(self) -> Self;
    }

    impl ReplaceLast for Vec<u8> {
        /// Makes the last line one that goes on.
        fn replace_last(mut self) -> Self {
            if let Some(at) = self.windows(4).rposition(|w| w == b"250 ") {
                self[at + 3] = b'-';
            }
            self
        }
    }

    #[test]
    fn keywords_are_words_of_later_lines() {
        let (replies, _) =
            read(b"250-starttls\r\n250-XSTARTTLS\r\n250-STARTTLSX\r\n250-SIZE 5\r\n250 PIPELINING\r\n")
                .unwrap();
        let ehlo = &replies[0];
        assert!(!ehlo.offers("STARTTLS"));
        assert!(ehlo.offers("size") && ehlo.offers("Pipelining"));
        assert_eq!(ehlo.parameter("Size").as_deref(), Some("5"));
        assert_eq!(ehlo.parameter("PIPELINING"), None);
        let (replies, _) = read(b"250-mx\r\n250-StartTls now\r\n250 X\x00\xff\r\n").unwrap();
        assert!(replies[0].offers("STARTTLS"));
        assert_eq!(replies[0].keywords(), ["StartTls now", r"X\x00\xff"]);
    }

    #[test]
    fn replies_are_shown_safely() {
        let (replies, _) = read(b"554-a\x1b[2J\x00\r\n554 \xc3\xa9\r\n").unwrap();
        assert_eq!(replies[0].to_string(), r"554 a\x1b[2J\x00 / \xc3\xa9");
        let long = [&b"554 "[..], &[b'y'; 1000], b"\r\n"].concat();
        assert_eq!(read(&long).unwrap().0[0].to_string().len(), MOST_SHOWN);
    }

    #[test]
    fn any_bytes_are_survived() {
        // A small generator of our own: the point is variety, not secrecy.
        let mut state = 0x2545_F491_4F6C_DD1Du64;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..state % 40 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.push(b"2250- \r\nx\x00"[(state % 10) as usize]);
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let _ = read(&bytes);
        }
    }
}
