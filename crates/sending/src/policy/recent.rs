//! The last decisions that were not simply told from memory, with their reasons: for people who ask "what
//! did it do just now".

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use serde::{Deserialize, Serialize};

/// How many are kept.
const KEPT: usize = 300;

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// When.
    pub at: Timestamp,
    /// The next hop.
    pub domain: PolicyDomain,
    /// Its port.
    pub port: u16,
    /// The decision in one word, as in `Document`.
    pub decision: String,
    /// The level that Postfix is told.
    pub level: String,
    /// Why, step by step.
    pub trace: Vec<String>,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// The list.
#[derive(Default)]
pub(super) struct RecentList(Mutex<VecDeque<Recent>>);

impl RecentList {
    pub(super) fn push(&self, recent: Recent) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.truncate(KEPT - 1);
        list.push_front(recent);
    }

    pub(super) fn newest_first(&self) -> Vec<Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
