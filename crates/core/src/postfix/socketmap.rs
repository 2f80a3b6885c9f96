//! What stands in a request: `MAPNAME KEY`, and which keys are answered at once.
//!
//! Postfix sends the next hop as it stands in the transport: a domain, or a host in brackets, or an
//! address, each with or without a port; where a domain finds no policy it asks again for its parents
//! with a leading dot. Only a domain has a policy. Everything else is answered without asking anybody,
//! and never by an error: one odd address must not break a connection that many mails share.

use crate::PolicyDomain;

/// Which attributes the answer may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Map {
    /// `mailward`: any Postfix.
    Plain,
    /// `mailward-tlsrpt`: 3.10 and later.
    TlsRpt,
    /// `mailward-trace`: the decision with its reasons, as JSON, for `mailward lookup`.
    Trace,
}

impl Map {
    /// By name; the names of other daemons are taken for people who switch.
    pub fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"mailward" | b"QUERY" | b"postfix" => Some(Self::Plain),
            b"mailward-tlsrpt" | b"QUERYwithTLSRPT" => Some(Self::TlsRpt),
            b"mailward-trace" => Some(Self::Trace),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "mailward",
            Self::TlsRpt => "mailward-tlsrpt",
            Self::Trace => "mailward-trace",
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A next hop to decide about.
    NextHop {
        /// Which answer is wanted.
        map: Map,
        /// The domain.
        domain: PolicyDomain,
        /// The port that mail goes to; TLSA records stand under it.
        port: u16,
    },
    /// No domain: `NOTFOUND`, without asking anybody.
    NoPolicy(NotADomain),
    /// Not one of our maps, or no map at all: `PERM`, since a person must mend the configuration.
    NotOurs(&'static str),
}

/// Why a key has no policy by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotADomain {
    /// A leading dot: policies are not inherited (RFC 8461 §3.4).
    Parent,
    /// `[host]`, `[address]`: no MX lookup takes place, the operator chose the host.
    Bracketed,
    /// An address.
    Address,
    /// A submission port (RFC 8461 and RFC 7672 are about port 25).
    Submission,
    /// One label, or none.
    SingleLabel,
    /// Nothing that could be a domain.
    Garbage,
}

impl Question {
    /// Reads a request.
    pub fn parse(payload: &[u8]) -> Self {
        let Some(blank) = payload.iter().position(|b| *b == b' ') else {
            return Self::NotOurs("a request is a map name, a blank and a key");
        };
        let Some(map) = Map::parse(&payload[..blank]) else {
            return Self::NotOurs("unknown map name; use mailward or mailward-tlsrpt");
        };
        match next_hop(&payload[blank + 1..]) {
            Ok((domain, port)) => Self::NextHop { map, domain, port },
            Err(why) => Self::NoPolicy(why),
        }
    }
}

/// The longest key that can be a domain: 253 characters of up to four bytes, and a port.
const LONGEST_KEY: usize = 1_024;

/// Reads a key.
fn next_hop(key: &[u8]) -> Result<(PolicyDomain, u16), NotADomain> {
    // Making A-labels of a long text takes more time than its length says.
    if key.len() > LONGEST_KEY {
        return Err(NotADomain::Garbage);
    }
    let key = std::str::from_utf8(key).map_err(|_| NotADomain::Garbage)?;
    match key.as_bytes() {
        [] => return Err(NotADomain::SingleLabel),
        [b'.', ..] => return Err(NotADomain::Parent),
        [b'[', ..] => return Err(NotADomain::Bracketed),
        _ => {}
    }
    if key.parse::<std::net::IpAddr>().is_ok() {
        return Err(NotADomain::Address);
    }
    let (name, port) = match key.split_once(':') {
        None => (key, 25),
        Some((name, digits)) => (name, port(digits).ok_or(NotADomain::Garbage)?),
    };
    if matches!(port, 465 | 587) {
        return Err(NotADomain::Submission);
    }
    // Parsing trims for the sake of people; a blank in a key is garbage.
    if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(NotADomain::Garbage);
    }
    let domain = PolicyDomain::parse(name).map_err(|error| match error {
        crate::domain::NameError::Address(_) => NotADomain::Address,
        _ => NotADomain::Garbage,
    })?;
    match domain.as_str().rsplit_once('.') {
        None => Err(NotADomain::SingleLabel),
        // An address in other digits, or part of one: no top-level domain is a number (RFC 3696 §2).
        Some((_, last)) if last.bytes().all(|b| b.is_ascii_digit()) => Err(NotADomain::Address),
        Some(_) => Ok((domain, port)),
    }
}

/// 1 to 65535, in digits alone: a sign is none.
fn port(digits: &str) -> Option<u16> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests;
