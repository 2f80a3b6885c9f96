//! G7 to G10: what the last look from outside shows.

use jiff::{SignedDuration, Timestamp};

use super::answer::Answer;
use super::window::{body_mark, is_our_id};
use super::{Evidence, Gate};
use crate::MxHost;
use crate::audit::mail_server::{presented, smtp_blocked};
use crate::chain::ChainFault;
use crate::facts::{CertificateFacts, DomainFacts, FetchCause, FetchError};
use crate::finding::phrase::{day, foreign, list, moment, relative, span};
use crate::mta_sts::{StsPolicy, record};

/// The last look, unless it is older than the longest gap allowed between probes.
fn fresh<'a>(evidence: &'a Evidence, gate: &Gate, now: Timestamp) -> Result<&'a DomainFacts, Answer> {
    let look = format!("See how it is now; nothing of that is kept: mailward check {}", evidence.domain);
    let Some(facts) = &evidence.latest else {
        return Err(Answer::unknown(
            "We have not looked at this domain from outside yet.",
            ["Start mailward serve with [monitor]: it looks soon, and keeps what it sees.".to_owned(), look],
        ));
    };
    let age = now.duration_since(facts.observed_at);
    if age > SignedDuration::from_hours(i64::from(gate.probe_gap_hours)) {
        let text = format!(
            "The last look from outside was at {}, {} ago; that is too old.",
            moment(facts.observed_at),
            span(age)
        );
        return Err(Answer::unknown(text, ["Keep mailward serve running with [monitor].".to_owned(), look]));
    }
    Ok(facts)
}

fn policy(facts: &DomainFacts) -> Option<StsPolicy> {
    let fetched = facts.policy_host.fetch.as_ref()?.as_ref().ok()?;
    StsPolicy::parse(&fetched.body).ok()
}

/// G7: every MX is covered by the policy (RFC 8461 §4.1).
pub(super) fn covered(evidence: &Evidence, gate: &Gate, now: Timestamp) -> Answer {
    let facts = match fresh(evidence, gate, now) {
        Ok(facts) => facts,
        Err(answer) => return answer,
    };
    let again = [format!("Look again: mailward check {}", facts.domain)];
    let answer = match &facts.mx {
        Ok(answer) => answer,
        Err(error) => {
            return Answer::unknown(format!("The MX records could not be looked up: {error}."), again);
        }
    };
    let Some(policy) = policy(facts) else {
        return Answer::unknown(
            "There is no usable policy to compare the mail servers with; see item 8.",
            again,
        );
    };
    let mut hosts: Vec<MxHost> = answer.records.iter().filter_map(|mx| mx.exchange.clone().ok()).collect();
    if answer.records.is_empty() {
        // Reading A31: without an MX record the domain itself is the host.
        hosts.push(MxHost(facts.domain.0.clone()));
    }
    let senseless: Vec<String> = answer.records.iter().filter_map(|mx| mx.exchange.clone().err()).collect();
    if !senseless.is_empty() {
        let text = match senseless.iter().any(|name| name == ".") {
            true => "The domain says with a null MX that it takes no mail.".to_owned(),
            false => format!(
                "The MX records name {}, which is no host name.",
                list(senseless.iter().map(|n| foreign(n)), 3)
            ),
        };
        return Answer::obstacle(
            text,
            [format!("Mend the MX records; the exact fix: mailward check {}", facts.domain)],
        );
    }
    let outside: Vec<&MxHost> = hosts.iter().filter(|host| policy.matching(host).is_none()).collect();
    if outside.is_empty() {
        let pairs = hosts.iter().filter_map(|host| Some(format!("{host} by \"{}\"", policy.matching(host)?)));
        return Answer::holds(format!("The policy names {}.", list(pairs, 5)));
    }
    Answer::obstacle(
        format!(
            "{} {} not in the policy ({}); a wildcard stands for exactly one label. Enforcing senders would defer mail that picks {}.",
            list(&outside, 5),
            if outside.len() == 1 { "is" } else { "are" },
            list(policy.mx.iter().map(|pattern| format!("mx: {pattern}")), 5),
            if outside.len() == 1 { "it" } else { "them" },
        ),
        [
            format!(
                "Add {} to the policy and see it served on every address.",
                list(outside.iter().map(|host| format!("\"mx: {host}\"")), 10)
            ),
            format!("Then publish the record with a new id: mailward dns {}", facts.domain),
        ],
    )
}

