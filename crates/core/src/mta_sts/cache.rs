//! What a sender does next with what it knows of a policy (RFC 8461 §3.3, §5.1).
//!
//! [`step`] is called again with each new fact, strictly forward: the cache alone, then the record,
//! then the fetch. At most three calls, and the same function serves a question of Postfix and a
//! refresh by timer.
//!
//! The golden rule: absence, failure and nonsense never clear a live policy; only its age does
//! (RFC 8461 §3.1, §3.3; readings A10, A11).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Mode, PolicyError, RecordError, StsPolicy};
use crate::dns::DnsError;
use crate::facts::FetchCause;
use crate::tlsrpt::ResultType;

/// Seconds before the same id is fetched again after a failure (RFC 8461 §3.3).
pub const RETRY_SAME_ID: SignedDuration = SignedDuration::from_secs(300);

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
    /// The last moment at which the policy is in force.
    pub fn expires_at(&self) -> Timestamp {
        let age = SignedDuration::from_secs(i64::from(self.policy.max_age));
        self.fetched_at.checked_add(age).unwrap_or(Timestamp::MAX)
    }

    /// Whether the policy is in force. A clock that went back keeps policies.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at()
    }
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
    /// Fetched, and no policy.
    Invalid(PolicyError),
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
            Err(FetchTrouble::Invalid(why)) => keep_or(live, NoPolicy::PolicyInvalid(why.clone())),
        };
    }
    match known.record {
        None => match live {
            Some(cached) if now.duration_since(cached.record_seen_at) < recheck => {
                serve(cached, Freshness::Fresh)
            }
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
    if let Some(cached) = live.filter(|c| c.id == id && now.duration_since(c.fetched_at) < REFRESH) {
        return serve(cached, Freshness::Fresh);
    }
    let held_back = known.failed.is_some_and(|f| {
        f.id == id && (SignedDuration::ZERO..RETRY_SAME_ID).contains(&now.duration_since(f.at))
    });
    if held_back {
        return keep_or(live, NoPolicy::BackOff);
    }
    Step::FetchPolicy { id: id.to_owned() }
}

fn fetched_now(policy: &StsPolicy, now: Timestamp) -> Step {
    if policy.mode == Mode::None {
        return Step::NoPolicy(NoPolicy::ModeNone);
    }
    let age = SignedDuration::from_secs(i64::from(policy.max_age));
    let expires_at = now.checked_add(age).unwrap_or(Timestamp::MAX);
    Step::Serve { policy: policy.clone(), freshness: Freshness::New, expires_at }
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
mod tests {
    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn policy(mode: Mode, max_age: u32) -> StsPolicy {
        StsPolicy { mode, mx: vec!["a.example".parse().unwrap()], max_age, extensions: vec![] }
    }

    fn cached(mode: Mode) -> CachedPolicy {
        CachedPolicy {
            policy: policy(mode, 604_800),
            id: "1".into(),
            fetched_at: at(0),
            record_seen_at: at(0),
        }
    }

    fn word(step: &Step) -> String {
        match step {
            Step::Serve { freshness: Freshness::New, .. } => "new".into(),
            Step::Serve { freshness: Freshness::Fresh, .. } => "fresh".into(),
            Step::Serve { freshness: Freshness::Kept(why), .. } => format!("kept {}", why.as_str()),
            Step::AskRecord => "ask".into(),
            Step::FetchPolicy { id } => format!("fetch {id}"),
            Step::NoPolicy(why) => why.as_str().into(),
        }
    }

    #[test]
    fn every_turn_has_its_step() {
        let live = cached(Mode::Enforce);
        let none = cached(Mode::None);
        let same = Ok(Some("1".to_owned()));
        let newer = Ok(Some("2".to_owned()));
        let absent = Ok(None);
        let silent = Err(RecordTrouble::Dns(DnsError::Timeout));
        let broken = Err(RecordTrouble::Invalid(RecordError("two".into())));
        let body = Ok(policy(Mode::Testing, 86_400));
        let no_body = Err(FetchTrouble::Fetch(FetchCause::Status(404)));
        let nonsense = Err(FetchTrouble::Invalid(PolicyError("x".into())));
        let failed = FailedFetch { id: "2".into(), at: at(7_000) };
        let (soon, later, day, dead) = (at(60), at(7_200), at(90_000), at(604_800));
        let known = Known { cached: Some(&live), ..Known::default() };
        let empty = Known::default();
        for (name, known, now, expected) in [
            ("fresh cache", known, soon, "fresh"),
            ("record not seen for an hour", known, later, "ask"),
            ("expired", known, dead, "ask"),
            ("nothing known", empty, soon, "ask"),
            ("same id", Known { record: Some(&same), ..known }, later, "fresh"),
            ("same id after a day", Known { record: Some(&same), ..known }, day, "fetch 1"),
            ("new id", Known { record: Some(&newer), ..known }, later, "fetch 2"),
            (
                "new id, failed just now",
                Known { record: Some(&newer), failed: Some(&failed), ..known },
                later,
                "kept back-off",
            ),
            (
                "new id, failed before",
                Known { record: Some(&newer), failed: Some(&failed), ..known },
                at(7_300),
                "fetch 2",
            ),
            (
                "failed, nothing cached",
                Known { record: Some(&newer), failed: Some(&failed), ..empty },
                later,
                "back-off",
            ),
            ("record gone", Known { record: Some(&absent), ..known }, later, "kept no-record"),
            ("record gone, expired", Known { record: Some(&absent), ..known }, dead, "no-record"),
            ("two records", Known { record: Some(&broken), ..known }, later, "kept record-invalid"),
            ("no answer", Known { record: Some(&silent), ..known }, later, "kept dns-unavailable"),
            ("no answer, nothing cached", Known { record: Some(&silent), ..empty }, later, "dns-unavailable"),
            ("fetched", Known { record: Some(&newer), fetched: Some(&body), ..known }, later, "new"),
            (
                "not fetched",
                Known { record: Some(&newer), fetched: Some(&no_body), ..known },
                later,
                "kept fetch-failed",
            ),
            (
                "nonsense",
                Known { record: Some(&newer), fetched: Some(&nonsense), ..known },
                later,
                "kept policy-invalid",
            ),
            (
                "nonsense, nothing cached",
                Known { record: Some(&newer), fetched: Some(&nonsense), ..empty },
                later,
                "policy-invalid",
            ),
            ("mode none", Known { cached: Some(&none), ..empty }, soon, "mode-none"),
            ("clock went back", known, at(-86_400), "fresh"),
        ] {
            assert_eq!(word(&step(known, HOUR, now)), expected, "{name}");
        }
    }

    #[test]
    fn max_age_zero_serves_this_delivery_only() {
        let fetched = Ok(policy(Mode::Enforce, 0));
        let record = Ok(Some("1".to_owned()));
        let known = Known { record: Some(&record), fetched: Some(&fetched), ..Known::default() };
        match step(known, HOUR, at(0)) {
            Step::Serve { expires_at, .. } => assert_eq!(expires_at, at(0)),
            other => panic!("{other:?}"),
        }
    }
}
