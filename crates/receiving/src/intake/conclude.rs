//! From what was read of an item to what is stored: trust, submitter, and domains that are not ours.

use jiff::Timestamp;
use mailward_core::finding;
use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::authenticity::{self, SignatureFacts};
use mailward_core::tlsrpt::{MailFacts, Parsed, Report};
use mailward_core::{DomainName, Finding, Severity};
use mailward_store::reports::{Content, DkimFacts, IncomingItem};

use super::held::Known;
use super::{Arrival, Source, base_domain};

/// Largest item of an unauthenticated source that is kept although it is no report: anybody could fill
/// the disk with more.
const GARBAGE_KEPT: usize = 256 * 1024;

/// What is to be done with an item.
#[derive(Debug)]
pub(super) enum Concluded {
    /// To be stored.
    Item(Box<IncomingItem>),
    /// No report. `keep` is set where the bytes would be lost otherwise: a post has no other copy.
    NotAReport { findings: Vec<Finding>, keep: Option<Box<IncomingItem>> },
}

/// Concludes. `whole` is false where the bytes were cut at the limit: what is cut is not kept, the file
/// stays where it lies.
pub(super) fn conclude(
    arrival: Arrival,
    parsed: Parsed,
    mail: Option<MailFacts>,
    signatures: &[SignatureFacts],
    held: &Known,
    whole: bool,
    now: Timestamp,
) -> Concluded {
    let source = arrival.source.clone();
    let size = arrival.bytes.len();
    let mail = mail.filter(|_| !source.is_posted());
    let is_mail = mail.is_some();
    let aside = |arrival: Arrival, findings: Vec<Finding>| {
        Box::new(IncomingItem {
            source: arrival.source.as_str().to_owned(),
            origin: arrival.origin,
            received_at: now,
            trust: weakest(&arrival.source, is_mail),
            dkim: None,
            submitter: String::new(),
            content: Content::Quarantined,
            findings,
            raw: arrival.bytes,
        })
    };
    match parsed {
        Parsed::Quarantined(findings) => {
            if !whole || (source == Source::Https && size > GARBAGE_KEPT) {
                return Concluded::NotAReport { findings, keep: None };
            }
            Concluded::Item(aside(arrival, findings))
        }
        Parsed::NotAReport(findings) => {
            let keep = (source.is_posted() && size > 0 && size <= GARBAGE_KEPT)
                .then(|| aside(arrival, findings.clone()));
            Concluded::NotAReport { findings, keep }
        }
        Parsed::Accepted(mut reports) => {
            base_domain::resolve(&mut reports, mail.as_ref(), held);
            let (reports, strangers) = sort_out(reports, &source, held);
            if reports.is_empty() {
                return Concluded::Item(aside(arrival, strangers));
            }
            let authenticity = authenticate(&source, mail.as_ref(), signatures, &reports);
            let mut findings = authenticity.findings;
            findings.extend(strangers);
            finding::sort(&mut findings);
            Concluded::Item(Box::new(IncomingItem {
                source: source.as_str().to_owned(),
                origin: match &source {
                    Source::HttpsTrusted(name) => format!("{} ({name})", arrival.origin),
                    _ => arrival.origin,
                },
                received_at: now,
                trust: authenticity.trust,
                dkim: authenticity.dkim,
                submitter: authenticity.submitter,
                content: Content::Reports(reports),
                findings,
                raw: arrival.bytes,
            }))
        }
    }
}

/// What a source is believed without any proof by the item itself. What the operator hands over as a
/// bare file is vouched for by the operator; a mail must prove itself, whoever hands it over.
fn weakest(source: &Source, is_mail: bool) -> Trust {
    match (source, is_mail) {
        (Source::HttpsTrusted(_), _) | (Source::Import, false) => Trust::Trusted,
        (Source::Https, _) => Trust::Unauthenticated,
        (Source::Maildir | Source::Import, _) => Trust::Unverified,
    }
}

type Reports = Vec<(Report, Vec<Finding>)>;

