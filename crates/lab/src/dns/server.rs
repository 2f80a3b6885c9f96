//! The sockets of the DNS: UDP, and TCP for what does not fit (RFC 7766).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::wire::{Encoded, Question, read_query};
use super::{Dns, Listener, Poison};

/// Datagram readers on one socket.
const READERS: usize = 2;

/// Binds UDP and TCP and answers until the runtime ends. Must be called inside a runtime.
///
/// # Errors
/// When the address is taken.
pub(crate) fn serve(dns: &Dns, listener: &Listener) -> io::Result<()> {
    let udp = std::net::UdpSocket::bind(listener.address)?;
    let tcp = std::net::TcpListener::bind(listener.address)?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    let udp = Arc::new(UdpSocket::from_std(udp)?);
    let tcp = TcpListener::from_std(tcp)?;
    for _ in 0..READERS {
        tokio::spawn(datagrams(dns.clone(), listener.poison.clone(), Arc::clone(&udp)));
    }
    tokio::spawn(connections(dns.clone(), listener.poison.clone(), tcp));
    Ok(())
}

async fn datagrams(dns: Dns, poison: Poison, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Some((id, question)) = read(&buffer[..length], from) else { continue };
        let Some(encoded) = respond(&dns, &poison, &question) else { continue };
        let fits = encoded.length() <= usize::from(question.payload);
        let response = if fits {
            encoded.complete(id, &question.section)
        } else {
            encoded.truncated(id, &question.section)
        };
        // A full socket buffer loses a datagram, as networks do.
        let _ = socket.send_to(&response, from).await;
    }
}

async fn connections(dns: Dns, poison: Poison, listener: TcpListener) {
    loop {
        let Ok((stream, from)) = listener.accept().await else { continue };
        tokio::spawn(connection(dns.clone(), poison.clone(), stream, from));
    }
}

async fn connection(dns: Dns, poison: Poison, mut stream: TcpStream, from: SocketAddr) {
    let mut buffer = Vec::new();
    while let Ok(length) = stream.read_u16().await {
        buffer.resize(usize::from(length), 0);
        if stream.read_exact(&mut buffer).await.is_err() {
            return;
        }
        let Some((id, question)) = read(&buffer, from) else { return };
        let Some(encoded) = respond(&dns, &poison, &question) else { continue };
        let response = encoded.complete(id, &question.section);
        let Ok(length) = u16::try_from(response.len()) else { return };
        let framed = [&length.to_be_bytes()[..], &response].concat();
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

fn read(octets: &[u8], from: SocketAddr) -> Option<([u8; 2], Question)> {
    if !from.ip().is_loopback() {
        return None;
    }
    let id = [*octets.first()?, *octets.get(1)?];
    Some((id, read_query(octets)?))
}

fn respond(dns: &Dns, poison: &Poison, question: &Question) -> Option<Arc<Encoded>> {
    match poison.forged(question) {
        Some(forged) => Some(Arc::new(forged)),
        None => dns.respond(question),
    }
}
