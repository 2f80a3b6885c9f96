//! The yardstick of audits: the same network work, done by somebody who knows every answer.
//!
//! For each domain eight questions over UDP, all sent before the first answer is read; a TLS handshake
//! and a GET with the policy host; a STARTTLS handshake with the mail server. Nothing is verified, no
//! answer is looked into.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::sender_world;
use crate::world::{Elsewhere, domain};

/// After so long without an answer the question is sent again.
const AGAIN: Duration = Duration::from_millis(100);

const A: u16 = 1;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const TLSA: u16 = 52;

/// What is needed to ask, shared by all askers.
#[derive(Clone)]
pub struct Bare {
    connector: TlsConnector,
    resolver: SocketAddr,
    policy: Arc<[SocketAddr]>,
    mx: Arc<[Ipv4Addr]>,
    smtp_port: u16,
    smtp: bool,
}

impl Bare {
    /// For this world, with mail servers or without.
    pub fn new(world: &Elsewhere, smtp: bool) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(provider)))
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            resolver: world.resolver,
            policy: world.policy.iter().map(|at| SocketAddr::from((*at, world.https_port))).collect(),
            mx: world.mx.clone().into(),
            smtp_port: world.smtp_port,
            smtp,
        })
    }

    /// Asks about the domains that one of several askers, who take turns, has to ask about.
    pub async fn ask(self, first: usize, step: usize, domains: usize) -> std::io::Result<()> {
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        udp.connect(self.resolver).await?;
        for number in (first..domains).step_by(step) {
            let name = domain(number);
            questions(&udp, number, &questions_of_an_audit(&name)).await?;
            let smtp = async { if self.smtp { self.mail_server(number, &name).await } else { Ok(()) } };
            tokio::try_join!(self.policy_host(number, &name), smtp)?;
        }
        Ok(())
    }

    /// Asks what a sender must know of the domains of a [`sender_world`]: its record, its mail servers with
    /// their addresses, and its policy.
    pub async fn ask_as_sender(self, first: usize, step: usize, domains: usize) -> std::io::Result<()> {
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        udp.connect(self.resolver).await?;
        for number in (first..domains).step_by(step) {
            let name = sender_world::domain(number);
            let asked = [
                (format!("_mta-sts.{name}"), TXT),
                (format!("mta-sts.{name}"), A),
                (name.clone(), MX),
                (sender_world::mx(number), A),
            ];
            questions(&udp, number, &asked).await?;
            self.policy_host(number, &name).await?;
        }
        Ok(())
    }

    async fn policy_host(&self, number: usize, domain: &str) -> std::io::Result<()> {
        let host = format!("mta-sts.{domain}");
        let stream = TcpStream::connect(self.policy[number % self.policy.len()]).await?;
        let mut stream = self.connector.connect(server_name(&host)?, stream).await?;
        let get =
            format!("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(get.as_bytes()).await?;
        let mut answer = Vec::with_capacity(1024);
        stream.read_to_end(&mut answer).await?;
        answer.starts_with(b"HTTP/1.1 200").then_some(()).ok_or_else(|| std::io::Error::other("no policy"))
    }

    async fn mail_server(&self, number: usize, domain: &str) -> std::io::Result<()> {
        let address = SocketAddr::from((self.mx[number % self.mx.len()], self.smtp_port));
        let mut stream = TcpStream::connect(address).await?;
        reply(&mut stream).await?;
        stream.write_all(b"EHLO bench.example\r\n").await?;
        reply(&mut stream).await?;
        stream.write_all(b"STARTTLS\r\n").await?;
        reply(&mut stream).await?;
        let mut stream = self.connector.connect(server_name(&format!("mx.{domain}"))?, stream).await?;
        stream.shutdown().await
    }
}

fn questions_of_an_audit(domain: &str) -> [(String, u16); 8] {
    [
        (format!("_mta-sts.{domain}"), TXT),
        (format!("_smtp._tls.{domain}"), TXT),
        (format!("mta-sts.{domain}"), A),
        (format!("mta-sts.{domain}"), AAAA),
        (domain.to_owned(), MX),
        (format!("mx.{domain}"), A),
        (format!("mx.{domain}"), AAAA),
        (format!("_25._tcp.mx.{domain}"), TLSA),
    ]
}

async fn questions(udp: &UdpSocket, number: usize, asked: &[(String, u16)]) -> std::io::Result<()> {
    let mut open: Vec<Vec<u8>> =
        asked.iter().enumerate().map(|(at, (name, rtype))| message(number * 8 + at, name, *rtype)).collect();
    // A full buffer of the socket loses datagrams; what got no answer is asked again.
    while !open.is_empty() {
        for message in &open {
            udp.send(message).await?;
        }
        let mut answer = [0; 4096];
        while !open.is_empty() {
            let Ok(length) = timeout(AGAIN, udp.recv(&mut answer)).await else { break };
            let length = length?;
            open.retain(|message| length < 2 || message[..2] != answer[..2]);
        }
    }
    Ok(())
}

/// A question with RD, AD, and EDNS with DO and 1232 octets.
fn message(id: usize, name: &str, rtype: u16) -> Vec<u8> {
    let [.., high, low] = id.to_be_bytes();
    let mut message = vec![high, low, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&rtype.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0]);
    message
}

fn server_name(name: &str) -> std::io::Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)
}

/// Reads until a last line of a reply has come.
async fn reply(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
    let (mut buffer, mut length) = ([0; 1024], 0);
    loop {
        let read = stream.read(&mut buffer[length..]).await?;
        length += read;
        let text = &buffer[..length];
        let last = text.strip_suffix(b"\r\n").and_then(|t| t.rsplit(|b| *b == b'\n').next());
        if last.is_some_and(|line| line.get(3) == Some(&b' ')) {
            return Ok(());
        }
        if read == 0 {
            return Err(std::io::Error::other("the mail server went away"));
        }
    }
}

#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
