//! The TLS listeners of the receiving side: policies (RFC 8461 §3.3) and report posts (RFC 8460 §3).
//!
//! Everybody on the internet may connect here, so everything has a limit: connections in all and for
//! each source, time for the handshake, for each header and for a connection in all, size of headers.
//! At the limit accepting pauses; nothing is ever queued without bound. What a request gets is decided
//! by a [`Site`].
//!
//! When I cannot know: without a certificate for a name the handshake is refused, so that senders keep
//! the policy they have; mail is never lost by that.

pub mod certificates;
mod connections;
mod respond;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::Stop;
use certificates::Certificates;
use connections::{Connections, Slot};
pub(crate) use respond::json;
pub use respond::{Body, refusal, text};

/// Hard limits of a listener. `Default` gives the documented values.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once, over all listeners of a server; then accepting pauses.
    pub connections: usize,
    /// Connections at once from one address (IPv6: one /64); loopback is exempt, for a proxy in front
    /// makes everybody come from there.
    pub connections_per_source: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For one header block, and for an idle connection.
    pub header: Duration,
    /// Bytes of one header block.
    pub header_bytes: usize,
    /// After this a connection ends with the request it is busy with.
    pub lifetime: Duration,
    /// Time for requests that are under way when it stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_source: 64,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            lifetime: Duration::from_secs(90),
            drain: Duration::from_secs(8),
        }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The other end.
    pub address: SocketAddr,
    /// The name asked for in the handshake, lower case.
    pub server_name: Option<String>,
}

/// The answer to one request, once it is known.
pub type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Decides what a request gets.
pub trait Site: Send + Sync + 'static {
    /// Answers; never fails.
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Answer;
}

/// Listeners with their certificates and what they serve.
pub struct Server {
    listeners: Vec<TcpListener>,
    certificates: Certificates,
    site: Arc<dyn DynSite>,
    limits: Limits,
}

/// [`Site`] behind a pointer.
trait DynSite: Send + Sync + 'static {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Answer;
}

impl<S: Site> DynSite for S {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Answer {
        Site::answer(self, request, peer)
    }
}

impl Server {
    /// A server on sockets that are bound already (by the binary, or handed over by systemd).
    pub fn new<S: Site>(listeners: Vec<TcpListener>, certificates: Certificates, site: S) -> Self {
        Self { listeners, certificates, site: Arc::new(site), limits: Limits::default() }
    }

    /// The same with other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Serves until told to stop; requests under way are finished within [`Limits::drain`].
    ///
    /// # Errors
    /// When this build of rustls offers no TLS 1.2 or 1.3, which does not happen.
    pub async fn run(self, mut stop: Stop) -> Result<(), rustls::Error> {
        let acceptor = acceptor(self.certificates)?;
        let connections = Connections::new(self.limits.connections, self.limits.connections_per_source);
        let mut accepting = JoinSet::new();
        let mut serving = JoinSet::new();
        let (hand_over, mut accepted) = tokio::sync::mpsc::channel(1);
        for listener in self.listeners {
            accepting.spawn(accept(listener, connections.clone(), hand_over.clone()));
        }
        drop(hand_over);
        loop {
            tokio::select! {
                () = stop.requested() => break,
                Some((stream, address, slot)) = accepted.recv() => {
                    let connection = Connection {
                        acceptor: acceptor.clone(),
                        site: Arc::clone(&self.site),
                        limits: self.limits.clone(),
                        slot,
                        stop: stop.clone(),
                    };
                    serving.spawn(connection.serve(stream, address));
                }
                Some(_) = serving.join_next() => {}
            }
        }
        accepting.abort_all();
        let _ =
            tokio::time::timeout(self.limits.drain, async { while serving.join_next().await.is_some() {} })
                .await;
        Ok(())
    }
}

fn acceptor(certificates: Certificates) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // RFC 8461 §3.3: TLS 1.2 or higher.
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts on one listener, never more than there are slots for.
async fn accept(
    listener: TcpListener,
    connections: Connections,
    hand_over: tokio::sync::mpsc::Sender<(TcpStream, SocketAddr, Slot)>,
) {
    loop {
        let room = connections.room().await;
        match listener.accept().await {
            Ok((stream, address)) => match connections.take(room, address.ip()) {
                Some(slot) => {
                    if hand_over.send((stream, address, slot)).await.is_err() {
                        return;
                    }
                }
                None => count("too-many-from-source"),
            },
            Err(error) => {
                // Out of descriptors, or the peer is gone already: wait a little, so as not to spin.
                tracing::debug!(%error, "accept failed");
                count("accept-failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One connection from its first byte to its last.
struct Connection {
    acceptor: TlsAcceptor,
    site: Arc<dyn DynSite>,
    limits: Limits,
    slot: Slot,
    stop: Stop,
}

impl Connection {
    async fn serve(self, stream: TcpStream, address: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(self.limits.handshake, self.acceptor.accept(stream));
        let mut stop = self.stop.clone();
        let stream = tokio::select! {
            () = stop.requested() => return,
            done = handshake => match done {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "TLS handshake failed");
                    return count("handshake-failed");
                }
                Err(_) => return count("handshake-timeout"),
            },
        };
        count("accepted");
        let server_name = stream.get_ref().1.server_name().map(str::to_ascii_lowercase);
        let peer = Peer { address, server_name };
        let site = self.site;
        let service = hyper::service::service_fn(move |request| {
            let answer = Arc::clone(&site).answer(request, peer.clone());
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        });
        let http = protocol(&self.limits);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut deadline = std::pin::pin!(tokio::time::sleep(self.limits.lifetime));
        let mut ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%address, %error, "connection ended");
                    }
                    break;
                }
                () = stop.requested(), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                    deadline.as_mut().reset(tokio::time::Instant::now() + self.limits.drain);
                }
                () = deadline.as_mut() => {
                    if ending {
                        break;
                    }
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                    deadline.as_mut().reset(tokio::time::Instant::now() + self.limits.lifetime);
                }
            }
        }
        drop(self.slot);
    }
}

fn protocol(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_headers(100)
        // hyper refuses less than 8 KiB by panicking.
        .max_buf_size(limits.header_bytes.max(8192));
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(16)
        .max_pending_accept_reset_streams(16)
        .keep_alive_interval(limits.header)
        .keep_alive_timeout(limits.header);
    http
}

fn count(outcome: &'static str) {
    metrics::counter!("mailward_https_connections_total", "outcome" => outcome).increment(1);
}

/// The part of an address that one party controls: the address, or its /64.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let mut segments = ip.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
    }
}
