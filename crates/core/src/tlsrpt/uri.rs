//! Report addresses: the URIs of `rua` (RFC 8460 §3, RFC 3986, RFC 6068).
//!
//! Three states (reading B4): usable (`mailto` with a mailbox, `https` with a host), well-formed but of
//! no use to a sender, and malformed, which voids the whole record.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::DomainName;

/// Where reports go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ReportUri {
    /// By mail: the address, and the URI as written.
    Mailto {
        /// The mailbox, percent-decoded.
        mailbox: String,
        /// As written.
        uri: String,
    },
    /// By HTTPS POST: the URI as written.
    Https(String),
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No scheme in front: malformed.
    #[error("it has no scheme, such as mailto:")]
    NoScheme,
    /// `%` without two hexadecimal digits: malformed.
    #[error("a % is not followed by two hexadecimal digits")]
    PercentCode,
    /// A character that must be percent-encoded: malformed.
    #[error("{0:?} must be percent-encoded")]
    Character(char),
    /// Another scheme than mailto or https.
    #[error("reports are not sent by {0}")]
    Scheme(String),
    /// `mailto:` without a mailbox.
    #[error("it names no mailbox")]
    Mailbox,
    /// `https:` without a host, or with a login.
    #[error("it names no host that could be asked")]
    Host,
}

impl UriError {
    /// Whether it is no URI at all, which makes the whole record unusable (reading B4).
    pub fn is_malformed(&self) -> bool {
        matches!(self, Self::NoScheme | Self::PercentCode | Self::Character(_))
    }
}

impl ReportUri {
    /// Reads one address as written in a record.
    ///
    /// # Errors
    /// A [`UriError`]; [`UriError::is_malformed`] tells what voids the record.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::NoScheme)?;
        if !is_scheme(scheme) {
            return Err(UriError::NoScheme);
        }
        check_characters(rest)?;
        // RFC 3986 §3.1: schemes are compared without regard to case.
        if scheme.eq_ignore_ascii_case("mailto") {
            let address = rest.split_once(['?', '#']).map_or(rest, |(address, _)| address);
            let mailbox = percent_decoded(address).filter(|m| is_mailbox(m)).ok_or(UriError::Mailbox)?;
            return Ok(Self::Mailto { mailbox, uri: text.to_owned() });
        }
        if scheme.eq_ignore_ascii_case("https") {
            let named = rest.strip_prefix("//").is_some_and(has_host);
            return if named { Ok(Self::Https(text.to_owned())) } else { Err(UriError::Host) };
        }
        Err(UriError::Scheme(scheme.to_owned()))
    }

    /// The `mailto:` address of a mailbox, with what RFC 8460 §3 wants encoded encoded.
    ///
    /// # Errors
    /// [`UriError::Mailbox`] for a text that is no mailbox.
    pub fn mailto(mailbox: &str) -> Result<Self, UriError> {
        let mut uri = String::from("mailto:");
        for byte in mailbox.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => uri.push(char::from(byte)),
                b'-' | b'.' | b'_' | b'~' | b'@' | b'+' | b'=' | b'$' | b'*' | b'\'' => {
                    uri.push(char::from(byte));
                }
                _ => uri.push_str(&format!("%{byte:02X}")),
            }
        }
        Self::parse(&uri)
    }

    /// Whose it is, in lower case: the host of the URI, or the domain of the mailbox in A-labels. An address in
    /// place of a name keeps its brackets.
    pub fn host(&self) -> String {
        let host = match self {
            Self::Mailto { mailbox, .. } => {
                let domain = mailbox.rsplit_once('@').map_or(mailbox.as_str(), |(_, domain)| domain);
                return DomainName::parse(domain)
                    .map_or_else(|_| domain.to_ascii_lowercase(), |domain| domain.to_string());
            }
            Self::Https(uri) => {
                let rest = uri.split_once("//").map_or(uri.as_str(), |(_, rest)| rest);
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                let host = match authority.find(']') {
                    Some(end) => &authority[..=end],
                    None => authority.split(':').next().unwrap_or_default(),
                };
                host.trim_end_matches('.')
            }
        };
        host.to_ascii_lowercase()
    }

    /// As written in the record.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Mailto { uri, .. } | Self::Https(uri) => uri,
        }
    }
}

impl fmt::Display for ReportUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<ReportUri> for String {
    fn from(uri: ReportUri) -> Self {
        match uri {
            ReportUri::Mailto { uri, .. } | ReportUri::Https(uri) => uri,
        }
    }
}

