//! What the DNS says of one MX host, as the decision table of RFC 7672 §2.2 has it.

use serde::{Deserialize, Serialize};

use super::next_hop::{HostAddresses, HostFacts, HostTlsa};
use crate::dane::Tlsa;
use crate::dns::{DnsError, DnssecStatus};

/// What follows for one host from its addresses and TLSA records, before MTA-STS is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostState {
    /// Usable secure TLSA records: TLS, and one of them must match.
    Dane,
    /// Secure TLSA records, none usable: TLS without authentication (RFC 7672 §2.2).
    DaneUnusable,
    /// No secure TLSA records.
    NoDane,
    /// It has no address.
    NoAddress,
    /// Nobody may deliver to it now: an address or TLSA lookup failed (RFC 7672 §2.1.2).
    Unreachable(DnsError),
}

impl HostState {
    /// Reads the facts of a host.
    pub fn of(facts: &HostFacts) -> Self {
        match (&facts.addresses, &facts.tlsa) {
            (HostAddresses::Failed(why), _) => Self::Unreachable(why.clone()),
            (HostAddresses::Absent, _) => Self::NoAddress,
            (HostAddresses::NotAsked, _) => Self::NoDane,
            // Indeterminate is an error where DANE decides (RFC 7672 §2.1.1).
            (HostAddresses::Found(DnssecStatus::Bogus | DnssecStatus::Indeterminate), _)
            | (_, HostTlsa::None(DnssecStatus::Bogus | DnssecStatus::Indeterminate)) => {
                Self::Unreachable(DnsError::Bogus(None))
            }
            (_, HostTlsa::Failed(why)) => Self::Unreachable(why.clone()),
            (_, HostTlsa::NotAsked | HostTlsa::None(_)) => Self::NoDane,
            (_, HostTlsa::Found { records, .. }) => {
                let usable =
                    |r: &crate::dns::TlsaRdata| Tlsa::from_wire(&r.0).is_ok_and(|tlsa| tlsa.usable().is_ok());
                if records.iter().any(usable) { Self::Dane } else { Self::DaneUnusable }
            }
        }
    }

    /// Whether some secure TLSA record was seen: clear text is forbidden then (RFC 7672 §2.2.3).
    pub fn has_tlsa(&self) -> bool {
        matches!(self, Self::Dane | Self::DaneUnusable)
    }
}

/// What a connection to one host must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostRequirement {
    /// A certificate that matches a TLSA record.
    Dane,
    /// A trusted certificate for the host's name.
    MtaSts,
    /// TLS, nobody is authenticated.
    Tls,
    /// TLS where it works.
    Opportunistic,
    /// It must not be used.
    NotAllowed,
    /// It must not be used now, since a lookup failed.
    Unreachable,
}

impl HostRequirement {
    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Dane => "TLS with a certificate that matches a TLSA record",
            Self::MtaSts => "TLS with a trusted certificate for this name",
            Self::Tls => "TLS, whatever the certificate",
            Self::Opportunistic => "TLS where it works",
            Self::NotAllowed => "not to be used",
            Self::Unreachable => "not to be used until its lookup works",
        }
    }
}
