//! Datagrams seen before, byte for byte.
//!
//! Sessions that went well look the same each time for a domain and a policy, so most datagrams need not be
//! parsed: they are found, and counted where they are found. What was counted is taken out once a second.
//!
//! Two generations keep memory bounded: when the young one is full it becomes the old one, and what is seen
//! again moves to the young. Datagrams that never come again, as those with an EHLO answer that tells the
//! time, push nothing out that is in use.

use std::collections::HashMap;
use std::sync::Arc;

use mailward_core::tlsrpt::datagram::Datagram;

/// Bytes of one generation, about.
const GENERATION: usize = 24 << 20;
/// What an entry weighs beside its bytes; parsed, it has them again, in small pieces.
const ENTRY: usize = 512;
/// Longer datagrams are not kept.
const LONGEST: usize = 64 << 10;

/// What was seen, and how often since it was last taken out.
#[derive(Default)]
pub(super) struct Cache {
    young: Generation,
    old: Generation,
}

#[derive(Default)]
struct Generation {
    index: HashMap<Box<[u8]>, usize>,
    seen: Vec<Seen>,
    /// Those with a count.
    counted: Vec<usize>,
    weight: usize,
}

struct Seen {
    session: Arc<Datagram>,
    count: u64,
}

impl Cache {
    /// Counts a datagram that was seen before; `false` when it was not.
    ///
    /// Here as below, `taken` gets what was counted of entries that go.
    pub(super) fn count(&mut self, bytes: &[u8], taken: impl FnMut(&Datagram, u64)) -> bool {
        if let Some(at) = self.young.index.get(bytes) {
            let at = *at;
            self.young.count(at);
            return true;
        }
        let Some(at) = self.old.index.get(bytes) else { return false };
        let session = Arc::clone(&self.old.seen[*at].session);
        self.make_room(taken);
        self.young.add(bytes, session);
        true
    }

    /// Counts a datagram seen for the first time. Hands it back when it is not to be kept.
    pub(super) fn add(
        &mut self,
        bytes: &[u8],
        session: Datagram,
        taken: impl FnMut(&Datagram, u64),
    ) -> Option<Datagram> {
        if bytes.len() > LONGEST {
            return Some(session);
        }
        self.make_room(taken);
        self.young.add(bytes, Arc::new(session));
        None
    }

    fn make_room(&mut self, taken: impl FnMut(&Datagram, u64)) {
        if self.young.weight > GENERATION {
            self.old.take(taken);
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Takes out what was counted.
    pub(super) fn take(&mut self, mut taken: impl FnMut(&Datagram, u64)) {
        self.old.take(&mut taken);
        self.young.take(&mut taken);
    }
}

impl Generation {
    fn add(&mut self, bytes: &[u8], session: Arc<Datagram>) {
        let at = self.seen.len();
        self.weight += 3 * bytes.len() + ENTRY;
        self.index.insert(bytes.into(), at);
        self.seen.push(Seen { session, count: 0 });
        self.count(at);
    }

    fn count(&mut self, at: usize) {
        let seen = &mut self.seen[at];
        if seen.count == 0 {
            self.counted.push(at);
        }
        seen.count += 1;
    }

    fn take(&mut self, mut taken: impl FnMut(&Datagram, u64)) {
        for at in self.counted.drain(..) {
            let seen = &mut self.seen[at];
            taken(&seen.session, std::mem::take(&mut seen.count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailward_core::PolicyDomain;

    fn session(number: usize) -> Datagram {
        let domain = PolicyDomain::parse(&format!("d{number}.example")).unwrap();
        Datagram { domain, record: String::new(), policies: Vec::new(), odd_version: None }
    }

    fn padded(number: usize, length: usize) -> String {
        let digits = number.to_string();
        "0".repeat(length - digits.len()) + &digits
    }

    /// A cache, what was taken out of it, and the most that it ever weighed.
    #[derive(Default)]
    struct Counter {
        cache: Cache,
        taken: HashMap<PolicyDomain, u64>,
        heaviest: usize,
    }

    impl Counter {
        fn count(&mut self, number: usize, length: usize) {
            let bytes = padded(number, length);
            let mut note = |s: &Datagram, count| *self.taken.entry(s.domain.clone()).or_default() += count;
            if !self.cache.count(bytes.as_bytes(), &mut note)
                && let Some(unkept) = self.cache.add(bytes.as_bytes(), session(number), &mut note)
            {
                note(&unkept, 1);
            }
            self.heaviest = self.heaviest.max(self.cache.young.weight + self.cache.old.weight);
        }

        fn finish(&mut self) -> &HashMap<PolicyDomain, u64> {
            self.cache.take(|s, count| *self.taken.entry(s.domain.clone()).or_default() += count);
            self.cache.take(|_, _| panic!("taken twice"));
            &self.taken
        }
    }

    #[test]
    fn nothing_is_lost_however_much_goes_through() {
        // Few; more than a generation; more than both; too long to keep.
        for (distinct, length, times) in
            [(10, 200, 100), (3000, 4000, 2), (9000, 4000, 2), (3, LONGEST + 1, 4)]
        {
            let mut counter = Counter::default();
            for _ in 0..times {
                (0..distinct).for_each(|number| counter.count(number, length));
            }
            assert_eq!(counter.finish().len(), distinct);
            assert!(
                counter.taken.values().all(|count| *count == times as u64),
                "{distinct} {length} {times}"
            );
        }
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut counter = Counter::default();
        // One that is used all the time, new ones, and old ones that come back just before they go.
        for number in 1..20_000 {
            counter.count(0, 4000);
            counter.count(number, 4000);
            counter.count(number - number % 1500, 4000);
        }
        assert!(counter.heaviest <= 2 * (GENERATION + 3 * LONGEST + ENTRY), "{}", counter.heaviest);
        let kept =
            |counter: &mut Counter, number| counter.cache.count(padded(number, 4000).as_bytes(), |_, _| ());
        assert!(kept(&mut counter, 0));
        assert!(!kept(&mut counter, 7));
    }
}
