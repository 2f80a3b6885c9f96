//! An assessment in findings (DANE-002 to DANE-016).

use super::{Assessment, Kind, RecordOutcome};
use crate::dane::{DaneVerdict, Unusable};
use crate::finding::{self, Finding, Severity};

/// A large sender was seen to fail on more (2024).
const MANY: usize = 12;
/// Records named in one finding.
const SHOWN: usize = 12;

/// What an auditor says of it, about `subject` (a host, or host and address): DANE-002 to DANE-016 as far
/// as records and chain show them, sorted. Findings that the RRset has whatever the chain is (DANE-002,
/// 003, 009, 010, 014, 016) come for every chain; who asks for several addresses keeps one.
pub fn findings(subject: &str, assessment: &Assessment) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        unused_usages(subject, assessment),
        none_usable(subject, assessment),
        no_match(subject, assessment),
        unmatched_kinds(subject, assessment),
        outdone(subject, assessment),
        anchors(subject, assessment),
        not_judged(subject, assessment),
        certificate_pins(subject, assessment),
        full_data(subject, assessment),
        next_key(subject, assessment),
        retired(subject, assessment),
        too_many(subject, assessment),
        malformed(subject, assessment),
    ]
    .into_iter()
    .flatten()
    .collect();
    finding::sort(&mut findings);
    findings
}

fn unused_usages(subject: &str, a: &Assessment) -> Option<Finding> {
    let unused = |why: &Unusable| match why {
        Unusable::Usage(usage @ (0 | 1)) => Some(*usage),
        _ => None,
    };
    let usages: Vec<u8> = a.unusable.iter().filter_map(|(_, why)| unused(why)).collect();
    let usage = usages.first()?;
    let (name, instead) = if *usage == 0 { ("PKIX-TA", "2 (DANE-TA)") } else { ("PKIX-EE", "3 (DANE-EE)") };
    let message = format!(
        "{} of {} TLSA records {} of usage {usage} ({name}), which SMTP senders do not use; usage {instead} is meant",
        usages.len(),
        a.count,
        if usages.len() == 1 { "is" } else { "are" },
    );
    Some(Finding::new("DANE-002", Severity::Warning, subject, message).evidence("usages", usages))
}

fn none_usable(subject: &str, a: &Assessment) -> Option<Finding> {
    if a.verdict != DaneVerdict::Unusable {
        return None;
    }
    let reasons: Vec<String> = a.unusable.iter().take(SHOWN).map(|(_, why)| why.to_string()).collect();
    let first = reasons.first().map_or("there is none", String::as_str);
    let message = match a.count {
        0 => "There is no TLSA record".to_owned(),
        1 => format!("The only TLSA record cannot be used: {first}"),
        count => format!("None of the {count} TLSA records can be used: {first}"),
    };
    let found = Finding::new("DANE-003", Severity::Error, subject, message).evidence("reasons", reasons);
    Some(with_record_to_publish(found, a))
}

fn no_match(subject: &str, a: &Assessment) -> Option<Finding> {
    if a.verdict != DaneVerdict::NoMatch || !a.outdone.is_empty() {
        return None;
    }
    let mut message = match a.usable.as_slice() {
        [only] => format!("The TLSA record {} does not match the certificate presented", only.tlsa.short()),
        many => format!("None of the {} usable TLSA records matches the certificate presented", many.len()),
    };
    if a.usable.iter().all(|o| o.tlsa.usage == 2) {
        message
            .push_str(", nor a certificate of the chain above it (which has to be sent, the root included)");
    }
    let found =
        Finding::new("DANE-004", Severity::Error, subject, message).evidence("records", texts(&a.usable));
    Some(with_record_to_publish(found, a))
}

/// Says which record the present key would need.
fn with_record_to_publish(found: Finding, a: &Assessment) -> Finding {
    let Some(record) = &a.leaf_record else { return found };
    found.evidence("presented", record.to_string()).fix([
        format!("If the certificate is the right one, publish its key: TLSA {record}"),
        "Otherwise put back the certificate (or key) that the records were made for".to_owned(),
        "Wait twice the TTL before removing old records".to_owned(),
    ])
}

fn unmatched_kinds(subject: &str, a: &Assessment) -> Option<Finding> {
    // Where a stronger digest fails, DANE-006 says it more exactly.
    let told = |kind: &Kind| {
        a.usable.iter().any(|o| {
            a.outdone.contains(&o.index) && (o.tlsa.usage, o.tlsa.selector) == (kind.usage, kind.selector)
        })
    };
    let kinds: Vec<String> =
        a.unmatched_kinds.iter().filter(|kind| !told(kind)).map(Kind::to_string).collect();
    let (first, others) = kinds.split_first()?;
    let named = if others.is_empty() { first.clone() } else { kinds.join(", ") };
    let message = format!("No record of kind {named} matches the chain presented, though another kind does");
    Some(Finding::new("DANE-005", Severity::Error, subject, message).evidence("kinds", kinds))
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.usage, self.selector, self.matching)
    }
}

fn outdone(subject: &str, a: &Assessment) -> Option<Finding> {
    let weak = a.usable.iter().find(|o| a.outdone.contains(&o.index))?;
    let kind = weak.kind();
    let message = format!(
        "A {kind} record matches, but records of usage {} and selector {} with a stronger digest are there, and senders that look only at the strongest find none that matches",
        kind.usage, kind.selector,
    );
    let found = Finding::new("DANE-006", worst_unless_match(a), subject, message);
    Some(found.evidence("matching", weak.tlsa.short()).fix([
        format!("Publish the stronger digest for the present {} too", what_is_selected(kind.selector)),
        "Or remove the records with the stronger digest".to_owned(),
    ]))
}

