//! The policy itself (RFC 8461 §3.2): STS-POL. The texts come from the lint; the fix is this domain's.

use super::case::Case;
use crate::mta_sts::MxPattern;
use crate::{Finding, Severity};

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        case.policy_findings.iter().map(|finding| with_fix(case, finding)).collect();
    findings.extend(own_wildcard(case));
    findings
}

fn with_fix(case: &Case<'_>, finding: &Finding) -> Finding {
    let publish = || {
        [
            format!(
                "See it served on every address: curl -sS https://{}/.well-known/mta-sts.txt",
                case.policy_host()
            ),
            format!("Then publish a new id: mailward dns {}", case.facts.domain),
        ]
    };
    let step = match finding.id.as_str() {
        "STS-POL-001" => "Write \"version: STSv1\" as the first line of the policy.",
        "STS-POL-002" => "Write one line \"mode: testing\" (or enforce, or none), in lower case.",
        "STS-POL-003" => "Write \"max_age: 604800\": a number of seconds, digits only, at most 31557600.",
        "STS-POL-004" | "STS-POL-005" => {
            "Write \"max_age: 86400\" or more; 1209600 and more once you enforce."
        }
        "STS-POL-006" => "Once everything has been calm for two weeks, write \"max_age: 1209600\" or more.",
        "STS-POL-008" => return add_hosts(case, finding),
        "STS-POL-009" | "STS-POL-010" => return add_hosts(case, finding),
        _ => return finding.clone(),
    };
    finding.clone().fix([step.to_owned()].into_iter().chain(publish()))
}

/// The lines that name the MX hosts of this domain, ready to paste.
fn add_hosts(case: &Case<'_>, finding: &Finding) -> Finding {
    let lines: Vec<String> = case.mx.iter().take(20).map(|host| format!("\"mx: {host}\"")).collect();
    let first = match lines.is_empty() {
        true => "Write one line \"mx: HOST\" for each mail server of the domain.".to_owned(),
        false => format!("Name each mail server on a line of its own: {}.", lines.join(", ")),
    };
    finding.clone().fix([
        first,
        format!(
            "See it served on every address: curl -sS https://{}/.well-known/mta-sts.txt",
            case.policy_host()
        ),
        format!("Then publish a new id: mailward dns {}", case.facts.domain),
    ])
}

/// Every host of the own domain that can get a certificate may then receive the mail (RFC 8461 §10.4).
fn own_wildcard(case: &Case<'_>) -> Option<Finding> {
    let own = case.facts.domain.organizational()?;
    let pattern =
        case.policy.as_ref()?.mx.iter().find(|p| matches!(p, MxPattern::Wildcard(base) if *base == own))?;
    let lines: Vec<String> = case.mx.iter().map(|host| format!("\"mx: {host}\"")).collect();
    Some(
        Finding::new(
            "STS-POL-011",
            Severity::Warning,
            pattern.to_string(),
            format!("the pattern {pattern} lets every host of {own} with a certificate receive the mail"),
        )
        .fix([
            format!("Name the mail servers instead: {}.", lines.join(", ")),
            format!("Then publish a new id: mailward dns {}", case.facts.domain),
        ]),
    )
}
