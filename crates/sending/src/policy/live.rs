//! A decision without a cache: for `mailward lookup` where no daemon runs.

use std::time::Duration;

use mailward_core::PolicyDomain;
use mailward_core::delivery::{Known, OnDnsFailure, Override, by_word_alone, decide};
use mailward_core::dns::DnsError;
use mailward_core::facts::FetchCause;
use mailward_core::mta_sts::cache::NoPolicy;
use mailward_net::{Outside, next_hop};
use tokio::time::timeout;

use super::document::{About, Document, Source, document};
use super::entry::Key;
use super::fetch::Fetcher;
use super::look::{no_facts, told_by_dns};
use super::overrides::line_of;
use super::walk::{Start, walk};

/// A person waits longer than a mail server does.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at everything now, as a sender does that knows nothing yet.
pub async fn look_now(
    outside: &Outside,
    domain: &PolicyDomain,
    port: u16,
    over: Option<&Override>,
    on_dns_failure: OnDnsFailure,
) -> Document {
    let now = outside.clock.now();
    let over = over.filter(|over| over.holds(now));
    let about = |trace, expires_at, body| About {
        domain,
        body,
        operator: over.map(line_of),
        expires_at,
        trace,
        source: Source::Live,
    };
    if let Some(decided) = over.and_then(|over| by_word_alone(over, now)) {
        return document(&decided, about(Vec::new(), None, None));
    }
    let key = Key { domain: domain.clone(), port };
    let fetcher = Fetcher::new(outside.clone());
    let start =
        Start { held: None, failure: None, fetch_due: None, ask: true, recheck: 3600, may_stand_in: false };
    let dns = timeout(PATIENCE, next_hop::look_up(&outside.resolver, domain, port));
    let sts = timeout(PATIENCE, walk(&fetcher, domain, start));
    let (facts, walked) = tokio::join!(dns, sts);
    let facts = facts.unwrap_or_else(|_| no_facts(&key, DnsError::Timeout));
    let late = NoPolicy::FetchFailed(FetchCause::Timeout);
    let (held, outcome, mut trace) = match walked {
        Ok(walked) => (walked.held, walked.outcome, walked.trace),
        Err(_) => (None, Err(late), Vec::new()),
    };
    trace.extend(told_by_dns(&facts));
    let known = Known { facts: &facts, sts: outcome.as_ref(), last: None, on_dns_failure, over };
    let decided = decide(&known, outside.clock.now());
    let expires_at = held.as_ref().map(|held| held.cached.expires_at());
    let body = held.as_ref().map(|held| held.body.as_slice());
    document(&decided, about(trace, expires_at, body))
}
