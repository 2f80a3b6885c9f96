//! One zone: its records, how it answers yes and no, and the proofs for both.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::name::Name;
use super::record::rtype;
use super::signing::{Validity, ZoneKey, nsec};

/// How a zone stands to DNSSEC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Signed, with a DS record at the parent.
    Signed,
    /// Not signed; the parent proves that there is no DS record.
    Unsigned,
    /// Signed, but the signatures do not verify.
    Bogus,
    /// Signed, but the signatures are over.
    Expired,
    /// Signed, but the DS record at the parent belongs to another key.
    WrongDs,
}

/// Records of one type at one name.
#[derive(Debug, Clone)]
pub(crate) struct RrSet {
    pub ttl: u32,
    pub data: Vec<Vec<u8>>,
}

/// Records to put into an answer.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    pub owner: Name,
    pub rtype: u16,
    pub set: RrSet,
    /// Data of the RRSIG, when the zone is signed.
    pub signature: Option<Vec<u8>>,
}

/// What a zone says to a question.
pub(crate) enum Reply {
    /// The records asked for; after expansion of a wildcard with the proof that the name itself is not there.
    Found(Records, Vec<Records>),
    /// The name is an alias.
    Alias(Records, Vec<Records>),
    /// Not with this type: SOA and proof.
    NoData(Vec<Records>),
    /// No such name: SOA and proof.
    NxDomain(Vec<Records>),
}

pub(crate) struct Zone {
    pub apex: Name,
    pub security: Security,
    key: ZoneKey,
    records: BTreeMap<Name, BTreeMap<u16, RrSet>>,
    signatures: HashMap<(Name, u16), Vec<u8>>,
}

/// Seconds that a "no" may be kept.
const NEGATIVE_TTL: u32 = 60;

impl Zone {
    pub(crate) fn new(apex: Name, security: Security, name_server: &Name) -> Self {
        let mut soa = Vec::new();
        name_server.write(&mut soa);
        name_server.child("hostmaster").write(&mut soa);
        for number in [1u32, 3600, 600, 86400, NEGATIVE_TTL] {
            soa.extend_from_slice(&number.to_be_bytes());
        }
        let mut ns = Vec::new();
        name_server.write(&mut ns);
        let mut zone = Self {
            apex: apex.clone(),
            security,
            key: ZoneKey::generate(),
            records: BTreeMap::new(),
            signatures: HashMap::new(),
        };
        zone.put(&apex, rtype::SOA, RrSet { ttl: 300, data: vec![soa] });
        zone.put(&apex, rtype::NS, RrSet { ttl: 300, data: vec![ns] });
        if security != Security::Unsigned {
            let data = vec![zone.key.dnskey().to_vec()];
            zone.put(&apex, rtype::DNSKEY, RrSet { ttl: 300, data });
        }
        zone
    }

    /// The line that makes this zone a trust anchor.
    pub(crate) fn anchor_line(&self) -> String {
        self.key.anchor_line(&self.apex)
    }

    /// Delegates a zone below this one: NS, and DS unless the child is unsigned.
    pub(crate) fn delegate(&mut self, child: &Self) {
        self.take_below(&child.apex);
        if let Some(ns) = child.records.get(&child.apex).and_then(|sets| sets.get(&rtype::NS)) {
            self.put(&child.apex, rtype::NS, ns.clone());
        }
        let ds = match child.security {
            Security::Unsigned => return,
            Security::WrongDs => ZoneKey::generate().ds(&child.apex),
            Security::Signed | Security::Bogus | Security::Expired => child.key.ds(&child.apex),
        };
        self.put(&child.apex, rtype::DS, RrSet { ttl: 300, data: vec![ds] });
    }

    /// Sets all records of a type at a name; no data removes them.
    pub(crate) fn put(&mut self, owner: &Name, rtype: u16, set: RrSet) {
        self.signatures.clear();
        let at_name = self.records.entry(owner.clone()).or_default();
        if set.data.is_empty() {
            at_name.remove(&rtype);
        } else {
            at_name.insert(rtype, set);
        }
        if at_name.is_empty() {
            self.records.remove(owner);
        }
    }

    pub(crate) fn set_at(&self, owner: &Name, rtype: u16) -> Option<&RrSet> {
        self.records.get(owner)?.get(&rtype)
    }

    /// Everything at or below a name, taken out (a zone of its own is made of it).
    pub(crate) fn take_below(&mut self, apex: &Name) -> Vec<(Name, u16, RrSet)> {
        let names: Vec<Name> = self
            .records
            .range(apex.clone()..)
            .take_while(|(name, _)| name.is_within(apex))
            .map(|(name, _)| name.clone())
            .collect();
        self.signatures.clear();
        names
            .into_iter()
            .filter_map(|name| self.records.remove(&name).map(|sets| (name, sets)))
            .flat_map(|(name, sets)| sets.into_iter().map(move |(rtype, set)| (name.clone(), rtype, set)))
            .collect()
    }

