//! Who may look: a token, or nobody but this machine until there is one.
//!
//! - The first start makes a token and prints it once; [`new_token`] makes its secret. Only the
//!   SHA-256 is stored, so the database does not open the dashboard.
//! - The API takes it as `Authorization: Bearer`; the dashboard takes it once, in a form, and hands
//!   out a cookie with a random session number. Sessions live in memory, follow their token (removing
//!   the token ends them at the next click) and end with the process.
//! - While no token exists, loopback sees everything and nobody else anything. A request that a proxy
//!   passed on, or that names a host other than loopback (DNS rebinding), is not from loopback.
//! - `Access::Open` asks nobody; it is meant for the demo, which listens on loopback only.
//!
//! When the store cannot be asked about a token, the answer is 503: closed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::{App, words};

mod login;

/// Who may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Whoever holds a token; loopback alone while there is none.
    #[default]
    Token,
    /// Everybody. Only for listeners that nobody else can reach.
    Open,
}

/// Makes the secret of a token and the SHA-256 to store (`Store::add_token`). The secret is shown
/// once and kept nowhere.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_token() -> Result<(String, [u8; 32]), NoRandomness> {
    let secret = format!("mailward_{}", random_hex::<24>()?);
    let sha256 = Sha256::digest(&secret).into();
    Ok((secret, sha256))
}

/// The system gives no random bytes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

fn random_hex<const N: usize>() -> Result<String, NoRandomness> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    /// Somebody with this token.
    Named(String),
    /// This machine while there is no token, or anybody under [`Access::Open`].
    Unnamed,
    /// This machine, though tokens exist and it showed none.
    Loopback,
    /// Anybody else.
    Stranger,
}

impl Visitor {
    fn may_look(&self) -> bool {
        matches!(self, Self::Named(_) | Self::Unnamed)
    }

    /// Whether health and metrics may be told in full.
    pub(crate) fn may_see_health(&self) -> bool {
        *self != Self::Stranger
    }

    /// The author of what is written.
    pub(crate) fn author(&self) -> String {
        match self {
            Self::Named(name) => format!("token {name}"),
            _ => "dashboard".to_owned(),
        }
    }

    /// The name to show beside "Log out".
    pub(crate) fn name(&self) -> Option<&str> {
        if let Self::Named(name) = self { Some(name) } else { None }
    }
}

pub(crate) fn router() -> Router<App> {
    Router::new().route("/login", get(login::form).post(login::enter)).route("/logout", post(login::leave))
}

/// Lets a request through, sends it to the login, or refuses it.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let api = path == "/api" || path.starts_with("/api/");
    let (headers, peer) = (request.headers().clone(), peer_address(&request));
    // Health is asked for just when the database is away: who asks from this machine needs no look there.
    let watched = matches!(path.as_str(), "/healthz" | "/metrics") && is_loopback(peer, &headers);
    let identified = if watched { Ok(Visitor::Loopback) } else { identify(&app, &headers, peer).await };
    let visitor = match identified {
        Ok(visitor) => visitor,
        Err(_) if path == "/healthz" => Visitor::Stranger,
        Err(failure) if api || path == "/metrics" => return failure.document(),
        Err(failure) => return failure.page(None),
    };
    let allowed = match path.as_str() {
        "/login" | "/logout" | "/healthz" => true,
        "/metrics" => visitor.may_see_health(),
        path if path.starts_with("/assets/") => true,
        _ => visitor.may_look(),
    };
    if !allowed && (api || path == "/metrics") {
        return Failure::Unauthorized.document();
    }
    if !allowed {
        let back = request.uri().path_and_query().map_or("/", |p| p.as_str());
        return Redirect::to(&words::address("/login", &[("next", back)])).into_response();
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !safe && !is_same_origin(request.headers(), &visitor) {
        return Failure::Forbidden("This form was sent from another site. Nothing was changed.".into())
            .page(visitor.name());
    }
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

async fn identify(app: &App, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Visitor, Failure> {
    if app.access == Access::Open {
        return Ok(Visitor::Unnamed);
    }
    let now = app.now();
    if let Some(secret) = bearer(headers) {
        app.attempts.allow(peer, now)?;
        // Looking up the SHA-256 leaks no more by its timing than a digest nobody can invert.
        let found = app.store.token(&Sha256::digest(secret).into(), now).await?;
        match found {
            Some(token) => return Ok(Visitor::Named(token.name)),
            None => app.attempts.count(peer, now),
        }
    } else if let Some(session) = cookie(headers)
        && let Some(token) = app.sessions.token(session, now)
        && let Some(token) = app.store.token(&token, now).await?
    {
        return Ok(Visitor::Named(token.name));
    }
    if !is_loopback(peer, headers) {
        return Ok(Visitor::Stranger);
    }
    let open = app.store.tokens().await?.is_empty();
    Ok(if open { Visitor::Unnamed } else { Visitor::Loopback })
}

fn peer_address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical())
}

/// Whether the request comes from this machine and was meant for it.
fn is_loopback(peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|h| headers.contains_key(*h));
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("localhost");
    peer.is_some_and(|ip| ip.is_loopback()) && !forwarded && is_loopback_name(host)
}

fn is_loopback_name(authority: &str) -> bool {
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return address.ip().to_canonical().is_loopback();
    }
    let name = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or_else(|| authority.rsplit_once(':').map_or(authority, |(name, _)| name), |(inside, _)| inside);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

