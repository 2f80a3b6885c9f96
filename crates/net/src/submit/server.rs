//! Where mail is handed in, as it is configured.

use std::fmt;
use std::str::FromStr;

use mailward_core::DomainName;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Not at all: `smtp://`, for a server on this machine.
    None,
    /// STARTTLS, required: `smtp+starttls://`.
    StartTls,
    /// TLS from the start: `smtps://`.
    Tls,
}

/// Where mail is handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitServer {
    /// How the connection is protected.
    pub protection: Protection,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl FromStr for SubmitServer {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let why = |what: &str| {
            format!(
                "{text:?} {what}; write smtp://127.0.0.1:25, smtps://mail.example.com or smtp+starttls://mail.example.com:587"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| why("has no scheme"))?;
        let (protection, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "smtp" => (Protection::None, 25),
            "smtps" => (Protection::Tls, 465),
            "smtp+starttls" => (Protection::StartTls, 587),
            _ => return Err(why("has a scheme that is not known")),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.strip_prefix('[') {
            Some(literal) => literal.split_once(']').ok_or_else(|| why("has no end of the address"))?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| why("has no port behind the colon"))?,
            None if port.is_empty() => default_port,
            None => return Err(why("has something behind the host")),
        };
        let named = DomainName::parse(host).is_ok();
        if !named && host.parse::<std::net::IpAddr>().is_err() {
            return Err(why("names no host"));
        }
        if !named && protection != Protection::None {
            return Err(why("names an address, and a certificate speaks for a name"));
        }
        Ok(Self { protection, host: host.to_owned(), port })
    }
}

impl fmt::Display for SubmitServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protection {
            Protection::None => "smtp",
            Protection::StartTls => "smtp+starttls",
            Protection::Tls => "smtps",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        for (text, shown) in [
            ("smtp://127.0.0.1", "smtp://127.0.0.1:25"),
            ("smtp://[::1]:2525", "smtp://[::1]:2525"),
            ("SMTPS://mail.example/", "smtps://mail.example:465"),
            ("smtp+starttls://mail.example:25", "smtp+starttls://mail.example:25"),
        ] {
            assert_eq!(text.parse::<SubmitServer>().unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("mail.example:25", "no scheme"),
            ("http://mail.example", "another scheme"),
            ("smtp://", "no host"),
            ("smtp://a b", "no host either"),
            ("smtp://mail.example:x", "no port"),
            ("smtps://127.0.0.1", "no name for the certificate"),
            ("smtp://u@mail.example", "a login stands elsewhere"),
        ] {
            assert!(text.parse::<SubmitServer>().is_err(), "{text}: {why}");
        }
    }
}
