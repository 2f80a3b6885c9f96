//! Writes reports strictly by RFC 8460 §4.4 and §5: arrays, A-labels, UTC, and the names around them.
//!
//! [`Report`] is normalised already, so its members serialise as the RFC wants them; here stands what
//! depends on the way it is sent. The reporter composes the mail or the POST around it.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Report;
use crate::DomainName;

/// Media type of [`gzip`].
pub const GZIP_TYPE: &str = "application/tlsrpt+gzip";
/// Media type of [`json`].
pub const JSON_TYPE: &str = "application/tlsrpt+json";

/// The report as JSON on one line.
pub fn json(report: &Report) -> Vec<u8> {
    // Texts, integers and times into memory: nothing of this can fail.
    serde_json::to_vec(report).unwrap_or_default()
}

/// The report as gzip (RFC 8460 §5.1: compressed by default). The same report gives the same bytes.
pub fn gzip(report: &Report) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(&json(report)).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// Our own reports are small; nothing larger is unpacked.
const LARGEST: u64 = 64 << 20;

/// The JSON in what [`gzip`] made: the very text that leaves.
///
/// # Errors
/// In words, when it is no gzip.
pub fn text(gzip: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    GzDecoder::new(gzip).take(LARGEST).read_to_end(&mut text).map_err(|e| format!("our report: {e}"))?;
    Ok(text)
}

/// A report from what [`gzip`] made of it. What others send is read by [`super::parse`] instead.
///
/// # Errors
/// In words, when it is none.
pub fn unpacked(gzip: &[u8]) -> Result<Report, String> {
    serde_json::from_slice(&text(gzip)?).map_err(|e| format!("our report: {e}"))
}

/// A report-id `day.domain.unique@submitter`: it is at once the Report-ID of the Subject, since it has
/// neither colon nor blank.
pub fn report_id(
    begin: Timestamp,
    policy_domain: &DomainName,
    unique: &str,
    submitter: &DomainName,
) -> String {
    let day = begin.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string();
    format!("{day}.{policy_domain}.{}@{submitter}", identifier(unique))
}

/// The Subject of the mail (RFC 8460 §5.3), unfolded.
pub fn subject(policy_domain: &DomainName, submitter: &DomainName, report_id: &str) -> String {
    let id = match report_id.rsplit_once('@') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            format!("{}@{}", identifier(left), identifier(right))
        }
        _ => format!("{}@{submitter}", identifier(report_id)),
    };
    format!("Report Domain: {policy_domain} Submitter: {submitter} Report-ID: <{id}>")
}

/// A dot-atom (RFC 5322 §3.2.3): what else the text has becomes a dot between two letters.
fn identifier(text: &str) -> String {
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let parts: Vec<&str> = text.split(|c| !atom(c)).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "0".to_owned() } else { parts.join(".") }
}

#[cfg(test)]
mod tests;
