//! Where mail for a domain goes: the addresses of its MX hosts (RFC 5321 §5.1).

use std::net::IpAddr;

use super::Surroundings;
use crate::dns::ask::{Flags, ask};

/// One address of one MX host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub preference: u16,
    pub host: String,
    pub address: IpAddr,
    /// Whether the DNS vouches for both, host and address: without that DANE proves nothing (RFC 7672 §2.2).
    pub is_secure: bool,
}

/// All of them, best preference first; `None` when the DNS does not say.
pub(super) async fn targets(surroundings: &Surroundings, domain: &str) -> Option<Vec<Target>> {
    let resolver = surroundings.resolver();
    let reply = ask(resolver, domain, "MX", Flags::default()).await.ok()?;
    if reply.rcode != 0 && reply.rcode != 3 {
        return None;
    }
    let mut names: Vec<(u16, String)> =
        reply.mx().into_iter().map(|(preference, host)| (preference, host.to_string())).collect();
    if names.is_empty() {
        // RFC 5321 §5.1: the domain itself.
        names.push((0, domain.to_owned()));
    }
    let mut targets = Vec::new();
    for (preference, host) in names {
        let Ok(found) = ask(resolver, &host, "A", Flags::default()).await else { continue };
        let is_secure = reply.authentic && found.authentic;
        let of_host = found.addresses().into_iter();
        targets.extend(of_host.map(|address| Target { preference, host: host.clone(), address, is_secure }));
    }
    (!targets.is_empty()).then_some(targets)
}
