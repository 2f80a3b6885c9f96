//! The names that a certificate may bear, and the host may have, at `Level::Secure`.

use super::{Basis, Case};
use crate::MxHost;
use crate::delivery::host::HostState;
use crate::mta_sts::{MxPattern, StsPolicy};

impl Case<'_> {
    /// MX hosts that the policy allows and that can be judged; in MX order, each once. A wildcard is never
    /// handed on: it stands for one label (RFC 8461 §4.1), and for any number in the dot form of Postfix.
    pub(super) fn names(&self) -> Vec<String> {
        let Some(policy) = self.policy() else { return Vec::new() };
        let allowed = |host: &&MxHost| policy.matching(host).is_some();
        match (&self.known.facts.mx, self.basis) {
            (Ok(_), _) => self.judged().filter(allowed).map(ToString::to_string).collect(),
            (Err(_), Basis::LastKnown(mx)) => mx.iter().filter(allowed).map(ToString::to_string).collect(),
            (Err(_), Basis::Facts | Basis::Open) => published(policy),
        }
    }

    /// Whether a host that the policy allows is not in [`Self::names`] although mail may come to it: its
    /// lookup failed, or it is one too many. MTA-STS must not open it, since DANE may forbid it.
    pub(super) fn leaves_out_a_host(&self) -> bool {
        let Some(policy) = self.policy() else { return false };
        let Ok(mx) = &self.known.facts.mx else { return false };
        let looked_at = &self.known.facts.hosts;
        let failed = self
            .hosts_and_states()
            .any(|(host, state)| self.is_left_out(state) && policy.matching(host).is_some());
        failed
            || mx.records.iter().filter_map(|record| record.exchange.as_ref().ok()).any(|host| {
                policy.matching(host).is_some() && looked_at.iter().all(|known| known.host != *host)
            })
    }

    /// The hosts of the facts but those whose lookup failed. Where the last known answer stands in, or the
    /// operator lets mail go, the failure has been answered for.
    fn judged(&self) -> impl Iterator<Item = &MxHost> {
        self.hosts_and_states().filter(|(_, state)| !self.is_left_out(state)).map(|(host, _)| host)
    }

    fn is_left_out(&self, state: &HostState) -> bool {
        self.basis == Basis::Facts && matches!(state, HostState::Unreachable(_))
    }

    pub(super) fn hosts_and_states(&self) -> impl Iterator<Item = (&MxHost, &HostState)> {
        self.known.facts.hosts.iter().map(|facts| &facts.host).zip(self.states)
    }
}

/// Nobody knows the hosts: the names as published; a star stands for nothing certain. Digits are a Domain
/// by the grammar that no certificate bears (reading B3).
fn published(policy: &StsPolicy) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for pattern in &policy.mx {
        if let MxPattern::Exact(name) = pattern
            && name.as_str().parse::<std::net::Ipv4Addr>().is_err()
            && !names.iter().any(|known| known == name.as_str())
        {
            names.push(name.to_string());
        }
    }
    names
}
