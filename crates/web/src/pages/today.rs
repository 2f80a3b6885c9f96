//! `/`: is anything broken now, and where?

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State as Shared};
use axum::response::Response;
use serde::Deserialize;

use super::list::{self, Heading, Pager, plain};
use crate::access::Visitor;
use crate::failure::PageFailure;
use crate::frame::{Frame, Part, html};
use crate::overview::{self, Line};
use crate::state::{self, State};
use crate::words::{self, Markup};
use crate::{App, chart};

/// What is asked: filter, order, page.
#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(flatten)]
    list: list::Asked,
    #[serde(default)]
    state: String,
}

struct Row {
    address: String,
    name: String,
    badge: Markup,
    sentence: String,
    words: Vec<(&'static str, &'static str)>,
    /// Yesterday, 7 days, 28 days: failed, of all.
    sessions: [(String, String); 3],
    spark: Markup,
    reporters: u32,
    open: Option<(u32, u32)>,
    observed: Option<Markup>,
}

struct Chip {
    address: String,
    badge: Markup,
    count: usize,
    here: bool,
}

#[derive(Template)]
#[template(path = "today.html")]
struct TodayPage {
    frame: Frame,
    headline: String,
    explanation: String,
    /// The sending side, where its daemon runs.
    card: Option<(Markup, String)>,
    empty: bool,
    q: String,
    state: String,
    chips: Vec<Chip>,
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
    let overview = overview::read(&app).await?;
    let card = super::sending::card(&app).await?;
    let chips = chips(&overview, &asked);
    let empty = overview.lines.is_empty();
    let wanted_state = State::from_word(&asked.state);
    let mut lines: Vec<Line> = overview
        .lines
        .into_iter()
        .filter(|line| wanted_state.is_none_or(|state| state == line.state))
        .filter(|line| asked.list.finds(&line.line.domain))
        .collect();
    sort(&mut lines, &asked.list.sort, asked.list.descending());
    let filters = [("q", asked.list.q.as_str()), ("state", asked.state.as_str())];
    let wanted = asked.list.wanted("/", &filters);
    let headings = vec![
        wanted.heading("Domain", "name", false),
        plain("Published", false),
        wanted.heading("Yesterday", "day", true),
        wanted.heading("7 days", "week", true),
        wanted.heading("28 days", "month", true),
        plain("Failures", false),
        wanted.heading("Reporters", "reporters", true),
        wanted.heading("Open", "open", true),
        wanted.heading("Looked at", "seen", false),
    ];
    let (cut, pager) = list::page(&lines, asked.list.page(), &wanted);
    let rows = cut
        .iter()
        .map(|line| Row {
            address: format!("/domains/{}", line.line.domain),
            name: line.line.domain.to_unicode(),
            badge: line.state.badge(),
            sentence: line.sentence(),
            words: line.line.summary.as_ref().map(|s| state::summary_words(s).into()).unwrap_or_default(),
            sessions: [line.line.day, line.line.week, line.line.month].map(failed_of_all),
            spark: chart::sparkline(&line.line.failed_by_day),
            reporters: line.line.reporters,
            open: line.line.summary.as_ref().map(|_| line.line.open),
            observed: line.line.observed_at.map(|at| words::moment(at, now).short()),
        })
        .collect();
    Ok(html(&TodayPage {
        frame: Frame::new("Today", Part::Today, &visitor, now).document("/api/status"),
        headline: overview.headline,
        explanation: overview.explanation,
        card,
        empty,
        q: asked.list.q,
        state: asked.state,
        chips,
        headings,
        rows,
        pager,
    }))
}

/// `3` and `of 1,204`; a dash where nothing was reported, which is not the same as zero failures.
fn failed_of_all((passed, failed): (u64, u64)) -> (String, String) {
    match passed.saturating_add(failed) {
        0 => ("–".to_owned(), "no report".to_owned()),
        all => (words::count(failed), format!("of {}", words::count(all))),
    }
}

fn chips(overview: &overview::Overview, asked: &Asked) -> Vec<Chip> {
    let chip = |state: State| {
        let here = asked.state == state.word();
        let word = if here { "" } else { state.word() };
        Chip {
            address: words::address("/", &[("q", &asked.list.q), ("state", word)]),
            badge: state.badge(),
            count: overview.count(state),
            here,
        }
    };
    State::ALL.into_iter().map(chip).collect()
}

/// Sorts; without a known key the order of attention stays.
fn sort(lines: &mut [Line], key: &str, descending: bool) {
    match key {
        "name" => lines.sort_by(|a, b| a.line.domain.cmp(&b.line.domain)),
        "day" => lines.sort_by_key(|l| l.line.day.1),
        "week" => lines.sort_by_key(|l| l.line.week.1),
        "month" => lines.sort_by_key(|l| l.line.month.1),
        "reporters" => lines.sort_by_key(|l| l.line.reporters),
        "open" => lines.sort_by_key(|l| l.line.open),
        "seen" => lines.sort_by_key(|l| l.line.observed_at),
        _ => return,
    }
    if descending {
        lines.reverse();
    }
}
