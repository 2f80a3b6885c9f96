//! Items made ready before the database is locked: hashes, packed bytes, JSON, parts. Pure.
//!
//! This is most of the work of storing, and needs no database: whoever takes in many items does it where
//! they were read ([`PreparedItem::new`]), and then holds the packed bytes instead of the unpacked ones.

use mailward_core::Finding;
use mailward_core::tlsrpt::{Report, content_hash};
use sha2::{Digest, Sha256};

use super::tally::{Part, parts};
use super::{Content, IncomingItem};
use crate::Result;
use crate::bytes::pack;
use crate::columns::{day_number, hash16, json, micros, number, trust_number};

/// 16 bytes by which parts are found.
pub(crate) type Key = [u8; 16];

/// An item made ready to be stored ([`crate::Store::insert_prepared`]).
#[derive(Debug)]
pub struct PreparedItem {
    pub(crate) hash: [u8; 32],
    pub(crate) deflated: i64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) size: i64,
    pub(crate) received_at: i64,
    pub(crate) source: String,
    pub(crate) origin: String,
    pub(crate) trust: i64,
    pub(crate) dkim: Option<String>,
    pub(crate) submitter: String,
    pub(crate) quarantined: bool,
    pub(crate) findings: String,
    pub(crate) reports: Vec<PreparedReport>,
    /// Whether it can be planned together with the item before it.
    pub(crate) follows: bool,
}

#[derive(Debug)]
pub(crate) struct PreparedReport {
    pub(crate) report_id: String,
    pub(crate) organization: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) day: i64,
    pub(crate) successful: i64,
    pub(crate) failed: i64,
    pub(crate) domains: String,
    pub(crate) findings: String,
    pub(crate) body: String,
    pub(crate) parts: Vec<PreparedPart>,
}

#[derive(Debug)]
pub(crate) struct PreparedPart {
    pub(crate) part: Part,
    /// (submitter, report-id or content, domain, start): one of these is current.
    pub(crate) key: Key,
    /// (submitter, domain, content): one of these counts.
    pub(crate) content: Key,
}

impl PreparedItem {
    /// Hashes, packs and boils an item down.
    ///
    /// # Errors
    /// [`crate::StoreError::Corrupt`] when something in it cannot be written as JSON, which nothing that
    /// was read from JSON is.
    pub fn new(item: &IncomingItem) -> Result<Self> {
        let hash = Sha256::digest(&item.raw).into();
        let size = number(item.raw.len() as u64);
        let submitter = item.submitter.trim().to_lowercase();
        let (quarantined, reports) = match &item.content {
            Content::Quarantined => (true, Vec::new()),
            Content::Reports(reports) => {
                let prepared =
                    reports.iter().map(|(report, findings)| prepare_report(&submitter, report, findings));
                (false, prepared.collect::<Result<_>>()?)
            }
        };
        let (deflated, bytes) = pack(&item.raw);
        Ok(Self {
            hash,
            deflated,
            bytes,
            size,
            received_at: micros(item.received_at),
            source: item.source.clone(),
            origin: item.origin.clone(),
            trust: trust_number(item.trust),
            dkim: item.dkim.as_ref().map(json).transpose()?,
            submitter,
            quarantined,
            findings: json(&item.findings)?,
            reports,
            follows: true,
        })
    }

    /// About as many bytes as it takes in memory.
    pub fn weight(&self) -> usize {
        let reports = self.reports.iter().map(|report| {
            let failures: usize = report.parts.iter().map(|part| part.part.failures.len()).sum();
            report.body.len() + report.findings.len() + report.domains.len() + 256 * failures
        });
        self.bytes.len() + self.findings.len() + self.origin.len() + reports.sum::<usize>() + 1024
    }
}

fn prepare_report(submitter: &str, report: &Report, findings: &[Finding]) -> Result<PreparedReport> {
    let content = content_hash(report);
    let start = micros(report.date_range.start_datetime);
    // Report-ids are compared byte by byte; without one the content stands in.
    let id: [&[u8]; 2] = match report.report_id.as_str() {
        "" => [b"content", &content],
        id => [b"id", id.as_bytes()],
    };
    let parts: Vec<PreparedPart> = parts(report)
        .into_iter()
        .map(|part| {
            let domain = part.domain.as_bytes();
            PreparedPart {
                key: hash16(&[submitter.as_bytes(), id[0], id[1], domain, &start.to_be_bytes()]),
                content: hash16(&[submitter.as_bytes(), domain, &content]),
                part,
            }
        })
        .collect();
    let domains: Vec<&str> = parts.iter().map(|p| p.part.domain.as_str()).filter(|d| !d.is_empty()).collect();
    let totals = report.totals();
    let sum = |of: fn(&mailward_core::tlsrpt::report::DomainTotals) -> u64| {
        number(totals.values().map(of).fold(0, u64::saturating_add))
    };
    Ok(PreparedReport {
        report_id: report.report_id.clone(),
        organization: report.organization_name.clone(),
        start,
        end: micros(report.date_range.end_datetime),
        day: day_number(report.date_range.day()),
        successful: sum(|t| t.successful),
        failed: sum(|t| t.failed),
        domains: json(&domains)?,
        findings: json(&findings)?,
        body: json(report)?,
        parts,
    })
}
