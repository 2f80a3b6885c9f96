//! `[policyd]`: the socketmap server that Postfix asks what a next hop must meet.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use mailward_core::delivery::OnDnsFailure;
use serde::{Deserialize, Serialize};

use super::{Size, Span};

/// The table.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicydTable {
    /// Sockets and addresses to listen on.
    pub listen: Vec<ListenAddress>,
    /// Permissions of unix sockets.
    pub socket_mode: SocketMode,
    /// Group of unix sockets; `None` is the group of the process.
    pub socket_group: Option<String>,
    /// What mail does when the DNS cannot say whether DANE applies.
    pub on_dns_failure: OnDnsFailure,
    /// How long a policy's record, once looked at, is believed.
    pub recheck: Span,
    /// What the first question about a domain gets.
    pub first_contact: FirstContact,
    /// How much the policies held in memory may take.
    pub max_memory: Size,
    /// Whether MX hosts of domains whose policy is in testing mode are probed once a day.
    pub probe: bool,
}

impl Default for PolicydTable {
    fn default() -> Self {
        Self {
            // Both, since a chrooted smtp(8), as Debian has it, cannot see the socket.
            listen: vec![
                ListenAddress::Unix(PathBuf::from("/run/mailward/policyd.sock")),
                ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 8461))),
            ],
            socket_mode: SocketMode(0o666),
            socket_group: None,
            on_dns_failure: OnDnsFailure::LastKnown,
            recheck: Span::seconds(3600),
            first_contact: FirstContact::Wait,
            max_memory: Size::mebibytes(512),
            probe: true,
        }
    }
}

/// `policyd.first_contact`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstContact {
    /// The DNS and the policy.
    Wait,
    /// The DNS alone; the policy holds from the next question on.
    Async,
}

/// Where a socketmap server listens: `unix:/path`, or an address with a port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum ListenAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

impl ListenAddress {
    /// As Postfix writes it in a `socketmap:` table.
    pub fn as_postfix_writes_it(&self) -> String {
        match self {
            Self::Unix(path) => format!("unix:{}", path.display()),
            Self::Tcp(address) => format!("inet:{address}"),
        }
    }
}

impl std::str::FromStr for ListenAddress {
    type Err = String;
    /// `inet:` in front of an address is taken as well, since Postfix writes it so.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(PathBuf::from(path))),
                false => Err(format!("{text:?}: the path of a unix socket begins with /")),
            };
        }
        let address = text.strip_prefix("inet:").unwrap_or(text);
        address.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "{text:?} is nothing to listen on; write unix:/path/to/socket, 127.0.0.1:8461 or [::1]:8461"
            )
        })
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// Permission bits in octal, such as `"0660"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SocketMode(pub u32);

impl TryFrom<String> for SocketMode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.trim().trim_start_matches("0o");
        u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| *mode <= 0o777 && (3..=4).contains(&digits.len()))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no mode of a socket; write it like \"0660\" or \"0666\""))
    }
}

impl From<SocketMode> for String {
    fn from(mode: SocketMode) -> Self {
        format!("{:04o}", mode.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown, postfix) in [
            ("unix:/run/x.sock", "unix:/run/x.sock", "unix:/run/x.sock"),
            ("127.0.0.1:8461", "127.0.0.1:8461", "inet:127.0.0.1:8461"),
            (" inet:[::1]:8461", "[::1]:8461", "inet:[::1]:8461"),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!((address.to_string(), address.as_postfix_writes_it()), (shown.into(), postfix.into()));
        }
        for (text, why) in [
            ("unix:run/x.sock", "a relative path depends on where the daemon stands"),
            ("unix:", "no path"),
            ("/run/x.sock", "no prefix"),
            ("127.0.0.1", "no port"),
            ("localhost:8461", "a name may mean several addresses"),
        ] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}: {why}");
        }
    }

    #[test]
    fn modes() {
        for (text, mode) in [("0660", 0o660), ("666", 0o666), ("0o600", 0o600)] {
            assert_eq!(SocketMode::try_from(text.to_owned()), Ok(SocketMode(mode)), "{text}");
        }
        for text in ["", "6", "rw", "0888", "1777", "00660"] {
            assert!(SocketMode::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert_eq!(String::from(SocketMode(0o660)), "0660");
    }
}
