//! The host that serves the policy (RFC 8461 §3.2, §3.3): STS-WEB.

use sha2::{Digest, Sha256};

use super::case::{Case, fetched, lookup_severity};
use crate::chain::ChainFault;
use crate::dns::Denial;
use crate::facts::{CertificateFacts, FetchCause, FetchError, FetchedPolicy};
use crate::finding::phrase::{day, foreign, list, relative};
use crate::{Finding, Severity};

/// SHA-256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Nothing promised, nothing broken: hosts that answer for every name are common.
    if !case.announced() && fetched(case.facts).is_none() {
        return findings;
    }
    findings.extend(addresses(case));
    match &case.facts.policy_host.fetch {
        Some(Err(error)) => findings.push(failure(case, error)),
        Some(Ok(fetched)) => {
            findings.extend(fetched.chain.first().and_then(|leaf| expiry(case, leaf)));
            findings.extend(size_and_speed(case, fetched));
            findings.extend(by_address(case, fetched));
        }
        None => {}
    }
    findings
}

fn addresses(case: &Case<'_>) -> Vec<Finding> {
    let host = case.policy_host();
    let publish = [
        format!("Publish A and AAAA records, or a CNAME, for {host}."),
        format!("See the policy at https://{host}/.well-known/mta-sts.txt"),
    ];
    match &case.facts.policy_host.addresses {
        Err(error) => vec![
            Finding::new(
                "STS-WEB-001",
                lookup_severity(error),
                &host,
                format!("the address of {host} could not be looked up: {error}"),
            )
            .fix([format!("Mend the DNS of {host}: dig A {host} and dig AAAA {host} must answer.")]),
        ],
        Ok(answer) if answer.is_absent() => {
            let mut findings = vec![
                Finding::new("STS-WEB-001", Severity::Error, &host, format!("{host} has no address"))
                    .fix(publish),
            ];
            if let (Some(target), Some(Denial::NxDomain)) = (answer.expanded(), answer.denial) {
                let message = format!(
                    "{host} is an alias of {target}, which does not exist: whoever registers it serves your policy"
                );
                findings.push(Finding::new("STS-WEB-003", Severity::Error, &host, message).fix([
                    format!(
                        "Remove the CNAME of {host} at once, or have {target} set up again at your provider."
                    ),
                    format!("Then see the policy at https://{host}/.well-known/mta-sts.txt"),
                ]));
            }
            findings
        }
        Ok(_) => Vec::new(),
    }
}

/// Why no sender gets a policy, and what mends it.
fn failure(case: &Case<'_>, error: &FetchError) -> Finding {
    let host = case.policy_host();
    let url = format!("https://{host}/.well-known/mta-sts.txt");
    let detail = foreign(error.detail.trim_end_matches('.'));
    let see = format!("See it as a sender does: curl -sS -D- {url}");
    let leaf = error.chain.first();
    let (id, severity, steps) = match &error.cause {
        FetchCause::Dns => ("STS-WEB-001", Severity::Error, vec![format!("Mend the DNS of {host}: dig A {host} and dig AAAA {host} must answer.")]),
        FetchCause::Connect => ("STS-WEB-008", Severity::Error, vec![
            format!("Start the web server of {host} and open port 443 on every address it has in the DNS."),
        ]),
        FetchCause::PrivateAddress => ("STS-WEB-001", Severity::Untested, vec![
            format!("Publish a public address for {host}: senders on the Internet reach no private one."),
            "If this is a private network, allow it: --set outside.allow_private_addresses=true".to_owned(),
        ]),
        FetchCause::Certificate(fault) => return certificate(case, fault, &detail, leaf),
        FetchCause::Tls(alert) if alert.contains("protocol_version") => ("STS-WEB-013", Severity::Error, vec![
            format!("Switch on TLS 1.2 and TLS 1.3 on the web server of {host}."),
        ]),
        FetchCause::Tls(_) => ("STS-WEB-008", Severity::Error, vec![
            format!("See that the web server knows the name {host} (SNI) and has a certificate for it."),
        ]),
        FetchCause::Status(code @ (401 | 403 | 405 | 406 | 429 | 503)) => ("STS-WEB-008", Severity::Error, vec![
            format!("Status {code} is often bot protection: exempt the path /.well-known/mta-sts.txt of {host} from it."),
            "Serve the file with status 200 to every client, also without cookies, scripts or a browser's User-Agent.".to_owned(),
        ]),
        FetchCause::Status(code) => ("STS-WEB-008", Severity::Error, vec![
            format!("Put the policy at exactly /.well-known/mta-sts.txt on {host}; status {code} means that it is not served there."),
        ]),
        FetchCause::Redirect(_, target) => ("STS-WEB-009", Severity::Error, vec![
            format!("Serve the policy at {url} itself with status 200, instead of sending clients to {}.", foreign(target)),
            "Take the path out of any rule that adds or removes www, a slash or a language.".to_owned(),
        ]),
        FetchCause::MediaType(_) => ("STS-WEB-010", Severity::Error, vec![
            "Send the header: Content-Type: text/plain; charset=utf-8".to_owned(),
        ]),
        FetchCause::Encoding(_) => ("STS-WEB-008", Severity::Error, vec![
            "Send the policy uncompressed to clients that do not ask for compression.".to_owned(),
        ]),
        FetchCause::TooLarge => ("STS-WEB-011", Severity::Error, vec![
            "Serve only the policy: a few lines, far below 64 KiB.".to_owned(),
        ]),
        FetchCause::Timeout => ("STS-WEB-012", Severity::Error, vec![
            format!("See that every address of {host} answers within a few seconds, over IPv4 and IPv6."),
        ]),
        FetchCause::Http(_) => ("STS-WEB-008", Severity::Error, vec![
            "See that the server speaks HTTP/1.1 and sends the whole body with its length.".to_owned(),
        ]),
    };
    let mut finding = Finding::new(id, severity, host, format!("the policy cannot be fetched: {detail}"))
        .fix(steps.into_iter().chain([see]))
        .evidence("url", url)
        .evidence("reason", error.cause.reason_code());
    if let FetchCause::Redirect(code, target) = &error.cause {
        finding = finding.evidence("status", *code).evidence("target", target.clone());
    }
    if let FetchCause::Status(code) = error.cause {
        finding = finding.evidence("status", code);
    }
    finding
}

