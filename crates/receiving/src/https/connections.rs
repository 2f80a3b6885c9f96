//! How many connections there are, in all and from each source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::source;

/// Counts connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    all: Arc<Semaphore>,
    per_source: usize,
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Room for one connection; taken before accepting, so that a full server leaves the rest to the
/// kernel's queue.
pub(super) struct Room(OwnedSemaphorePermit);

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _room: OwnedSemaphorePermit,
    source: Option<IpAddr>,
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Connections {
    pub(super) fn new(all: usize, per_source: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), per_source, sources: Arc::default() }
    }

    /// Waits until there is room.
    pub(super) async fn room(&self) -> Room {
        match Arc::clone(&self.all).acquire_owned().await {
            Ok(permit) => Room(permit),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// `None` when this source has too many already.
    pub(super) fn take(&self, room: Room, address: IpAddr) -> Option<Slot> {
        let source = (!address.to_canonical().is_loopback()).then(|| source(address));
        if let Some(source) = source {
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            let count = sources.entry(source).or_default();
            if *count >= self.per_source {
                return None;
            }
            *count += 1;
        }
        Some(Slot { _room: room.0, source, sources: Arc::clone(&self.sources) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(source) = self.source else { return };
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_source_cannot_take_all() {
        let connections = Connections::new(10, 2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut held = Vec::new();
        for (address, taken) in [
            ("192.0.2.1", true),
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("::ffff:192.0.2.1", false),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::3", true),
            ("127.0.0.1", true),
            ("127.0.0.1", true),
            ("127.0.0.1", true),
        ] {
            let room = connections.room().await;
            let slot = connections.take(room, ip(address));
            assert_eq!(slot.is_some(), taken, "{address}");
            held.extend(slot);
        }
        assert_eq!(connections.all.available_permits(), 2, "refused ones give their room back");
        held.clear();
        assert_eq!(connections.all.available_permits(), 10);
        assert!(connections.sources.lock().unwrap().is_empty(), "nothing is remembered of who is gone");
    }
}
