//! What every address of every MX does: SMTP.
//!
//! Three things are kept apart: a server that is broken, a server that only our TLS library cannot
//! reach, and a network that does not let us out to port 25. Only the first is a fault of the domain.
//! Findings are made per host; the addresses concerned stand in the message.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::case::Case;
use super::dane::matched_by_usage_3;
use crate::chain::ChainFault;
use crate::facts::{AddressProbe, CertificateFacts, DomainFacts, MxFacts, ProbeOutcome, TlsFacts};
use crate::finding::phrase::{day, foreign, list, relative};
use crate::mta_sts::Mode;
use crate::{Finding, Severity};

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !case.smtp {
        return findings;
    }
    if smtp_blocked(case.facts) {
        findings.push(blocked(case));
        return findings;
    }
    findings.extend(no_route(case));
    for host in &case.facts.hosts {
        findings.extend(by_outcome(host));
        findings.extend(certificates(case, host));
        findings.extend(different_certificates(host));
    }
    findings
}

/// The chain presented, leaf first; empty where none was.
pub fn presented(outcome: &ProbeOutcome) -> &[CertificateFacts] {
    match outcome {
        ProbeOutcome::Tls(tls) => &tls.chain,
        ProbeOutcome::Handshake(failure) => &failure.chain,
        _ => &[],
    }
}

/// Whether nothing at all answers on port 25 from here: every address of every MX was tried, and none
/// took a connection. A refusal is an answer.
pub fn smtp_blocked(facts: &DomainFacts) -> bool {
    let mut probes = facts.hosts.iter().flat_map(|host| &host.probes).peekable();
    probes.peek().is_some() && probes.all(|probe| silent(&probe.outcome))
}

/// No connection, and nobody who refused it.
fn silent(outcome: &ProbeOutcome) -> bool {
    match outcome {
        ProbeOutcome::Unreachable(why) => !why.to_ascii_lowercase().contains("refused"),
        ProbeOutcome::Timeout(phase) => is_connect(phase),
        _ => false,
    }
}

fn is_connect(phase: &str) -> bool {
    phase.to_ascii_lowercase().contains("connect")
}

/// No connection could be made, whatever the reason.
fn unconnected(outcome: &ProbeOutcome) -> bool {
    matches!(outcome, ProbeOutcome::Unreachable(_)) || silent(outcome)
}

/// This machine has no way to that address family: nothing is known about the server.
pub(super) fn lacks_route(outcome: &ProbeOutcome) -> bool {
    let ProbeOutcome::Unreachable(why) = outcome else { return false };
    let why = why.to_ascii_lowercase();
    [
        "network is unreachable",
        "network unreachable",
        "no route",
        "address family not supported",
        "cannot assign",
    ]
    .iter()
    .any(|words| why.contains(words))
}

fn blocked(case: &Case<'_>) -> Finding {
    let hosts = list(case.facts.hosts.iter().map(|host| &host.host), 5);
    Finding::new("SMTP-016", Severity::Untested, "port 25", format!("nothing answers on port 25 from here ({hosts}): the mail servers could not be tested"))
        .consequence("Nothing is known about the mail servers: this says something about our network, or that all of them are down.")
        .fix([
            "Ask the network provider of this machine to open outgoing port 25, or run the check from another network.".to_owned(),
            "To judge the rest without the mail servers: mailward check --no-smtp".to_owned(),
        ])
        .evidence("addresses", case.facts.hosts.iter().flat_map(|h| &h.probes).map(|p| p.address.to_string()).collect::<Vec<_>>())
}

/// One finding for all addresses that this machine has no route to.
fn no_route(case: &Case<'_>) -> Option<Finding> {
    let addresses: Vec<IpAddr> = case
        .facts
        .hosts
        .iter()
        .flat_map(|host| &host.probes)
        .filter(|probe| lacks_route(&probe.outcome))
        .map(|probe| probe.address)
        .collect();
    let family = if addresses.iter().all(IpAddr::is_ipv6) { "IPv6" } else { "them" };
    (!addresses.is_empty()).then(|| {
        Finding::new(
            "SMTP-016",
            Severity::Untested,
            "route",
            format!("this machine has no route to {}: not tested", list(&addresses, 5)),
        )
        .consequence("Nothing is known about these addresses; the others were tested.")
        .fix([format!("Run the check from a machine that reaches {family}.")])
    })
}

/// What an address does wrong before its certificate counts.
struct Fault {
    id: &'static str,
    severity: Severity,
    what: String,
    fix: Vec<String>,
}

