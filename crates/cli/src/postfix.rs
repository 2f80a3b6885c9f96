//! The Postfix of this machine, as far as `postconf` tells: which map name suits its version, whether it can
//! reach our socket, and the line that belongs into main.cf.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::ListenAddress;

/// Where postconf is when PATH does not say.
const PLACES: [&str; 3] = ["postconf", "/usr/sbin/postconf", "/usr/local/sbin/postconf"];

/// A Postfix release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// The first that knows attributes for reports; older ones defer all mail when they see them.
    pub const TLSRPT: Self = Self { major: 3, minor: 10, patch: 0 };
    /// The first that compares MX names with the patterns of a policy itself.
    pub const PATTERNS: Self = Self { major: 3, minor: 10, patch: 5 };
    /// The first that knows `servername`.
    pub const SERVERNAME: Self = Self { major: 3, minor: 4, patch: 0 };

    /// Reads `3.10.13`, `3.7`, or a snapshot such as `3.11-20250101`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().split(['.', '-']).map(|part| part.parse::<u32>().ok());
        let (major, minor) = (numbers.next()??, numbers.next()??);
        // What follows a dash is a date.
        let patch = text.trim().split('.').nth(2).and_then(|part| part.split('-').next()?.parse().ok());
        Some(Self { major, minor, patch: patch.unwrap_or(0) })
    }

    /// The map to name in main.cf.
    pub fn map(self) -> &'static str {
        if self >= Self::TLSRPT { "mailward-tlsrpt" } else { "mailward" }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What postconf tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postfix {
    /// Its release.
    pub version: Version,
    /// The queue directory, when smtp(8) is locked into it.
    pub chroot: Option<PathBuf>,
    /// `smtp_tls_policy_maps`
    pub policy_maps: String,
    /// `smtp_tls_security_level`
    pub security_level: String,
    /// `smtp_dns_support_level`
    pub dns_support_level: String,
    /// `mail_owner`: who runs smtp(8).
    pub owner: String,
}

impl Postfix {
    /// Asks postconf. `None` where there is none, or none that works.
    pub fn here() -> Option<Self> {
        PLACES.into_iter().find_map(Self::by)
    }

    fn by(postconf: &str) -> Option<Self> {
        let names = [
            "mail_version",
            "queue_directory",
            "smtp_tls_policy_maps",
            "smtp_tls_security_level",
            "smtp_dns_support_level",
            "mail_owner",
        ];
        let values = printed(Command::new(postconf).args(["-x"]).args(names))?;
        let values: HashMap<&str, &str> = values
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let value = |name: &str| values.get(name).copied().unwrap_or_default().to_owned();
        // smtp unix private unprivileged chroot wakeup maxproc command; "-" is the default, no since 3.0.
        let service = printed(Command::new(postconf).args(["-M", "smtp/unix"])).unwrap_or_default();
        let chrooted = service.split_whitespace().nth(4) == Some("y");
        Some(Self {
            version: Version::parse(&value("mail_version"))?,
            chroot: chrooted.then(|| PathBuf::from(value("queue_directory"))),
            policy_maps: value("smtp_tls_policy_maps"),
            security_level: value("smtp_tls_security_level"),
            dns_support_level: value("smtp_dns_support_level"),
            owner: value("mail_owner"),
        })
    }

    /// The address as smtp(8) sees it; `None` when it cannot.
    pub fn sees(&self, address: &ListenAddress) -> Option<ListenAddress> {
        match (address, &self.chroot) {
            (ListenAddress::Unix(path), Some(jail)) => {
                let inside = path.strip_prefix(jail).ok()?;
                Some(ListenAddress::Unix(Path::new("/").join(inside)))
            }
            _ => Some(address.clone()),
        }
    }

    /// The line for main.cf; `None` when smtp(8) can see none of the addresses.
    pub fn main_cf(&self, listen: &[ListenAddress]) -> Option<String> {
        listen.iter().find_map(|address| self.sees(address)).map(|seen| main_cf(&seen, self.version.map()))
    }
}

/// The line for main.cf.
pub fn main_cf(address: &ListenAddress, map: &str) -> String {
    format!("smtp_tls_policy_maps = socketmap:{}:{map}", address.as_postfix_writes_it())
}

fn printed(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_their_maps() {
        for (text, shown, map) in [
            ("3.10.13", "3.10.13", "mailward-tlsrpt"),
            ("3.10.0\n", "3.10.0", "mailward-tlsrpt"),
            ("3.11-20250101", "3.11.0", "mailward-tlsrpt"),
            ("4.0.1", "4.0.1", "mailward-tlsrpt"),
            ("3.9.4", "3.9.4", "mailward"),
            ("3.7", "3.7.0", "mailward"),
            ("3.10.0-RC1", "3.10.0", "mailward-tlsrpt"),
        ] {
            let version = Version::parse(text).unwrap();
            assert_eq!((version.to_string().as_str(), version.map()), (shown, map), "{text}");
        }
        for text in ["", "3", "three.ten", "Postfix 3.10"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert!(Version::parse("3.10.4").unwrap() < Version::PATTERNS);
    }

    #[test]
    fn what_a_chrooted_client_sees() {
        let free = Postfix {
            version: Version::parse("3.7.11").unwrap(),
            chroot: None,
            policy_maps: String::new(),
            security_level: String::new(),
            dns_support_level: String::new(),
            owner: "postfix".into(),
        };
        let jailed = Postfix { chroot: Some("/var/spool/postfix".into()), ..free.clone() };
        let listen = |texts: &[&str]| -> Vec<ListenAddress> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        for (postfix, addresses, line) in [
            (&free, &["unix:/run/a.sock", "127.0.0.1:1"][..], Some("unix:/run/a.sock")),
            (&jailed, &["unix:/run/a.sock", "127.0.0.1:1"], Some("inet:127.0.0.1:1")),
            (&jailed, &["unix:/var/spool/postfix/m/a.sock"], Some("unix:/m/a.sock")),
            (&jailed, &["unix:/run/a.sock"], None),
        ] {
            let expected = line.map(|line| format!("smtp_tls_policy_maps = socketmap:{line}:mailward"));
            assert_eq!(postfix.main_cf(&listen(addresses)), expected, "{addresses:?}");
        }
    }
}
