//! What the DNS says of a next hop, gathered in the order of RFC 7672 §2.2: MX, addresses of each host,
//! its aliases, TLSA.

use serde::{Deserialize, Serialize};

use crate::dns::{DnsError, DnsResult, DnssecStatus, MxRecord, TlsaRdata};
use crate::{DomainName, MxHost, PolicyDomain};

/// Everything the DNS brought for one next hop and port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextHopFacts {
    /// The next hop.
    pub domain: PolicyDomain,
    /// The port that TLSA records were asked for.
    pub port: u16,
    /// Its MX records.
    pub mx: DnsResult<MxRecord>,
    /// The hosts, best preference first, each once, at most 20. Without MX records the domain itself
    /// (reading A31); none for a null MX, or when the MX lookup failed.
    pub hosts: Vec<HostFacts>,
}

/// One MX host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The name in the MX record.
    pub host: MxHost,
    /// Its preference; 0 for the implicit MX.
    pub preference: u16,
    /// Whether it has addresses, and who vouches for them.
    pub addresses: HostAddresses,
    /// Its TLSA records.
    pub tlsa: HostTlsa,
    /// Seconds these facts may be believed: the least TTL of the answers; a few where one failed.
    pub ttl: u32,
}

/// What A and AAAA say of a host. A family that fails beside one that works is left out (RFC 7672 §2.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
pub enum HostAddresses {
    /// Not asked, since nobody validates: nothing would follow from the answer.
    NotAsked,
    /// There are addresses, with this status: the weakest along the aliases.
    Found(DnssecStatus),
    /// Both families say "no".
    Absent,
    /// Nothing is known.
    Failed(DnsError),
}

/// TLSA records of a host under its base domain (RFC 7672 §2.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
pub enum HostTlsa {
    /// Not asked: no secure address leads there (RFC 7672 §2.2.2).
    NotAsked,
    /// No secure records: a denial, or an insecure answer.
    None(DnssecStatus),
    /// Secure records.
    Found {
        /// The base domain: SNI, and first reference name of usage 2.
        base: DomainName,
        /// As they came, at most 100.
        records: Vec<TlsaRdata>,
    },
    /// No answer, or a bogus one: the host must not be used (RFC 7672 §2.1.2).
    Failed(DnsError),
}

impl NextHopFacts {
    /// Whether the domain refuses mail (RFC 7505): the root is its only MX. A record with an address or
    /// another name that is no host name does not say so.
    pub fn is_null_mx(&self) -> bool {
        let is_root = |record: &MxRecord| matches!(&record.exchange, Err(text) if text == ".");
        self.mx.as_ref().is_ok_and(|mx| !mx.is_absent() && mx.records.iter().all(is_root))
    }

    /// Whether the MX answer is vouched for.
    pub fn mx_is_secure(&self) -> bool {
        self.mx.as_ref().is_ok_and(|mx| mx.status == DnssecStatus::Secure)
    }

    /// The names that a certificate under usage 2 may bear for a host with this TLSA base domain
    /// (RFC 7672 §3.2.2): the base domain; behind a secure MX answer also the next hop and, where an alias
    /// stands there, the name it leads to. An insecure MX answer, or none, vouches for no other name.
    pub fn reference_names(&self, base: &DomainName) -> Vec<DomainName> {
        let mut names = vec![base.clone()];
        if let Some(mx) =
            self.mx.as_ref().ok().filter(|mx| mx.status == DnssecStatus::Secure && !mx.is_absent())
        {
            let more = [Some(&*self.domain), mx.expanded()].into_iter().flatten();
            more.for_each(|name| {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            });
        }
        names
    }

    /// Seconds these facts may be believed; `None` when the MX lookup failed.
    pub fn ttl(&self) -> Option<u32> {
        let mx = self.mx.as_ref().ok()?.ttl;
        Some(self.hosts.iter().map(|h| h.ttl).fold(mx, u32::min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Alias, Answer, Denial};
    use DnssecStatus::{Insecure, Secure};

    fn facts(status: DnssecStatus, exchanges: &[&str], alias: Option<&str>) -> NextHopFacts {
        let domain = PolicyDomain::parse("d.test").unwrap();
        let aliases = alias.map(|target| Alias { owner: domain.0.clone(), target: target.parse().unwrap() });
        let exchange = |name: &&str| MxHost::parse(name).map_err(|_| (*name).to_owned());
        let records: Vec<MxRecord> =
            exchanges.iter().map(|name| MxRecord { preference: 1, exchange: exchange(name) }).collect();
        let denial = records.is_empty().then_some(Denial::NoData);
        let mx = Ok(Answer { status, ttl: 60, aliases: aliases.into_iter().collect(), records, denial });
        NextHopFacts { domain, port: 25, mx, hosts: Vec::new() }
    }

    #[test]
    fn names_that_a_certificate_may_bear() {
        let base: DomainName = "mx.test".parse().unwrap();
        for (what, facts, names) in [
            ("secure", facts(Secure, &["mx.test"], None), "mx.test d.test"),
            ("through an alias", facts(Secure, &["mx.test"], Some("e.test")), "mx.test d.test e.test"),
            ("insecure", facts(Insecure, &["mx.test"], Some("e.test")), "mx.test"),
            ("no MX", facts(Secure, &[], Some("e.test")), "mx.test"),
        ] {
            let seen: Vec<String> = facts.reference_names(&base).iter().map(ToString::to_string).collect();
            assert_eq!(seen.join(" "), names, "{what}");
        }
        let own = facts(Secure, &["d.test"], None).reference_names(&"d.test".parse().unwrap());
        assert_eq!(own.len(), 1, "each once");
    }

    #[test]
    fn only_the_root_refuses_mail() {
        for (exchanges, null) in [
            (&["."][..], true),
            (&[".", "."], true),
            (&[], false),
            (&["mx.test"], false),
            (&[".", "mx.test"], false),
            (&["192.0.2.1"], false),
            (&["a b.test"], false),
        ] {
            assert_eq!(facts(Secure, exchanges, None).is_null_mx(), null, "{exchanges:?}");
        }
    }
}
