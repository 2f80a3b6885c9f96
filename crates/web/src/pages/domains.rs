//! `/domains`: what do we publish, for which domains?

use std::collections::HashMap;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State as Shared};
use axum::response::Response;
use serde::Deserialize;

use super::list::{self, Heading, Pager, plain};
use crate::App;
use crate::access::Visitor;
use crate::failure::PageFailure;
use crate::frame::{Frame, Part, html};
use crate::overview;
use crate::state::State;
use crate::words::{self, Markup};

#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(flatten)]
    list: list::Asked,
    #[serde(default)]
    mode: String,
}

struct Row {
    address: String,
    name: String,
    badge: Markup,
    mode: &'static str,
    since: Markup,
    max_age: String,
    mx: Vec<String>,
    more_mx: usize,
    rua: String,
    policy_id: String,
}

#[derive(Template)]
#[template(path = "domains.html")]
struct DomainsPage {
    frame: Frame,
    headline: String,
    total: usize,
    q: String,
    mode: String,
    headings: Vec<Heading>,
    rows: Vec<Row>,
    pager: Pager,
}

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let mut held = app.store.domains().await?;
    let states: HashMap<String, State> = overview::read(&app)
        .await?
        .lines
        .into_iter()
        .map(|line| (line.line.domain.to_string(), line.state))
        .collect();
    let total = held.len();
    let enforcing = held.iter().filter(|d| d.mode.as_str() == "enforce").count();
    held.retain(|d| asked.list.finds(&d.domain));
    held.retain(|d| asked.mode.is_empty() || d.mode.as_str() == asked.mode);
    match asked.list.sort.as_str() {
        "mode" => held.sort_by_key(|d| d.mode),
        "since" => held.sort_by_key(|d| d.mode_since),
        "age" => held.sort_by_key(|d| d.max_age),
        _ => held.sort_by(|a, b| a.domain.cmp(&b.domain)),
    }
    if asked.list.descending() {
        held.reverse();
    }
    let filters = [("q", asked.list.q.as_str()), ("mode", asked.mode.as_str())];
    let wanted = asked.list.wanted("/domains", &filters);
    let headings = vec![
        wanted.heading("Domain", "name", false),
        wanted.heading("Mode", "mode", false),
        wanted.heading("Since", "since", false),
        wanted.heading("max_age", "age", true),
        plain("MX in the policy", false),
        plain("Reports to", false),
    ];
    let (cut, pager) = list::page(&held, asked.list.page(), &wanted);
    let rows = cut
        .iter()
        .map(|d| Row {
            address: format!("/domains/{}", d.domain),
            name: d.domain.to_unicode(),
            badge: states.get(d.domain.as_str()).copied().unwrap_or(State::Unknown).badge(),
            mode: d.mode.as_str(),
            since: words::moment(d.mode_since, now).short(),
            max_age: words::span(d.max_age.into()),
            mx: d.mx.iter().take(4).cloned().collect(),
            more_mx: d.mx.len().saturating_sub(4),
            rua: d.rua.join(", "),
            policy_id: d.policy_id.clone(),
        })
        .collect();
    let headline = match total {
        0 => "mailward holds no domain yet.".to_owned(),
        _ => format!("{enforcing} of {} enforce.", words::counted(total as u64, "domain")),
    };
    Ok(html(&DomainsPage {
        frame: Frame::new("Domains", Part::Domains, &visitor, now).document("/api/domains"),
        headline,
        total,
        q: asked.list.q,
        mode: asked.mode,
        headings,
        rows,
        pager,
    }))
}
