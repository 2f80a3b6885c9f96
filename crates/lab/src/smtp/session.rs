//! One SMTP session (RFC 5321), as far as mail delivery needs it.

use std::net::Ipv4Addr;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Behaviour, Message, MxHosts};

const PATIENCE: Duration = Duration::from_secs(120);
const LONGEST_LINE: u64 = 4096;
const LARGEST_MESSAGE: usize = 16 << 20;

struct Acceptors {
    both: TlsAcceptor,
    only_12: TlsAcceptor,
    only_13: TlsAcceptor,
}

pub(super) async fn serve(hosts: MxHosts, address: Ipv4Addr, listener: TcpListener) {
    let acceptors = std::sync::Arc::new(Acceptors {
        both: hosts.acceptor(address, rustls::ALL_VERSIONS),
        only_12: hosts.acceptor(address, &[&TLS12]),
        only_13: hosts.acceptor(address, &[&TLS13]),
    });
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Some((name, behaviour)) = hosts.accept(address) else { return };
        let (hosts, acceptors) = (hosts.clone(), acceptors.clone());
        tokio::spawn(async move {
            let session = Session { hosts, address, name, behaviour };
            let _ = tokio::time::timeout(PATIENCE, session.run(stream, &acceptors)).await;
        });
    }
}

struct Session {
    hosts: MxHosts,
    address: Ipv4Addr,
    name: String,
    behaviour: Behaviour,
}

/// What ended the plain part of a session.
enum Plain {
    Ended,
    StartTls,
}

/// What a handshake came to.
struct Tls {
    version: &'static str,
    server_name: Option<String>,
}

type Io<T = ()> = std::io::Result<T>;

