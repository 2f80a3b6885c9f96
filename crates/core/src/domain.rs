//! Names as they travel: A-labels, lower case, no final dot (reading A36).
//!
//! A [`DomainName`] cannot be malformed: it is parsed once, at the edge. [`PolicyDomain`] and
//! [`MxHost`] say which role a name plays, so that a host is never taken for a domain.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// More than 253 octets (RFC 1035 §2.3.4).
    #[error("the name is longer than 253 octets")]
    TooLong,
    /// A label is empty or longer than 63 octets.
    #[error("label {0:?} is empty or longer than 63 octets")]
    Label(String),
    /// A character that no host name has.
    #[error("{0:?} is not allowed in a domain name")]
    Character(char),
    /// IDNA processing failed.
    #[error("{0:?} is no valid internationalised name")]
    Idna(String),
    /// An address where a name is needed.
    #[error("{0} is an address, not a domain name")]
    Address(String),
}

/// A domain name of letters, digits, hyphens and underscores, in A-label form, lower case, without
/// the final dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(Box<str>);

impl DomainName {
    /// Reads what a person or a record may write: any case, U-labels, one final dot.
    ///
    /// # Errors
    /// A [`NameError`] that names the faulty part.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Err(NameError::Address(text.to_owned()));
        }
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii(text).map_err(|_| NameError::Idna(text.to_owned()))?
        };
        if ascii.len() > 253 {
            return Err(NameError::TooLong);
        }
        for label in ascii.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(NameError::Label(label.to_owned()));
            }
            if let Some(c) = label.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '_')) {
                return Err(NameError::Character(c));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(NameError::Character('-'));
            }
        }
        Ok(Self(ascii.into_boxed_str()))
    }

    /// A Domain of RFC 5321 as the grammar has it: letters, digits and inner hyphens only, no final
    /// dot, and labels of digits alone are allowed (`192.0.2.1` is one, reading B3).
    pub(crate) fn from_ldh(text: &str) -> Option<Self> {
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        (text.len() <= 253 && text.split('.').all(label))
            .then(|| Self(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// The name as text, without the final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with another label in front: `child("_mta-sts")`.
    ///
    /// # Errors
    /// [`NameError::TooLong`] when the result has more than 253 octets.
    pub fn child(&self, labels: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{labels}.{self}"))
    }

    /// The name without its first label, if one is left.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.into()))
    }

    /// For people: U-labels where the A-labels decode.
    pub fn to_unicode(&self) -> String {
        let (name, result) = idna::domain_to_unicode(&self.0);
        if result.is_ok() { name } else { self.0.to_string() }
    }

    /// The registrable domain by the public suffix list (`example.co.uk`), if there is one.
    pub fn organizational(&self) -> Option<Self> {
        psl::domain_str(&self.0).map(|d| Self(d.into()))
    }

    /// Whether this name is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.0 == ancestor.0 || self.0.strip_suffix(&*ancestor.0).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl TryFrom<String> for DomainName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for DomainName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> Self {
        name.0.into_string()
    }
}

macro_rules! role {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub DomainName);

        impl $name {
            /// Parses the name; see [`DomainName::parse`].
            ///
            /// # Errors
            /// A [`NameError`] that names the faulty part.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                DomainName::parse(text).map(Self)
            }
        }

        impl std::ops::Deref for $name {
            type Target = DomainName;
            fn deref(&self) -> &DomainName {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}

role! {
    /// The domain behind the `@`, whose policy counts (RFC 8461 §2).
    PolicyDomain
}
role! {
    /// A host as named in an MX record, without its final dot.
    MxHost
}

impl PolicyDomain {
    /// Where the MTA-STS record lives (RFC 8461 §3.1).
    ///
    /// # Errors
    /// When the domain leaves no room for the label.
    pub fn sts_record_name(&self) -> Result<DomainName, NameError> {
        self.child("_mta-sts")
    }

    /// The policy host (RFC 8461 §3.2).
    ///
    /// # Errors
    /// When the domain leaves no room for the label.
    pub fn policy_host(&self) -> Result<DomainName, NameError> {
        self.child("mta-sts")
    }

    /// Where the TLS-RPT record lives (RFC 8460 §3).
    ///
    /// # Errors
    /// When the domain leaves no room for the labels.
    pub fn tlsrpt_record_name(&self) -> Result<DomainName, NameError> {
        self.child("_smtp._tls")
    }
}

impl MxHost {
    /// Where the TLSA records for SMTP live (RFC 7672 §2.2.3, port as connected to).
    ///
    /// # Errors
    /// When the host leaves no room for the labels.
    pub fn tlsa_name(&self, port: u16) -> Result<DomainName, NameError> {
        self.child(&format!("_{port}._tcp"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for (text, name) in [
            ("Example.COM.", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("_mta-sts.example.com", "_mta-sts.example.com"),
            ("mx", "mx"),
        ] {
            assert_eq!(DomainName::parse(text).unwrap().as_str(), name, "{text}");
        }
    }

    #[test]
    fn bad_names_say_why() {
        let label = "a".repeat(64);
        for (text, why) in [
            ("", NameError::Empty),
            (".", NameError::Empty),
            ("a..b", NameError::Label(String::new())),
            (label.as_str(), NameError::Label(label.clone())),
            ("a b.example", NameError::Character(' ')),
            ("-a.example", NameError::Character('-')),
            ("192.0.2.1", NameError::Address("192.0.2.1".into())),
        ] {
            assert_eq!(DomainName::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn within_respects_label_borders() {
        let name = |t| DomainName::parse(t).unwrap();
        assert!(name("mx.example.com").is_within(&name("example.com")));
        assert!(!name("badexample.com").is_within(&name("example.com")));
    }
}
