//! The policy cache: what every next hop must meet, answered from memory, and found out when it is not
//! there.
//!
//! Asked by the policy daemon for Postfix (`crate::policyd`). A fresh entry is told from memory alone: no
//! database, no network, no lock that somebody holds while waiting. What is not fresh is looked up once,
//! however many ask ([`look`]), and everything learned is written to the store behind the answers
//! ([`keep`]), so that a restart, or another node, starts from there. A timer looks after what nobody
//! asked for ([`refresh`]).
//!
//! When I cannot know: an answer is given within five seconds all the same. What was learned of a policy
//! is never forgotten because something failed (RFC 8461 §3.3). A policy that cannot be had for the first
//! time holds no mail (RFC 8461 §3.3), a DNS that cannot tell whether DANE applies does, unless the last
//! certain answer is younger than a day, or the operator decides otherwise (RFC 7672 §2.1.2).

mod document;
mod entry;
mod fetch;
mod flights;
mod keep;
mod live;
mod look;
mod meters;
mod options;
mod overrides;
mod packed;
mod recent;
mod refresh;
mod table;
mod testify;
mod testing;
mod walk;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::delivery::{DeliveryPolicy, Known, Require, by_word_alone, decide};
use mailward_core::dns::DnsError;
use mailward_core::facts::FetchCause;
use mailward_core::mta_sts::cache::NoPolicy;
use mailward_core::postfix::answer;
use mailward_core::postfix::socketmap::Map;
use mailward_duty::{Status, Stop};
use mailward_net::Outside;
use mailward_store::Store;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use document::{Document, HostLine, OperatorLine, SCHEMA, Source};
pub use live::look_now;
pub use options::{FirstContact, Options};
pub use recent::Recent;
pub(crate) use testing::Testing;

use document::{About, document};
use entry::{Key, seconds};
use fetch::Fetcher;
use flights::Flights;
use keep::{Troubles, Unsaved};
use look::{Landed, PATIENCE, Purpose, no_facts, told_by_dns};
use meters::Meters;
use overrides::Overrides;
use packed::{BY_NUMBER, Packed, at};
use recent::RecentList;
use table::Table;

use crate::witness::Witness;

/// How long the first question of a process waits for the operator's words.
const OVERRIDES_PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer may be ahead of the clock before the clock is known to have gone back.
const CLOCK_SLACK: u32 = 60;
/// How exactly the last use is known, in seconds.
const USED_TO: u32 = 60;
/// While somebody looks behind an answer, nobody else begins to, for so many seconds.
const BEHIND: u32 = 30;

/// The cache. Cheap to clone.
#[derive(Clone)]
pub struct Policies {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    options: Options,
    /// `options.recheck` in seconds.
    recheck: u32,
    fetcher: Fetcher,
    table: Table,
    flights: Arc<Flights<Landed>>,
    overrides: Overrides,
    unsaved: Unsaved,
    /// Whether everything in the store was read once.
    loaded: AtomicBool,
    /// Whether something of it found no room.
    left_out: AtomicBool,
    recent: RecentList,
    /// Who is told what deliveries met; nobody without a collector.
    witness: OnceLock<Witness>,
    meters: Meters,
    status: Status,
    troubles: Troubles,
}

