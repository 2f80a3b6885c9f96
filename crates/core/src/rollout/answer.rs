//! How one item of the gate is answered, before it gets its number and question.

use jiff::Timestamp;

use super::ItemState;

/// An item before it has its number and question.
pub(super) struct Answer {
    pub(super) state: ItemState,
    pub(super) evidence: String,
    pub(super) next: Vec<String>,
    /// When it can hold at the earliest, where that can be told.
    pub(super) earliest: Option<Timestamp>,
}

impl Answer {
    pub(super) fn holds(evidence: impl Into<String>) -> Self {
        Self { state: ItemState::Holds, evidence: evidence.into(), next: Vec::new(), earliest: None }
    }

    pub(super) fn obstacle<S: Into<String>>(
        evidence: impl Into<String>,
        next: impl IntoIterator<Item = S>,
    ) -> Self {
        let next = next.into_iter().map(Into::into).collect();
        Self { state: ItemState::Obstacle, evidence: evidence.into(), next, earliest: None }
    }

    pub(super) fn unknown<S: Into<String>>(
        evidence: impl Into<String>,
        next: impl IntoIterator<Item = S>,
    ) -> Self {
        Self { state: ItemState::Unknown, ..Self::obstacle(evidence, next) }
    }

    pub(super) fn not_before(mut self, earliest: Option<Timestamp>) -> Self {
        self.earliest = earliest;
        self
    }
}
