//! What a look says in a report, handed to the witness where there is one.

use mailward_core::delivery::{DeliveryPolicy, NextHopFacts};
use mailward_core::mta_sts::cache::NoPolicy;
use mailward_core::tlsrpt::seen::{Look, of_look};

use super::entry::{Entry, seconds};
use super::{Inner, USED_TO};

impl Inner {
    /// Tells what stands in the way of deliveries. Where nobody asked for the domain just now there is no
    /// delivery, so that nothing is told. Never waits.
    pub(super) fn testify(
        &self,
        entry: &Entry,
        trouble: Option<(&NoPolicy, &[u8])>,
        facts: Option<&NextHopFacts>,
        decided: Option<&DeliveryPolicy>,
    ) {
        let Some(witness) = self.witness.get() else { return };
        let now = self.now();
        // Uses answered from memory are known to the minute.
        if seconds(now).saturating_sub(entry.used) > 2 * USED_TO {
            return;
        }
        let live = entry.live(now).map(|held| (&held.cached.policy, held.body.as_slice()));
        let policy = live.or_else(|| {
            let policy = decided?.sts.as_ref()?;
            let held = entry.held.as_ref().filter(|held| held.cached.policy == *policy);
            Some((policy, held.map_or(&[][..], |held| &held.body)))
        });
        let seen = of_look(&Look {
            domain: &entry.key.domain,
            policy,
            trouble: trouble.map(|(trouble, _)| trouble),
            no_policy: trouble.map(|(_, served)| served),
            facts,
            level: decided.map(|decided| decided.level),
        });
        if !seen.is_empty() {
            witness.met(&entry.key.domain, seen);
        }
    }
}
