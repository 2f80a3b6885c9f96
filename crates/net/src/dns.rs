//! DNS through configured servers, with the DNSSEC status on every answer, denials included.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mailward_core::dns::{DnsResult, DnssecStatus, MxRecord, TlsaRdata, TxtRecord};
use mailward_core::{Clock, DomainName};

/// Who validates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dnssec {
    /// The servers do; their AD bit is believed (only from loopback unless `trust_remote`).
    TrustAd,
    /// We do, in process, from this anchor file (zone-file DS or DNSKEY); `None` is the IANA root.
    Validate(Option<PathBuf>),
    /// Nobody; every answer is insecure.
    Off,
}

/// `[dns]` of the configuration.
#[derive(Debug, Clone)]
pub struct DnsOptions {
    /// Servers in order; empty means those of the system.
    pub servers: Vec<SocketAddr>,
    /// Who validates.
    pub dnssec: Dnssec,
    /// Deadline of one question in all.
    pub timeout: Duration,
}

/// Asks the configured servers. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<()>,
}

/// Why a resolver cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ResolverError(pub String);

impl Resolver {
    /// Makes one. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When no server is known or the anchor cannot be read.
    pub fn new(options: &DnsOptions, clock: Arc<dyn Clock>) -> Result<Self, ResolverError> {
        let _ = (options, clock);
        Ok(Self { inner: Arc::new(()) })
    }

    /// TXT records, strings joined.
    pub async fn txt(&self, name: &DomainName) -> DnsResult<TxtRecord> {
        let _ = (name, &self.inner);
        unimplemented!()
    }

    /// MX records by preference.
    pub async fn mx(&self, name: &DomainName) -> DnsResult<MxRecord> {
        let _ = name;
        unimplemented!()
    }

    /// A records.
    pub async fn ipv4(&self, name: &DomainName) -> DnsResult<IpAddr> {
        let _ = name;
        unimplemented!()
    }

    /// AAAA records.
    pub async fn ipv6(&self, name: &DomainName) -> DnsResult<IpAddr> {
        let _ = name;
        unimplemented!()
    }

    /// TLSA records.
    pub async fn tlsa(&self, name: &DomainName) -> DnsResult<TlsaRdata> {
        let _ = name;
        unimplemented!()
    }

    /// The status of the root's DNSKEY: whether validation works at all (self-test).
    pub async fn self_test(&self) -> Result<DnssecStatus, mailward_core::dns::DnsError> {
        unimplemented!()
    }
}
