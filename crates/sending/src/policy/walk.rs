//! The MTA-STS side of a look: from what is held, over the record and the fetch, to a policy or to the
//! reason why none applies.
//!
//! Each turn is decided by `mailward_core::mta_sts::cache::step`. Added here: what failed is remembered with
//! the time of its first failure.

use jiff::{SignedDuration, Timestamp};
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::StsPolicy;
use mailward_core::mta_sts::cache::{
    CachedPolicy, FailedFetch, FetchTrouble, Freshness, Known, NoPolicy, RETRY_SAME_ID, RecordTrouble, Step,
    last_known, step,
};
use mailward_net::sts::{SeenRecord, sts_record};
use mailward_store::policies::RefreshFailure;

use super::entry::{Entry, Held, NoSts, seconds};
use super::fetch::Fetcher;

/// How long an answer holds that only says that the DNS fails.
const DNS_FAILURE: u32 = 60;
/// Bounds of how long "nothing is announced" holds, whatever the TTL says.
const NEGATIVE: std::ops::RangeInclusive<u32> = 30..=3600;

/// What a look at the MTA-STS side starts from.
#[derive(Clone)]
pub(super) struct Start {
    pub(super) held: Option<Held>,
    pub(super) failure: Option<RefreshFailure>,
    /// From when on the policy is fetched again whatever its id: daily, or before it runs out.
    pub(super) fetch_due: Option<u32>,
    /// Whether the record is looked at although it need not be yet.
    pub(super) ask: bool,
    /// For how many seconds a record is believed.
    pub(super) recheck: u32,
    /// Whether a policy that ran out stands in while the record cannot be looked up (reading A10).
    pub(super) may_stand_in: bool,
}

/// What came of it.
pub(super) struct Walked {
    /// The policy held now, live or not.
    pub(super) held: Option<Held>,
    /// Why looking fails, if it does.
    pub(super) failure: Option<RefreshFailure>,
    /// The same for reports: what this attempt met.
    pub(super) trouble: Option<NoPolicy>,
    /// What was served instead of a policy.
    pub(super) no_policy: Vec<u8>,
    /// What holds for this delivery; a policy with max_age 0 holds here and nowhere else.
    pub(super) outcome: Result<StsPolicy, NoPolicy>,
    /// When the record was looked at, if it was.
    pub(super) record_seen: Option<u32>,
    /// Whether that is a policy that ran out.
    pub(super) stands_in: bool,
    /// Until when it is believed that there is no policy.
    pub(super) until: u32,
    /// Whether something was fetched.
    pub(super) fetch: Option<&'static str>,
    /// What was done, for people.
    pub(super) trace: Vec<String>,
}

impl Walked {
    /// Writes what is known now into an entry.
    pub(super) fn apply(&self, entry: &mut Entry) {
        let newer = |held: &Held| {
            entry.held.as_ref().is_none_or(|other| other.cached.fetched_at <= held.cached.fetched_at)
        };
        // Another node may have fetched meanwhile.
        if self.held.as_ref().is_some_and(newer) {
            entry.held.clone_from(&self.held);
            entry.failure.clone_from(&self.failure);
        } else if self.held.is_none() && entry.held.is_none() {
            entry.failure.clone_from(&self.failure);
        }
        entry.record_seen = self.record_seen.unwrap_or(entry.record_seen);
        if let Some(held) = &mut entry.held {
            held.cached.record_seen_at = super::entry::moment(entry.record_seen);
        }
        entry.no_sts = match self.stands_in {
            true => Some(NoSts::LastKnown),
            false => self.outcome.as_ref().err().and_then(NoSts::of),
        };
        entry.sts_until = self.until;
    }
}

/// The record as it was seen: what the step takes, and its TTL.
struct Seen {
    record: Result<Option<String>, RecordTrouble>,
    ttl: u32,
}

/// Walks. `now` is asked again after each wait, for a fetch may take twenty seconds.
pub(super) async fn walk(fetcher: &Fetcher, domain: &PolicyDomain, start: Start) -> Walked {
    let clock = &fetcher.outside().clock;
    let mut trace = Vec::new();
    let mut seen: Option<Seen> = None;
    let mut fetched: Option<Result<StsPolicy, FetchTrouble>> = None;
    let mut body = Vec::new();
    let mut id = None;
    let recheck = SignedDuration::from_secs(start.recheck.into());
    let failed = failed(&start);
    if start.ask {
        seen = Some(ask(fetcher, domain, &mut trace).await);
    }
    let (outcome, now) = loop {
        let now = clock.now();
        let known = Known {
            cached: start.held.as_ref().map(|held| &held.cached),
            failed: failed.as_ref(),
            record: seen.as_ref().map(|seen| &seen.record),
            fetched: fetched.as_ref(),
            refresh_due: start.fetch_due.is_some_and(|due| seconds(now) >= due),
        };
        match step(known, recheck, now) {
            Step::AskRecord => seen = Some(ask(fetcher, domain, &mut trace).await),
            Step::FetchPolicy { id: announced } => {
                let result = fetcher.fetch(domain).await;
                trace.push(fetch_sentence(domain, &announced, &result));
                id = Some(announced);
                fetched = Some(result.map(|(policy, text)| {
                    body = text;
                    policy
                }));
            }
            Step::Serve { policy, freshness, .. } => break (Ok((policy, freshness)), now),
            Step::NoPolicy(reason) => break (Err(reason), now),
        }
    };
    finish(start, Found { outcome, seen, fetched, body, id, trace }, now)
}

/// All that a walk has brought together.
struct Found {
    outcome: Result<(StsPolicy, Freshness), NoPolicy>,
    seen: Option<Seen>,
    fetched: Option<Result<StsPolicy, FetchTrouble>>,
    body: Vec<u8>,
    id: Option<String>,
    trace: Vec<String>,
}

