//! TCP connections to addresses that strangers' records name.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Outside;
use crate::address::is_public;

/// How long one address may take before the next is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);
/// How long one address may take at all.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses tried.
const MOST_ADDRESSES: usize = 8;

/// Why no address could be connected to.
#[derive(Debug)]
pub(crate) enum Refused {
    /// None of these is public, and others are not allowed.
    Private(String),
    /// Each with its error.
    All(String),
}

/// Whether `address` may be connected to.
pub(crate) fn is_allowed(outside: &Outside, address: IpAddr) -> bool {
    outside.options.allow_private_addresses || is_public(address)
}

/// The first of these addresses that accepts a connection. They are tried in turn, families taking
/// turns, the next one early when one is slow (RFC 8305).
pub(crate) async fn first_of(
    outside: &Outside,
    addresses: &[IpAddr],
    port: u16,
) -> Result<(TcpStream, IpAddr), Refused> {
    let allowed: Vec<IpAddr> = addresses.iter().copied().filter(|a| is_allowed(outside, *a)).collect();
    if allowed.is_empty() {
        return Err(Refused::Private(join(addresses.iter().take(MOST_ADDRESSES))));
    }
    let mut waiting = by_turns(&allowed, MOST_ADDRESSES).into_iter();
    let mut running = FuturesUnordered::new();
    let mut errors = Vec::new();
    let mut next_at = Instant::now();
    loop {
        if running.is_empty() || Instant::now() >= next_at {
            match waiting.next() {
                Some(address) => {
                    running.push(dial(address, port));
                    next_at = Instant::now() + STAGGER;
                }
                None if running.is_empty() => return Err(Refused::All(errors.join(", "))),
                None => {}
            }
        }
        tokio::select! {
            Some((address, result)) = running.next() => match result {
                Ok(stream) => return Ok((stream, address)),
                Err(e) => {
                    errors.push(format!("{address}: {e}"));
                    // A refusal is an answer: no need to wait for the next.
                    next_at = Instant::now();
                }
            },
            () = sleep_until(next_at), if waiting.len() > 0 => {}
        }
    }
}

/// Connects, and sends what is written at once: TLS ends its handshake with a write of its own, and a
/// request held back behind it waits for the peer's delayed acknowledgement, 40 ms each time.
pub(crate) async fn open(target: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn dial(address: IpAddr, port: u16) -> (IpAddr, Result<TcpStream, String>) {
    let result = match timeout(CONNECT, open(SocketAddr::new(address, port))).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", CONNECT.as_secs())),
    };
    (address, result)
}

/// The first `most` addresses with the families taking turns, each in the order given; IPv6 begins.
pub(crate) fn by_turns(addresses: &[IpAddr], most: usize) -> Vec<IpAddr> {
    let (mut v6, mut v4): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().copied().partition(IpAddr::is_ipv6);
    let mut turns = Vec::with_capacity(most + 1);
    v6.reverse();
    v4.reverse();
    while turns.len() < most && !(v6.is_empty() && v4.is_empty()) {
        turns.extend(v6.pop());
        turns.extend(v4.pop());
    }
    turns.truncate(most);
    turns
}

fn join<'a>(addresses: impl Iterator<Item = &'a IpAddr>) -> String {
    addresses.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        for (given, tried) in [
            (&["192.0.2.1", "192.0.2.2", "2001:db8::1"][..], &["2001:db8::1", "192.0.2.1", "192.0.2.2"][..]),
            (&["192.0.2.1"], &["192.0.2.1"]),
            (&["2001:db8::1", "2001:db8::2"], &["2001:db8::1", "2001:db8::2"]),
        ] {
            let given: Vec<IpAddr> = given.iter().map(|a| a.parse().unwrap()).collect();
            let shown: Vec<String> = by_turns(&given, 5).iter().map(ToString::to_string).collect();
            assert_eq!(shown, tried);
        }
        let many: Vec<IpAddr> = (0..100).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        assert_eq!(by_turns(&many, MOST_ADDRESSES).len(), MOST_ADDRESSES);
    }
}