/// Leaves out what is said of domains that are not held (REP-079). Where nothing is held yet there is
/// no figure that could be falsified, and what the operator imports is the operator's choice: both are
/// kept whole.
fn sort_out(reports: Reports, source: &Source, held: &Known) -> (Reports, Vec<Finding>) {
    if held.is_empty() || *source == Source::Import {
        return (reports, Vec::new());
    }
    let mut strangers: Vec<DomainName> = Vec::new();
    let mut kept = Vec::with_capacity(reports.len());
    for (mut report, oddities) in reports {
        let before = report.policies.len();
        report.policies.retain(|entry| match &entry.policy.policy_domain {
            Some(domain) if !held.contains(domain) => {
                if !strangers.contains(domain) {
                    strangers.push(domain.clone());
                }
                false
            }
            _ => true,
        });
        if !report.policies.is_empty() || before == 0 {
            kept.push((report, oddities));
        }
    }
    let more = strangers.len().saturating_sub(10);
    let mut findings: Vec<Finding> = strangers
        .iter()
        .take(10)
        .map(|domain| {
            Finding::new(
                "REP-079",
                Severity::Error,
                domain.as_str(),
                format!("The report speaks of {domain}, which is not held here."),
            )
            .fix([format!("if the domain is yours: mailward domain add {domain}, then import the report")])
        })
        .collect();
    if let Some(last) = findings.last_mut().filter(|_| more > 0) {
        last.message.push_str(&format!(" {more} more domains are not held either."));
    }
    (kept, findings)
}

struct Authenticity {
    trust: Trust,
    dkim: Option<DkimFacts>,
    submitter: String,
    findings: Vec<Finding>,
}

/// One item has one trust: that of its least proved report.
fn authenticate(
    source: &Source,
    mail: Option<&MailFacts>,
    signatures: &[SignatureFacts],
    reports: &Reports,
) -> Authenticity {
    let first = reports.first().map(|(report, _)| report);
    let claimed = first.map(|report| authenticity::submitter(None, report)).unwrap_or_default();
    let unproved = weakest(source, mail.is_some());
    let Some(mail) = mail else {
        return Authenticity { trust: unproved, dkim: None, submitter: claimed, findings: Vec::new() };
    };
    let judged = reports.iter().map(|(report, _)| (report, authenticity::decide(signatures, mail, report)));
    let Some((report, worst)) = judged.min_by_key(|(_, judgement)| judgement.trust) else {
        return Authenticity { trust: unproved, dkim: None, submitter: claimed, findings: Vec::new() };
    };
    let deciding = worst.deciding.and_then(|index| signatures.get(index));
    let verified = worst.trust == Trust::DkimVerified;
    let domain = deciding.map(|signature| signature.domain.as_str());
    Authenticity {
        trust: worst.trust.max(unproved),
        dkim: Some(dkim_facts(deciding, verified, &worst.findings, mail)),
        submitter: authenticity::submitter(domain.filter(|_| verified), report),
        findings: worst.findings,
    }
}

fn dkim_facts(
    deciding: Option<&SignatureFacts>,
    verified: bool,
    findings: &[Finding],
    mail: &MailFacts,
) -> DkimFacts {
    let found = |id: &str| findings.iter().any(|f| f.id == id);
    let verdict = match deciding {
        _ if verified => "pass",
        None => "none",
        Some(_) if found("REP-065") => "untested",
        Some(_) => "fail",
    };
    let detail = match findings.first() {
        _ if mail.forwarded => "The report lies inside a forwarded mail: its reporter signed nothing here.",
        Some(finding) => finding.message.as_str(),
        None => "The signature holds and belongs to the reporter.",
    };
    DkimFacts {
        verdict: verdict.to_owned(),
        signing_domain: deciding.map(|s| s.domain.to_lowercase()),
        selector: deciding.map(|s| s.selector.to_lowercase()),
        key_services: deciding.and_then(|s| s.key_services.as_ref()).map(|list| list.join(":")),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
