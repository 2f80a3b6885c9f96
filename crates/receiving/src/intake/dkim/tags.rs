//! The `tag=value` lists of signatures and keys (RFC 6376 §3.2), as far as mail-auth does not tell.

/// A list as written, folded lines joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tags(Vec<(String, String)>);

impl Tags {
    /// Reads leniently: what is no `tag=value` is passed over, of repeated tags the first counts.
    pub(super) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let field = |field: &str| {
            let (name, value) = field.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            // Long, and of no interest here: the signature, the hash, the key.
            let value = if matches!(name.as_str(), "b" | "bh" | "p") { "" } else { value };
            Some((name, value.split_ascii_whitespace().collect()))
        };
        Self(text.split(';').take(50).filter_map(field).collect())
    }

    pub(super) fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|(name, _)| name == tag)
    }

    /// Empty when absent.
    pub(super) fn text(&self, tag: &str) -> &str {
        self.0.iter().find(|(name, _)| name == tag).map_or("", |(_, value)| value)
    }

    /// The parts between colons.
    pub(super) fn list(&self, tag: &str) -> Vec<String> {
        self.text(tag).split(':').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_written() {
        for (text, tag, list) in [
            (&b"v=DKIM1; s=email:tlsrpt; p=AAAA"[..], "s", vec!["email", "tlsrpt"]),
            (b"v=DKIM1; S = * ;p=", "s", vec!["*"]),
            (b"h=From:\r\n To :Subject; d=x", "h", vec!["From", "To", "Subject"]),
            (b"s=a; s=b", "s", vec!["a"]),
            (b"t=y:s", "t", vec!["y", "s"]),
            (b"garbage", "s", vec![]),
            (b"p=abc=; l=0", "l", vec!["0"]),
            (b"b=abc; bh=x; l=0", "bh", vec![]),
        ] {
            assert_eq!(Tags::parse(text).list(tag), list, "{}", String::from_utf8_lossy(text));
        }
        assert!(Tags::parse(b"d=x; l=").has("l"));
        assert!(!Tags::parse(b"d=x; bl=1").has("l"));
    }
}
