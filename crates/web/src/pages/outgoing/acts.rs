//! What an operator may do about outgoing reports. Each is an intent that the log keeps; the daemon that runs the
//! reporter acts on it within seconds.

use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::{SignedDuration, Timestamp};
use mailward_core::tlsrpt::outgoing::address_or_host;
use mailward_store::StoreError;
use mailward_store::outgoing::Suppression;
use serde::Deserialize;

use super::report;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::{App, asked, words};

/// Characters of a reason.
const REASON: usize = 500;
/// The longest time that can be asked for.
const MOST_DAYS: u32 = 3_650;

pub(in crate::pages) async fn send(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path(number): Path<String>,
) -> Result<Response, PageFailure> {
    let row = report::read(&app, &number).await?.row;
    app.store.send_outgoing_again(row.number, &visitor.author(), app.now()).await?;
    Ok(Redirect::to(&format!("/outgoing/{}", row.number)).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Suppress {
    what: String,
    #[serde(default)]
    days: String,
    #[serde(default)]
    reason: String,
}

pub(in crate::pages) async fn suppress(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    Form(form): Form<Suppress>,
) -> Result<Response, PageFailure> {
    let now = app.now();
    let suppression = Suppression {
        what: address_or_host(&words::cut(&form.what, 2_000)).map_err(Failure::BadRequest)?,
        until: until(&form.days, now)?,
        reason: reason(&form.reason)?,
        author: visitor.author(),
        set_at: now,
    };
    app.store.suppress_outgoing(&suppression).await?;
    Ok(Redirect::to("/outgoing/suppressed").into_response())
}

#[derive(Deserialize)]
pub(crate) struct Unsuppress {
    what: String,
    #[serde(default)]
    reason: String,
}

pub(in crate::pages) async fn unsuppress(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    Form(form): Form<Unsuppress>,
) -> Result<Response, PageFailure> {
    let reason = reason(&form.reason)?;
    match app.store.unsuppress_outgoing(&form.what, &visitor.author(), &reason, app.now()).await {
        // Somebody else was as fast, or it ended: it is as wanted.
        Ok(()) | Err(StoreError::NotFound(_)) => Ok(Redirect::to("/outgoing/suppressed").into_response()),
        Err(error) => Err(error.into()),
    }
}

fn until(days: &str, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let Some(days) = asked::number::<u32>("days", days)? else { return Ok(None) };
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Failure::BadRequest(format!("days: {days} is not between 1 and {MOST_DAYS}")));
    }
    Ok(now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok())
}

fn reason(text: &str) -> Result<String, Failure> {
    match text.trim() {
        "" => Err(Failure::BadRequest("It needs a reason: it is shown to everybody who looks here.".into())),
        text => Ok(words::cut(text, REASON)),
    }
}
