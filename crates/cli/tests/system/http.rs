//! HTTP/1 as bytes, over plain TCP and over TLS, so that a test says exactly what is sent.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// What came back.
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.head, self.body))
    }
}

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Opens a TLS connection that trusts the world's root alone.
pub fn tls(address: SocketAddr, name: &str, root_pem: &Path) -> io::Result<Tls> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root_pem).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client =
        ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, tcp(address)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(12)))?;
    Ok(stream)
}

/// One request on an open connection.
pub fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Response> {
    // A server may refuse before it has read everything; its answer counts.
    let _ = stream.write_all(request).and_then(|()| stream.flush());
    let mut bytes = vec![];
    let mut piece = [0; 16 * 1024];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&piece[..n]),
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut response = Response { status, head, body: String::new() };
    let mut body = bytes.split_off(head_end);
    let length = response.header("content-length").map(|l| l.parse::<usize>().unwrap());
    let length = if request.starts_with(b"HEAD ") { Some(0) } else { length };
    while length.is_none_or(|l| body.len() < l) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => body.extend_from_slice(&piece[..n]),
            // A close without close_notify ends a body without length.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && length.is_none() => break,
            Err(e) => return Err(e),
        }
    }
    response.body = String::from_utf8_lossy(&body).into_owned();
    Ok(response)
}

/// GET over plain HTTP, with further header lines (each ends in CRLF).
pub fn get(address: SocketAddr, path: &str, headers: &str) -> io::Result<Response> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    exchange(&mut tcp(address)?, request.as_bytes())
}

/// POST over plain HTTP.
pub fn post(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> io::Result<Response> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    exchange(&mut tcp(address)?, &request)
}
