//! Reports posted by HTTPS (RFC 8460 §3, §5.4).
//!
//! `POST /v1/tls-rpt` with `application/tlsrpt+gzip` or `application/tlsrpt+json`: 201 when stored
//! durably, 200 when it was there already. A post proves nothing about its sender, so it is kept as
//! unauthenticated; a path with a token behind it (`/v1/tls-rpt/TOKEN`) names a source that the
//! operator trusts.
//!
//! What a client sends is never answered with a 5xx: what cannot be read is set aside in quarantine
//! (where small) and refused with its reason. 503 is kept for a database that does not answer; the
//! client then tries again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use mailward_core::Finding;
use mailward_store::reports::{Content, IncomingItem};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::rate::Rate;
use super::{Admission, Arrival, Intake, IntakeError, Outcome, Source};
use crate::https::{Body, refusal, source};

/// The path when none is configured.
pub const DEFAULT_PATH: &str = "/v1/tls-rpt";
/// Bytes of one body (as sent, compressed or not).
pub const BODY_LIMIT: usize = 10 << 20;
/// All bodies held in memory at once, in KiB.
const BODIES_KIB: usize = 96 << 10;
/// Between two pieces of a body.
const BODY_PAUSE: Duration = Duration::from_secs(8);
/// For a whole body.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Bytes read on after a refusal, and for how long.
const DISCARDED: usize = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(5);
/// For reading and storing.
const WORK_TIME: Duration = Duration::from_secs(9);

/// Rates and sources trusted: `[reports.https]` of the configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// Path of the endpoint.
    pub path: String,
    /// Sources the operator trusts: the token in the path, and the name to show.
    pub trusted: Vec<TrustedSource>,
    /// Posts a minute from one address (IPv6: one /64).
    pub per_address_minute: u32,
    /// Reports an hour of one submitter from one address.
    pub per_submitter_hour: u32,
    /// Whether the two rates hold for loopback too. By default they do not: a proxy in front makes
    /// everybody come from there.
    pub limit_loopback: bool,
    /// KiB an hour of unreadable posts that are kept in quarantine, over all sources.
    pub garbage_kib_hour: u32,
}

/// A source that the operator trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedSource {
    /// Shown with its reports.
    pub name: String,
    /// What stands behind the path.
    pub token: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: DEFAULT_PATH.to_owned(),
            trusted: Vec::new(),
            per_address_minute: 60,
            per_submitter_hour: 600,
            limit_loopback: false,
            garbage_kib_hour: 32 << 10,
        }
    }
}

/// The endpoint. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    intake: Intake,
    options: Options,
    addresses: Rate<IpAddr>,
    submitters: Rate<(IpAddr, String)>,
    garbage: Rate<()>,
    bodies: Arc<Semaphore>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("path", &self.inner.options.path).finish_non_exhaustive()
    }
}

/// A request that is refused, with its answer.
type Refused = Box<Response<Body>>;

impl Endpoint {
    /// An endpoint in front of an intake.
    pub fn new(intake: Intake, options: Options) -> Self {
        Self {
            inner: Arc::new(Inner {
                intake,
                addresses: Rate::new(options.per_address_minute.max(1), Duration::from_secs(60)),
                submitters: Rate::new(options.per_submitter_hour.max(1), Duration::from_secs(3600)),
                garbage: Rate::new(options.garbage_kib_hour, Duration::from_secs(3600)),
                bodies: Arc::new(Semaphore::new(BODIES_KIB)),
                options,
            }),
        }
    }

    /// Whether a path is this endpoint's: its own, or a trusted source's below it.
    pub fn owns(&self, path: &str) -> bool {
        self.source_of(path).is_some()
    }

    fn source_of(&self, path: &str) -> Option<Source> {
        let rest = path.strip_prefix(self.inner.options.path.trim_end_matches('/'))?;
        let token = match rest {
            "" | "/" => return Some(Source::Https),
            _ => rest.strip_prefix('/')?,
        };
        let trusted = self.inner.options.trusted.iter().find(|t| same(&t.token, token))?;
        Some(Source::HttpsTrusted(trusted.name.clone()))
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Incoming>, address: IpAddr) -> Response<Body> {
        let began = Instant::now();
        let response = match self.take(request, address).await {
            Ok(response) => response,
            Err(refused) => *refused,
        };
        let status = response.status().as_str().to_owned();
        metrics::counter!("mailward_report_posts_total", "status" => status).increment(1);
        metrics::histogram!("mailward_report_post_seconds").record(began.elapsed().as_secs_f64());
        response
    }

