//! The log: every act with author, reason and time. Append only.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use serde::{Deserialize, Serialize};

use crate::{Page, Result, Store};

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Ascending.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// The domain it is about, if any.
    pub domain: Option<PolicyDomain>,
    /// `cli`, a token's name, `monitor`, …
    pub author: String,
    /// A verb: `add-domain`, `change-policy`, `remove-domain`, `excuse`, `release-quarantine`, …
    pub act: String,
    /// Why, in words.
    pub reason: String,
    /// What exactly, in words.
    pub detail: String,
}

impl Store {
    /// Appends; `number` of the entry is ignored.
    pub async fn append_log(&self, entry: &LogEntry) -> Result<()> {
        let _ = entry;
        unimplemented!()
    }

    /// Newest first; all domains when none is named. `before` is the number to continue below.
    pub async fn log(
        &self,
        domain: Option<&PolicyDomain>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<LogEntry>> {
        let _ = (domain, before, limit);
        unimplemented!()
    }
}
