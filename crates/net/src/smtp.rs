//! Probes one address of an MX host: greeting, EHLO, STARTTLS, the whole chain.
//!
//! Never sends mail, never logs in, never says anything after the handshake but EHLO and QUIT. What a
//! peer may do wrong is long (RFC 3207 §4, RFC 5321 §4.2, the response injections of 2021): each way ends
//! in its own [`ProbeOutcome`], none in a panic or an unbounded buffer. [`reply`] reads the bytes; this
//! file holds the dialogue.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mailward_core::MxHost;
use mailward_core::chain::describe_chain;
use mailward_core::facts::{AddressProbe, HandshakeFailure, ProbeOutcome, TlsFacts};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

pub mod reply;

use reply::{MOST_LINE, Reply, ReplyReader};

use crate::tls::{Offer, Recorder, parameters};
use crate::{Outside, connect};

/// How long the answer to QUIT is waited for: long enough for a clean end, too short to be held up.
const QUIT: Duration = Duration::from_secs(1);

/// Deadlines of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeTimeouts {
    /// TCP connect.
    pub connect: Duration,
    /// Greeting.
    pub greeting: Duration,
    /// Each command.
    pub command: Duration,
    /// TLS handshake.
    pub tls: Duration,
    /// The whole session.
    pub session: Duration,
}

impl Default for ProbeTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            greeting: Duration::from_secs(30),
            command: Duration::from_secs(15),
            tls: Duration::from_secs(20),
            session: Duration::from_secs(90),
        }
    }
}

/// Probes.
pub async fn probe(outside: &Outside, host: &MxHost, address: IpAddr) -> AddressProbe {
    let begun = Instant::now();
    let outcome = if connect::is_allowed(outside, address) {
        // The deadlines of the phases add up to more than a slow peer may take in all. What was concluded
        // before stays, though a farewell runs over.
        let concluded = OnceLock::new();
        let session = outside.options.probe.session;
        match timeout(session, talk(outside, host, address, &concluded)).await {
            Ok(Err(outcome)) => outcome,
            Ok(Ok(())) | Err(_) => {
                concluded.into_inner().unwrap_or_else(|| ProbeOutcome::Timeout("session".into()))
            }
        }
    } else {
        ProbeOutcome::PrivateAddress
    };
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(%host, %address, elapsed_ms, "probed");
    AddressProbe { address, outcome, elapsed_ms }
}

/// The whole dialogue. An `Err` is an outcome after which there is nobody to say goodbye to; every other
/// one is put into `concluded` first.
async fn talk(
    outside: &Outside,
    host: &MxHost,
    address: IpAddr,
    concluded: &OnceLock<ProbeOutcome>,
) -> Result<(), ProbeOutcome> {
    let timeouts = &outside.options.probe;
    let mut plain = dial(outside, address).await?;

    let greeting = plain.reply("greeting", timeouts.greeting).await?;
    if greeting.code != 220 {
        return plain.end(concluded, ProbeOutcome::Greeting(greeting.to_string())).await;
    }
    let ehlo = plain.command(&format!("EHLO {}", outside.options.helo), timeouts.command).await?;
    if ehlo.code != 250 {
        return plain.end(concluded, ProbeOutcome::Ehlo(ehlo.to_string())).await;
    }
    if !ehlo.offers("STARTTLS") {
        return plain.end(concluded, ProbeOutcome::NoStartTls(ehlo.keywords())).await;
    }
    let ready = plain.command("STARTTLS", timeouts.command).await?;
    // RFC 3207 §4: 220 and nothing else. A 250 or 354 here is a confused or hostile server.
    if ready.code != 220 {
        return plain.end(concluded, ProbeOutcome::StartTlsRefused(ready.to_string())).await;
    }
    // What came in clear behind the 220 would be read as if it came through TLS. It is never used: the
    // buffer must be empty, and the one inside TLS is another.
    let stream = plain.into_stream()?;

    let recorder = Arc::new(Recorder::new());
    let shaken = outside.roots.connect(host, Offer::MailServer, &recorder, stream);
    let Ok(shaken) = timeout(timeouts.tls, shaken).await else {
        return Err(ProbeOutcome::Timeout("tls".into()));
    };
    let chain = recorder.chain();
    let tls = match shaken {
        Ok(tls) => tls,
        Err(refusal) => {
            return Err(ProbeOutcome::Handshake(HandshakeFailure {
                reason: format!("tls-{}", refusal.reason),
                maybe_legacy: refusal.maybe_legacy,
                chain: describe_chain(&chain),
            }));
        }
    };
    let (version, cipher) = parameters(&tls);
    let web_pki = outside.roots.verdict(&chain, host, outside.clock.now());
    let facts = TlsFacts { version, cipher, chain: describe_chain(&chain), web_pki };

    let _ = concluded.set(ProbeOutcome::Tls(facts));

    // RFC 3207 §4.2: everything said before TLS is forgotten, so the dialogue begins again. TLS stands
    // already; whatever goes wrong from here on does not change that.
    let mut inside = Dialogue::over(tls);
    match inside.command(&format!("EHLO {}", outside.options.helo), timeouts.command).await {
        Ok(reply) => tracing::debug!(%host, %address, code = reply.code, "EHLO inside TLS"),
        Err(outcome) => tracing::debug!(%host, %address, ?outcome, "EHLO inside TLS"),
    }
    inside.leave().await;
    Ok(())
}

