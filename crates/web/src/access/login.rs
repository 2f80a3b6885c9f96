//! The form that takes a token, and the way out.

use std::net::SocketAddr;

use askama::Template;
use axum::extract::{ConnectInfo, Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, RequestExt};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{COOKIE, Sessions, Visitor, cookie};
use crate::App;
use crate::failure::Failure;
use crate::frame::{Frame, html};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    wrong: bool,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn form(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<Next>,
) -> Response {
    if visitor.may_look() {
        return Redirect::to(local(&query.next)).into_response();
    }
    let frame = Frame::bare("Log in", app.now());
    html(&LoginPage { frame, next: local(&query.next).to_owned(), wrong: false })
}

pub(super) async fn enter(State(app): State<App>, request: axum::extract::Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let secure = is_secure(request.headers());
    let Ok(Form(entry)) = request.extract::<Form<Entry>, _>().await else {
        return Failure::BadRequest("The form could not be read.".into()).page(None);
    };
    let now = app.now();
    if let Err(failure) = app.attempts.allow(peer, now) {
        return failure.page(None);
    }
    let sha256: [u8; 32] = Sha256::digest(entry.token.trim()).into();
    match app.store.token(&sha256, now).await {
        Err(error) => Failure::from(error).page(None),
        Ok(None) => {
            app.attempts.count(peer, now);
            tracing::info!(peer = ?peer, "login refused: no such token");
            let frame = Frame::bare("Log in", now);
            let next = local(&entry.next).to_owned();
            let mut response = html(&LoginPage { frame, next, wrong: true });
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            response
        }
        Ok(Some(_)) => match app.sessions.open(sha256, now) {
            Err(error) => Failure::Unavailable(error.to_string()).page(None),
            Ok(session) => with_cookie(Redirect::to(local(&entry.next)), &session, secure),
        },
    }
}

pub(super) async fn leave(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Some(session) = cookie(&headers) {
        app.sessions.close(session);
    }
    with_cookie(Redirect::to("/login"), "", is_secure(&headers))
}

/// Whether the browser speaks https to us (through a proxy: we serve plain HTTP), by where its form
/// stood. Then the cookie must never travel in clear text.
fn is_secure(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

fn with_cookie(redirect: Redirect, session: &str, secure: bool) -> Response {
    let life = if session.is_empty() { 0 } else { Sessions::LIFE.as_secs() };
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}{secure}");
    let mut response = redirect.into_response();
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// Where to go after the login: only to a page of ours.
fn local(next: &str) -> &str {
    let ours = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '\r', '\n'])
        && !next.starts_with("/login");
    if ours && next.chars().all(|c| c.is_ascii_graphic()) { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn the_login_never_leads_elsewhere() {
        for (next, to) in [
            ("/domains/example.com?days=7", "/domains/example.com?days=7"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("javascript:alert(1)", "/"),
            ("/login?next=/login", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("/ü", "/"),
        ] {
            assert_eq!(local(next), to, "{next}");
        }
    }
}
