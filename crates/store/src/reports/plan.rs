//! Decides what becomes of incoming reports, given what is known. Pure: no database, no clock.
//!
//! Two rules meet here. *Versions*: of the parts with one key (submitter, report-id, domain, start) the
//! newest received is current, but never does a less believed source replace a more believed one: report
//! ids are easily guessed, and anybody can post. *Copies*: of the current parts with one content one
//! counts, under whatever ids it came, and it counts as the best believed of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Stored;
use super::lookup::{KnownItem, KnownPart};
use super::prepare::{Key, PreparedItem, PreparedPart, PreparedReport};
use crate::names::{Numbers, next};

/// One part, stored or new, as it will stand after the batch.
#[derive(Debug, Clone)]
pub(crate) struct PlannedPart {
    pub(crate) report: i64,
    pub(crate) item: i64,
    pub(crate) domain: i64,
    pub(crate) key: Key,
    pub(crate) content: Key,
    pub(crate) submitter: i64,
    pub(crate) day: i64,
    pub(crate) received_at: i64,
    pub(crate) successful: i64,
    pub(crate) failed: i64,
    pub(crate) organization: String,
    pub(crate) now: Standing,
    /// As stored; `None` for a new part.
    pub(crate) before: Option<Standing>,
}

/// How a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The newest of its key.
    pub(crate) current: bool,
    /// In the sums, at this trust: the best that came with its content.
    pub(crate) counted: Option<i64>,
    /// How far its own source is believed.
    pub(crate) trust: i64,
}

/// A report to insert: which prepared one, and its number.
#[derive(Debug, Clone)]
pub(crate) struct NewReport {
    pub(crate) number: i64,
    pub(crate) item_at: usize,
    pub(crate) report_at: usize,
}

/// What is to be done for one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemChange {
    Insert,
    /// The same bytes again, now readable or better believed.
    Update,
    Nothing,
}

#[derive(Default)]
pub(crate) struct Plan {
    /// One for each item, with its number.
    pub(crate) items: Vec<(i64, ItemChange)>,
    pub(crate) reports: Vec<NewReport>,
    pub(crate) parts: Vec<PlannedPart>,
    /// Reports that stand better now: trust and the item that proves it.
    pub(crate) raised: BTreeMap<i64, (i64, i64)>,
    /// Stored reports that go: their item turned out to be from another submitter.
    pub(crate) withdrawn: BTreeSet<i64>,
    /// One for each item.
    pub(crate) stored: Vec<Stored>,
    known_items: HashMap<Vec<u8>, KnownItem>,
    by_key: HashMap<Key, Vec<usize>>,
    by_content: HashMap<Key, Vec<usize>>,
}

enum Fate {
    New,
    Duplicate,
    Revision,
}

impl Plan {
    pub(crate) fn new(known_items: HashMap<Vec<u8>, KnownItem>, known_parts: Vec<KnownPart>) -> Self {
        let mut plan = Self { known_items, ..Self::default() };
        for part in known_parts {
            let (Ok(key), Ok(content)) = (part.key.try_into(), part.content.try_into()) else { continue };
            let standing = Standing { current: part.current != 0, counted: part.counted, trust: part.trust };
            plan.push(PlannedPart {
                report: part.report,
                item: part.item,
                domain: part.domain,
                key,
                content,
                submitter: part.submitter,
                day: part.day,
                received_at: part.received_at,
                successful: part.successful,
                failed: part.failed,
                organization: part.organization,
                now: standing,
                before: Some(standing),
            });
        }
        plan
    }

    /// Decides about the next item. `names` holds the number of every name in it.
    pub(crate) fn add(&mut self, item: &PreparedItem, names: &HashMap<String, i64>, numbers: &mut Numbers) {
        let item_at = self.items.len();
        let (number, change) = self.item(item, numbers);
        self.items.push((number, change));
        let known = self.known_items.get(item.hash.as_slice());
        let mut stored = Stored {
            item: number,
            new: 0,
            duplicates: u32::from(item.quarantined && change != ItemChange::Insert),
            revisions: 0,
            quarantined: known.is_some_and(|known| known.quarantined),
        };
        let submitter = names.get(&item.submitter).copied().unwrap_or_default();
        if known.is_some_and(|known| !known.quarantined && known.trust > item.trust) {
            // Known better already: a weaker look at the same bytes must not guess another submitter.
            stored.duplicates = u32::try_from(item.reports.len()).unwrap_or(u32::MAX).max(stored.duplicates);
            self.stored.push(stored);
            return;
        }
        let moved = change == ItemChange::Update && self.withdraw(number, submitter);
        for (report_at, report) in item.reports.iter().enumerate() {
            match self.report((item, number, item_at), (report, report_at), names, numbers) {
                Fate::New if moved => stored.duplicates += 1,
                Fate::New => stored.new += 1,
                Fate::Duplicate => stored.duplicates += 1,
                Fate::Revision => stored.revisions += 1,
            }
        }
        self.stored.push(stored);
    }

    fn item(&mut self, item: &PreparedItem, numbers: &mut Numbers) -> (i64, ItemChange) {
        let Some(known) = self.known_items.get_mut(item.hash.as_slice()) else {
            let number = next(&mut numbers.items);
            let known = KnownItem { number, quarantined: item.quarantined, trust: item.trust };
            self.known_items.insert(item.hash.to_vec(), known);
            return (number, ItemChange::Insert);
        };
        let readable = known.quarantined && !item.quarantined;
        let better = known.trust < item.trust && known.quarantined == item.quarantined;
        if !readable && !better {
            return (known.number, ItemChange::Nothing);
        }
        known.quarantined = item.quarantined;
        known.trust = known.trust.max(item.trust);
        (known.number, ItemChange::Update)
    }

