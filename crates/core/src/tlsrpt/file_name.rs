//! The name of a report as a file (RFC 8460 §5.1): who reports, on what domain, about what time.

use std::fmt;

use jiff::Timestamp;

use crate::DomainName;

/// `sender!policy-domain!begin!end[!unique].json[.gz]`, without the extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// Domain of contact-info.
    pub sender: DomainName,
    /// The domain reported on.
    pub policy_domain: DomainName,
    /// First moment covered; written in Unix seconds.
    pub begin: Timestamp,
    /// Last moment covered.
    pub end: Timestamp,
    /// Letters and digits that tell two reports of one day apart.
    pub unique: Option<String>,
}

impl FileName {
    /// Reads a name of the standard form, with or without a folder in front; `None` for any other.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let stem = strip_extensions(name);
        let mut parts = stem.split('!');
        let mut part = || parts.next();
        let sender = DomainName::parse(part()?).ok()?;
        let policy_domain = DomainName::parse(part()?).ok()?;
        let begin = Timestamp::from_second(part()?.parse().ok()?).ok()?;
        let end = Timestamp::from_second(part()?.parse().ok()?).ok()?;
        let unique = part().map(str::to_owned);
        let fits = |unique: &String| !unique.is_empty() && unique.bytes().all(|b| b.is_ascii_alphanumeric());
        let whole = parts.next().is_none() && unique.as_ref().is_none_or(fits);
        whole.then_some(Self { sender, policy_domain, begin, end, unique })
    }

    /// The name of the compressed report.
    pub fn gzip(&self) -> String {
        format!("{self}.json.gz")
    }

    /// The name of the plain report.
    pub fn json(&self) -> String {
        format!("{self}.json")
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, end) = (self.begin.as_second(), self.end.as_second());
        write!(f, "{}!{}!{begin}!{end}", self.sender, self.policy_domain)?;
        self.unique.as_ref().map_or(Ok(()), |unique| write!(f, "!{unique}"))
    }
}

/// The name without `.json`, `.gz` and `.zip`, in any case.
fn strip_extensions(mut name: &str) -> &str {
    while let Some((stem, extension)) = name.rsplit_once('.') {
        if !["json", "gz", "zip"].iter().any(|known| extension.eq_ignore_ascii_case(known)) {
            break;
        }
        name = stem;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_names_read_and_write() {
        for name in [
            "mail.sender.example!example.com!1013662812!1013749130.json.gz",
            "a.example!b.example!1780272000!1780358399!001.json.gz",
        ] {
            assert_eq!(FileName::parse(name).unwrap().gzip(), name);
        }
        let spellings = [
            "in/A.example!B.example!1!2.JSON",
            "A.example!B.example!1!2.json.zip",
            "a.example!b.example!1!2",
        ];
        for name in spellings {
            assert_eq!(FileName::parse(name).unwrap().json(), "a.example!b.example!1!2.json", "{name}");
        }
    }

    #[test]
    fn other_names() {
        let rows = [
            ("report.json.gz", "free"),
            ("a.example!b.example!1.json", "no end"),
            ("a.example!b.example!x!2.json", "no time"),
            ("a.example!b.example!1!2!x y.json", "unique is alphanumeric"),
            ("a.example!b.example!1!2!x!y.json", "one part too many"),
            ("a.example!!1!2.json", "no domain"),
            ("", "nothing"),
        ];
        for (name, why) in rows {
            assert_eq!(FileName::parse(name), None, "{name}: {why}");
        }
    }
}
