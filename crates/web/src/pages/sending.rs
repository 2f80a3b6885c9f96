//! `/sending`: what is enforced on mail that leaves, what cannot be refreshed, and until when?

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State as Shared};
use axum::response::{IntoResponse, Redirect, Response};
use mailward_core::PolicyDomain;
use mailward_store::policies::{PolicyFilter, PolicyPage};
use serde::Deserialize;

use crate::App;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::frame::{Frame, Part, html};
use crate::sending::{self, Outlook};
use crate::state::State;
use crate::words::{self, Markup};

mod domain;
mod line;
mod operator;
mod recent;

use line::Line;
use operator::OverrideLine;
use recent::RecentLine;

pub(super) use domain::show as domain;

/// Rows of one page.
const ROWS: u32 = 50;
/// Recent decisions shown before somebody asks for all.
const RECENT: usize = 20;

/// What is asked: filter, search, the domain after which to go on, a domain to look up.
#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    filter: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    recent: String,
    #[serde(default)]
    look: String,
}

struct Chip {
    address: String,
    text: &'static str,
    count: Option<String>,
    here: bool,
}

#[derive(Template)]
#[template(path = "sending.html")]
struct SendingPage {
    frame: Frame,
    badge: Markup,
    headline: String,
    explanation: String,
    /// The reports that we send, where there are any.
    reports: Option<(Markup, String)>,
    /// Whether a policy daemon runs in this process.
    runs: bool,
    /// Whether anything is known of any domain.
    empty: bool,
    places: Vec<String>,
    /// What its duties complain of.
    trouble: Vec<(String, String)>,
    facts: Vec<(&'static str, String, String)>,
    look: String,
    mistake: String,
    chips: Vec<Chip>,
    q: String,
    filter: &'static str,
    rows: Vec<Line>,
    first: Option<String>,
    next: Option<String>,
    /// The name up to which a search got.
    looked_up_to: Option<String>,
    overrides: Vec<OverrideLine>,
    more_overrides: usize,
    recent: Vec<RecentLine>,
    more_recent: Option<String>,
}

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageFailure> {
    let mistake = match lookup(&asked.look) {
        Ok(None) => String::new(),
        Ok(Some(domain)) => {
            // On its own page, whose address can be sent to a colleague.
            return Ok(Redirect::to(&format!("/sending/{domain}?look=1")).into_response());
        }
        Err(mistake) => mistake,
    };
    let now = app.now();
    let outlook = sending::outlook(&app).await?;
    let filter = filter(&asked.filter);
    let page = page(&app, filter, &asked).await?;
    let all_recent = app.sending.as_ref().map(|sending| sending.recent()).unwrap_or_default();
    let shown = if asked.recent == "all" { all_recent.len() } else { RECENT };
    let more_recent = (all_recent.len() > shown).then(|| words::count(all_recent.len() as u64));
    let (overrides, more_overrides) = operator::lines(&outlook.overrides, now);
    Ok(html(&SendingPage {
        frame: Frame::new("Sending", Part::Sending, &visitor, now).document("/api/sending"),
        badge: outlook.state.badge(),
        reports: super::outgoing::card(&app).await?,
        runs: app.sending.is_some(),
        empty: outlook.counts.domains == 0,
        places: app.sending.as_ref().map(|sending| sending.places()).unwrap_or_default(),
        trouble: trouble(&app),
        facts: facts(&app, &outlook),
        look: words::cut(&asked.look, 300),
        mistake,
        chips: chips(filter, &asked.q, &outlook),
        q: asked.q.clone(),
        filter: word(filter),
        rows: page.rows.into_iter().map(|row| Line::new(row, now)).collect(),
        first: (!asked.after.is_empty()).then(|| address(filter, &asked.q, "")),
        next: page.next.map(|next| address(filter, &asked.q, &next)),
        looked_up_to: page.looked_up_to,
        overrides,
        more_overrides,
        recent: all_recent.into_iter().take(shown).map(|one| RecentLine::new(one, now)).collect(),
        more_recent,
        headline: outlook.headline,
        explanation: outlook.explanation,
    }))
}

/// The domain somebody typed, if it is one.
fn lookup(text: &str) -> Result<Option<PolicyDomain>, String> {
    match text.trim() {
        "" => Ok(None),
        text => PolicyDomain::parse(text).map(Some).map_err(|error| {
            format!(
                "{:?} is no domain: {error}. Write what stands after the @ of an address.",
                words::cut(text, 100)
            )
        }),
    }
}

/// The filter in an address.
pub(crate) fn filter(text: &str) -> PolicyFilter {
    match text {
        "enforced" => PolicyFilter::Enforced,
        "failing" => PolicyFilter::Failing,
        _ => PolicyFilter::All,
    }
}

fn word(filter: PolicyFilter) -> &'static str {
    match filter {
        PolicyFilter::All => "",
        PolicyFilter::Enforced => "enforced",
        PolicyFilter::Failing => "failing",
    }
}

