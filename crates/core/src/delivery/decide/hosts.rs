//! What each host must bring. Finer than the level for the domain as a whole, which has to fit Postfix'
//! table: whoever judges host by host (reading A14) goes by this.

use super::{Basis, Case};
use crate::MxHost;
use crate::delivery::host::{HostRequirement, HostState};
use crate::delivery::policy::{HostDecision, Level};
use crate::mta_sts::Mode;

impl Case<'_> {
    /// One entry a host, in their order.
    pub(super) fn hosts(&self, level: Level) -> Vec<HostDecision> {
        self.hosts_and_states().map(|(host, state)| self.host(level, host, state)).collect()
    }

    fn host(&self, level: Level, host: &MxHost, state: &HostState) -> HostDecision {
        use HostRequirement as Must;
        let (requirement, why) = match (level, state) {
            (_, HostState::NoAddress) => (Must::Unreachable, "it has no address".to_owned()),
            // By the operator's word alone; nothing else counts.
            (Level::Encrypt, _) => (Must::Tls, "the operator requires TLS".to_owned()),
            (Level::May, _) => (Must::Opportunistic, "the operator asks for nothing".to_owned()),
            (_, HostState::Unreachable(why)) if !self.is_answered_for(level) => {
                (Must::Unreachable, why.to_string())
            }
            (Level::Defer, _) => (Must::Unreachable, "mail waits".to_owned()),
            (Level::DaneOnly, _) => self.host_by_dane(host, state),
            (Level::Dane, HostState::Dane) => (Must::Dane, "it has usable TLSA records".to_owned()),
            (Level::Dane, HostState::DaneUnusable) => {
                (Must::Tls, "its TLSA records cannot be used: they demand TLS only".to_owned())
            }
            (Level::Secure, _) => self.host_by_policy(host),
            (Level::Dane | Level::NoDemand, _) => (Must::Opportunistic, self.no_demand(host)),
        };
        let allowed = !matches!(requirement, Must::NotAllowed | Must::Unreachable);
        HostDecision { host: host.clone(), allowed, requirement, why }
    }

    /// Whether a failed lookup of a host counts no more, since something stands in for it. Where DANE is
    /// demanded nothing can: the records are missing.
    fn is_answered_for(&self, level: Level) -> bool {
        self.basis != Basis::Facts && matches!(level, Level::Secure | Level::NoDemand)
    }

    fn host_by_dane(&self, host: &MxHost, state: &HostState) -> (HostRequirement, String) {
        use HostRequirement as Must;
        let by_operator = self.over.is_some_and(|over| over.require == crate::delivery::Require::Dane);
        match state {
            // RFC 7672 §2.2.1: mandatory DANE needs a secure MX answer.
            HostState::Dane if by_operator && !self.known.facts.mx_is_secure() => {
                (Must::NotAllowed, "DANE is required, and the MX answer is not secure".to_owned())
            }
            HostState::Dane => (Must::Dane, "it has usable TLSA records".to_owned()),
            // Reading A14: a host without usable records falls under MTA-STS in full.
            _ if !by_operator && self.policy().is_some() => self.host_by_policy(host),
            _ => (Must::NotAllowed, "DANE is required, and it has no usable TLSA record".to_owned()),
        }
    }

    fn host_by_policy(&self, host: &MxHost) -> (HostRequirement, String) {
        match self.policy().and_then(|policy| policy.matching(host)) {
            Some(pattern) => (HostRequirement::MtaSts, format!("it matches {pattern}")),
            None => (HostRequirement::NotAllowed, "no pattern of the policy matches it".to_owned()),
        }
    }

    fn no_demand(&self, host: &MxHost) -> String {
        match self.known.sts {
            Ok(policy) if policy.mode == Mode::Testing => match policy.matching(host) {
                Some(pattern) => format!("it matches {pattern}; failures are reported"),
                None => "no pattern of the policy matches it; that is reported".to_owned(),
            },
            _ => "no policy asks for more".to_owned(),
        }
    }
}