    /// The signature of an item could not be tested at first, and its submitter was guessed from what the
    /// report says. Now that it is known, what was stored under the guess goes, and is stored anew.
    fn withdraw(&mut self, item: i64, submitter: i64) -> bool {
        let guessed = |part: &PlannedPart| part.item == item && part.submitter != submitter;
        let found: Vec<usize> = (0..self.parts.len()).filter(|at| guessed(&self.parts[*at])).collect();
        for &at in &found {
            self.retire(at);
            let PlannedPart { key, content, report, .. } = self.parts[at];
            self.withdrawn.insert(report);
            for copies in [self.by_key.get_mut(&key), self.by_content.get_mut(&content)].into_iter().flatten()
            {
                copies.retain(|other| *other != at);
            }
        }
        !found.is_empty()
    }

    fn report(
        &mut self,
        (item, item_number, item_at): (&PreparedItem, i64, usize),
        (report, report_at): (&PreparedReport, usize),
        names: &HashMap<String, i64>,
        numbers: &mut Numbers,
    ) -> Fate {
        if report.parts.iter().all(|part| self.version(part).is_some()) {
            for part in &report.parts {
                if let Some(same) = self.version(part) {
                    self.vouch(same, item.trust, item_number);
                }
            }
            return Fate::Duplicate;
        }
        let number = next(&mut numbers.reports);
        self.reports.push(NewReport { number, item_at, report_at });
        let (mut revised, mut counts) = (false, false);
        for part in &report.parts {
            let older = self.current(part.key);
            let current = older.is_none_or(|older| {
                replaces(
                    (item.trust, item.received_at),
                    (self.parts[older].now.trust, self.parts[older].received_at),
                )
            });
            revised |= older.is_some();
            if let Some(older) = older.filter(|_| current) {
                self.retire(older);
            }
            let holder = self.counted(part.content);
            let counted = Some(item.trust).filter(|_| current && holder.is_none());
            counts |= counted.is_some();
            self.push(PlannedPart {
                report: number,
                item: item_number,
                domain: names.get(&part.part.domain).copied().unwrap_or_default(),
                key: part.key,
                content: part.content,
                submitter: names.get(&item.submitter).copied().unwrap_or_default(),
                day: report.day,
                received_at: item.received_at,
                successful: part.part.successful,
                failed: part.part.failed,
                organization: report.organization.clone(),
                now: Standing { current, counted, trust: item.trust },
                before: None,
            });
        }
        match (revised, counts) {
            (true, _) => Fate::Revision,
            (false, true) => Fate::New,
            // The same content under another id: kept for the list, counted once.
            (false, false) => Fate::Duplicate,
        }
    }

    fn push(&mut self, part: PlannedPart) {
        let at = self.parts.len();
        self.by_key.entry(part.key).or_default().push(at);
        self.by_content.entry(part.content).or_default().push(at);
        self.parts.push(part);
    }

    /// The stored version with this key and this content.
    fn version(&self, part: &PreparedPart) -> Option<usize> {
        self.by_key.get(&part.key)?.iter().copied().find(|at| self.parts[*at].content == part.content)
    }

    fn current(&self, key: Key) -> Option<usize> {
        self.by_key.get(&key)?.iter().copied().find(|at| self.parts[*at].now.current)
    }

    fn counted(&self, content: Key) -> Option<usize> {
        self.by_content.get(&content)?.iter().copied().find(|at| self.parts[*at].now.counted.is_some())
    }

    /// A newer version takes its place: its sums are taken back, a waiting copy of it counts instead.
    fn retire(&mut self, at: usize) {
        self.parts[at].now.current = false;
        let Some(trust) = self.parts[at].now.counted.take() else { return };
        let copies = self.by_content.get(&self.parts[at].content);
        let copy = copies.and_then(|c| c.iter().copied().find(|at| self.parts[*at].now.current));
        if let Some(copy) = copy {
            self.parts[copy].now.counted = Some(trust);
        }
    }

    /// The same version came again from a source believed so far.
    fn vouch(&mut self, at: usize, trust: i64, item: i64) {
        let part = &mut self.parts[at];
        if part.now.trust >= trust {
            return;
        }
        part.now.trust = trust;
        self.raised.insert(part.report, (trust, item));
        if part.now.current {
            return;
        }
        // It had given way to a version that it outweighs now.
        let (received, key, content) = (part.received_at, part.key, part.content);
        let newer = self.current(key);
        if newer.is_none_or(|newer| {
            replaces((trust, received), (self.parts[newer].now.trust, self.parts[newer].received_at))
        }) {
            if let Some(newer) = newer {
                self.retire(newer);
            }
            let counted = Some(trust).filter(|_| self.counted(content).is_none());
            self.parts[at].now.current = true;
            self.parts[at].now.counted = counted;
        }
    }

    /// Gives each part that counts the best trust that came with its content; called when all are added.
    pub(crate) fn settle(&mut self) {
        for copies in self.by_content.values() {
            let best = copies.iter().map(|at| self.parts[*at].now.trust).max();
            if let Some(holder) = copies.iter().find(|at| self.parts[**at].now.counted.is_some()) {
                self.parts[*holder].now.counted = best;
            }
        }
    }
}

/// Evidence is worth the same from either source; below, HTTPS is worth more than unsigned mail.
fn rank(trust: i64) -> i64 {
    trust.min(2)
}

fn replaces((trust, received): (i64, i64), (old_trust, old_received): (i64, i64)) -> bool {
    match rank(trust).cmp(&rank(old_trust)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => received >= old_received,
        std::cmp::Ordering::Greater => true,
    }
}