/// G8: the policy is fetched on every address, and the id of the record fits the body.
pub(super) fn served(evidence: &Evidence, gate: &Gate, now: Timestamp) -> Answer {
    let facts = match fresh(evidence, gate, now) {
        Ok(facts) => facts,
        Err(answer) => return answer,
    };
    let domain = &facts.domain;
    let again = [format!("Look again: mailward check {domain}")];
    let fix = [format!("The exact fix: mailward check {domain}")];
    let fetched = match &facts.policy_host.fetch {
        Some(Ok(fetched)) => fetched,
        Some(Err(error)) => return fetch_failed(error, domain.as_str()),
        None => match &facts.policy_host.addresses {
            Err(error) => {
                return Answer::unknown(
                    format!("The address of mta-sts.{domain} could not be looked up: {error}."),
                    again,
                );
            }
            Ok(_) => {
                return Answer::obstacle(
                    format!("The policy host mta-sts.{domain} has no address."),
                    [format!("Publish its address: mailward dns {domain}")],
                );
            }
        },
    };
    if let Err(fault) = StsPolicy::parse(&fetched.body) {
        return Answer::obstacle(format!("The policy served is void: {}.", foreign(&fault.0)), fix);
    }
    let texts = match &facts.sts_record {
        Ok(answer) => &answer.records,
        Err(error) => {
            return Answer::unknown(
                format!("The record _mta-sts.{domain} could not be looked up: {error}."),
                again,
            );
        }
    };
    let id = match record::discover(texts) {
        Ok(Some(record)) => record.id,
        Ok(None) => {
            return Answer::obstacle(
                format!("There is no record at _mta-sts.{domain}."),
                [format!("Publish it: mailward dns {domain}")],
            );
        }
        Err(fault) => {
            return Answer::obstacle(
                format!("The record at _mta-sts.{domain} cannot be used: {}.", foreign(&fault.0)),
                fix,
            );
        }
    };
    if !is_our_id(&id) {
        return Answer::unknown(
            format!("The id {id} was not made by mailward, so it does not show which policy it announces."),
            [
                format!("Publish the record from: mailward dns {domain}"),
                format!("Or pass it by name: mailward rollout {domain} pass --item 8 --reason TEXT."),
            ],
        );
    }
    if !id.ends_with(&body_mark(&fetched.body)) {
        return Answer::obstacle(
            format!(
                "The record announces id {id}, but the policy served has the mark {}: another policy.",
                body_mark(&fetched.body)
            ),
            [
                "First see the intended policy served on every address.".to_owned(),
                format!("Then publish another new id: mailward dns {domain}"),
            ],
        );
    }
    every_address(facts, &id)
}

fn every_address(facts: &DomainFacts, id: &str) -> Answer {
    let Some(Ok(fetched)) = &facts.policy_host.fetch else {
        return Answer::unknown("The policy was not fetched.", [""; 0]);
    };
    let known = facts.policy_host.addresses.as_ref().map(|answer| answer.records.clone()).unwrap_or_default();
    let body = crate::audit::policy_host::sha256_hex(&fetched.body);
    for other in &facts.policy_host.by_address {
        match &other.body_sha256 {
            Ok(hash) if *hash == body => {}
            Ok(_) => {
                return Answer::obstacle(
                    format!("{} serves another policy than {} does.", other.address, fetched.address),
                    [format!("Bring {} up to date, or take it out of the DNS.", other.address)],
                );
            }
            Err(error) => {
                return Answer::obstacle(
                    format!(
                        "{} does not serve the policy: {}.",
                        other.address,
                        foreign(error.detail.trim_end_matches('.'))
                    ),
                    [format!("Mend {}, or take it out of the DNS.", other.address)],
                );
            }
        }
    }
    let asked = |address: &&std::net::IpAddr| {
        **address == fetched.address || facts.policy_host.by_address.iter().any(|o| o.address == **address)
    };
    let unasked: Vec<String> =
        known.iter().filter(|address| !asked(address)).map(ToString::to_string).collect();
    if !unasked.is_empty() {
        return Answer::unknown(
            format!(
                "The policy is served by {}; {} not asked.",
                fetched.address,
                if unasked.len() == 1 {
                    format!("{} was", unasked[0])
                } else {
                    format!("{} were", list(&unasked, 5))
                }
            ),
            [format!("Look again: mailward check {}", facts.domain)],
        );
    }
    Answer::holds(format!(
        "Seen {} on {}; id {id} belongs to this policy.",
        moment(facts.observed_at),
        list(if known.is_empty() { vec![fetched.address] } else { known }, 5),
    ))
}

/// What the policy host answers wrongly is an obstacle; what we could not reach is a gap.
fn fetch_failed(error: &FetchError, domain: &str) -> Answer {
    let text = format!("The policy could not be fetched: {}.", foreign(error.detail.trim_end_matches('.')));
    let next = [format!("The exact fix: mailward check {domain}")];
    match error.cause {
        FetchCause::Dns | FetchCause::Connect | FetchCause::Timeout => Answer::unknown(text, next),
        _ => Answer::obstacle(text, next),
    }
}

