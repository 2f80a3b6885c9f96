//! One entry of `policies`: the policy applied, its totals and its failures.

use std::borrow::Cow;
use std::net::IpAddr;

use super::address::address;
use super::domain::Fallback;
use super::json::{Object, Value, value_in};
use super::normalise::{field, kept, text};
use super::oddity::{Oddities, Refusal};
use super::{Limits, count};
use crate::DomainName;
use crate::tlsrpt::report::{AppliedPolicy, Summary};
use crate::tlsrpt::{FailureDetails, PolicyResult, PolicyType, ResultType};

const POLICY_MEMBERS: [&str; 5] =
    ["policy-type", "policy-domain", "policy-string", "mx-host", "mx-host-pattern"];
const TOTAL_MEMBERS: [&str; 2] = ["total-successful-session-count", "total-failure-session-count"];

/// Reads one entry. What has neither a policy nor a count is unreadable (REP-075).
pub(super) fn policy(
    value: &Value<'_>,
    index: usize,
    limits: &Limits,
    fallback: &mut Fallback<'_>,
    oddities: &mut Oddities,
) -> Result<PolicyResult, Refusal> {
    let unreadable = |why: &str| Refusal::quarantine("REP-075", format!("policies[{index}]"), why);
    let Value::Object(entry) = value else { return Err(unreadable("The entry is no object.")) };
    let not_nested = |what: &'static str, oddities: &mut Oddities| {
        oddities.note(
            "REP-036",
            || format!("policies[{index}]"),
            || format!("The members of {what} stand beside it, not inside."),
        );
    };
    let nothing = Object::default();
    let policy = match entry.get("policy") {
        Some(Value::Object(policy)) => policy,
        Some(Value::List(list)) if matches!(list[..], [Value::Object(_)]) => {
            oddities.note(
                "REP-036",
                || format!("policies[{index}].policy"),
                || "policy is a list of one.".to_owned(),
            );
            let [Value::Object(policy)] = &list[..] else { return Err(unreadable("policy is empty.")) };
            policy
        }
        Some(_) => return Err(unreadable("policy is no object.")),
        None if entry.has_any(&POLICY_MEMBERS) => {
            not_nested("policy", oddities);
            entry
        }
        None if entry.has_any(&["summary", "failure-details"]) || entry.has_any(&TOTAL_MEMBERS) => &nothing,
        None => return Err(unreadable("The entry has neither a policy nor a count.")),
    };
    let details = details(entry.member("failure-details"), index, limits, oddities)?;
    let summary = match entry.get("summary") {
        Some(Value::Object(summary)) => Some(summary),
        Some(_) => return Err(unreadable("summary is no object.")),
        None if entry.has_any(&TOTAL_MEMBERS) => {
            not_nested("summary", oddities);
            Some(entry)
        }
        None => None,
    };
    let summary = totals(summary, &details, index, oddities)?;
    Ok(PolicyResult {
        policy: applied(policy, index, limits, fallback, oddities),
        summary,
        failure_details: details,
    })
}

fn applied(
    policy: &Object<'_>,
    index: usize,
    limits: &Limits,
    fallback: &mut Fallback<'_>,
    oddities: &mut Oddities,
) -> AppliedPolicy {
    let path = |name: &'static str| move || format!("policies[{index}].policy.{name}");
    let stated = field(policy, "policy-type", limits);
    let policy_type = PolicyType::from(stated.clone().unwrap_or_else(|| "unspecified".to_owned()));
    if stated.as_deref() != Some(policy_type.as_str()) || matches!(policy_type, PolicyType::Other(_)) {
        oddities.note("REP-037", path("policy-type"), || match &stated {
            Some(stated) => format!("policy-type is {stated:?}."),
            None => "policy-type is missing.".to_owned(),
        });
    }
    AppliedPolicy {
        policy_type,
        policy_string: policy_string(policy.get("policy-string"), path("policy-string"), limits, oddities),
        policy_domain: fallback.domain(policy.get("policy-domain"), path("policy-domain"), oddities),
        mx_host: mx_host(policy, path("mx-host"), limits, oddities),
    }
}

