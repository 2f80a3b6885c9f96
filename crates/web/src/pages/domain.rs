//! `/domains/DOMAIN`: what happened, what is wrong, may I enforce, does the world see what I publish?

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State as Shared};
use axum::response::Response;
use jiff::Timestamp;
use mailward_core::Severity;
use mailward_core::rollout::{Judgement, Verdict};
use mailward_store::domains::ServedPolicy;
use serde::Deserialize;

use crate::App;
use crate::access::Visitor;
use crate::chart::{self, Mark};
use crate::failure::PageFailure;
use crate::frame::{Frame, Part, html};
use crate::sheet::{self, Sheet};
use crate::state::{self, State};
use crate::words::{self, Markup};

mod mx;
mod policies;
mod problem;

use mx::Mx;
use policies::Policy;
use problem::ProblemGroup;

#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    days: String,
}

struct GateRow {
    number: u8,
    question: String,
    badge: Markup,
    evidence: String,
    next: Vec<String>,
}

struct RecordRow {
    id: String,
    order: u32,
    name: String,
    kind: &'static str,
    value: String,
    reason: String,
    badge: Markup,
    found: Vec<String>,
}

struct FindingRow {
    id: String,
    badge: Markup,
    error: bool,
    subject: String,
    message: String,
    consequence: String,
    fix: Vec<String>,
    reference: String,
    since: Markup,
    gone: Option<Markup>,
}

struct DayRow {
    day: String,
    passed: String,
    failed: String,
    types: String,
    weak: String,
    reporters: u32,
}

struct LogRow {
    at: Markup,
    author: String,
    act: String,
    reason: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "domain.html")]
struct DomainPage {
    frame: Frame,
    name: String,
    ascii: String,
    headline: String,
    verdict_badge: Markup,
    verdict: String,
    earliest: Option<Markup>,
    window: (String, String),
    summary: Vec<(&'static str, &'static str)>,
    observed: Option<Markup>,
    mode: &'static str,
    mode_since: Markup,
    days: i64,
    spans: Vec<(String, i64, bool)>,
    patterns: Markup,
    wide: Markup,
    narrow: Markup,
    legend: Vec<(Markup, String, String)>,
    marks: Vec<(usize, String)>,
    totals: String,
    weak: Option<String>,
    day_rows: Vec<DayRow>,
    problems: Vec<ProblemGroup>,
    gate: Vec<GateRow>,
    would_defer: Vec<(String, String)>,
    hints: Vec<String>,
    records: Vec<RecordRow>,
    mx: Vec<Mx>,
    findings: Vec<FindingRow>,
    notes: Vec<FindingRow>,
    gone: Vec<FindingRow>,
    policies: Vec<Policy>,
    reporters: Vec<(String, String, Markup, String, Markup)>,
    log: Vec<LogRow>,
}

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let domain = sheet::name(&name)?;
    let days = match asked.days.as_str() {
        "7" => 7,
        "90" => 90,
        _ => 28,
    };
    let sheet = sheet::read(&app, &domain, days).await?;
    let shown = domain.to_unicode();
    let frame = Frame::new(&*shown, Part::Domains, &visitor, now)
        .crumb("Domains", "/domains")
        .here(&*shown)
        .document(format!("/api/domains/{domain}"));
    let marks = marks(&sheet);
    let drawn: Vec<Mark> = marks.iter().map(|(mark, _)| mark.clone()).collect();
    let narrow_from = sheet.days.len().saturating_sub(14);
    let (findings, gone): (Vec<_>, Vec<_>) =
        sheet.findings.iter().partition(|tracked| tracked.gone.is_none());
    let (notes, findings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|tracked| tracked.finding.severity == Severity::Info);
    let finding = |tracked: &mailward_store::observations::TrackedFinding| finding_row(tracked, now);
    let page = DomainPage {
        headline: headline(&sheet, &app.gate, now),
        verdict_badge: State::from(&sheet.judgement.verdict)
            .with_word(verdict_word(&sheet.judgement.verdict)),
        verdict: verdict(&sheet.judgement, sheet.held.mode.as_str()),
        earliest: sheet.judgement.earliest.map(|at| words::moment(at, now).tag()),
        window: (sheet.judgement.window.0.to_string(), sheet.judgement.window.1.to_string()),
        summary: sheet
            .observation
            .as_ref()
            .map(|seen| state::summary_words(&seen.audit.summary).into())
            .unwrap_or_default(),
        observed: sheet.observation.as_ref().map(|seen| words::moment(seen.audit.checked_at, now).tag()),
        mode: sheet.held.mode.as_str(),
        mode_since: words::moment(sheet.held.mode_since, now).tag(),
        days,
        spans: [7, 28, 90].map(|n| (format!("/domains/{domain}?days={n}#sessions"), n, n == days)).into(),
        patterns: chart::patterns(),
        wide: chart::columns(&sheet.days, &drawn, Some(sheet.judgement.window.0), chart::WIDE),
        narrow: chart::columns(
            &sheet.days[narrow_from..],
            &drawn,
            Some(sheet.judgement.window.0),
            chart::NARROW,
        ),
        legend: legend(&sheet),
        marks: marks.into_iter().map(|(mark, text)| (mark.number, text)).collect(),
        totals: totals(&sheet),
        weak: weak(&sheet),
        day_rows: sheet.days.iter().rev().map(day_row).collect(),
        problems: problem::groups(&sheet, now),
        gate: gate(&sheet.judgement),
        would_defer: would_defer(&sheet.judgement),
        hints: sheet.judgement.hints.clone(),
        records: records(&sheet),
        mx: sheet.observation.as_ref().map(|seen| mx::rows(&seen.audit, now)).unwrap_or_default(),
        findings: findings.into_iter().map(finding).collect(),
        notes: notes.into_iter().map(finding).collect(),
        gone: gone.into_iter().map(finding).collect(),
        policies: policies::rows(&sheet.policies, now),
        reporters: reporters(&sheet, now),
        log: log(&sheet, now),
        ascii: domain.to_string(),
        name: shown,
        frame,
    };
    Ok(html(&page))
}

