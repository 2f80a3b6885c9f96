//! How often somebody may knock: a bucket for each source that refills over time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Sources remembered; at the limit those whose bucket is full again are forgotten, and if that does
/// not help, all: a flood from everywhere must not fill the memory.
const REMEMBERED: usize = 50_000;

/// Buckets of `burst` tokens that fill within `period`.
#[derive(Debug)]
pub(super) struct Rate<K> {
    burst: f64,
    period: Duration,
    buckets: Mutex<HashMap<K, (f64, Instant)>>,
}

impl<K: Hash + Eq> Rate<K> {
    pub(super) fn new(burst: u32, period: Duration) -> Self {
        Self { burst: burst.into(), period, buckets: Mutex::default() }
    }

    /// Takes `cost` tokens, or says how long until there are as many.
    pub(super) fn take(&self, key: K, cost: f64, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&key) {
            buckets.retain(|_, (level, at)| self.filled(*level, now.duration_since(*at)) < self.burst);
            if buckets.len() >= REMEMBERED {
                buckets.clear();
            }
        }
        let (level, at) = buckets.entry(key).or_insert((self.burst, now));
        *level = self.filled(*level, now.duration_since(*at));
        *at = now;
        if *level >= cost {
            *level -= cost;
            return Ok(());
        }
        let missing = (cost - *level) / self.burst;
        Err(self.period.mul_f64(missing.clamp(0.0, 1.0)))
    }

    fn filled(&self, level: f64, passed: Duration) -> f64 {
        let refill = self.burst * passed.as_secs_f64() / self.period.as_secs_f64().max(f64::MIN_POSITIVE);
        (level + refill).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_empty_and_fill_each_for_itself() {
        let rate = Rate::new(60, Duration::from_secs(60));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for turn in 0..60 {
            assert_eq!(rate.take("a", 1.0, at(0)), Ok(()), "{turn}");
        }
        assert_eq!(rate.take("a", 1.0, at(0)), Err(Duration::from_secs(1)));
        assert_eq!(rate.take("b", 1.0, at(0)), Ok(()), "another source has its own");
        assert_eq!(rate.take("a", 1.0, at(1)), Ok(()));
        assert_eq!(rate.take("a", 1.0, at(1)), Err(Duration::from_secs(1)));
        for turn in 0..60 {
            assert_eq!(rate.take("a", 1.0, at(3600)), Ok(()), "full again, {turn}");
        }
        assert!(rate.take("a", 1.0, at(3600)).is_err(), "and not more than full");
    }

    #[test]
    fn a_flood_from_everywhere_does_not_fill_the_memory() {
        let rate = Rate::new(1, Duration::from_secs(60));
        let now = Instant::now();
        for source in 0..REMEMBERED + 10 {
            let _ = rate.take(source, 1.0, now);
        }
        assert!(rate.buckets.lock().unwrap().len() <= REMEMBERED);
    }
}
