//! An HTTPS server that sends the bytes it is told to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What is done with a connection.
#[derive(Clone)]
pub enum Serve {
    /// After the request: these bytes, then an end.
    Http(Vec<u8>, End),
    /// Instead of TLS: these bytes, then close.
    Clear(Vec<u8>),
    /// HTTP/2 with this status, header and body.
    Http2(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Accept, and say nothing.
    Nothing,
}

/// How a connection ends.
#[derive(Clone, Copy)]
pub enum End {
    /// With close_notify.
    Properly,
    /// By closing TCP.
    Abruptly,
    /// Not at all: one byte every now and then.
    Dripping,
    /// Not at all: silence.
    Never,
}

pub struct FakeHttps {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl FakeHttps {
    pub async fn start(tls: Arc<ServerConfig>, serve: Serve) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), tls, serve).await
    }

    pub async fn start_at(address: SocketAddr, tls: Arc<ServerConfig>, serve: Serve) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let mut task = JoinSet::new();
        let (log, count) = (Arc::clone(&requests), Arc::clone(&connections));
        task.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(talk(stream, tls.clone(), serve.clone(), log.clone()));
            }
        });
        Self { address, requests, connections, _task: task }
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn talk(mut tcp: TcpStream, tls: Arc<ServerConfig>, serve: Serve, log: Arc<Mutex<Vec<String>>>) {
    match serve {
        Serve::Nothing => std::future::pending().await,
        Serve::Clear(bytes) => {
            let _ = tcp.read(&mut [0; 4096]).await;
            let _ = tcp.write_all(&bytes).await;
            // The peer reads all of it before the connection is reset.
            let _ = tcp.shutdown().await;
            let _ = tcp.read(&mut [0; 4096]).await;
        }
        Serve::Http(bytes, end) => {
            let Ok(mut stream) = TlsAcceptor::from(tls).accept(tcp).await else { return };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => return,
                }
            }
            log.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            match end {
                End::Properly => {
                    let _ = stream.shutdown().await;
                }
                End::Abruptly => {
                    // A FIN without close_notify, after everything was taken.
                    let _ = stream.get_mut().0.shutdown().await;
                    let _ = stream.get_mut().0.read(&mut [0; 4096]).await;
                }
                End::Dripping => {
                    let mut pace = tokio::time::interval(Duration::from_millis(20));
                    while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
                        pace.tick().await;
                    }
                }
                End::Never => {
                    let _ = stream.read(&mut [0; 1]).await;
                    std::future::pending().await
                }
            }
        }
        Serve::Http2(status, header, body) => {
            let Ok(stream) = TlsAcceptor::from(tls).accept(tcp).await else { return };
            let service = hyper::service::service_fn(move |request: hyper::Request<_>| {
                log.lock().unwrap().push(format!("{:?} {}", request.version(), request.uri()));
                let mut response = hyper::Response::builder().status(status);
                for (name, value) in &header {
                    response = response.header(*name, value);
                }
                let _: hyper::body::Incoming = request.into_body();
                let body = http_body_util::Full::new(hyper::body::Bytes::from(body.clone()));
                async move { response.body(body) }
            });
            let _ = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                .await;
        }
    }
}
