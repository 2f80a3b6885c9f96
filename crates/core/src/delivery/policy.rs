//! What a sender must do for a next hop: the outcome of [`super::decide`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::branch::Branch;
use super::host::HostRequirement;
use super::reason::Reason;
use crate::MxHost;
use crate::mta_sts::{Mode, StsPolicy};

/// What holds for the next hop as a whole, in the words of Postfix' levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Every host used must match a TLSA record.
    DaneOnly,
    /// DANE host by host.
    Dane,
    /// PKIX for the names of the policy.
    Secure,
    /// TLS without authentication; by the operator's word only.
    Encrypt,
    /// TLS where it works, whatever the MTA's own level; by the operator's word only.
    May,
    /// Nothing is asked for: the MTA's own level applies.
    NoDemand,
    /// Mail waits.
    Defer,
}

/// What a sender must do for a next hop, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// The demand.
    pub level: Level,
    /// What each host must bring, best preference first.
    pub hosts: Vec<HostDecision>,
    /// At [`Level::Secure`]: the names that the certificate may bear and the host may have, lower case, in
    /// MX order, each once. Empty when the policy allows none of the hosts.
    pub names: Vec<String>,
    /// At [`Level::Secure`]: whether the names are all that an MTA may go by, since the policy allows a host
    /// that is not among them: a lookup of it failed. By the patterns an MTA would use it, and MTA-STS would
    /// open what DANE may forbid (RFC 8461 §2).
    pub names_alone: bool,
    /// The MTA-STS policy in force, also in testing mode.
    pub sts: Option<StsPolicy>,
    /// Where the DNS led, if it was certain: to be kept.
    pub branch: Option<Branch>,
    /// Why, strictly forward, one sentence each; the last says what follows.
    pub reasons: Vec<Reason>,
    /// Until when it may be answered without asking the DNS again.
    pub valid_until: Timestamp,
}

/// One host and what a connection to it must bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostDecision {
    /// The host.
    pub host: MxHost,
    /// Whether mail may go to it.
    pub allowed: bool,
    /// What the connection must bring.
    pub requirement: HostRequirement,
    /// Why.
    pub why: String,
}

impl DeliveryPolicy {
    /// The decision in one word, as `lookup` shows it.
    pub fn decision(&self) -> &'static str {
        let mode = self.sts.as_ref().map(|policy| policy.mode);
        match self.level {
            Level::Dane if self.is_without_tlsa() && mode == Some(Mode::Testing) => "mta-sts-testing",
            Level::Dane if self.is_without_tlsa() => "opportunistic",
            Level::DaneOnly | Level::Dane => "dane",
            Level::Secure if self.names.is_empty() => "defer",
            Level::Secure => "mta-sts-enforce",
            Level::NoDemand if mode == Some(Mode::Testing) => "mta-sts-testing",
            Level::NoDemand | Level::Encrypt | Level::May => "opportunistic",
            Level::Defer => "defer",
        }
    }

    /// Whether [`Level::Dane`] was chosen only so that the MTA leaves out the host whose lookup failed.
    fn is_without_tlsa(&self) -> bool {
        self.branch.as_ref().is_some_and(|branch| branch.dane == super::branch::DaneBranch::Absent)
    }

    /// The reason that weighs most: what DANE brought where DANE decides, else the last one.
    pub fn ground(&self) -> Option<&Reason> {
        let by_dane = matches!(self.level, Level::DaneOnly | Level::Dane);
        let dane = self.reasons.iter().rfind(|reason| by_dane && reason.is_about_dane());
        dane.or(self.reasons.last())
    }

    /// Why mail waits, in one line of ASCII: for [`Level::Defer`].
    pub fn cause(&self) -> String {
        let last = self.reasons.iter().rev().find_map(Reason::failure);
        last.unwrap_or_else(|| "the delivery policy could not be found out".to_owned())
    }
}

impl Level {
    /// The word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DaneOnly => "dane-only",
            Self::Dane => "dane",
            Self::Secure => "secure",
            Self::Encrypt => "encrypt",
            Self::May => "may",
            Self::NoDemand => "no-demand",
            Self::Defer => "defer",
        }
    }
}
