//! `/sending/DOMAIN`: what must mail to this domain meet, why, and until when does it hold?
//!
//! Where the policy daemon runs, its cache is asked about every domain that is known here. One that is not
//! known is looked up only when somebody asked for that (`?look=1`): a link that was followed by mistake, or
//! by a machine, asks nobody's name servers.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State as Shared};
use axum::response::Response;
use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_store::overrides::OverrideRow;
use mailward_store::policies::{KnownPolicy, PolicyLine};
use serde::Deserialize;

use super::{line, operator, recent};
use crate::App;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::sending::{self, Lookup, LookupHost};
use crate::sheet;
use crate::state::State;
use crate::words::{self, Markup};

#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    look: String,
}

struct Held {
    id: String,
    mode: &'static str,
    fetched: Markup,
    record_seen: Markup,
    until: Markup,
    ran_out: bool,
    text: String,
}

struct Trouble {
    since: Markup,
    last: Markup,
    reason: String,
    detail: String,
    consequence: String,
}

struct Word {
    sentence: String,
    consequence: &'static str,
    reason: String,
}

struct Told {
    hosts: Vec<LookupHost>,
    trace: Vec<String>,
    postfix: String,
    postfix_tlsrpt: String,
}

#[derive(Template)]
#[template(path = "sending_domain.html")]
struct DomainPage {
    frame: Frame,
    name: String,
    ascii: String,
    badge: Markup,
    headline: String,
    lead: String,
    facts: Vec<(&'static str, Markup)>,
    /// The running cache's answer.
    told: Option<Told>,
    /// Whether a button may ask for one.
    may_look: bool,
    word: Option<Word>,
    trouble: Option<Trouble>,
    held: Option<Held>,
    /// A policy in force that the store does not have yet.
    unsaved: String,
    unset: String,
    set: String,
}

pub(in crate::pages) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageFailure> {
    let domain = sheet::name(&name)?;
    let now = app.now();
    let known = app.store.known_policy(&domain).await?;
    let over = app.store.overrides().await?.into_iter().find(|(of, _)| *of == domain).map(|(_, row)| row);
    let is_known = known.is_some() || over.as_ref().is_some_and(|row| row.over.holds(now));
    let looked = if is_known || asked.look == "1" { look(&app, &domain).await? } else { Looked::NotAsked };
    let frame = Frame::new(domain.to_unicode(), Part::Sending, &visitor, now)
        .crumb("Sending", "/sending")
        .here(domain.to_unicode());
    let frame = match &looked {
        Looked::Told(_) => frame.document(format!("/api/sending/lookup/{domain}")),
        _ => frame,
    };
    Ok(html(&page(frame, &domain, known, over, looked, now)))
}

/// What the running cache said.
enum Looked {
    Told(Box<Lookup>),
    NotAsked,
    NotRunning,
    Busy(String),
}

async fn look(app: &App, domain: &PolicyDomain) -> Result<Looked, Failure> {
    if app.sending.is_none() {
        return Ok(Looked::NotRunning);
    }
    match sending::explain(app, domain).await {
        Ok(lookup) => Ok(Looked::Told(Box::new(lookup))),
        Err(Failure::Busy(why)) => Ok(Looked::Busy(why)),
        Err(other) => Err(other),
    }
}

fn page(
    frame: Frame,
    domain: &PolicyDomain,
    known: Option<KnownPolicy>,
    over: Option<OverrideRow>,
    looked: Looked,
    now: Timestamp,
) -> DomainPage {
    let name = domain.to_unicode();
    let stored = stored_line(known.as_ref());
    let (untold, may_look) = match &looked {
        Looked::Told(_) => (String::new(), false),
        Looked::NotAsked => (
            format!("Nobody wrote to {name} through this server lately. A look asks its name servers and its policy host."),
            true,
        ),
        Looked::NotRunning => (
            "No policy daemon runs in this process, so what mail obeys now is not known here. This is what the database holds."
                .to_owned(),
            false,
        ),
        Looked::Busy(why) => (format!("{why} Load this page again in a few seconds."), false),
    };
    let (badge, headline, lead) = match &looked {
        Looked::Told(lookup) => {
            let conclusion = lookup.trace.last().cloned().unwrap_or_default();
            let failing = known.as_ref().is_some_and(|known| known.failure.is_some());
            let mut lead = sentence(&conclusion);
            if failing {
                lead.push_str(" Its policy cannot be refreshed.");
            }
            (recent::badge(&lookup.decision), headline(&lookup.decision, &name), lead)
        }
        _ => {
            let (failure, branch) = (
                known.as_ref().and_then(|known| known.failure.as_ref()),
                known.as_ref().and_then(|known| known.branch.as_ref()).map(|branch| branch.kind.as_str()),
            );
            let badge = match &known {
                None => State::Unknown.badge(),
                Some(_) => line::badge(stored.as_ref(), failure, branch, now),
            };
            (badge, stored_headline(&name, known.as_ref(), stored.as_ref(), now), untold)
        }
    };
    let told = match looked {
        Looked::Told(lookup) => Some(*lookup),
        _ => None,
    };
    let held = known.as_ref().and_then(|known| held(known, now));
    let unsaved = match (&told, &held) {
        (Some(told), None) => told.policy.as_ref().map(|policy| policy.render()).unwrap_or_default(),
        _ => String::new(),
    };
    DomainPage {
        frame,
        ascii: domain.to_string(),
        badge,
        headline,
        lead,
        facts: facts(known.as_ref(), stored.as_ref(), told.as_ref(), now),
        word: word(over.as_ref(), told.as_ref(), now),
        trouble: trouble(known.as_ref(), stored.as_ref(), &name, now),
        held,
        unsaved,
        told: told.map(|lookup| Told {
            hosts: lookup.mx,
            trace: lookup.trace,
            postfix: lookup.postfix.trim_end().to_owned(),
            postfix_tlsrpt: lookup.postfix_tlsrpt.trim_end().to_owned(),
        }),
        may_look,
        unset: over.map(|_| operator::unset(domain)).unwrap_or_default(),
        set: operator::set(domain),
        name,
    }
}

fn headline(decision: &str, name: &str) -> String {
    match decision {
        "dane" => format!("Mail to {name} goes only to servers that match their TLSA records."),
        "mta-sts-enforce" => {
            format!(
                "Mail to {name} goes only to the hosts that its policy names, with a trusted certificate."
            )
        }
        "mta-sts-testing" => format!("Mail to {name} flows as before; its policy is in testing mode."),
        "opportunistic" => format!("Mail to {name} goes with TLS where it works; nothing more is demanded."),
        "defer" => format!("Mail to {name} waits."),
        _ => format!("Mail to {name} meets a decision that this page does not know."),
    }
}

fn stored_headline(
    name: &str,
    known: Option<&KnownPolicy>,
    policy: Option<&PolicyLine>,
    now: Timestamp,
) -> String {
    match (known, policy) {
        (None, _) => format!("Nothing is known of {name} yet."),
        (Some(_), None) => format!("No policy of {name} is held."),
        (Some(_), Some(policy)) => {
            let until = words::moment(policy.expires_at, now);
            let verb = if now < policy.expires_at { "is held until" } else { "ran out at" };
            format!("The policy of {name} (mode {}) {verb} {} ({}).", policy.mode, until.utc, until.relative)
        }
    }
}

/// A step of an argument as a sentence of its own: `so mail waits` becomes `Mail waits.`
fn sentence(step: &str) -> String {
    let step = step.strip_prefix("so ").unwrap_or(step);
    let mut letters = step.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str().trim_end_matches('.')),
        None => String::new(),
    }
}

