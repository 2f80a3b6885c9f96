//! DNS through configured servers, with the DNSSEC status on every answer, denials included.
//!
//! A question goes to the servers by `dns/transport.rs`, its answer is read by `dns/message.rs`, and who
//! vouches for it is one of three: the server (its AD bit, believed only on loopback), ourselves
//! (`dns/validate.rs`), or nobody. This file holds the walk of one question: follow aliases, and ask
//! again with checking disabled after a SERVFAIL, to tell bogus data from an outage.
//!
//! Nothing is cached here: an audit looks afresh, and who wants to remember does so with the TTLs given.
//!
//! Failure stance: what cannot be found out is an error, never "absent" (RFC 7672 §2.1.1).

mod message;
mod system;
mod transport;
mod validate;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, Name};
use mailward_core::dns::{Alias, Answer, DnsError, DnsResult, DnssecStatus, MxRecord, TlsaRdata, TxtRecord};
use mailward_core::{Clock, DomainName};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use message::{End, MOST_ALIASES, Query, Wanted};
use transport::{Exchange, Transport};
use validate::Validator;

/// Questions open at the same time, over all who ask: as many as a thread of a usual resolver keeps.
const CONCURRENT: usize = 1024;

/// Who validates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dnssec {
    /// The servers do; their AD bit is believed when they are on loopback, and only then: on any other
    /// path somebody may set it.
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
    inner: Arc<Inner>,
}

struct Inner {
    transport: Arc<Transport>,
    trust: Trust,
    timeout: Duration,
    permits: Semaphore,
}

enum Trust {
    Ad,
    Validator(Box<Validator>),
    Nobody,
}

/// Why a resolver cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ResolverError(pub String);

impl Resolver {
    /// Makes one. Must be called inside a tokio runtime.
    ///
    /// The clock is not asked today: the validator judges signatures by the system's time.
    ///
    /// # Errors
    /// When no server is known, no socket can be opened, or the anchor cannot be read.
    pub fn new(options: &DnsOptions, clock: Arc<dyn Clock>) -> Result<Self, ResolverError> {
        let _ = clock;
        let servers = servers(options)?;
        let transport = Transport::open(&servers, options.timeout)
            .map_err(|e| ResolverError(format!("no socket for DNS: {e}")))?;
        let transport = Arc::new(transport);
        let trust = match &options.dnssec {
            Dnssec::TrustAd => Trust::Ad,
            Dnssec::Off => Trust::Nobody,
            Dnssec::Validate(anchor) => {
                Validator::new(anchor.as_deref(), Arc::clone(&transport), options.timeout)
                    .map(|v| Trust::Validator(Box::new(v)))
                    .map_err(ResolverError)?
            }
        };
        let permits = Semaphore::new(CONCURRENT);
        Ok(Self { inner: Arc::new(Inner { transport, trust, timeout: options.timeout, permits }) })
    }

    /// TXT records, strings joined.
    pub async fn txt(&self, name: &DomainName) -> DnsResult<TxtRecord> {
        self.inner.look_up(message::wire_name(name)?).await
    }

    /// MX records by preference.
    pub async fn mx(&self, name: &DomainName) -> DnsResult<MxRecord> {
        self.inner.look_up(message::wire_name(name)?).await
    }

    /// A records.
    pub async fn ipv4(&self, name: &DomainName) -> DnsResult<IpAddr> {
        let answer = self.inner.look_up(message::wire_name(name)?).await?;
        Ok(map_records(answer, |message::A(address)| address.into()))
    }

    /// AAAA records.
    pub async fn ipv6(&self, name: &DomainName) -> DnsResult<IpAddr> {
        let answer = self.inner.look_up(message::wire_name(name)?).await?;
        Ok(map_records(answer, |message::Aaaa(address)| address.into()))
    }

    /// TLSA records.
    pub async fn tlsa(&self, name: &DomainName) -> DnsResult<TlsaRdata> {
        self.inner.look_up(message::wire_name(name)?).await
    }

    /// The CNAME record at the name itself. It is not followed: this tells who vouches for the first step
    /// of a chain of aliases (RFC 7672 §2.2.2).
    pub async fn cname(&self, name: &DomainName) -> DnsResult<DomainName> {
        let answer = self.inner.look_up(message::wire_name(name)?).await?;
        Ok(map_records(answer, |message::CnameRecord(target)| target))
    }

    /// Whether any answer can be secure at all: somebody validates, and can be believed.
    pub fn can_be_secure(&self) -> bool {
        match self.inner.trust {
            Trust::Ad => self.inner.transport.has_local(),
            Trust::Validator(_) => true,
            Trust::Nobody => false,
        }
    }

    /// The status of the root's DNSKEY: whether validation works at all (self-test).
    ///
    /// # Errors
    /// When it cannot be had, or is bogus.
    pub async fn self_test(&self) -> Result<DnssecStatus, DnsError> {
        let answer = self.inner.look_up::<message::Dnskey>(Name::root_vec()).await?;
        if answer.is_absent() {
            return Err(DnsError::Malformed("the root has no DNSKEY".into()));
        }
        Ok(answer.status)
    }
}