/// What is wrong or known, in one sentence with its consequence.
fn headline(sheet: &Sheet, gate: &mailward_core::rollout::Gate, now: Timestamp) -> String {
    let Some(seen) = &sheet.observation else {
        return "Not looked at from outside yet, so nothing is known.".into();
    };
    let stale = now.duration_since(seen.audit.checked_at).as_secs() > i64::from(gate.probe_gap_hours) * 3_600;
    let consequence = seen.audit.summary.consequence.trim();
    match (stale, consequence.is_empty()) {
        (true, _) => format!(
            "Nothing is known about now: the last look from outside is {} old.",
            words::span(now.duration_since(seen.audit.checked_at).as_secs().unsigned_abs())
        ),
        (false, false) => consequence.to_owned(),
        (false, true) => "Nothing is broken as far as we can see.".to_owned(),
    }
}

fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Safe => "safe",
        Verdict::NotYet { .. } => "not yet",
        Verdict::Unknown { .. } => "unknown",
    }
}

/// The answer to "may I enforce?", in words.
fn verdict(judgement: &Judgement, mode: &str) -> String {
    let names = |numbers: &[u8]| numbers.iter().map(|n| format!("G{n}")).collect::<Vec<_>>().join(", ");
    let step = if mode == "enforce" { "The next step" } else { "Enforcing" };
    match &judgement.verdict {
        Verdict::Safe => format!("{step} is safe: all eleven points hold."),
        Verdict::NotYet { obstacles } => {
            let stand = if obstacles.len() == 1 { "stands" } else { "stand" };
            format!("{step} is not safe yet: {} {stand} in the way.", names(obstacles))
        }
        Verdict::Unknown { missing } => {
            let are = if missing.len() == 1 { "is" } else { "are" };
            format!(
                "Whether {} is safe cannot be said: {} {are} not known.",
                step.to_lowercase(),
                names(missing)
            )
        }
    }
}

/// Changes of the policy within the days shown, oldest first, numbered.
fn marks(sheet: &Sheet) -> Vec<(Mark, String)> {
    let Some((from, to)) = sheet.span() else { return Vec::new() };
    let mut served: Vec<&ServedPolicy> = sheet
        .policies
        .iter()
        .filter(|policy| (from..=to).contains(&words::day(policy.first_served)))
        .collect();
    served.sort_by_key(|policy| policy.first_served);
    let line = |(index, policy): (usize, &ServedPolicy)| {
        let at = policy.first_served.strftime("%Y-%m-%d %H:%M UTC");
        let mark = Mark { number: index + 1, day: words::day(policy.first_served) };
        (mark, format!("{at}: {}, max_age {}, id {}", policy.mode, policy.max_age, policy.policy_id))
    };
    served.into_iter().enumerate().map(line).collect()
}

fn legend(sheet: &Sheet) -> Vec<(Markup, String, String)> {
    let passed = sheet.days.iter().fold(0_u64, |sum, day| sum.saturating_add(day.successful));
    let mut list = vec![(chart::swatch(0), "passed".to_owned(), words::count(passed))];
    for (index, (name, sessions)) in chart::legend(&sheet.days).into_iter().enumerate() {
        list.push((chart::swatch(index + 1), name, words::count(sessions)));
    }
    list
}

