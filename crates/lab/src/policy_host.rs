//! Policy hosts: HTTPS servers that serve `/.well-known/mta-sts.txt` for many domains, by SNI, well or
//! badly (RFC 8461 §3.2 and §3.3; the bad ones are those a fetcher must survive).
//!
//! Many domains share one address. Requests are counted, so that a test sees what a sender or an
//! audit really asked.

mod http;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::address::{close, listen};
use crate::ca::{CertificateAuthority, CertificateKind, Identity};
use crate::tls;

/// How a policy host answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// 200, text/plain, with Content-Length.
    #[default]
    Ok,
    /// Another status, with the body.
    Status(u16),
    /// A redirect with this status to this target.
    Redirect(u16, String),
    /// 200 with another media type; empty: without any.
    MediaType(String),
    /// 200, two octets a second.
    Drip,
    /// 200, and then nothing.
    Hang,
    /// 200 with this many octets of a policy, Content-Length given.
    Oversized(usize),
    /// 200 with this many octets, chunked.
    OversizedChunked(usize),
    /// 200, chunked, as it should be.
    Chunked,
    /// 200 without Content-Length, ended by closing.
    UntilClose,
    /// 200 that promises more octets than it sends.
    CutOff,
    /// 200 with `Content-Encoding: gzip`.
    Encoded,
    /// These octets instead of an answer.
    Raw(String),
    /// Headers without end.
    EndlessHeaders,
}

/// One name and what is served under it.
#[derive(Debug, Clone)]
struct Site {
    body: String,
    /// Another body on one address.
    bodies: HashMap<Ipv4Addr, String>,
    answer: Answer,
    identity: Certificate,
    requests: u64,
}

#[derive(Debug, Clone)]
enum Certificate {
    Issued(Identity),
    /// Issued at the first handshake; makes large worlds quick to build.
    Pending(CertificateKind),
}

/// All policy hosts of a world. Cheap to clone.
#[derive(Clone)]
pub struct PolicyHosts {
    shared: Arc<Shared>,
}

struct Shared {
    sites: Mutex<HashMap<String, Site>>,
    listeners: Mutex<HashMap<Ipv4Addr, AbortHandle>>,
    /// Requests at each address.
    connections: Mutex<HashMap<Ipv4Addr, u64>>,
    ca: Arc<CertificateAuthority>,
    provider: Arc<CryptoProvider>,
    port: u16,
    runtime: Handle,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PolicyHosts {
    pub(crate) fn new(
        ca: Arc<CertificateAuthority>,
        provider: Arc<CryptoProvider>,
        port: u16,
        runtime: Handle,
    ) -> Self {
        let shared = Shared {
            sites: Mutex::default(),
            listeners: Mutex::default(),
            connections: Mutex::default(),
            ca,
            provider,
            port,
            runtime,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins to listen at an address; a second time does nothing.
    ///
    /// # Errors
    /// When the address is not loopback or taken.
    pub fn up(&self, address: Ipv4Addr) -> io::Result<()> {
        let mut listeners = lock(&self.shared.listeners);
        if listeners.contains_key(&address) {
            return Ok(());
        }
        let _inside = self.shared.runtime.enter();
        let listener = listen(SocketAddr::from((address, self.shared.port)))?;
        let choose = {
            let hosts = self.clone();
            Box::new(move |name: Option<&str>| hosts.certificate(name))
        };
        let versions = rustls::ALL_VERSIONS;
        let config = tls::server(&self.shared.provider, versions, &[b"http/1.1"], choose);
        let task = tokio::spawn(http::serve(self.clone(), address, listener, config));
        listeners.insert(address, task.abort_handle());
        Ok(())
    }

    /// Stops listening at an address: connections are refused from now on.
    pub fn down(&self, address: Ipv4Addr) {
        let task = lock(&self.shared.listeners).remove(&address);
        if let Some(task) = task {
            close(&task);
        }
    }

    /// Serves a body under a name (`mta-sts.example.test`), with a certificate of this kind.
    pub fn set(&self, name: &str, body: &str, answer: Answer, kind: CertificateKind) {
        let identity = Certificate::Issued(self.shared.ca.issue(&[name], kind));
        self.put(name, body, answer, identity);
    }

    /// As [`Self::set`]; the certificate is made at the first handshake.
    pub fn set_later(&self, name: &str, body: &str, kind: CertificateKind) {
        self.put(name, body, Answer::Ok, Certificate::Pending(kind));
    }

    fn put(&self, name: &str, body: &str, answer: Answer, identity: Certificate) {
        let mut sites = lock(&self.shared.sites);
        let requests = sites.get(name).map_or(0, |s| s.requests);
        let site = Site { body: body.to_owned(), bodies: HashMap::new(), answer, identity, requests };
        sites.insert(name.to_owned(), site);
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Site)) -> bool {
        lock(&self.shared.sites).get_mut(name).map(change).is_some()
    }

    /// Changes the body; `false` when the name is not served.
    pub fn set_body(&self, name: &str, body: &str) -> bool {
        self.change(name, |site| body.clone_into(&mut site.body))
    }

    /// Serves another body at one address: a cache that lags behind. `None` ends it.
    pub fn set_body_at(&self, name: &str, address: Ipv4Addr, body: Option<&str>) -> bool {
        self.change(name, |site| match body {
            Some(body) => drop(site.bodies.insert(address, body.to_owned())),
            None => drop(site.bodies.remove(&address)),
        })
    }

    /// Changes how it answers; `false` when the name is not served.
    pub fn set_answer(&self, name: &str, answer: Answer) -> bool {
        self.change(name, |site| site.answer = answer)
    }

    /// Changes the certificate; `false` when the name is not served.
    pub fn set_certificate(&self, name: &str, identity: Identity) -> bool {
        self.change(name, |site| site.identity = Certificate::Issued(identity))
    }

    /// No longer serves a name.
    pub fn remove(&self, name: &str) {
        lock(&self.shared.sites).remove(name);
    }

    /// Requests read for a name so far.
    pub fn requests(&self, name: &str) -> u64 {
        lock(&self.shared.sites).get(name).map_or(0, |s| s.requests)
    }

    /// Connections accepted at an address so far.
    pub fn connections(&self, address: Ipv4Addr) -> u64 {
        lock(&self.shared.connections).get(&address).copied().unwrap_or(0)
    }

    fn certificate(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let mut sites = lock(&self.shared.sites);
        // SNI is compared without regard to case; rustls hands it over in lower case.
        let (name, site) = sites.get_key_value(name?).map(|(n, s)| (n.clone(), s.identity.clone()))?;
        let identity = match site {
            Certificate::Issued(identity) => identity,
            Certificate::Pending(kind) => {
                let identity = self.shared.ca.issue(&[&name], kind);
                if let Some(site) = sites.get_mut(&name) {
                    site.identity = Certificate::Issued(identity.clone());
                }
                identity
            }
        };
        Some(identity.certified())
    }

    /// What to answer to a request for this host name at this address.
    fn request(&self, host: &str, address: Ipv4Addr) -> Option<(Answer, String)> {
        let mut sites = lock(&self.shared.sites);
        let site = sites.get_mut(&host.to_ascii_lowercase())?;
        site.requests += 1;
        let body = site.bodies.get(&address).unwrap_or(&site.body).clone();
        Some((site.answer.clone(), body))
    }

    fn count(&self, address: Ipv4Addr) {
        *lock(&self.shared.connections).entry(address).or_default() += 1;
    }
}