fn by_outcome(host: &MxFacts) -> Vec<Finding> {
    let mut groups: BTreeMap<(&'static str, Severity), Vec<(IpAddr, Fault)>> = BTreeMap::new();
    for probe in host.probes.iter().filter(|probe| !lacks_route(&probe.outcome)) {
        if let Some(fault) = fault(host, probe) {
            groups.entry((fault.id, fault.severity)).or_default().push((probe.address, fault));
        }
    }
    groups
        .into_iter()
        .map(|((id, severity), faults)| {
            let what = list(faults.iter().map(|(address, fault)| format!("{address} {}", fault.what)), 5);
            let good: Vec<IpAddr> = host
                .probes
                .iter()
                .filter(|probe| matches!(probe.outcome, ProbeOutcome::Tls(_)))
                .map(|probe| probe.address)
                .collect();
            let beside = if good.is_empty() { String::new() } else { format!("; {} works", list(good, 5)) };
            let fix = faults.first().map(|(_, fault)| fault.fix.clone()).unwrap_or_default();
            Finding::new(id, severity, host.host.to_string(), format!("{}: {what}{beside}", host.host))
                .fix(fix)
                .evidence(
                    "addresses",
                    faults.iter().map(|(address, _)| address.to_string()).collect::<Vec<_>>(),
                )
        })
        .collect()
}

fn fault(host: &MxFacts, probe: &AddressProbe) -> Option<Fault> {
    let name = &host.host;
    let address = probe.address;
    let starttls =
        || format!("See it: openssl s_client -starttls smtp -connect {} -servername {name}", socket(address));
    let of = |id, severity, what: String, fix: Vec<String>| Some(Fault { id, severity, what, fix });
    match &probe.outcome {
        ProbeOutcome::Tls(_) => None,
        outcome if unconnected(outcome) => {
            let others = host.probes.iter().any(|p| p.address.is_ipv4() != address.is_ipv4() && !unconnected(&p.outcome));
            let severity = if others { Severity::Warning } else { Severity::Error };
            let why = match outcome {
                ProbeOutcome::Unreachable(why) => foreign(why),
                _ => "no answer in time".to_owned(),
            };
            of("SMTP-001", severity, format!("takes no connection on port 25 ({why})"), vec![
                format!("See that the mail server listens on {address} and that no firewall is in the way of port 25."),
                format!("If the address is not used any more, remove its A or AAAA record from {name}."),
            ])
        }
        ProbeOutcome::PrivateAddress => of("SMTP-001", Severity::Untested, "is a private address and was not tried".to_owned(), vec![
            format!("Publish a public address for {name}: senders on the Internet reach no private one."),
            "If this is a private network, allow it: --set outside.allow_private_addresses=true".to_owned(),
        ]),
        ProbeOutcome::Greeting(reply) => of("SMTP-002", Severity::Error, format!("greets with \"{}\" instead of 220", foreign(reply)), vec![
            "Read the mail server's log for this connection; a block list or a limit may have refused us alone.".to_owned(),
            "Let it greet with 220 within 30 s.".to_owned(),
        ]),
        ProbeOutcome::Ehlo(reply) => of("SMTP-002", Severity::Error, format!("answers EHLO with \"{}\" instead of 250", foreign(reply)), vec![
            "Let the mail server accept EHLO: without it there is no STARTTLS.".to_owned(),
        ]),
        ProbeOutcome::Protocol(what) => of("SMTP-002", Severity::Error, format!("breaks the SMTP protocol ({})", foreign(what)), vec![
            "See what stands in front of the mail server: a firewall that rewrites SMTP is the usual cause.".to_owned(),
        ]),
        ProbeOutcome::Timeout(phase) => of("SMTP-002", Severity::Error, format!("does not answer in time ({})", foreign(phase)), vec![
            "Read the mail server's log for this connection; slow DNS or block list lookups are the usual cause.".to_owned(),
        ]),
        ProbeOutcome::NoStartTls(keywords) => of("SMTP-003", Severity::Error, format!("offers no STARTTLS (it offers {})", if keywords.is_empty() { "nothing".to_owned() } else { list(keywords.iter().map(|k| foreign(k)), 6) }), vec![
            format!("Switch STARTTLS on in the mail server at {address} (Postfix: smtpd_tls_security_level = may, with certificate and key), with the certificate that the other addresses present."),
            "If it is on, look for a firewall that hides the keyword.".to_owned(),
            starttls(),
        ]),
        ProbeOutcome::StartTlsRefused(reply) => of("SMTP-004", Severity::Error, format!("offers STARTTLS and refuses it with \"{}\"", foreign(reply)), vec![
            "Read the mail server's log: usually it cannot read its certificate or key.".to_owned(),
            starttls(),
        ]),
        ProbeOutcome::StartTlsInjection => of("SMTP-004", Severity::Error, "sends plain text after its answer to STARTTLS: broken, or somebody in the path".to_owned(), vec![
            "Compare with a connection made from the server's own network: if it is clean there, somebody in the path injects text.".to_owned(),
            "Otherwise upgrade the mail server, or the filter in front of it.".to_owned(),
        ]),
        ProbeOutcome::Handshake(failure) if failure.reason.contains("protocol_version") => of("SMTP-005", Severity::Error, "speaks neither TLS 1.2 nor TLS 1.3".to_owned(), vec![
            "Switch on TLS 1.2 and TLS 1.3 (Postfix: smtpd_tls_protocols = >=TLSv1.2); upgrade the TLS library if it has none.".to_owned(),
            starttls(),
        ]),
        // Cannot be reached by us is not broken: other senders have other TLS libraries.
        ProbeOutcome::Handshake(failure) if failure.maybe_legacy => of("SMTP-004", Severity::Untested, format!("cannot be reached by our TLS library ({}), perhaps because it speaks only old ciphers or keys", foreign(&failure.reason)), vec![
            starttls(),
            "Switch on TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM or ChaCha20, and a key of RSA 2048 bits or ECDSA P-256.".to_owned(),
        ]),
        ProbeOutcome::Handshake(failure) => of("SMTP-004", Severity::Error, format!("fails in the TLS handshake ({})", foreign(&failure.reason)), vec![
            "Read the mail server's log for this connection: certificate and key that do not belong together are the usual cause.".to_owned(),
            starttls(),
        ]),
        ProbeOutcome::Unreachable(_) => None,
    }
}

fn socket(address: IpAddr) -> String {
    std::net::SocketAddr::new(address, 25).to_string()
}

/// Faults of the web PKI at the moment judged for: those seen, and dates that pass until then.
pub(super) fn chain_faults(case: &Case<'_>, tls: &TlsFacts) -> Vec<ChainFault> {
    let mut faults = tls.web_pki.clone();
    if let Some(leaf) = tls.chain.first() {
        let expired = faults.iter().any(|fault| matches!(fault, ChainFault::Expired(_)));
        if leaf.not_after <= case.at && !expired {
            faults.push(ChainFault::Expired(leaf.not_after));
        }
    }
    faults.retain(|fault| !matches!(fault, ChainFault::NotYetValid(start) if *start <= case.at));
    faults
}

/// One fault of one address, with the certificate presented there.
type At<'a> = (IpAddr, Fault, Option<&'a CertificateFacts>);

