//! One SMTP session of a sender (RFC 5321, RFC 3207).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mailward_core::tlsrpt::ResultType;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Surroundings;
use super::tls::{self, Failure, Tlsa};
use crate::address::only_loopback;

/// What must hold before mail is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Demand {
    /// TLS with a certificate for the MX (policy in mode enforce).
    Authenticated,
    /// TLS with a certificate that one of these records names (DANE).
    Matching(Vec<Tlsa>),
    /// TLS, whoever it is.
    Encrypted,
    /// TLS if it works, else clear text: failures are only counted.
    Opportunistic,
}

/// How a session ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// What is wrong with TLS, if anything.
    pub failure: Option<Failure>,
    /// How the mail went, if it went.
    pub handed_over: Option<Channel>,
    /// Whether there was an SMTP server at all: a dead host is no failure of TLS (RFC 8460 §4.3).
    pub reached: bool,
    /// Its first answer to EHLO, all lines.
    pub ehlo: String,
}

impl Ended {
    /// Refused without a connection.
    pub(super) fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure), handed_over: None, reached: true, ehlo: String::new() }
    }

    fn dead() -> Self {
        Self { failure: None, handed_over: None, reached: false, ehlo: String::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Tls,
    ClearText,
}

pub(super) struct Mail<'a> {
    pub helo: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub text: &'a str,
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Tries to deliver one mail to one address of an MX host.
pub(super) async fn attempt(
    surroundings: &Surroundings,
    host: &str,
    address: SocketAddr,
    demand: &Demand,
    mail: &Mail<'_>,
) -> Ended {
    let work = async {
        match with_tls(surroundings, host, address, demand, mail).await {
            Ok(ended) => ended,
            Err(_) => Ended::dead(),
        }
    };
    let ended = tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Ended::dead());
    let undelivered = ended.handed_over.is_none() && ended.reached;
    if undelivered && ended.failure.is_some() && *demand == Demand::Opportunistic {
        // TLS broke: clear text, only on a new connection, only since nothing forbids it.
        let again = tokio::time::timeout(PATIENCE, in_clear(address, mail)).await;
        let handed_over = again.ok().and_then(Result::ok).filter(|taken| *taken).map(|_| Channel::ClearText);
        return Ended { handed_over, ..ended };
    }
    ended
}

async fn with_tls(
    surroundings: &Surroundings,
    host: &str,
    address: SocketAddr,
    demand: &Demand,
    mail: &Mail<'_>,
) -> io::Result<Ended> {
    let Some(mut connection) = Connection::open(address, mail.helo).await? else {
        return Ok(Ended::dead());
    };
    let ehlo = connection.ehlo.clone();
    let refused = |reason: &str| Failure::new(ResultType::StarttlsNotSupported, reason.trim_end());
    let mut failure = None;
    if connection.offers("STARTTLS") {
        let reply = connection.command("STARTTLS").await?;
        if !reply.is("220") {
            failure = Some(refused(&reply.text));
        }
    } else {
        failure = Some(refused("STARTTLS is not offered"));
    }
    if let Some(failure) = failure {
        let clear = *demand == Demand::Opportunistic && connection.hand_over(mail).await?;
        let handed_over = clear.then_some(Channel::ClearText);
        return Ok(Ended { failure: Some(failure), handed_over, reached: true, ehlo });
    }
    let broken = |reason: String| Ended {
        ehlo: ehlo.clone(),
        ..Ended::failed(Failure::new(ResultType::ValidationFailure, reason))
    };
    // Plain text behind the 220 is an injection (USENIX Security 2021).
    if !connection.stream.buffer().is_empty() {
        return Ok(broken("plaintext-after-starttls".into()));
    }
    let shaken = tls::connect(surroundings, connection.stream.into_inner(), host).await;
    let (stream, fault) = match shaken {
        Ok(shaken) => shaken,
        Err(error) => return Ok(broken(format!("tls: {error}"))),
    };
    let (fault, is_demanded) = match demand {
        Demand::Authenticated => (fault, true),
        // RFC 7672 §3.1.1: names, dates and issuers do not count with DANE-EE.
        Demand::Matching(records) => (tls::unmatched(&stream, records), true),
        Demand::Encrypted | Demand::Opportunistic => (fault, false),
    };
    if fault.is_some() && is_demanded {
        return Ok(Ended { failure: fault, handed_over: None, reached: true, ehlo });
    }
    let mut connection = Connection::over(stream);
    connection.greet(mail.helo).await?;
    let handed_over = connection.hand_over(mail).await?.then_some(Channel::Tls);
    Ok(Ended { failure: fault, handed_over, reached: true, ehlo })
}

async fn in_clear(address: SocketAddr, mail: &Mail<'_>) -> io::Result<bool> {
    match Connection::open(address, mail.helo).await? {
        Some(mut connection) => connection.hand_over(mail).await,
        None => Ok(false),
    }
}

struct Reply {
    text: String,
}

impl Reply {
    fn is(&self, code: &str) -> bool {
        self.text.starts_with(code)
    }
}

struct Connection<S> {
    stream: BufReader<S>,
    /// The answer to EHLO.
    ehlo: String,
}

impl Connection<TcpStream> {
    /// Connects and says EHLO; `None` when the host is there but not for us.
    async fn open(address: SocketAddr, helo: &str) -> io::Result<Option<Self>> {
        only_loopback(address.ip())?;
        let stream = TcpStream::connect(address).await?;
        // EHLO follows the end of the handshake: without this it waits for a delayed ACK.
        stream.set_nodelay(true)?;
        let mut connection = Self::over(stream);
        let greeted = connection.reply().await?.is("220");
        Ok((greeted && connection.greet(helo).await?).then_some(connection))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream), ehlo: String::new() }
    }

    async fn greet(&mut self, helo: &str) -> io::Result<bool> {
        let reply = self.command(&format!("EHLO {helo}")).await?;
        let welcome = reply.is("250");
        self.ehlo = reply.text;
        Ok(welcome)
    }

    fn offers(&self, keyword: &str) -> bool {
        let keywords = self.ehlo.lines().skip(1).filter_map(|line| line.get(4..));
        keywords.map(str::trim).any(|offered| offered.eq_ignore_ascii_case(keyword))
    }

    async fn hand_over(&mut self, mail: &Mail<'_>) -> io::Result<bool> {
        let envelope = [format!("MAIL FROM:<{}>", mail.from), format!("RCPT TO:<{}>", mail.to)];
        for command in envelope {
            if !self.command(&command).await?.is("250") {
                return Ok(false);
            }
        }
        if !self.command("DATA").await?.is("354") {
            return Ok(false);
        }
        let taken = self.command(&format!("{}\r\n.", stuffed(mail.text))).await?.is("250");
        self.command("QUIT").await?;
        Ok(taken)
    }

    async fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        self.reply().await
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        for _ in 0..100 {
            let start = text.len();
            (&mut self.stream).take(4096).read_line(&mut text).await?;
            let line = &text[start..];
            if !line.ends_with('\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { text });
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// With dots doubled at the beginning of lines (RFC 5321 §4.5.2), without the last line end.
fn stuffed(text: &str) -> String {
    let text = text.strip_suffix("\r\n").unwrap_or(text).replace("\r\n.", "\r\n..");
    if text.starts_with('.') { format!(".{text}") } else { text }
}