/// A certificate that no sender accepts (RFC 8461 §3.3).
fn certificate(
    case: &Case<'_>,
    fault: &ChainFault,
    detail: &str,
    leaf: Option<&CertificateFacts>,
) -> Finding {
    let host = case.policy_host();
    let (id, message, step) = match fault {
        ChainFault::Expired(end) => (
            "STS-WEB-006",
            format!("the certificate of {host} expired on {} ({})", day(*end), relative(*end, case.at)),
            format!("Renew the certificate of {host}, then mend its automatic renewal."),
        ),
        ChainFault::HostMismatch(names) => (
            "STS-WEB-005",
            format!(
                "the certificate of {host} is for {}",
                if names.is_empty() {
                    "no DNS name".to_owned()
                } else {
                    list(names.iter().map(|n| foreign(n)), 4)
                }
            ),
            format!(
                "Issue a certificate with the DNS name {host} and have the server present it for that name (SNI)."
            ),
        ),
        ChainFault::IncompleteChain => (
            "STS-WEB-007",
            format!("{host} sends its certificate without the intermediate that signed it"),
            "Send the full chain (often the file fullchain.pem), not the certificate alone.".to_owned(),
        ),
        _ => (
            "STS-WEB-004",
            format!("the certificate of {host} is not trusted: {detail}"),
            format!("Install a certificate of a public authority for {host}, with its chain."),
        ),
    };
    let mut finding = Finding::new(id, Severity::Error, &host, message)
        .fix([step, format!("See it: openssl s_client -connect {host}:443 -servername {host}")])
        .evidence("reason", fault.reason_code());
    if let Some(leaf) = leaf {
        finding = finding
            .evidence("not_after", leaf.not_after.to_string())
            .evidence("dns_names", leaf.dns_names.clone());
    }
    finding
}

/// A valid certificate that ends soon, or has ended by the day asked for.
fn expiry(case: &Case<'_>, leaf: &CertificateFacts) -> Option<Finding> {
    let host = case.policy_host();
    let severity = match () {
        () if case.lasts(leaf.not_after, 21) => return None,
        () if case.lasts(leaf.not_after, 7) => Severity::Warning,
        () => Severity::Error,
    };
    let verb = if leaf.not_after <= case.at { "expired" } else { "expires" };
    Some(
        Finding::new(
            "STS-WEB-006",
            severity,
            &host,
            format!(
                "the certificate of {host} {verb} on {} ({})",
                day(leaf.not_after),
                relative(leaf.not_after, case.at)
            ),
        )
        .fix([
            format!("Renew the certificate of {host}."),
            "See why it was not renewed by itself.".to_owned(),
        ])
        .evidence("not_after", leaf.not_after.to_string())
        .evidence("days_left", case.days_until(leaf.not_after)),
    )
}

fn size_and_speed(case: &Case<'_>, fetched: &FetchedPolicy) -> Vec<Finding> {
    let host = case.policy_host();
    let mut findings = Vec::new();
    if fetched.body.len() > 4096 {
        let message = format!("the policy has {} bytes; a few hundred are usual", fetched.body.len());
        findings.push(
            Finding::new("STS-WEB-011", Severity::Warning, &host, message)
                .evidence("bytes", fetched.body.len()),
        );
    }
    if fetched.elapsed_ms > 5000 {
        let message = format!(
            "the policy took {}.{} s to arrive",
            fetched.elapsed_ms / 1000,
            fetched.elapsed_ms % 1000 / 100
        );
        findings.push(
            Finding::new("STS-WEB-012", Severity::Warning, &host, message)
                .evidence("elapsed_ms", fetched.elapsed_ms),
        );
    }
    findings
}

/// Addresses that serve another policy, or none.
fn by_address(case: &Case<'_>, fetched: &FetchedPolicy) -> Vec<Finding> {
    let host = case.policy_host();
    let body = sha256_hex(&fetched.body);
    let mut findings = Vec::new();
    for other in &case.facts.policy_host.by_address {
        match &other.body_sha256 {
            Ok(hash) if *hash == body => {}
            Ok(_) => findings.push(
                Finding::new(
                    "STS-WEB-015",
                    Severity::Error,
                    format!("{host} {}", other.address),
                    format!("{} serves another policy than {}", other.address, fetched.address),
                )
                .fix([
                    format!("Bring {} up to date, or purge its cache.", other.address),
                    "When every address serves the same policy, publish another new id.".to_owned(),
                ]),
            ),
            Err(error) => findings.push(
                Finding::new(
                    "STS-WEB-002",
                    Severity::Warning,
                    format!("{host} {}", other.address),
                    format!(
                        "{} does not serve the policy, {} does: {}",
                        other.address,
                        fetched.address,
                        foreign(error.detail.trim_end_matches('.'))
                    ),
                )
                .fix([format!(
                    "Mend the web server at {}, or take the address out of the DNS.",
                    other.address
                )]),
            ),
        }
    }
    findings
}
