//! MX hosts: SMTP servers with STARTTLS (RFC 3207), honest, broken or hostile, each at an address.
//!
//! They take mail and remember it, with what the connection was worth, so that a scenario can say
//! "this went out in clear text".

mod session;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::address::{close, listen};
use crate::ca::Identity;
use crate::tls;

/// How an MX host behaves.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Behaviour {
    /// STARTTLS with TLS 1.2 and 1.3.
    #[default]
    Good,
    /// The same, TLS 1.2 only.
    Tls12,
    /// The same, TLS 1.3 only.
    Tls13,
    /// STARTTLS is not offered, and refused when tried.
    NoStarttls,
    /// STARTTLS is offered; this is the reply to it, and no TLS follows.
    StarttlsReply(String),
    /// 220 to STARTTLS with more plain text behind it in the same segment (an injection).
    Injection(String),
    /// 220 to STARTTLS, then octets that are no TLS.
    Garbage,
    /// 220 to STARTTLS, then the connection ends.
    DropAtHandshake,
    /// The greeting, another than 220.
    Greeting(String),
    /// The reply to EHLO, another than 250.
    Ehlo(String),
    /// Never says a word.
    Silent,
    /// One octet a second.
    Drip,
    /// Lines without end in the reply to EHLO.
    EndlessReply,
    /// Refuses every recipient with this reply.
    Recipient(String),
}

/// One mail as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What the client called itself.
    pub helo: String,
    /// Envelope sender, empty for `<>`.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// `1.2` or `1.3`; `None` when it came in clear text.
    pub tls: Option<String>,
    /// The server name that the client asked for in its handshake (RFC 6066 §3).
    pub server_name: Option<String>,
    /// Header and body, dots unstuffed.
    pub data: Vec<u8>,
}

struct Host {
    name: String,
    behaviour: Behaviour,
    /// By server name; the first is also used without one, or for a name not known.
    identities: Vec<(String, Identity)>,
    messages: Vec<Message>,
    connections: u64,
    listener: Option<AbortHandle>,
}

/// All MX hosts of a world. Cheap to clone.
#[derive(Clone)]
pub struct MxHosts {
    shared: Arc<Shared>,
}

struct Shared {
    hosts: Mutex<HashMap<Ipv4Addr, Host>>,
    provider: Arc<CryptoProvider>,
    port: u16,
    runtime: Handle,
}

/// A host remembers so many mails; older ones are forgotten.
const MOST_MESSAGES: usize = 10_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MxHosts {
    pub(crate) fn new(provider: Arc<CryptoProvider>, port: u16, runtime: Handle) -> Self {
        Self { shared: Arc::new(Shared { hosts: Mutex::default(), provider, port, runtime }) }
    }

    /// Puts a host at an address and starts it.
    ///
    /// # Errors
    /// When the address is not loopback or taken.
    pub fn start(
        &self,
        address: Ipv4Addr,
        name: &str,
        behaviour: Behaviour,
        identity: Identity,
    ) -> io::Result<()> {
        let host = Host {
            name: name.to_owned(),
            behaviour,
            identities: vec![(name.to_owned(), identity)],
            messages: vec![],
            connections: 0,
            listener: None,
        };
        let old = lock(&self.shared.hosts).insert(address, host);
        if let Some(task) = old.and_then(|old| old.listener) {
            close(&task);
        }
        self.up(address)
    }

    /// Begins to listen again.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn up(&self, address: Ipv4Addr) -> io::Result<()> {
        let mut hosts = lock(&self.shared.hosts);
        let Some(host) = hosts.get_mut(&address).filter(|h| h.listener.is_none()) else { return Ok(()) };
        let _inside = self.shared.runtime.enter();
        let listener = listen(SocketAddr::from((address, self.shared.port)))?;
        let task = tokio::spawn(session::serve(self.clone(), address, listener));
        host.listener = Some(task.abort_handle());
        Ok(())
    }

    /// Stops listening: connections are refused from now on.
    pub fn down(&self, address: Ipv4Addr) {
        let task = self.change(address, |host| host.listener.take()).flatten();
        if let Some(task) = task {
            close(&task);
        }
    }

    fn change<T>(&self, address: Ipv4Addr, change: impl FnOnce(&mut Host) -> T) -> Option<T> {
        lock(&self.shared.hosts).get_mut(&address).map(change)
    }

    /// Changes how a host behaves; `false` when there is none.
    pub fn set_behaviour(&self, address: Ipv4Addr, behaviour: Behaviour) -> bool {
        self.change(address, |host| host.behaviour = behaviour).is_some()
    }

    /// Changes the certificate under the host's own name (and for clients that send no name).
    pub fn set_certificate(&self, address: Ipv4Addr, identity: Identity) -> bool {
        let replace = |host: &mut Host| {
            if let Some(first) = host.identities.first_mut() {
                first.1 = identity;
            }
        };
        self.change(address, replace).is_some()
    }

    /// Adds a certificate for clients that send this server name.
    pub fn add_certificate(&self, address: Ipv4Addr, server_name: &str, identity: Identity) -> bool {
        self.change(address, |host| host.identities.push((server_name.to_owned(), identity))).is_some()
    }

    /// The certificate under the host's own name.
    pub fn identity(&self, address: Ipv4Addr) -> Option<Identity> {
        self.change(address, |host| host.identities.first().map(|(_, i)| i.clone())).flatten()
    }

    /// The mails that arrived at an address, oldest first.
    pub fn messages(&self, address: Ipv4Addr) -> Vec<Message> {
        self.change(address, |host| host.messages.clone()).unwrap_or_default()
    }

    /// The mails that arrived for a recipient, anywhere, each with the name of the host that took it: oldest
    /// first at one host, hosts in no certain order.
    pub fn delivered_to(&self, recipient: &str) -> Vec<(String, Message)> {
        let hosts = lock(&self.shared.hosts);
        let taken = hosts.values().flat_map(|host| host.messages.iter().map(|mail| (&host.name, mail)));
        taken
            .filter(|(_, mail)| mail.to.iter().any(|to| to == recipient))
            .map(|(name, mail)| (name.clone(), mail.clone()))
            .collect()
    }

    /// Connections accepted at an address so far.
    pub fn connections(&self, address: Ipv4Addr) -> u64 {
        self.change(address, |host| host.connections).unwrap_or(0)
    }

    fn keep(&self, address: Ipv4Addr, message: Message) {
        self.change(address, |host| {
            if host.messages.len() >= MOST_MESSAGES {
                host.messages.remove(0);
            }
            host.messages.push(message);
        });
    }

    /// Counts a connection; says who the host is and how it behaves now.
    fn accept(&self, address: Ipv4Addr) -> Option<(String, Behaviour)> {
        self.change(address, |host| {
            host.connections += 1;
            (host.name.clone(), host.behaviour.clone())
        })
    }

    fn certificate(&self, address: Ipv4Addr, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.change(address, |host| {
            let fitting = host.identities.iter().find(|(known, _)| name == Some(known.as_str()));
            fitting.or(host.identities.first()).map(|(_, identity)| identity.certified())
        })?
    }

    fn acceptor(
        &self,
        address: Ipv4Addr,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> tokio_rustls::TlsAcceptor {
        let hosts = self.clone();
        let choose = Box::new(move |name: Option<&str>| hosts.certificate(address, name));
        tls::server(&self.shared.provider, versions, &[], choose).into()
    }
}