    async fn take(&self, request: Request<Incoming>, address: IpAddr) -> Result<Response<Body>, Refused> {
        let (head, mut body) = request.into_parts();
        // Whoever asks first (RFC 9110 §10.1.1) sends nothing after a refusal.
        let sends_anyway = !head.headers.contains_key(EXPECT);
        let outcome = match self.check(&head, address) {
            Ok((source, media_type)) => match self.read(&mut body).await {
                Ok((bytes, held)) => {
                    return self.keep(source, address, media_type, bytes, held).await;
                }
                Err(refused) => refused,
            },
            Err(refused) => refused,
        };
        if sends_anyway && outcome.status() != StatusCode::REQUEST_TIMEOUT {
            discard(body).await;
        }
        Err(outcome)
    }

    /// What can be refused without reading the body.
    fn check(&self, head: &Parts, address: IpAddr) -> Result<(Source, String), Refused> {
        let Some(source) = self.source_of(head.uri.path()) else {
            return Err(no(StatusCode::NOT_FOUND, "no-such-path", "Nothing is served at this path."));
        };
        if head.method != Method::POST {
            let mut refused = no(StatusCode::METHOD_NOT_ALLOWED, "method", "Reports are sent with POST.");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Err(refused);
        }
        let media_type = media_type(&head.headers)?;
        self.admit(&source, address)?;
        Ok((source, media_type))
    }

    async fn keep(
        &self,
        source: Source,
        address: IpAddr,
        media_type: String,
        bytes: Vec<u8>,
        held: Option<OwnedSemaphorePermit>,
    ) -> Result<Response<Body>, Refused> {
        let arrival = Arrival {
            bytes,
            source: source.clone(),
            origin: address.to_canonical().to_string(),
            file_name: None,
            media_type: Some(media_type),
            held_domain: None,
        };
        let outcome = self.store(arrival, |item| self.admit_item(&source, address, item)).await?;
        drop(held);
        Ok(respond(outcome))
    }

    /// A token a post, by address. Trusted sources are not counted.
    fn admit(&self, from: &Source, address: IpAddr) -> Result<(), Refused> {
        if *from != Source::Https || self.is_exempt(address) {
            return Ok(());
        }
        self.inner
            .addresses
            .take(source(address), 1.0, Instant::now())
            .map_err(|wait| too_often("Too many posts from this address.", wait))
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        !self.inner.options.limit_loopback && address.to_canonical().is_loopback()
    }

    /// Reports an hour of one submitter; counted by address as well, otherwise anybody could use up the
    /// share of another. What cannot be read is kept only up to a budget.
    fn admit_item(&self, from: &Source, address: IpAddr, item: &IncomingItem) -> Admission {
        let now = Instant::now();
        match &item.content {
            _ if *from != Source::Https => Admission::Store,
            Content::Quarantined => {
                let kib = item.raw.len().div_ceil(1024) as f64;
                let room = self.inner.garbage.take((), kib, now);
                room.map_or(Admission::Forget, |()| Admission::Store)
            }
            Content::Reports(_) if self.is_exempt(address) => Admission::Store,
            Content::Reports(_) => {
                let key = (source(address), item.submitter.clone());
                self.inner
                    .submitters
                    .take(key, 1.0, now)
                    .map_or_else(Admission::TooOften, |()| Admission::Store)
            }
        }
    }

    /// The body with its share of the memory for bodies.
    async fn read(&self, body: &mut Incoming) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Refused> {
        let too_large = || {
            let limit = BODY_LIMIT >> 20;
            no(StatusCode::PAYLOAD_TOO_LARGE, "too-large", &format!("A report has at most {limit} MiB."))
        };
        if body.size_hint().lower() > BODY_LIMIT as u64 {
            return Err(too_large());
        }
        let deadline = Instant::now() + BODY_TIME;
        let mut bytes = Vec::new();
        let mut held: Option<OwnedSemaphorePermit> = None;
        loop {
            let wait = BODY_PAUSE.min(deadline.saturating_duration_since(Instant::now()));
            let frame = tokio::time::timeout(wait, body.frame()).await.map_err(|_| {
                no(StatusCode::REQUEST_TIMEOUT, "too-slow", "The report did not arrive in time.")
            })?;
            let Some(frame) = frame else { break };
            let frame = frame
                .map_err(|_| no(StatusCode::BAD_REQUEST, "cut-off", "The body ended before its end."))?;
            let Ok(piece) = frame.into_data() else { continue };
            if bytes.len() + piece.len() > BODY_LIMIT {
                return Err(too_large());
            }
            self.hold(&mut held, (bytes.len() + piece.len()).div_ceil(1024))?;
            bytes.extend_from_slice(&piece);
        }
        if bytes.is_empty() {
            return Err(no(StatusCode::BAD_REQUEST, "empty", "The body is empty."));
        }
        Ok((bytes, held))
    }

