//! Who sent this report, and how far to believe it (RFC 8460 §3, §5.3; readings A22, A24).
//!
//! Whoever receives mail verifies DKIM at arrival, since keys rotate, and hands the outcome in as
//! [`SignatureFacts`]. Here it is only judged: no DNS, no cryptography. HTTPS posts and files carry no
//! signature and do not come here.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Report;
use super::mail_facts::MailFacts;
use crate::finding::Severity;
use crate::rollout::Trust;
use crate::{DomainName, Finding};

/// What the cryptographic check of one signature said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureVerdict {
    /// Hash and signature hold.
    Pass,
    /// They do not, or the signature or key is malformed, expired or revoked. Holds why.
    Fail(String),
    /// The key could not be looked up (resolver failure): says nothing, tried again. Holds why.
    Untested(String),
}

/// One `DKIM-Signature` of the mail that carried the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFacts {
    /// Outcome of the check.
    pub verdict: SignatureVerdict,
    /// `d=`, in any case.
    pub domain: String,
    /// `s=` of the signature.
    pub selector: String,
    /// Whether `l=` is present: text may have been added behind what is signed.
    pub body_length: bool,
    /// Names in `h=`, in any case.
    pub signed_headers: Vec<String>,
    /// Service types in `s=` of the key record; `None` where the key has no `s=` or was not seen.
    pub key_services: Option<Vec<String>>,
}

/// The conclusion for one mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// How far the report is believed.
    pub trust: Trust,
    /// REP-060 to REP-065; empty when there is nothing to say.
    pub findings: Vec<Finding>,
    /// The signature that decided, as an index; `None` without signatures and for forwarded mail.
    pub deciding: Option<usize>,
}

/// [`decide`] without the deciding signature.
pub fn judge(signatures: &[SignatureFacts], mail: &MailFacts, report: &Report) -> (Trust, Vec<Finding>) {
    let judgement = decide(signatures, mail, report);
    (judgement.trust, judgement.findings)
}

/// Believes a mail exactly when one of its signatures passes, covers what it must and belongs to the
/// reporter. Other signatures on the same mail (of forwarders, of platforms) do no harm.
pub fn decide(signatures: &[SignatureFacts], mail: &MailFacts, report: &Report) -> Judgement {
    let unverified = |findings, deciding| Judgement { trust: Trust::Unverified, findings, deciding };
    if mail.forwarded {
        // REP-008 says it already: the outer signature vouches for the forwarder, not the reporter.
        return unverified(Vec::new(), None);
    }
    let mut best: Option<(usize, Flaw)> = None;
    for (index, signature) in signatures.iter().enumerate() {
        match flaw(signature, mail, report) {
            None => {
                let findings = difference(signature, mail, report).into_iter().collect();
                return Judgement { trust: Trust::DkimVerified, findings, deciding: Some(index) };
            }
            Some(flaw) => {
                if best.as_ref().is_none_or(|(_, known)| flaw.rank() > known.rank()) {
                    best = Some((index, flaw));
                }
            }
        }
    }
    match best {
        Some((index, flaw)) => unverified(vec![flaw.finding(&signatures[index])], Some(index)),
        None => unverified(
            vec![Finding::new(
                "REP-060",
                Severity::Warning,
                "DKIM-Signature",
                "The mail has no DKIM signature: anybody can have written it.",
            )],
            None,
        ),
    }
}

/// The submitter by which reports are keyed, lower case: the verified domain, else the domain of
/// contact-info, else the organization.
pub fn submitter(dkim_domain: Option<&str>, report: &Report) -> String {
    dkim_domain
        .map(normal)
        .filter(|domain| !domain.is_empty())
        .or_else(|| contact_domain(report))
        .unwrap_or_else(|| report.organization_name.trim().to_lowercase())
}

/// The domain of contact-info, lower case.
pub fn contact_domain(report: &Report) -> Option<String> {
    mailbox_domain(&report.contact_info)
}

pub(super) fn mailbox_domain(address: &str) -> Option<String> {
    let (_, domain) = address.trim().rsplit_once('@')?;
    DomainName::parse(domain.trim_end_matches('>')).ok().map(String::from)
}