fn lasts(certificate: &CertificateFacts, days: i64, now: Timestamp) -> bool {
    certificate.not_after.duration_since(now) > SignedDuration::from_hours(days.clamp(0, 100_000) * 24)
}

fn end_of(certificate: &CertificateFacts, now: Timestamp) -> String {
    format!("until {} ({})", day(certificate.not_after), relative(certificate.not_after, now))
}

/// G9.
pub(super) fn policy_host_certificate(evidence: &Evidence, gate: &Gate, now: Timestamp) -> Answer {
    let facts = match fresh(evidence, gate, now) {
        Ok(facts) => facts,
        Err(answer) => return answer,
    };
    let host = format!("mta-sts.{}", facts.domain);
    let days = gate.policy_host_certificate_days;
    let (chain, fault) = match &facts.policy_host.fetch {
        Some(Ok(fetched)) => (&fetched.chain, None),
        Some(Err(FetchError { cause: FetchCause::Certificate(fault), chain, .. })) => (chain, Some(fault)),
        Some(Err(error)) => (&error.chain, None),
        None => {
            return Answer::unknown(
                format!("No certificate of {host} was seen; see item 8."),
                [format!("Look again: mailward check {}", facts.domain)],
            );
        }
    };
    let renew = [format!("Renew the certificate of {host}, and see why it was not renewed by itself.")];
    match (chain.first(), fault) {
        (Some(leaf), Some(ChainFault::Expired(_))) => Answer::obstacle(
            format!("The certificate of {host} expired: valid {}.", end_of(leaf, now)),
            renew,
        ),
        (_, Some(fault)) => Answer::obstacle(
            format!("The certificate of {host} is not accepted ({}).", fault.reason_code()),
            [format!("The exact fix: mailward check {}", facts.domain)],
        ),
        (None, None) => Answer::unknown(
            format!("No certificate of {host} was seen; see item 8."),
            [format!("Look again: mailward check {}", facts.domain)],
        ),
        (Some(leaf), None) if lasts(leaf, days, now) => {
            Answer::holds(format!("Valid {}; more than {days} days are asked for.", end_of(leaf, now)))
        }
        (Some(leaf), None) => Answer::obstacle(
            format!(
                "The certificate of {host} is valid {}; more than {days} days are asked for.",
                end_of(leaf, now)
            ),
            renew,
        ),
    }
}

/// G10.
pub(super) fn mx_certificates(evidence: &Evidence, gate: &Gate, now: Timestamp) -> Answer {
    let facts = match fresh(evidence, gate, now) {
        Ok(facts) => facts,
        Err(answer) => return answer,
    };
    let days = gate.mx_certificate_days;
    let (mut short, mut unseen, mut good) = (Vec::new(), Vec::new(), Vec::new());
    for mx in &facts.hosts {
        if mx.probes.is_empty() {
            unseen.push(mx.host.to_string());
        }
        for probe in &mx.probes {
            match presented(&probe.outcome).first() {
                None => unseen.push(format!("{} at {}", mx.host, probe.address)),
                Some(leaf) if lasts(leaf, days, now) => {
                    good.push((leaf.not_after, format!("{} {}", mx.host, end_of(leaf, now))))
                }
                Some(leaf) => short.push(format!("{} at {} {}", mx.host, probe.address, end_of(leaf, now))),
            }
        }
    }
    if !short.is_empty() {
        return Answer::obstacle(
            format!("Valid for {days} days or less: {}.", list(short, 4)),
            [
                "Renew the certificate on every address, with the names it has now; see why it was not renewed by itself.",
            ],
        );
    }
    if unseen.is_empty() && !good.is_empty() {
        good.sort();
        good.dedup_by(|a, b| a.1 == b.1);
        return Answer::holds(format!(
            "Valid for more than {days} days: {}.",
            list(good.into_iter().map(|g| g.1), 5)
        ));
    }
    let why = match (smtp_blocked(facts), facts.mx.as_ref().err()) {
        (_, Some(error)) => format!("The MX records could not be looked up: {error}."),
        (true, None) => format!(
            "Port 25 cannot be reached from here (SMTP-016), so no certificate was seen of {}.",
            list(unseen, 4)
        ),
        (false, None) => format!(
            "No certificate was seen of {}.",
            if unseen.is_empty() { "any mail server".to_owned() } else { list(unseen, 4) }
        ),
    };
    Answer::unknown(
        why,
        [format!(
            "Run the monitor where outgoing port 25 is open, or pass it by name: mailward rollout {} pass --item 10 --reason TEXT.",
            facts.domain
        )],
    )
}
