//! Reads every report that really comes: JSON, gzip, zip or a whole mail, with hard limits.
//!
//! Content decides, never a name or a media type. What deviates is an oddity (a [`Finding`]), not an
//! error; only what cannot be counted without lying is set aside, with its reason.

use jiff::Timestamp;

use super::Report;
use crate::Finding;

/// Hard limits on one item. `Default` gives the documented values.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a whole mail or body.
    pub input: usize,
    /// Bytes after unpacking, for the whole item.
    pub unpacked: usize,
    /// Levels of compression.
    pub levels: u8,
    /// Entries of a zip.
    pub zip_entries: usize,
    /// JSON nesting.
    pub depth: usize,
    /// Policies in one report.
    pub policies: usize,
    /// Failure details in one policy.
    pub details: usize,
    /// Bytes kept of one text.
    pub text: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input: 15 << 20,
            unpacked: 20_000_000,
            levels: 2,
            zip_entries: 100,
            depth: 64,
            policies: 10_000,
            details: 100_000,
            text: 4096,
        }
    }
}

/// What is known besides the bytes.
#[derive(Debug, Clone, Default)]
pub struct Incoming<'a> {
    /// File name, when it came as a file.
    pub file_name: Option<&'a str>,
    /// Media type, when it came with one.
    pub media_type: Option<&'a str>,
    /// The one held domain the receiving address or path belongs to.
    pub held_domain: Option<&'a crate::DomainName>,
}

/// Facts of the mail around a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailFacts {
    /// Domain of the From address, lower case.
    pub from_domain: Option<String>,
    /// `TLS-Report-Domain`, as written.
    pub report_domain: Option<String>,
    /// `TLS-Report-Submitter`, as written.
    pub report_submitter: Option<String>,
    /// Message-ID.
    pub message_id: Option<String>,
    /// Whether the report was found inside a forwarded message/rfc822 part: the outer signature says
    /// nothing about the reporter then (REP-008).
    pub forwarded: bool,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// One or more reports, each with its oddities.
    Accepted(Vec<(Report, Vec<Finding>)>),
    /// A report that cannot be counted: kept, listed with these findings (at least one REP-07x/080).
    Quarantined(Vec<Finding>),
    /// No report at all (REP-09x).
    NotAReport(Vec<Finding>),
}

/// Reads one item. `now` bounds impossible date ranges (REP-077).
pub fn parse(
    bytes: &[u8],
    incoming: &Incoming<'_>,
    limits: &Limits,
    now: Timestamp,
) -> (Parsed, Option<MailFacts>) {
    let _ = (bytes, incoming, limits, now);
    unimplemented!()
}
