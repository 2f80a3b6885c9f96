//! Record data: text as in a zone file in, octets out.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::Name;

/// Numbers of record types used here.
pub mod rtype {
    #![allow(missing_docs)]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const TLSA: u16 = 52;
    pub const ANY: u16 = 255;
    pub const CAA: u16 = 257;
}

const NAMES: [(&str, u16); 12] = [
    ("A", rtype::A),
    ("NS", rtype::NS),
    ("CNAME", rtype::CNAME),
    ("SOA", rtype::SOA),
    ("MX", rtype::MX),
    ("TXT", rtype::TXT),
    ("AAAA", rtype::AAAA),
    ("DS", rtype::DS),
    ("NSEC", rtype::NSEC),
    ("DNSKEY", rtype::DNSKEY),
    ("TLSA", rtype::TLSA),
    ("CAA", rtype::CAA),
];

/// The number of a type: `TXT`, `TYPE65`.
///
/// # Errors
/// When the type is not known here.
pub fn type_number(text: &str) -> Result<u16, String> {
    let upper = text.to_ascii_uppercase();
    NAMES
        .iter()
        .find(|(name, _)| *name == upper)
        .map(|(_, number)| *number)
        .or_else(|| upper.strip_prefix("TYPE")?.parse().ok())
        .ok_or_else(|| format!("{text:?} is no record type known here"))
}

/// The octets of one record. `\# LENGTH HEX` (RFC 3597 §5) works for every type, also for data that
/// the type does not allow. A TXT value is taken as it stands, cut every 255 octets; when it begins
/// with a quotation mark it is a list of quoted strings.
///
/// # Errors
/// A sentence with the text that cannot be read.
pub fn rdata(rtype: u16, text: &str) -> Result<Vec<u8>, String> {
    let bad = || format!("{text:?} is no data for record type {rtype}");
    if let Some(generic) = text.strip_prefix("\\#") {
        let (length, hex) = generic.trim().split_once(' ').unwrap_or((generic.trim(), ""));
        let octets = unhex(hex).ok_or_else(bad)?;
        return if length.parse() == Ok(octets.len()) { Ok(octets) } else { Err(bad()) };
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let mut out = Vec::new();
    match (rtype, fields.as_slice()) {
        (rtype::TXT, _) => {
            let strings =
                if text.starts_with('"') { quoted(text).ok_or_else(bad)? } else { vec![text.into()] };
            for string in strings {
                let octets = string.as_bytes();
                let chunks: Vec<&[u8]> =
                    if octets.is_empty() { vec![&[]] } else { octets.chunks(255).collect() };
                for chunk in chunks {
                    out.push(u8::try_from(chunk.len()).map_err(|_| bad())?);
                    out.extend_from_slice(chunk);
                }
            }
        }
        (rtype::A, [address]) => {
            out.extend_from_slice(&address.parse::<Ipv4Addr>().map_err(|_| bad())?.octets());
        }
        (rtype::AAAA, [address]) => {
            out.extend_from_slice(&address.parse::<Ipv6Addr>().map_err(|_| bad())?.octets());
        }
        (rtype::NS | rtype::CNAME, [target]) => Name::parse(target)?.write(&mut out),
        (rtype::MX, [preference, host]) => {
            out.extend_from_slice(&preference.parse::<u16>().map_err(|_| bad())?.to_be_bytes());
            Name::parse(host)?.write(&mut out);
        }
        (rtype::TLSA | rtype::DS, [_, _, _, hex @ ..]) => {
            if rtype == rtype::DS {
                out.extend_from_slice(&fields[0].parse::<u16>().map_err(|_| bad())?.to_be_bytes());
            } else {
                out.push(fields[0].parse().map_err(|_| bad())?);
            }
            out.push(fields[1].parse().map_err(|_| bad())?);
            out.push(fields[2].parse().map_err(|_| bad())?);
            out.extend(unhex(&hex.concat()).ok_or_else(bad)?);
        }
        (rtype::CAA, [flags, tag, _, ..]) => {
            let value = text.split_once('"').and_then(|(_, v)| v.strip_suffix('"')).ok_or_else(bad)?;
            out.push(flags.parse().map_err(|_| bad())?);
            out.push(u8::try_from(tag.len()).map_err(|_| bad())?);
            out.extend_from_slice(tag.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        _ => return Err(bad()),
    }
    Ok(out)
}

fn quoted(text: &str) -> Option<Vec<String>> {
    let mut strings = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('"')?;
        let mut string = String::new();
        let mut characters = inner.char_indices();
        loop {
            match characters.next()? {
                (_, '\\') => string.push(characters.next()?.1),
                (at, '"') => {
                    rest = inner.get(at + 1..)?.trim_start();
                    break;
                }
                (_, c) => string.push(c),
            }
        }
        strings.push(string);
    }
    Some(strings)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|p| p[0] << 4 | p[1]).collect())
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|o| format!("{o:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good() {
        for (rtype, text, octets) in [
            ("A", "127.0.0.1", "7f000001"),
            ("MX", "10 mx.test.", "000a026d780474657374 00"),
            ("MX", "0 .", "0000 00"),
            ("TXT", "v=STSv1; id=1;", "0e 763d53545376313b2069643d313b"),
            ("TXT", "\"a\" \"b\\\"\"", "0161 026222"),
            ("TXT", "\"\"", "00"),
            ("TLSA", "3 1 1 00FF 01", "030101 00ff01"),
            ("TLSA", "\\# 3 030101", "030101"),
            ("TLSA", "\\# 0", ""),
            ("CAA", "0 issue \"ca.test\"", "00 05 6973737565 63612e74657374"),
            ("TYPE65", "\\# 2 abcd", "abcd"),
        ] {
            let number = type_number(rtype).unwrap();
            assert_eq!(rdata(number, text), Ok(unhex(octets).unwrap()), "{rtype} {text}");
        }
    }

    #[test]
    fn bad() {
        for (rtype, text, why) in [
            ("A", "300.0.0.1", "no address"),
            ("MX", "mx.test.", "no preference"),
            ("TLSA", "3 1 1 0", "half an octet"),
            ("TLSA", "\\# 4 030101", "length does not fit"),
            ("TXT", "\"open", "no closing mark"),
            ("CNAME", "a..b", "empty label"),
        ] {
            assert!(rdata(type_number(rtype).unwrap(), text).is_err(), "{rtype} {text}: {why}");
        }
        assert!(type_number("NOTHING").is_err());
    }

    #[test]
    fn long_text_is_cut_into_strings() {
        let data = rdata(rtype::TXT, &"x".repeat(300)).unwrap();
        assert_eq!((data.len(), data[0], data[256]), (302, 255, 45));
    }
}
