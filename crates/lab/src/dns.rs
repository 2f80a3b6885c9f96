//! The DNS of the world: every zone, from the root down, at one address.
//!
//! Mailward's resolver asks it as a stub; a real unbound asks it as the authority for everything
//! (`stub-zone: "."`) and validates from the world's trust anchor. Records can be changed while it
//! runs. Answers are kept in their wire form until something changes, so that thousands of questions a
//! second cost little.

mod answer;
pub mod ask;
mod name;
mod record;
mod server;
mod signing;
mod wire;
mod zone;

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use answer::Fault;
pub use name::Name;
pub use record::{rdata, rtype, type_number};
pub use zone::Security;

pub(crate) use record::hex;
pub(crate) use server::serve;

use answer::State;
use wire::{Encoded, Question};
use zone::{RrSet, Zone};

/// Why the DNS cannot be edited so: the text that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DnsEditError(pub String);

impl From<String> for DnsEditError {
    fn from(why: String) -> Self {
        Self(why)
    }
}

type Edited<T = ()> = Result<T, DnsEditError>;

/// Seconds a record may be kept when nothing else is said.
pub const DEFAULT_TTL: u32 = 300;

/// The zones of the world and the server's memory. Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Responses in wire form, until the next change.
    responses: Mutex<HashMap<Question, Option<Arc<Encoded>>>>,
    questions: AtomicU64,
    name_server: Name,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// At most so many responses are kept; a flood of random names must not fill the memory.
const MOST_RESPONSES: usize = 200_000;