/// Name of the session cookie.
const COOKIE: &str = "mailward-session";

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// Whether a form was sent from one of our own pages. Browsers say where a form stands; what says
/// nothing is no current browser, and then needs the strict cookie or a bearer token, neither of
/// which another site can make it send.
fn is_same_origin(headers: &HeaderMap, visitor: &Visitor) -> bool {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    if bearer(headers).is_some() {
        return true;
    }
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    match text(header::ORIGIN) {
        Some(origin) => origin.split_once("://").map(|(_, authority)| authority) == text(header::HOST),
        None => *visitor != Visitor::Unnamed,
    }
}

/// Sessions of the dashboard: SHA-256 of the cookie to the token it stands for.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

struct Session {
    token: [u8; 32],
    until: Timestamp,
}

impl Sessions {
    const LIFE: SignedDuration = SignedDuration::from_hours(12);
    const MOST: usize = 1_000;

    fn token(&self, cookie: &str, now: Timestamp) -> Option<[u8; 32]> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key: [u8; 32] = Sha256::digest(cookie).into();
        sessions.get(&key).filter(|session| now < session.until).map(|session| session.token)
    }

    /// Opens a session; when there are too many, the one that ends first goes.
    fn open(&self, token: [u8; 32], now: Timestamp) -> Result<String, NoRandomness> {
        let cookie = random_hex::<32>()?;
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| now < session.until);
        if sessions.len() >= Self::MOST
            && let Some(oldest) = sessions.iter().min_by_key(|(_, s)| s.until).map(|(key, _)| *key)
        {
            sessions.remove(&oldest);
        }
        let until = now.saturating_add(Self::LIFE).unwrap_or(Timestamp::MAX);
        sessions.insert(Sha256::digest(&cookie).into(), Session { token, until });
        Ok(cookie)
    }

    fn close(&self, cookie: &str) {
        let key: [u8; 32] = Sha256::digest(cookie).into();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

/// Failed attempts by address, so that nobody guesses at speed. A secret has 192 random bits, so this
/// protects the log and the database more than the secret.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<Option<IpAddr>, (u32, Timestamp)>>);

impl Attempts {
    const WINDOW: SignedDuration = SignedDuration::from_mins(5);
    const MOST: u32 = 10;
    const ADDRESSES: usize = 10_000;

    fn allow(&self, peer: Option<IpAddr>, now: Timestamp) -> Result<(), Failure> {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match attempts.get(&peer.map(network)) {
            Some((failed, since)) if *failed >= Self::MOST && now.duration_since(*since) < Self::WINDOW => {
                Err(Failure::TooManyAttempts)
            }
            _ => Ok(()),
        }
    }

    fn count(&self, peer: Option<IpAddr>, now: Timestamp) {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.len() >= Self::ADDRESSES {
            attempts.retain(|_, (_, since)| now.duration_since(*since) < Self::WINDOW);
        }
        if attempts.len() >= Self::ADDRESSES {
            attempts.clear();
        }
        let entry = attempts.entry(peer.map(network)).or_insert((0, now));
        if now.duration_since(entry.1) >= Self::WINDOW {
            *entry = (0, now);
        }
        entry.0 += 1;
    }
}

/// The /64 of an IPv6 address: one host may have all of it.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback() {
        for (authority, expected) in [
            ("localhost:8460", true),
            ("LOCALHOST", true),
            ("127.0.0.1:8460", true),
            ("127.9.9.9", true),
            ("[::1]:8460", true),
            ("[::1]", true),
            ("evil.example:8460", false),
            ("localhost.evil.example", false),
            ("192.0.2.1:8460", false),
            ("[2001:db8::1]:8460", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_name(authority), expected, "{authority}");
        }
    }

    #[test]
    fn guessing_is_slowed_and_forgiven() {
        let attempts = Attempts::default();
        let peer = Some("2001:db8::1".parse().unwrap());
        let neighbour = Some("2001:db8::2".parse().unwrap());
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..Attempts::MOST {
            assert!(attempts.allow(peer, now).is_ok());
            attempts.count(peer, now);
        }
        assert!(attempts.allow(peer, now).is_err());
        assert!(attempts.allow(neighbour, now).is_err(), "the same /64 is the same guesser");
        assert!(attempts.allow(Some("192.0.2.1".parse().unwrap()), now).is_ok());
        assert!(attempts.allow(peer, now + Attempts::WINDOW).is_ok());
    }

    #[test]
    fn sessions_end() {
        let sessions = Sessions::default();
        let now = Timestamp::UNIX_EPOCH;
        let cookie = sessions.open([7; 32], now).unwrap();
        assert_eq!(sessions.token(&cookie, now), Some([7; 32]));
        assert_eq!(sessions.token("guess", now), None);
        assert_eq!(sessions.token(&cookie, now + Sessions::LIFE), None);
        sessions.close(&cookie);
        assert_eq!(sessions.token(&cookie, now), None);
    }

    #[test]
    fn sessions_are_bounded() {
        let sessions = Sessions::default();
        for n in 0..Sessions::MOST + 10 {
            sessions.open([0; 32], Timestamp::from_second(n as i64).unwrap()).unwrap();
        }
        assert_eq!(sessions.0.lock().unwrap().len(), Sessions::MOST);
    }

    #[test]
    fn tokens_differ_and_hash() {
        let (a, hash) = new_token().unwrap();
        let (b, _) = new_token().unwrap();
        assert_ne!(a, b);
        assert_eq!(hash, <[u8; 32]>::from(Sha256::digest(&a)));
        assert!(a.len() > 50);
    }
}
