//! Fetches a policy: HTTPS only, no redirects, 200 only, bounded in size and in total time.
//!
//! RFC 8461 §3.3 has the rules. One deadline covers everything from the first connect to the last byte:
//! a server that drips two bytes a second does not live longer for it. The connection is ours (so that
//! the address connected to is the one judged), HTTP is spoken by hyper, over version 1 or 2.
//!
//! Called by audits, by the policy cache of a sender and by the publisher's look from outside. Never
//! decides what a policy says: the body is handed on as served.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailward_core::chain::describe_chain;
use mailward_core::facts::{FetchCause, FetchError, FetchedPolicy};
use mailward_core::{DomainName, PolicyDomain};
use tokio::time::{Instant, timeout};

use crate::tls::{Offer, Recorder};
use crate::{Outside, connect};

mod http;

/// Where a policy lies on its host (RFC 8461 §3.2).
const PATH: &str = "/.well-known/mta-sts.txt";

/// Fetches from the addresses given, in turn, within the total deadline.
///
/// Addresses are tried like a browser does: the next one starts when the one before fails or takes more
/// than a moment, the first that accepts a connection is used.
///
/// # Errors
/// The cause, with what was seen of the certificate.
pub async fn fetch(
    outside: &Outside,
    domain: &PolicyDomain,
    addresses: &[IpAddr],
) -> Result<FetchedPolicy, FetchError> {
    let begun = Instant::now();
    let progress = Progress::new();
    let (address, http::Served { body, content_type }) =
        served_in_time(outside, domain, addresses, &progress).await?;
    let chain = describe_chain(&progress.recorder.chain());
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(FetchedPolicy { body, content_type, address, chain, elapsed_ms })
}

/// The same for a sender, who wants the policy and has no use for a description of the certificates.
///
/// # Errors
/// As [`fetch`].
pub(crate) async fn fetch_body(
    outside: &Outside,
    domain: &PolicyDomain,
    addresses: &[IpAddr],
) -> Result<Vec<u8>, FetchError> {
    let (_, served) = served_in_time(outside, domain, addresses, &Progress::new()).await?;
    Ok(served.body)
}

async fn served_in_time(
    outside: &Outside,
    domain: &PolicyDomain,
    addresses: &[IpAddr],
    progress: &Progress,
) -> Result<(IpAddr, http::Served), FetchError> {
    let limit = outside.options.fetch_timeout;
    let served = match timeout(limit, served(outside, domain, addresses, progress)).await {
        Ok(served) => served,
        Err(_) => {
            let seconds = limit.as_secs_f64();
            Err((FetchCause::Timeout, format!("not done within {seconds} s, while {}", progress.phase())))
        }
    };
    served.map_err(|(cause, detail)| {
        let chain = describe_chain(&progress.recorder.chain());
        FetchError { cause, detail: format!("mta-sts.{domain}: {detail}"), chain }
    })
}

/// A cause and a sentence with the values seen.
type Failure = (FetchCause, String);

/// How far a fetch has come, readable also after its future was dropped at the deadline.
struct Progress {
    phase: Mutex<String>,
    recorder: Arc<Recorder>,
}

impl Progress {
    fn new() -> Self {
        Self { phase: Mutex::new("connecting".into()), recorder: Arc::new(Recorder::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: String) {
        *self.lock() = phase;
    }

    fn phase(&self) -> String {
        self.lock().clone()
    }
}

async fn served(
    outside: &Outside,
    domain: &PolicyDomain,
    addresses: &[IpAddr],
    progress: &Progress,
) -> Result<(IpAddr, http::Served), Failure> {
    let host = domain.policy_host().map_err(|e| (FetchCause::Dns, e.to_string()))?;
    if addresses.is_empty() {
        return Err((FetchCause::Dns, "the policy host has no address".into()));
    }
    let (stream, address) =
        connect::first_of(outside, addresses, outside.options.https_port).await.map_err(|refused| {
            match refused {
                connect::Refused::Private(list) => (
                    FetchCause::PrivateAddress,
                    format!("only private or reserved addresses ({list}); they are not connected to"),
                ),
                connect::Refused::All(errors) => {
                    (FetchCause::Connect, format!("no address accepts a connection: {errors}"))
                }
            }
        })?;
    progress.enter(format!("shaking hands with {address}"));
    let shaken = outside.roots.connect(&host, Offer::PolicyHost, &progress.recorder, stream).await;
    let chain = progress.recorder.chain();
    // RFC 8461 §3.3: a valid certificate for the policy host, before a byte of HTTP. Judged also when
    // the handshake failed later: a bad certificate is the better explanation.
    if !chain.is_empty() {
        judge(outside, &host, address, &chain)?;
    }
    let stream = shaken.map_err(|refusal| {
        let detail = format!("TLS with {address} fails: {} ({})", refusal.text, refusal.reason);
        (FetchCause::Tls(refusal.reason), detail)
    })?;
    progress.enter(format!("waiting for {address} to answer"));
    let authority = match outside.options.https_port {
        443 => host.to_string(),
        port => format!("{host}:{port}"),
    };
    let served = http::get(stream, &authority, PATH, |phase| progress.enter(format!("{phase} {address}")))
        .await
        .map_err(|(cause, detail)| (cause, format!("{address} {detail}")))?;
    Ok((address, served))
}

fn judge(outside: &Outside, host: &DomainName, address: IpAddr, chain: &[Vec<u8>]) -> Result<(), Failure> {
    let faults = outside.roots.verdict(chain, host, outside.clock.now());
    let Some(first) = faults.first() else { return Ok(()) };
    let words: Vec<String> = faults.iter().map(crate::tls::fault_text).collect();
    Err((
        FetchCause::Certificate(first.clone()),
        format!("the certificate at {address} does not hold: {}", words.join("; ")),
    ))
}
