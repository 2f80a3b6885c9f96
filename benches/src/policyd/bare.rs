//! The yardstick: a server that reads netstrings and answers each with one text.
//!
//! No table, no check of what was asked, no limit, no timer: what is left is the runtime, the kernel and
//! the frames.

use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::server::serve_until_input_ends;

/// The child: serves until its input ends.
pub fn serve(socket: &Path, answer: &str) -> Result<(), String> {
    let framed: &'static [u8] = format!("{}:{answer},", answer.len()).into_bytes().leak();
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let unix = UnixListener::bind(socket).map_err(|e| e.to_string())?;
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|e| e.to_string())?;
        let address = tcp.local_addr().map_err(|e| e.to_string())?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = unix.accept().await {
                tokio::spawn(connection(stream, framed));
            }
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(connection(stream, framed));
            }
        });
        serve_until_input_ends(&address.to_string(), |_| String::new()).await
    })
}

async fn connection(mut stream: impl AsyncRead + AsyncWrite + Unpin, framed: &[u8]) {
    let (mut requests, mut answers) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    while let Ok(1..) = stream.read_buf(&mut requests).await {
        let mut from = 0;
        while let Some(length) = frame(&requests[from..]) {
            from += length;
            answers.extend_from_slice(framed);
        }
        requests.drain(..from);
        if stream.write_all(&answers).await.is_err() {
            return;
        }
        answers.clear();
    }
}

/// The length of the netstring at the start, all in all.
fn frame(bytes: &[u8]) -> Option<usize> {
    let colon = bytes.iter().position(|b| *b == b':')?;
    let length = bytes[..colon].iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    let whole = colon + length + 2;
    (bytes.len() >= whole).then_some(whole)
}
