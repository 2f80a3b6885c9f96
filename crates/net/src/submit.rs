//! Hands a mail to our own mail server (RFC 6409): the client that reports leave by.
//!
//! Its server is the operator's, so no address is refused, and a name is resolved as the system does.
//! Written here, on the bounded reply reader of the probe, because what an error means depends on where
//! it came: a refusal before RCPT is a quarrel between our server and us and says nothing of the
//! recipient. The null return path (RFC 8460 §5.3 wants no bounces to be answered) is all it can do.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailward_core::DomainName;
use mailward_core::tlsrpt::outgoing::Answer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::Outside;
use crate::post::Delivered;
use crate::smtp::reply::{MOST_LINE, Reply, ReplyReader};
use crate::tls::{Recorder, fault_text};

/// For one mail in all. A server that filters content before it answers may take its time.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Not at all: `smtp://`, for a server on this machine.
    None,
    /// STARTTLS, required: `smtp+starttls://`.
    StartTls,
    /// TLS from the start: `smtps://`.
    Tls,
}

/// Where mail is handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitServer {
    /// How the connection is protected.
    pub protection: Protection,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl FromStr for SubmitServer {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let why = |what: &str| {
            format!(
                "{text:?} {what}; write smtp://127.0.0.1:25, smtps://mail.example.com or smtp+starttls://mail.example.com:587"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| why("has no scheme"))?;
        let (protection, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "smtp" => (Protection::None, 25),
            "smtps" => (Protection::Tls, 465),
            "smtp+starttls" => (Protection::StartTls, 587),
            _ => return Err(why("has a scheme that is not known")),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.strip_prefix('[') {
            Some(literal) => literal.split_once(']').ok_or_else(|| why("has no end of the address"))?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| why("has no port behind the colon"))?,
            None if port.is_empty() => default_port,
            None => return Err(why("has something behind the host")),
        };
        let named = DomainName::parse(host).is_ok();
        if !named && host.parse::<std::net::IpAddr>().is_err() {
            return Err(why("names no host"));
        }
        if !named && protection != Protection::None {
            return Err(why("names an address, and a certificate speaks for a name"));
        }
        Ok(Self { protection, host: host.to_owned(), port })
    }
}

impl fmt::Display for SubmitServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protection {
            Protection::None => "smtp",
            Protection::StartTls => "smtp+starttls",
            Protection::Tls => "smtps",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// User and password for AUTH PLAIN (RFC 4616).
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Its password; never shown.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Hands in one mail for one recipient, with the null return path.
pub async fn submit(
    outside: &Outside,
    server: &SubmitServer,
    login: Option<&Login>,
    to: &str,
    message: &[u8],
) -> Delivered {
    match timeout(DEADLINE, hand_in(outside, server, login, to, message)).await {
        Ok(Ok(delivered) | Err(delivered)) => delivered,
        Err(_) => Delivered::later(format!("{server}: no answer within {} s", DEADLINE.as_secs())),
    }
}

async fn hand_in(
    outside: &Outside,
    server: &SubmitServer,
    login: Option<&Login>,
    to: &str,
    message: &[u8],
) -> Result<Delivered, Delivered> {
    let stream = TcpStream::connect((server.host.as_str(), server.port))
        .await
        .map_err(|e| Delivered::later(format!("{server}: {e}")))?;
    let _ = stream.set_nodelay(true);
    let mut talk = match server.protection {
        Protection::Tls => Talk::over(wrap(outside, server, Box::new(stream)).await?),
        Protection::None | Protection::StartTls => Talk::over(Box::new(stream)),
    };
    talk.reply().await?.wants("greeting", 220)?;
    let hello = format!("EHLO {}", outside.options.helo);
    let mut ehlo = talk.command(&hello).await?.wants("EHLO", 250)?;
    if server.protection == Protection::StartTls {
        talk.command("STARTTLS").await?.wants("STARTTLS", 220)?;
        talk = Talk::over(wrap(outside, server, talk.into_stream()?).await?);
        ehlo = talk.command(&hello).await?.wants("EHLO", 250)?;
    }
    if let Some(Login { user, password }) = login {
        let secret = STANDARD.encode(format!("\0{user}\0{password}"));
        talk.command(&format!("AUTH PLAIN {secret}")).await?.wants("AUTH", 235)?;
    }
    let extension = match to.is_ascii() {
        true => "",
        false if ehlo.offers("SMTPUTF8") => " SMTPUTF8",
        false => return Err(Delivered::refused(format!("{server} takes no address outside ASCII"))),
    };
    // RFC 5321 §4.5.5: nobody answers a report about reports.
    talk.command(&format!("MAIL FROM:<>{extension}")).await?.wants("MAIL", 250)?;
    let rcpt = talk.command(&format!("RCPT TO:<{to}>")).await?;
    if !matches!(rcpt.code, 250 | 251) {
        return Err(about_the_mail(&rcpt));
    }
    let go_on = talk.command("DATA").await?;
    if go_on.code != 354 {
        return Err(about_the_mail(&go_on));
    }
    talk.write(&dotted(message)).await?;
    let taken = talk.reply().await?;
    let delivered = about_the_mail(&taken);
    // The mail is theirs, or it is not; a farewell changes neither.
    let _ = timeout(Duration::from_secs(2), talk.command("QUIT")).await;
    Ok(delivered)
}

/// What a reply to RCPT, DATA or the mail itself means.
fn about_the_mail(reply: &Reply) -> Delivered {
    let answer = match Answer::of_smtp(reply.code) {
        // RFC 3463 §3.8: a refusal for security or policy is mostly about us (relaying, authentication).
        Answer::Refused if is_policy(reply) => Answer::Later(None),
        answer => answer,
    };
    Delivered::new(answer, reply.to_string())
}

fn is_policy(reply: &Reply) -> bool {
    reply.code == 530 || reply.lines.first().is_some_and(|line| line.starts_with(b"5.7."))
}

/// RFC 5321 §4.5.2, with the end of the mail.
fn dotted(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    let mut at_start = true;
    for &byte in message {
        if at_start && byte == b'.' {
            out.push(b'.');
        }
        at_start = byte == b'\n';
        out.push(byte);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

async fn wrap(
    outside: &Outside,
    server: &SubmitServer,
    stream: Box<dyn Stream>,
) -> Result<Box<dyn Stream>, Delivered> {
    let host = DomainName::parse(&server.host).map_err(|e| Delivered::later(e.to_string()))?;
    let recorder = Arc::new(Recorder::new());
    let shaken = outside.roots.connect(&host, &[], &recorder, stream).await;
    let faults = outside.roots.verdict(&recorder.chain(), &host, outside.clock.now());
    let stream = shaken.map_err(|e| Delivered::later(format!("{server}: TLS fails: {}", e.text)))?;
    if let Some(fault) = faults.first() {
        let why = fault_text(fault);
        return Err(Delivered::later(format!("{server}: the certificate does not hold: {why}")));
    }
    Ok(Box::new(stream))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A stream and the reader of its replies.
struct Talk {
    stream: Box<dyn Stream>,
    reader: ReplyReader,
}

impl Talk {
    fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, reader: ReplyReader::default() }
    }

    /// The bare stream for TLS: what was sent ahead of it in clear is never read as if it came through it.
    fn into_stream(self) -> Result<Box<dyn Stream>, Delivered> {
        match self.reader.is_empty() {
            true => Ok(self.stream),
            false => Err(Delivered::later("the mail server sends text ahead of TLS")),
        }
    }

    async fn command(&mut self, line: &str) -> Result<Reply, Delivered> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Delivered> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|e| Delivered::later(format!("the mail server's connection broke: {e}")))
    }

