//! All entries: a hash table in 256 parts, each behind a lock that is held for nanoseconds, never while
//! anybody waits for something.
//!
//! The table knows how much memory it takes and keeps below its limit. What goes first is what is
//! cheapest to learn again: answers without a policy, then policies that demand nothing and decisions by
//! DNS, then enforced policies that nobody asked for in a day; each by its last use. A live enforced policy
//! that mail depends on goes only when nothing else is left: forgetting it would open the door to a
//! downgrade (RFC 8461 §10.2). What went is still in the store.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use super::packed::{LEVELS, NO_LEVEL, Packed, at};

/// Parts.
pub(super) const SHARDS: usize = 256;

/// A day.
const DAY: u32 = 86_400;

/// The entries of the cache.
pub(super) struct Table {
    shards: Box<[Mutex<HashTable<Packed>>]>,
    hasher: RandomState,
    limit: usize,
    bytes: AtomicUsize,
    by_level: [AtomicI64; LEVELS],
    evicted: AtomicU64,
    /// Where the next search for room begins; held while somebody searches.
    hand: Mutex<usize>,
}

impl Table {
    /// An empty one that takes `limit` bytes at most, about.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            bytes: AtomicUsize::new(0),
            by_level: std::array::from_fn(|_| AtomicI64::new(0)),
            evicted: AtomicU64::new(0),
            hand: Mutex::new(0),
        }
    }

    /// Lets `look` see and mark the entry, if there is one. It must be quick: its part is locked.
    pub(super) fn with<T>(&self, domain: &[u8], port: u16, look: impl FnOnce(&mut Packed) -> T) -> Option<T> {
        let hash = self.hash(domain, port);
        let mut shard = self.shard(hash);
        shard.find_mut(hash, |packed| packed.port() == port && packed.domain() == domain).map(look)
    }

    /// Puts an entry in the place of the one with its key. The later of both uses stays.
    pub(super) fn put(&self, mut packed: Packed, now: u32) {
        let (domain, port) = (packed.domain().to_vec(), packed.port());
        let hash = self.hash(&domain, port);
        self.count(&packed, 1);
        {
            let mut shard = self.shard(hash);
            let same = |other: &Packed| other.port() == port && other.domain() == domain;
            match shard.entry(hash, same, |other| self.hash(other.domain(), other.port())) {
                Place::Occupied(mut place) => {
                    let used = place.get().number(at::USED).max(packed.number(at::USED));
                    packed.set(at::USED, used);
                    let old = std::mem::replace(place.get_mut(), packed);
                    self.count(&old, -1);
                }
                Place::Vacant(place) => {
                    place.insert(packed);
                }
            }
        }
        if self.bytes.load(Relaxed) > self.limit {
            self.make_room(now);
        }
    }

    /// Goes through one part: `look` says which entries stay.
    pub(super) fn sweep(&self, shard: usize, mut look: impl FnMut(&mut Packed) -> bool) {
        let Some(shard) = self.shards.get(shard) else { return };
        let mut shard = lock(shard);
        let gone: Vec<Packed> = shard.extract_if(|packed| !look(packed)).collect();
        shrink(&mut shard, &self.hasher);
        drop(shard);
        gone.iter().for_each(|packed| self.count(packed, -1));
    }

    /// Bytes that all entries take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Whether there is room without driving others out.
    pub(super) fn has_room(&self) -> bool {
        self.bytes() < self.limit
    }

    /// Entries by the number of their level; the last are those without a decision.
    pub(super) fn by_level(&self) -> [u64; LEVELS] {
        std::array::from_fn(|n| self.by_level[n].load(Relaxed).try_into().unwrap_or(0))
    }

    /// Entries driven out so far.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    fn hash(&self, domain: &[u8], port: u16) -> u64 {
        // SipHash with a key of this process: names are chosen by strangers.
        let mut hasher = self.hasher.build_hasher();
        hasher.write(domain);
        hasher.write_u16(port);
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, HashTable<Packed>> {
        // The table itself takes the seven highest bits and the lowest ones.
        let number = usize::try_from(hash >> 40).unwrap_or(0) % SHARDS;
        lock(&self.shards[number])
    }

    fn count(&self, packed: &Packed, by: i64) {
        match by {
            1 => self.bytes.fetch_add(packed.cost(), Relaxed),
            _ => self.bytes.fetch_sub(packed.cost(), Relaxed),
        };
        if let Some(level) = self.by_level.get(usize::from(packed.byte(at::LEVEL).min(NO_LEVEL))) {
            level.fetch_add(by, Relaxed);
        }
    }

    /// Drives out until a sixty-fourth of the limit is free. Who finds somebody at it goes on.
    fn make_room(&self, now: u32) {
        let Ok(mut hand) = self.hand.try_lock() else { return };
        let enough = self.limit - self.limit / 64;
        let mut evicted = 0;
        for worth in Worth::ALL {
            // Each round drives out the older half of this worth in a part, so few rounds are enough.
            for _ in 0..12 * SHARDS {
                if self.bytes() <= enough {
                    break;
                }
                *hand = (*hand + 1) % SHARDS;
                let gone = older_half(&mut lock(&self.shards[*hand]), worth, now);
                evicted += gone.len() as u64;
                gone.iter().for_each(|packed| self.count(packed, -1));
            }
        }
        self.evicted.fetch_add(evicted, Relaxed);
    }
}

/// What it would cost to have forgotten an entry, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Nothing,
    Some,
    Enforced,
    EnforcedAndUsed,
}

impl Worth {
    const ALL: [Self; 4] = [Self::Nothing, Self::Some, Self::Enforced, Self::EnforcedAndUsed];

    fn of(packed: &Packed, now: u32) -> Self {
        let lives = packed.number(at::FETCHED).saturating_add(packed.number(at::MAX_AGE)) > now;
        match packed.byte(at::MODE) {
            // Mode enforce, in the order of `super::entry`.
            2 if lives && packed.number(at::USED).saturating_add(DAY) > now => Self::EnforcedAndUsed,
            2 if lives => Self::Enforced,
            // 255: no policy. 4: no DANE in the last answer of the DNS.
            255 if matches!(packed.byte(at::DANE), 4 | 255) => Self::Nothing,
            _ => Self::Some,
        }
    }
}

/// Takes out the less recently used half of the entries of this worth.
fn older_half(shard: &mut HashTable<Packed>, worth: Worth, now: u32) -> Vec<Packed> {
    let candidates = shard.iter().filter(|packed| Worth::of(packed, now) == worth);
    let mut uses: Vec<u32> = candidates.map(|packed| packed.number(at::USED)).collect();
    if uses.is_empty() {
        return Vec::new();
    }
    let most = uses.len().div_ceil(2);
    let (_, middle, _) = uses.select_nth_unstable(most - 1);
    let (middle, mut left) = (*middle, most);
    shard
        .extract_if(|packed| {
            let goes = left > 0 && packed.number(at::USED) <= middle && Worth::of(packed, now) == worth;
            left -= usize::from(goes);
            goes
        })
        .collect()
}

/// Gives room back that a great leaving freed.
fn shrink(shard: &mut HashTable<Packed>, hasher: &RandomState) {
    if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
        shard.shrink_to(shard.len() * 2, |packed| {
            let mut state = hasher.build_hasher();
            state.write(packed.domain());
            state.write_u16(packed.port());
            state.finish()
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
