//! Answers in two forms: plain text for policies, one JSON object for everything refused.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

/// The body of an answer: whole and in memory.
pub type Body = Full<Bytes>;

/// An answer of plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    with_type(status, "text/plain; charset=utf-8", body.into())
}

/// A refusal: `mailward.error/1` with a word for programs and a sentence for people.
pub fn refusal(status: StatusCode, error: &str, message: &str) -> Response<Body> {
    json(
        status,
        &serde_json::json!({
            "schema": "mailward.error/1",
            "status": status.as_u16(),
            "error": error,
            "message": message,
        }),
    )
}

/// An answer of one JSON object.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut body = value.to_string();
    body.push('\n');
    with_type(status, "application/json", body.into())
}

fn with_type(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
