//! Addresses: each world has its own network 127.A.B.0/24, and never leaves loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};

/// Refuses every address that is not loopback.
///
/// # Errors
/// When it is not.
pub fn only_loopback(address: IpAddr) -> io::Result<IpAddr> {
    if address.is_loopback() {
        return Ok(address);
    }
    let why = format!("{address} is not loopback: the lab does not leave this machine");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// The ports of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Of the DNS.
    pub dns: u16,
    /// Of policy hosts.
    pub https: u16,
    /// Of MX hosts.
    pub smtp: u16,
}

impl Ports {
    /// Above 1023, so that nobody needs privileges.
    pub const UNPRIVILEGED: Self = Self { dns: 20_053, https: 20_443, smtp: 20_025 };
    /// As in the world; for use inside a network namespace.
    pub const REAL: Self = Self { dns: 53, https: 443, smtp: 25 };
}

/// The network of a world. Host 1 is the DNS; whoever has bound it owns the network.
#[derive(Debug)]
pub(crate) struct Network {
    pub a: u8,
    pub b: u8,
    next: AtomicU8,
}

impl Network {
    /// Claims a network that no other world has, by chance.
    ///
    /// # Errors
    /// When none of many is free.
    pub(crate) fn claim(ports: Ports) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..64 {
            let [a, b, ..] = random().to_be_bytes();
            let network = Self { a: 64 + a % 128, b, next: AtomicU8::new(2) };
            match network.probe(ports) {
                Ok(()) => return Ok(network),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The network with these numbers.
    ///
    /// # Errors
    /// When its ports are taken.
    pub(crate) fn fixed(a: u8, b: u8, ports: Ports) -> io::Result<Self> {
        let network = Self { a, b, next: AtomicU8::new(2) };
        network.probe(ports)?;
        Ok(network)
    }

    fn probe(&self, ports: Ports) -> io::Result<()> {
        UdpSocket::bind((self.host(1), ports.dns))?;
        for port in [ports.dns, ports.https, ports.smtp] {
            TcpListener::bind((self.host(1), port))?;
        }
        Ok(())
    }

    pub(crate) fn host(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.a, self.b, number)
    }

    /// An address that nobody in this world has yet.
    ///
    /// # Panics
    /// After 253 addresses.
    pub(crate) fn next(&self) -> Ipv4Addr {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        assert!((2..255).contains(&number), "a world has no more than 253 hosts");
        self.host(number)
    }
}

/// A listener on loopback, ready for tokio.
///
/// # Errors
/// When the address is not loopback or taken.
pub(crate) fn listen(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    only_loopback(address.ip())?;
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// Ends a listening task and waits until its socket is closed: afterwards connections are refused, and
/// the address can be bound again. Must not be called with a lock that the task takes.
pub(crate) fn close(task: &tokio::task::AbortHandle) {
    task.abort();
    // The world's own threads end the task, so this is a matter of microseconds.
    for _ in 0..100_000 {
        if task.is_finished() {
            return;
        }
        std::thread::yield_now();
    }
}

/// A number that differs from run to run; no secret.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_loopback() {
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("127.200.3.4", true),
            ("::1", true),
            ("0.0.0.0", false),
            ("192.0.2.1", false),
            ("10.0.0.1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(only_loopback(address.parse().unwrap()).is_ok(), allowed, "{address}");
        }
    }
}
