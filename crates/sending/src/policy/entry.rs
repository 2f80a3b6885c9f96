//! One entry of the cache, unpacked: what is known of a next hop, and what was decided from it.
//!
//! An entry has two sides that age apart from each other. The MTA-STS side lives by the policy's max_age
//! and by when its record was looked at; the DNS side lives by the TTLs of the answers. What Postfix is
//! told stands in the [`Answered`] part, with the time until which it may be told without asking anybody.

use std::ops::Range;

use jiff::Timestamp;
use mailward_core::delivery::{Branch, DaneBranch, DeliveryPolicy, Level};
use mailward_core::mta_sts::cache::{CachedPolicy, NoPolicy};
use mailward_core::mta_sts::{Mode, RecordError, StsPolicy};
use mailward_core::{MxHost, PolicyDomain};
use mailward_store::policies::{self as stored, HeldPolicy, KnownPolicy, RefreshFailure};

use super::packed::{BY_NUMBER, HEAD, NAMES_ALONE, NO_LEVEL, Packed, SAME, at, number};

/// [`NoPolicy::as_str`] of a record that could not be looked up.
const DNS_UNAVAILABLE: &str = "dns-unavailable";

/// What an entry is about. Almost all mail goes to port 25.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) domain: PolicyDomain,
    pub(super) port: u16,
}

/// What is known of one next hop.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// The last policy fetched, live or not.
    pub(super) held: Option<Held>,
    /// Set while a policy cannot be had although one is announced or live.
    pub(super) failure: Option<RefreshFailure>,
    /// What was found where no policy is live; `None` before the first look.
    pub(super) no_sts: Option<NoSts>,
    /// When the record was last looked at, in seconds; 0 for never.
    pub(super) record_seen: u32,
    /// Until when `no_sts` is believed.
    pub(super) sts_until: u32,
    /// The last certain answer of the DNS.
    pub(super) branch: Option<Branch>,
    /// When the DNS was last asked, certain or not, and until when that is believed.
    pub(super) dns_at: u32,
    pub(super) dns_until: u32,
    /// What is answered.
    pub(super) answered: Option<Answered>,
    /// Last asked for.
    pub(super) used: u32,
    /// Last handed to the store.
    pub(super) stored: u32,
}

/// A policy as fetched, and as parsed.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) cached: CachedPolicy,
    pub(super) body: Vec<u8>,
}

/// Why no policy applies, as far as it matters later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSts {
    /// Nothing is announced.
    NoRecord,
    /// The record cannot be used.
    RecordInvalid,
    /// A policy is announced, or may be, and could not be had.
    Failed,
    /// The record cannot be looked up, and the policy held stands in although it ran out (reading A10).
    LastKnown,
}

/// What Postfix is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) level: Level,
    /// At `Level::Secure` the names joined by colons, at `Level::Defer` the cause.
    pub(super) text: String,
    /// Whether the answer has names and no patterns: see `DeliveryPolicy::names_alone`.
    pub(super) names_alone: bool,
    /// When that was decided.
    pub(super) at: u32,
    /// Until when it may be told from memory.
    pub(super) until: u32,
    /// From when on a question makes us look again, behind the answer.
    pub(super) refresh: u32,
}

/// Seconds of the epoch.
pub(super) fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().max(0)).unwrap_or(u32::MAX)
}

/// The moment.
pub(super) fn moment(seconds: u32) -> Timestamp {
    Timestamp::from_second(seconds.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl NoSts {
    /// What remains of the reason.
    pub(super) fn of(reason: &NoPolicy) -> Option<Self> {
        match reason {
            NoPolicy::NoRecord => Some(Self::NoRecord),
            NoPolicy::RecordInvalid(_) => Some(Self::RecordInvalid),
            // A policy of this mode is held like any other.
            NoPolicy::ModeNone => None,
            NoPolicy::FetchFailed(_)
            | NoPolicy::BackOff
            | NoPolicy::PolicyInvalid(_)
            | NoPolicy::DnsUnavailable(_) => Some(Self::Failed),
        }
    }

    /// The reason as it can be told later.
    pub(super) fn reason(self) -> NoPolicy {
        match self {
            Self::NoRecord => NoPolicy::NoRecord,
            Self::RecordInvalid => NoPolicy::RecordInvalid(RecordError("as seen before".to_owned())),
            Self::Failed | Self::LastKnown => NoPolicy::BackOff,
        }
    }

    fn number(this: Option<Self>) -> u8 {
        match this {
            None => 0,
            Some(Self::NoRecord) => 1,
            Some(Self::RecordInvalid) => 2,
            Some(Self::Failed) => 3,
            Some(Self::LastKnown) => 4,
        }
    }

    fn by_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::NoRecord),
            2 => Some(Self::RecordInvalid),
            3 => Some(Self::Failed),
            4 => Some(Self::LastKnown),
            _ => None,
        }
    }
}