/// Policy lines or TLSA records, trimmed (REP-041).
fn policy_string(
    value: Option<&Value<'_>>,
    path: impl Fn() -> String,
    limits: &Limits,
    oddities: &mut Oddities,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut odd = false;
    match value {
        None => {}
        Some(Value::List(list)) => {
            for element in list {
                odd |= add_lines(element, &mut lines, limits, 1);
            }
        }
        Some(single) => {
            add_lines(single, &mut lines, limits, 1);
            odd = true;
        }
    }
    if odd {
        oddities.note("REP-041", path, || "policy-string is not a list of plain lines.".to_owned());
    }
    lines
}

/// Adds the lines in an element; says whether it was anything but one plain line.
fn add_lines(value: &Value<'_>, lines: &mut Vec<String>, limits: &Limits, nested: u8) -> bool {
    let Some(line) = text(value) else { return *value != Value::Null };
    // Microsoft writes one text that is itself a JSON array of the TLSA records.
    if nested > 0
        && line.starts_with('[')
        && let Some(Value::List(inner)) = value_in(&line, limits)
    {
        for element in &inner {
            add_lines(element, lines, limits, nested - 1);
        }
        return true;
    }
    let before = lines.len();
    for line in line.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()) {
        if lines.len() == limits.policies {
            return true;
        }
        lines.push(kept(line, limits));
    }
    let plain = matches!(value, Value::Text(whole) if *whole == line);
    !plain || lines.len() != before + 1
}

/// Bare patterns in lower case (REP-040).
fn mx_host(
    policy: &Object<'_>,
    path: impl Fn() -> String,
    limits: &Limits,
    oddities: &mut Oddities,
) -> Vec<String> {
    let (value, mut odd) = match (policy.get("mx-host"), policy.get("mx-host-pattern")) {
        (Some(value), _) => (value, false),
        (None, Some(value)) => (value, true),
        (None, None) => return Vec::new(),
    };
    let elements = match value {
        Value::List(list) => list.as_slice(),
        single => {
            odd = true;
            std::slice::from_ref(single)
        }
    };
    let mut patterns = Vec::with_capacity(elements.len());
    for written in elements.iter().filter_map(text) {
        let prefix = written.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("mx:"));
        odd |= prefix;
        let bare = if prefix { written[3..].trim_start() } else { &*written };
        if !bare.is_empty() {
            patterns.push(pattern(bare, limits));
        }
    }
    if odd {
        oddities.note("REP-040", path, || "mx-host is not a list of bare patterns.".to_owned());
    }
    patterns
}

/// Lower case, A-labels, no final dot; what is no pattern stays as it is.
fn pattern(text: &str, limits: &Limits) -> String {
    let (wildcard, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    DomainName::parse(name).map_or_else(|_| kept(text, limits), |name| format!("{wildcard}{name}"))
}

/// The totals (REP-042 to REP-044, REP-050). The stated total counts, unless it is missing or 0 while
/// details have counts (reading B11).
fn totals(
    summary: Option<&Object<'_>>,
    details: &[FailureDetails],
    index: usize,
    oddities: &mut Oddities,
) -> Result<Summary, Refusal> {
    let path = || format!("policies[{index}].summary");
    let sum = details.iter().fold(0_u64, |sum, detail| sum.saturating_add(detail.failed_session_count));
    let Some(summary) = summary else {
        oddities.note("REP-044", path, || "summary is missing.".to_owned());
        return Ok(Summary {
            total_successful_session_count: 0,
            total_failure_session_count: count::bounded(sum, path)?,
        });
    };
    let mut stated = |name: &'static str| {
        let count = count::read(summary.get(name), || format!("{}.{name}", path()), oddities)?;
        if count.is_none() {
            oddities.note("REP-043", path, || format!("{name} is missing."));
        }
        Ok(count)
    };
    let successful = stated("total-successful-session-count")?.unwrap_or(0);
    let failed = stated("total-failure-session-count")?;
    if failed.is_some_and(|failed| failed != sum) {
        oddities.note("REP-050", path, || {
            format!("{} sessions failed in total, {sum} by the details.", failed.unwrap_or(0))
        });
    }
    let failed = match failed {
        Some(failed) if failed > 0 => failed,
        _ => count::bounded(sum, path)?,
    };
    Ok(Summary { total_successful_session_count: successful, total_failure_session_count: failed })
}