fn address(filter: PolicyFilter, q: &str, after: &str) -> String {
    words::address("/sending", &[("filter", word(filter)), ("q", q), ("after", after)]) + "#policies"
}

/// The rows asked for.
async fn page(app: &App, filter: PolicyFilter, asked: &Asked) -> Result<PolicyPage, Failure> {
    let search = Some(asked.q.as_str()).filter(|q| !q.trim().is_empty());
    let after = Some(asked.after.as_str()).filter(|after| !after.is_empty());
    Ok(app.store.policies_page(filter, search, after, ROWS).await?)
}

fn chips(here: PolicyFilter, q: &str, outlook: &Outlook) -> Vec<Chip> {
    let counts = &outlook.counts;
    let chip = |filter, text, count: Option<u64>| Chip {
        address: address(filter, q, ""),
        text,
        count: count.map(words::count),
        here: filter == here,
    };
    vec![
        chip(PolicyFilter::All, "All known", Some(counts.domains)),
        // The list has those that ran out as well, the sum has not.
        chip(PolicyFilter::Enforced, "Mode enforce", None),
        chip(PolicyFilter::Failing, "Refresh fails", Some(counts.failing)),
    ]
}

/// What the duties of the sending side complain of.
fn trouble(app: &App) -> Vec<(String, String)> {
    let ours = |duty: &str| matches!(duty, "policy" | "policyd" | "dnssec");
    let report = if app.sending.is_some() { app.health.report() } else { Vec::new() };
    report
        .into_iter()
        .filter(|duty| ours(&duty.duty) && !(duty.ok && duty.reason.is_empty()))
        .map(|duty| (duty.duty, duty.reason))
        .collect()
}

/// Label, value, and a line below it.
fn facts(app: &App, outlook: &Outlook) -> Vec<(&'static str, String, String)> {
    let counts = &outlook.counts;
    let n = words::count;
    let branch = |word: &str| counts.branches.get(word).copied().unwrap_or(0);
    let some = branch("partial").saturating_add(branch("half")).saturating_add(branch("unusable"));
    let mut facts = vec![
        (
            "Policies enforced",
            n(counts.enforce),
            format!("{} testing, {} none", n(counts.testing), n(counts.none)),
        ),
        ("Refresh fails", n(counts.failing), format!("{} ran out", n(counts.expired))),
        ("DANE", n(branch("full")), format!("at every server; {} at some or half", n(some))),
        ("Domains known", n(counts.domains), "with a policy or without".into()),
    ];
    if let Some(sending) = &app.sending {
        let size = sending.size();
        let lookups = match size.lookups {
            0 => "no lookup under way".to_owned(),
            lookups => format!("{} under way", words::counted(lookups, "lookup")),
        };
        facts.push((
            "In memory",
            format!("{} ({:.1} MB)", n(size.entries), size.bytes as f64 / 1e6),
            lookups,
        ));
    }
    facts
}

/// The sending side in one line of the first page; nothing where no policy daemon runs.
pub(super) async fn card(app: &App) -> Result<Option<(Markup, String)>, Failure> {
    if app.sending.is_none() {
        return Ok(None);
    }
    let outlook = sending::outlook(app).await?;
    let state = if trouble(app).is_empty() { outlook.state } else { State::Look.min(outlook.state) };
    Ok(Some((state.badge(), outlook.headline)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_domain_or_a_mistake() {
        for (text, expected) in [
            ("", Some("")),
            ("  ", Some("")),
            (" Example.COM. ", Some("example.com")),
            ("bücherei.example", Some("xn--bcherei-n2a.example")),
            ("a b.example", None),
            ("user@example.com", None),
            ("<script>", None),
            ("/../x", None),
        ] {
            let read = lookup(text);
            let found = read.as_ref().ok().map(|d| d.as_ref().map_or("", |d| d.as_str()));
            assert_eq!(found, expected, "{text:?}: {read:?}");
        }
    }

    #[test]
    fn filters_are_words_of_the_address() {
        for filter_here in [PolicyFilter::All, PolicyFilter::Enforced, PolicyFilter::Failing] {
            assert_eq!(filter(word(filter_here)), filter_here);
        }
        assert_eq!(filter("nonsense"), PolicyFilter::All);
        let there = address(PolicyFilter::Failing, "a&b", "x.example");
        assert_eq!(there, "/sending?filter=failing&q=a%26b&after=x.example#policies");
    }
}