const MODES: [Mode; 3] = [Mode::None, Mode::Testing, Mode::Enforce];

impl Entry {
    /// Nothing known.
    pub(super) fn new(key: Key) -> Self {
        Self {
            key,
            held: None,
            failure: None,
            no_sts: None,
            record_seen: 0,
            sts_until: 0,
            branch: None,
            dns_at: 0,
            dns_until: 0,
            answered: None,
            used: 0,
            stored: 0,
        }
    }

    /// The policy in force: what MTA-STS says without asking anybody.
    pub(super) fn live(&self, now: Timestamp) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.cached.is_live(now))
    }

    /// What the decision goes by without asking anybody; `None` when nothing is known of MTA-STS.
    pub(super) fn sts(&self, now: Timestamp) -> Option<Result<&StsPolicy, NoPolicy>> {
        match self.live(now) {
            Some(held) if held.cached.policy.mode == Mode::None => Some(Err(NoPolicy::ModeNone)),
            Some(held) => Some(Ok(&held.cached.policy)),
            None => self.no_sts.map(|no| match (no, &self.held) {
                (NoSts::LastKnown, Some(held)) => Ok(&held.cached.policy),
                _ => Err(no.reason()),
            }),
        }
    }

    /// Takes a decision over; the times of the answer are set by [`Self::set_times`].
    pub(super) fn decide(&mut self, decided: &DeliveryPolicy, now: Timestamp) {
        if let Some(branch) = &decided.branch {
            self.branch = Some(branch.clone());
        }
        (self.dns_at, self.dns_until) = (seconds(now), seconds(decided.valid_until));
        let text = match decided.level {
            Level::Secure => decided.names.join(":"),
            Level::Defer => decided.cause(),
            _ => String::new(),
        };
        let (level, names_alone) = (decided.level, decided.names_alone);
        self.answered = Some(Answered { level, text, names_alone, at: seconds(now), until: 0, refresh: 0 });
    }

    /// When the policy is fetched again whatever its id: daily, spread by the domain's name, or before it
    /// runs out. A policy that lives for less than an hour is fetched when it has run out.
    pub(super) fn fetch_due(&self) -> Option<u32> {
        let held = self.held.as_ref()?;
        let (fetched, age) = (seconds(held.cached.fetched_at), held.cached.policy.max_age);
        let daily = 79_200 + spread(self.key.domain.as_str(), 14_400);
        let before = if age >= 3600 { age - age / 5 } else { age };
        Some(fetched.saturating_add(daily.min(before)))
    }

    /// When the record of a live policy is looked at again, and when that of another is.
    pub(super) fn record_due(&self, recheck: u32, now: Timestamp) -> u32 {
        match self.live(now) {
            Some(_) => {
                let jitter = spread(self.key.domain.as_str(), recheck / 10 + 1);
                let due = self.record_seen.saturating_add(recheck - jitter);
                self.rest().map_or(due, |rest| due.min(rest.end))
            }
            None => self.sts_until,
        }
    }

    /// When nothing is tried again since the last attempt failed: five minutes, one where the DNS failed, and
    /// longer the longer that goes on, up to an hour.
    pub(super) fn rest(&self) -> Option<Range<u32>> {
        let failure = self.failure.as_ref()?;
        let (since, last) = (seconds(failure.since), seconds(failure.last_at));
        let least = if failure.reason == DNS_UNAVAILABLE { 60 } else { 300 };
        let rest = (last.saturating_sub(since) / 2).clamp(least, 3600);
        // The second that has begun ends first: an id rests for whole five minutes.
        Some(last..last.saturating_add(rest + 1))
    }

    /// From when on a look at the record is worth it, behind an answer that still holds.
    pub(super) fn record_soft(&self, recheck: u32, now: Timestamp) -> u32 {
        let due = self.record_due(recheck, now);
        if self.live(now).is_some() { due } else { nearly(self.record_seen, due) }
    }

    /// The same for the DNS.
    pub(super) fn dns_soft(&self) -> u32 {
        nearly(self.dns_at, self.dns_until)
    }

    /// Whether the last look at the DNS failed.
    pub(super) fn dns_fails(&self) -> bool {
        self.dns_at > 0 && self.branch.as_ref().is_none_or(|branch| seconds(branch.decided_at) < self.dns_at)
    }

    /// Whether mail waits by this answer since the policy allows none of the hosts.
    pub(super) fn holds_mail(&self) -> bool {
        self.answered.as_ref().is_some_and(|a| a.level == Level::Secure && a.text.is_empty())
    }

    /// Until when the answer may be told, and from when on it is looked after, from the ages of both sides.
    pub(super) fn set_times(&mut self, recheck: u32, now: Timestamp) {
        let soft = self.dns_soft().min(self.record_soft(recheck, now));
        let mut until = self.dns_until.min(self.sts_end(now));
        let holds_mail = self.holds_mail();
        let Some(answered) = &mut self.answered else { return };
        if holds_mail {
            // The record is looked at before mail is held, at most once a minute.
            until = until.min(answered.at.saturating_add(60));
        }
        (answered.until, answered.refresh) = (until, soft.min(until));
    }

    /// Until when what is known of MTA-STS holds.
    fn sts_end(&self, now: Timestamp) -> u32 {
        self.live(now).map_or(self.sts_until, |held| seconds(held.cached.expires_at()))
    }

    /// As the store keeps it.
    pub(super) fn to_row(&self) -> KnownPolicy {
        KnownPolicy {
            domain: self.key.domain.clone(),
            policy: self.held.as_ref().map(|held| HeldPolicy {
                id: held.cached.id.clone(),
                body: held.body.clone(),
                mode: held.cached.policy.mode,
                max_age: held.cached.policy.max_age,
                fetched_at: held.cached.fetched_at,
                record_seen_at: moment(self.record_seen),
            }),
            failure: self.failure.clone(),
            branch: self.branch.as_ref().map(|branch| stored::Branch {
                kind: branch.dane.as_str().to_owned(),
                mx: branch.mx.iter().map(ToString::to_string).collect(),
                decided_at: branch.decided_at,
                ttl: branch.ttl,
            }),
            used_at: moment(self.used),
        }
    }

    /// From the store. A body that is no policy by today's reading is no policy.
    pub(super) fn from_row(row: KnownPolicy) -> Self {
        let mut entry = Self::new(Key { domain: row.domain, port: 25 });
        entry.record_seen = row.policy.as_ref().map_or(0, |p| seconds(p.record_seen_at));
        entry.held = row.policy.and_then(held_from_row);
        entry.failure = row.failure;
        entry.branch = row.branch.and_then(branch_from_row);
        entry.used = seconds(row.used_at);
        entry.stored = entry.used;
        entry
    }

    /// One allocation.
    pub(super) fn pack(&self) -> Packed {
        let none = Answered {
            level: Level::NoDemand,
            text: String::new(),
            names_alone: false,
            at: 0,
            until: 0,
            refresh: 0,
        };
        let answered = self.answered.as_ref().unwrap_or(&none);
        let join = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(":");
        let mx = join(&mut self.branch.iter().flat_map(|b| &b.mx).map(ToString::to_string));
        let policy = self.held.as_ref().map(|held| &held.cached.policy);
        let patterns = join(&mut policy.iter().flat_map(|p| &p.mx).map(ToString::to_string));
        let failure = self.failure.as_ref().and_then(|f| serde_json::to_vec(f).ok()).unwrap_or_default();
        let id = self.held.as_ref().map_or("", |held| short(&held.cached.id));
        let body = self.held.as_ref().map_or(&[][..], |held| &held.body);
        let domain = self.key.domain.as_str();
        let names = answered.text.as_str();

        let (mx_length, mx) = unless_same(&mx, names);
        let (patterns_length, patterns) = unless_same(&patterns, names);
        let pieces = [domain.as_bytes(), names.as_bytes(), id.as_bytes(), mx, patterns, body, &failure];
        let mut bytes = Vec::with_capacity(HEAD + pieces.iter().map(|p| p.len()).sum::<usize>());
        bytes.resize(HEAD, 0);
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        let mut packed = Packed(bytes.into_boxed_slice());

        let byte = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let [low, high] = self.key.port.to_le_bytes();
        let dane = self.branch.as_ref().and_then(|b| DaneBranch::ALL.iter().position(|d| *d == b.dane));
        let mode = policy.and_then(|p| MODES.iter().position(|m| *m == p.mode));
        for (place, value) in [
            (at::LEVEL, self.answered.as_ref().map_or(NO_LEVEL, |a| number(a.level))),
            (at::DANE, dane.map_or(u8::MAX, byte)),
            (at::NO_STS, NoSts::number(self.no_sts) | if answered.names_alone { NAMES_ALONE } else { 0 }),
            (at::MODE, mode.map_or(u8::MAX, byte)),
            (at::PORT, low),
            (at::PORT + 1, high),
            (at::DOMAIN, byte(domain.len())),
            (at::ID, byte(id.len())),
        ] {
            if let Some(byte) = packed.0.get_mut(place) {
                *byte = value;
            }
        }
        let held = self.held.as_ref().map(|held| &held.cached);
        let branch = self.branch.as_ref();
        for (place, value) in [
            (at::NAMES, length(names.as_bytes())),
            (at::MX, mx_length),
            (at::PATTERNS, patterns_length),
            (at::BODY, length(body)),
            (at::FAILURE, length(&failure)),
            (at::DECIDED, answered.at),
            (at::UNTIL, answered.until),
            (at::REFRESH, answered.refresh),
            (at::DNS_AT, self.dns_at),
            (at::DNS_UNTIL, self.dns_until),
            (at::BRANCH_AT, branch.map_or(0, |b| seconds(b.decided_at))),
            (at::BRANCH_TTL, branch.map_or(0, |b| b.ttl)),
            (at::FETCHED, held.map_or(0, |held| seconds(held.fetched_at))),
            (at::RECORD_SEEN, self.record_seen),
            (at::MAX_AGE, held.map_or(0, |held| held.policy.max_age)),
            (at::STS_UNTIL, self.sts_until),
            (at::STORED, self.stored),
            (at::USED, self.used),
        ] {
            packed.set(place, value);
        }
        packed
    }

    /// The reverse of [`Self::pack`].
    pub(super) fn unpack(packed: &Packed, key: Key) -> Self {
        let texts = packed.texts();
        let time = |place| moment(packed.number(place));
        let mode = MODES.get(usize::from(packed.byte(at::MODE)));
        let policy = mode.and_then(|_| StsPolicy::parse(texts.body).ok());
        let held = policy.map(|policy| Held {
            cached: CachedPolicy {
                policy: StsPolicy { max_age: packed.number(at::MAX_AGE), ..policy },
                id: texts.id.to_owned(),
                fetched_at: time(at::FETCHED),
                record_seen_at: time(at::RECORD_SEEN),
            },
            body: texts.body.to_vec(),
        });
        let dane = DaneBranch::ALL.get(usize::from(packed.byte(at::DANE))).copied();
        let level = BY_NUMBER.get(usize::from(packed.byte(at::LEVEL))).copied();
        Self {
            key,
            held,
            failure: serde_json::from_slice(texts.failure).ok(),
            no_sts: NoSts::by_number(packed.byte(at::NO_STS) & !NAMES_ALONE),
            record_seen: packed.number(at::RECORD_SEEN),
            sts_until: packed.number(at::STS_UNTIL),
            branch: dane.map(|dane| Branch {
                dane,
                mx: texts.mx.split(':').filter_map(|name| MxHost::parse(name).ok()).collect(),
                decided_at: time(at::BRANCH_AT),
                ttl: packed.number(at::BRANCH_TTL),
            }),
            dns_at: packed.number(at::DNS_AT),
            dns_until: packed.number(at::DNS_UNTIL),
            answered: level.map(|level| Answered {
                level,
                text: texts.names.to_owned(),
                names_alone: packed.names_alone(),
                at: packed.number(at::DECIDED),
                until: packed.number(at::UNTIL),
                refresh: packed.number(at::REFRESH),
            }),
            used: packed.number(at::USED),
            stored: packed.number(at::STORED),
        }
    }
}

