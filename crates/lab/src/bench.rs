//! A large world for benchmarks: thousands of domains in perfect order, served as cheaply as can be.
//!
//! Domains share MX hosts and policy hosts, spread over many addresses so that no limit per address
//! hides the speed of the asker. Chains are short (leaf and root) and issued at the first handshake.

use std::io;

use crate::ca::CertificateKind;
use crate::dns::Security;
use crate::smtp::Behaviour;
use crate::world::{World, WorldOptions};

/// Addresses of each kind at most.
const ADDRESSES: usize = 64;

impl World {
    /// The name of a domain of a large world: `d0042.bench.test`.
    pub fn bench_domain(number: usize) -> String {
        format!("d{number:04}.bench.test")
    }

    /// A world of so many domains in an unsigned zone: one MX, an enforced policy, TLS-RPT, all good.
    ///
    /// # Errors
    /// When the world cannot be started.
    pub fn bench(domains: usize) -> io::Result<Self> {
        Self::bench_with(domains, Security::Unsigned, &WorldOptions::default())
    }

    /// As [`Self::bench`], with another security of the zone. A signed one costs a signature for each
    /// RRset when it is asked for the first time.
    ///
    /// # Errors
    /// When the world cannot be started.
    pub fn bench_with(domains: usize, security: Security, options: &WorldOptions) -> io::Result<Self> {
        let world = Self::start(options)?;
        world.zone("bench.test", security).map_err(io::Error::other)?;
        let shared = domains.clamp(1, ADDRESSES);
        let mut policy_addresses = Vec::with_capacity(shared);
        for number in 0..shared {
            world.mx(&mx_host(number), Behaviour::Good, CertificateKind::Direct)?;
            let address = world.address();
            world.policy_hosts.up(address)?;
            policy_addresses.push(address.to_string());
        }
        for number in 0..domains {
            let domain = Self::bench_domain(number);
            let mx = mx_host(number % shared);
            let name = format!("mta-sts.{domain}");
            let body = format!("version: STSv1\nmode: enforce\nmx: {mx}\nmax_age: 1209600\n");
            world.policy_hosts.set_later(&name, &body, CertificateKind::Direct);
            let set = |owner: &str, rtype: &str, value: &str| {
                world.set(owner, rtype, &[value]).map_err(io::Error::other)
            };
            set(&domain, "MX", &format!("10 {mx}."))?;
            set(&name, "A", &policy_addresses[number % shared])?;
            set(&format!("_mta-sts.{domain}"), "TXT", "v=STSv1; id=20261101T000000;")?;
            set(&format!("_smtp._tls.{domain}"), "TXT", &format!("v=TLSRPTv1; rua=mailto:tls@{domain}"))?;
        }
        Ok(world)
    }
}

fn mx_host(number: usize) -> String {
    format!("mx{number}.bench.test")
}
