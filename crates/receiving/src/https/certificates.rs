//! Certificates from a directory, chosen by the name that a client asks for (SNI).
//!
//! The directory holds `NAME.crt` with `NAME.key`, or `NAME/fullchain.pem` with `NAME/privkey.pem`, as
//! ACME clients leave them. It is looked at every two seconds; a changed pair is taken up without
//! dropping a connection. A pair counts only as a whole: while certificate and key do not fit (one is
//! exchanged before the other) or cannot be read, the last good pair of that NAME stays in use and the
//! [`Status`] says so. An empty or missing directory is no fault: certificates may come later.
//!
//! A pair answers for the names inside its certificate, wildcards for exactly one label; NAME counts only
//! for a certificate without any.

mod pairs;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use mailward_core::Clock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::{Status, Stop};
use pairs::{Pair, Stamp};

/// How often the directory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The certificates of a directory. Cheap to clone; all clones show the same.
#[derive(Clone)]
pub struct Certificates {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    clock: Arc<dyn Clock>,
    table: ArcSwap<Table>,
    slots: Mutex<BTreeMap<String, Slot>>,
    status: Status,
}

/// What is known of one NAME.
struct Slot {
    stamp: Stamp,
    /// A file can change twice within the resolution of its times: read once more after a change.
    settled: bool,
    pair: Option<Arc<Pair>>,
    problem: Option<String>,
}

/// By name, best certificate first.
#[derive(Default)]
struct Table {
    exact: HashMap<String, Vec<Arc<Pair>>>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<String, Vec<Arc<Pair>>>,
}

impl Certificates {
    /// Reads the directory for the first time. Never fails: what cannot be read is in the status.
    pub fn open(directory: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        let certificates = Self {
            shared: Arc::new(Shared {
                directory: directory.into(),
                clock,
                table: ArcSwap::default(),
                slots: Mutex::default(),
                status: Status::starting("certificates"),
            }),
        };
        certificates.look(Look::Everything);
        certificates
    }

    /// Reads everything again now (SIGHUP).
    pub fn reload(&self) {
        self.look(Look::Everything);
    }

    /// Looks at the directory until told to stop.
    pub async fn run(self, mut stop: Stop) {
        while stop.sleep(LOOK_EVERY).await {
            let certificates = self.clone();
            // Files may lie on a slow disk; a panic there must not end the looking.
            let _ = tokio::task::spawn_blocking(move || certificates.look(Look::Changes)).await;
        }
    }

    /// Whether every pair could be used.
    pub fn status(&self) -> Status {
        self.shared.status.clone()
    }

    /// Names for which there is a certificate, as patterns, sorted.
    pub fn names(&self) -> Vec<String> {
        let table = self.shared.table.load();
        let mut names: Vec<String> = table.exact.keys().cloned().collect();
        names.extend(table.wildcard.keys().map(|base| format!("*.{base}")));
        names.sort();
        names
    }

    /// End of validity of the certificate that this name gets; `None` without one.
    pub fn expires(&self, name: &str) -> Option<Timestamp> {
        self.shared.table.load().find(name).next().map(|pair| pair.not_after)
    }

    fn look(&self, look: Look) {
        let found = match pairs::list(&self.shared.directory) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                // The pairs in use stay: a directory that cannot be read says nothing about them.
                let directory = self.shared.directory.display();
                return self.shared.status.works_but(format!("{directory} cannot be read: {error}"));
            }
        };
        let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = take_up(&mut slots, &found, look);
        let before = slots.len();
        slots.retain(|name, slot| found.contains_key(name) || !std::mem::replace(&mut slot.settled, true));
        changed |= slots.len() != before;
        if changed {
            self.shared.table.store(Arc::new(Table::of(&slots)));
        }
        self.tell(&slots);
    }

    fn tell(&self, slots: &BTreeMap<String, Slot>) {
        let now = self.shared.clock.now();
        let mut problems: Vec<String> = Vec::new();
        for (name, slot) in slots {
            if let Some(problem) = &slot.problem {
                let instead = if slot.pair.is_some() { "; the pair before stays in use" } else { "" };
                problems.push(format!("{name}: {problem}{instead}"));
            } else if let Some(pair) = slot.pair.as_ref().filter(|pair| pair.not_after < now) {
                problems.push(format!("{name}: the certificate expired at {}", pair.not_after));
            }
        }
        metrics::gauge!("mailward_certificates").set(slots.len() as f64);
        metrics::gauge!("mailward_certificates_faulty").set(problems.len() as f64);
        if problems.is_empty() {
            self.shared.status.works();
        } else {
            let more = problems.len().saturating_sub(5);
            problems.truncate(5);
            let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
            self.shared.status.works_but(problems.join("; ") + &rest);
        }
    }
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Changes,
    Everything,
}

