//! The steps of the argument that led to a decision: one enum for trace, log, metric and page.

use serde::{Deserialize, Serialize};

use super::branch::DaneBranch;
use super::operator::Require;

/// One step of the argument.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason", content = "detail")]
pub enum Reason {
    /// The operator overrides; holds the word and the reason.
    Override(Require, String),
    /// The domain refuses mail (RFC 7505).
    NullMx,
    /// The MX lookup failed.
    MxFailed(String),
    /// Every host's lookup failed; holds one.
    HostsFailed(String),
    /// Some hosts' lookups failed: they are left out.
    SomeHostsFailed,
    /// The last known decision stands in.
    LastKnown(DaneBranch),
    /// DANE at every host.
    DaneFull,
    /// DANE at some hosts.
    DanePartial,
    /// TLSA behind an insecure MX answer.
    HalfDane,
    /// TLSA, none usable.
    DaneUnusable,
    /// No secure TLSA.
    NoDane,
    /// The MTA-STS policy enforces.
    StsEnforce,
    /// It allows none of the hosts.
    StsNoHost,
    /// It is in testing mode.
    StsTesting,
    /// No MTA-STS policy; holds the word of [`NoPolicy::as_str`].
    NoSts(String),
    /// Whether there is an MTA-STS policy could not be found out, and mail shall wait for that.
    StsFailed(String),
    /// The operator asks for what the domain does not have.
    RequiredAbsent(Require),
}

impl Reason {
    /// In words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Override(require, why) => {
                format!("the operator requires {} for this domain: {why}", require.as_str())
            }
            Self::NullMx => "the domain takes no mail (null MX): nothing to protect".to_owned(),
            Self::MxFailed(why) => format!("the MX records could not be looked up: {why}"),
            Self::HostsFailed(why) => format!("no mail server can be judged: {why}"),
            Self::SomeHostsFailed => {
                "lookups of some mail servers failed: those are left out until they work".to_owned()
            }
            Self::LastKnown(dane) => {
                format!("so the last certain answer of the DNS stands in (DANE {})", dane.as_str())
            }
            Self::DaneFull => "every mail server has usable TLSA records: DANE decides".to_owned(),
            Self::DanePartial => "some mail servers have usable TLSA records: DANE decides there".to_owned(),
            Self::HalfDane => {
                "mail servers have usable TLSA records, but the MX answer is not signed: half DANE".to_owned()
            }
            Self::DaneUnusable => {
                "there are TLSA records, none usable: they demand TLS and no more".to_owned()
            }
            Self::NoDane => "no mail server has secure TLSA records: no DANE".to_owned(),
            Self::StsEnforce => {
                "the MTA-STS policy is enforced: only its hosts, with a trusted certificate".to_owned()
            }
            Self::StsNoHost => {
                "no MX host that can be judged matches the MTA-STS policy: mail waits".to_owned()
            }
            Self::StsTesting => {
                "the MTA-STS policy is in testing mode: failures are only reported".to_owned()
            }
            Self::NoSts(word) => format!("no MTA-STS policy applies ({word})"),
            Self::StsFailed(why) => format!("{why}; the operator lets mail wait then"),
            Self::RequiredAbsent(require) => {
                format!("the operator requires {}, and the domain does not have it", require.as_str())
            }
        }
    }

    /// The word for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Override(..) => "override",
            Self::NullMx => "null-mx",
            Self::MxFailed(_) => "mx-failed",
            Self::HostsFailed(_) => "hosts-failed",
            Self::SomeHostsFailed => "some-hosts-failed",
            Self::LastKnown(_) => "last-known",
            Self::DaneFull => "dane-full",
            Self::DanePartial => "dane-partial",
            Self::HalfDane => "half-dane",
            Self::DaneUnusable => "dane-unusable",
            Self::NoDane => "no-dane",
            Self::StsEnforce => "sts-enforce",
            Self::StsNoHost => "sts-no-host",
            Self::StsTesting => "sts-testing",
            Self::NoSts(_) => "no-sts",
            Self::StsFailed(_) => "sts-failed",
            Self::RequiredAbsent(_) => "required-absent",
        }
    }

    pub(super) fn is_about_dane(&self) -> bool {
        matches!(
            self,
            Self::DaneFull | Self::DanePartial | Self::HalfDane | Self::DaneUnusable | Self::NoDane
        )
    }

    /// What it says of mail that waits, if it is a cause of that.
    pub(super) fn failure(&self) -> Option<String> {
        let is_cause = matches!(
            self,
            Self::MxFailed(_) | Self::HostsFailed(_) | Self::StsFailed(_) | Self::RequiredAbsent(_)
        );
        is_cause.then(|| self.sentence())
    }
}