fn totals(sheet: &Sheet) -> String {
    let sum = |f: fn(&mailward_store::sessions::SessionDay) -> u64| {
        sheet.days.iter().fold(0_u64, |sum, day| sum.saturating_add(f(day)))
    };
    let (passed, failed) = (sum(|d| d.successful), sum(|d| d.failed));
    match passed.saturating_add(failed) {
        0 => "No report whose sender is proven covers these days. That is silence, not success: no mail may \
              have come, or nobody reports."
            .into(),
        // A rate needs a floor: below 20 sessions numbers only.
        all if all >= 20 => {
            let share = failed as f64 * 100.0 / all as f64;
            let share = if failed == 0 { String::new() } else { format!(" ({share:.1} %)") };
            format!("{} of {} failed{share}.", words::count(failed), words::counted(all, "session"))
        }
        all => format!("{} of {} failed.", words::count(failed), words::counted(all, "session")),
    }
}

fn weak(sheet: &Sheet) -> Option<String> {
    let (passed, failed) = sheet.days.iter().fold((0_u64, 0_u64), |(passed, failed), day| {
        (passed.saturating_add(day.weak_successful), failed.saturating_add(day.weak_failed))
    });
    let all = passed.saturating_add(failed);
    (all > 0).then(|| {
        format!(
            "Not drawn and not counted as evidence: {} told by sources that nobody can check, {} failed.",
            words::counted(all, "session"),
            words::count(failed)
        )
    })
}

fn day_row(day: &mailward_store::sessions::SessionDay) -> DayRow {
    let types: Vec<String> =
        day.failures.iter().map(|(t, n)| format!("{} {}", t.as_str(), words::count(*n))).collect();
    let weak = match day.weak_successful.saturating_add(day.weak_failed) {
        0 => String::new(),
        all => format!("{} of {}", words::count(day.weak_failed), words::count(all)),
    };
    let heard = day.reporters > 0;
    let shown = |n: u64| if heard { words::count(n) } else { "–".to_owned() };
    DayRow {
        day: day.day.to_string(),
        passed: shown(day.successful),
        failed: shown(day.failed),
        types: types.join(", "),
        weak,
        reporters: day.reporters,
    }
}

fn gate(judgement: &Judgement) -> Vec<GateRow> {
    judgement
        .items
        .iter()
        .map(|item| GateRow {
            number: item.number,
            question: item.question.clone(),
            badge: State::from(item.state).with_word(match item.state {
                mailward_core::rollout::ItemState::Holds => "holds",
                mailward_core::rollout::ItemState::Obstacle => "in the way",
                mailward_core::rollout::ItemState::Unknown => "unknown",
                mailward_core::rollout::ItemState::Waived => "passed by hand",
            }),
            evidence: item.evidence.clone(),
            next: item.next.clone(),
        })
        .collect()
}

fn would_defer(judgement: &Judgement) -> Vec<(String, String)> {
    let named = |mx: &str| if mx.is_empty() { "an MX that was not named".to_owned() } else { mx.to_owned() };
    judgement.would_defer.iter().map(|(mx, n)| (named(mx), words::counted(*n, "session"))).collect()
}

fn records(sheet: &Sheet) -> Vec<RecordRow> {
    sheet
        .records
        .iter()
        .enumerate()
        .map(|(index, published)| RecordRow {
            id: format!("record-{}", index + 1),
            order: published.record.order,
            name: published.record.name.clone(),
            kind: published.record.record_type.as_str(),
            value: published.record.value.clone(),
            reason: published.record.reason.clone(),
            badge: published.seen.state().with_word(published.words()),
            found: published.found.clone(),
        })
        .collect()
}

fn finding_row(tracked: &mailward_store::observations::TrackedFinding, now: Timestamp) -> FindingRow {
    let finding = &tracked.finding;
    FindingRow {
        id: finding.id.clone(),
        badge: state::severity_badge(finding.severity),
        error: finding.severity == Severity::Error,
        subject: finding.subject.clone(),
        message: finding.message.clone(),
        consequence: finding.consequence.clone(),
        fix: finding.fix.clone(),
        reference: finding.reference.clone(),
        since: words::moment(tracked.since, now).tag(),
        gone: tracked.gone.map(|at| words::moment(at, now).tag()),
    }
}

fn reporters(sheet: &Sheet, now: Timestamp) -> Vec<(String, String, Markup, String, Markup)> {
    sheet
        .reporters
        .iter()
        .map(|reporter| {
            (
                reporter.submitter.clone(),
                reporter.organization.clone(),
                State::from(reporter.trust).with_word(reporter.trust.as_str()),
                words::count(reporter.reports),
                words::moment(reporter.last_received, now).short(),
            )
        })
        .collect()
}

fn log(sheet: &Sheet, now: Timestamp) -> Vec<LogRow> {
    sheet
        .log
        .iter()
        .map(|entry| LogRow {
            at: words::moment(entry.at, now).tag(),
            author: entry.author.clone(),
            act: entry.act.clone(),
            reason: entry.reason.clone(),
            detail: entry.detail.clone(),
        })
        .collect()
}