/// A hash of what a report says, whatever its id and however its entries are ordered: the same content
/// under two ids is one report, and mail and HTTPS copies are one.
pub fn content_hash(report: &Report) -> [u8; 32] {
    let mut policies: Vec<Vec<u8>> = report
        .policies
        .iter()
        .map(|entry| {
            let mut details: Vec<Vec<u8>> = entry.failure_details.iter().map(bytes).collect();
            details.sort_unstable();
            let mut text = bytes(&(&entry.policy, &entry.summary));
            details.iter().for_each(|detail| text.extend_from_slice(detail));
            text
        })
        .collect();
    policies.sort_unstable();
    let mut hash = Sha256::new();
    let range = (report.date_range.start_datetime.as_second(), report.date_range.end_datetime.as_second());
    hash.update(bytes(&(&report.organization_name, &report.contact_info, range)));
    for policy in &policies {
        // A length in front keeps two entries from reading like one.
        hash.update((policy.len() as u64).to_be_bytes());
        hash.update(policy);
    }
    hash.finalize().into()
}

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    // Serialising plain structs of texts and integers into memory cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

/// What keeps a signature from vouching for the report.
#[derive(Debug)]
enum Flaw {
    Fails(String),
    Stranger(String),
    Uncovered(&'static str),
    BodyLength,
    Service(Vec<String>),
    Untested(String),
}

impl Flaw {
    /// The flaw of the signature that came nearest is the one to show.
    fn rank(&self) -> u8 {
        match self {
            Self::Fails(_) => 0,
            Self::Stranger(_) => 1,
            Self::Uncovered(_) => 2,
            Self::BodyLength => 3,
            Self::Service(_) => 4,
            Self::Untested(_) => 5,
        }
    }

