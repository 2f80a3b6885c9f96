//! An HTTPS endpoint at an address of its own, port 8443, which takes every POST; and a mail server that
//! greets and then only listens.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use mailward_lab::{CertificateKind, World};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// It ends with the process.
pub struct Endpoint {
    counts: Arc<[AtomicU32; 2]>,
}

impl Endpoint {
    pub fn start(world: &World, address: &str, name: &str) -> Self {
        let identity = world.ca.issue(&[name], CertificateKind::Good);
        let pem = identity.certificate_pem();
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.unwrap(), key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind(format!("{address}:8443")).unwrap();
        let counts: Arc<[AtomicU32; 2]> = Arc::default();
        let counted = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted[0].fetch_add(1, Ordering::SeqCst);
                if take(stream, &config).is_some() {
                    counted[1].fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { counts }
    }

    pub fn connections(&self) -> u32 {
        self.counts[0].load(Ordering::SeqCst)
    }

    /// Whole requests.
    pub fn posts(&self) -> u32 {
        self.counts[1].load(Ordering::SeqCst)
    }
}

fn take(stream: TcpStream, config: &Arc<ServerConfig>) -> Option<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).ok()?, stream);
    let mut request = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).ok().filter(|length| *length > 0)?;
        request.extend_from_slice(&bytes[..length]);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let body = request.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let announced = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
        if request.len() >= body + announced {
            break;
        }
    }
    stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

/// It ends with the process.
pub struct Listener {
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Listener {
    pub fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.write_all(b"220 mail\r\n");
                let mut bytes = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    all.lock().unwrap().extend_from_slice(&bytes[..length]);
                    let _ = stream.write_all(b"250-mail\r\n250 AUTH PLAIN\r\n");
                }
            }
        });
        Self { heard }
    }

    /// Everything that was said to it.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}
