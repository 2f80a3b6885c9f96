//! What a sender does next with what it knows of a policy (RFC 8461 §3.3, §5.1).
//!
//! [`step`] is called again with each new fact, strictly forward: the cache alone, then the record,
//! then the fetch. At most three calls, and the same function serves a question of Postfix and a
//! refresh by timer.
//!
//! The golden rule: absence, failure and nonsense never clear a live policy; only its age does
//! (RFC 8461 §3.1, §3.3; readings A10, A11).
//!
//! Clocks jump. What lies in the future was noted before a jump back: a policy is kept then, since its
//! loss would be a downgrade, but the record is looked at and the policy fetched again; a failure that
//! lies in the future is forgotten.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::policy::MAX_AGE_LIMIT;
use super::{Mode, PolicyError, RecordError, StsPolicy};
use crate::dns::DnsError;
use crate::facts::FetchCause;
use crate::tlsrpt::ResultType;

/// Seconds before the same id is fetched again after a failure (RFC 8461 §3.3).
pub const RETRY_SAME_ID: SignedDuration = SignedDuration::from_secs(300);

/// Between two fetches from one domain whose id is another each time: whoever makes up ids must not make
/// us fetch at every question.
pub const BETWEEN_FETCHES: SignedDuration = SignedDuration::from_secs(60);

/// After this a policy is fetched again whatever its id (RFC 8461 §3.3, §10.2).
pub const REFRESH: SignedDuration = SignedDuration::from_hours(24);

/// A policy as the cache keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedPolicy {
    /// Parsed.
    pub policy: StsPolicy,
    /// The id of the record with which it was fetched.
    pub id: String,
    /// The last successful fetch; max_age counts from here.
    pub fetched_at: Timestamp,
    /// When the record was last looked at.
    pub record_seen_at: Timestamp,
}

impl CachedPolicy {
    /// The first moment at which the policy is no longer in force.
    pub fn expires_at(&self) -> Timestamp {
        expiry(&self.policy, self.fetched_at)
    }

    /// Whether the policy is in force. A clock that went back keeps policies.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at()
    }
}

fn expiry(policy: &StsPolicy, fetched_at: Timestamp) -> Timestamp {
    // Reading A6; what an older version or another program stored may be more.
    let age = SignedDuration::from_secs(policy.max_age.min(MAX_AGE_LIMIT).into());
    fetched_at.checked_add(age).unwrap_or(Timestamp::MAX)
}

/// A fetch that failed, kept so that the same id is not asked for again at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFetch {
    /// The id announced.
    pub id: String,
    /// When.
    pub at: Timestamp,
}

/// What is known when [`step`] is called.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// The policy kept, live or not.
    pub cached: Option<&'a CachedPolicy>,
    /// The last failure, if the last fetch failed.
    pub failed: Option<&'a FailedFetch>,
    /// The record, once asked for: its id, none, unusable, or no answer.
    pub record: Option<&'a Result<Option<String>, RecordTrouble>>,
    /// The fetch, once made.
    pub fetched: Option<&'a Result<StsPolicy, FetchTrouble>>,
    /// Whether the policy kept is to be fetched again under the same id, before [`REFRESH`] has passed:
    /// the caller spreads refreshes over the day, and makes them before a policy runs out.
    pub refresh_due: bool,
}

/// Why there is no usable record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordTrouble {
    /// No answer.
    Dns(DnsError),
    /// More than one, or broken.
    Invalid(RecordError),
}

/// Why there is no policy behind a good record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchTrouble {
    /// Not fetched.
    Fetch(FetchCause),
    /// Fetched, and no policy; holds what was served.
    Invalid(PolicyError, Vec<u8>),
}

/// Why no policy applies. The same reason feeds log, metric, report and page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPolicy {
    /// The domain publishes none.
    NoRecord,
    /// It publishes something unusable.
    RecordInvalid(RecordError),
    /// The policy could not be fetched.
    FetchFailed(FetchCause),
    /// The same id failed less than five minutes ago.
    BackOff,
    /// What was served is no policy.
    PolicyInvalid(PolicyError),
    /// The policy says so.
    ModeNone,
    /// The name servers do not answer, and nothing is cached.
    DnsUnavailable(DnsError),
}

impl NoPolicy {
    /// The metric label and log word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoRecord => "no-record",
            Self::RecordInvalid(_) => "record-invalid",
            Self::FetchFailed(_) => "fetch-failed",
            Self::BackOff => "back-off",
            Self::PolicyInvalid(_) => "policy-invalid",
            Self::ModeNone => "mode-none",
            Self::DnsUnavailable(_) => "dns-unavailable",
        }
    }

    /// What a report counts for it; `None` where nothing failed (RFC 8460 §4.3.2.2, reading A10).
    pub fn result_type(&self) -> Option<ResultType> {
        match self {
            Self::FetchFailed(cause) => Some(cause.result_type()),
            Self::BackOff | Self::DnsUnavailable(_) => Some(ResultType::StsPolicyFetchError),
            Self::PolicyInvalid(_) => Some(ResultType::StsPolicyInvalid),
            Self::NoRecord | Self::RecordInvalid(_) | Self::ModeNone => None,
        }
    }

    /// Our failure-reason-code beside [`Self::result_type`] (conformance: grammar §6).
    pub fn reason_code(&self) -> Option<String> {
        match self {
            Self::FetchFailed(cause) => Some(cause.reason_code()),
            Self::PolicyInvalid(why) => Some(why.to_string()),
            Self::DnsUnavailable(_) => Some("record-lookup".to_owned()),
            Self::NoRecord | Self::RecordInvalid(_) | Self::BackOff | Self::ModeNone => None,
        }
    }

    /// In words, as the reason of "this domain has no MTA-STS policy".
    pub fn sentence(&self) -> String {
        match self {
            Self::NoRecord => "the domain publishes no MTA-STS record".to_owned(),
            Self::RecordInvalid(why) => format!("the MTA-STS record cannot be used: {why}"),
            Self::FetchFailed(cause) => format!("the policy could not be fetched ({})", cause.reason_code()),
            Self::BackOff => "the policy could not be fetched less than five minutes ago".to_owned(),
            Self::PolicyInvalid(why) => format!("what the policy host serves is no policy: {why}"),
            Self::ModeNone => "the policy has mode none".to_owned(),
            Self::DnsUnavailable(why) => format!("the MTA-STS record could not be looked up: {why}"),
        }
    }
}

