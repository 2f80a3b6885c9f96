//! Explanations of finding ids, made from the catalogue.

use super::{Explanation, SCHEMA};
use crate::Severity;
use crate::finding::catalogue::{ENTRIES, Entry};

pub(super) fn ids() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.id)
}

/// `wanted` in lower case.
pub(super) fn explanation(wanted: &str) -> Option<Explanation> {
    ENTRIES.iter().find(|entry| entry.id.eq_ignore_ascii_case(wanted)).map(|entry| Explanation {
        schema: SCHEMA,
        id: entry.id.to_owned(),
        names: vec![entry.id.to_owned()],
        title: entry.title.to_owned(),
        meaning: meaning(entry),
        fault: fault(entry).to_owned(),
        mend: mend(entry),
        stands_for: stands_for(entry.id).map(str::to_owned),
        reference: entry.reference.to_owned(),
    })
}

fn meaning(entry: &Entry) -> String {
    let harm = match (entry.consequence, entry.severity) {
        ("", Severity::Untested) => "It says nothing about the domain: it could not be tested from here.",
        ("", Severity::Info) => "No mail is lost or delayed by it.",
        ("", _) => "No mail is lost by it now; it makes a later failure more likely.",
        (consequence, _) => consequence,
    };
    let degree = match entry.severity_when {
        "" => String::new(),
        when => format!(" Severity: {when}."),
    };
    format!("{} {harm}{degree}", entry.reason)
}

/// Who has to act: whoever runs the thing that the family is about.
fn fault(entry: &Entry) -> &'static str {
    match entry.id {
        "SMTP-016" => "Nobody at the domain: the network that the check ran in does not let port 25 out.",
        "SMTP-001" => "Whoever runs the mail server or the firewall in front of it.",
        "STS-DRIFT-008" => "Whoever made the change; that is what has to be found out.",
        "STS-DRIFT-009" => {
            "Whoever runs the DNS or the CDN of the domain, unless somebody in the path interferes."
        }
        "RPT-006" | "RPT-008" | "RPT-005" => "Whoever runs the address that takes the reports.",
        "REP-065" => "The name servers of the reporter, or our resolver.",
        "REP-008" => "Whoever forwards the reports to this mailbox.",
        "REP-079" | "REP-090" | "REP-093" => "Nobody: the mail is set aside so that it falsifies no figure.",
        "REP-071" | "REP-072" => "The sender of the item; an honest reporter does not send such a thing.",
        _ => match entry.family {
            "record" => "Whoever publishes the DNS zone of the domain.",
            "policy host" => "Whoever runs the web server for mta-sts.<domain>, often a hosting provider.",
            "policy" => "Whoever writes the policy file of the domain.",
            "policy and MX" => {
                "Whoever changes the MX records or the policy: the two must change together, the policy first."
            }
            "drift" => "Whoever changed the record or the policy without the other.",
            "reporting" => "Whoever publishes the TLS-RPT record of the domain.",
            "mail server" => "Whoever runs the mail server.",
            "DNSSEC" => {
                "Whoever signs and serves the zone concerned: that of the domain, or that of the mail server."
            }
            "DANE" => {
                "Whoever runs the mail server and publishes its TLSA records; the two must change together, the record first."
            }
            "both" => {
                "Whoever deploys certificates on the mail server: they must satisfy MTA-STS and DANE at once."
            }
            _ => "The reporter, whose software writes reports in its own way.",
        },
    }
}

fn mend(entry: &Entry) -> Vec<String> {
    let mut steps = vec![entry.remedy.to_owned()];
    match entry.family {
        "report" => {
            steps.push("Look at the report and at what was read from it: mailward report show ID".to_owned())
        }
        _ => steps.push("See that it is gone: mailward check <domain>".to_owned()),
    }
    steps
}

/// What senders report for the fault that a finding tells of.
fn stands_for(id: &str) -> Option<&'static str> {
    Some(match id {
        "STS-WEB-004" | "STS-WEB-005" | "STS-WEB-006" | "STS-WEB-007" => "sts-webpki-invalid",
        "STS-TXT-002" | "STS-WEB-001" | "STS-WEB-002" | "STS-WEB-003" | "STS-WEB-008" | "STS-WEB-009"
        | "STS-WEB-010" | "STS-WEB-011" | "STS-WEB-012" | "STS-WEB-013" | "STS-WEB-014" | "STS-DRIFT-005" => {
            "sts-policy-fetch-error"
        }
        "STS-POL-001" | "STS-POL-002" | "STS-POL-003" | "STS-POL-008" | "STS-POL-009" | "STS-POL-010"
        | "STS-POL-013" | "STS-POL-014" | "STS-POL-015" => "sts-policy-invalid",
        "STS-MX-001" | "STS-MX-002" | "STS-MX-007" | "SMTP-004" | "SMTP-005" => "validation-failure",
        "SMTP-003" => "starttls-not-supported",
        "SMTP-007" => "certificate-not-trusted",
        "SMTP-008" => "certificate-host-mismatch",
        "SMTP-009" => "certificate-expired",
        "DNS-001" | "DNS-003" | "DNS-004" => "dnssec-invalid",
        "DANE-003" | "DANE-004" | "DANE-005" | "DANE-006" | "DANE-007" | "DANE-016" => "tlsa-invalid",
        _ => return None,
    })
}
