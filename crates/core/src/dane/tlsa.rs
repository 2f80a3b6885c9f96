//! TLSA records in text and wire form, and which of them an SMTP sender can use.
//!
//! RFC 6698 §2 gives the forms, RFC 7218 the names, RFC 7672 §3.1 what SMTP uses of them. A record that
//! cannot be used is no failure: it is left out, and only a set without any usable record changes what a
//! sender does. So nothing here fails a delivery; it says why a record does not count.

use std::fmt;

use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};

use crate::chain::{Certificate, hex, printable};

/// The most octets of one record (RFC 1035 §3.2.1, RDLENGTH).
const MAX_RDATA: usize = 65_535;

/// One TLSA record with well-separated fields; usable or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tlsa {
    /// Certificate usage (RFC 7218): 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// 0 Cert, 1 SPKI.
    pub selector: u8,
    /// 0 Full, 1 SHA2-256, 2 SHA2-512.
    pub matching: u8,
    /// Association data.
    pub data: Vec<u8>,
}

/// Why a sender cannot use a record (RFC 7672 §3.1, reading A27).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Fewer than four octets, or text that is no record.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Usage 0 or 1 at port 25, or unknown.
    #[error("usage {0} is not used for SMTP")]
    Usage(u8),
    /// Unknown selector.
    #[error("selector {0} is unknown")]
    Selector(u8),
    /// Unknown matching type.
    #[error("matching type {0} is unknown")]
    Matching(u8),
    /// The data does not have the length of its digest, or is no certificate or key.
    #[error("the data does not fit matching type {matching}: {why}")]
    Data {
        /// The matching type.
        matching: u8,
        /// What is wrong.
        why: String,
    },
}

impl Unusable {
    /// Whether the record is broken, as opposed to one that SMTP does not use.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::Data { .. })
    }
}

impl Tlsa {
    /// Reads the data of a record as it came from the DNS.
    ///
    /// # Errors
    /// [`Unusable::Malformed`] when it has fewer than four octets.
    pub fn from_wire(rdata: &[u8]) -> Result<Self, Unusable> {
        match rdata {
            [usage, selector, matching, data @ ..] if !data.is_empty() => {
                Ok(Self { usage: *usage, selector: *selector, matching: *matching, data: data.to_vec() })
            }
            // Short records have crashed senders; they are a fact of the outside like any other.
            _ => Err(Unusable::Malformed(format!("{} octets, fewer than four", rdata.len()))),
        }
    }

    /// The data of the record for the DNS.
    pub fn to_wire(&self) -> Vec<u8> {
        [&[self.usage, self.selector, self.matching][..], &self.data].concat()
    }

    /// Reads `3 1 1 HEX`: numbers or the names of RFC 7218, hexadecimal in any case, with blanks anywhere
    /// in it (RFC 6698 §2.2).
    ///
    /// # Errors
    /// [`Unusable::Malformed`] that names the faulty part.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        let mut words = text.split_ascii_whitespace();
        let mut field = |what: &str, names: &[&str]| {
            let word = words.next().ok_or_else(|| Unusable::Malformed(format!("the {what} is missing")))?;
            number(word, names)
                .ok_or_else(|| Unusable::Malformed(format!("{:?} is no {what}", printable(word))))
        };
        let usage = field("usage", &["PKIX-TA", "PKIX-EE", "DANE-TA", "DANE-EE"])?;
        let selector = field("selector", &["Cert", "SPKI"])?;
        let matching = field("matching type", &["Full", "SHA2-256", "SHA2-512"])?;
        let digits: String = words.collect();
        if digits.is_empty() {
            return Err(Unusable::Malformed("the data is missing".to_owned()));
        }
        let data = unhex(&digits)?;
        Ok(Self { usage, selector, matching, data })
    }

    /// Whether an SMTP sender can use the record.
    ///
    /// # Errors
    /// An [`Unusable`] that says why it does not count.
    pub fn usable(&self) -> Result<(), Unusable> {
        // RFC 7672 §3.1.3: PKIX-TA and PKIX-EE are not used on port 25 (reading A27).
        if !matches!(self.usage, 2 | 3) {
            return Err(Unusable::Usage(self.usage));
        }
        if !matches!(self.selector, 0 | 1) {
            return Err(Unusable::Selector(self.selector));
        }
        let matching = self.matching;
        let fits = match matching {
            0 => self.full_data(),
            1 => self.has_octets(32),
            2 => self.has_octets(64),
            _ => return Err(Unusable::Matching(matching)),
        };
        fits.map_err(|why| Unusable::Data { matching, why })
    }

    fn has_octets(&self, octets: usize) -> Result<(), String> {
        if self.data.len() == octets {
            Ok(())
        } else {
            Err(format!("{} octets instead of {octets}", self.data.len()))
        }
    }

    fn full_data(&self) -> Result<(), String> {
        if self.selector == 0 {
            return Certificate::parse(&self.data).map(|_| ()).map_err(|error| error.to_string());
        }
        match SubjectPublicKeyInfo::from_der(&self.data) {
            Ok(([], _)) => Ok(()),
            _ => Err("it is no public key".to_owned()),
        }
    }

    /// Rank of the digest for agility (RFC 7671 §9); `None` for full data, which always counts.
    pub(super) fn digest_rank(&self) -> Option<u8> {
        (self.matching != 0).then_some(self.matching)
    }

    /// The record for a person: data of more than a digest is cut.
    pub fn short(&self) -> String {
        let Self { usage, selector, matching, data } = self;
        match data.get(..64) {
            Some(start) if data.len() > 64 => {
                format!("{usage} {selector} {matching} {}… ({} octets)", hex(&start[..16]), data.len())
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.usage, self.selector, self.matching, hex(&self.data))
    }
}

