//! An intent: failures of a kind are not ours. Mail is not touched by it; the gate to enforce is.

use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::App;
use crate::access::Visitor;
use crate::failure::{Failure, PageFailure};
use crate::{sheet, words};

#[derive(Deserialize)]
pub(crate) struct Excuse {
    result_type: String,
    #[serde(default)]
    mx: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn write(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    Form(excuse): Form<Excuse>,
) -> Result<Response, PageFailure> {
    let domain = sheet::name(&name)?;
    sheet::held(&app, &domain).await?;
    let reason = excuse.reason.trim();
    if reason.is_empty() || excuse.result_type.trim().is_empty() {
        let text = "A mark needs the failure type and a reason: it is shown to everybody who reads the gate.";
        return Err(Failure::BadRequest(text.into()).into());
    }
    let (reason, mx) = (words::cut(reason, 500), words::cut(excuse.mx.trim(), 300));
    let mx = (!mx.is_empty()).then_some(mx);
    app.store
        .excuse_failures(
            &domain,
            &words::cut(excuse.result_type.trim(), 200),
            mx.as_deref(),
            &visitor.author(),
            &reason,
            app.now(),
        )
        .await?;
    Ok(Redirect::to(&format!("/domains/{domain}#problems")).into_response())
}
