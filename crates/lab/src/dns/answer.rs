//! From a question to an answer.
//!
//! The server holds every zone. To a stub (recursion desired) it speaks like a validating resolver:
//! aliases are followed across zones, AD says that everything is secure, what is bogus becomes SERVFAIL
//! unless checking is disabled (RFC 4035 §3.2). To a resolver (no recursion desired) it speaks like
//! the authoritative server of the deepest zone, and like the parent when DS is asked.

use std::collections::{BTreeMap, HashMap};

use super::name::Name;
use super::record::rtype;
use super::wire::{Message, Question, Rcode};
use super::zone::{Records, Reply, RrSet, Security, Zone};

/// How a name misbehaves, whatever its zone holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// SERVFAIL, also with checking disabled.
    ServFail,
    /// REFUSED.
    Refused,
    /// No answer at all.
    Silent,
    /// Validation fails for this name alone: SERVFAIL without CD, data with it.
    Bogus,
    /// An answer that is no DNS message beyond its header.
    Garbage,
}

/// What the zones and faults hold.
pub(crate) struct State {
    pub zones: BTreeMap<Name, Zone>,
    /// By name, for one type or for all (`None`).
    pub faults: HashMap<(Name, Option<u16>), Fault>,
}

/// Aliases followed in one answer.
const LONGEST_CHAIN: usize = 16;
const EDE_DNSSEC_BOGUS: u16 = 6;
const EDE_SIGNATURE_EXPIRED: u16 = 7;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Secure,
    Insecure,
    Bogus(u16),
}

impl State {
    /// The deepest zone that holds the name.
    pub(crate) fn zone_of(&self, name: &Name) -> Option<Name> {
        (0..=name.depth()).rev().map(|d| name.ancestor(d)).find(|apex| self.zones.contains_key(apex))
    }

    /// What validation says of data in a zone: the weakest link from the root down to it.
    fn status(&self, apex: &Name) -> Status {
        for depth in 0..=apex.depth() {
            match self.zones.get(&apex.ancestor(depth)).map(|z| z.security) {
                None | Some(Security::Signed) => {}
                Some(Security::Unsigned) => return Status::Insecure,
                Some(Security::Expired) => return Status::Bogus(EDE_SIGNATURE_EXPIRED),
                Some(Security::Bogus | Security::WrongDs) => return Status::Bogus(EDE_DNSSEC_BOGUS),
            }
        }
        Status::Secure
    }

    fn fault(&self, name: &Name, rtype: u16) -> Option<Fault> {
        if self.faults.is_empty() {
            return None;
        }
        self.faults
            .get(&(name.clone(), Some(rtype)))
            .or_else(|| self.faults.get(&(name.clone(), None)))
            .copied()
    }

    /// Answers; `None` stays silent.
    pub(crate) fn answer(&mut self, question: &Question) -> Option<Message> {
        let mut message = Message::default();
        let mut secure = true;
        let mut name = question.name.clone();
        for step in 0.. {
            if step > LONGEST_CHAIN {
                message = Message { rcode: Rcode::ServFail, ..Message::default() };
                break;
            }
            let mut bogus = None;
            match self.fault(&name, question.rtype) {
                Some(Fault::Silent) => return None,
                Some(Fault::ServFail) => {
                    return Some(Message { rcode: Rcode::ServFail, ..Message::default() });
                }
                Some(Fault::Refused) => return Some(Message { rcode: Rcode::Refused, ..Message::default() }),
                Some(Fault::Garbage) => return Some(Message { garbage: true, ..Message::default() }),
                Some(Fault::Bogus) => bogus = Some(EDE_DNSSEC_BOGUS),
                None => {}
            }
            let Some((apex, reply)) = self.reply(&name, question.rtype) else {
                return Some(Message { rcode: Rcode::Refused, ..Message::default() });
            };
            match self.status(&apex) {
                Status::Secure => {}
                Status::Insecure => secure = false,
                Status::Bogus(code) => bogus = Some(code),
            }
            if let Some(code) = bogus {
                if question.recursion_desired && !question.checking_disabled {
                    let rcode = Rcode::ServFail;
                    return Some(Message { rcode, extended_error: Some(code), ..Message::default() });
                }
                secure = false;
            }
            let spoil = |mut records: Records| {
                if bogus.is_some()
                    && let Some(last) = records.signature.as_mut().and_then(|s| s.last_mut())
                {
                    *last ^= 0xaa;
                }
                records
            };
            let (target, next_in_same_zone) = match reply {
                Reply::Found(records, proof) => {
                    message.answer.push(spoil(records));
                    message.authority.extend(proof);
                    break;
                }
                Reply::NoData(proof) => {
                    message.authority.extend(proof.into_iter().map(spoil));
                    break;
                }
                Reply::NxDomain(proof) => {
                    message.rcode = Rcode::NxDomain;
                    message.authority.extend(proof.into_iter().map(spoil));
                    break;
                }
                Reply::Alias(records, proof) => {
                    let target = records.set.data.first().and_then(|d| Name::from_wire(d)).map(|(n, _)| n);
                    message.answer.push(spoil(records));
                    message.authority.extend(proof);
                    let Some(target) = target else { break };
                    let same = self.zone_of(&target).as_ref() == Some(&apex);
                    (target, same)
                }
            };
            // An authoritative server stops where its zone ends.
            if !question.recursion_desired && !next_in_same_zone {
                break;
            }
            name = target;
        }
        message.authoritative = !question.recursion_desired;
        message.authentic = secure
            && question.recursion_desired
            && !question.checking_disabled
            && (question.dnssec_ok || question.authentic_data)
            && message.rcode != Rcode::ServFail;
        Some(message)
    }

    fn reply(&mut self, name: &Name, asked: u16) -> Option<(Name, Reply)> {
        if asked == rtype::DS && name.depth() > 0 {
            let parent = self.zone_of(&name.parent()?)?;
            let reply = self.zones.get_mut(&parent)?.look_up_ds(name);
            return Some((parent, reply));
        }
        let apex = self.zone_of(name)?;
        let reply = self.zones.get_mut(&apex)?.look_up(name, asked);
        Some((apex, reply))
    }
}

/// An answer that an attacker or a poisoned resolver gives: unsigned, without AD.
pub(crate) fn forged(question: &Question, set: &RrSet) -> Message {
    let records =
        Records { owner: question.name.clone(), rtype: question.rtype, set: set.clone(), signature: None };
    Message { answer: vec![records], ..Message::default() }
}
