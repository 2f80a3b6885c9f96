//! `/healthz` and `/metrics`: for machines that watch this process.
//!
//! Both are open from loopback. From elsewhere `/metrics` needs a token, and `/healthz` tells a
//! stranger only whether all is well, not what.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::json;

use crate::App;
use crate::access::Visitor;

/// How one duty of this process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DutyHealth {
    /// `policy-host`, `monitor`, `intake`, …
    pub duty: String,
    /// Whether it works.
    pub ok: bool,
    /// Why not, in words; empty while it works.
    pub reason: String,
}

/// Tells how the duties that are switched on are. Must answer at once, from memory.
pub trait Health: Send + Sync {
    /// One entry for each duty.
    fn report(&self) -> Vec<DutyHealth>;
}

pub(crate) fn router() -> Router<App> {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics))
}

async fn healthz(State(app): State<App>, Extension(visitor): Extension<Visitor>) -> Response {
    let mut duties = app.health.report();
    let store = app.store.ping().await;
    duties.insert(
        0,
        DutyHealth {
            duty: "store".into(),
            ok: store.is_ok(),
            reason: store.err().map(|e| e.to_string()).unwrap_or_default(),
        },
    );
    let ok = duties.iter().all(|duty| duty.ok);
    let code = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let status = if ok { "ok" } else { "failing" };
    let document = if visitor.may_see_health() {
        json!({"schema": "mailward.health/1", "status": status, "duties": duties})
    } else {
        json!({"schema": "mailward.health/1", "status": status})
    };
    (code, Json(document)).into_response()
}

async fn metrics(State(app): State<App>) -> Response {
    match &app.metrics {
        None => (StatusCode::NOT_FOUND, "metrics are not collected here\n").into_response(),
        Some(handle) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
                .into_response()
        }
    }
}
