//! Validation in process: the only place that touches the unstable validator of the `domain` crate.
//!
//! What we know of that validator and guard against here:
//! - it treats algorithms it lacks (P-384, Ed25519) as an insecure delegation, which would silently
//!   switch DANE off: such an answer becomes [`DnssecStatus::Indeterminate`];
//! - it calls a zone bogus when a DS or DNSKEY answer is missing: when that was an outage of the
//!   servers, the outage is reported;
//! - it bounds neither concurrency nor time: a permit for each validation, and the question's deadline.
//!
//! It needs servers that resolve recursively. Dates of signatures are judged by the system's clock.

use std::collections::VecDeque;
use std::fmt;
use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::{Message, Name, ToName};
use domain::dnssec::validator::anchor::TrustAnchors;
use domain::dnssec::validator::context::{Config, ValidationContext, ValidationState};
use domain::net::client::request::{ComposeRequest, Error, GetResponse, RequestMessage, SendRequest};
use hyper::body::Bytes;
use mailward_core::dns::{DnsError, DnssecStatus};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::message::{Query, ede_text};
use super::transport::Transport;

/// The root's keys of 2017 and 2024 (data.iana.org/root-anchors).
const ROOT_ANCHORS: &str = "\
. 86400 IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. 86400 IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
";

/// Validations at the same time: they are arithmetic, and hostile zones can make them long.
const CONCURRENT: usize = 64;

/// How long the validator remembers that a zone is bogus: the least it allows.
const BOGUS_REMEMBERED: Duration = Duration::from_secs(1);

/// The validator over our transport.
pub(super) struct Validator {
    context: ValidationContext<Upstream>,
    failures: Arc<Failures>,
    permits: Semaphore,
}

impl Validator {
    /// Reads the anchors: zone-file DS or DNSKEY records, or the IANA root.
    pub(super) fn new(
        anchor: Option<&Path>,
        transport: Arc<Transport>,
        timeout: Duration,
    ) -> Result<Self, String> {
        let text = match anchor {
            None => ROOT_ANCHORS.to_owned(),
            Some(path) => {
                std::fs::read_to_string(path).map_err(|e| format!("trust anchor {}: {e}", path.display()))?
            }
        };
        let whence = anchor.map_or_else(|| "built-in root".into(), |p| p.display().to_string());
        let anchors = anchors(&text).map_err(|e| format!("trust anchor {whence}: {e}"))?;
        let mut config = Config::new();
        config.set_max_bogus_validity(BOGUS_REMEMBERED);
        config.set_max_node_cache(10_000);
        let failures = Arc::new(Failures::default());
        let upstream = Upstream { transport, timeout, failures: Arc::clone(&failures) };
        Ok(Self {
            context: ValidationContext::with_config(anchors, upstream, config),
            failures,
            permits: Semaphore::new(CONCURRENT),
        })
    }

    /// The status of an answer that was asked for with DO and CD.
    pub(super) async fn status(
        &self,
        message: &Message<Vec<u8>>,
        name: &Name<Vec<u8>>,
    ) -> Result<DnssecStatus, DnsError> {
        let _permit = self.permits.acquire().await;
        // The validator may cut times to live to those of the signatures, in its copy.
        let mut copy = message.clone();
        let judged = self.context.validate_msg::<_, Vec<u8>>(&mut copy).await;
        let (state, reason) = judged.map_err(|e| DnsError::Malformed(e.to_string()))?;
        let reason = reason.map(|e| ede_text(&e));
        match state {
            ValidationState::Secure => Ok(DnssecStatus::Secure),
            ValidationState::Insecure if lacks_algorithm(reason.as_deref()) => {
                Ok(DnssecStatus::Indeterminate)
            }
            ValidationState::Insecure => Ok(DnssecStatus::Insecure),
            ValidationState::Indeterminate => Ok(DnssecStatus::Indeterminate),
            ValidationState::Bogus => Err(match self.failures.at_or_above(name) {
                Some(failed) => {
                    DnsError::ServerFailure(Some(format!("the chain of trust breaks off: {failed}")))
                }
                None => DnsError::Bogus(reason),
            }),
        }
    }
}

