//! `/settings`: who may look, and what runs here?

use askama::Template;
use axum::Extension;
use axum::extract::State as Shared;
use axum::response::Response;

use crate::App;
use crate::access::{Access, Visitor};
use crate::failure::PageFailure;
use crate::frame::{Frame, Part, html};
use crate::state::State;
use crate::words::{self, Markup};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    headline: String,
    open: bool,
    tokens: Vec<(String, Markup, Option<Markup>)>,
    duties: Vec<(String, Markup, String)>,
    gate: Vec<(&'static str, String)>,
    rua: String,
}

pub(super) async fn show(
    Shared(app): Shared<App>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let tokens = app.store.tokens().await?;
    let duties = app.health.report();
    let gate = &app.gate;
    let failing = duties.iter().filter(|duty| !duty.ok).count();
    let headline = match (failing, duties.len()) {
        (0, 0) => "This process runs no duty beside the dashboard.".to_owned(),
        (0, 1) => "The one duty of this process works.".to_owned(),
        (0, n) => format!("All {n} duties of this process work."),
        (n, all) => format!("{n} of {all} duties of this process do not work."),
    };
    Ok(html(&SettingsPage {
        frame: Frame::new("Settings", Part::Settings, &visitor, now),
        headline,
        open: app.access == Access::Open,
        tokens: tokens
            .iter()
            .map(|token| {
                let used = token.last_used.map(|at| words::moment(at, now).tag());
                (token.name.clone(), words::moment(token.created_at, now).tag(), used)
            })
            .collect(),
        duties: duties
            .into_iter()
            .map(|duty| {
                let badge =
                    if duty.ok { State::Holds.with_word("works") } else { State::Broken.with_word("fails") };
                (duty.duty, badge, duty.reason)
            })
            .collect(),
        gate: vec![
            ("Days in testing (G1)", gate.testing_days.to_string()),
            ("Days of green probes (G2)", gate.probe_days.to_string()),
            ("Longest gap between probes (G2)", format!("{} h", gate.probe_gap_hours)),
            ("Reporters heard (G3)", gate.reporters.to_string()),
            ("Sessions in the window (G4)", words::count(gate.sessions)),
            (
                "Days left on the policy host's certificate (G9)",
                gate.policy_host_certificate_days.to_string(),
            ),
            ("Days left on MX certificates (G10)", gate.mx_certificate_days.to_string()),
            ("Window of reports", format!("{} days, ending {} days ago", gate.window_days, gate.lag_days)),
        ],
        rua: app.publishing.rua.join(", "),
    }))
}