impl TryFrom<String> for ReportUri {
    type Error = UriError;
    fn try_from(text: String) -> Result<Self, UriError> {
        Self::parse(&text)
    }
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// RFC 3986 §2, without `!`, `,` and `;`, which RFC 8460 §3 wants encoded.
fn check_characters(text: &str) -> Result<(), UriError> {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => {
                let two = rest.as_str().as_bytes().get(..2).unwrap_or_default();
                if two.len() < 2 || !two.iter().all(u8::is_ascii_hexdigit) {
                    return Err(UriError::PercentCode);
                }
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' => {}
            ':' | '/' | '?' | '#' | '[' | ']' | '@' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | '=' => {}
            other => return Err(UriError::Character(other)),
        }
    }
    Ok(())
}

/// `None` where the bytes are no UTF-8. Percent codes are known to be well-formed.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// One address with a domain; RFC 5321 §4.1.2 without address literals.
fn is_mailbox(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |c: char| !c.is_control() && !c.is_whitespace() && !"()<>[]:;@\\,\"".contains(c);
    let dot_atom = local.split('.').all(|part| !part.is_empty() && part.chars().all(atom));
    let quoted = local.len() > 2
        && local.starts_with('"')
        && local.ends_with('"')
        && local[1..local.len() - 1].chars().all(|c| !c.is_control() && c != '"' && c != '\\');
    local.len() <= 64 && (dot_atom || quoted) && domain.trim() == domain && DomainName::parse(domain).is_ok()
}

/// Whether an authority names a host, perhaps with a port, and no login.
fn has_host(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (None, port),
            _ => return false,
        },
        None => match authority.find(':') {
            Some(at) => (Some(&authority[..at]), &authority[at..]),
            None => (Some(authority), ""),
        },
    };
    let port_fits = match port.strip_prefix(':') {
        Some(digits) => digits.is_empty() || digits.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    let is_name = |host: &str| {
        host.parse::<std::net::Ipv4Addr>().is_ok()
            || DomainName::parse(host).is_ok_and(|_| host.trim() == host)
    };
    port_fits && host.is_none_or(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_addresses() {
        let rows = [
            ("mailto:a@b.example", Some("a@b.example")),
            ("MAILTO:a@b.example", Some("a@b.example")),
            ("mailto:a%21b@c.example", Some("a!b@c.example")),
            ("mailto:a@b.example?subject=x", Some("a@b.example")),
            ("mailto:a+tag@b.example", Some("a+tag@b.example")),
            ("https://r.example/v1?x=1", None),
            ("https://r.example:8443", None),
            ("https://com", None),
            ("https://192.0.2.1/x", None),
            ("https://[2001:db8::1]:443/x", None),
        ];
        for (text, mailbox) in rows {
            let uri = ReportUri::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(uri.as_str(), text);
            match (uri, mailbox) {
                (ReportUri::Mailto { mailbox, .. }, Some(want)) => assert_eq!(mailbox, want),
                (ReportUri::Https(_), None) => {}
                (uri, _) => panic!("{uri:?}"),
            }
        }
    }

    #[test]
    fn addresses_of_no_use() {
        let rows = [
            ("a@b.example", UriError::NoScheme, "bare address"),
            ("1x:y", UriError::NoScheme, "a scheme begins with a letter"),
            ("http://bad/%", UriError::PercentCode, "malformed whatever the scheme"),
            ("https://x.example/%4", UriError::PercentCode, "cut off"),
            ("mailto:a@b.example!10m", UriError::Character('!'), "DMARC habit"),
            ("mailto:a b@c.example", UriError::Character(' '), "blank"),
            ("mailto:ü@c.example", UriError::Character('ü'), "not ASCII"),
            ("http://r.example", UriError::Scheme("http".into()), "not for reports"),
            ("mailto:abccba.com", UriError::Mailbox, "no @"),
            ("mailto:a@b.example:x", UriError::Mailbox, "no domain"),
            ("mailto:@b.example", UriError::Mailbox, "no local part"),
            ("mailto:a..b@c.example", UriError::Mailbox, "empty atom"),
            ("mailto:a%0Ab@c.example", UriError::Mailbox, "line end smuggled in"),
            ("mailto:", UriError::Mailbox, "nothing"),
            ("https:", UriError::Host, "nothing"),
            ("https:///path", UriError::Host, "no host"),
            ("https://u:p@r.example/", UriError::Host, "login"),
            ("https://r.example:99999/", UriError::Host, "no such port"),
        ];
        for (text, want, why) in rows {
            assert_eq!(ReportUri::parse(text), Err(want), "{text}: {why}");
        }
    }

    #[test]
    fn mailboxes_are_encoded_for_publishing() {
        let uri = ReportUri::mailto("a!b%c@d.example").unwrap();
        assert_eq!(uri.as_str(), "mailto:a%21b%25c@d.example");
        assert!(matches!(uri, ReportUri::Mailto { mailbox, .. } if mailbox == "a!b%c@d.example"));
        assert_eq!(ReportUri::mailto("nobody"), Err(UriError::Mailbox));
    }
}
