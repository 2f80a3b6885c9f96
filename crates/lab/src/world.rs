//! A whole mail internet, started in tens of milliseconds, without privileges, on loopback only.
//!
//! A world has its own network, its own DNS root and its own certification authority. It runs on
//! threads of its own, so that a product under test may have its runtime, or a paused clock, to itself.
//! Everything can be changed while it runs. Dropping it ends it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Runtime;

use crate::address::{Network, Ports};
use crate::ca::{CertificateAuthority, CertificateKind, Identity};
use crate::clock::WorldClock;
use crate::dns::{self, Dns, DnsEditError, Listener, Poison, Security};
use crate::paths::Paths;
use crate::policy_host::{Answer, PolicyHosts};
use crate::smtp::{Behaviour, MxHosts};
use crate::tls;

/// How to start a world.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// What the world's clock shows at first.
    pub now: Timestamp,
    /// Where servers listen.
    pub ports: Ports,
    /// The network 127.A.B.0/24; by chance when not given.
    pub network: Option<(u8, u8)>,
    /// Threads that serve the world.
    pub threads: usize,
}

impl Default for WorldOptions {
    /// 2 November 2026, 09:00 UTC: a Monday like any other, the same in every run.
    fn default() -> Self {
        Self {
            now: Timestamp::new(1_793_610_000, 0).unwrap_or(Timestamp::UNIX_EPOCH),
            ports: Ports::UNPRIVILEGED,
            network: None,
            threads: 2,
        }
    }
}

/// A running world.
pub struct World {
    /// Where its DNS answers.
    pub resolver: SocketAddr,
    /// The file with its root certificate, for `tls.extra_roots`.
    pub root_pem: PathBuf,
    /// The file with the key of its DNS root, for `dns.trust_anchor`.
    pub trust_anchor: PathBuf,
    /// The port of policy hosts.
    pub https_port: u16,
    /// The port of MX hosts.
    pub smtp_port: u16,
    /// Its time.
    pub clock: Arc<WorldClock>,
    /// Its zones.
    pub dns: Dns,
    /// Its certification authority.
    pub ca: Arc<CertificateAuthority>,
    /// Its policy hosts.
    pub policy_hosts: PolicyHosts,
    /// Its MX hosts.
    pub mx_hosts: MxHosts,
    /// A directory of its own, removed in the end.
    pub directory: PathBuf,
    pub(crate) paths: Paths,
    policy_address: Ipv4Addr,
    network: Network,
    /// Taken out only when the world ends.
    runtime: Option<Runtime>,
}

/// A day of the world.
pub const DAY: SignedDuration = SignedDuration::from_hours(24);

