//! One GET over an established TLS connection, with every limit that RFC 8461 §3.3 and caution ask for.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::FutureExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mailward_core::facts::FetchCause;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Failure;

/// RFC 8461 §3.3 suggests 64 KiB.
const MOST_BODY: usize = 65_536;
/// Bytes of the header block, status line included.
const MOST_HEADER: usize = 16 * 1024;
/// Header fields.
const MOST_FIELDS: usize = 100;

/// What was served.
pub(super) struct Served {
    pub(super) body: Vec<u8>,
    pub(super) content_type: Option<String>,
}

/// Gets `path`; says where it is through `enter` ("reading the body from").
pub(super) async fn get(
    stream: TlsStream<TcpStream>,
    authority: &str,
    path: &str,
    enter: impl Fn(&str),
) -> Result<Served, Failure> {
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let request = |target: String, version: Version| {
        Request::get(target)
            .version(version)
            .header("host", authority)
            .header("user-agent", concat!("mailward/", env!("CARGO_PKG_VERSION")))
            .header("accept", "text/plain")
            // RFC 8461 asks for no encoding; a body that unpacks to gigabytes is never unpacked.
            .header("accept-encoding", "identity")
            .body(Empty::<Bytes>::new())
            .map_err(|e| (FetchCause::Http(e.to_string()), format!("cannot be asked: {e}")))
    };
    if h2 {
        let mut request = request(format!("https://{authority}{path}"), Version::HTTP_2)?;
        // The authority is in the target already (RFC 9113 §8.3.1).
        request.headers_mut().remove("host");
        let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(MOST_HEADER as u32)
            .initial_stream_window_size(MOST_BODY as u32 + 1)
            .initial_connection_window_size(MOST_BODY as u32 + 1)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(http_failure)?;
        while_driven(connection, async { served(sender.send_request(request).await, enter).await }).await
    } else {
        let request = request(path.to_owned(), Version::HTTP_11)?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_headers(MOST_FIELDS)
            .max_header_size(MOST_HEADER)
            .max_buf_size(2 * MOST_HEADER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(http_failure)?;
        while_driven(connection, async { served(sender.send_request(request).await, enter).await }).await
    }
}

/// What comes of `work`, with the connection that it needs driven in the same task: an audit wakes no other
/// thread for it, and both end together.
async fn while_driven<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let (mut connection, mut work) = (pin!(connection.fuse()), pin!(work));
    poll_fn(|context| {
        if let Poll::Ready(outcome) = work.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        // When it ends, the work learns why. What it does for the work wakes this task.
        let _ = connection.as_mut().poll(context);
        Poll::Pending
    })
    .await
}

async fn served(
    response: hyper::Result<Response<Incoming>>,
    enter: impl Fn(&str),
) -> Result<Served, Failure> {
    let response = response.map_err(http_failure)?;
    let content_type = acceptable(&response)?;
    enter("reading the body from");
    let body = read_body(response.into_body()).await?;
    Ok(Served { body, content_type: Some(content_type) })
}

/// Whether status and header allow the body to be a policy; gives the media type as sent.
fn acceptable(response: &Response<Incoming>) -> Result<String, Failure> {
    let (status, headers) = (response.status(), response.headers());
    if headers.len() > MOST_FIELDS {
        return Err((FetchCause::TooLarge, format!("sends more than {MOST_FIELDS} header fields")));
    }
    // RFC 8461 §3.3: 200 only, redirects must not be followed.
    if status != StatusCode::OK {
        let code = status.as_u16();
        let target = first(headers, &LOCATION).filter(|_| matches!(code, 301 | 302 | 303 | 307 | 308));
        return Err(match target {
            Some(to) => (
                FetchCause::Redirect(code, to.clone()),
                format!("answers {code}, a redirect to {to}; redirects are not followed"),
            ),
            None => (FetchCause::Status(code), format!("answers {code} instead of 200")),
        });
    }
    let encoding = |name: &HeaderName, plain: &str| {
        let values = headers.get_all(name).iter().map(|v| printable(v.as_bytes()));
        values.into_iter().find(|v| !v.trim().eq_ignore_ascii_case(plain))
    };
    let encoded = encoding(&CONTENT_ENCODING, "identity").or_else(|| encoding(&TRANSFER_ENCODING, "chunked"));
    if let Some(value) = encoded {
        let detail = format!("encodes the body as {value:?} although asked not to");
        return Err((FetchCause::Encoding(value), detail));
    }
    // RFC 8461 §3.2: "text/plain"; parameters do not matter. Two fields that differ are no media type.
    let types: Vec<String> = headers.get_all(CONTENT_TYPE).iter().map(|v| printable(v.as_bytes())).collect();
    match types.as_slice() {
        [] => Err((FetchCause::MediaType(None), "sends no media type; it must be text/plain".into())),
        [one, rest @ ..] if is_text_plain(one) && rest.iter().all(|t| is_text_plain(t)) => Ok(one.clone()),
        all => {
            let sent = all.join(", ");
            let detail = format!("sends the media type {sent:?}; it must be text/plain");
            Err((FetchCause::MediaType(Some(sent)), detail))
        }
    }
}

fn is_text_plain(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain")
}

async fn read_body(mut incoming: Incoming) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|e| {
            let why = chain_of(&e);
            let detail = format!("ends the body early, after {} bytes: {why}", body.len());
            (FetchCause::Http(format!("truncated: {why}")), detail)
        })?;
        if let Ok(data) = frame.into_data() {
            // Counted before it is kept, whatever Content-Length said.
            if body.len() + data.len() > MOST_BODY {
                return Err((FetchCause::TooLarge, format!("sends more than {MOST_BODY} bytes")));
            }
            body.extend_from_slice(&data);
        }
    }
    Ok(body)
}

fn http_failure(error: hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        let detail = format!("sends more than {MOST_HEADER} bytes or {MOST_FIELDS} fields of header");
        return (FetchCause::TooLarge, detail);
    }
    let why = chain_of(&error);
    (FetchCause::Http(why.clone()), format!("does not answer in HTTP: {why}"))
}

/// The error and what is behind it.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = e.source();
    }
    text
}

fn first(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|v| printable(v.as_bytes()))
}

/// A header value on one line, of bounded length.
fn printable(value: &[u8]) -> String {
    value[..value.len().min(255)].escape_ascii().to_string().replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for (text, good) in [
            ("text/plain", true),
            ("Text/PLAIN", true),
            ("text/plain; charset=utf-8", true),
            ("text/plain;foo=bar", true),
            (" text/plain ;", true),
            ("text/html", false),
            ("text/plainly", false),
            ("text", false),
            ("", false),
            ("application/octet-stream; text/plain", false),
        ] {
            assert_eq!(is_text_plain(text), good, "{text}");
        }
    }

    #[test]
    fn values_are_shown_on_one_line() {
        for (value, shown) in
            [(&b"https://a.example/\"x\""[..], "https://a.example/\"x\""), (b"a\tb\xff\x1b", r"a\tb\xff\x1b")]
        {
            assert_eq!(printable(value), shown);
        }
        assert_eq!(printable(&[b'a'; 300]).len(), 255);
    }
}