fn finish(start: Start, found: Found, now: Timestamp) -> Walked {
    let Found { outcome, seen, fetched, body, id, mut trace } = found;
    let fetch = match &fetched {
        None => None,
        Some(Ok(_)) => Some("ok"),
        Some(Err(FetchTrouble::Fetch(_))) => Some("failed"),
        Some(Err(FetchTrouble::Invalid(..))) => Some("invalid"),
    };
    // What stands in the way of a newer policy, or of any.
    let trouble = match (&fetched, &outcome) {
        // Also where a live policy of mode none hides it.
        (Some(Err(FetchTrouble::Fetch(cause))), _) => Some(NoPolicy::FetchFailed(cause.clone())),
        (Some(Err(FetchTrouble::Invalid(why, _))), _) => Some(NoPolicy::PolicyInvalid(why.clone())),
        (_, Ok((_, Freshness::Kept(reason)))) => Some(reason.clone()),
        (_, Ok(_)) => None,
        (_, Err(reason)) => Some(reason.clone()).filter(|r| NoSts::of(r) == Some(NoSts::Failed)),
    };
    if let (Ok((_, Freshness::Kept(reason))), Some(held)) = (&outcome, &start.held)
        && *reason != NoPolicy::BackOff
    {
        trace.push(format!("{}; the policy of {} still holds", reason.sentence(), held.cached.fetched_at));
    }
    let failure = match trouble.clone() {
        None => None,
        // No new attempt was made.
        Some(NoPolicy::BackOff) => start.failure,
        Some(reason) => Some(remember(start.failure, &reason, id.as_deref(), now)),
    };
    let outcome = outcome.map(|(policy, _)| policy);
    let last = start.held.as_ref().filter(|_| start.may_stand_in).map(|held| &held.cached);
    let last = outcome.as_ref().err().and_then(|reason| last_known(last, reason)).cloned();
    let stands_in = last.is_some();
    if stands_in {
        trace.push("so the last policy stands in although it ran out".to_owned());
    }
    let mut no_policy = Vec::new();
    let held = match (fetched, id) {
        (Some(Err(FetchTrouble::Invalid(_, served))), _) => {
            no_policy = served;
            start.held
        }
        (Some(Ok(policy)), Some(id)) => {
            Some(Held { cached: CachedPolicy { policy, id, fetched_at: now, record_seen_at: now }, body })
        }
        _ => start.held,
    };
    let ttl = match (&outcome, &seen) {
        // A live policy holds by its own age, one that is not is for this delivery only (reading A7).
        (Ok(_), _) => 0,
        (Err(NoPolicy::DnsUnavailable(_)), _) => DNS_FAILURE,
        (Err(reason), _) if NoSts::of(reason) == Some(NoSts::Failed) => {
            u32::try_from(RETRY_SAME_ID.as_secs()).unwrap_or(300)
        }
        (_, Some(seen)) => seen.ttl.clamp(*NEGATIVE.start(), *NEGATIVE.end()),
        _ => *NEGATIVE.start(),
    };
    Walked {
        held,
        failure,
        trouble,
        no_policy,
        outcome: last.map_or(outcome, Ok),
        stands_in,
        record_seen: seen.is_some().then(|| seconds(now)),
        until: seconds(now).saturating_add(ttl.min(start.recheck)),
        fetch,
        trace,
    }
}

fn failed(start: &Start) -> Option<FailedFetch> {
    let failure = start.failure.as_ref()?;
    let id = failure.id.clone()?;
    Some(FailedFetch { id, at: failure.last_at })
}

async fn ask(fetcher: &Fetcher, domain: &PolicyDomain, trace: &mut Vec<String>) -> Seen {
    let SeenRecord { record, ttl } = sts_record(&fetcher.outside().resolver, domain).await;
    let sentence = match &record {
        Ok(None) => "no MTA-STS record".to_owned(),
        Ok(Some(id)) => format!("id {id}"),
        Err(RecordTrouble::Dns(why)) => why.to_string(),
        Err(RecordTrouble::Invalid(why)) => why.to_string(),
    };
    trace.push(format!("TXT _mta-sts.{domain}: {sentence}"));
    let unknown = if record.is_err() { DNS_FAILURE } else { *NEGATIVE.end() };
    Seen { record, ttl: ttl.unwrap_or(unknown) }
}

fn fetch_sentence(domain: &PolicyDomain, id: &str, result: &super::fetch::Fetched) -> String {
    let outcome = match result {
        Ok((policy, _)) => format!("mode {}, max_age {}", policy.mode, policy.max_age),
        Err(FetchTrouble::Fetch(cause)) => NoPolicy::FetchFailed(cause.clone()).sentence(),
        Err(FetchTrouble::Invalid(why, _)) => NoPolicy::PolicyInvalid(why.clone()).sentence(),
    };
    format!("https://mta-sts.{domain}/.well-known/mta-sts.txt (id {id}): {outcome}")
}

/// The failure with its beginning.
fn remember(
    before: Option<RefreshFailure>,
    reason: &NoPolicy,
    id: Option<&str>,
    now: Timestamp,
) -> RefreshFailure {
    let since = before.as_ref().map_or(now, |before| before.since);
    RefreshFailure {
        // A failure of the DNS does not end the waiting after a failed fetch.
        id: id
            .map(str::to_owned)
            .or_else(|| before.filter(|b| b.last_at > minutes_ago(now)).and_then(|b| b.id)),
        since,
        last_at: now,
        reason: reason.as_str().to_owned(),
        detail: reason.sentence(),
    }
}

fn minutes_ago(now: Timestamp) -> Timestamp {
    now.checked_sub(RETRY_SAME_ID).unwrap_or(Timestamp::MIN)
}