impl std::str::FromStr for Tlsa {
    type Err = Unusable;
    fn from_str(text: &str) -> Result<Self, Unusable> {
        Self::parse(text)
    }
}

fn number(word: &str, names: &[&str]) -> Option<u8> {
    if word.bytes().all(|b| b.is_ascii_digit()) {
        return word.parse().ok();
    }
    let position = names.iter().position(|name| name.eq_ignore_ascii_case(word))?;
    u8::try_from(position).ok()
}

fn unhex(digits: &str) -> Result<Vec<u8>, Unusable> {
    if let Some(c) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        let shown = printable(&c.to_string());
        return Err(Unusable::Malformed(format!("{shown:?} is no hexadecimal digit")));
    }
    if !digits.len().is_multiple_of(2) {
        return Err(Unusable::Malformed(format!("an odd number of hexadecimal digits ({})", digits.len())));
    }
    if digits.len() / 2 + 3 > MAX_RDATA {
        return Err(Unusable::Malformed(format!("{} octets, more than a record holds", digits.len() / 2)));
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
    Ok(digits.as_bytes().chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn good_texts() {
        for (text, written) in [
            (format!("3 1 1 {DIGEST}"), format!("3 1 1 {DIGEST}")),
            (format!("3 1 1 {}", DIGEST.to_uppercase()), format!("3 1 1 {DIGEST}")),
            (
                format!(" DANE-TA\tspki SHA2-256 {} {}\n", &DIGEST[..7], &DIGEST[7..]),
                format!("2 1 1 {DIGEST}"),
            ),
            ("PKIX-EE Cert Full 00".to_owned(), "1 0 0 00".to_owned()),
            ("255 7 9 ab".to_owned(), "255 7 9 ab".to_owned()),
        ] {
            let record = Tlsa::parse(&text).unwrap();
            assert_eq!(record.to_string(), written, "{text}");
            assert_eq!(Tlsa::from_wire(&record.to_wire()), Ok(record), "{text}");
        }
    }

    #[test]
    fn bad_texts_say_why() {
        let huge = format!("3 0 0 {}", "00".repeat(MAX_RDATA));
        for (text, why) in [
            ("", "the usage is missing"),
            ("3 1", "the matching type is missing"),
            ("3 1 1", "the data is missing"),
            ("256 1 1 00", "\"256\" is no usage"),
            ("+3 1 1 00", "\"+3\" is no usage"),
            ("3 key 1 00", "\"key\" is no selector"),
            ("3 1 1 abc", "an odd number of hexadecimal digits (3)"),
            ("3 1 1 0x00", "\"x\" is no hexadecimal digit"),
            ("3 1 1 àà", "\"à\" is no hexadecimal digit"),
            (&huge, "65535 octets, more than a record holds"),
        ] {
            assert_eq!(Tlsa::parse(text), Err(Unusable::Malformed(why.to_owned())), "{text:.40}");
        }
    }

    #[test]
    fn short_data_is_malformed() {
        for rdata in [&[][..], &[3], &[3, 1], &[3, 1, 1], &[3, 1, 0]] {
            assert!(matches!(Tlsa::from_wire(rdata), Err(Unusable::Malformed(_))), "{rdata:?}");
        }
    }

    #[test]
    fn what_smtp_does_not_use_is_unusable() {
        let data = |matching, why: &str| Unusable::Data { matching, why: why.to_owned() };
        for (text, why) in [
            (format!("0 0 1 {DIGEST}"), Unusable::Usage(0)),
            (format!("1 1 1 {DIGEST}"), Unusable::Usage(1)),
            (format!("4 1 1 {DIGEST}"), Unusable::Usage(4)),
            (format!("3 2 1 {DIGEST}"), Unusable::Selector(2)),
            (format!("3 1 3 {DIGEST}"), Unusable::Matching(3)),
            (format!("3 1 1 {DIGEST}00"), data(1, "33 octets instead of 32")),
            (format!("2 1 2 {DIGEST}"), data(2, "32 octets instead of 64")),
            ("3 1 0 3000".to_owned(), data(0, "it is no public key")),
        ] {
            assert_eq!(Tlsa::parse(&text).unwrap().usable(), Err(why), "{text}");
        }
        assert!(matches!(Tlsa::parse("2 0 0 30").unwrap().usable(), Err(Unusable::Data { matching: 0, .. })));
        assert_eq!(Tlsa::parse(&format!("2 0 2 {DIGEST}{DIGEST}")).unwrap().usable(), Ok(()));
    }
    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-fA-F \\PC]{0,40}") {
            if let Ok(record) = Tlsa::parse(&text) {
                assert_eq!(Tlsa::parse(&record.to_string()), Ok(record.clone()));
                let _ = record.usable();
            }
        }

        #[test]
        fn any_octets_survive(rdata in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            match Tlsa::from_wire(&rdata) {
                Ok(record) => assert_eq!(record.to_wire(), rdata),
                Err(_) => assert!(rdata.len() < 4),
            }
        }
    }
}
