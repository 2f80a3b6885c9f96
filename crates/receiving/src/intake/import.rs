//! An operator's import: files and folders of mails, JSON, gzip and zip, of any size.
//!
//! Everything streams: one walk, a few lots of items read ahead, batches written as they fill; memory does
//! not grow with the folder. Importing again changes nothing, so an import that was ended anywhere is
//! simply started again.
//!
//! A bare file is believed because the operator vouches for it (`trusted`). A mail must prove itself by
//! its DKIM signature, checked now; where it cannot (old keys are gone), it is stored as `unverified`
//! with the reason, shown, and no evidence.

mod files;
mod lot;
mod mbox;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use mailward_core::Finding;
use mailward_core::rollout::Trust;
use mailward_store::StoreError;
use mailward_store::reports::{PreparedItem, Stored};
use tokio::task::JoinHandle;

use super::{Inner, Intake};
use lot::{Examined, Kind, What};

/// Items in one transaction: as many as fit one statement of the store.
const ITEMS: usize = 512;
/// Bytes in one transaction.
const BYTES: usize = 32 << 20;
/// Lots examined at once, if there are as many processors.
const LOTS: usize = 8;
/// Examples kept of what could not be taken.
const EXAMPLES: usize = 50;

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Items looked at: files, and mails inside an mbox.
    pub items: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Reports that are new.
    pub new: u64,
    /// Reports that were there already, and items that were in quarantine already.
    pub duplicates: u64,
    /// Reports that replace an earlier version.
    pub revisions: u64,
    /// Items set aside in quarantine.
    pub quarantined: u64,
    /// Items that are no report; nothing is kept of them.
    pub not_reports: u64,
    /// Items that could not be read at all.
    pub unreadable: u64,
    /// Items by trust: DKIM-verified, trusted (bare files), unverified.
    pub verified: u64,
    /// See `verified`.
    pub trusted: u64,
    /// See `verified`.
    pub unverified: u64,
    /// Of the unverified, those whose signature could not be tested (no DNS).
    pub untested: u64,
    /// The first fifty that were set aside or left out, with the reason.
    pub examples: Vec<Example>,
}

/// One item that was not taken as a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The file, and the number of the mail in an mbox.
    pub origin: String,
    /// The finding's id, where there is one.
    pub id: Option<String>,
    /// Why.
    pub reason: String,
}

/// Why an import ended before its end. What was written before is kept; starting again loses nothing.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A path given does not exist or cannot be opened.
    #[error("{path}: {error}")]
    Path {
        /// The path.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Intake {
    /// Imports files and folders (recursively, in the order of their names; hidden files and `tmp` of a
    /// maildir are passed over). `progress` is told the totals after each batch.
    ///
    /// # Errors
    /// When a path given does not exist, or the database fails.
    pub async fn import(
        &self,
        paths: &[PathBuf],
        mut progress: impl FnMut(&Totals),
    ) -> Result<Totals, ImportError> {
        for path in paths {
            std::fs::metadata(path)
                .map_err(|error| ImportError::Path { path: path.display().to_string(), error })?;
        }
        let lots = std::thread::available_parallelism().map_or(2, usize::from).min(LOTS);
        let examined = lot::walk(paths.to_vec(), self.inner.limits.input)
            .map(|found| lot::examine(self.clone(), found))
            // In order: of two versions of a report the later one counts.
            .buffered(lots);
        let mut examined = std::pin::pin!(examined);
        let mut totals = Totals::default();
        let mut writer = Writer::new(Arc::clone(&self.inner));
        while let Some(lot) = examined.next().await {
            for examined in lot? {
                if let Some(item) = totals.take(examined)
                    && writer.push(item, &mut totals).await?
                {
                    progress(&totals);
                }
            }
        }
        writer.finish(&mut totals).await?;
        progress(&totals);
        Ok(totals)
    }
}

/// Gathers a batch while the one before is written.
struct Writer {
    inner: Arc<Inner>,
    items: Vec<PreparedItem>,
    bytes: usize,
    writing: Option<JoinHandle<Result<Vec<Stored>, StoreError>>>,
}

impl Writer {
    fn new(inner: Arc<Inner>) -> Self {
        Self { inner, items: Vec::new(), bytes: 0, writing: None }
    }

    /// Returns whether a batch went on its way.
    async fn push(&mut self, item: PreparedItem, totals: &mut Totals) -> Result<bool, StoreError> {
        self.bytes += item.weight();
        self.items.push(item);
        if self.items.len() < ITEMS && self.bytes < BYTES {
            return Ok(false);
        }
        self.settle(totals).await?;
        let items = std::mem::take(&mut self.items);
        self.bytes = 0;
        let inner = Arc::clone(&self.inner);
        self.writing = Some(tokio::spawn(async move { inner.batcher.insert_all(items).await }));
        Ok(true)
    }

    /// Waits for the batch that is being written.
    async fn settle(&mut self, totals: &mut Totals) -> Result<(), StoreError> {
        if let Some(writing) = self.writing.take() {
            let written = writing.await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            written?.iter().for_each(|stored| totals.count(stored));
        }
        Ok(())
    }

    async fn finish(mut self, totals: &mut Totals) -> Result<(), StoreError> {
        self.settle(totals).await?;
        let written = self.inner.batcher.insert_all(self.items).await?;
        written.iter().for_each(|stored| totals.count(stored));
        Ok(())
    }
}

impl Totals {
    /// Counts one item; returns it when it is to be stored.
    fn take(&mut self, examined: Examined) -> Option<PreparedItem> {
        self.items += 1;
        self.bytes += examined.size;
        match examined.what {
            What::Item(item, kind) => {
                match kind {
                    Kind::Quarantined(why) => {
                        self.example(examined.origin, why.as_deref(), "it cannot be counted");
                    }
                    Kind::Reports { trust, untested } => {
                        self.untested += u64::from(untested);
                        match trust {
                            Trust::DkimVerified => self.verified += 1,
                            Trust::Trusted => self.trusted += 1,
                            Trust::Unverified | Trust::Unauthenticated => self.unverified += 1,
                        }
                    }
                }
                Some(*item)
            }
            What::NotAReport(why) => {
                self.not_reports += 1;
                self.example(examined.origin, why.as_ref(), "it is no report");
                None
            }
            What::Unreadable(reason) => {
                self.unreadable += 1;
                self.example(examined.origin, None, &reason);
                None
            }
        }
    }

    fn count(&mut self, stored: &Stored) {
        self.new += u64::from(stored.new);
        self.duplicates += u64::from(stored.duplicates);
        self.revisions += u64::from(stored.revisions);
        self.quarantined += u64::from(stored.quarantined && stored.duplicates == 0);
    }

    fn example(&mut self, origin: String, first: Option<&Finding>, otherwise: &str) {
        if self.examples.len() < EXAMPLES {
            let reason = first.map_or(otherwise, |finding| finding.message.as_str()).to_owned();
            self.examples.push(Example { origin, id: first.map(|finding| finding.id.clone()), reason });
        }
    }
}