/// How much is known, for pages and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Next hops of which something is known.
    pub entries: u64,
    /// Bytes that they take, about.
    pub bytes: u64,
    /// Entries by the level last decided; `undecided` are those read from the store and not asked for yet.
    pub by_level: BTreeMap<String, u64>,
    /// Lookups under way.
    pub lookups: u64,
    /// Entries driven out for want of room since the start.
    pub evicted: u64,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Policies {
    /// A cache over a store, which knows nothing yet; [`Self::run`] fills it. Questions may be asked at
    /// once.
    pub fn new(store: Store, outside: Outside, options: Options) -> Self {
        let status = Status::starting("policy");
        let recheck = u32::try_from(options.recheck.as_secs().max(1)).unwrap_or(u32::MAX);
        let inner = Inner {
            table: Table::new(options.max_memory),
            recheck,
            fetcher: Fetcher::new(outside),
            flights: Arc::new(Flights::new(flights::MOST)),
            overrides: Overrides::new(),
            unsaved: Unsaved::default(),
            loaded: AtomicBool::new(false),
            left_out: AtomicBool::new(false),
            recent: RecentList::default(),
            witness: OnceLock::new(),
            meters: Meters::new(),
            troubles: Troubles::new(status.clone()),
            status,
            store,
            options,
        };
        Self { inner: Arc::new(inner) }
    }

    /// How this duty is.
    pub fn status(&self) -> Status {
        self.inner.status.clone()
    }

    /// From now on, what deliveries meet is told to this witness; the first one stays.
    pub fn tell(&self, witness: Witness) {
        let _ = self.inner.witness.set(witness);
    }

    /// Reads the store, writes behind, refreshes and follows the operator until told to stop. What was
    /// learned by then is in the store when this returns, if the store takes it.
    pub async fn run(self, stop: Stop) {
        tokio::join!(
            self.follow_overrides(stop.clone()),
            self.read_others(stop.clone()),
            self.write_behind(stop.clone()),
            self.refresh(stop.clone()),
            self.forget(stop),
        );
    }

    /// What mail to this next hop must meet, with the reasons: by what the cache knows, and with a fresh
    /// look at the DNS, which mail obeys from then on. Within five seconds, like every answer.
    pub async fn explain(&self, domain: &PolicyDomain, port: u16) -> Document {
        let until = Instant::now() + PATIENCE;
        self.wait_for_overrides().await;
        let inner = &self.inner;
        let now = inner.now();
        let over = inner.overrides.of(domain, now);
        let operator = over.as_ref().map(overrides::line);
        let about = |trace, expires_at, body| About {
            domain,
            body,
            operator: operator.clone(),
            expires_at,
            trace,
            source: Source::Cache,
        };
        if let Some(decided) = over.as_ref().and_then(|row| by_word_alone(&row.over, now)) {
            return document(&decided, about(Vec::new(), None, None));
        }
        let key = Key { domain: domain.clone(), port };
        // A lookup that was under way may not have asked the DNS.
        for _ in 0..2 {
            let Some(landed) = self.look(&key, Purpose::Explain, until).await else { break };
            if let Some(decided) = &landed.decided {
                let body = landed.packed.texts().body;
                return document(decided, about(landed.trace.clone(), landed.expires_at, Some(body)));
            }
        }
        let entry = inner.in_memory(&key);
        let facts = no_facts(&key, DnsError::Timeout);
        let late = NoPolicy::FetchFailed(FetchCause::Timeout);
        let sts =
            entry.as_ref().and_then(|entry| entry.sts(now).map(|sts| sts.cloned())).unwrap_or(Err(late));
        let decided = inner.decided_without_look(&facts, sts.as_ref(), entry.as_ref(), now);
        document(&decided, about(told_by_dns(&facts), None, None))
    }

    /// The last decisions that were not simply told from memory, newest first.
    pub fn recent(&self) -> Vec<Recent> {
        self.inner.recent.newest_first()
    }

    /// How much is known.
    pub fn counts(&self) -> Counts {
        let by_level = self.inner.table.by_level();
        let words = BY_NUMBER.iter().map(|level| level.as_str()).chain(["undecided"]);
        Counts {
            entries: by_level.iter().sum(),
            bytes: self.inner.table.bytes() as u64,
            by_level: words.map(str::to_owned).zip(by_level).filter(|(_, count)| *count > 0).collect(),
            lookups: self.inner.flights.len() as u64,
            evicted: self.inner.table.evicted(),
        }
    }

    /// Appends the answer for a domain at port 25 if memory has it, fresh. `name` is a key as Postfix
    /// sends it; only one in canonical form can be found, and that is what it sends.
    pub(crate) fn tell_from_memory(&self, name: &[u8], map: Map, to: &mut Vec<u8>) -> bool {
        self.inner.overrides.are_known() && map != Map::Trace && self.told_from_memory(name, 25, map, to)
    }

    /// Appends the answer, within five seconds.
    pub(crate) async fn answer(&self, domain: PolicyDomain, port: u16, map: Map, to: &mut Vec<u8>) {
        if map == Map::Trace {
            let document = self.explain(&domain, port).await;
            let text = serde_json::to_string(&document).unwrap_or_default();
            to.extend_from_slice(b"OK ");
            return to.extend_from_slice(text.as_bytes());
        }
        self.wait_for_overrides().await;
        let inner = &self.inner;
        let now = inner.now();
        let over = inner.overrides.of(&domain, now);
        if let Some(decided) = over.and_then(|row| by_word_alone(&row.over, now)) {
            inner.meters.hit(Some(decided.level));
            return to.extend_from_slice(answer::render(&domain, &decided, None, map).as_bytes());
        }
        if self.told_from_memory(domain.as_str().as_bytes(), port, map, to) {
            return;
        }
        let key = Key { domain, port };
        if let Some(landed) = self.look(&key, Purpose::Answer, Instant::now() + PATIENCE).await {
            inner.meters.miss(landed.packed.level());
            return landed.packed.render(map, to);
        }
        // No room or no time: what was decided last, or mail waits.
        let last = inner.table.with(key.domain.as_str().as_bytes(), port, |packed: &mut Packed| {
            packed.level().map(|_| packed.render(map, to))
        });
        if last.flatten().is_none() {
            let reason = format!("{}: its delivery policy could not be found out in time", key.domain);
            to.extend_from_slice(answer::temporary(&reason).as_bytes());
        }
    }

    fn told_from_memory(&self, name: &[u8], port: u16, map: Map, to: &mut Vec<u8>) -> bool {
        let inner = &self.inner;
        let at = inner.now();
        if !inner.overrides.are_none() {
            let word = std::str::from_utf8(name).ok().and_then(|name| inner.overrides.require(name, at));
            // The operator's word is told by the longer way.
            if word.is_some_and(|word| word != Require::Sts) {
                return false;
            }
        }
        let now = seconds(at);
        let told = inner.table.with(name, port, |packed| {
            let is_fresh = now < packed.number(at::UNTIL)
                && packed.number(at::DECIDED) <= now.saturating_add(CLOCK_SLACK);
            if !is_fresh {
                return None;
            }
            packed.render(map, to);
            // To the minute, so that most answers only read: among a million, memory is what an answer costs.
            if now.abs_diff(packed.number(at::USED)) >= USED_TO {
                packed.set(at::USED, now);
            }
            let is_due = now >= packed.number(at::REFRESH);
            if is_due {
                packed.set(at::REFRESH, now.saturating_add(BEHIND));
            }
            Some((packed.level(), is_due))
        });
        let Some((level, is_due)) = told.flatten() else { return false };
        inner.meters.hit(level);
        if is_due
            && let Some(domain) = std::str::from_utf8(name).ok().and_then(|n| PolicyDomain::parse(n).ok())
        {
            self.look_behind(&Key { domain, port });
        }
        true
    }

    /// Before the first answer of a process: the operator's word may be that mail must not go, or may.
    async fn wait_for_overrides(&self) {
        if !self.inner.overrides.are_known() {
            let read = self.inner.overrides.refresh(&self.inner.store);
            let _ = tokio::time::timeout(OVERRIDES_PATIENCE, read).await;
        }
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.fetcher.outside().clock.now()
    }

    fn decided_without_look(
        &self,
        facts: &mailward_core::delivery::NextHopFacts,
        sts: mailward_core::delivery::Sts<'_>,
        entry: Option<&entry::Entry>,
        now: Timestamp,
    ) -> DeliveryPolicy {
        let last = entry.and_then(|entry| entry.branch.as_ref());
        let on_dns_failure = self.options.on_dns_failure;
        decide(&Known { facts, sts, last, on_dns_failure, over: None }, now)
    }

    /// Whether the store may know of a domain that memory does not.
    fn may_be_stored(&self) -> bool {
        self.options.shared
            || !self.loaded.load(Relaxed)
            || self.left_out.load(Relaxed)
            || self.table.evicted() > 0
    }

    /// Everything was read; `true` the first time.
    fn set_loaded(&self) -> bool {
        !self.loaded.swap(true, Relaxed)
    }

    fn set_left_out(&self) {
        self.left_out.store(true, Relaxed);
    }

    /// Tells the metrics how large everything is.
    fn show_sizes(&self) {
        let entries: u64 = self.table.by_level().iter().sum();
        self.meters.entries.set(entries as f64);
        self.meters.bytes.set(self.table.bytes() as f64);
        self.meters.flights.set(self.flights.len() as f64);
        self.meters.evicted.absolute(self.table.evicted());
    }
}
