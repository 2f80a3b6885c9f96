//! An endpoint for reports: HTTPS by hand, with the answers that a test gives it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mailward_lab::{CertificateKind, World};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

pub struct Endpoint {
    answers: Arc<Mutex<VecDeque<String>>>,
    requests: Requests,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Endpoint {
    pub async fn start(world: &World, name: &str) -> Self {
        Self::with(world, name, CertificateKind::Good).await
    }

    pub async fn with(world: &World, name: &str, kind: CertificateKind) -> Self {
        let identity = world.ca.issue(&[name], kind);
        let chain = CertificateDer::pem_slice_iter(identity.certificate_pem().as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let address = world.address();
        world.set(name, "A", &[&address.to_string()]).unwrap();
        let listener = TcpListener::bind(SocketAddr::from((address, world.https_port))).await.unwrap();
        let answers: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let requests = Requests::default();
        let (next, seen) = (Arc::clone(&answers), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let Some(request) = read(&mut stream).await else { continue };
                seen.lock().unwrap().push(request);
                let answer = next.lock().unwrap().pop_front();
                let answer =
                    answer.unwrap_or_else(|| "HTTP/1.1 500 Untold\r\nContent-Length: 0\r\n\r\n".into());
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        Self { answers, requests, task }
    }

    /// The next answer.
    pub fn answer(&self, status: &str, header: &str, body: &str) {
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\n\r\n{body}");
        self.answers.lock().unwrap().push_back(text);
    }

    /// Head and body of each request.
    pub fn requests(&self) -> Vec<(String, Vec<u8>)> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.to_ascii_lowercase();
            let length =
                length.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
            if bytes.len() >= end + length {
                return Some((head, bytes[end..end + length].to_vec()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
