//! Carries one question to the servers and the matching answer back: UDP, TCP when it is truncated.
//!
//! A few connected UDP sockets per server are shared by all questions; a reader task per socket gives
//! each datagram to the question that waits for it. So ten thousand questions a second cost neither a
//! socket nor a thread each. Whatever does not match id, question (letter for letter) and source is
//! not an answer: it is dropped and we wait on (RFC 5452 §9.1).
//!
//! A second server is asked only when the first is silent or unreachable: a SERVFAIL of one is never
//! overruled by another that perhaps does not validate.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use domain::base::Message;
use mailward_core::dns::DnsError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::message::{Case, Query, answers, question_of, random_u16};

/// How long one try waits, before the question is sent again.
const TRY: Duration = Duration::from_secs(2);

/// Sockets per server. Each has its own random port for as long as it lives; ports cannot be probed
/// from outside because a connected socket answers nobody else.
const SOCKETS: usize = 8;

/// The largest datagram that we read; more than any server sends for our EDNS size.
const DATAGRAM: usize = 4096;

/// Questions that may lie unread in a server's socket buffer. Linux gives it room for some 270 by default;
/// what comes beyond is lost and costs a whole try.
const FRESH: usize = 192;

/// After this time without an answer the server has read the question and is busy with it.
const READ_BY_THEN: Duration = Duration::from_millis(100);

/// An answer and where it came from.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The answer.
    pub(super) message: Message<Vec<u8>>,
    /// Whether the server is on this machine, so that nobody on the way can set its AD bit.
    pub(super) local: bool,
}

/// The servers.
pub(super) struct Transport {
    servers: Vec<Server>,
    per_try: Duration,
    fresh: Semaphore,
}

struct Server {
    address: SocketAddr,
    sockets: Vec<Arc<Socket>>,
    readers: Vec<AbortHandle>,
}

/// One UDP socket and those who wait at it.
struct Socket {
    udp: UdpSocket,
    waiting: Mutex<Questions>,
}

#[derive(Default)]
struct Questions {
    by_id: HashMap<u16, Asked>,
    /// Tells two questions with the same id apart, one after the other.
    serial: u64,
}

struct Asked {
    serial: u64,
    question: Box<[u8]>,
    reply: oneshot::Sender<io::Result<Vec<u8>>>,
}

/// A question that was sent. Forgotten by the socket when this is dropped.
struct Waiting {
    server: usize,
    socket: Arc<Socket>,
    id: u16,
    serial: u64,
    reply: oneshot::Receiver<io::Result<Vec<u8>>>,
}

impl Transport {
    /// Opens the sockets. Must be called inside a tokio runtime.
    pub(super) fn open(servers: &[SocketAddr], timeout: Duration) -> io::Result<Self> {
        let servers = servers.iter().map(|&address| Server::open(address)).collect::<io::Result<_>>()?;
        // A short total deadline still leaves room for a second try.
        Ok(Self { servers, per_try: TRY.min(timeout / 2), fresh: Semaphore::new(FRESH) })
    }

    /// Whether some server is on this machine.
    pub(super) fn has_local(&self) -> bool {
        self.servers.iter().any(|server| is_local(server.address.ip()))
    }

    /// Asks until an answer matches or the deadline passes.
    pub(super) async fn exchange(&self, query: &Query, deadline: Instant) -> Result<Exchange, DnsError> {
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut unreachable = 0;
        let mut attempt = 0;
        loop {
            let index = attempt % self.servers.len();
            let server = &self.servers[index];
            // Some server may fold the case: the second try is plain.
            let mixed = attempt < self.servers.len() && !is_local(server.address.ip());
            let case = if mixed { Case::Mixed } else { Case::Plain };
            attempt += 1;
            // Never closed, so an error cannot come.
            let mut fresh = self.fresh.acquire().await.ok();
            let fresh_until = Instant::now() + READ_BY_THEN;
            let try_until = deadline.min(Instant::now() + self.per_try);
            let mut failure = match server.ask(index, query, case).await {
                Ok(sent) => {
                    waiting.push(sent);
                    None
                }
                Err(e) => Some(e),
            };
            // Earlier tries stay open: a slow server answers the first one.
            while !waiting.is_empty() {
                let until = if fresh.is_some() { try_until.min(fresh_until) } else { try_until };
                match timeout_at(until, first_reply(&mut waiting)).await {
                    Ok((from, Ok(bytes))) => {
                        drop(fresh);
                        return self.finish(from, query, bytes, deadline).await;
                    }
                    Ok((_, Err(e))) => failure = Some(e),
                    Err(_) if until < try_until => fresh = None,
                    Err(_) if try_until == deadline => return Err(DnsError::Timeout),
                    Err(_) => break,
                }
            }
            drop(fresh);
            if let Some(e) = failure {
                unreachable += 1;
                if unreachable >= self.servers.len() && waiting.is_empty() {
                    return Err(DnsError::Unreachable(format!("{}: {e}", server.address)));
                }
            }
        }
    }

    async fn finish(
        &self,
        from: usize,
        query: &Query,
        bytes: Vec<u8>,
        deadline: Instant,
    ) -> Result<Exchange, DnsError> {
        let address = self.servers[from].address;
        let message = parse(bytes)?;
        // RFC 7766 §5: a truncated answer is asked for again over TCP, and not used.
        let message = if message.header().tc() { over_tcp(address, query, deadline).await? } else { message };
        Ok(Exchange { message, local: is_local(address.ip()) })
    }
}