fn what_is_selected(selector: u8) -> &'static str {
    if selector == 0 { "certificate" } else { "key" }
}

/// A fault that another record makes up for defers no mail.
fn worst_unless_match(a: &Assessment) -> Severity {
    if a.is_match() { Severity::Warning } else { Severity::Error }
}

fn anchors(subject: &str, a: &Assessment) -> Option<Finding> {
    let with = |verdict| a.usable.iter().find(|o| !o.outdone && o.verdict == verdict);
    let (o, what, fix) = if let Some(o) = with(DaneVerdict::NameMismatch) {
        let what = "matches an issuer of the chain, but the certificate does not bear the host's name";
        (o, what, "Put the host's name into the certificate's subjectAltName")
    } else if let Some(o) = with(DaneVerdict::Expired) {
        let what = "matches an issuer of the chain, but a certificate below it has expired";
        (o, what, "Renew the certificate that has expired")
    } else if let Some(o) = with(DaneVerdict::Untrusted) {
        let what = "matches a certificate that was sent, but the chain does not lead to it";
        (o, what, "Send every certificate between the server's own and the one that the record names")
    } else {
        return unsent_anchor(subject, a);
    };
    let message = format!("The TLSA record {} {what}", o.tlsa.short());
    let found = Finding::new("DANE-007", worst_unless_match(a), subject, message);
    let instead =
        a.leaf_record.as_ref().map(|record| format!("Or publish the server's own key: TLSA {record}"));
    let steps = std::iter::once(fix.to_owned()).chain(instead);
    Some(found.evidence("verdict", o.verdict.as_str()).fix(steps))
}

/// RFC 7672 §3.1.2: senders differ in whether they take an anchor from the DNS.
fn unsent_anchor(subject: &str, a: &Assessment) -> Option<Finding> {
    let unsent = |o: &&RecordOutcome| o.tlsa.usage == 2 && o.is_match() && o.anchor.is_none();
    let o = a.usable.iter().find(unsent)?;
    let message = format!(
        "The TLSA record {} holds the trust anchor itself, and the server does not send it",
        o.tlsa.short()
    );
    Some(Finding::new("DANE-007", Severity::Warning, subject, message))
}

fn not_judged(subject: &str, a: &Assessment) -> Option<Finding> {
    let by_leaf = a.matched().is_some_and(|tlsa| tlsa.usage == 3);
    let what = match (a.leaf_misnamed, a.leaf_outdated) {
        _ if !by_leaf => return None,
        (false, false) => return None,
        (true, false) => "does not bear the host's name",
        (false, true) => "is outside its dates",
        (true, true) => "does not bear the host's name and is outside its dates",
    };
    let message = format!("The certificate {what}; under usage 3 that is no fault of DANE");
    Some(Finding::new("DANE-008", Severity::Info, subject, message))
}

fn certificate_pins(subject: &str, a: &Assessment) -> Option<Finding> {
    let pins = |o: &&RecordOutcome| o.tlsa.usage == 3 && o.tlsa.selector == 0;
    let pin = a.usable.iter().find(pins)?;
    let message = format!(
        "The TLSA record {} names a certificate, not a key: it has to change at every renewal",
        pin.tlsa.short(),
    );
    Some(Finding::new("DANE-009", Severity::Warning, subject, message))
}

fn full_data(subject: &str, a: &Assessment) -> Option<Finding> {
    let full = a.usable.iter().find(|o| o.tlsa.matching == 0)?;
    let what = if full.tlsa.selector == 0 { "certificate" } else { "public key" };
    let message =
        format!("A TLSA record holds a whole {what} ({} octets) instead of a digest", full.tlsa.data.len());
    Some(Finding::new("DANE-010", Severity::Warning, subject, message))
}

fn next_key(subject: &str, a: &Assessment) -> Option<Finding> {
    if !a.is_match() || a.next_key {
        return None;
    }
    let message = "Only the present key has a TLSA record: publish that of the next one before changing keys";
    Some(Finding::new("DANE-011", Severity::Info, subject, message))
}

fn retired(subject: &str, a: &Assessment) -> Option<Finding> {
    let (_, name) = a.retired.first()?;
    let message = format!("A usage-2 record pins {name}, from which Let's Encrypt does not issue any more");
    Some(Finding::new("DANE-013", Severity::Error, subject, message))
}

fn too_many(subject: &str, a: &Assessment) -> Option<Finding> {
    let message = format!("{} TLSA records; a large sender was seen to fail on more than {MANY}", a.count);
    (a.count > MANY)
        .then(|| Finding::new("DANE-014", Severity::Warning, subject, message).evidence("count", a.count))
}

fn malformed(subject: &str, a: &Assessment) -> Option<Finding> {
    let broken: Vec<String> = a
        .unusable
        .iter()
        .filter(|(_, why)| why.is_broken())
        .take(SHOWN)
        .map(|(index, why)| format!("record {}: {why}", index + 1))
        .collect();
    let message = format!("A TLSA record cannot be read, {}", broken.first()?);
    Some(Finding::new("DANE-016", Severity::Error, subject, message).evidence("records", broken))
}

fn texts(usable: &[RecordOutcome]) -> Vec<String> {
    usable.iter().take(SHOWN).map(|o| o.tlsa.short()).collect()
}

#[cfg(test)]
mod tests;