impl World {
    /// Starts an empty world: a signed root, no domain, no host but the DNS.
    ///
    /// # Errors
    /// When no network of loopback is free, or the directory cannot be made.
    pub fn start(options: &WorldOptions) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("lab")
            .enable_all()
            .build()?;
        let network = match options.network {
            Some((a, b)) => Network::fixed(a, b, options.ports)?,
            None => Network::claim(options.ports)?,
        };
        let clock = Arc::new(WorldClock::frozen(options.now));
        let ca = Arc::new(CertificateAuthority::new(Arc::clone(&clock)));
        let dns = Dns::new(network.host(1));
        let resolver = SocketAddr::from((network.host(1), options.ports.dns));
        {
            let _inside = runtime.enter();
            dns::serve(&dns, &Listener { address: resolver, poison: Poison::default() })?;
        }
        let directory = make_directory(&network)?;
        let (root_pem, trust_anchor) = (directory.join("root.pem"), directory.join("anchor.key"));
        std::fs::write(&root_pem, ca.root_pem())?;
        std::fs::write(&trust_anchor, dns.trust_anchor())?;
        let provider = tls::provider();
        let ports = options.ports;
        let handle = runtime.handle();
        Ok(Self {
            resolver,
            root_pem,
            trust_anchor,
            https_port: ports.https,
            smtp_port: ports.smtp,
            policy_hosts: PolicyHosts::new(
                Arc::clone(&ca),
                Arc::clone(&provider),
                ports.https,
                handle.clone(),
            ),
            mx_hosts: MxHosts::new(provider, ports.smtp, handle.clone()),
            clock,
            dns,
            ca,
            directory,
            paths: Paths::default(),
            policy_address: network.next(),
            network,
            runtime: Some(runtime),
        })
    }

    /// An address of this world that nobody has yet.
    ///
    /// # Panics
    /// After 253 addresses.
    pub fn address(&self) -> Ipv4Addr {
        self.network.next()
    }

    /// Makes a zone; see [`Dns::zone`].
    ///
    /// # Errors
    /// When the name is none.
    pub fn zone(&self, apex: &str, security: Security) -> Result<(), DnsEditError> {
        self.dns.zone(apex, security)
    }

    /// Sets all records of a type at a name; see [`Dns::set`].
    ///
    /// # Errors
    /// When name, type or data cannot be read.
    pub fn set(&self, owner: &str, rtype: &str, data: &[&str]) -> Result<(), DnsEditError> {
        self.dns.set(owner, rtype, data)
    }

    /// Puts an MX host at a new address, with its A record and a certificate for its name.
    ///
    /// # Errors
    /// When the name is none or the address cannot be bound.
    pub fn mx(&self, host: &str, behaviour: Behaviour, kind: CertificateKind) -> io::Result<Ipv4Addr> {
        let address = self.address();
        self.mx_hosts.start(address, host, behaviour, self.ca.issue(&[host], kind))?;
        self.dns.add(host, "A", &address.to_string()).map_err(io::Error::other)?;
        Ok(address)
    }

    /// Serves a policy for a domain on the world's shared policy host, with the A record of
    /// `mta-sts.<domain>`. The TXT record is not set: see [`Self::announce`].
    ///
    /// # Errors
    /// When the name is none or the address cannot be bound.
    pub fn policy(
        &self,
        domain: &str,
        body: &str,
        answer: Answer,
        kind: CertificateKind,
    ) -> io::Result<Ipv4Addr> {
        let (name, address) = (format!("mta-sts.{domain}"), self.policy_address);
        self.policy_hosts.up(address)?;
        self.policy_hosts.set(&name, body, answer, kind);
        self.set(&name, "A", &[&address.to_string()]).map_err(io::Error::other)?;
        Ok(address)
    }

    /// Policy hosts that know nothing of the world's others, for a name that is served in two places
    /// differently. Start them at an address of their own.
    pub fn policy_hosts_apart(&self) -> PolicyHosts {
        let (ca, handle) = (Arc::clone(&self.ca), self.handle().clone());
        PolicyHosts::new(ca, tls::provider(), self.https_port, handle)
    }

    /// Sets the record that announces a policy (RFC 8461 §3.1).
    ///
    /// # Errors
    /// When the name is none.
    pub fn announce(&self, domain: &str, id: &str) -> Result<(), DnsEditError> {
        self.set(&format!("_mta-sts.{domain}"), "TXT", &[&format!("v=STSv1; id={id};")])
    }

    /// A domain in perfect order: signed zone, one MX with a good certificate, an enforced policy, TLS-RPT
    /// to a mailbox of its own. Returns the address of the MX.
    ///
    /// # Errors
    /// When the name is none or an address cannot be bound.
    pub fn good_domain(&self, domain: &str) -> io::Result<Ipv4Addr> {
        self.zone(domain, Security::Signed).map_err(io::Error::other)?;
        let host = format!("mx1.{domain}");
        let address = self.mx(&host, Behaviour::Good, CertificateKind::Good)?;
        let edit = |owner: &str, rtype: &str, text: &str| self.set(owner, rtype, &[text]);
        edit(domain, "MX", &format!("10 {host}.")).map_err(io::Error::other)?;
        let rpt = format!("v=TLSRPTv1; rua=mailto:tls-reports@{domain}");
        edit(&format!("_smtp._tls.{domain}"), "TXT", &rpt).map_err(io::Error::other)?;
        let body = format!("version: STSv1\nmode: enforce\nmx: {host}\nmax_age: 1209600\n");
        self.policy(domain, &body, Answer::Ok, CertificateKind::Good)?;
        self.announce(domain, "20261101T000000").map_err(io::Error::other)?;
        Ok(address)
    }

    /// A resolver at another address that gives forged answers where told, and true ones elsewhere.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn poisoned_resolver(&self, poison: Poison) -> io::Result<SocketAddr> {
        let address = SocketAddr::from((self.address(), self.resolver.port()));
        let _inside = self.handle().enter();
        dns::serve(&self.dns, &Listener { address, poison })?;
        Ok(address)
    }

    /// Writes a certificate and key as `NAME.crt` and `NAME.key` into a directory.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn write_certificate(&self, directory: &Path, name: &str, identity: &Identity) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join(format!("{name}.key")), identity.key_pem())?;
        std::fs::write(directory.join(format!("{name}.crt")), identity.certificate_pem())
    }

    /// The configuration of an unbound that resolves and validates in this world, listening at
    /// `listen`. Write it when the zones are made; nothing is started here.
    pub fn unbound_conf(&self, listen: SocketAddr) -> String {
        use mailward_core::Clock;
        let mut conf = format!(
            "server:\n  interface: {}\n  port: {}\n  do-ip6: no\n  username: \"\"\n  chroot: \"\"\n  \
             directory: \"{directory}\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  \
             num-threads: 1\n  do-not-query-localhost: no\n  module-config: \"validator iterator\"\n  \
             trust-anchor-file: \"{anchor}\"\n  val-override-date: \"{now}\"\n  ede: yes\n  \
             access-control: 127.0.0.0/8 allow\n",
            listen.ip(),
            listen.port(),
            directory = self.directory.display(),
            anchor = self.trust_anchor.display(),
            now = self.clock.now().strftime("%Y%m%d%H%M%S"),
        );
        for zone in self.dns.zones() {
            // unbound answers for test., invalid. and the like itself unless told not to (RFC 6761).
            conf.push_str(&format!("  local-zone: \"{zone}\" nodefault\n"));
        }
        conf.push_str("remote-control:\n  control-enable: no\n");
        for zone in self.dns.zones() {
            // Each zone by name, or it would follow the NS records to port 53.
            let (ip, port) = (self.resolver.ip(), self.resolver.port());
            conf.push_str(&format!("stub-zone:\n  name: \"{zone}\"\n  stub-addr: {ip}@{port}\n"));
        }
        conf
    }

    pub(crate) fn handle(&self) -> &tokio::runtime::Handle {
        self.runtime.as_ref().map(Runtime::handle).expect("the runtime is there until the world ends")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waiting: a world may be dropped inside another runtime.
            runtime.shutdown_background();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn make_directory(network: &Network) -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let name = format!("mailward-lab-{}-{}.{}", std::process::id(), network.a, network.b);
    let directory = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}
