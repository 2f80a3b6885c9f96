//! Posts a report to an address that a stranger's record names (RFC 8460 §5.4): HTTPS only, one deadline,
//! and never an address inside. A host that is an address falls under the rule of addresses that a name
//! leads to, and its certificate must hold for the address.
//!
//! Every status but 2xx is a failure. 307 and 308 are followed once, to https on the same host: RFC 8460
//! says nothing of redirects, and another host would be somebody whom the record did not name. The
//! certificate must hold, as for a policy host: RFC 8460 §5.4 allows to go on without, which would hand
//! the report to whoever stands in the way.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, LOCATION, RETRY_AFTER};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use mailward_core::DomainName;
use mailward_core::tlsrpt::outgoing::Answer;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::tls::{Offer, Peer, Recorder, fault_text};
use crate::{Outside, connect};

/// For everything, a redirect included.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of the answer that are read at all.
const MOST_ANSWER: usize = 2_048;
/// Characters of it that are kept.
const MOST_SHOWN: usize = 255;
const MOST_HEADER: usize = 16 * 1024;
const MOST_FIELDS: usize = 100;

/// What a delivery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// What the answer means.
    pub answer: Answer,
    /// The answer itself, in one line of bounded length.
    pub text: String,
}

impl Delivered {
    pub(crate) fn new(answer: Answer, text: impl Into<String>) -> Self {
        let text: String = text.into();
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = line.chars().filter(|c| !c.is_control()).take(MOST_SHOWN).collect();
        Self { answer, text: shown }
    }

    pub(crate) fn later(text: impl Into<String>) -> Self {
        Self::new(Answer::Later(None), text)
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::new(Answer::Refused, text)
    }
}

/// Posts `body` as `media_type`, without a Content-Encoding (RFC 8460 §5.4: the type says it is gzip).
pub async fn post(outside: &Outside, uri: &str, media_type: &str, body: Vec<u8>) -> Delivered {
    let until = Instant::now() + DEADLINE;
    match timeout_at(until, follow(outside, uri, media_type, body.into())).await {
        Ok(delivered) => delivered,
        Err(_) => Delivered::later(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

async fn follow(outside: &Outside, uri: &str, media_type: &str, body: Bytes) -> Delivered {
    let first = match Target::parse(uri, outside.options.https_port) {
        Ok(target) => target,
        Err(why) => return Delivered::refused(why),
    };
    let answer = match once(outside, &first, media_type, body.clone()).await {
        Ok(answer) => answer,
        Err(delivered) => return delivered,
    };
    let Some(location) = answer.location.as_deref().filter(|_| matches!(answer.status, 307 | 308)) else {
        return answer.delivered();
    };
    let next = match first.redirected(location, outside.options.https_port) {
        Ok(target) => target,
        Err(why) => return Delivered::refused(format!("{} to {location}: {why}", answer.status)),
    };
    match once(outside, &next, media_type, body).await {
        Ok(again) if matches!(again.status, 307 | 308) => {
            Delivered::refused(format!("{} after a redirect; one is followed", again.status))
        }
        Ok(again) => again.delivered(),
        Err(delivered) => delivered,
    }
}

/// A parsed address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    host: Peer,
    port: u16,
    path: String,
}

impl Target {
    fn parse(uri: &str, default_port: u16) -> Result<Self, String> {
        let uri = uri.split('#').next().unwrap_or_default();
        let parsed: Uri = uri.parse().map_err(|e| format!("{uri} cannot be asked: {e}"))?;
        if parsed.scheme_str().is_none_or(|scheme| !scheme.eq_ignore_ascii_case("https")) {
            return Err(format!("{uri} is not https"));
        }
        if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(format!("{uri} has a login"));
        }
        let host = peer(parsed.host().unwrap_or_default())?;
        let path = parsed.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { host, port: parsed.port_u16().unwrap_or(default_port), path: path.to_owned() })
    }

    fn redirected(&self, location: &str, default_port: u16) -> Result<Self, String> {
        if location.starts_with('/') && !location.starts_with("//") {
            let path = location.split('#').next().unwrap_or_default().to_owned();
            return Ok(Self { path, ..self.clone() });
        }
        let next = Self::parse(location, default_port)?;
        if next.host == self.host { Ok(next) } else { Err("another host; not followed".to_owned()) }
    }

    fn authority(&self) -> String {
        let host = match &self.host {
            Peer::Address(IpAddr::V6(address)) => format!("[{address}]"),
            other => other.to_string(),
        };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

/// The host of a URI (RFC 3986 §3.2.2).
fn peer(host: &str) -> Result<Peer, String> {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = literal.unwrap_or(host).parse::<IpAddr>() {
        return Ok(Peer::Address(address));
    }
    // Resolvers of operating systems take 127.1, 2130706433 and 0x7f.0.0.1 for addresses. Ours does not,
    // and no top-level domain looks like it.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.to_ascii_lowercase().starts_with("0x");
    if hexadecimal || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!(
            "{host:?} is neither a name nor an address: an IPv4 address is four decimal numbers"
        ));
    }
    DomainName::parse(host).map(Peer::Name).map_err(|e| format!("{host:?}: {e}"))
}