/// SMTP-007, -008, -009: what the certificate is worth to a sender that holds the host to a policy.
fn certificates(case: &Case<'_>, host: &MxFacts) -> Vec<Finding> {
    let mut groups: BTreeMap<&'static str, Vec<At<'_>>> = BTreeMap::new();
    for probe in &host.probes {
        let ProbeOutcome::Tls(tls) = &probe.outcome else { continue };
        let faults = chain_faults(case, tls).into_iter().map(|fault| chain_fault(case, host, probe, &fault));
        for fault in faults.chain(ends_soon(case, host, probe, tls)) {
            groups.entry(fault.id).or_default().push((probe.address, fault, tls.chain.first()));
        }
    }
    groups.into_iter().map(|(id, faults)| certificate_finding(case, host, id, &faults)).collect()
}

fn certificate_finding(case: &Case<'_>, host: &MxFacts, id: &str, faults: &[At<'_>]) -> Finding {
    let severity = faults.iter().map(|(_, fault, _)| fault.severity).max().unwrap_or(Severity::Info);
    let what = list(faults.iter().map(|(address, fault, _)| format!("{address} {}", fault.what)), 5);
    let mut finding = Finding::new(id, severity, host.host.to_string(), format!("{}: {what}", host.host))
        .evidence("addresses", faults.iter().map(|(address, ..)| address.to_string()).collect::<Vec<_>>());
    if let Some((_, fault, leaf)) = faults.first() {
        finding = finding.fix(fault.fix.clone());
        if let Some(leaf) = leaf {
            finding = finding
                .evidence("not_after", leaf.not_after.to_string())
                .evidence("dns_names", leaf.dns_names.clone())
                .evidence("issuer", foreign(&leaf.issuer))
                .evidence("spki_sha256", leaf.spki_sha256.clone());
        }
    }
    match case.mode() {
        _ if !case.under_policy() => finding.consequence(
            "No sender minds today, since the domain has no MTA-STS policy in force; mend it before you enforce one.",
        ),
        Some(Mode::Testing) => finding.consequence(
            "The policy is in testing, so mail still flows; senders that enforce would defer mail to this host.",
        ),
        _ => finding,
    }
}

