//! What is known before anybody is asked.

use std::time::Duration;

use jiff::Timestamp;
use mailward_core::mta_sts::StsPolicy;
use mailward_core::mta_sts::cache::NoPolicy;
use tokio::time::timeout;

use crate::policy::Inner;
use crate::policy::entry::{Entry, Key};

/// How long the store may take to tell of one domain.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

impl Inner {
    /// What is known of a next hop: from memory, or from the store where it may know more.
    pub(super) async fn known(&self, key: &Key) -> Entry {
        if let Some(entry) = self.in_memory(key) {
            return entry;
        }
        let mut entry = Entry::new(key.clone());
        // The policy is the domain's, whatever the port.
        let common = Key { domain: key.domain.clone(), port: 25 };
        let known = match self.in_memory(&common).filter(|_| key.port != 25) {
            Some(known) => Some(known),
            None if self.may_be_stored() => {
                let asked = self.store.known_policy(&key.domain);
                match timeout(STORE_PATIENCE, asked).await {
                    Ok(Ok(row)) => row.map(Entry::from_row),
                    _ => {
                        self.meters.store_failures.increment(1);
                        None
                    }
                }
            }
            None => None,
        };
        if let Some(known) = known {
            if key.port == 25 {
                return known;
            }
            entry.held = known.held;
            entry.failure = known.failure;
            entry.record_seen = known.record_seen;
            (entry.no_sts, entry.sts_until) = (known.no_sts, known.sts_until);
        }
        entry
    }

    pub(in crate::policy) fn in_memory(&self, key: &Key) -> Option<Entry> {
        // Copied under the lock, read outside: a long policy takes its time.
        let packed = self.table.with(key.domain.as_str().as_bytes(), key.port, |packed| packed.clone())?;
        Some(Entry::unpack(&packed, key.clone()))
    }
}

/// What holds of MTA-STS without asking, as owned values.
pub(super) fn known_sts(entry: &Entry, now: Timestamp) -> Option<Result<StsPolicy, NoPolicy>> {
    entry.sts(now).map(|sts| sts.cloned())
}
