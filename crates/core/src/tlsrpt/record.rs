//! The TXT record at `_smtp._tls.<domain>` (RFC 8460 §3).

use serde::{Deserialize, Serialize};

/// Where reports go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String")]
pub enum ReportUri {
    /// By mail: the address, and the URI as written.
    Mailto {
        /// The mailbox, percent-decoded.
        mailbox: String,
        /// As written.
        uri: String,
    },
    /// By HTTPS POST: the URI as written.
    Https(String),
}

impl From<ReportUri> for String {
    fn from(uri: ReportUri) -> Self {
        match uri {
            ReportUri::Mailto { uri, .. } | ReportUri::Https(uri) => uri,
        }
    }
}

/// The record a sender uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsrptRecord {
    /// Usable targets in order (reading B4); never empty in a usable record.
    pub rua: Vec<ReportUri>,
    /// Unknown fields in order, kept.
    pub extensions: Vec<(String, String)>,
}
