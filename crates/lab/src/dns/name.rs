//! Names as the DNS orders them.
//!
//! Labels are kept lower case and in reverse, the top-level domain first. The derived order is then
//! the canonical order of RFC 4034 §6.1, on which the chain of NSEC records rests, and all names below
//! a name follow it directly.

use std::fmt;

/// An absolute name, lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The top-level domain first.
    labels: Vec<Box<[u8]>>,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self { labels: Vec::new() }
    }

    /// Reads `mx.example.test`, with or without the final dot; `.` is the root.
    ///
    /// # Errors
    /// When a label is empty or longer than 63 octets, or the name longer than 255.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self::root());
        }
        let mut labels = Vec::new();
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(format!("{text:?} is no domain name"));
            }
            labels.push(label.to_ascii_lowercase().into_bytes().into_boxed_slice());
        }
        labels.reverse();
        let name = Self { labels };
        if name.wire_length() > 255 { Err(format!("{text:?} is too long")) } else { Ok(name) }
    }

    /// Reads an uncompressed name; returns it with the number of octets read.
    pub(crate) fn from_wire(wire: &[u8]) -> Option<(Self, usize)> {
        let mut labels = Vec::new();
        let mut at = 0;
        loop {
            let length = usize::from(*wire.get(at)?);
            at += 1;
            match length {
                0 => break,
                1..=63 => {
                    labels.push(wire.get(at..at + length)?.to_ascii_lowercase().into_boxed_slice());
                    at += length;
                }
                _ => return None,
            }
            if at > 255 {
                return None;
            }
        }
        labels.reverse();
        Some((Self { labels }, at))
    }

    /// Appends the uncompressed wire form.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        for label in self.labels.iter().rev() {
            to.push(u8::try_from(label.len()).unwrap_or(63));
            to.extend_from_slice(label);
        }
        to.push(0);
    }

    fn wire_length(&self) -> usize {
        self.labels.iter().map(|l| l.len() + 1).sum::<usize>() + 1
    }

    /// Number of labels; the root has none.
    pub(crate) fn depth(&self) -> usize {
        self.labels.len()
    }

    /// Number of labels as an RRSIG counts them: without a leading asterisk (RFC 4034 §3.1.3).
    pub(crate) fn signed_labels(&self) -> u8 {
        let all = self.labels.len();
        let counted = if self.is_wildcard() { all - 1 } else { all };
        u8::try_from(counted).unwrap_or(u8::MAX)
    }

    /// Whether the first label is an asterisk.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.labels.last().is_some_and(|l| **l == *b"*")
    }

    /// The name without its first label.
    pub(crate) fn parent(&self) -> Option<Self> {
        let (_, rest) = self.labels.split_last()?;
        Some(Self { labels: rest.to_vec() })
    }

    /// The last `depth` labels.
    pub(crate) fn ancestor(&self, depth: usize) -> Self {
        Self { labels: self.labels.get(..depth).unwrap_or(&self.labels).to_vec() }
    }

    /// The name with a label in front.
    pub(crate) fn child(&self, label: &str) -> Self {
        let mut labels = self.labels.clone();
        labels.push(label.to_ascii_lowercase().into_bytes().into_boxed_slice());
        Self { labels }
    }

    /// Whether this name is `ancestor` or lies below it.
    pub(crate) fn is_within(&self, ancestor: &Self) -> bool {
        self.labels.starts_with(&ancestor.labels)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.labels.is_empty() {
            return f.write_str(".");
        }
        for (i, label) in self.labels.iter().rev().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(&String::from_utf8_lossy(label))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order printed in RFC 4034 §6.1, without its octets above 127.
    #[test]
    fn names_sort_canonically() {
        let sorted =
            ["example", "a.example", "yljkjljk.a.example", "Z.a.example", "zABC.a.EXAMPLE", "z.example"];
        let names: Vec<Name> = sorted.iter().map(|t| Name::parse(t).unwrap()).collect();
        assert!(names.is_sorted());
    }

    #[test]
    fn wire_form_returns() {
        for text in [".", "test", "_25._tcp.mx.example.test"] {
            let name = Name::parse(text).unwrap();
            let mut wire = Vec::new();
            name.write(&mut wire);
            assert_eq!(Name::from_wire(&wire), Some((name, wire.len())), "{text}");
        }
    }
}