fn held_from_row(row: HeldPolicy) -> Option<Held> {
    let mut policy = StsPolicy::parse(&row.body).ok()?;
    // A policy that was withdrawn is stored with an age of its own.
    policy.max_age = row.max_age.min(policy.max_age);
    let HeldPolicy { id, body, fetched_at, record_seen_at, .. } = row;
    Some(Held { cached: CachedPolicy { policy, id, fetched_at, record_seen_at }, body })
}

fn branch_from_row(row: stored::Branch) -> Option<Branch> {
    let mx = row.mx.iter().filter_map(|name| MxHost::parse(name).ok()).collect();
    Some(Branch { dane: row.kind.parse().ok()?, mx, decided_at: row.decided_at, ttl: row.ttl })
}

/// An id has at most 32 characters (RFC 8461 §3.1); what another program stored may be longer.
fn short(id: &str) -> &str {
    let mut end = id.len().min(255);
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    &id[..end]
}

fn length(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(0)
}

/// The length and the bytes of a text, or the mark that it is the names again, as it mostly is.
fn unless_same<'a>(text: &'a str, names: &str) -> (u32, &'a [u8]) {
    match text == names {
        true => (SAME, &[]),
        false => (length(text.as_bytes()), text.as_bytes()),
    }
}

/// When four fifths of the time from `from` to `until` are over.
fn nearly(from: u32, until: u32) -> u32 {
    until - until.saturating_sub(from) / 5
}

/// A number below `below` that is always the same for a domain, so that those which were fetched together
/// are not looked after together.
pub(super) fn spread(domain: &str, below: u32) -> u32 {
    let hash =
        domain.bytes().fold(0xcbf2_9ce4_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    if below == 0 { 0 } else { (hash >> 4) % below }
}

#[cfg(test)]
mod tests;
