//! DKIM keys from the DNS, remembered for a while.
//!
//! A folder of ten thousand mails asks for a dozen keys. A resolver that does not answer is left alone
//! for half a minute after three failures in a row, so that an import without network ends soon; the
//! signatures concerned are untested then, never failed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use mailward_core::DomainName;
use mailward_core::dns::DnsError;
use mailward_net::dns::Resolver;
use tokio::time::Instant;

/// Questions at once for one lot of mails.
const AT_ONCE: usize = 16;
/// Keys remembered.
const REMEMBERED: usize = 10_000;
/// Failures in a row after which the resolver is left alone.
const FAILURES: u32 = 3;
/// For how long.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// What the DNS says of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// The TXT records there.
    Records(Vec<Vec<u8>>),
    /// There are none.
    Absent,
    /// It does not say; holds why.
    Unknown(String),
}

/// Looks keys up. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keys {
    resolver: Resolver,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    known: HashMap<DomainName, (Key, Instant)>,
    failures: u32,
    left_alone_until: Option<Instant>,
}

impl Keys {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, memory: Arc::default() }
    }

    /// The key at this name.
    pub(super) async fn key(&self, name: &DomainName) -> Key {
        if let Some(key) = self.remembered(name) {
            return key;
        }
        let (key, ttl, outage) = match self.resolver.txt(name).await {
            Ok(answer) => {
                // Never for longer than an hour: a key may be withdrawn.
                let ttl = Duration::from_secs(answer.ttl.clamp(60, 3600).into());
                let records: Vec<Vec<u8>> = answer.records.into_iter().map(|txt| txt.0).collect();
                (if records.is_empty() { Key::Absent } else { Key::Records(records) }, ttl, false)
            }
            Err(error) => {
                let outage = matches!(error, DnsError::Timeout | DnsError::Unreachable(_));
                (Key::Unknown(error.to_string()), LEFT_ALONE, outage)
            }
        };
        self.remember(name, &key, ttl, outage);
        key
    }

    /// The keys at all these names, asked for side by side.
    pub(super) async fn all(&self, names: BTreeSet<DomainName>) -> HashMap<DomainName, Key> {
        let asked = names.into_iter().map(|name| async move {
            let key = self.key(&name).await;
            (name, key)
        });
        futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await
    }

    /// What is known without asking.
    pub(super) fn remembered(&self, name: &DomainName) -> Option<Key> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((key, _)) = memory.known.get(name).filter(|(_, until)| now < *until) {
            return Some(key.clone());
        }
        let left_alone = memory.left_alone_until.is_some_and(|until| now < until);
        left_alone.then(|| Key::Unknown("the resolver does not answer".to_owned()))
    }

    fn remember(&self, name: &DomainName, key: &Key, ttl: Duration, outage: bool) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        memory.failures = if outage { memory.failures.saturating_add(1) } else { 0 };
        memory.left_alone_until = (memory.failures >= FAILURES).then(|| now + LEFT_ALONE);
        if memory.known.len() >= REMEMBERED {
            memory.known.retain(|_, (_, until)| now < *until);
            if memory.known.len() >= REMEMBERED {
                memory.known.clear();
            }
        }
        memory.known.insert(name.clone(), (key.clone(), now + ttl));
    }
}
