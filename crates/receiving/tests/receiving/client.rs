//! Clients: raw bytes over TLS, and HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mailward_core::Clock;
use mailward_lab::{World, WorldClock};
use rustls::pki_types::{ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[derive(Debug)]
struct Time(Arc<WorldClock>);

impl rustls::time_provider::TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A handshake as senders make it: SNI, the world's root, the world's time.
pub async fn connect(
    world: &World,
    address: SocketAddr,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(world.ca.root()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config =
        rustls::ClientConfig::builder_with_details(provider, Arc::new(Time(world.clock.clone())))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Sends bytes and reads to the end.
pub async fn raw(world: &World, address: SocketAddr, name: &str, request: &[u8]) -> std::io::Result<String> {
    let mut stream = connect(world, address, name, &[]).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    match read {
        Ok(Err(error)) if answer.is_empty() => Err(error),
        Err(_) => Err(std::io::Error::other("no end of the answer within 20 s")),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

/// The serial of the certificate shown for a name, as DER of the leaf.
pub async fn leaf(world: &World, address: SocketAddr, name: &str) -> Option<Vec<u8>> {
    let stream = connect(world, address, name, &[]).await.ok()?;
    stream.get_ref().1.peer_certificates()?.first().map(|leaf| leaf.to_vec())
}

/// One HTTP/2 request.
pub async fn http2(
    world: &World,
    address: SocketAddr,
    name: &str,
    request: Request<Full<Bytes>>,
) -> (Response<()>, String) {
    let stream = connect(world, address, name, &["h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 is agreed on");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    drop(sender);
    driving.abort();
    (Response::from_parts(parts, ()), String::from_utf8_lossy(&body).into_owned())
}

/// One POST by HTTP/1.1; returns status and body.
pub async fn post(
    world: &World,
    address: SocketAddr,
    name: &str,
    path: &str,
    media_type: &str,
    body: &[u8],
) -> (u16, String) {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {name}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    let answer = raw(world, address, name, &request).await.unwrap();
    (status(&answer), answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}