/// The text is the validator's, not a code: there is none for it.
fn lacks_algorithm(reason: Option<&str>) -> bool {
    reason.is_some_and(|r| r.contains("No supported algorithm"))
}

fn anchors(text: &str) -> Result<TrustAnchors, String> {
    let records = text
        .lines()
        .filter(|l| !l.trim_start().starts_with(';'))
        .filter(|l| l.split_ascii_whitespace().any(|w| matches!(w, "DS" | "DNSKEY")))
        .count();
    if records == 0 {
        return Err("no DS or DNSKEY record in it".into());
    }
    // A record without a time to live takes the one before it; the first one has ours.
    let text = format!("$TTL 86400\n{text}");
    TrustAnchors::from_u8(text.as_bytes()).map_err(|e| e.to_string())
}

/// How the validator asks for DS and DNSKEY.
struct Upstream {
    transport: Arc<Transport>,
    timeout: Duration,
    failures: Arc<Failures>,
}

impl SendRequest<RequestMessage<Vec<u8>>> for Upstream {
    fn send_request(&self, request: RequestMessage<Vec<u8>>) -> Box<dyn GetResponse + Send + Sync> {
        let query = request.to_message().ok().and_then(|message| {
            let question = message.first_question()?;
            Some(Query { name: question.qname().to_vec(), rtype: question.qtype(), dnssec: true, cd: true })
        });
        Box::new(Request {
            query,
            transport: Arc::clone(&self.transport),
            timeout: self.timeout,
            failures: Arc::clone(&self.failures),
        })
    }
}

struct Request {
    query: Option<Query>,
    transport: Arc<Transport>,
    timeout: Duration,
    failures: Arc<Failures>,
}

impl Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("query", &self.query).finish_non_exhaustive()
    }
}

impl GetResponse for Request {
    fn get_response(
        &mut self,
    ) -> Pin<Box<dyn Future<Output = Result<Message<Bytes>, Error>> + Send + Sync + '_>> {
        Box::pin(async move {
            let query = self.query.as_ref().ok_or(Error::FormError)?;
            let deadline = Instant::now() + self.timeout;
            let answer = self.transport.exchange(query, deadline).await;
            let message = match answer {
                Ok(exchange) => exchange.message,
                Err(e) => {
                    self.failures.note(&query.name, format!("{} {}: {e}", query.name, query.rtype));
                    return Err(Error::NoTransportAvailable);
                }
            };
            if !matches!(message.header().rcode(), Rcode::NOERROR | Rcode::NXDOMAIN) {
                let rcode = message.header().rcode();
                self.failures.note(&query.name, format!("{} {}: {rcode}", query.name, query.rtype));
            }
            Message::from_octets(Bytes::from(message.into_octets())).map_err(|_| Error::ShortMessage)
        })
    }
}

/// Names whose keys could not be had a moment ago. What lies below them looks bogus and is not.
#[derive(Default)]
struct Failures(Mutex<VecDeque<Failure>>);

struct Failure {
    at: Instant,
    name: Name<Vec<u8>>,
    what: String,
}

impl Failures {
    const MOST: usize = 256;
    /// Covers one deadline of a question and the validator's own memory.
    const REMEMBERED: Duration = Duration::from_secs(6);

    fn note(&self, name: &Name<Vec<u8>>, what: String) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() == Self::MOST {
            list.pop_front();
        }
        list.push_back(Failure { at: Instant::now(), name: name.clone(), what });
    }

    fn at_or_above(&self, name: &Name<Vec<u8>>) -> Option<String> {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while list.front().is_some_and(|f| now.duration_since(f.at) > Self::REMEMBERED) {
            list.pop_front();
        }
        list.iter().rev().find(|f| name.ends_with(&f.name)).map(|f| f.what.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchor_files_are_read_or_refused() {
        let ds = "DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
        for (text, good) in [
            (ROOT_ANCHORS.to_owned(), true),
            (format!(". IN {ds}\n"), true),
            (format!("; a comment\n. 3600 IN {ds} ; more\n"), true),
            (format!("lab.example. IN {ds}"), true),
            (String::new(), false),
            (format!("; . IN {ds}\n"), false),
            (". IN DS 20326 8 2 nonsense\n".into(), false),
        ] {
            assert_eq!(anchors(&text).is_ok(), good, "{text}");
        }
    }
}