impl Server {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let sockets: Vec<_> = (0..SOCKETS).map(|_| Socket::open(address)).collect::<io::Result<_>>()?;
        let readers =
            sockets.iter().map(|s| tokio::spawn(Arc::clone(s).read_for_ever()).abort_handle()).collect();
        Ok(Self { address, sockets, readers })
    }

    async fn ask(&self, server: usize, query: &Query, case: Case) -> io::Result<Waiting> {
        let socket = &self.sockets[usize::from(random_u16()) % self.sockets.len()];
        let (waiting, wire) = socket.register(server, query, case)?;
        match socket.udp.send(&wire).await {
            Ok(_) => Ok(waiting),
            Err(e) => {
                // The kernel tells an error once: this one may be the refusal of an earlier question.
                socket.fail_all(&e);
                Err(e)
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

impl Socket {
    fn open(server: SocketAddr) -> io::Result<Arc<Self>> {
        let any: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let udp = std::net::UdpSocket::bind((any, 0))?;
        // From here on the kernel drops datagrams from anybody else.
        udp.connect(server)?;
        udp.set_nonblocking(true)?;
        Ok(Arc::new(Self { udp: UdpSocket::from_std(udp)?, waiting: Mutex::default() }))
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        // Nothing panics while holding it; and if it did, the map would still be whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves an id and makes the message.
    fn register(
        self: &Arc<Self>,
        server: usize,
        query: &Query,
        case: Case,
    ) -> io::Result<(Waiting, Vec<u8>)> {
        let (sender, reply) = oneshot::channel();
        let mut questions = self.questions();
        // With the bound on questions in flight nearly every id is free.
        let free = std::iter::repeat_with(random_u16).take(64).find(|id| !questions.by_id.contains_key(id));
        let id = free.ok_or_else(|| io::Error::other("too many questions are open"))?;
        let wire = query.to_wire(id, case);
        questions.serial += 1;
        let serial = questions.serial;
        questions.by_id.insert(id, Asked { serial, question: question_of(&wire).into(), reply: sender });
        drop(questions);
        Ok((Waiting { server, socket: Arc::clone(self), id, serial, reply }, wire))
    }

    async fn read_for_ever(self: Arc<Self>) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            match self.udp.recv(&mut buffer).await {
                Ok(length) => self.hand_out(&buffer[..length]),
                Err(e) => {
                    self.fail_all(&e);
                    // An error that stays must not turn the loop into a furnace.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }

    /// "Connection refused": nobody listens there. It holds for all that wait here.
    fn fail_all(&self, e: &io::Error) {
        for (_, asked) in self.questions().by_id.drain() {
            let _ = asked.reply.send(Err(io::Error::new(e.kind(), e.to_string())));
        }
    }

    fn hand_out(&self, datagram: &[u8]) {
        let Some(id) = datagram.first_chunk().map(|id| u16::from_be_bytes(*id)) else { return };
        let mut questions = self.questions();
        if questions.by_id.get(&id).is_some_and(|asked| answers(datagram, id, &asked.question))
            && let Some(asked) = questions.by_id.remove(&id)
        {
            drop(questions);
            let _ = asked.reply.send(Ok(datagram.to_vec()));
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut questions = self.socket.questions();
        if questions.by_id.get(&self.id).is_some_and(|asked| asked.serial == self.serial) {
            questions.by_id.remove(&self.id);
        }
    }
}

/// The first of several open tries that comes to an end; it is taken out.
async fn first_reply(waiting: &mut Vec<Waiting>) -> (usize, io::Result<Vec<u8>>) {
    poll_fn(|context| {
        for at in 0..waiting.len() {
            if let Poll::Ready(reply) = Pin::new(&mut waiting[at].reply).poll(context) {
                let server = waiting.swap_remove(at).server;
                let closed = || Err(io::Error::other("the resolver was closed"));
                return Poll::Ready((server, reply.unwrap_or_else(|_| closed())));
            }
        }
        Poll::Pending
    })
    .await
}

async fn over_tcp(
    address: SocketAddr,
    query: &Query,
    deadline: Instant,
) -> Result<Message<Vec<u8>>, DnsError> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let id = random_u16();
        let wire = query.to_wire(id, Case::Plain);
        let mut framed = Vec::with_capacity(wire.len() + 2);
        // A question is far below 64 KiB.
        framed.extend_from_slice(&u16::try_from(wire.len()).unwrap_or(u16::MAX).to_be_bytes());
        framed.extend_from_slice(&wire);
        stream.write_all(&framed).await?;
        loop {
            let mut answer = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut answer).await?;
            if answers(&answer, id, question_of(&wire)) {
                return Ok::<_, io::Error>(answer);
            }
        }
    };
    match timeout_at(deadline, asked).await {
        Ok(Ok(answer)) => parse(answer),
        Ok(Err(e)) => {
            Err(DnsError::Unreachable(format!("{address} over TCP, after a truncated answer: {e}")))
        }
        Err(_) => Err(DnsError::Timeout),
    }
}

fn parse(bytes: Vec<u8>) -> Result<Message<Vec<u8>>, DnsError> {
    Message::from_octets(bytes).map_err(|e| DnsError::Malformed(e.to_string()))
}

/// Whether packets to this address never leave the machine.
pub(super) fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_local() {
        for (address, local) in [
            ("127.0.0.1", true),
            ("127.8.9.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("fe80::1", false),
            ("8.8.8.8", false),
        ] {
            assert_eq!(is_local(address.parse().unwrap()), local, "{address}");
        }
    }
}
