//! HTTP/1.1 by hand, since the bad answers are no HTTP that a library would write.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Answer, PolicyHosts};

const LARGEST_HEAD: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
const PATH: &str = "/.well-known/mta-sts.txt";

pub(super) async fn serve(
    hosts: PolicyHosts,
    address: Ipv4Addr,
    listener: TcpListener,
    config: Arc<ServerConfig>,
) {
    let acceptor = TlsAcceptor::from(config);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        hosts.count(address);
        let (hosts, acceptor) = (hosts.clone(), acceptor.clone());
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE * 10, connection(hosts, address, stream, acceptor)).await;
        });
    }
}

async fn connection(hosts: PolicyHosts, address: Ipv4Addr, stream: TcpStream, acceptor: TlsAcceptor) {
    stream.set_nodelay(true).ok();
    let Ok(Ok(mut stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else { return };
    let Ok(Some(request)) = tokio::time::timeout(PATIENCE, read_request(&mut stream)).await else { return };
    let answer = hosts.request(&request.host, address);
    if respond(&mut stream, &request, answer).await.is_ok() {
        // close_notify, so that the end is no truncation.
        let _ = stream.shutdown().await;
    }
}

struct Request {
    method: String,
    path: String,
    host: String,
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let length = stream.read(&mut buffer).await.ok()?;
        if length == 0 || head.len() + length > LARGEST_HEAD {
            return None;
        }
        head.extend_from_slice(&buffer[..length]);
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let host = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim().split(':').next().unwrap_or_default().to_owned());
    Some(Request { method, path, host: host.unwrap_or_default() })
}

type Io = std::io::Result<()>;

async fn respond(
    stream: &mut TlsStream<TcpStream>,
    request: &Request,
    answer: Option<(Answer, String)>,
) -> Io {
    let Some((answer, body)) = answer else {
        return whole(stream, "421 Misdirected Request", "text/plain", "not served here\n").await;
    };
    if request.path != PATH {
        return whole(stream, "404 Not Found", "text/plain", "not found\n").await;
    }
    if request.method != "GET" && request.method != "HEAD" {
        return whole(stream, "405 Method Not Allowed", "text/plain", "GET only\n").await;
    }
    let body = if request.method == "HEAD" { String::new() } else { body };
    match answer {
        Answer::Ok => whole(stream, "200 OK", "text/plain", &body).await,
        Answer::Status(code) => whole(stream, &format!("{code} Other"), "text/plain", &body).await,
        Answer::Redirect(code, target) => {
            let text = format!(
                "HTTP/1.1 {code} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(text.as_bytes()).await
        }
        Answer::MediaType(media_type) => whole(stream, "200 OK", &media_type, &body).await,
        Answer::Drip => drip(stream, &body).await,
        Answer::Hang => {
            stream.write_all(head(body.len()).as_bytes()).await?;
            stream.flush().await?;
            std::future::pending().await
        }
        Answer::Oversized(size) => {
            stream.write_all(head(size).as_bytes()).await?;
            stream.write_all(&large(&body, size)).await
        }
        Answer::Chunked => chunked(stream, body.as_bytes()).await,
        Answer::OversizedChunked(size) => chunked(stream, &large(&body, size)).await,
        Answer::UntilClose => {
            let text =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).await
        }
        Answer::CutOff => {
            stream.write_all(head(body.len() + 20).as_bytes()).await?;
            stream.write_all(body.as_bytes()).await
        }
        Answer::Encoded => {
            let text = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).await
        }
        Answer::Raw(text) => stream.write_all(text.as_bytes()).await,
        Answer::EndlessHeaders => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            for number in 0u64.. {
                stream.write_all(format!("X-Header-{number}: {number}\r\n").as_bytes()).await?;
            }
            Ok(())
        }
    }
}

fn head(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

async fn whole(stream: &mut (impl AsyncWrite + Unpin), status: &str, media_type: &str, body: &str) -> Io {
    let media_type =
        if media_type.is_empty() { String::new() } else { format!("Content-Type: {media_type}\r\n") };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\n{media_type}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin), body: &str) -> Io {
    stream.write_all(head(body.len()).as_bytes()).await?;
    for two in body.as_bytes().chunks(2) {
        stream.write_all(two).await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn chunked(stream: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> Io {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for chunk in body.chunks(4096) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
        stream.write_all(chunk).await?;
        stream.write_all(b"\r\n").await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}

/// The policy, filled up with unknown fields.
fn large(body: &str, size: usize) -> Vec<u8> {
    let mut octets = body.as_bytes().to_vec();
    while octets.len() < size {
        octets.extend_from_slice(b"filling: more of it\n");
    }
    octets.truncate(size);
    octets
}