fn chain_fault(case: &Case<'_>, host: &MxFacts, probe: &AddressProbe, fault: &ChainFault) -> Fault {
    let name = &host.host;
    let harm = if case.under_policy() { Severity::Error } else { Severity::Info };
    let of = |id, severity, what: String, fix: Vec<String>| Fault { id, severity, what, fix };
    match fault {
        ChainFault::Expired(end) => of(
            "SMTP-009",
            expiry_severity(case, host, probe, Severity::Error),
            format!("presents a certificate that expired on {} ({})", day(*end), relative(*end, case.at)),
            vec![
                format!("Renew the certificate of {name} and install it on every address."),
                "Reload the mail server so that it presents the new one; then mend the automatic renewal."
                    .to_owned(),
            ],
        ),
        ChainFault::HostMismatch(names) => {
            let named = match names.is_empty() {
                true => "no DNS name".to_owned(),
                false => list(names.iter().map(|name| foreign(name)), 4),
            };
            of(
                "SMTP-008",
                harm,
                format!("presents a certificate for {named}"),
                vec![
                    format!(
                        "Issue a certificate with the DNS name {name} (beside the names it has now) and install it on every address."
                    ),
                    format!(
                        "Or let the MX record name a host that the certificate has, once that name is in the policy: mailward dns {}",
                        case.facts.domain
                    ),
                ],
            )
        }
        ChainFault::IncompleteChain => of(
            "SMTP-007",
            harm,
            "sends its certificate without the intermediate that signed it".to_owned(),
            vec![
                "Install the full chain (often the file fullchain.pem) instead of the certificate alone."
                    .to_owned(),
            ],
        ),
        other => of(
            "SMTP-007",
            harm,
            format!("presents a certificate that is not trusted ({})", reason(other)),
            vec![format!(
                "Install a certificate of a public authority for {name}, with its chain, on every address."
            )],
        ),
    }
}

fn ends_soon(case: &Case<'_>, host: &MxFacts, probe: &AddressProbe, tls: &TlsFacts) -> Option<Fault> {
    let leaf =
        tls.chain.first().filter(|leaf| leaf.not_after > case.at && !case.lasts(leaf.not_after, 21))?;
    let worst = if case.lasts(leaf.not_after, 7) { Severity::Warning } else { Severity::Error };
    Some(Fault {
        id: "SMTP-009",
        severity: expiry_severity(case, host, probe, worst),
        what: format!(
            "presents a certificate that expires on {} ({})",
            day(leaf.not_after),
            relative(leaf.not_after, case.at)
        ),
        fix: vec![
            format!("Renew the certificate of {} and reload the mail server.", host.host),
            "See why it was not renewed by itself.".to_owned(),
        ],
    })
}

/// Under usage 3 alone neither name nor date counts (RFC 7672 §3.1.1).
fn expiry_severity(case: &Case<'_>, host: &MxFacts, probe: &AddressProbe, worst: Severity) -> Severity {
    match () {
        () if case.under_policy() => worst,
        () if matched_by_usage_3(case, host, probe) => Severity::Info,
        () => worst.min(Severity::Warning),
    }
}

fn reason(fault: &ChainFault) -> String {
    match fault {
        ChainFault::UnknownIssuer => "its issuer is no public authority".to_owned(),
        ChainFault::SelfSigned => "it is signed by itself".to_owned(),
        ChainFault::NotYetValid(start) => format!("it is not valid before {}", day(*start)),
        ChainFault::BadSignature => "a signature in the chain does not verify".to_owned(),
        ChainFault::NotACa => "an issuer in the chain is no authority".to_owned(),
        ChainFault::Purpose => "it is not meant for servers".to_owned(),
        ChainFault::Malformed(why) => format!("it cannot be read: {}", foreign(why)),
        ChainFault::Expired(_) | ChainFault::HostMismatch(_) | ChainFault::IncompleteChain => {
            fault.reason_code().to_owned()
        }
    }
}

/// SMTP-014: one name, several keys; usually a node that a deployment forgot.
fn different_certificates(host: &MxFacts) -> Option<Finding> {
    let mut leaves: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    for probe in &host.probes {
        if let Some(leaf) = presented(&probe.outcome).first() {
            leaves.entry(&leaf.sha256).or_default().push(probe.address);
        }
    }
    if leaves.len() < 2 {
        return None;
    }
    let groups = leaves.iter().map(|(hash, addresses)| {
        format!("{} presents {}…", list(addresses, 5), hash.get(..12).unwrap_or(hash))
    });
    Some(
        Finding::new("SMTP-014", Severity::Warning, host.host.to_string(), format!("the addresses of {} present different certificates: {}", host.host, list(groups, 5)))
            .consequence("Senders see one or the other by chance; a forgotten node fails later than the rest and is found last.")
            .fix([format!("Deploy the newest certificate to every address of {}.", host.host)]),
    )
}