fn stored_line(known: Option<&KnownPolicy>) -> Option<PolicyLine> {
    let policy = known?.policy.as_ref()?;
    Some(PolicyLine {
        mode: policy.mode,
        id: policy.id.clone(),
        max_age: policy.max_age,
        fetched_at: policy.fetched_at,
        expires_at: policy.expires_at(),
        record_seen_at: policy.record_seen_at,
    })
}

fn facts(
    known: Option<&KnownPolicy>,
    policy: Option<&PolicyLine>,
    told: Option<&Lookup>,
    now: Timestamp,
) -> Vec<(&'static str, Markup)> {
    let ours = |text: &str| askama::filters::Safe(text.to_owned());
    let mut facts = Vec::new();
    let until = told.and_then(|told| told.expires_at).or(policy.map(|policy| policy.expires_at));
    if let Some(until) = until {
        facts.push(("Policy holds until", words::moment(until, now).tag()));
    }
    if let Some(policy) = policy {
        facts.push(("Mode", ours(policy.mode.as_str())));
        facts.push(("Fetched", words::moment(policy.fetched_at, now).tag()));
    }
    if let Some(known) = known {
        let branch = known.branch.as_ref();
        facts.push(("DANE, when last certain", ours(line::dane(branch.map(|branch| branch.kind.as_str())))));
        facts.push(("Last asked for", words::moment(known.used_at, now).tag()));
    }
    facts
}

