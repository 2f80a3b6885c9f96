//! The operator's words, as last read from the store: looked at before anything else.
//!
//! A snapshot that a question reads without waiting. While the store does not answer, the last snapshot
//! holds. Before the first one is there, questions wait for it a moment (see `super`), since an override
//! may be what keeps mail protected, or what lets it flow at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::delivery::{Override, Require};
use mailward_store::overrides::OverrideRow;
use mailward_store::{Store, StoreError};
use tokio::sync::Mutex;

use super::document::OperatorLine;

/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// By the domain in its canonical form.
type Words = HashMap<String, OverrideRow>;

/// The snapshot.
pub(super) struct Overrides {
    words: ArcSwap<Words>,
    loaded: AtomicBool,
    /// The version in the store; held while somebody reads.
    version: Mutex<Option<i64>>,
}

impl Overrides {
    pub(super) fn new() -> Self {
        Self { words: ArcSwap::default(), loaded: AtomicBool::new(false), version: Mutex::default() }
    }

    /// Whether there is a snapshot.
    pub(super) fn are_known(&self) -> bool {
        self.loaded.load(Relaxed)
    }

    /// Whether nothing is overridden, as with most operators.
    pub(super) fn are_none(&self) -> bool {
        self.words.load().is_empty()
    }

    /// The word for a domain, if it holds.
    pub(super) fn of(&self, domain: &PolicyDomain, now: Timestamp) -> Option<OverrideRow> {
        self.words.load().get(domain.as_str()).filter(|row| row.over.holds(now)).cloned()
    }

    /// What is required of a domain in its canonical form; for the quick way.
    pub(super) fn require(&self, domain: &str, now: Timestamp) -> Option<Require> {
        let words = self.words.load();
        let row = words.get(domain)?;
        row.over.holds(now).then_some(row.over.require)
    }

    /// Reads again if something changed. Returns the domains whose word is another now.
    pub(super) async fn refresh(&self, store: &Store) -> Result<Vec<String>, StoreError> {
        let mut known = self.version.lock().await;
        let version = in_time(store.overrides_version()).await?;
        if *known == Some(version) {
            return Ok(Vec::new());
        }
        let rows = in_time(store.overrides()).await?.into_iter();
        let words: Words = rows.map(|(domain, row)| (domain.to_string(), row)).collect();
        let before = self.words.swap(Arc::new(words));
        let now = self.words.load();
        let names = before.keys().chain(now.keys());
        let changed = names.filter(|name| before.get(*name) != now.get(*name)).cloned().collect();
        *known = Some(version);
        self.loaded.store(true, Relaxed);
        Ok(changed)
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Unavailable("it does not answer".to_owned())),
    }
}

/// As a document shows it.
pub(super) fn line(row: &OverrideRow) -> OperatorLine {
    OperatorLine { author: Some(row.author.clone()), ..line_of(&row.over) }
}

/// The same where nobody knows whose word it is.
pub(super) fn line_of(over: &Override) -> OperatorLine {
    OperatorLine { require: over.require, until: over.until, reason: over.reason.clone(), author: None }
}