    /// Answers for a name within the zone.
    pub(crate) fn look_up(&mut self, name: &Name, asked: u16) -> Reply {
        if let Some(sets) = self.records.get(name) {
            return match pick(sets, asked) {
                Some(rtype) => {
                    let records = self.signed(name, name, rtype);
                    if rtype == asked { Reply::Found(records, vec![]) } else { Reply::Alias(records, vec![]) }
                }
                None => Reply::NoData(self.denial(&[name])),
            };
        }
        if self.has_names_below(name) {
            // An empty non-terminal: the name exists without records, as `_tcp.mx.example.test` does.
            return Reply::NoData(self.denial(&[name]));
        }
        let encloser = self.closest_encloser(name);
        let wildcard = encloser.child("*");
        match self.records.get(&wildcard).map(|sets| pick(sets, asked)) {
            None => Reply::NxDomain(self.denial(&[name, &wildcard])),
            Some(None) => Reply::NoData(self.denial(&[name, &wildcard])),
            Some(Some(rtype)) => {
                let records = self.signed(name, &wildcard, rtype);
                // RFC 4035 §3.1.3.3: prove that the name itself does not exist.
                let proof = self.nsec_for(name).into_iter().collect();
                if rtype == asked { Reply::Found(records, proof) } else { Reply::Alias(records, proof) }
            }
        }
    }

    /// What the parent's side of a cut says of the child's DS records.
    pub(crate) fn look_up_ds(&mut self, child: &Name) -> Reply {
        match self.set_at(child, rtype::DS) {
            Some(_) => Reply::Found(self.signed(child, child, rtype::DS), vec![]),
            None => self.look_up(child, rtype::DS),
        }
    }

    fn has_names_below(&self, name: &Name) -> bool {
        self.records
            .range((Bound::Excluded(name), Bound::Unbounded))
            .next()
            .is_some_and(|(next, _)| next.is_within(name))
    }

    fn closest_encloser(&self, name: &Name) -> Name {
        let mut encloser = name.parent().unwrap_or_else(Name::root);
        while encloser.depth() > self.apex.depth()
            && !self.records.contains_key(&encloser)
            && !self.has_names_below(&encloser)
        {
            encloser = encloser.parent().unwrap_or_else(Name::root);
        }
        encloser
    }

    /// The records at `source`, shown at `owner` (they differ when a wildcard is expanded).
    fn signed(&mut self, owner: &Name, source: &Name, rtype: u16) -> Records {
        let set = self.set_at(source, rtype).cloned().unwrap_or(RrSet { ttl: 0, data: vec![] });
        let signature = self.signature(source, rtype, &set);
        Records { owner: owner.clone(), rtype, set, signature }
    }

    fn signature(&mut self, owner: &Name, rtype: u16, set: &RrSet) -> Option<Vec<u8>> {
        // At a cut the NS records belong to the child and are not signed here (RFC 4035 §2.2).
        let is_cut = *owner != self.apex && rtype == rtype::NS;
        if self.security == Security::Unsigned || is_cut {
            return None;
        }
        let key = (owner.clone(), rtype);
        if let Some(known) = self.signatures.get(&key) {
            return Some(known.clone());
        }
        let validity = if self.security == Security::Expired { Validity::OVER } else { Validity::LONG };
        let mut signature = self.key.sign(&self.apex, owner, rtype, set.ttl, &set.data, validity);
        if self.security == Security::Bogus
            && let Some(last) = signature.last_mut()
        {
            *last ^= 0x55;
        }
        self.signatures.insert(key, signature.clone());
        Some(signature)
    }

    /// SOA, and in a signed zone the NSEC records that match or cover the names (RFC 4035 §3.1.3).
    fn denial(&mut self, names: &[&Name]) -> Vec<Records> {
        let apex = self.apex.clone();
        let mut soa = self.signed(&apex, &apex, rtype::SOA);
        soa.set.ttl = NEGATIVE_TTL;
        let mut proof = vec![soa];
        for name in names {
            if let Some(nsec) = self.nsec_for(name)
                && !proof.iter().any(|r| r.rtype == rtype::NSEC && r.owner == nsec.owner)
            {
                proof.push(nsec);
            }
        }
        proof
    }

    /// The NSEC record at the name, or at the last name before it.
    fn nsec_for(&mut self, name: &Name) -> Option<Records> {
        if self.security == Security::Unsigned {
            return None;
        }
        let (owner, sets) = self.records.range(..=name.clone()).next_back()?;
        let types: Vec<u16> = sets.keys().copied().collect();
        let next = self.records.range((Bound::Excluded(owner), Bound::Unbounded)).next().map(|(n, _)| n);
        // The last name points back to the apex (RFC 4034 §4.1.1).
        let data = nsec(next.unwrap_or(&self.apex), &types);
        let (owner, set) = (owner.clone(), RrSet { ttl: NEGATIVE_TTL, data: vec![data] });
        let signature = self.signature(&owner, rtype::NSEC, &set);
        Some(Records { owner, rtype: rtype::NSEC, set, signature })
    }
}

/// The type to answer with: the one asked, or an alias.
fn pick(sets: &BTreeMap<u16, RrSet>, asked: u16) -> Option<u16> {
    [asked, rtype::CNAME].into_iter().find(|rtype| sets.contains_key(rtype))
}