/// What came back.
struct Reply {
    status: u16,
    retry_after: Option<SignedDuration>,
    location: Option<String>,
    text: String,
}

impl Reply {
    fn delivered(&self) -> Delivered {
        let answer = Answer::of_http(self.status, self.retry_after);
        Delivered::new(answer, format!("{} {}", self.status, self.text))
    }
}

async fn once(outside: &Outside, target: &Target, media_type: &str, body: Bytes) -> Result<Reply, Delivered> {
    let addresses = resolve(outside, &target.host).await?;
    let (stream, address) =
        connect::first_of(outside, &addresses, target.port).await.map_err(|refused| match refused {
            connect::Refused::Private(list) => {
                Delivered::refused(format!("only private or reserved addresses ({list}); not connected to"))
            }
            connect::Refused::All(errors) => Delivered::later(format!("no connection: {errors}")),
        })?;
    let recorder = Arc::new(Recorder::new());
    let shaken = outside.roots.connect_to(&target.host, Offer::Endpoint, &recorder, stream).await;
    let chain = recorder.chain();
    if !chain.is_empty() {
        let faults = outside.roots.verdict_on(&chain, &target.host, outside.clock.now());
        if !faults.is_empty() {
            let words: Vec<String> = faults.iter().map(fault_text).collect();
            // They may mend it within the day.
            return Err(Delivered::later(format!(
                "the certificate at {address} does not hold: {}",
                words.join("; ")
            )));
        }
    }
    let stream = shaken.map_err(|e| Delivered::later(format!("TLS with {address} fails: {}", e.text)))?;
    let request = Request::post(target.path.as_str())
        .header("host", target.authority())
        .header("user-agent", concat!("mailward/", env!("CARGO_PKG_VERSION")))
        .header("content-type", media_type)
        .body(Full::new(body))
        .map_err(|e| Delivered::refused(format!("cannot be asked: {e}")))?;
    send(stream, request, outside.clock.now())
        .await
        .map_err(|e| Delivered::later(format!("{address} does not answer in HTTP: {e}")))
}

/// Where a host is. Whether its addresses may be connected to is judged right before that is done.
async fn resolve(outside: &Outside, host: &Peer) -> Result<Vec<IpAddr>, Delivered> {
    let name = match host {
        Peer::Address(address) => return Ok(vec![*address]),
        Peer::Name(name) => name,
    };
    let (v4, v6) = tokio::join!(outside.resolver.ipv4(name), outside.resolver.ipv6(name));
    let found: Vec<IpAddr> =
        [&v6, &v4].into_iter().flatten().flat_map(|answer| answer.records.clone()).collect();
    match (found.is_empty(), v4, v6) {
        (false, ..) => Ok(found),
        (true, Err(e), _) | (true, _, Err(e)) => Err(Delivered::later(format!("{name}: {e}"))),
        (true, Ok(_), Ok(_)) => Err(Delivered::later(format!("{name} has no address"))),
    }
}

