//! From JSON values to a [`Report`]: loosely read, strictly normalised.
//!
//! Refused is only what has nothing countable left, or what could not be counted without lying.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::json::{Object, Value};
use super::oddity::{Oddities, Refusal};
use super::{Limits, domain, entry, time};
use crate::DomainName;
use crate::tlsrpt::authenticity::{content_hash, mailbox_domain};
use crate::tlsrpt::{PolicyResult, PolicyType, Report};

/// What is known around a document.
pub(super) struct Surroundings<'a> {
    pub(super) limits: &'a Limits,
    pub(super) now: Timestamp,
    /// `TLS-Report-Domain` of the mail.
    pub(super) header_domain: Option<&'a str>,
    /// `TLS-Report-Submitter` of the mail.
    pub(super) header_submitter: Option<&'a str>,
    pub(super) file_name: Option<&'a str>,
    pub(super) held: Option<&'a DomainName>,
}

/// Members that only reports have at their root.
const ROOT: [&str; 5] = ["organization-name", "date-range", "contact-info", "report-id", "policies"];
/// Members of the drafts before the RFC, which had one policy at the root or other names.
const DRAFT: [&str; 6] =
    ["policy", "applied-policy", "report-metadata", "success-aggregate", "failure-aggregate", "summary"];

/// Reads one report.
pub(super) fn report(
    value: &Value<'_>,
    around: &Surroundings<'_>,
    oddities: &mut Oddities,
) -> Result<Report, Refusal> {
    let Value::Object(root) = value else { return Err(foreign()) };
    let entries = match root.get("policies") {
        Some(entries) => entries,
        None if root.has_any(&DRAFT) => {
            let message =
                "It has the shape of a draft from before RFC 8460: one policy, not a list of policies.";
            return Err(Refusal::quarantine("REP-078", "policies", message));
        }
        None if ROOT.iter().filter(|name| root.member(name).is_some()).count() >= 2 => {
            return Err(Refusal::quarantine("REP-074", "policies", "The report has no policies."));
        }
        None => return Err(foreign()),
    };
    let date_range = time::range(root, around.now, oddities)?;
    let contact_info = field(root, "contact-info", around.limits).unwrap_or_else(|| {
        oddities.note("REP-031", || "contact-info", || "contact-info is missing or null.".to_owned());
        String::new()
    });
    let organization_name = field(root, "organization-name", around.limits).unwrap_or_else(|| {
        oddities.note("REP-030", || "organization-name", || "organization-name is missing.".to_owned());
        let stated = around.header_submitter.and_then(|name| DomainName::parse(name).ok()).map(String::from);
        stated.or_else(|| mailbox_domain(&contact_info)).unwrap_or_default()
    });
    let report_id = field(root, "report-id", around.limits);
    let policies = policies(entries, around, report_id.as_deref(), oddities)?;
    let mut report = Report {
        organization_name,
        date_range,
        contact_info,
        report_id: report_id.unwrap_or_default(),
        policies,
    };
    if report.report_id.is_empty() {
        oddities.note("REP-032", || "report-id", || "report-id is missing.".to_owned());
        // What stands in for it must be the same for the same report, and differ for another.
        report.report_id = content_hash(&report).iter().map(|byte| format!("{byte:02x}")).collect();
    }
    Ok(report)
}

fn foreign() -> Refusal {
    Refusal::foreign("REP-092", "JSON", "The document is JSON, but has nothing of a report.")
}

fn policies(
    entries: &Value<'_>,
    around: &Surroundings<'_>,
    report_id: Option<&str>,
    oddities: &mut Oddities,
) -> Result<Vec<PolicyResult>, Refusal> {
    let entries = match entries {
        Value::List(entries) => entries.as_slice(),
        Value::Object(object) => {
            oddities.note("REP-036", || "policies", || "policies is one object, not a list.".to_owned());
            if *object == Object::default() { &[] } else { std::slice::from_ref(entries) }
        }
        _ => {
            return Err(Refusal::quarantine(
                "REP-075",
                "policies",
                "policies is neither a list nor an object.",
            ));
        }
    };
    if entries.is_empty() {
        oddities.note("REP-053", || "policies", || "The list of policies is empty.".to_owned());
    }
    let mut fallback = domain::Fallback::new(around, report_id);
    let mut policies = Vec::with_capacity(entries.len());
    for (index, value) in entries.iter().enumerate() {
        policies.push(entry::policy(value, index, around.limits, &mut fallback, oddities)?);
    }
    // Of several entries the ones with a domain count; the rest stay visible without one.
    if !policies.is_empty() && policies.iter().all(|entry| entry.policy.policy_domain.is_none()) {
        return Err(Refusal::quarantine(
            "REP-080",
            "policy-domain",
            "Neither the report nor its mail, file name or id names the domain.",
        ));
    }
    if policies.iter().any(|entry| entry.policy.policy_domain.is_none()) {
        oddities.note("REP-080", || "policy-domain", || "The domain of an entry cannot be told.".to_owned());
    }
    note_domains(&policies, around, &fallback, oddities);
    Ok(policies)
}

fn note_domains(
    policies: &[PolicyResult],
    around: &Surroundings<'_>,
    fallback: &domain::Fallback<'_>,
    oddities: &mut Oddities,
) {
    let domains = || policies.iter().filter_map(|entry| entry.policy.policy_domain.as_ref());
    if policies.len() > 1 {
        let mut types: BTreeMap<&DomainName, &PolicyType> = BTreeMap::new();
        for entry in policies {
            let Some(domain) = &entry.policy.policy_domain else { continue };
            let first = types.entry(domain).or_insert(&entry.policy.policy_type);
            if **first != entry.policy.policy_type {
                oddities.note(
                    "REP-052",
                    || domain.as_str(),
                    || {
                        format!(
                            "{domain} stands under {} and under {}.",
                            first.as_str(),
                            entry.policy.policy_type.as_str()
                        )
                    },
                );
                break;
            }
        }
    }
    if let Some(stated) = around.header_domain
        && !fallback.was_used()
        && domains().next().is_some()
    {
        let header = DomainName::parse(stated).ok();
        if !domains().any(|domain| Some(domain) == header.as_ref()) {
            oddities.note(
                "REP-007",
                || "TLS-Report-Domain",
                || format!("TLS-Report-Domain is {stated:?}, the report is about another domain."),
            );
        }
    }
}

/// A text member, trimmed and cut to the limit; numbers and truth values are taken as text.
pub(super) fn field(object: &Object<'_>, name: &str, limits: &Limits) -> Option<String> {
    object.get(name).and_then(text).map(|text| kept(&text, limits)).filter(|text| !text.is_empty())
}

/// The text of a scalar.
pub(super) fn text<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text.trim())),
        Value::Unsigned(number) => Some(number.to_string().into()),
        Value::Negative(number) => Some(number.to_string().into()),
        Value::Float(number) => Some(number.to_string().into()),
        Value::Bool(truth) => Some(truth.to_string().into()),
        Value::Null | Value::List(_) | Value::Object(_) => None,
    }
}

/// The text, cut to the limit with a mark at the end.
pub(super) fn kept(text: &str, limits: &Limits) -> String {
    const MARK: &str = "…";
    if text.len() <= limits.text {
        return text.to_owned();
    }
    let mut cut = text.floor_char_boundary(limits.text.saturating_sub(MARK.len()));
    if cut > 0 && text.as_bytes().get(cut) == Some(&b' ') {
        cut = text[..cut].trim_end().len();
    }
    format!("{}{MARK}", &text[..cut])
}