impl Dns {
    /// Only the signed root, with a name server at `address`.
    pub(crate) fn new(address: Ipv4Addr) -> Self {
        let name_server = Name::root().child("lab").child("ns");
        let root = Zone::new(Name::root(), Security::Signed, &name_server);
        let dns = Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    zones: BTreeMap::from([(Name::root(), root)]),
                    faults: HashMap::new(),
                }),
                responses: Mutex::new(HashMap::new()),
                questions: AtomicU64::new(0),
                name_server: name_server.clone(),
            }),
        };
        let set = RrSet { ttl: DEFAULT_TTL, data: vec![address.octets().to_vec()] };
        dns.put(&name_server, rtype::A, set);
        dns
    }

    fn edit<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut lock(&self.shared.state));
        lock(&self.shared.responses).clear();
        result
    }

    fn put(&self, owner: &Name, rtype: u16, set: RrSet) {
        self.edit(|state| {
            if let Some(zone) = state.zone_of(owner).and_then(|apex| state.zones.get_mut(&apex)) {
                zone.put(owner, rtype, set);
            }
        });
    }

    /// Makes a zone. Its top-level domain is made with it, signed, if it is not there yet. Records that
    /// exist at or below the apex move into it; a zone that exists is only given another security.
    ///
    /// # Errors
    /// When the name is none.
    pub fn zone(&self, apex: &str, security: Security) -> Edited {
        let apex = Name::parse(apex)?;
        self.edit(|state| {
            let top = apex.ancestor(1);
            if !state.zones.contains_key(&top) && top != apex {
                self.cut(state, &top, Security::Signed);
            }
            self.cut(state, &apex, security);
        });
        Ok(())
    }

    fn cut(&self, state: &mut State, apex: &Name, security: Security) {
        if apex.depth() == 0 {
            return;
        }
        let mut zone = Zone::new(apex.clone(), security, &self.shared.name_server);
        let own = [rtype::SOA, rtype::NS, rtype::DS, rtype::DNSKEY];
        if let Some(holder) = state.zone_of(apex).and_then(|holder| state.zones.get_mut(&holder)) {
            for (owner, rtype, set) in holder.take_below(apex) {
                if owner != *apex || !own.contains(&rtype) {
                    zone.put(&owner, rtype, set);
                }
            }
        }
        let parent = apex.parent().and_then(|above| state.zone_of(&above));
        if let Some(parent) = parent.and_then(|parent| state.zones.get_mut(&parent)) {
            parent.delegate(&zone);
        }
        state.zones.insert(apex.clone(), zone);
    }

    /// Sets all records of a type at a name, in the presentation format of [`rdata`]. None removes them.
    ///
    /// # Errors
    /// When name, type or data cannot be read.
    pub fn set(&self, owner: &str, rtype: &str, data: &[&str]) -> Edited {
        self.set_with_ttl(owner, rtype, DEFAULT_TTL, data)
    }

    /// As [`Self::set`], with another time to live.
    ///
    /// # Errors
    /// When name, type or data cannot be read.
    pub fn set_with_ttl(&self, owner: &str, rtype: &str, ttl: u32, data: &[&str]) -> Edited {
        let number = type_number(rtype)?;
        let data = data.iter().map(|text| rdata(number, text)).collect::<Result<_, _>>()?;
        self.put(&Name::parse(owner)?, number, RrSet { ttl, data });
        Ok(())
    }

    /// Adds one record to those of its type at its name.
    ///
    /// # Errors
    /// When name, type or data cannot be read.
    pub fn add(&self, owner: &str, rtype: &str, text: &str) -> Edited {
        let (owner, number) = (Name::parse(owner)?, type_number(rtype)?);
        let added = rdata(number, text)?;
        self.edit(|state| {
            if let Some(zone) = state.zone_of(&owner).and_then(|apex| state.zones.get_mut(&apex)) {
                let empty = RrSet { ttl: DEFAULT_TTL, data: vec![] };
                let mut set = zone.set_at(&owner, number).cloned().unwrap_or(empty);
                if !set.data.contains(&added) {
                    set.data.push(added);
                }
                zone.put(&owner, number, set);
            }
        });
        Ok(())
    }

    /// Removes all records of a type at a name.
    ///
    /// # Errors
    /// When name or type cannot be read.
    pub fn remove(&self, owner: &str, rtype: &str) -> Edited {
        self.set(owner, rtype, &[])
    }

    /// Makes a name misbehave, for one type or for all. `None` mends it.
    ///
    /// # Errors
    /// When name or type cannot be read.
    pub fn fault(&self, owner: &str, rtype: Option<&str>, fault: Option<Fault>) -> Edited {
        let key = (Name::parse(owner)?, rtype.map(type_number).transpose()?);
        self.edit(|state| match fault {
            Some(fault) => drop(state.faults.insert(key, fault)),
            None => drop(state.faults.remove(&key)),
        });
        Ok(())
    }

    /// How many questions were asked so far.
    pub fn questions(&self) -> u64 {
        self.shared.questions.load(Ordering::Relaxed)
    }

    /// The zones there are, the root first.
    pub fn zones(&self) -> Vec<String> {
        lock(&self.shared.state).zones.keys().map(Name::to_string).collect()
    }

    /// The root's key as a trust anchor file.
    pub fn trust_anchor(&self) -> String {
        let state = lock(&self.shared.state);
        state.zones.get(&Name::root()).map(Zone::anchor_line).unwrap_or_default()
    }

    /// The response to a question; `None` stays silent.
    fn respond(&self, question: &Question) -> Option<Arc<Encoded>> {
        self.shared.questions.fetch_add(1, Ordering::Relaxed);
        if let Some(known) = lock(&self.shared.responses).get(question) {
            return known.clone();
        }
        // The lock on the state is held until the response is kept, so that no change slips in between.
        let mut state = lock(&self.shared.state);
        let encoded = state.answer(question).map(|message| Arc::new(wire::encode(question, &message)));
        let mut responses = lock(&self.shared.responses);
        if responses.len() >= MOST_RESPONSES {
            responses.clear();
        }
        responses.insert(question.clone(), encoded.clone());
        encoded
    }
}

/// Answers that a resolver in an attacker's hands gives instead of the true ones.
#[derive(Clone, Default)]
pub struct Poison {
    answers: Arc<Mutex<HashMap<(Name, u16), RrSet>>>,
}

impl Poison {
    /// Forges all records of a type at a name.
    ///
    /// # Errors
    /// When name, type or data cannot be read.
    pub fn set(&self, owner: &str, rtype: &str, data: &[&str]) -> Edited {
        let number = type_number(rtype)?;
        let data = data.iter().map(|text| rdata(number, text)).collect::<Result<_, _>>()?;
        lock(&self.answers).insert((Name::parse(owner)?, number), RrSet { ttl: DEFAULT_TTL, data });
        Ok(())
    }

    fn forged(&self, question: &Question) -> Option<Encoded> {
        let answers = lock(&self.answers);
        let set = answers.get(&(question.name.clone(), question.rtype))?;
        Some(wire::encode(question, &answer::forged(question, set)))
    }
}

/// Where a server listens, and whose answers it gives.
pub(crate) struct Listener {
    pub address: SocketAddr,
    pub poison: Poison,
}
