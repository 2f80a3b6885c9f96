//! Just enough HTTP to fetch a policy and to post a report.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mailward_core::tlsrpt::ResultType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Surroundings;
use super::tls::{self, Failure};
use crate::address::only_loopback;

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    pub status: u16,
    pub media_type: Option<String>,
    pub body: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(10);
/// RFC 8461 §3.3 suggests 64 KiB for a policy.
const LARGEST: usize = 64 * 1024;

/// Which certificate is good enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Only a valid one (RFC 8461 §3.3).
    Valid,
    /// Any: reports must arrive also where TLS is what is broken (RFC 8460 §5.4).
    Any,
}

/// Sends a request to the first address that takes the connection.
pub(super) async fn exchange(
    surroundings: &Surroundings,
    host: &str,
    addresses: &[IpAddr],
    port: u16,
    request: &[u8],
    trust: Trust,
) -> Result<Response, Failure> {
    let fetch_error = |reason: String| Failure::new(ResultType::StsPolicyFetchError, reason);
    let work = async {
        let stream = open(addresses, port).await.map_err(|e| fetch_error(format!("connect: {e}")))?;
        let (mut stream, fault) =
            tls::connect(surroundings, stream, host).await.map_err(|e| fetch_error(format!("tls: {e}")))?;
        if let (Trust::Valid, Some(fault)) = (trust, fault) {
            let reason = fault.reason.unwrap_or_else(|| fault.result_type.to_string());
            return Err(Failure::new(ResultType::StsWebpkiInvalid, reason));
        }
        stream.write_all(request).await.map_err(|e| fetch_error(e.to_string()))?;
        let mut octets = Vec::new();
        let read = (&mut stream).take(LARGEST as u64 + 16_384).read_to_end(&mut octets).await;
        let response = parse(&octets);
        match (read, response) {
            (_, Some(response)) if response.body.len() > LARGEST => Err(fetch_error("too-large".into())),
            (_, Some(response)) => Ok(response),
            (Err(error), None) => Err(fetch_error(format!("http: {error}"))),
            (Ok(_), None) => Err(fetch_error("http: no complete response".into())),
        }
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(fetch_error("timeout".into())))
}

async fn open(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in addresses {
        only_loopback(*address)?;
        match TcpStream::connect(SocketAddr::from((*address, port))).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A response with a stated length, chunked, or ended by closing.
fn parse(octets: &[u8]) -> Option<Response> {
    let end = octets.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(octets.get(..end)?).ok()?;
    let rest = octets.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let field = |wanted: &str| {
        head.split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim().to_owned())
    };
    let body = if let Some(length) = field("content-length") {
        rest.get(..length.parse::<usize>().ok()?.min(LARGEST + 1))?.to_vec()
    } else if field("transfer-encoding").is_some() {
        dechunked(rest)?
    } else {
        rest.to_vec()
    };
    Some(Response { status, media_type: field("content-type"), body })
}

fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(rest.get(..end)?).ok()?.trim(), 16).ok()?;
        if size == 0 || body.len() > LARGEST {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}