/// The operator's word: what the cache obeys, or what is set where none was asked.
fn word(over: Option<&OverrideRow>, told: Option<&Lookup>, now: Timestamp) -> Option<Word> {
    let told = told.and_then(|told| told.operator.as_ref());
    let (over, author) = match (told, over) {
        (Some(told), _) => (&told.over, told.author.as_deref()),
        (None, Some(row)) if row.over.holds(now) => (&row.over, Some(row.author.as_str())),
        _ => return None,
    };
    Some(Word {
        sentence: operator::sentence(over, author, now),
        consequence: operator::consequence(over.require),
        reason: words::cut(&over.reason, 1_000),
    })
}

fn trouble(
    known: Option<&KnownPolicy>,
    policy: Option<&PolicyLine>,
    name: &str,
    now: Timestamp,
) -> Option<Trouble> {
    let failure = known?.failure.as_ref()?;
    let consequence = match policy {
        Some(policy) if now < policy.expires_at => {
            let until = words::moment(policy.expires_at, now);
            format!(
                "The policy held stays in force until {} ({}); from then on mail to {name} goes as without one.",
                until.utc, until.relative
            )
        }
        Some(_) => format!("The policy held ran out, so mail to {name} goes as without one."),
        None => format!("No policy was ever fetched, so mail to {name} goes as without one."),
    };
    Some(Trouble {
        since: words::moment(failure.since, now).tag(),
        last: words::moment(failure.last_at, now).tag(),
        reason: failure.reason.clone(),
        detail: failure.detail.clone(),
        consequence,
    })
}

fn held(known: &KnownPolicy, now: Timestamp) -> Option<Held> {
    let policy = known.policy.as_ref()?;
    Some(Held {
        id: policy.id.clone(),
        mode: policy.mode.as_str(),
        fetched: words::moment(policy.fetched_at, now).tag(),
        record_seen: words::moment(policy.record_seen_at, now).tag(),
        until: words::moment(policy.expires_at(), now).tag(),
        ran_out: policy.expires_at() <= now,
        // Bytes of a peer; the escaper shows what cannot be seen, and a line feed after CR is enough.
        text: String::from_utf8_lossy(&policy.body).replace("\r\n", "\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conclusion_is_a_sentence() {
        for (step, said) in [
            ("so mail waits, and is tried again", "Mail waits, and is tried again."),
            ("ünder way.", "Ünder way."),
            ("sober", "Sober."),
            ("", ""),
        ] {
            assert_eq!(sentence(step), said);
        }
    }
}