async fn dial(outside: &Outside, address: IpAddr) -> Result<Dialogue<TcpStream>, ProbeOutcome> {
    let target = SocketAddr::new(address, outside.options.smtp_port);
    let limit = outside.options.probe.connect;
    match timeout(limit, crate::connect::open(target)).await {
        Ok(Ok(stream)) => Ok(Dialogue::over(stream)),
        Ok(Err(e)) => Err(ProbeOutcome::Unreachable(e.to_string())),
        Err(_) => Err(ProbeOutcome::Unreachable(format!("no answer within {} s", limit.as_secs_f64()))),
    }
}

/// A stream and the reader of its replies. One in clear, another inside TLS, nothing passes between.
struct Dialogue<S> {
    stream: S,
    reader: ReplyReader,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Dialogue<S> {
    fn over(stream: S) -> Self {
        Self { stream, reader: ReplyReader::default() }
    }

    /// Sends a command and reads the reply to it.
    async fn command(&mut self, line: &str, limit: Duration) -> Result<Reply, ProbeOutcome> {
        let phase = line.split(' ').next().unwrap_or_default().to_ascii_lowercase();
        if !self.reader.is_empty() {
            // Who answers before being asked would have its words taken for the answer.
            return Err(ProbeOutcome::Protocol(format!("data ahead of the command ({phase})")));
        }
        let begun = Instant::now();
        let sent = timeout(limit, async {
            self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
            self.stream.flush().await
        });
        match sent.await {
            Ok(Ok(())) => self.reply(&phase, limit.saturating_sub(begun.elapsed())).await,
            Ok(Err(e)) => Err(broken(&phase, &e)),
            Err(_) => Err(ProbeOutcome::Timeout(phase)),
        }
    }

    /// Reads one reply. The limit is for all of it, not for each read.
    async fn reply(&mut self, phase: &str, limit: Duration) -> Result<Reply, ProbeOutcome> {
        let whole = timeout(limit, async {
            let mut bytes = [0; MOST_LINE];
            loop {
                match self.reader.next_reply() {
                    Ok(Some(reply)) => return Ok(reply),
                    Ok(None) => {}
                    Err(e) => return Err(ProbeOutcome::Protocol(format!("{e} ({phase})"))),
                }
                match self.stream.read(&mut bytes).await {
                    Ok(0) => return Err(ProbeOutcome::Protocol(format!("connection closed ({phase})"))),
                    Ok(length) => self.reader.push(&bytes[..length]),
                    Err(e) => return Err(broken(phase, &e)),
                }
            }
        });
        whole.await.unwrap_or_else(|_| Err(ProbeOutcome::Timeout(phase.to_owned())))
    }

    /// Puts the outcome on record and says goodbye.
    async fn end(
        self,
        concluded: &OnceLock<ProbeOutcome>,
        outcome: ProbeOutcome,
    ) -> Result<(), ProbeOutcome> {
        // Set once in a probe.
        let _ = concluded.set(outcome);
        self.leave().await;
        Ok(())
    }

    /// Says goodbye.
    async fn leave(mut self) {
        if self.command("QUIT", QUIT).await.is_ok() {
            // Inside TLS this is the close_notify.
            let _ = timeout(QUIT, self.stream.shutdown()).await;
        }
    }
}

impl Dialogue<TcpStream> {
    /// The bare stream for TLS, if nothing was sent ahead of it.
    fn into_stream(self) -> Result<TcpStream, ProbeOutcome> {
        if self.reader.is_empty() { Ok(self.stream) } else { Err(ProbeOutcome::StartTlsInjection) }
    }
}

fn broken(phase: &str, error: &io::Error) -> ProbeOutcome {
    ProbeOutcome::Protocol(format!("connection broken ({phase}): {error}"))
}