impl Session {
    async fn run(self, stream: TcpStream, acceptors: &Acceptors) -> Io {
        stream.set_nodelay(true).ok();
        let mut stream = BufReader::new(stream);
        match &self.behaviour {
            Behaviour::Silent => std::future::pending::<()>().await,
            Behaviour::Greeting(text) => {
                say(&mut stream, text).await?;
                if !text.starts_with("220") {
                    return Ok(());
                }
            }
            Behaviour::Drip => {
                for octet in format!("220 {} ESMTP\r\n", self.name).bytes() {
                    stream.write_all(&[octet]).await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            _ => say(&mut stream, &format!("220 {} ESMTP", self.name)).await?,
        }
        let Plain::StartTls = self.talk(&mut stream, None).await? else { return Ok(()) };
        match &self.behaviour {
            Behaviour::Injection(text) => {
                stream.write_all(format!("220 2.0.0 go ahead\r\n{text}\r\n").as_bytes()).await?;
            }
            _ => say(&mut stream, "220 2.0.0 go ahead").await?,
        }
        let acceptor = match &self.behaviour {
            Behaviour::DropAtHandshake => return Ok(()),
            Behaviour::Garbage => {
                stream.write_all(&[b'x'; 4096]).await?;
                return Ok(());
            }
            Behaviour::Tls12 => &acceptors.only_12,
            Behaviour::Tls13 => &acceptors.only_13,
            _ => &acceptors.both,
        };
        // What a client sent before its handshake must not be read as part of it (RFC 3207 §4.2).
        if !stream.buffer().is_empty() {
            return Ok(());
        }
        let stream = acceptor.accept(stream.into_inner()).await?;
        let agreed = stream.get_ref().1;
        let version = match agreed.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        };
        let tls = Tls { version, server_name: agreed.server_name().map(str::to_owned) };
        let mut stream = BufReader::new(stream);
        self.talk(&mut stream, Some(&tls)).await?;
        stream.shutdown().await
    }

    async fn talk<S>(&self, stream: &mut BufReader<S>, tls: Option<&Tls>) -> Io<Plain>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let blank = || Message {
            helo: String::new(),
            from: String::new(),
            to: vec![],
            tls: tls.map(|tls| tls.version.to_owned()),
            server_name: tls.and_then(|tls| tls.server_name.clone()),
            data: vec![],
        };
        let mut mail = blank();
        while let Some(line) = line(stream).await? {
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    mail = Message { helo: argument.to_owned(), ..blank() };
                    self.ehlo(stream, tls.is_some()).await?;
                }
                "HELO" => {
                    mail = Message { helo: argument.to_owned(), ..blank() };
                    say(stream, &format!("250 {}", self.name)).await?;
                }
                "STARTTLS" => match (&self.behaviour, tls) {
                    (_, Some(_)) => say(stream, "503 5.5.1 TLS is active").await?,
                    (Behaviour::NoStarttls, _) => say(stream, "502 5.5.1 not implemented").await?,
                    (Behaviour::StarttlsReply(text), _) => say(stream, text).await?,
                    _ => return Ok(Plain::StartTls),
                },
                "MAIL" => {
                    mail.from = path(argument);
                    say(stream, "250 2.1.0 sender ok").await?;
                }
                "RCPT" => match &self.behaviour {
                    Behaviour::Recipient(text) => say(stream, text).await?,
                    _ => {
                        mail.to.push(path(argument));
                        say(stream, "250 2.1.5 recipient ok").await?;
                    }
                },
                "DATA" if mail.to.is_empty() => say(stream, "503 5.5.1 no recipient").await?,
                "DATA" => {
                    say(stream, "354 end with a dot").await?;
                    let Some(data) = data(stream).await? else { return Ok(Plain::Ended) };
                    let helo = mail.helo.clone();
                    let taken = std::mem::replace(&mut mail, Message { helo, ..blank() });
                    self.hosts.keep(self.address, Message { data, ..taken });
                    say(stream, "250 2.0.0 taken").await?;
                }
                "RSET" => {
                    mail = Message { helo: mail.helo, ..blank() };
                    say(stream, "250 2.0.0 reset").await?;
                }
                "NOOP" => say(stream, "250 2.0.0 ok").await?,
                "QUIT" => {
                    say(stream, "221 2.0.0 bye").await?;
                    return Ok(Plain::Ended);
                }
                _ => say(stream, "500 5.5.2 what?").await?,
            }
        }
        Ok(Plain::Ended)
    }

    async fn ehlo(&self, stream: &mut (impl AsyncWrite + Unpin), inside_tls: bool) -> Io {
        if let Behaviour::Ehlo(text) = &self.behaviour {
            return say(stream, text).await;
        }
        if self.behaviour == Behaviour::EndlessReply {
            loop {
                say(stream, "250-MORE").await?;
            }
        }
        let mut keywords = vec![self.name.as_str(), "SIZE 16777216", "8BITMIME", "ENHANCEDSTATUSCODES"];
        if !inside_tls && self.behaviour != Behaviour::NoStarttls {
            keywords.push("STARTTLS");
        }
        let mut reply = String::new();
        for (number, keyword) in keywords.iter().enumerate() {
            let separator = if number + 1 == keywords.len() { ' ' } else { '-' };
            reply.push_str(&format!("250{separator}{keyword}\r\n"));
        }
        stream.write_all(reply.as_bytes()).await?;
        stream.flush().await
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> Io {
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    stream.flush().await
}

/// One line without its end; `None` at the end of the connection or when it is too long.
async fn line(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Io<Option<String>> {
    let mut octets = Vec::new();
    stream.take(LONGEST_LINE).read_until(b'\n', &mut octets).await?;
    if octets.pop() != Some(b'\n') {
        return Ok(None);
    }
    if octets.last() == Some(&b'\r') {
        octets.pop();
    }
    Ok(Some(String::from_utf8_lossy(&octets).into_owned()))
}

/// The mail up to the line with a single dot, dots unstuffed (RFC 5321 §4.5.2).
async fn data(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Io<Option<Vec<u8>>> {
    let mut mail = Vec::new();
    loop {
        let mut octets = Vec::new();
        stream.take(LARGEST_MESSAGE as u64).read_until(b'\n', &mut octets).await?;
        if octets == b".\r\n" {
            return Ok(Some(mail));
        }
        if !octets.ends_with(b"\n") || mail.len() + octets.len() > LARGEST_MESSAGE {
            return Ok(None);
        }
        mail.extend_from_slice(octets.strip_prefix(b".").unwrap_or(&octets));
    }
}

/// The address of `FROM:<a@b> SIZE=1`.
fn path(argument: &str) -> String {
    let inner = argument.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(address, _)| address.to_owned()).unwrap_or_default()
}