fn details(
    value: Option<&Value<'_>>,
    index: usize,
    limits: &Limits,
    oddities: &mut Oddities,
) -> Result<Vec<FailureDetails>, Refusal> {
    let path = || format!("policies[{index}].failure-details");
    let list = match value {
        None => return Ok(Vec::new()),
        Some(Value::List(list)) => list.as_slice(),
        Some(Value::Null) => {
            oddities.note("REP-045", path, || "failure-details is null.".to_owned());
            return Ok(Vec::new());
        }
        Some(object @ Value::Object(members)) => {
            oddities.note("REP-045", path, || "failure-details is one object, not a list.".to_owned());
            if *members == Object::default() { &[] } else { std::slice::from_ref(object) }
        }
        Some(_) => {
            let message = "failure-details is neither a list nor an object.";
            return Err(Refusal::quarantine("REP-075", path(), message));
        }
    };
    let mut details = Vec::with_capacity(list.len());
    for (number, value) in list.iter().enumerate() {
        match value {
            Value::Object(object) => details.push(detail(object, index, number, limits, oddities)?),
            Value::Null => {}
            _ => {
                return Err(Refusal::quarantine(
                    "REP-075",
                    path(),
                    "An entry of failure-details is no object.",
                ));
            }
        }
    }
    Ok(details)
}

fn detail(
    object: &Object<'_>,
    index: usize,
    number: usize,
    limits: &Limits,
    oddities: &mut Oddities,
) -> Result<FailureDetails, Refusal> {
    let path = |name: &'static str| move || format!("policies[{index}].failure-details[{number}].{name}");
    let stated = object.get("result-type").and_then(text).filter(|text| !text.is_empty());
    let result_type = match &stated {
        Some(stated) => known_result(stated).unwrap_or_else(|| ResultType::from(kept(stated, limits))),
        None => ResultType::Other("unspecified".to_owned()),
    };
    match &stated {
        None => oddities.note("REP-047", path("result-type"), || "result-type is missing.".to_owned()),
        Some(stated) if *stated != result_type.as_str() || matches!(result_type, ResultType::Other(_)) => {
            oddities.note("REP-046", path("result-type"), || format!("result-type is {stated:?}."));
        }
        Some(_) => {}
    }
    let failed = count::read(object.get("failed-session-count"), path("failed-session-count"), oddities)?;
    if failed.is_none() {
        oddities
            .note("REP-043", path("failed-session-count"), || "failed-session-count is missing.".to_owned());
    }
    let information = field(object, "additional-information", limits).or_else(|| {
        let draft = field(object, "additional-info-uri", limits)?;
        oddities.note("REP-051", path("additional-info-uri"), || {
            "additional-info-uri is the name of a draft.".to_owned()
        });
        Some(draft)
    });
    Ok(FailureDetails {
        result_type,
        sending_mta_ip: ip(object, "sending-mta-ip", path("sending-mta-ip"), oddities),
        receiving_mx_hostname: field(object, "receiving-mx-hostname", limits),
        receiving_mx_helo: helo(object, path("receiving-mx-helo"), limits, oddities),
        receiving_ip: ip(object, "receiving-ip", path("receiving-ip"), oddities),
        failed_session_count: failed.unwrap_or(0),
        additional_information: information,
        failure_reason_code: field(object, "failure-reason-code", limits),
    })
}

/// A registered type in its own spelling, without taking memory for the text.
fn known_result(text: &str) -> Option<ResultType> {
    ResultType::REGISTERED.into_iter().find(|known| known.as_str() == text)
}

fn ip(object: &Object<'_>, name: &str, path: impl Fn() -> String, oddities: &mut Oddities) -> Option<IpAddr> {
    let value = object.get(name)?;
    let written = match value {
        Value::Text(text) => Cow::Borrowed(&**text),
        other => text(other).unwrap_or_default(),
    };
    let (address, plain) = address(&written);
    if !plain {
        oddities.note("REP-048", path, || {
            format!("{name} is {:?}.", written.chars().take(100).collect::<String>())
        });
    }
    address
}

/// The first line of an EHLO answer (REP-049).
fn helo(
    object: &Object<'_>,
    path: impl Fn() -> String,
    limits: &Limits,
    oddities: &mut Oddities,
) -> Option<String> {
    let whole = object.get("receiving-mx-helo").and_then(text)?;
    let first = whole.split(['\n', '\r']).next().unwrap_or_default().trim_end();
    if first.len() != whole.len() {
        oddities.note("REP-049", path, || "receiving-mx-helo has several lines.".to_owned());
    }
    Some(kept(first, limits)).filter(|text| !text.is_empty())
}
