//! Reports that others send us: the raw bytes, the normalised report, quarantine.
//!
//! One item that arrived (a mail, a POST, a file) is stored once by the hash of its bytes. Its reports
//! are keyed by (submitter, report-id, policy domain, start of range): the same key with the same
//! content is a duplicate, with other content a revision, of which the newest received counts (but see
//! [`plan`] for who may replace whom).
//!
//! Storing goes in steps: [`prepare`] (hash, pack, boil down by [`tally`]), [`lookup`] (what is known),
//! [`plan`] (what becomes of each, pure), [`sums`] (what changes in the sums, pure), [`write`]; all but the
//! first in one transaction. [`read`] has the lists, [`retention`] drops what is old.

use std::collections::HashMap;

use jiff::Timestamp;
use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::Report;
use mailward_core::{Finding, PolicyDomain};
use serde::{Deserialize, Serialize};

use crate::names::{Numbers, intern};
use crate::{Result, Store};

pub(crate) mod lookup;
mod plan;
pub(crate) mod prepare;
pub(crate) mod read;
pub(crate) mod retention;
mod sums;
pub(crate) mod tally;
pub(crate) mod write;

pub use prepare::PreparedItem;

/// What a DKIM check said (facts: reports in the wild, 2.9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimFacts {
    /// `pass`, `fail`, `none`, `untested`.
    pub verdict: String,
    /// d= of the signature that decided.
    pub signing_domain: Option<String>,
    /// s= of the signature that decided.
    pub selector: Option<String>,
    /// The `s=` service types of the key, as found; `None` when the key has none.
    pub key_services: Option<String>,
    /// Why, in words.
    pub detail: String,
}

/// One item as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingItem {
    /// The bytes, unchanged.
    pub raw: Vec<u8>,
    /// `https`, `maildir`, `import`, …
    pub source: String,
    /// Address, path or file it came from.
    pub origin: String,
    /// When.
    pub received_at: Timestamp,
    /// How far the source is believed.
    pub trust: Trust,
    /// DKIM, for mail.
    pub dkim: Option<DkimFacts>,
    /// The submitter by which reports are keyed, lower case: DKIM-verified domain, else the domain of
    /// contact-info, else the organization.
    pub submitter: String,
    /// What was read.
    pub content: Content,
    /// Findings about the whole item (DKIM, container, quarantine reasons).
    pub findings: Vec<Finding>,
}

/// What an item held.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Reports with their oddities.
    Reports(Vec<(Report, Vec<Finding>)>),
    /// Kept aside; `findings` of the item say why.
    Quarantined,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Number of the item, new or old.
    pub item: i64,
    /// Reports that are new.
    pub new: u32,
    /// Reports that were there already, also under another id.
    pub duplicates: u32,
    /// Reports that replace an earlier version, or came after a newer or better believed one.
    pub revisions: u32,
    /// Whether the item went to quarantine.
    pub quarantined: bool,
}

/// A report in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// Number of the report.
    pub number: i64,
    /// Number of the item that brought it.
    pub item: i64,
    /// Received.
    pub received_at: Timestamp,
    /// Submitter, lower case.
    pub submitter: String,
    /// organization-name.
    pub organization: String,
    /// report-id, as written.
    pub report_id: String,
    /// Domains reported on.
    pub domains: Vec<String>,
    /// First moment covered.
    pub start: Timestamp,
    /// Last moment covered.
    pub end: Timestamp,
    /// Counted once across policy types, added over domains.
    pub successful: u64,
    /// Likewise.
    pub failed: u64,
    /// Trust.
    pub trust: Trust,
    /// `https`, `maildir`, `import`.
    pub source: String,
    /// Whether a newer version counts instead.
    pub superseded: bool,
}

/// A report whole.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReport {
    /// The row of the list.
    pub row: ReportRow,
    /// Normalised.
    pub report: Report,
    /// Oddities of the report and findings of its item.
    pub findings: Vec<Finding>,
    /// DKIM, for mail.
    pub dkim: Option<DkimFacts>,
    /// Where it came from.
    pub origin: String,
}

/// A quarantined item in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuarantineRow {
    /// Number of the item.
    pub item: i64,
    /// Received.
    pub received_at: Timestamp,
    /// Source.
    pub source: String,
    /// Where from.
    pub origin: String,
    /// Why.
    pub findings: Vec<Finding>,
    /// Bytes.
    pub size: u64,
}

/// Which reports to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportFilter {
    /// Only this domain.
    pub domain: Option<PolicyDomain>,
    /// Only this submitter.
    pub submitter: Option<String>,
    /// Only with failures.
    pub failed_only: bool,
}

impl Store {
    /// Stores items durably, in one transaction; the results are in the order of the items. When this
    /// returns, the items are on disk. Idempotent: the same bytes again count as duplicates (1 for an
    /// item in quarantine). They raise the trust, DKIM facts and submitter of the item when they come
    /// with more trust, since a signature that could not be tested is tested again later.
    ///
    /// # Errors
    /// As every function here; nothing of the batch is stored then.
    pub async fn insert_items(&self, items: &[IncomingItem]) -> Result<Vec<Stored>> {
        let mut prepared = Vec::with_capacity(items.len());
        for item in items {
            prepared.push(PreparedItem::new(item)?);
            // Packing takes its time; others shall have theirs.
            tokio::task::yield_now().await;
        }
        self.insert_prepared(prepared).await
    }

    /// The same for items made ready by the caller, on whatever thread it liked.
    ///
    /// # Errors
    /// As [`Store::insert_items`].
    pub async fn insert_prepared(&self, mut prepared: Vec<PreparedItem>) -> Result<Vec<Stored>> {
        if prepared.is_empty() {
            return Ok(Vec::new());
        }
        split_at_repeats(&mut prepared);
        let mut write = self.engine.write().await?;
        let mut numbers = Numbers::lock(&mut write).await?;
        let mut stored = Vec::with_capacity(prepared.len());
        for items in prepared.chunk_by_mut(|_, next| next.follows) {
            let known_items = lookup::items(&mut write, items).await?;
            let known_parts = lookup::parts(&mut write, items, &known_items).await?;
            let names = intern(&mut write, &mut numbers, names(items)).await?;
            let mut plan = plan::Plan::new(known_items, known_parts);
            for item in items.iter() {
                plan.add(item, &names, &mut numbers);
            }
            plan.settle();
            write::carry_out(&mut write, &plan, items, &mut numbers).await?;
            stored.append(&mut plan.stored);
        }
        numbers.save(&mut write).await?;
        write.commit().await?;
        Ok(stored)
    }
}

/// The same bytes twice, first under a guessed submitter, then under the proven one: the second must find
/// the first stored. Everything up to there is carried out first, within the same transaction.
fn split_at_repeats(items: &mut [PreparedItem]) {
    let mut seen: HashMap<[u8; 32], String> = HashMap::new();
    for item in items {
        item.follows = seen.get(&item.hash).is_none_or(|submitter| *submitter == item.submitter);
        if !item.follows {
            seen.clear();
        }
        seen.insert(item.hash, item.submitter.clone());
    }
}

fn names(items: &[PreparedItem]) -> impl Iterator<Item = &str> {
    items.iter().flat_map(|item| {
        let domains = item.reports.iter().flat_map(|report| &report.parts).map(|p| p.part.domain.as_str());
        domains.chain(std::iter::once(item.submitter.as_str()))
    })
}
