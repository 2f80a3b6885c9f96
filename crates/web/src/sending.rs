//! The sending side as the pages see it: what the store remembers of other domains' policies, and what the
//! running policy cache says, where one runs in this process.
//!
//! The rooms of the sending side are out of reach from here. [`Sending`] is the window to them; the binary
//! implements it. A lookup is the one thing on these pages that may ask the network, and the cache does it,
//! as for a mail; so only a few may be under way from here at once, and mail keeps its places.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::delivery::Override;
use mailward_core::mta_sts::StsPolicy;
use mailward_store::overrides::OverrideRow;
use mailward_store::policies::{PolicyCounts, PolicyFilter, PolicyRow};
use serde::Serialize;

use crate::failure::Failure;
use crate::state::State;
use crate::{App, words};

/// The policy cache that runs in this process.
pub trait Sending: Send + Sync {
    /// Where Postfix asks, as main.cf writes it: `unix:/run/mailward/policyd.sock`, `inet:127.0.0.1:8461`.
    fn places(&self) -> Vec<String>;
    /// How much is in memory.
    fn size(&self) -> CacheSize;
    /// The last decisions that were not simply told from memory, newest first.
    fn recent(&self) -> Vec<RecentDecision>;
    /// What mail to this domain must meet now. Asks the network for what is missing, within seconds.
    fn explain<'a>(&'a self, domain: &'a PolicyDomain) -> Explaining<'a>;
}

/// A lookup under way.
pub type Explaining<'a> = Pin<Box<dyn Future<Output = Lookup> + Send + 'a>>;

/// How much the cache has in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CacheSize {
    /// Next hops of which something is known.
    pub entries: u64,
    /// Bytes that they take, about.
    pub bytes: u64,
    /// Lookups under way.
    pub lookups: u64,
    /// Entries driven out for want of room since the start.
    pub evicted: u64,
}

/// One decision of the last hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecentDecision {
    /// When.
    pub at: Timestamp,
    /// The next hop.
    pub domain: PolicyDomain,
    /// Its port.
    pub port: u16,
    /// As in [`Lookup::decision`].
    pub decision: String,
    /// The level that Postfix is told.
    pub level: String,
    /// Why, step by step.
    pub trace: Vec<String>,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// What mail to a domain must meet, and why: `mailward.lookup/1`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lookup {
    /// `mailward.lookup/1`.
    pub schema: &'static str,
    /// The next hop.
    pub domain: PolicyDomain,
    /// `dane`, `mta-sts-enforce`, `mta-sts-testing`, `opportunistic` or `defer`.
    pub decision: String,
    /// The MTA-STS policy in force, also in testing mode.
    pub policy: Option<StsPolicy>,
    /// The MX hosts, best preference first.
    pub mx: Vec<LookupHost>,
    /// The answer for the map `mailward`.
    pub postfix: String,
    /// The answer for the map `mailward-tlsrpt`.
    pub postfix_tlsrpt: String,
    /// The operator's word, if there is one.
    pub operator: Option<OperatorWord>,
    /// Until when the policy is in force.
    pub expires_at: Option<Timestamp>,
    /// Why, step by step; the last step is the conclusion.
    pub trace: Vec<String>,
    /// `cache`: what mail obeys.
    pub source: &'static str,
}

/// One MX host of a [`Lookup`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LookupHost {
    /// Its name.
    pub host: String,
    /// Whether mail may go to it.
    pub allowed: bool,
    /// What a connection must bring, in words.
    pub requirement: String,
    /// Why.
    pub why: String,
}

/// An override as the cache obeys it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorWord {
    /// What is required, until when and why.
    #[serde(flatten)]
    pub over: Override,
    /// Who said so, where that is known.
    pub author: Option<String>,
}

/// Lookups under way from pages and the API.
#[derive(Default)]
pub(crate) struct Turns(AtomicUsize);

/// So many at once: a page that is loaded again and again takes no places from mail.
const MOST: usize = 8;

/// A lookup's place; given back when it is dropped, also by a browser that went away.
struct Turn(Arc<Turns>);

