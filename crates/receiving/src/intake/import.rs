//! An operator's import: files and folders of mails, JSON, gzip and zip, of any size.
//!
//! Everything streams: one walk, a few items read ahead, batches written as they fill; memory does not
//! grow with the folder. Importing again changes nothing, so an import that was ended anywhere is
//! simply started again.
//!
//! A bare file is believed because the operator vouches for it (`trusted`). A mail must prove itself by
//! its DKIM signature, checked now; where it cannot (old keys are gone), it is stored as `unverified`
//! with the reason, shown, and no evidence.

mod files;
mod mbox;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use mailward_core::Finding;
use mailward_core::rollout::Trust;
use mailward_store::StoreError;
use mailward_store::reports::{IncomingItem, Stored};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::conclude::Concluded;
use super::{Arrival, Inner, Intake, IntakeError, Source};
use files::{Found, Walk};

/// Items in one transaction.
const ITEMS: usize = 500;
/// Bytes in one transaction.
const BYTES: usize = 32 << 20;
/// Items read and examined ahead. Each may hold the largest mail.
const AHEAD: usize = 16;
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
        let found = walk(paths.to_vec(), self.inner.limits.input);
        let examined = found
            .map(|found| {
                let intake = self.clone();
                async move { intake.examine_found(found).await }
            })
            // In order: of two versions of a report the later one counts.
            .buffered(AHEAD);
        let mut examined = std::pin::pin!(examined);
        let mut totals = Totals::default();
        let mut writer = Writer::new(Arc::clone(&self.inner));
        while let Some(examined) = examined.next().await {
            if let Some(item) = totals.take(examined)?
                && writer.push(item, &mut totals).await?
            {
                progress(&totals);
            }
        }
        writer.finish(&mut totals).await?;
        progress(&totals);
        Ok(totals)
    }

    async fn examine_found(self, found: Found) -> Examined {
        let size = found.size;
        let bytes = match found.content {
            Ok(bytes) => bytes,
            Err(reason) => {
                return Examined { origin: found.origin, size, what: What::Unreadable(reason) };
            }
        };
        let arrival = Arrival {
            bytes,
            source: Source::Import,
            origin: found.origin.clone(),
            file_name: found.file_name,
            media_type: None,
            held_domain: None,
        };
        let what = match self.examine(arrival).await {
            Ok(concluded) => What::Concluded(concluded),
            Err(IntakeError::Unavailable(why)) => What::StoreFails(why),
            Err(error) => What::Unreadable(error.to_string()),
        };
        Examined { origin: found.origin, size, what }
    }
}

/// Walks on a thread of its own, a few items ahead.
fn walk(paths: Vec<PathBuf>, limit: usize) -> impl futures_util::Stream<Item = Found> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        for found in paths.iter().flat_map(|path: &PathBuf| Walk::new(Path::new(path), limit)) {
            if sender.blocking_send(found).is_err() {
                return;
            }
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|found| (found, receiver))
    })
}

struct Examined {
    origin: String,
    size: u64,
    what: What,
}

enum What {
    Concluded(Concluded),
    Unreadable(String),
    StoreFails(String),
}

/// Gathers a batch while the one before is written.
struct Writer {
    inner: Arc<Inner>,
    items: Vec<IncomingItem>,
    bytes: usize,
    writing: Option<JoinHandle<Result<Vec<Stored>, StoreError>>>,
}

impl Writer {
    fn new(inner: Arc<Inner>) -> Self {
        Self { inner, items: Vec::new(), bytes: 0, writing: None }
    }

    /// Returns whether a batch went on its way.
    async fn push(&mut self, item: IncomingItem, totals: &mut Totals) -> Result<bool, StoreError> {
        self.bytes += item.raw.len();
        self.items.push(item);
        if self.items.len() < ITEMS && self.bytes < BYTES {
            return Ok(false);
        }
        self.settle(totals).await?;
        let items = std::mem::take(&mut self.items);
        self.bytes = 0;
        let inner = Arc::clone(&self.inner);
        self.writing = Some(tokio::spawn(async move { inner.batcher.insert_all(&items).await }));
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
        if !self.items.is_empty() {
            let written = self.inner.batcher.insert_all(&self.items).await?;
            written.iter().for_each(|stored| totals.count(stored));
        }
        Ok(())
    }
}

impl Totals {
    /// Counts one item; returns it when it is to be stored.
    fn take(&mut self, examined: Examined) -> Result<Option<IncomingItem>, StoreError> {
        self.items += 1;
        self.bytes += examined.size;
        match examined.what {
            What::Concluded(Concluded::Item(item)) => {
                self.count_trust(&examined.origin, &item);
                Ok(Some(*item))
            }
            What::Concluded(Concluded::NotAReport { findings, .. }) => {
                self.not_reports += 1;
                self.example(examined.origin, &findings, "it is no report");
                Ok(None)
            }
            What::Unreadable(reason) => {
                self.unreadable += 1;
                self.example(examined.origin, &[], &reason);
                Ok(None)
            }
            What::StoreFails(why) => Err(StoreError::Unavailable(why)),
        }
    }

    fn count_trust(&mut self, origin: &str, item: &IncomingItem) {
        if item.content == mailward_store::reports::Content::Quarantined {
            return self.example(origin.to_owned(), &item.findings, "it cannot be counted");
        }
        match item.trust {
            Trust::DkimVerified => self.verified += 1,
            Trust::Trusted => self.trusted += 1,
            Trust::Unverified | Trust::Unauthenticated => self.unverified += 1,
        }
        self.untested += u64::from(item.dkim.as_ref().is_some_and(|dkim| dkim.verdict == "untested"));
    }

    fn count(&mut self, stored: &Stored) {
        self.new += u64::from(stored.new);
        self.duplicates += u64::from(stored.duplicates);
        self.revisions += u64::from(stored.revisions);
        self.quarantined += u64::from(stored.quarantined && stored.duplicates == 0);
    }

    fn example(&mut self, origin: String, findings: &[Finding], otherwise: &str) {
        if self.examples.len() < EXAMPLES {
            let first = findings.first();
            let reason = first.map_or(otherwise, |finding| finding.message.as_str()).to_owned();
            self.examples.push(Example { origin, id: first.map(|finding| finding.id.clone()), reason });
        }
    }
}
