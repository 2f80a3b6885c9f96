//! What changed behind our back, or in the wrong order: STS-DRIFT-001 to -007.
//!
//! A single look cannot see it. It takes the policies ever served for the domain and the look before.
//! Senders keep a policy for its max_age, so a mistake lasts longer than its cause: a finding stays as
//! long as some sender may still hold the policy in question (facts: rollout §2, horizon).

use jiff::{SignedDuration, Timestamp};

use crate::MxHost;
use crate::dns::Denial;
use crate::facts::DomainFacts;
use crate::finding::{Finding, Severity};
use crate::mta_sts::{Mode, StsPolicy, record};

/// A policy that is or was served for the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedOnce<'a> {
    /// The id it was announced with.
    pub id: &'a str,
    /// The body.
    pub body: &'a str,
    /// Last moment; `None` while it is served.
    pub last_served: Option<Timestamp>,
}

impl ServedOnce<'_> {
    /// Until when a sender may still hold it.
    fn horizon(&self, policy: &StsPolicy, now: Timestamp) -> Timestamp {
        let age = SignedDuration::from_secs(i64::from(policy.max_age));
        self.last_served.unwrap_or(now).checked_add(age).unwrap_or(Timestamp::MAX)
    }
}

/// What is known from before.
#[derive(Debug, Clone, Copy, Default)]
pub struct History<'a> {
    /// Every policy ever served by us, oldest first.
    pub served: &'a [ServedOnce<'a>],
    /// The look before this one.
    pub previous: Option<&'a DomainFacts>,
}

/// Findings on what happened since.
pub fn drift(history: History<'_>, facts: &DomainFacts, now: Timestamp) -> Vec<Finding> {
    let current = Seen::of(facts);
    let mut findings = vec![];
    findings.extend(body_and_id(history, &current));
    findings.extend(record_vanished(history, facts, &current, now));
    findings.extend(host_gone(history, facts, &current, now));
    findings.extend(mx_outside_cached(history, facts, now));
    findings
}

/// Id announced and body served, in one look.
struct Seen {
    id: Option<String>,
    body: Option<String>,
}

impl Seen {
    fn of(facts: &DomainFacts) -> Self {
        let found = facts.sts_record.as_ref().ok().and_then(|a| record::discover(&a.records).ok().flatten());
        let fetched = facts.policy_host.fetch.as_ref().and_then(|f| f.as_ref().ok());
        Self { id: found.map(|r| r.id), body: fetched.map(|f| String::from_utf8_lossy(&f.body).into_owned()) }
    }
}

/// The id announced stands for one body, the body served is another.
fn body_and_id(history: History<'_>, current: &Seen) -> Option<Finding> {
    let (id, body) = (current.id.as_deref()?, current.body.as_deref()?);
    let position = history.served.iter().position(|p| p.id == id);
    let announced = position.map(|n| &history.served[n]);
    if let (Some(position), true) = (position, announced.is_some_and(|p| p.body != body)) {
        let (before, after) = history.served.split_at(position);
        let older = before.iter().any(|p| p.body == body);
        let newer = after.iter().any(|p| p.body == body && p.id != id);
        return Some(match (older, newer) {
            (true, _) => old_body(id),
            (false, true) => record_behind(id),
            (false, false) => same_id(id),
        });
    }
    let before = Seen::of(history.previous?);
    let (old_id, old) = (before.id?, before.body?);
    match (old_id == id, old == body) {
        (true, false) => Some(same_id(id)),
        (false, true) if announced.is_none() => Some(same_body(&old_id, id)),
        _ => None,
    }
}

fn same_id(id: &str) -> Finding {
    let message =
        format!("the policy served is not the one that id {id} announced: the body changed, the id did not");
    Finding::new("STS-DRIFT-001", Severity::Error, "policy", message)
        .fix([
            "See the new policy served on every address of the policy host.",
            "Then publish the MTA-STS record with a new id.",
        ])
        .evidence("id", id)
}

fn old_body(id: &str) -> Finding {
    let message = format!("id {id} announces a new policy while the policy host still serves an older one");
    Finding::new("STS-DRIFT-003", Severity::Error, "policy", message)
        .fix([
            "Put the new policy on every address of the policy host and see it served there.",
            "Then publish the record with yet another new id: senders that came meanwhile keep the old policy under this one.",
        ])
        .evidence("id", id)
}

