//! The policy host: `https://mta-sts.<domain>/.well-known/mta-sts.txt` for every domain held
//! (RFC 8461 §3.3).
//!
//! Serves bodies byte for byte as stored, from memory; never redirects, for senders must not follow.
//! Another name is refused, another path not found. What another process writes (`mailward domain
//! add`) is served within seconds.
//!
//! When I cannot know: while the database does not answer, the last policies known go on being served.
//! A sender that cannot fetch keeps what it has cached, and delivers as before.

mod policies;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};

use crate::https::{Answer, Body, Peer, Site, refusal, text};
use crate::intake::https::Endpoint;
pub use policies::Policies;

/// The one path of a policy host (RFC 8461 §3.3).
pub const POLICY_PATH: &str = "/.well-known/mta-sts.txt";

/// What a listener serves: policies, report posts, or both.
#[derive(Debug, Clone)]
pub struct PolicyHost {
    policies: Option<Policies>,
    reports: Option<Endpoint>,
}

impl PolicyHost {
    /// Serves policies, and takes report posts where an endpoint is given.
    pub fn new(policies: Policies, reports: Option<Endpoint>) -> Self {
        Self { policies: Some(policies), reports }
    }

    /// Takes report posts only (`[reports.https]` with its own listener).
    pub fn reports_only(reports: Endpoint) -> Self {
        Self { policies: None, reports: Some(reports) }
    }

    async fn decide(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let host = match named(&request, &peer) {
            Ok(host) => host,
            Err(refused) => return *refused,
        };
        let path = request.uri().path();
        if let Some(reports) = self.reports.as_ref().filter(|reports| reports.owns(path)) {
            return reports.answer(request, peer.address.ip()).await;
        }
        match &self.policies {
            Some(policies) => policy(policies, &host, request.method(), path),
            None => refusal(StatusCode::NOT_FOUND, "no-such-path", "Nothing is served at this path."),
        }
    }
}

impl Site for PolicyHost {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Answer {
        Box::pin(async move {
            let response = self.decide(request, peer).await;
            let status = response.status().as_str().to_owned();
            metrics::counter!("mailward_https_requests_total", "status" => status).increment(1);
            response
        })
    }
}

/// The name a request is for, lower case, without port. RFC 9110 §7.4: where the connection was made
/// for another name than the request asks for, the request is misdirected.
fn named<B>(request: &Request<B>, peer: &Peer) -> Result<String, Box<Response<Body>>> {
    let bad = |message: &str| Box::new(refusal(StatusCode::BAD_REQUEST, "bad-host", message));
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("The request has more than one Host."));
    }
    let written = match (request.uri().authority(), header) {
        (Some(authority), _) => Some(authority.as_str().to_owned()),
        (None, Some(value)) => Some(value.to_str().map_err(|_| bad("Host is no name."))?.to_owned()),
        (None, None) => None,
    };
    let Some(written) = written.filter(|written| !written.is_empty()) else {
        // HTTP/1.0 has no Host: the name of the connection counts (RFC 9112 §3.2 asks for it in 1.1).
        return match (&peer.server_name, request.version()) {
            (Some(name), hyper::Version::HTTP_10) => Ok(name.clone()),
            _ => Err(bad("The request names no host.")),
        };
    };
    let authority: Authority = written.parse().map_err(|_| bad("Host is no name."))?;
    let host = authority.host();
    if host.is_empty() || written.contains('@') {
        return Err(bad("Host is no name."));
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match &peer.server_name {
        Some(name) if name.trim_end_matches('.') != host => Err(Box::new(refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "This connection was made for another name than the request asks for.",
        ))),
        _ => Ok(host),
    }
}

fn policy(policies: &Policies, host: &str, method: &Method, path: &str) -> Response<Body> {
    let Some(body) = policies.body(host) else {
        return refusal(StatusCode::NOT_FOUND, "no-such-host", "No policy is served for this name.");
    };
    if path != POLICY_PATH {
        return refusal(StatusCode::NOT_FOUND, "no-such-path", "Nothing is served at this path.");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response =
            refusal(StatusCode::METHOD_NOT_ALLOWED, "method", "A policy is read with GET or HEAD.");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    metrics::counter!("mailward_policies_served_total").increment(1);
    // RFC 8461 §3.2: text/plain. hyper leaves the body out for HEAD and keeps its length.
    text(StatusCode::OK, body)
}
