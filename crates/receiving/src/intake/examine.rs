//! Reads and judges items, without storing them: as much as possible in one go on one thread.
//!
//! [`Inner::read`] parses an item and checks its signatures with the keys that are remembered. Only where
//! a key has to be asked for does the item come back ([`Read::Waits`]) and go on when the DNS has
//! answered. Whoever has many items reads a lot of them in one go: handing each to another thread and
//! back would cost more than reading it.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;

use jiff::Timestamp;
use mailward_core::DomainName;
use mailward_core::tlsrpt::authenticity::SignatureFacts;
use mailward_core::tlsrpt::{Incoming, MailFacts, Parsed, parse};

use super::conclude::{Concluded, conclude};
use super::dkim::Signatures;
use super::held::Known;
use super::keys::Key;
use super::{Arrival, Inner, IntakeError};

/// An item that was parsed.
pub(super) struct Parts {
    arrival: Arrival,
    pub(super) parsed: Parsed,
    mail: Option<MailFacts>,
    now: Timestamp,
}

/// How far reading came.
pub(super) enum Read {
    /// All is known.
    Done(Parts, Vec<SignatureFacts>),
    /// These keys are missing.
    Waits(Parts, Signatures),
}

impl Inner {
    /// Parses one item and checks its signatures as far as the keys are known.
    ///
    /// # Errors
    /// [`IntakeError::Faulty`] when this item made the reader panic.
    pub(super) fn read(&self, arrival: Arrival, now: Timestamp) -> Result<Read, IntakeError> {
        confined(|| {
            let incoming = Incoming {
                file_name: arrival.file_name.as_deref(),
                media_type: arrival.media_type.as_deref(),
                held_domain: arrival.held_domain.as_ref(),
            };
            let (parsed, mail) = parse(&arrival.bytes, &incoming, &self.limits, now);
            let parts = Parts { arrival, parsed, mail, now };
            if !parts.may_be_signed() {
                return Read::Done(parts, Vec::new());
            }
            let signatures = Signatures::read(&parts.arrival.bytes, now);
            match self.remembered(&signatures) {
                Some(keys) => {
                    let facts = self.facts(&parts, signatures, &keys);
                    Read::Done(parts, facts)
                }
                None => Read::Waits(parts, signatures),
            }
        })
    }

    /// Checks the signatures of an item that waited.
    ///
    /// # Errors
    /// As [`Inner::read`].
    pub(super) fn check(
        &self,
        parts: Parts,
        signatures: Signatures,
        keys: &HashMap<DomainName, Key>,
    ) -> Result<(Parts, Vec<SignatureFacts>), IntakeError> {
        confined(|| {
            let facts = self.facts(&parts, signatures, keys);
            (parts, facts)
        })
    }

    fn facts(
        &self,
        parts: &Parts,
        signatures: Signatures,
        keys: &HashMap<DomainName, Key>,
    ) -> Vec<SignatureFacts> {
        let key = |name: &DomainName| {
            let missing = || Key::Unknown("it was not looked up".to_owned());
            keys.get(name).cloned().unwrap_or_else(missing)
        };
        signatures.check(&parts.arrival.bytes, &self.verifier, key)
    }

    /// The keys of these signatures; `None` when one has to be asked for.
    fn remembered(&self, signatures: &Signatures) -> Option<HashMap<DomainName, Key>> {
        let known = |name: &DomainName| match &self.keys {
            Some(keys) => keys.remembered(name),
            None => Some(Key::Unknown("no resolver is configured".to_owned())),
        };
        signatures.wanted().map(|name| Some((name.clone(), known(name)?))).collect()
    }

    /// Asks for keys.
    pub(super) async fn ask(&self, names: BTreeSet<DomainName>) -> HashMap<DomainName, Key> {
        match &self.keys {
            Some(keys) if !names.is_empty() => keys.all(names).await,
            _ => HashMap::new(),
        }
    }
}

impl Parts {
    /// Signatures are of no interest where the item has no report, and where they do not speak for its
    /// reporter.
    fn may_be_signed(&self) -> bool {
        let mail = self.mail.as_ref().is_some_and(|mail| !mail.forwarded);
        mail && matches!(self.parsed, Parsed::Accepted(_)) && !self.arrival.source.is_posted()
    }

    /// Draws the conclusions. `limit` is that on the bytes of an item.
    pub(super) fn conclude(self, signatures: &[SignatureFacts], held: &Known, limit: usize) -> Concluded {
        let whole = self.arrival.bytes.len() <= limit;
        conclude(self.arrival, self.parsed, self.mail, signatures, held, whole, self.now)
    }
}

/// A panic of a reader is confined to its item.
pub(super) fn confined<T>(work: impl FnOnce() -> T) -> Result<T, IntakeError> {
    // Nothing is shared with the work but memories that mend themselves (keys) and what never changes.
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| IntakeError::Faulty(words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let message =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|s| s.as_str()));
    format!("reading it failed: {}", message.unwrap_or("no reason was given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_spoils_its_item_only() {
        let outcome = confined(|| -> u32 { panic!("{} is odd", 7) });
        assert_eq!(outcome, Err(IntakeError::Faulty("reading it failed: 7 is odd".to_owned())));
        assert_eq!(confined(|| 7), Ok(7));
    }
}
