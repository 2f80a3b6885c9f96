//! What went wrong, what it means, what to do: as a page and as a document.

use std::any::Any;

use askama::Template;
use axum::Json;
use axum::http::Uri;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use mailward_store::StoreError;
use serde_json::json;

use crate::frame::{Frame, html};

/// Why a page or document cannot be shown.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing has this address; holds what was looked for, in words.
    #[error("{0}")]
    NotFound(String),
    /// The request says something impossible.
    #[error("{0}")]
    BadRequest(String),
    /// No token, or a wrong one.
    #[error("This needs a token.")]
    Unauthorized,
    /// Not with this request.
    #[error("{0}")]
    Forbidden(String),
    /// Guessing.
    #[error("Too many failed attempts from this address.")]
    TooManyAttempts,
    /// Too much of it is under way.
    #[error("{0}")]
    Busy(String),
    /// The store cannot be read now.
    #[error("{0}")]
    Unavailable(String),
    /// Our own mistake or a damaged database.
    #[error("{0}")]
    Broken(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::NotFound(_) => Self::NotFound(text),
            StoreError::Conflict(_) => Self::BadRequest(text),
            StoreError::Unavailable(_) => Self::Unavailable(text),
            StoreError::Corrupt(_) => Self::Broken(text),
        }
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    frame: Frame,
    headline: &'static str,
    detail: String,
    advice: &'static str,
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not-found",
            Self::BadRequest(_) => "bad-request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::TooManyAttempts => "too-many-attempts",
            Self::Busy(_) => "busy",
            Self::Unavailable(_) => "unavailable",
            Self::Broken(_) => "internal",
        }
    }

    fn headline(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "There is no such page.",
            Self::BadRequest(_) => "That request makes no sense to mailward.",
            Self::Unauthorized => "This needs a token.",
            Self::Forbidden(_) => "That was refused.",
            Self::TooManyAttempts => "Too many failed attempts. Wait five minutes.",
            Self::Busy(_) => "Too many lookups at once.",
            Self::Unavailable(_) => "The database cannot be read, so nothing can be said.",
            Self::Broken(_) => "mailward made a mistake while it wrote this page.",
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "Look at Domains or Reports in the navigation.",
            Self::BadRequest(_) | Self::Forbidden(_) => "Go back, load the page again and repeat it.",
            Self::Unauthorized | Self::TooManyAttempts => {
                "A new token is made on the server: mailward admin token create NAME"
            }
            Self::Busy(_) => "Mail is not touched by it. Load this page again in a few seconds.",
            Self::Unavailable(_) => {
                "This says nothing about mail: policies already served and cached stay in force. Look at \
                 store.url in the configuration, the disk and the log of the daemon, then load this page again."
            }
            Self::Broken(_) => {
                "Mail is not touched by it. The log of the daemon has the details; please tell the authors."
            }
        }
    }

    /// The document of the API.
    pub(crate) fn document(&self) -> Response {
        self.note();
        let body = json!({
            "schema": "mailward.error/1",
            "error": self.word(),
            "detail": self.to_string(),
        });
        let mut response = (self.status(), Json(body)).into_response();
        if matches!(self, Self::Unauthorized) {
            let challenge = axum::http::HeaderValue::from_static("Bearer realm=\"mailward\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    /// The page; `name` is the token of the person looking.
    pub(crate) fn page(&self, name: Option<&str>) -> Response {
        self.note();
        let mut frame = Frame::untimed(self.headline());
        frame.name = name.map(ToOwned::to_owned);
        let page =
            FailurePage { frame, headline: self.headline(), detail: self.to_string(), advice: self.advice() };
        let mut response = html(&page);
        *response.status_mut() = self.status();
        response
    }

    fn note(&self) {
        if matches!(self, Self::Unavailable(_) | Self::Broken(_)) {
            tracing::error!(detail = %self, "a page could not be shown");
        }
    }
}

/// A failure of a handler that shows pages.
pub(crate) struct PageFailure(Failure);

impl<F: Into<Failure>> From<F> for PageFailure {
    fn from(failure: F) -> Self {
        Self(failure.into())
    }
}

impl IntoResponse for PageFailure {
    fn into_response(self) -> Response {
        self.0.page(None)
    }
}

/// A failure of a handler of the API.
pub(crate) struct DocumentFailure(Failure);

impl<F: Into<Failure>> From<F> for DocumentFailure {
    fn from(failure: F) -> Self {
        Self(failure.into())
    }
}

impl IntoResponse for DocumentFailure {
    fn into_response(self) -> Response {
        self.0.document()
    }
}

pub(crate) async fn not_found(uri: Uri) -> Response {
    let failure = Failure::NotFound(format!("Nothing stands at {}.", crate::words::cut(uri.path(), 200)));
    if uri.path().starts_with("/api") { failure.document() } else { failure.page(None) }
}

pub(crate) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(cause = text, "a page panicked");
    // The text may hold data; the log has it, the page does not.
    Failure::Broken("The details are in the log.".into()).page(None)
}
