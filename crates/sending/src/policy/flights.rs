//! Lookups under way, one for each next hop: who asks for what is being looked up joins.
//!
//! A lookup is a task of its own and outlives those who wait for it. When what waits has been answered and
//! only a slow policy host keeps the task busy, it steps aside: a later question may look at the DNS
//! again, and goes by what is known of MTA-STS meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::entry::Key;

/// Lookups at once; each takes some ten kilobytes.
pub(super) const MOST: usize = 8192;

/// What those who wait get.
pub(super) type Receiver<T> = watch::Receiver<Option<Arc<T>>>;

/// The lookups.
pub(super) struct Flights<T> {
    lists: Mutex<Lists<T>>,
    most: usize,
}

struct Lists<T> {
    /// Those that may be joined.
    open: HashMap<Key, (u64, Receiver<T>)>,
    /// Those that only finish a fetch.
    aside: HashSet<Key>,
    next: u64,
}

/// How a question boards.
pub(super) enum Boarding<T: Send + Sync + 'static> {
    /// Somebody is at it: wait for this.
    Joined(Receiver<T>),
    /// Nobody was: carry this out, and wait for that.
    Begins(Flight<T>, Receiver<T>),
    /// There are too many.
    Full,
}

impl<T: Send + Sync + 'static> Flights<T> {
    pub(super) fn new(most: usize) -> Self {
        let lists = Lists { open: HashMap::new(), aside: HashSet::new(), next: 0 };
        Self { lists: Mutex::new(lists), most }
    }

    /// Joins the lookup of this key, or begins it.
    pub(super) fn board(self: &Arc<Self>, key: &Key) -> Boarding<T> {
        let mut lists = self.lock();
        if let Some((_, receiver)) = lists.open.get(key) {
            return Boarding::Joined(receiver.clone());
        }
        if lists.open.len() + lists.aside.len() >= self.most {
            return Boarding::Full;
        }
        let (sender, receiver) = watch::channel(None);
        lists.next += 1;
        let number = lists.next;
        lists.open.insert(key.clone(), (number, receiver.clone()));
        let flight = Flight {
            flights: Arc::clone(self),
            key: key.clone(),
            number,
            sender,
            is_aside: false,
            others_aside: lists.aside.contains(key),
        };
        Boarding::Begins(flight, receiver)
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        let lists = self.lock();
        lists.open.len() + lists.aside.len()
    }

    fn lock(&self) -> MutexGuard<'_, Lists<T>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lookup that is carried out; leaves the list when dropped, however that comes about.
pub(super) struct Flight<T: Send + Sync + 'static> {
    flights: Arc<Flights<T>>,
    pub(super) key: Key,
    number: u64,
    sender: watch::Sender<Option<Arc<T>>>,
    is_aside: bool,
    /// Another lookup of the same key still fetches: this one must not.
    pub(super) others_aside: bool,
}

impl<T: Send + Sync + 'static> Flight<T> {
    /// Tells those who wait, and those who will join.
    pub(super) fn tell(&self, landed: T) {
        self.sender.send_replace(Some(Arc::new(landed)));
    }

    /// Lets a new lookup of this key begin while this one finishes its fetch. One is enough.
    pub(super) fn step_aside(&mut self) {
        let mut lists = self.flights.lock();
        if !self.others_aside && lists.aside.insert(self.key.clone()) {
            self.is_aside = true;
            leave(&mut lists.open, &self.key, self.number);
        }
    }

    /// Whether it stepped aside.
    pub(super) fn is_aside(&self) -> bool {
        self.is_aside
    }
}

impl<T: Send + Sync + 'static> Drop for Flight<T> {
    fn drop(&mut self) {
        let mut lists = self.flights.lock();
        leave(&mut lists.open, &self.key, self.number);
        if self.is_aside {
            lists.aside.remove(&self.key);
        }
    }
}

fn leave<T>(open: &mut HashMap<Key, (u64, Receiver<T>)>, key: &Key, number: u64) {
    if open.get(key).is_some_and(|(other, _)| *other == number) {
        open.remove(key);
    }
}