    fn hold(&self, held: &mut Option<OwnedSemaphorePermit>, kib: usize) -> Result<(), Refused> {
        let missing = kib.saturating_sub(held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let busy = || {
            let wait = Duration::from_secs(60);
            too_often("Too many reports are arriving at once.", wait)
        };
        if missing == 0 {
            return Ok(());
        }
        let more = u32::try_from(missing).map_err(|_| busy())?;
        let more = Arc::clone(&self.inner.bodies).try_acquire_many_owned(more).map_err(|_| busy())?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }

    async fn store<F>(&self, arrival: Arrival, admit: F) -> Result<Outcome, Refused>
    where
        F: FnOnce(&IncomingItem) -> Admission,
    {
        let work = self.inner.intake.accept_if(arrival, admit);
        let done = tokio::time::timeout(WORK_TIME, work).await;
        done.unwrap_or_else(|_| Err(IntakeError::Unavailable("no answer in time".to_owned()))).map_err(
            |error| match error {
                IntakeError::Unavailable(why) => {
                    tracing::warn!(why, "a posted report could not be stored");
                    let message = "The report cannot be stored now; send it again later.";
                    let mut refused = no(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
                    refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("300"));
                    refused
                }
                IntakeError::TooOften(wait) => too_often("Too many reports of this submitter.", wait),
                IntakeError::Faulty(why) => {
                    tracing::error!(why, "a posted report made the reader fail");
                    no(StatusCode::UNPROCESSABLE_ENTITY, "unreadable", "The report cannot be read.")
                }
            },
        )
    }
}

/// Reads on without keeping anything, so that a client that is still sending gets to see its answer
/// instead of a broken connection.
async fn discard(mut body: Incoming) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, |data| data.len());
            if read > DISCARDED {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
}

/// 201 for what is new, 200 for what was there, 422 for what is no report or cannot be counted.
fn respond(outcome: Outcome) -> Response<Body> {
    let receipt = match outcome {
        Outcome::NotAReport(findings, _) => return unreadable(&findings, "not-a-report"),
        Outcome::Stored(receipt) => receipt,
    };
    let set_aside = receipt.stored.quarantined;
    // A report for a domain that is not held was sent in good faith, and is kept aside.
    if set_aside && !receipt.findings.iter().all(|finding| finding.id == "REP-079") {
        return unreadable(&receipt.findings, "quarantined");
    }
    let stored = receipt.stored;
    let changed = stored.new > 0 || stored.revisions > 0 || (set_aside && stored.duplicates == 0);
    let status = if changed { StatusCode::CREATED } else { StatusCode::OK };
    crate::https::json(
        status,
        &json!({
            "schema": "mailward.receipt/1",
            "item": stored.item,
            "new": stored.new,
            "duplicates": stored.duplicates,
            "revisions": stored.revisions,
            "set_aside": set_aside,
        }),
    )
}

fn unreadable(findings: &[Finding], error: &str) -> Response<Body> {
    let reasons: Vec<_> =
        findings.iter().take(5).map(|f| json!({"id": f.id, "message": f.message})).collect();
    let message = findings.first().map_or("This is no TLS report.", |finding| finding.message.as_str());
    crate::https::json(
        StatusCode::UNPROCESSABLE_ENTITY,
        &json!({
            "schema": "mailward.error/1",
            "status": 422,
            "error": error,
            "message": message,
            "findings": reasons,
        }),
    )
}

/// RFC 8460 §5.4 names two types; the two they are made of are understood as well. The content decides
/// how the body is read, whatever it is called.
fn media_type(headers: &HeaderMap) -> Result<String, Refused> {
    let unsupported = || {
        let message = "A report is application/tlsrpt+gzip or application/tlsrpt+json.";
        no(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", message)
    };
    let written = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or_else(unsupported)?;
    let essence = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known =
        ["application/tlsrpt+gzip", "application/tlsrpt+json", "application/gzip", "application/json"];
    if !known.contains(&essence.as_str()) {
        return Err(unsupported());
    }
    // Some send JSON with an encoding instead of the gzip type: the content shows it anyway.
    let encoding = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
    match encoding.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "identity" | "gzip" | "x-gzip") => Ok(essence),
        Some(_) => {
            let message = "Only gzip is understood as an encoding.";
            Err(no(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", message))
        }
    }
}

fn no(status: StatusCode, error: &str, message: &str) -> Refused {
    Box::new(refusal(status, error, message))
}

fn too_often(message: &str, wait: Duration) -> Refused {
    let mut refused = no(StatusCode::TOO_MANY_REQUESTS, "rate", message);
    let seconds = wait.as_secs().max(1);
    refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    refused
}

/// Compares in a time that does not tell how much of the token is right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}
