//! The ways that senders take, and who stands in them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Switches one attacker on and off. At first it is off.
#[derive(Clone)]
pub struct Attacker {
    active: Arc<AtomicBool>,
    overheard: Overheard,
}

/// A mail that an attacker read, since nothing kept it from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMail {
    /// Envelope sender, empty for `<>`.
    pub from: String,
    /// Header and body, as on the wire.
    pub text: Vec<u8>,
}

/// What an attacker read. Shared by its connections.
#[derive(Clone, Default)]
pub(crate) struct Overheard(Arc<Mutex<Vec<ReadMail>>>);

impl Overheard {
    pub(crate) fn keep(&self, from: &str, text: Vec<u8>) {
        let mail = ReadMail { from: from.to_owned(), text };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
    }
}

impl Attacker {
    /// From now on it attacks.
    pub fn attack(&self) {
        self.active.store(true, Ordering::SeqCst);
    }

    /// It lets everything pass.
    pub fn relent(&self) {
        self.active.store(false, Ordering::SeqCst);
    }

    /// The mails that passed it in clear text, oldest first.
    pub fn overheard(&self) -> Vec<ReadMail> {
        self.overheard.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Placed {
    attacker: Attacker,
    senders: HashSet<String>,
    reach: Reach,
}

pub(crate) enum Reach {
    /// Connections to the first address go to the second instead.
    Path(SocketAddr, SocketAddr),
    /// This resolver is used instead.
    Resolver(SocketAddr),
}

/// The ways that senders take.
#[derive(Clone, Default)]
pub(crate) struct Paths {
    placed: Arc<Mutex<Vec<Arc<Placed>>>>,
}

impl Paths {
    fn active(&self, sender: &str) -> Vec<Arc<Placed>> {
        let placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        let stands =
            |p: &&Arc<Placed>| p.attacker.active.load(Ordering::SeqCst) && p.senders.contains(sender);
        placed.iter().filter(stands).cloned().collect()
    }

    /// Where a connection of this sender to an address really goes.
    pub(crate) fn route(&self, sender: &str, to: SocketAddr) -> SocketAddr {
        let diverted = self.active(sender).iter().find_map(|p| match p.reach {
            Reach::Path(victim, proxy) if victim == to => Some(proxy),
            _ => None,
        });
        diverted.unwrap_or(to)
    }

    /// The resolver that this sender believes, instead of the given one.
    pub(crate) fn resolver(&self, sender: &str, true_one: SocketAddr) -> SocketAddr {
        let poisoned = self.active(sender).iter().find_map(|p| match p.reach {
            Reach::Resolver(server) => Some(server),
            Reach::Path(..) => None,
        });
        poisoned.unwrap_or(true_one)
    }

    pub(crate) fn place(&self, senders: &[&str], reach: Reach, overheard: Overheard) -> Attacker {
        let attacker = Attacker { active: Arc::default(), overheard };
        let senders = senders.iter().map(|&s| s.to_owned()).collect();
        let placed = Placed { attacker: attacker.clone(), senders, reach };
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(placed));
        attacker
    }
}