/// Reads what is new; returns whether a pair in use changed.
fn take_up(slots: &mut BTreeMap<String, Slot>, found: &BTreeMap<String, pairs::Files>, look: Look) -> bool {
    let mut changed = false;
    for (name, files) in found {
        let stamp = files.stamp();
        let known = slots.get(name).filter(|slot| slot.stamp == stamp);
        if look == Look::Changes && known.is_some_and(|slot| slot.settled) {
            continue;
        }
        let settled = known.is_some();
        let read = pairs::read(files);
        let slot = slots.entry(name.clone()).or_insert(Slot {
            stamp: stamp.clone(),
            settled,
            pair: None,
            problem: None,
        });
        slot.stamp = stamp;
        slot.settled = settled;
        match read {
            Ok(pair) => {
                slot.problem = None;
                if slot.pair.as_ref().is_none_or(|old| old.content != pair.content) {
                    tracing::info!(name, not_after = %pair.not_after, "certificate taken up");
                    slot.pair = Some(Arc::new(pair));
                    changed = true;
                }
            }
            Err(problem) => slot.problem = Some(problem),
        }
    }
    changed
}

impl Table {
    fn of(slots: &BTreeMap<String, Slot>) -> Self {
        let mut table = Self::default();
        for pair in slots.values().filter_map(|slot| slot.pair.as_ref()) {
            for name in &pair.names {
                match name.strip_prefix("*.") {
                    Some(base) => table.wildcard.entry(base.to_owned()).or_default().push(Arc::clone(pair)),
                    None => table.exact.entry(name.clone()).or_default().push(Arc::clone(pair)),
                }
            }
        }
        for pairs in table.exact.values_mut().chain(table.wildcard.values_mut()) {
            pairs.sort_by_key(|pair| std::cmp::Reverse(pair.not_after));
        }
        for (name, slot) in slots {
            if let Some(pair) = slot.pair.as_ref().filter(|pair| pair.names.is_empty()) {
                table.exact.entry(name.to_ascii_lowercase()).or_default().push(Arc::clone(pair));
            }
        }
        table
    }

    /// Certificates for a name in any case: its own before wildcards, the longest valid first.
    fn find(&self, name: &str) -> impl Iterator<Item = &Arc<Pair>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let base = name.split_once('.').map(|(_, base)| base.to_owned());
        let exact = self.exact.get(&name).into_iter().flatten();
        exact.chain(base.and_then(|base| self.wildcard.get(&base)).into_iter().flatten())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 8461 §3.3: senders send the policy host in SNI. Without it nobody can be meant.
        let table = self.shared.table.load();
        let name = hello.server_name()?;
        let mut first = None;
        for pair in table.find(name) {
            if pair.key.key.choose_scheme(hello.signature_schemes()).is_some() {
                return Some(Arc::clone(&pair.key));
            }
            first.get_or_insert(pair);
        }
        first.map(|pair| Arc::clone(&pair.key))
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("directory", &self.shared.directory).finish_non_exhaustive()
    }
}

impl AsRef<Path> for Certificates {
    fn as_ref(&self) -> &Path {
        &self.shared.directory
    }
}