/// Reads the bytes of an answer as one to each question that we ask about `name`, after a resolver has
/// matched them to it, and tells how many records each type gave. For captured answers and the fuzzer.
///
/// # Errors
/// When the bytes are no DNS message, or the name is none on the wire.
pub fn read_answer(bytes: &[u8], name: &DomainName) -> Result<[Result<usize, DnsError>; 6], DnsError> {
    fn records<T: Wanted>(message: &Message<Vec<u8>>, name: &Name<Vec<u8>>) -> Result<usize, DnsError> {
        message::read::<T>(message, name).map(|reading| match reading.end {
            End::Records(records) => records.len(),
            End::Denial(_) | End::Unfinished(_) => 0,
        })
    }
    let message = Message::from_octets(bytes.to_vec()).map_err(|e| DnsError::Malformed(e.to_string()))?;
    let name = message::wire_name(name)?;
    Ok([
        records::<TxtRecord>(&message, &name),
        records::<MxRecord>(&message, &name),
        records::<message::A>(&message, &name),
        records::<message::Aaaa>(&message, &name),
        records::<TlsaRdata>(&message, &name),
        records::<message::CnameRecord>(&message, &name),
    ])
}

/// The servers that [`Resolver::new`] asks with these options.
///
/// # Errors
/// When none is named and the system's cannot be read.
pub fn servers(options: &DnsOptions) -> Result<Vec<SocketAddr>, ResolverError> {
    if options.servers.is_empty() { system_servers() } else { Ok(options.servers.clone()) }
}

fn system_servers() -> Result<Vec<SocketAddr>, ResolverError> {
    let path = system::RESOLV_CONF;
    let text = std::fs::read_to_string(path).map_err(|e| ResolverError(format!("{path}: {e}")))?;
    let servers = system::servers(&text);
    if servers.is_empty() {
        return Err(ResolverError(format!("{path} names no server; set dns.servers")));
    }
    Ok(servers)
}

fn map_records<T, U>(answer: Answer<T>, map: impl Fn(T) -> U) -> Answer<U> {
    let Answer { status, ttl, aliases, records, denial } = answer;
    Answer { status, ttl, aliases, records: records.into_iter().map(map).collect(), denial }
}

impl Inner {
    async fn look_up<T: Wanted>(&self, name: Name<Vec<u8>>) -> DnsResult<T> {
        // Never closed, so an error cannot come.
        let _permit = self.permits.acquire().await;
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.follow(name, deadline)).await {
            Ok(result) => result,
            Err(_) => Err(DnsError::Timeout),
        }
    }

    /// Asks, and asks again where the server left an alias unfinished.
    async fn follow<T: Wanted>(&self, mut name: Name<Vec<u8>>, deadline: Instant) -> DnsResult<T> {
        let mut aliases: Vec<Alias> = Vec::new();
        let mut ttl = u32::MAX;
        let mut status = DnssecStatus::Secure;
        loop {
            let (message, this_status) = self.ask(&name, T::TYPE, deadline).await?;
            let reading = message::read::<T>(&message, &name)?;
            status = weaker(status, this_status);
            ttl = ttl.min(reading.ttl);
            aliases.extend(reading.aliases);
            if aliases.len() > MOST_ALIASES || loops(&aliases) {
                return Err(DnsError::AliasLoop);
            }
            let (records, denial) = match reading.end {
                End::Records(records) => (records, None),
                End::Denial(denial) => (Vec::new(), Some(denial)),
                End::Unfinished(target) => {
                    name = target;
                    continue;
                }
            };
            return Ok(Answer { status, ttl, aliases, records, denial });
        }
    }

    /// One question, one usable answer and who vouches for it.
    async fn ask(
        &self,
        name: &Name<Vec<u8>>,
        rtype: Rtype,
        deadline: Instant,
    ) -> Result<(Message<Vec<u8>>, DnssecStatus), DnsError> {
        let (dnssec, cd) = match self.trust {
            Trust::Ad => (true, false),
            // RFC 4035 §3.2.2: who validates wants the data, not the server's opinion.
            Trust::Validator(_) => (true, true),
            Trust::Nobody => (false, false),
        };
        let query = Query { name: name.clone(), rtype, dnssec, cd };
        let Exchange { message, local } = self.transport.exchange(&query, deadline).await?;
        match message.header().rcode() {
            Rcode::NOERROR | Rcode::NXDOMAIN => {}
            Rcode::SERVFAIL => return Err(self.why_servfail(query, &message, deadline).await),
            _ => return Err(DnsError::Refused(message::rcode_text(&message))),
        }
        let status = match &self.trust {
            Trust::Ad if local && message.header().ad() => DnssecStatus::Secure,
            Trust::Ad | Trust::Nobody => DnssecStatus::Insecure,
            Trust::Validator(validator) => validator.status(&message, name).await?,
        };
        Ok((message, status))
    }

    /// SERVFAIL that goes away when checking is disabled is bogus data; one that stays is an outage.
    async fn why_servfail(&self, query: Query, answer: &Message<Vec<u8>>, deadline: Instant) -> DnsError {
        let text = message::extended_error(answer);
        if query.cd {
            return DnsError::ServerFailure(text);
        }
        let again = self.transport.exchange(&Query { cd: true, ..query }, deadline).await;
        match again.map(|e| e.message.header().rcode()) {
            Ok(Rcode::NOERROR | Rcode::NXDOMAIN) => DnsError::Bogus(text),
            _ => DnsError::ServerFailure(text),
        }
    }
}

/// The weaker of two links of a chain.
pub(crate) fn weaker(a: DnssecStatus, b: DnssecStatus) -> DnssecStatus {
    let rank = |s: DnssecStatus| match s {
        DnssecStatus::Secure => 0,
        DnssecStatus::Insecure => 1,
        DnssecStatus::Indeterminate => 2,
        DnssecStatus::Bogus => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}

fn loops(aliases: &[Alias]) -> bool {
    // At most 17 entries.
    aliases.iter().enumerate().any(|(at, alias)| aliases[..=at].iter().any(|a| a.owner == alias.target))
}
