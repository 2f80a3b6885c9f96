//! Which domains in use have a policy in testing mode: for the prober.

use mailward_core::mta_sts::{Mode, StsPolicy};
use mailward_core::{MxHost, PolicyDomain};

use super::Policies;
use super::entry::{Key, seconds, spread};
use super::packed::at;
use super::table::SHARDS;

/// Seconds of a day.
const DAY: u32 = 86_400;
/// The number of mode testing in `super::entry`.
const TESTING: u8 = 1;

/// A domain whose policy is in testing mode.
pub(crate) struct Testing {
    pub(crate) domain: PolicyDomain,
    pub(crate) policy: StsPolicy,
    /// The policy as fetched.
    pub(crate) body: Vec<u8>,
    /// Its MX hosts in order.
    pub(crate) mx: Vec<MxHost>,
}

impl Policies {
    /// Domains asked for within a day, with a live policy in testing mode, whose second of the day is one of
    /// `from..to` (of the epoch); at most `most`. Each domain has one second of the day, always the same.
    pub(crate) fn in_testing(&self, from: u32, to: u32, most: usize) -> Vec<Testing> {
        let inner = &self.inner;
        let (now, at_now) = (inner.now(), seconds(inner.now()));
        let mut due: Vec<Key> = Vec::new();
        for shard in 0..SHARDS {
            inner.table.sweep(shard, |packed| {
                let is_used = at_now.saturating_sub(packed.number(at::USED)) < DAY;
                if packed.byte(at::MODE) == TESTING && packed.port() == 25 && is_used && due.len() < most {
                    let name = packed.domain_text();
                    if is_within(spread(name, DAY), from, to)
                        && let Ok(domain) = PolicyDomain::parse(name)
                    {
                        due.push(Key { domain, port: 25 });
                    }
                }
                true
            });
        }
        let testing = due.into_iter().filter_map(|key| {
            let entry = inner.in_memory(&key)?;
            let held = entry.live(now).filter(|held| held.cached.policy.mode == Mode::Testing)?.clone();
            let mx = entry.branch.map(|branch| branch.mx).unwrap_or_default();
            Some(Testing { domain: key.domain, policy: held.cached.policy, body: held.body, mx })
        });
        testing.collect()
    }
}

/// Whether the second of some day falls into the span.
fn is_within(second: u32, from: u32, to: u32) -> bool {
    let midnight = from - from % DAY;
    [midnight, midnight.saturating_add(DAY)].iter().any(|day| (from..to).contains(&(day + second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_the_day_comes_once_a_day() {
        for second in [0, 1, 40_000, DAY - 1] {
            let minutes = (0..3 * 1440).map(|minute| 20_000 * DAY + 3_599 + minute * 60);
            let hits = minutes.filter(|from| is_within(second, *from, from + 60)).count();
            assert_eq!(hits, 3, "{second}");
        }
    }
}
