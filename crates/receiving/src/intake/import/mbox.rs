//! Mails in an mbox file, split at `From ` lines after an empty line (RFC 4155, "mboxrd" quoting).

use std::io::{self, BufRead};

/// Splits while reading.
pub(super) struct Mbox<R> {
    reader: R,
    limit: usize,
    number: u64,
    /// The separator of the next mail has been read already.
    at_separator: bool,
    ended: bool,
}

impl<R: BufRead> Mbox<R> {
    /// Mails are cut one byte behind `limit`.
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader, limit, number: 0, at_separator: false, ended: false }
    }

    /// One line, of which at most `limit` bytes are kept; empty at the end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(line);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(buffer.len());
            let room = (self.limit + 1).saturating_sub(line.len());
            line.extend_from_slice(&buffer[..taken.min(room)]);
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(line);
            }
        }
    }

    fn mail(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.at_separator && self.line()?.is_empty() {
            return Ok(None);
        }
        self.at_separator = false;
        let mut mail = Vec::new();
        let mut after_blank = false;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                self.ended = true;
                break;
            }
            if after_blank && line.starts_with(b"From ") {
                self.at_separator = true;
                break;
            }
            after_blank = matches!(line.as_slice(), b"\n" | b"\r\n");
            let quotes = line.iter().take_while(|byte| **byte == b'>').count();
            let unquoted =
                if quotes > 0 && line[quotes..].starts_with(b"From ") { &line[1..] } else { &line[..] };
            let room = (self.limit + 1).saturating_sub(mail.len());
            mail.extend_from_slice(&unquoted[..unquoted.len().min(room)]);
        }
        // The blank line before a separator belongs to the mbox, not to the mail.
        if self.at_separator {
            if mail.ends_with(b"\r\n\r\n") {
                mail.truncate(mail.len() - 2);
            } else if mail.ends_with(b"\n\n") {
                mail.truncate(mail.len() - 1);
            }
        }
        Ok(Some(mail))
    }
}

impl<R: BufRead> Iterator for Mbox<R> {
    type Item = (u64, io::Result<Vec<u8>>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.number += 1;
        match self.mail() {
            Ok(mail) => mail.map(|mail| (self.number, Ok(mail))),
            Err(error) => {
                self.ended = true;
                Some((self.number, Err(error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_are_split_and_unquoted() {
        for (text, mails) in [
            ("From a\nA: b\n\nx\n", vec!["A: b\n\nx\n"]),
            ("From a\nA: b\n\nx\n\nFrom c\nC: d\n\ny", vec!["A: b\n\nx\n", "C: d\n\ny"]),
            ("From a\r\nA: b\r\n\r\nx\r\n\r\nFrom c\r\nC: d\r\n", vec!["A: b\r\n\r\nx\r\n", "C: d\r\n"]),
            ("From a\nA: b\n\nfoo\nFrom inside\n", vec!["A: b\n\nfoo\nFrom inside\n"]),
            ("From a\nA: b\n\n>From x\n>>From y\n>other\n", vec!["A: b\n\nFrom x\n>From y\n>other\n"]),
        ] {
            let got: Vec<String> = Mbox::new(text.as_bytes(), 1000)
                .map(|(_, mail)| String::from_utf8(mail.unwrap()).unwrap())
                .collect();
            assert_eq!(got, mails, "{text:?}");
        }
    }

    #[test]
    fn an_endless_line_is_cut() {
        let text = format!("From a\n{}\n\nFrom b\nB: c\n", "x".repeat(100_000));
        let sizes: Vec<usize> = Mbox::new(text.as_bytes(), 10).map(|(_, mail)| mail.unwrap().len()).collect();
        assert_eq!(sizes, [11, 5]);
    }
}
