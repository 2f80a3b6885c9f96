//! Verdicts on one text, offline: what `mailward lint` says.
//!
//! `verdict` is what a sender (or receiver) does with the text; what only an auditor minds is a
//! finding. Faultless input has no `error` finding, and a text that cannot be used always has one.

use serde::Serialize;

use crate::Finding;

/// What a sender does with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordVerdict {
    /// It is used.
    Valid,
    /// It is no record of this kind.
    None,
    /// It is one, and cannot be used.
    Invalid,
}

/// A value read from text, and what an auditor has to say about the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Linted<T> {
    /// What a sender makes of it.
    pub value: T,
    /// Sorted.
    pub findings: Vec<Finding>,
}
