//! A mail server that follows a script, step by step, whatever the client says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// One step.
#[derive(Clone)]
pub enum Step {
    /// Send these bytes in one piece.
    Say(Vec<u8>),
    /// Wait for a line of the client.
    Hear,
    /// Wait for the first bytes of a handshake.
    HearTls,
    /// Shake hands.
    Tls(Arc<ServerConfig>),
    /// Hand everything on to this address, both ways.
    PassTo(SocketAddr),
    /// Send these bytes over and over until the client has enough.
    Flood(Vec<u8>),
    /// Send one byte at a time.
    Drip(Vec<u8>),
    /// Say nothing more and keep the connection.
    Hold,
}

pub fn say(text: impl AsRef<[u8]>) -> Step {
    Step::Say(text.as_ref().to_vec())
}

/// Greeting, EHLO with STARTTLS, 220.
pub fn until_starttls() -> Vec<Step> {
    vec![
        say("220 mx.d.test ESMTP\r\n"),
        Step::Hear,
        say("250-mx.d.test\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"),
        Step::Hear,
        say("220 go ahead\r\n"),
    ]
}

/// The usual: TLS, EHLO, QUIT.
pub fn usual(tls: Arc<ServerConfig>) -> Vec<Step> {
    let mut steps = until_starttls();
    steps.extend([Step::Tls(tls), Step::Hear, say("250 mx.d.test\r\n"), Step::Hear, say("221 bye\r\n")]);
    steps
}

pub struct FakeSmtp {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl FakeSmtp {
    pub async fn start(script: Vec<Step>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script).await
    }

    pub async fn start_at(address: SocketAddr, script: Vec<Step>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(talk(stream, script.clone(), log.clone()));
            }
        });
        Self { address, heard, _task: task }
    }

    /// The lines that the client sent, in clear and inside TLS.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn talk(mut stream: TcpStream, script: Vec<Step>, log: Arc<Mutex<Vec<String>>>) {
    let mut steps = script.into_iter();
    loop {
        match steps.next() {
            Some(Step::Tls(config)) => {
                let Ok(mut inside) = TlsAcceptor::from(config).accept(stream).await else { return };
                for step in steps.by_ref() {
                    if play(&mut inside, step, &log).await.is_none() {
                        return;
                    }
                }
                let _ = inside.shutdown().await;
                return;
            }
            Some(Step::PassTo(address)) => {
                let Ok(mut other) = TcpStream::connect(address).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
                return;
            }
            Some(step) => {
                if play(&mut stream, step, &log).await.is_none() {
                    return;
                }
            }
            None => {
                let _ = stream.shutdown().await;
                let _ = stream.read(&mut [0; 4096]).await;
                return;
            }
        }
    }
}

async fn play<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    step: Step,
    log: &Mutex<Vec<String>>,
) -> Option<()> {
    match step {
        Step::Say(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            stream.flush().await.ok()
        }
        Step::Hear => {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(stream.read_u8().await.ok()?);
            }
            log.lock().unwrap().push(String::from_utf8_lossy(&line).trim_end().to_owned());
            Some(())
        }
        Step::HearTls => stream.read(&mut [0; 4096]).await.ok().map(|_| ()),
        Step::Flood(bytes) => loop {
            stream.write_all(&bytes).await.ok()?;
        },
        Step::Drip(bytes) => {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            for byte in bytes {
                pace.tick().await;
                stream.write_all(&[byte]).await.ok()?;
                stream.flush().await.ok()?;
            }
            Some(())
        }
        Step::Hold => std::future::pending().await,
        Step::Tls(_) | Step::PassTo(_) => None,
    }
}
