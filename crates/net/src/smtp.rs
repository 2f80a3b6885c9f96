//! Probes one address of an MX host: greeting, EHLO, STARTTLS, the whole chain.

use std::net::IpAddr;
use std::time::Duration;

use mailward_core::MxHost;
use mailward_core::facts::AddressProbe;

use crate::Outside;

/// Deadlines of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeTimeouts {
    /// TCP connect.
    pub connect: Duration,
    /// Greeting.
    pub greeting: Duration,
    /// Each command.
    pub command: Duration,
    /// TLS handshake.
    pub tls: Duration,
    /// The whole session.
    pub session: Duration,
}

impl Default for ProbeTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            greeting: Duration::from_secs(30),
            command: Duration::from_secs(15),
            tls: Duration::from_secs(20),
            session: Duration::from_secs(90),
        }
    }
}

/// Probes.
pub async fn probe(outside: &Outside, host: &MxHost, address: IpAddr) -> AddressProbe {
    let _ = (outside, host, address);
    unimplemented!()
}
