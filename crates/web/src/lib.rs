//! The dashboard and the JSON API over read models.
//!
//! A page answers one question in its first line and shows the proof below it. Nothing here asks the
//! network (a lookup of the sending side is the running cache's, see [`Sending`]) and nothing here concludes: findings and states come from the newest observation in the
//! store, the answer to "may I enforce?" from [`mailward_core::rollout::judge`], and a page only puts
//! them into words. What is written are intents (an operator's mark on failures, "send this report now", "send
//! nothing there"), which the log keeps with their author; the daemon acts on them.
//!
//! When the store cannot be read, a page says so with status 503; it never shows an empty table as if
//! all were well.
//!
//! Everything shown that came from a report, a mail server or a DNS answer is hostile text:
//! [`visible`] is the escaper of every template. See [`access`] for who may look.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use mailward_core::Clock;
use mailward_core::mta_sts::publish::PolicyHostTarget;
use mailward_core::rollout::Gate;
use mailward_core::tlsrpt::tally::Reporter;
use mailward_store::Store;
use metrics_exporter_prometheus::PrometheusHandle;
use tower_http::catch_panic::CatchPanicLayer;

pub mod access;
mod api;
mod asked;
mod assets;
mod chart;
pub mod documents;
mod failure;
mod frame;
mod headers;
mod health;
mod outgoing;
mod overview;
mod pages;
mod records;
mod sending;
mod sheet;
mod state;
mod visible;
mod words;

pub use access::{Access, new_token};
pub use health::{DutyHealth, Health};
pub use sending::{CacheSize, Explaining, Lookup, LookupHost, OperatorWord, RecentDecision, Sending};

/// Everything the pages need, wired by the binary.
#[derive(Clone)]
pub struct WebState {
    /// Where everything is read from.
    pub store: Store,
    /// Tells what "now" is.
    pub clock: Arc<dyn Clock>,
    /// Who may look.
    pub access: Access,
    /// How the duties of this process are.
    pub health: Arc<dyn Health>,
    /// The policy cache of this process, where one runs.
    pub sending: Option<Arc<dyn Sending>>,
    /// Who reports to others, where `[reporter]` is switched on in this process.
    pub reporter: Option<Reporter>,
    /// Renders `/metrics`; without it that path is not found.
    pub metrics: Option<PrometheusHandle>,
    /// Thresholds of the gate to enforce.
    pub gate: Gate,
    /// What records to publish look like here.
    pub publishing: Publishing,
}

/// What the records to publish look like where the domain itself does not say.
#[derive(Debug, Clone, Default)]
pub struct Publishing {
    /// Report addresses for domains that name none, as URIs.
    pub rua: Vec<String>,
    /// Where the names of policy hosts lead.
    pub policy_host: PolicyHostTarget,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) state: WebState,
    pub(crate) sessions: Arc<access::Sessions>,
    pub(crate) attempts: Arc<access::Attempts>,
    pub(crate) turns: Arc<sending::Turns>,
}

impl std::ops::Deref for App {
    type Target = WebState;
    fn deref(&self) -> &WebState {
        &self.state
    }
}

impl App {
    /// The present moment.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.state.clock.now()
    }
}

/// The router of everything: pages, assets, `/api`, `/healthz`, `/metrics`.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: without the peer's address
/// nobody counts as coming from loopback.
pub fn router(state: WebState) -> Router {
    let app = App { state, sessions: Arc::default(), attempts: Arc::default(), turns: Arc::default() };
    Router::new()
        .merge(pages::router())
        .nest("/api", api::router())
        .merge(access::router())
        .merge(health::router())
        .merge(assets::router())
        .fallback(failure::not_found)
        .layer(from_fn_with_state(app.clone(), access::guard))
        // The largest thing posted here is a form with a reason in it.
        .layer(DefaultBodyLimit::max(64 * 1024))
        .layer(CatchPanicLayer::custom(failure::panicked))
        .layer(from_fn(headers::harden))
        .with_state(app)
}
