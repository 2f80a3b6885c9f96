//! The TXT record at `_mta-sts.<domain>` (RFC 8461 §3.1).

use serde::{Deserialize, Serialize};

/// The record a sender uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StsRecord {
    /// 1 to 32 letters or digits; compared for equality only.
    pub id: String,
    /// Unknown fields in order, kept.
    pub extensions: Vec<(String, String)>,
}

/// Why there is a record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(pub String);