    fn finding(self, signature: &SignatureFacts) -> Finding {
        let domain = normal(&signature.domain);
        let (id, severity, message) = match self {
            Self::Fails(why) => {
                ("REP-061", Severity::Warning, format!("The DKIM signature of {domain} fails: {why}."))
            }
            Self::Uncovered(header) => (
                "REP-061",
                Severity::Warning,
                format!("The DKIM signature of {domain} does not cover {header}: it could be exchanged."),
            ),
            Self::Stranger(reporter) => (
                "REP-062",
                Severity::Warning,
                format!("The mail is signed by {domain}, but the reporter is {reporter}."),
            ),
            Self::Service(services) => (
                "REP-063",
                Severity::Warning,
                format!(
                    "The key {}._domainkey.{domain} is for {} only.",
                    signature.selector,
                    services.join(", ")
                ),
            ),
            Self::BodyLength => (
                "REP-064",
                Severity::Warning,
                format!("The DKIM signature of {domain} uses l=: the report may have been added behind it."),
            ),
            Self::Untested(why) => (
                "REP-065",
                Severity::Untested,
                format!("The DKIM signature of {domain} could not be checked: {why}."),
            ),
        };
        Finding::new(id, severity, "DKIM-Signature", message)
            .evidence("domain", domain)
            .evidence("selector", signature.selector.clone())
    }
}

fn flaw(signature: &SignatureFacts, mail: &MailFacts, report: &Report) -> Option<Flaw> {
    if let SignatureVerdict::Fail(why) = &signature.verdict {
        return Some(Flaw::Fails(why.clone()));
    }
    let reporters = reporters(mail, report);
    if !reporters.iter().any(|reporter| speaks_for(&signature.domain, reporter)) {
        let named = reporters.first().cloned().unwrap_or_else(|| "not named".to_owned());
        return Some(Flaw::Stranger(named));
    }
    // RFC 8460 §5.3: the fields that name domain and submitter are signed; RFC 6376 §5.4: so is From.
    let covered = |name: &str| signature.signed_headers.iter().any(|h| h.trim().eq_ignore_ascii_case(name));
    let required = [
        ("From", mail.from_domain.is_some()),
        ("TLS-Report-Domain", mail.report_domain.is_some()),
        ("TLS-Report-Submitter", mail.report_submitter.is_some()),
    ];
    if let Some((name, _)) = required.into_iter().find(|(name, present)| *present && !covered(name)) {
        return Some(Flaw::Uncovered(name));
    }
    if signature.body_length {
        return Some(Flaw::BodyLength);
    }
    if let SignatureVerdict::Untested(why) = &signature.verdict {
        return Some(Flaw::Untested(why.clone()));
    }
    // Reading A24: no `s=` and `s=*` allow every service (RFC 6376 §3.6.1).
    let allows = |service: &String| matches!(service.trim(), "*" | "tlsrpt");
    match &signature.key_services {
        Some(services) if !services.iter().any(allows) => Some(Flaw::Service(services.clone())),
        _ => None,
    }
}

/// The names under which a reporter appears: `TLS-Report-Submitter`, else the domain of contact-info;
/// and the domain of From.
fn reporters(mail: &MailFacts, report: &Report) -> Vec<String> {
    let stated = mail.report_submitter.as_deref().map(normal).filter(|d| !d.is_empty());
    let mut names: Vec<String> = stated.or_else(|| contact_domain(report)).into_iter().collect();
    names.extend(mail.from_domain.as_deref().map(normal).filter(|d| !d.is_empty()));
    names
}

/// Reading A22: `d=` equals the domain, or lies above it within the same organisation.
fn speaks_for(signer: &str, reporter: &str) -> bool {
    let (Ok(signer), Ok(reporter)) = (DomainName::parse(signer), DomainName::parse(reporter)) else {
        return false;
    };
    if signer == reporter {
        return true;
    }
    reporter.is_within(&signer)
        && reporter.organizational().is_some_and(|organization| signer.is_within(&organization))
}

/// A passing signature of another name than contact-info's is shown, not held against the report.
fn difference(signature: &SignatureFacts, mail: &MailFacts, report: &Report) -> Option<Finding> {
    let domain = normal(&signature.domain);
    let stated = contact_domain(report).or_else(|| mail.report_submitter.as_deref().map(normal))?;
    if stated == domain {
        return None;
    }
    Some(
        Finding::new(
            "REP-062",
            Severity::Info,
            "DKIM-Signature",
            format!(
                "The mail is signed by {domain}, which speaks for the sender; contact-info names {stated}."
            ),
        )
        .fix(["nothing: the verified domain is taken as the submitter"])
        .evidence("domain", domain)
        .evidence("stated", stated),
    )
}

fn normal(domain: &str) -> String {
    DomainName::parse(domain).map_or_else(|_| domain.trim().to_lowercase(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlsrpt::DateRange;

    fn report(contact: &str) -> Report {
        let day = |text: &str| text.parse().unwrap();
        Report {
            organization_name: "Reporter Inc.".into(),
            date_range: DateRange {
                start_datetime: day("2026-06-01T00:00:00Z"),
                end_datetime: day("2026-06-01T23:59:59Z"),
            },
            contact_info: contact.into(),
            report_id: "1".into(),
            policies: Vec::new(),
        }
    }

    fn mail() -> MailFacts {
        MailFacts {
            from_domain: Some("mail.reporter.example".into()),
            report_domain: Some("example.com".into()),
            report_submitter: Some("mail.reporter.example".into()),
            ..MailFacts::default()
        }
    }

    fn signed(domain: &str) -> SignatureFacts {
        SignatureFacts {
            verdict: SignatureVerdict::Pass,
            domain: domain.into(),
            selector: "s1".into(),
            body_length: false,
            signed_headers: ["from", "TLS-Report-Domain", "tls-report-submitter"].map(String::from).into(),
            key_services: None,
        }
    }

    #[test]
    fn signatures_are_judged_by_row() {
        let services = |list: &[&str]| Some(list.iter().map(|s| (*s).to_owned()).collect());
        let good = signed("mail.reporter.example");
        let with = |change: fn(&mut SignatureFacts)| {
            let mut facts = signed("mail.reporter.example");
            change(&mut facts);
            vec![facts]
        };
        let rows: Vec<(&str, Vec<SignatureFacts>, Trust, &[&str])> = vec![
            ("no signature", vec![], Trust::Unverified, &["REP-060"]),
            ("same domain", vec![good.clone()], Trust::DkimVerified, &[]),
            ("capitals", vec![signed("Mail.Reporter.EXAMPLE.")], Trust::DkimVerified, &[]),
            ("organisational parent", vec![signed("reporter.example")], Trust::DkimVerified, &["REP-062"]),
            ("public suffix", vec![signed("example")], Trust::Unverified, &["REP-062"]),
            ("child", vec![signed("x.mail.reporter.example")], Trust::Unverified, &["REP-062"]),
            ("stranger", vec![signed("evil.example")], Trust::Unverified, &["REP-062"]),
            ("look-alike", vec![signed("lreporter.example")], Trust::Unverified, &["REP-062"]),
            (
                "fails",
                with(|s| s.verdict = SignatureVerdict::Fail("body hash differs".into())),
                Trust::Unverified,
                &["REP-061"],
            ),
            ("l=", with(|s| s.body_length = true), Trust::Unverified, &["REP-064"]),
            ("From unsigned", with(|s| drop(s.signed_headers.remove(0))), Trust::Unverified, &["REP-061"]),
            ("domain unsigned", with(|s| drop(s.signed_headers.remove(1))), Trust::Unverified, &["REP-061"]),
            (
                "resolver failure",
                with(|s| s.verdict = SignatureVerdict::Untested("SERVFAIL".into())),
                Trust::Unverified,
                &["REP-065"],
            ),
            (
                "key for mail only",
                vec![SignatureFacts { key_services: services(&["email"]), ..good.clone() }],
                Trust::Unverified,
                &["REP-063"],
            ),
            (
                "key for all",
                vec![SignatureFacts { key_services: services(&["*"]), ..good.clone() }],
                Trust::DkimVerified,
                &[],
            ),
            (
                "key for reports",
                vec![SignatureFacts { key_services: services(&["email", "tlsrpt"]), ..good.clone() }],
                Trust::DkimVerified,
                &[],
            ),
            ("one of two", vec![signed("evil.example"), good.clone()], Trust::DkimVerified, &[]),
            (
                "nearest flaw is told",
                vec![signed("evil.example"), SignatureFacts { body_length: true, ..good.clone() }],
                Trust::Unverified,
                &["REP-064"],
            ),
        ];
        for (why, signatures, trust, ids) in rows {
            let (got, findings) = judge(&signatures, &mail(), &report("tls@mail.reporter.example"));
            assert_eq!(got, trust, "{why}");
            assert_eq!(findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ids, "{why}");
        }
    }

    #[test]
    fn forwarded_mail_is_never_verified() {
        let facts = MailFacts { forwarded: true, ..mail() };
        let judged = decide(&[signed("mail.reporter.example")], &facts, &report("a@mail.reporter.example"));
        assert_eq!(judged, Judgement { trust: Trust::Unverified, findings: vec![], deciding: None });
    }

    #[test]
    fn absent_headers_need_no_signature() {
        let facts = MailFacts { from_domain: Some("reporter.example".into()), ..MailFacts::default() };
        let bare = SignatureFacts { signed_headers: vec!["From".into()], ..signed("reporter.example") };
        assert_eq!(judge(&[bare], &facts, &report("")).0, Trust::DkimVerified);
    }

    #[test]
    fn submitter_prefers_proof_over_claim() {
        let rows = [
            (Some("D.Example."), "x@contact.example", "d.example"),
            (None, "X@Contact.Example", "contact.example"),
            (None, "", "reporter inc."),
            (None, "not an address", "reporter inc."),
        ];
        for (dkim, contact, want) in rows {
            assert_eq!(submitter(dkim, &report(contact)), want);
        }
    }

    #[test]
    fn content_hash_ignores_the_id_only() {
        let one = report("a@b.example");
        assert_eq!(content_hash(&one), content_hash(&Report { report_id: "2".into(), ..one.clone() }));
        assert_ne!(content_hash(&one), content_hash(&report("c@b.example")));
    }
}
