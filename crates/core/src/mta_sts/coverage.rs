//! Which MX hosts a policy names (RFC 8461 §4.1), and what follows for mail.

use crate::finding::Finding;
use crate::mta_sts::{Mode, MxPattern, StsPolicy};
use crate::{MxHost, Severity};

/// How the policy stands to one MX host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage<'a> {
    /// The host.
    pub host: &'a MxHost,
    /// The first pattern that matches.
    pub pattern: Option<&'a MxPattern>,
    /// A wildcard that only seems to cover the host, which lies deeper.
    pub too_shallow: Option<&'a MxPattern>,
}

/// One entry a host, in their order.
pub fn coverage<'a>(policy: &'a StsPolicy, hosts: &'a [MxHost]) -> Vec<Coverage<'a>> {
    hosts
        .iter()
        .map(|host| {
            let pattern = policy.matching(host);
            let too_shallow =
                policy.mx.iter().filter(|_| pattern.is_none()).find(|p| p.is_too_shallow_for(host));
            Coverage { host, pattern, too_shallow }
        })
        .collect()
}

/// Findings on MX hosts that the policy leaves out: STS-MX-001, -002 and -007. A policy of mode none
/// asks nothing of the hosts.
pub fn findings(policy: &StsPolicy, hosts: &[MxHost]) -> Vec<Finding> {
    if policy.mode == Mode::None || hosts.is_empty() {
        return Vec::new();
    }
    let severity = if policy.mode == Mode::Enforce { Severity::Error } else { Severity::Warning };
    let all = coverage(policy, hosts);
    let mut findings: Vec<Finding> =
        all.iter().filter(|c| c.pattern.is_none()).map(|c| uncovered(c, policy, severity)).collect();
    if findings.len() == hosts.len() {
        let names: Vec<&str> = hosts.iter().map(|h| h.as_str()).collect();
        let message = format!("no pattern of the policy matches any MX host ({})", names.join(", "));
        findings.push(Finding::new("STS-MX-002", severity, "policy", message).fix(fix_for(hosts.iter())));
    }
    findings
}

fn uncovered(c: &Coverage<'_>, policy: &StsPolicy, severity: Severity) -> Finding {
    let patterns: Vec<String> = policy.mx.iter().map(ToString::to_string).collect();
    let (id, message, deeper) = match c.too_shallow {
        Some(wildcard) => (
            "STS-MX-007",
            format!("{} lies two or more labels below {wildcard}, which stands for exactly one", c.host),
            c.host.parent().map(|base| format!("mx: *.{base}")),
        ),
        None => ("STS-MX-001", format!("{} is not in the policy (mode {})", c.host, policy.mode), None),
    };
    let fix = match deeper {
        Some(line) => {
            let mut fix = vec![format!("Add \"{line}\" or \"mx: {}\" to the policy.", c.host)];
            fix.extend(fix_for([c.host].into_iter()).into_iter().skip(1));
            fix
        }
        None => fix_for([c.host].into_iter()),
    };
    Finding::new(id, severity, c.host.to_string(), message)
        .fix(fix)
        .evidence("mode", policy.mode.as_str())
        .evidence("max_age", policy.max_age)
        .evidence("patterns", patterns)
}

/// Body first, then the record (RFC 8461 §8.1).
fn fix_for<'a>(hosts: impl Iterator<Item = &'a MxHost>) -> Vec<String> {
    let lines: Vec<String> = hosts.map(|h| format!("\"mx: {h}\"")).collect();
    vec![
        format!("Add {} to the policy, or remove the host from the MX records.", lines.join(" and ")),
        "See the new policy served on every address of the policy host.".to_owned(),
        "Then publish the MTA-STS record with a new id.".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(mode: &str, patterns: &[&str], hosts: &[&str]) -> Vec<(String, String, Severity)> {
        let mx: String = patterns.iter().map(|p| format!("mx: {p}\n")).collect();
        let body = format!("version: STSv1\nmode: {mode}\n{mx}max_age: 86400\n");
        let policy = StsPolicy::parse(body.as_bytes()).unwrap();
        let hosts: Vec<MxHost> = hosts.iter().map(|h| MxHost::parse(h).unwrap()).collect();
        findings(&policy, &hosts).into_iter().map(|f| (f.id, f.subject, f.severity)).collect()
    }

    #[test]
    fn hosts_left_out_are_named() {
        use Severity::{Error, Warning};
        let row = |id: &str, subject: &str, severity| (id.to_owned(), subject.to_owned(), severity);
        assert_eq!(ids("enforce", &["*.example.com"], &["a.example.com"]), []);
        assert_eq!(
            ids("enforce", &["a.example.com"], &["a.example.com", "b.example.com"]),
            [row("STS-MX-001", "b.example.com", Error)]
        );
        assert_eq!(
            ids("testing", &["*.mx.example"], &["a.b.mx.example"]),
            [row("STS-MX-007", "a.b.mx.example", Warning), row("STS-MX-002", "policy", Warning)]
        );
        assert_eq!(ids("none", &[], &["a.example.com"]), []);
    }
}