    async fn reply(&mut self) -> Result<Reply, Delivered> {
        let mut bytes = [0; MOST_LINE];
        loop {
            match self.reader.next_reply() {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(e) => return Err(Delivered::later(format!("the mail server sends {e}"))),
            }
            match self.stream.read(&mut bytes).await {
                Ok(0) => return Err(Delivered::later("the mail server closed the connection")),
                Ok(length) => self.reader.push(&bytes[..length]),
                Err(e) => return Err(Delivered::later(format!("the mail server's connection broke: {e}"))),
            }
        }
    }
}

/// A refusal before the recipient was named.
trait Wants {
    fn wants(self, what: &str, code: u16) -> Result<Reply, Delivered>;
}

impl Wants for Reply {
    fn wants(self, what: &str, code: u16) -> Result<Reply, Delivered> {
        match self.code == code {
            true => Ok(self),
            false => Err(Delivered::later(format!("our mail server answers {what} with {self}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        for (text, shown) in [
            ("smtp://127.0.0.1", "smtp://127.0.0.1:25"),
            ("smtp://[::1]:2525", "smtp://[::1]:2525"),
            ("SMTPS://mail.example/", "smtps://mail.example:465"),
            ("smtp+starttls://mail.example:25", "smtp+starttls://mail.example:25"),
        ] {
            assert_eq!(text.parse::<SubmitServer>().unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("mail.example:25", "no scheme"),
            ("http://mail.example", "another scheme"),
            ("smtp://", "no host"),
            ("smtp://a b", "no host either"),
            ("smtp://mail.example:x", "no port"),
            ("smtps://127.0.0.1", "no name for the certificate"),
            ("smtp://u@mail.example", "a login stands elsewhere"),
        ] {
            assert!(text.parse::<SubmitServer>().is_err(), "{text}: {why}");
        }
    }

    #[test]
    fn dots_are_stuffed() {
        for (message, sent) in
            [("a\r\n.b\r\n..c\r\n", "a\r\n..b\r\n...c\r\n.\r\n"), (".a", "..a\r\n.\r\n"), ("", "\r\n.\r\n")]
        {
            assert_eq!(dotted(message.as_bytes()), sent.as_bytes(), "{message:?}");
        }
    }

    #[test]
    fn replies_are_about_us_or_about_the_recipient() {
        use Answer::{Accepted, Later, Refused};
        for (code, text, answer) in [
            (250, "2.0.0 queued", Accepted),
            (550, "5.1.1 no such user", Refused),
            (554, "5.7.1 relay access denied", Later(None)),
            (530, "authentication required", Later(None)),
            (452, "4.2.2 full", Later(None)),
        ] {
            let reply = Reply { code, lines: vec![text.into()] };
            assert_eq!(about_the_mail(&reply).answer, answer, "{code} {text}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let login = Login { user: "reports".into(), password: "secret".into() };
        assert!(!format!("{login:?}").contains("secret"));
    }
}