async fn send(
    stream: TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
    now: Timestamp,
) -> hyper::Result<Reply> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(MOST_FIELDS)
        .max_header_size(MOST_HEADER)
        .max_buf_size(2 * MOST_HEADER)
        .handshake(TokioIo::new(stream))
        .await?;
    let work = async { Ok::<_, hyper::Error>(read(sender.send_request(request).await?, now).await) };
    tokio::pin!(work, connection);
    let mut over = false;
    loop {
        tokio::select! {
            biased;
            reply = &mut work => return reply,
            // When it ends, the work learns why.
            _ = &mut connection, if !over => over = true,
        }
    }
}

async fn read(response: Response<Incoming>, now: Timestamp) -> Reply {
    let status = response.status().as_u16();
    let header = |headers: &HeaderMap, name| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let retry_after = header(response.headers(), &RETRY_AFTER).and_then(|text| pause(&text, now));
    let location = header(response.headers(), &LOCATION);
    let mut text = Vec::new();
    let mut incoming = response.into_body();
    // The status stands already: whatever happens to the body does not change it.
    while let Some(Ok(frame)) = incoming.frame().await {
        let Ok(data) = frame.into_data() else { break };
        text.extend_from_slice(&data[..data.len().min(MOST_ANSWER - text.len())]);
        if text.len() == MOST_ANSWER {
            break;
        }
    }
    Reply { status, retry_after, location, text: String::from_utf8_lossy(&text).into_owned() }
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn pause(text: &str, now: Timestamp) -> Option<SignedDuration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(SignedDuration::from_secs(i64::from(seconds)));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(at.duration_since(now).max(SignedDuration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (uri, authority, path) in [
            ("https://R.example/v1?x=1", "r.example", "/v1?x=1"),
            ("HTTPS://r.example", "r.example", "/"),
            ("https://r.example:8443/a#b", "r.example:8443", "/a"),
            ("https://[2001:DB8::1]/x", "[2001:db8::1]", "/x"),
            ("https://192.0.2.1:8443/x", "192.0.2.1:8443", "/x"),
            ("https://0x.example/x", "0x.example", "/x"),
        ] {
            let target = Target::parse(uri, 443).unwrap();
            assert_eq!((target.authority().as_str(), target.path.as_str()), (authority, path), "{uri}");
        }
        for (uri, why) in [
            ("http://r.example/", "not https"),
            ("https://u:p@r.example/", "a login"),
            ("https:///x", "no host"),
            ("https://127.1/", "an address in short"),
            ("https://2130706433/", "an address as one number"),
            ("https://0177.0.0.1/", "an address in octal"),
            ("https://0x7f.0.0.1/", "an address in hexadecimal"),
            ("https://0x7f000001/", "the same as one number"),
            ("https://0X7F000001./", "and with a final dot"),
            ("https://127.0.0.1./", "an address with a final dot"),
            ("https://[fe80::1%25eth0]/", "an address with a zone"),
            ("https://[127.0.0.1/", "half a bracket"),
            ("r.example", "no scheme"),
        ] {
            assert!(Target::parse(uri, 443).is_err(), "{uri}: {why}");
        }
    }

    #[test]
    fn redirects_stay_on_the_host() {
        let first = Target::parse("https://r.example/a", 443).unwrap();
        for (location, path) in
            [("/b", "/b"), ("https://r.example:8443/c", "/c"), ("https://R.EXAMPLE/d", "/d")]
        {
            assert_eq!(first.redirected(location, 443).unwrap().path, path, "{location}");
        }
        for location in [
            "https://other.example/b",
            "https://127.0.0.1/b",
            "http://r.example/b",
            "//other.example/b",
            "b",
            "",
        ] {
            assert!(first.redirected(location, 443).is_err(), "{location}");
        }
    }

    #[test]
    fn pauses_are_seconds_or_dates() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 01 Mar 2026 01:00:00 GMT", Some(3600)),
            ("Sat, 28 Feb 2026 01:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(pause(text, now).map(|p| p.as_secs()), seconds, "{text}");
        }
    }

    #[test]
    fn answers_are_one_bounded_line() {
        let long = format!("a\r\nb\u{1b}[31m {}", "x".repeat(900));
        let text = Delivered::later(long).text;
        assert!(text.starts_with("a b[31m x") && text.chars().count() == 255, "{text}");
    }
}