/// How fresh the policy served is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// Just fetched.
    New,
    /// From the cache, by a record looked at not long ago or with the same id.
    Fresh,
    /// From the cache, although something stands in the way of a newer one.
    Kept(NoPolicy),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Apply this policy.
    Serve {
        /// The policy.
        policy: StsPolicy,
        /// How fresh.
        freshness: Freshness,
        /// Until when it may be kept.
        expires_at: Timestamp,
    },
    /// Look at the TXT record, then call again.
    AskRecord,
    /// Fetch the policy for this id, then call again.
    FetchPolicy {
        /// The id announced.
        id: String,
    },
    /// No policy applies.
    NoPolicy(NoPolicy),
}

/// The next step at `now`. `recheck` is how long a record once seen is believed.
pub fn step(known: Known<'_>, recheck: SignedDuration, now: Timestamp) -> Step {
    let live = known.cached.filter(|c| c.is_live(now));
    if let Some(fetched) = known.fetched {
        return match fetched {
            Ok(policy) => fetched_now(policy, now),
            Err(FetchTrouble::Fetch(cause)) => keep_or(live, NoPolicy::FetchFailed(cause.clone())),
            // Reading A11.
            Err(FetchTrouble::Invalid(why, _)) => keep_or(live, NoPolicy::PolicyInvalid(why.clone())),
        };
    }
    match known.record {
        None => match live {
            Some(cached) if within(cached.record_seen_at, recheck, now) => serve(cached, Freshness::Fresh),
            _ => Step::AskRecord,
        },
        // RFC 8461 §3.1: a missing record clears no cache.
        Some(Ok(None)) => keep_or(live, NoPolicy::NoRecord),
        Some(Err(RecordTrouble::Invalid(why))) => keep_or(live, NoPolicy::RecordInvalid(why.clone())),
        Some(Err(RecordTrouble::Dns(why))) => keep_or(live, NoPolicy::DnsUnavailable(why.clone())),
        Some(Ok(Some(id))) => announced(known, live, id, now),
    }
}

fn announced(known: Known<'_>, live: Option<&CachedPolicy>, id: &str, now: Timestamp) -> Step {
    let is_recent = |c: &CachedPolicy| within(c.fetched_at, REFRESH, now) && !known.refresh_due;
    if let Some(cached) = live.filter(|c| c.id == id && is_recent(c)) {
        return serve(cached, Freshness::Fresh);
    }
    if known.failed.is_some_and(|f| f.id == id && within(f.at, RETRY_SAME_ID, now)) {
        return keep_or(live, NoPolicy::BackOff);
    }
    let just_failed = known.failed.is_some_and(|f| within(f.at, BETWEEN_FETCHES, now));
    let just_fetched = known.cached.filter(|c| c.id != id && within(c.fetched_at, BETWEEN_FETCHES, now));
    if just_failed || just_fetched.is_some() {
        // One that ran out within this minute is still the best that is known of an id made up since.
        return keep_or(live.or(just_fetched), NoPolicy::BackOff);
    }
    Step::FetchPolicy { id: id.to_owned() }
}

/// Whether `then` lies less than `span` back. What lies ahead of a clock that went back does not.
fn within(then: Timestamp, span: SignedDuration, now: Timestamp) -> bool {
    (SignedDuration::ZERO..span).contains(&now.duration_since(then))
}

/// The policy that stands in where no policy is live and the record cannot be looked up: the last known,
/// although it expired (reading A10, `policyd.on_dns_failure = "last-known"`). One that was not meant to
/// be kept at all (max_age 0, reading A7) or says "none" stands for nothing.
pub fn last_known<'a>(cached: Option<&'a CachedPolicy>, reason: &NoPolicy) -> Option<&'a StsPolicy> {
    let policy = &cached.filter(|_| matches!(reason, NoPolicy::DnsUnavailable(_)))?.policy;
    (policy.max_age > 0 && policy.mode != Mode::None).then_some(policy)
}

fn fetched_now(policy: &StsPolicy, now: Timestamp) -> Step {
    if policy.mode == Mode::None {
        return Step::NoPolicy(NoPolicy::ModeNone);
    }
    Step::Serve { policy: policy.clone(), freshness: Freshness::New, expires_at: expiry(policy, now) }
}

fn serve(cached: &CachedPolicy, freshness: Freshness) -> Step {
    if cached.policy.mode == Mode::None {
        return Step::NoPolicy(NoPolicy::ModeNone);
    }
    Step::Serve { policy: cached.policy.clone(), freshness, expires_at: cached.expires_at() }
}

fn keep_or(live: Option<&CachedPolicy>, reason: NoPolicy) -> Step {
    match live {
        Some(cached) => serve(cached, Freshness::Kept(reason)),
        None => Step::NoPolicy(reason),
    }
}

#[cfg(test)]
mod tests;