fn record_behind(id: &str) -> Finding {
    let message = format!("a newer policy is served, and the record still announces {id}");
    Finding::new("STS-DRIFT-001", Severity::Error, "policy", message)
        .fix(["Publish the MTA-STS record with the id of the policy that is served now."])
        .evidence("id", id)
}

fn same_body(old: &str, new: &str) -> Finding {
    let message =
        format!("the id changed from {old} to {new}, the policy did not: senders fetch it again for nothing");
    Finding::new("STS-DRIFT-002", Severity::Info, "policy", message)
}

/// Policies that a sender may still hold and enforce, those of the look before included.
fn enforced_until(history: History<'_>, now: Timestamp) -> Option<Timestamp> {
    let served = history.served.iter().filter_map(|p| {
        let policy = StsPolicy::parse(p.body.as_bytes()).ok()?;
        (policy.mode == Mode::Enforce).then(|| p.horizon(&policy, now))
    });
    let seen = history.previous.and_then(|before| {
        let policy = StsPolicy::parse(Seen::of(before).body?.as_bytes()).ok()?;
        let age = SignedDuration::from_secs(i64::from(policy.max_age));
        (policy.mode == Mode::Enforce).then(|| before.observed_at.checked_add(age).unwrap_or(Timestamp::MAX))
    });
    served.chain(seen).filter(|until| *until > now).max()
}

fn record_vanished(
    history: History<'_>,
    facts: &DomainFacts,
    current: &Seen,
    now: Timestamp,
) -> Option<Finding> {
    let answer = facts.sts_record.as_ref().ok()?;
    if current.id.is_some() || !matches!(answer.denial, Some(Denial::NoData | Denial::NxDomain)) {
        return None;
    }
    let until = enforced_until(history, now)?;
    let name = &facts.domain;
    let message = format!("the record is gone, and senders may enforce the policy they have until {until}");
    Some(
        Finding::new("STS-DRIFT-004", Severity::Error, format!("_mta-sts.{name}"), message)
            .fix([
                "Put the record back; with the same policy the same id may stand.",
                "To leave MTA-STS, serve mode none with a new id first, and wait.",
            ])
            .evidence("enforced_until", until.to_string()),
    )
}

fn host_gone(history: History<'_>, facts: &DomainFacts, current: &Seen, now: Timestamp) -> Option<Finding> {
    let id = current.id.as_deref()?;
    let failed = match &facts.policy_host.fetch {
        None => facts.policy_host.addresses.as_ref().is_ok_and(crate::dns::Answer::is_absent),
        Some(fetch) => fetch.is_err(),
    };
    let until = enforced_until(history, now)?;
    if !failed {
        return None;
    }
    let message = format!(
        "id {id} is announced and the policy cannot be fetched; senders that have it enforce it until {until}"
    );
    Some(
        Finding::new("STS-DRIFT-005", Severity::Error, format!("mta-sts.{}", facts.domain), message)
            .fix(["Bring the policy host back with the same policy; nothing else needs to change."])
            .evidence("enforced_until", until.to_string()),
    )
}

/// MX hosts that some policy, still held by senders and enforced, does not name.
fn mx_outside_cached(history: History<'_>, facts: &DomainFacts, now: Timestamp) -> Vec<Finding> {
    let hosts = mx_hosts(facts);
    let mut findings: Vec<Finding> = vec![];
    for served in history.served {
        let Ok(policy) = StsPolicy::parse(served.body.as_bytes()) else { continue };
        let until = served.horizon(&policy, now);
        if policy.mode != Mode::Enforce || until <= now {
            continue;
        }
        for host in hosts.iter().filter(|h| policy.matching(h).is_none()) {
            let known = findings.iter().position(|f| f.subject == host.as_str());
            let message =
                format!("{host} is not in policy {}, which senders may enforce until {until}", served.id);
            let finding = Finding::new("STS-DRIFT-006", Severity::Error, host.as_str(), message)
                .fix([
                    format!("Add \"mx: {host}\" to the policy, see it served, then publish a new id."),
                    format!("Or take {host} out of the MX records until {until}."),
                ])
                .evidence("id", served.id)
                .evidence("enforced_until", until.to_string());
            match known {
                // The policy that lives longest decides.
                Some(n)
                    if findings[n].evidence.get("enforced_until").and_then(|v| v.as_str())
                        < Some(until.to_string().as_str()) =>
                {
                    findings[n] = finding
                }
                Some(_) => {}
                None => findings.push(finding),
            }
        }
    }
    findings
}

