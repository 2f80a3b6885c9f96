//! Asks the outside and returns core facts: DNS, policy hosts, mail servers.
//!
//! Nothing here decides anything, reads a configuration file or knows the database. Each way of
//! asking has hard limits on size, count and time, because everything it talks to may be hostile.

pub mod address;
mod connect;
pub mod dns;
pub mod next_hop;
pub mod observe;
pub mod policy_host;
pub mod post;
pub mod smtp;
pub mod sts;
pub mod submit;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use mailward_core::Clock;

/// How to reach other people's servers: `[outside]` and `[tls]` of the configuration.
#[derive(Debug, Clone)]
pub struct OutsideOptions {
    /// Name given in EHLO.
    pub helo: String,
    /// Port of MX hosts.
    pub smtp_port: u16,
    /// Port of policy hosts.
    pub https_port: u16,
    /// Whether private and loopback addresses may be connected to.
    pub allow_private_addresses: bool,
    /// Deadline for one policy fetch in all.
    pub fetch_timeout: Duration,
    /// Deadlines of an SMTP probe.
    pub probe: smtp::ProbeTimeouts,
}

/// The way out: resolver, trust anchors, options and clock, shared by every asker. Cheap to clone.
#[derive(Clone)]
pub struct Outside {
    /// The DNS.
    pub resolver: dns::Resolver,
    /// Anchors of the web PKI.
    pub roots: Arc<tls::Roots>,
    /// How to reach others.
    pub options: Arc<OutsideOptions>,
    /// The time, for certificates.
    pub clock: Arc<dyn Clock>,
}
