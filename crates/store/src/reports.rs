//! Reports that others send us: the raw bytes, the normalised report, quarantine.
//!
//! One item that arrived (a mail, a POST, a file) is stored once by the hash of its bytes. Its reports
//! are keyed by (submitter, report-id, policy domain, start of range): the same key with the same
//! content is a duplicate, with other content a revision, of which the newest received counts.

use jiff::Timestamp;
use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::Report;
use mailward_core::{Finding, PolicyDomain};
use serde::{Deserialize, Serialize};

use crate::{Page, Result, Store};

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
    /// Reports that were there already.
    pub duplicates: u32,
    /// Reports that replace an earlier version.
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
    pub async fn insert_items(&self, items: &[IncomingItem]) -> Result<Vec<Stored>> {
        let _ = items;
        unimplemented!()
    }

    /// Newest received first; `before` is the number to continue below.
    pub async fn reports(
        &self,
        filter: &ReportFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<ReportRow>> {
        let _ = (filter, before, limit);
        unimplemented!()
    }

    /// One report by number.
    pub async fn report(&self, number: i64) -> Result<Option<StoredReport>> {
        let _ = number;
        unimplemented!()
    }

    /// Reports by their report-id (several submitters may use the same).
    pub async fn reports_by_id(&self, report_id: &str) -> Result<Vec<ReportRow>> {
        let _ = report_id;
        unimplemented!()
    }

    /// Reports whole, ascending by number, for export; superseded ones are left out.
    pub async fn export(&self, after: i64, limit: u32) -> Result<Page<StoredReport>> {
        let _ = (after, limit);
        unimplemented!()
    }

    /// The bytes of an item, unchanged.
    pub async fn raw_item(&self, item: i64) -> Result<Option<Vec<u8>>> {
        let _ = item;
        unimplemented!()
    }

    /// Quarantine, newest first.
    pub async fn quarantine(&self, before: Option<i64>, limit: u32) -> Result<Page<QuarantineRow>> {
        let _ = (before, limit);
        unimplemented!()
    }

    /// One quarantined item.
    pub async fn quarantined(&self, item: i64) -> Result<Option<QuarantineRow>> {
        let _ = item;
        unimplemented!()
    }
}