impl Turns {
    fn take(self: &Arc<Self>) -> Option<Turn> {
        let more = |taken| (taken < MOST).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Turn(Arc::clone(self)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// Asks the running cache.
pub(crate) async fn explain(app: &App, domain: &PolicyDomain) -> Result<Lookup, Failure> {
    let Some(sending) = &app.sending else {
        return Err(Failure::NotFound(format!(
            "No policy daemon runs in this process, so there is no cache to ask. On the server: mailward lookup {domain}"
        )));
    };
    let Some(_turn) = app.turns.take() else {
        return Err(Failure::Busy(format!("{MOST} lookups are under way already.")));
    };
    Ok(sending.explain(domain).await)
}

/// The sending side at one glance, for its page, the first page and the API.
pub(crate) struct Outlook {
    pub(crate) counts: PolicyCounts,
    /// All of them by domain, also those that ran out.
    pub(crate) overrides: Vec<(PolicyDomain, OverrideRow)>,
    pub(crate) state: State,
    pub(crate) headline: String,
    /// The consequence, and who must act.
    pub(crate) explanation: String,
}

/// Failing rows looked through for the one that runs out first.
const LOOKED_THROUGH: u32 = 500;

/// Reads it.
pub(crate) async fn outlook(app: &App) -> Result<Outlook, Failure> {
    let now = app.now();
    let counts = app.store.policy_counts(now).await?;
    let overrides = app.store.overrides().await?;
    let failing = match counts.failing {
        0 => Vec::new(),
        _ => app.store.policies_page(PolicyFilter::Failing, None, None, LOOKED_THROUGH).await?.rows,
    };
    let (state, headline, explanation) = in_words(app.sending.is_some(), &counts, &failing, now);
    Ok(Outlook { counts, overrides, state, headline, explanation })
}

/// State, headline and consequence.
fn in_words(
    runs: bool,
    counts: &PolicyCounts,
    failing: &[PolicyRow],
    now: Timestamp,
) -> (State, String, String) {
    let live = |row: &&PolicyRow| row.policy.as_ref().is_some_and(|policy| now < policy.expires_at);
    let next = failing.iter().filter(live).min_by_key(|row| row.policy.as_ref().map(|p| p.expires_at));
    let enforced = match counts.enforce {
        0 => "no policy is enforced".to_owned(),
        1 => "1 policy is enforced".to_owned(),
        n => format!("{} policies are enforced", words::count(n)),
    };
    match (runs, counts.domains, counts.failing) {
        (false, 0, _) => (
            State::Unknown,
            "No mail server asks mailward what other domains demand.".into(),
            "The policy daemon is not switched on in this process.".into(),
        ),
        (true, 0, _) => (
            State::Unknown,
            "The policy daemon runs, and no mail server has asked it yet.".into(),
            "A domain appears here after the first mail to it.".into(),
        ),
        (_, _, 0) => (
            State::Holds,
            format!("Every policy known is fresh; {enforced} on mail that leaves."),
            "A policy is fetched again every day while somebody writes to its domain.".into(),
        ),
        (_, _, n) => {
            let cannot =
                if n == 1 { "1 policy cannot" } else { &format!("{} policies cannot", words::count(n)) };
            let headline = format!("{cannot} be refreshed; {enforced} on mail that leaves.");
            // Of more than we looked through, the first is not known.
            let whole = n <= u64::from(LOOKED_THROUGH);
            let first = next.and_then(|row| Some((row.domain.to_unicode(), row.policy.as_ref()?.expires_at)));
            let explanation = match first {
                Some((domain, at)) if whole => format!(
                    "Mail keeps to the policy held until it runs out: {domain} first, at {} ({}). From then on mail \
                     there goes as without a policy. It is theirs to mend; tell them.",
                    words::moment(at, now).utc,
                    words::moment(at, now).relative,
                ),
                Some(_) => "Mail keeps to the policy held until it runs out, and goes as without a policy from then \
                            on. It is theirs to mend; tell them."
                    .to_owned(),
                None => "No live policy is held for any of them, so mail there goes as without one. It is theirs to \
                         mend; tell them."
                    .to_owned(),
            };
            (State::Look, headline, explanation)
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use mailward_core::mta_sts::Mode;
    use mailward_store::policies::{PolicyLine, RefreshFailure};

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_532_400).unwrap()
    }

    fn failing(domain: &str, hours_left: Option<i64>) -> PolicyRow {
        let policy = hours_left.map(|hours| PolicyLine {
            mode: Mode::Enforce,
            id: "1".into(),
            max_age: 86_400,
            fetched_at: now(),
            expires_at: now() + SignedDuration::from_hours(hours),
            record_seen_at: now(),
        });
        let failure = RefreshFailure {
            id: None,
            since: now(),
            last_at: now(),
            reason: "fetch-failed".into(),
            detail: "timed out".into(),
        };
        let domain = PolicyDomain::parse(domain).unwrap();
        PolicyRow { domain, policy, failure: Some(failure), branch: None, used_at: now() }
    }

    #[test]
    fn the_headline_says_what_fails_and_until_when() {
        let counts =
            |domains, enforce, failing| PolicyCounts { domains, enforce, failing, ..Default::default() };
        let two = [failing("late.example", Some(30)), failing("soon.example", Some(3))];
        let gone = [failing("gone.example", Some(-1)), failing("never.example", None)];
        for (runs, counts, rows, state, said, more) in [
            (false, counts(0, 0, 0), &[][..], State::Unknown, "No mail server asks", "not switched on"),
            (true, counts(0, 0, 0), &[], State::Unknown, "has asked it yet", "after the first mail"),
            (false, counts(9, 4, 0), &[], State::Holds, "4 policies are enforced", "every day"),
            (true, counts(9, 0, 0), &[], State::Holds, "no policy is enforced", "every day"),
            (
                true,
                counts(9, 1, 2),
                &two,
                State::Look,
                "2 policies cannot",
                "soon.example first, at 2026-11-24 18",
            ),
            (true, counts(9, 1, 1), &two[..1], State::Look, "1 policy cannot", "late.example first"),
            (true, counts(9, 0, 2), &gone, State::Look, "2 policies cannot", "No live policy"),
            (
                true,
                counts(9999, 1, 501),
                &two,
                State::Look,
                "501 policies cannot",
                "held until it runs out, and",
            ),
        ] {
            let (told, headline, explanation) = in_words(runs, &counts, rows, now());
            assert_eq!(told, state, "{headline}");
            assert!(headline.contains(said), "{headline:?} should say {said:?}");
            assert!(explanation.contains(more), "{explanation:?} should say {more:?}");
        }
    }

    #[test]
    fn places_are_given_back() {
        let turns = Arc::new(Turns::default());
        let mut taken: Vec<Turn> = (0..MOST).map(|_| turns.take().unwrap()).collect();
        assert!(turns.take().is_none(), "all places are taken");
        taken.pop();
        assert!(turns.take().is_some(), "one was given back");
    }
}
