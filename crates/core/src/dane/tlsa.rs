//! TLSA records in text and wire form, and which of them an SMTP sender can use.

use serde::{Deserialize, Serialize};

/// One TLSA record with well-separated fields; usable or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tlsa {
    /// Certificate usage (RFC 7218): 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// 0 Cert, 1 SPKI.
    pub selector: u8,
    /// 0 Full, 1 SHA2-256, 2 SHA2-512.
    pub matching: u8,
    /// Association data.
    pub data: Vec<u8>,
}

/// Why a sender cannot use a record (RFC 7672 §3.1, reading A27).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Fewer than four octets, or text that is no record.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Usage 0 or 1 at port 25, or unknown.
    #[error("usage {0} is not used for SMTP")]
    Usage(u8),
    /// Unknown selector.
    #[error("selector {0} is unknown")]
    Selector(u8),
    /// Unknown matching type.
    #[error("matching type {0} is unknown")]
    Matching(u8),
    /// The data does not have the length of its digest, or is no certificate or key.
    #[error("the data does not fit matching type {matching}: {why}")]
    Data {
        /// The matching type.
        matching: u8,
        /// What is wrong.
        why: String,
    },
}