fn mx_hosts(facts: &DomainFacts) -> Vec<MxHost> {
    facts.hosts.iter().map(|h| h.host.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::example::{fetch_error, now, perfect, policy_text, secure, serve, time, txt};
    use crate::facts::FetchCause;

    /// Facts with this id in the record and this body served.
    fn look(id: Option<&str>, body: Option<&str>) -> DomainFacts {
        let mut facts = perfect();
        match body {
            Some(body) => serve(&mut facts, body),
            None => facts.policy_host.fetch = Some(Err(fetch_error(FetchCause::Status(500)))),
        }
        facts.sts_record = secure(id.map(|id| txt(&[&format!("v=STSv1; id={id};")])).unwrap_or_default());
        facts
    }

    fn ids(served: &[ServedOnce<'_>], previous: Option<&DomainFacts>, facts: &DomainFacts) -> Vec<String> {
        let history = History { served, previous };
        drift(history, facts, now()).into_iter().map(|f| format!("{} {}", f.id, f.subject)).collect()
    }

    fn once<'a>(id: &'a str, body: &'a str, to: Option<&str>) -> ServedOnce<'a> {
        ServedOnce { id, body, last_served: to.map(time) }
    }

    #[test]
    fn changes_in_the_wrong_order_are_named() {
        let hosts = ["mx1.example.com", "mx2.example.com"];
        let old = policy_text("enforce", &hosts, 604_800);
        let new = policy_text("enforce", &[&hosts[..], &["mx3.example.com"]].concat(), 604_800);
        let short = policy_text("enforce", &hosts[..1], 604_800);
        let testing = policy_text("testing", &hosts, 86_400);
        let b = "2026-03-16T09:00:00Z";
        let past = "2026-03-02T00:00:00Z";
        let steady = [once("1", &old, None)];
        let changed = [once("1", &old, Some(b)), once("2", &new, None)];
        let same_id = [once("1", &old, Some(b)), once("1", &new, None)];
        let fine = look(Some("1"), Some(&old));
        let was_testing = look(Some("1"), Some(&testing));
        for (name, served, previous, facts, expected) in [
            ("nothing changed", &steady[..], Some(&fine), look(Some("1"), Some(&old)), &[][..]),
            ("in order", &changed, Some(&fine), look(Some("2"), Some(&new)), &[]),
            (
                "body first, record not yet",
                &changed,
                Some(&fine),
                look(Some("1"), Some(&new)),
                &["STS-DRIFT-001 policy"],
            ),
            ("record first", &changed, Some(&fine), look(Some("2"), Some(&old)), &["STS-DRIFT-003 policy"]),
            ("id kept", &same_id, None, look(Some("1"), Some(&new)), &["STS-DRIFT-001 policy"]),
            (
                "changed by another hand",
                &[],
                Some(&fine),
                look(Some("1"), Some(&new)),
                &["STS-DRIFT-001 policy"],
            ),
            (
                "id changed for nothing",
                &[],
                Some(&fine),
                look(Some("2"), Some(&old)),
                &["STS-DRIFT-002 policy"],
            ),
            (
                "record gone while enforced",
                &steady,
                None,
                look(None, Some(&old)),
                &["STS-DRIFT-004 _mta-sts.example.com"],
            ),
            ("record gone, never enforced", &[], Some(&was_testing), look(None, Some(&testing)), &[]),
            (
                "host gone while enforced",
                &steady,
                None,
                look(Some("1"), None),
                &["STS-DRIFT-005 mta-sts.example.com"],
            ),
            ("host gone, nothing known", &[], None, look(Some("1"), None), &[]),
            (
                "MX outside a live policy",
                &[once("0", &short, Some(b)), once("1", &old, None)],
                None,
                look(Some("1"), Some(&old)),
                &["STS-DRIFT-006 mx2.example.com"],
            ),
            (
                "MX outside a policy long gone",
                &[once("0", &short, Some(past)), once("1", &old, None)],
                None,
                look(Some("1"), Some(&old)),
                &[],
            ),
        ] {
            assert_eq!(ids(served, previous, &facts), expected, "{name}");
        }
    }

    #[test]
    fn silence_of_the_dns_is_not_absence() {
        let old = policy_text("enforce", &["mx1.example.com", "mx2.example.com"], 604_800);
        let mut facts = look(Some("1"), Some(&old));
        facts.sts_record = crate::audit::example::servfail();
        let served = [once("1", &old, None)];
        assert_eq!(ids(&served, None, &facts), [] as [String; 0]);
    }
}
