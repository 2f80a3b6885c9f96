//! The pages and documents over a seeded store, asked as a browser or a script asks.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use mailward_core::clock::FixedClock;
use mailward_core::rollout::Gate;
use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_store::Store;
use mailward_store::outgoing::OutgoingFilter;
use mailward_web::{Access, DutyHealth, Health, Publishing, WebState};
use serde_json::Value;
use tower::ServiceExt;

#[path = "../examples/seeded/outgoing.rs"]
mod outgoing;
#[path = "../examples/seeded/seed.rs"]
mod seed;
#[path = "../examples/seeded/sending.rs"]
mod sending;

struct Duties(bool);

impl Health for Duties {
    fn report(&self) -> Vec<DutyHealth> {
        let reason = if self.0 { "" } else { "port 8460 is taken" };
        vec![DutyHealth { duty: "monitor".into(), ok: self.0, reason: reason.into() }]
    }
}

struct World {
    router: Router,
    store: Store,
    _folder: tempfile::TempDir,
}

async fn world(access: Access, seeded: bool) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}/web.db", folder.path().display())).await.unwrap();
    if seeded {
        seed::fill(&store).await;
        sending::fill(&store).await;
        outgoing::fill(&store).await;
    }
    let state = WebState {
        store: store.clone(),
        clock: Arc::new(FixedClock(seed::now())),
        access,
        health: Arc::new(Duties(true)),
        sending: seeded.then(sending::cache),
        reporter: seeded.then(outgoing::author),
        metrics: None,
        gate: Gate::default(),
        publishing: Publishing::default(),
    };
    World { router: mailward_web::router(state), store, _folder: folder }
}

struct Answer {
    status: StatusCode,
    response: Response<()>,
    text: String,
    bytes: Vec<u8>,
}

impl Answer {
    fn header(&self, name: header::HeaderName) -> &str {
        self.response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

impl World {
    async fn ask(&self, request: Request<Body>, peer: &str) -> Answer {
        let mut request = request;
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer {
            status: parts.status,
            response: Response::from_parts(parts, ()),
            text,
            bytes: bytes.to_vec(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header(header::HOST, "localhost:8460").body(Body::empty()).unwrap();
        self.ask(request, "127.0.0.1:40000").await
    }

    /// A form sent from a page of this origin.
    async fn post(&self, path: &str, origin: &str, body: &str) -> Answer {
        let request = Request::post(path)
            .header(header::HOST, "localhost:8460")
            .header(header::ORIGIN, origin)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.ask(request, "127.0.0.1:40000").await
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }
}

async fn report_numbers(world: &World) -> Vec<i64> {
    let page = world.store.reports(&Default::default(), None, 500).await.unwrap();
    page.rows.iter().map(|row| row.number).collect()
}

async fn outgoing_numbers(world: &World) -> Vec<i64> {
    let page = world.store.outgoing_reports(&Default::default(), None, 500).await.unwrap();
    page.rows.iter().map(|row| row.number).collect()
}

/// Every page, with a name to report.
async fn pages(world: &World) -> Vec<String> {
    let mut pages: Vec<String> = [
        "/",
        "/?q=kontor&state=broken&sort=day&order=desc",
        "/domains",
        "/domains/brandt-werke.example",
        "/domains/kontor-nord.example?days=90",
        "/domains/praxis-lind.example",
        "/domains/verein-sued.example",
        "/domains/xn--bcherei-n2a.example",
        "/domains/muehlenbach.example",
        "/problems",
        "/problems?domain=kontor-nord.example&days=7",
        "/explain",
        "/explain/STS-MX-001",
        "/reports",
        "/reports?failed=1",
        "/reports/reporters",
        "/reports/quarantine",
        "/sending",
        "/sending?filter=failing&q=example",
        "/sending?recent=all",
        "/sending?look=not+a+domain",
        "/sending/handel-ost.example",
        "/sending/langsam.example",
        "/sending/stumm.example",
        "/sending/nobody.example",
        "/sending/nobody.example?look=1",
        "/sending/feindlich.example",
        "/outgoing",
        "/outgoing?state=refused",
        "/outgoing?domain=Handel-Ost.example&day=2026-11-23",
        "/outgoing?state=none&day=2026-11-01",
        "/outgoing/preview",
        "/outgoing/preview?domain=langsam.example",
        "/outgoing/preview?domain=nobody.example&day=2026-11-23",
        "/outgoing/suppressed",
        "/settings",
    ]
    .map(str::to_owned)
    .into();
    pages.extend(outgoing_numbers(world).await.iter().map(|number| format!("/outgoing/{number}")));
    let numbers = report_numbers(world).await;
    pages.push(format!("/reports/{}", numbers[0]));
    for row in world.store.quarantine(None, 10).await.unwrap().rows {
        pages.push(format!("/reports/quarantine/{}", row.item));
    }
    pages
}

#[tokio::test]
async fn every_page_is_whole_and_safe() {
    let world = world(Access::Open, true).await;
    for path in pages(&world).await {
        let answer = world.get(&path).await;
        let html = &answer.text;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {html}");
        assert_eq!(html.matches("<h1").count(), 1, "{path} has one h1");
        assert!(html.contains("<html lang=\"en\">") && html.contains("<title>"), "{path}");
        assert!(html.contains("class=\"skip\" href=\"#main\""), "{path}");
        for bad in [" style=", "<style", "onclick=", "onload=", "javascript:\"", "http://", "<script>"] {
            let allowed = bad == "http://" && html.contains("xmlns");
            let shown = html.replace("http://127.0.0.1:8460/api", "").replace("http://attacker.example", "");
            assert!(allowed || !shown.contains(bad), "{path} contains {bad}");
        }
        assert!(html.len() < 100 * 1024, "{path} weighs {} bytes", html.len());
        assert!(
            answer
                .header(header::CONTENT_SECURITY_POLICY)
                .starts_with("default-src 'none'; style-src 'self'")
        );
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store", "{path}");
        check_nesting(&path, html);
        for id in html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{path}: id {id} stands twice");
        }
    }
}

/// Every element that is opened is closed, in order.
fn check_nesting(path: &str, html: &str) {
    const VOID: [&str; 5] = ["meta", "link", "input", "br", "hr"];
    let mut open: Vec<&str> = Vec::new();
    for tag in html.split('<').skip(1) {
        let inside = tag.split('>').next().unwrap_or_default();
        let name = inside.split([' ', '\n', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        if inside.starts_with('!') || VOID.contains(&name) || inside.ends_with('/') {
            continue;
        }
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{path}: </{name}> closes something else");
        } else {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "{path}: left open");
}

#[tokio::test]
async fn links_on_pages_lead_somewhere() {
    let world = world(Access::Open, true).await;
    let mut seen = std::collections::BTreeSet::new();
    for path in pages(&world).await {
        let html = world.page(&path).await;
        for link in html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let link = link.replace("&amp;", "&");
            let (address, fragment) = link.split_once('#').unwrap_or((&link, ""));
            assert!(address.is_empty() || address.starts_with('/'), "{path}: {link} leads elsewhere");
            if address.is_empty() {
                assert!(html.contains(&format!("id=\"{fragment}\"")), "{path}: no {fragment}");
            } else if !address.starts_with("/explain/") {
                seen.insert(address.to_owned());
            }
        }
    }
    assert!(seen.len() > 50, "{seen:?}");
    for link in seen {
        assert_eq!(world.get(&link).await.status, StatusCode::OK, "{link}");
    }
}

#[tokio::test]
async fn hostile_texts_stay_texts() {
    let world = world(Access::Open, true).await;
    let numbers = report_numbers(&world).await;
    let mut hostile = None;
    for number in numbers {
        let html = world.page(&format!("/reports/{number}")).await;
        if html.contains("invented") {
            hostile = Some((number, html));
            break;
        }
    }
    let (number, html) = hostile.expect("the hostile report is listed");
    assert!(!html.contains("<script>") && !html.contains("<b onmouseover") && !html.contains("<img"));
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; ⟨U+202E⟩gro.kcatta"));
    assert!(html.contains("bell⟨U+0007⟩escape⟨U+001B⟩[31m"));
    assert!(!html.contains("href=\"javascript:"), "no link from report data");
    for path in ["/reports", "/problems", "/domains/verein-sued.example", "/reports/reporters"] {
        let html = world.page(path).await;
        assert!(!html.contains("<script>") && !html.contains("<b onmouseover"), "{path}");
        assert!(!html.contains('\u{202e}'), "{path} shows direction characters as they are");
    }
    let raw = world.get(&format!("/reports/{number}/raw")).await;
    assert_eq!(raw.header(header::CONTENT_TYPE), "text/plain; charset=utf-8");
    assert!(raw.header(header::CONTENT_DISPOSITION).starts_with("attachment;"));
    let csv = world.page("/reports.csv").await;
    assert!(csv.contains("'=cmd|"), "formulas are defused");
    assert!(!csv.lines().any(|line| line.split(',').any(|cell| cell.starts_with('='))));
}

#[tokio::test]
async fn the_first_page_says_who_loses_mail() {
    let world = world(Access::Open, true).await;
    let html = world.page("/").await;
    let h1 = html.split("<h1>").nth(1).and_then(|r| r.split("</h1>").next()).unwrap();
    assert!(h1.contains("mx2.kontor-nord.example"), "{h1}");
    let first = html.find("/domains/kontor-nord.example").unwrap();
    assert!(first < html.find("/domains/brandt-werke.example").unwrap(), "what is broken comes first");
    let one = world.page("/?q=praxis").await;
    assert!(one.contains("praxis-lind") && !one.contains("/domains/brandt-werke"), "the filter filters");
    let sorted = world.page("/?sort=name&order=asc").await;
    assert!(sorted.find("brandt-werke.example").unwrap() < sorted.find("/domains/verein").unwrap());
    assert!(sorted.contains("aria-sort=\"ascending\""));
}

#[tokio::test]
async fn an_empty_store_teaches() {
    let world = world(Access::Open, false).await;
    let html = world.page("/").await;
    assert!(html.contains("mailward domain add example.com"));
    for path in [
        "/domains",
        "/problems",
        "/reports",
        "/reports/reporters",
        "/reports/quarantine",
        "/sending",
        "/outgoing",
        "/outgoing/preview",
        "/outgoing/suppressed",
        "/settings",
    ] {
        let html = world.page(path).await;
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn a_domain_shows_its_gate_and_records() {
    let world = world(Access::Open, true).await;
    let html = world.page("/domains/kontor-nord.example").await;
    for expected in [
        "may I enforce",
        "G1</span>",
        "G11</span>",
        "_mta-sts.kontor-nord.example",
        "the world sees exactly this",
        "certificate-host-mismatch",
        "Mark as not ours",
        "evidence counts from here",
        "taken up",
    ] {
        let found = html.to_lowercase().contains(&expected.to_lowercase());
        assert!(found, "{expected} is missing");
    }
    let missing = world.get("/domains/nobody.example").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.text.contains("mailward domain add nobody.example"));
}

#[tokio::test]
async fn long_lists_have_pages_and_stay_light() {
    let world = world(Access::Open, true).await;
    let template = world.store.domains().await.unwrap().remove(0);
    for n in 0..1_000 {
        let mut held = template.clone();
        held.domain = seed::name(&format!("customer-{n:04}.example"));
        world.store.put_domain(&held, "test", "many", seed::now()).await.unwrap();
    }
    let html = world.page("/").await;
    assert!(html.contains("1 to 50 of 1006"), "{html}");
    let style = html.split("stylesheet\" href=\"").nth(1).and_then(|r| r.split('"').next()).unwrap();
    let style = world.get(style).await;
    assert!(style.header(header::CACHE_CONTROL).contains("immutable"));
    let weight = html.len() + style.text.len();
    assert!(weight < 100 * 1024, "the first page weighs {weight} bytes");
    assert!(world.page("/?page=21").await.contains("1001 to 1006 of 1006"));
}

#[tokio::test]
async fn a_mark_is_an_intent_with_author_and_reason() {
    let world = world(Access::Open, true).await;
    let form = "/domains/kontor-nord.example/excuse";
    let body = "result_type=certificate-host-mismatch&mx=mx2.kontor-nord.example&reason=not+ours";
    let foreign = world.post(form, "http://evil.example", body).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN, "a form of another site");
    let unsaid = world.post(form, "http://localhost:8460", "result_type=x&reason=+").await;
    assert_eq!(unsaid.status, StatusCode::BAD_REQUEST, "no reason");
    let excused = world.store.excused(&seed::name("kontor-nord.example")).await.unwrap();
    assert!(excused.is_empty(), "nothing was written so far");
    let done = world.post(form, "http://localhost:8460", body).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let html = world.page("/domains/kontor-nord.example").await;
    assert!(html.contains("Marked as not ours: not ours"));
}

#[tokio::test]
async fn strangers_see_nothing() {
    let world = world(Access::Token, true).await;
    let (secret, sha256) = mailward_web::new_token().unwrap();
    world.store.add_token("bert", &sha256, seed::now()).await.unwrap();
    let get = |path: &str| {
        Request::get(path).header(header::HOST, "mail.example:8460").body(Body::empty()).unwrap()
    };
    let (stranger, local) = ("203.0.113.9:40000", "127.0.0.1:40000");
    for path in pages(&world).await {
        for peer in [stranger, local] {
            let answer = world.ask(get(&path), peer).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
            assert!(answer.header(header::LOCATION).starts_with("/login?next="), "{path}");
            assert!(answer.text.is_empty(), "{path}");
        }
    }
    let api = world.ask(get("/api/domains"), stranger).await;
    assert_eq!((api.status, api.json()["error"].clone()), (StatusCode::UNAUTHORIZED, "unauthorized".into()));
    assert_eq!(world.ask(get("/metrics"), stranger).await.status, StatusCode::UNAUTHORIZED);
    let health = world.ask(get("/healthz"), stranger).await;
    assert_eq!(health.status, StatusCode::OK);
    assert!(health.json().get("duties").is_none(), "a stranger is told no details");
    assert!(world.get("/healthz").await.json().get("duties").is_some());

    let bearer = |secret: &str| {
        Request::get("/api/domains")
            .header(header::AUTHORIZATION, format!("Bearer {secret}"))
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(world.ask(bearer(&secret), stranger).await.status, StatusCode::OK);
    for n in 0..10 {
        let answer = world.ask(bearer(&format!("guess {n}")), "203.0.113.66:1").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{n}");
    }
    let slowed = world.ask(bearer("guess"), "203.0.113.66:2").await;
    assert_eq!(slowed.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_token_opens_the_dashboard_until_it_is_removed() {
    let world = world(Access::Token, true).await;
    let (secret, sha256) = mailward_web::new_token().unwrap();
    world.store.add_token("bert", &sha256, seed::now()).await.unwrap();
    let peer = "203.0.113.9:40000";
    let login = |secret: &str| {
        Request::post("/login")
            .header(header::HOST, "mail.example")
            .header(header::ORIGIN, "https://mail.example")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(format!("token={secret}&next=%2Freports")))
            .unwrap()
    };
    let wrong = world.ask(login("mailward_guess"), peer).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.text.contains("type=\"password\"") && wrong.text.contains("No token has this secret"));
    let right = world.ask(login(&secret), peer).await;
    assert_eq!((right.status, right.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/reports"));
    let cookie = right.header(header::SET_COOKIE).to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(&secret));
    let session = cookie.split(';').next().unwrap().to_owned();
    let with = |path: &str| {
        Request::get(path)
            .header(header::HOST, "mail.example")
            .header(header::COOKIE, &session)
            .body(Body::empty())
            .unwrap()
    };
    let page = world.ask(with("/"), peer).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Log out") && page.text.contains("bert"));
    world.store.remove_token("bert").await.unwrap();
    assert_eq!(
        world.ask(with("/"), peer).await.status,
        StatusCode::SEE_OTHER,
        "the session ends with the token"
    );
}

#[tokio::test]
async fn loopback_is_open_only_until_there_is_a_token() {
    let world = world(Access::Token, false).await;
    assert_eq!(world.get("/").await.status, StatusCode::OK);
    let peer = "127.0.0.1:40000";
    for (name, value) in [("host", "evil.example"), ("x-forwarded-for", "203.0.113.9")] {
        let request = Request::get("/").header(name, value).body(Body::empty()).unwrap();
        assert_eq!(world.ask(request, peer).await.status, StatusCode::SEE_OTHER, "{name}");
    }
    let remote = Request::get("/").header(header::HOST, "localhost").body(Body::empty()).unwrap();
    assert_eq!(world.ask(remote, "203.0.113.9:1").await.status, StatusCode::SEE_OTHER);
    world.store.add_token("x", &[1; 32], seed::now()).await.unwrap();
    assert_eq!(world.get("/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn every_document_is_described_and_every_description_answers() {
    let world = world(Access::Open, true).await;
    let openapi = world.get("/api/openapi.json").await.json();
    let number = report_numbers(&world).await[0].to_string();
    let outgoing = outgoing_of(&world, "langsam.example").await;
    let paths = openapi["paths"].as_object().unwrap();
    for (path, operations) in paths {
        let asked = path
            .replace("/outgoing/{number}", &format!("/outgoing/{outgoing}"))
            .replace("/preview/{domain}", "/preview/langsam.example")
            .replace("/lookup/{domain}", "/lookup/handel-ost.example")
            .replace("{domain}", "kontor-nord.example")
            .replace("{number}", &number)
            .replace("{id}", "STS-MX-001");
        let answer = world.get(&asked).await;
        assert_eq!(answer.status, StatusCode::OK, "{asked}: {}", answer.text);
        let reference =
            &operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        if let Some(name) = reference.as_str().and_then(|r| r.rsplit('/').next()) {
            let schema = &openapi["components"]["schemas"][name];
            let document = answer.json();
            assert_eq!(document["schema"], schema["properties"]["schema"]["const"], "{asked}");
            for member in document.as_object().unwrap().keys() {
                assert!(schema["properties"].get(member).is_some(), "{asked}: {member} is not described");
            }
            for member in schema["properties"].as_object().unwrap().keys() {
                assert!(document.get(member).is_some(), "{asked}: {member} is missing");
            }
        }
    }
    let source = include_str!("../src/api.rs");
    for route in source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(paths.contains_key(&format!("/api{route}")), "/api{route} is not described");
    }
    for (path, status, word) in [
        ("/api/nothing", 404, "not-found"),
        ("/api/domains/nobody.example", 404, "not-found"),
        ("/api/reports/none", 404, "not-found"),
        ("/api/explain/NOPE", 404, "not-found"),
        ("/api/sending/lookup/a..b", 404, "not-found"),
        ("/api/sending/policies?filter=odd", 400, "bad-request"),
        ("/api/sending/policies?limit=many", 400, "bad-request"),
        ("/api/reports?domain=a..b", 400, "bad-request"),
        ("/api/reports?before=x", 400, "bad-request"),
        ("/api/outgoing?state=lost", 400, "bad-request"),
        ("/api/outgoing?day=yesterday", 400, "bad-request"),
        ("/api/outgoing/none", 404, "not-found"),
        ("/api/outgoing/preview/nobody.example", 404, "not-found"),
        ("/api/problems?since=yesterday", 400, "bad-request"),
        ("/api/domains/kontor-nord.example/sessions?from=2026-11-20&to=2026-11-01", 400, "bad-request"),
    ] {
        let answer = world.get(path).await;
        let document = answer.json();
        assert_eq!((answer.status.as_u16(), document["error"].as_str()), (status, Some(word)), "{path}");
        assert_eq!(document["schema"], "mailward.error/1", "{path}");
    }
}

#[tokio::test]
async fn an_unreachable_store_is_said_and_never_shown_as_empty() {
    let world = world(Access::Open, true).await;
    world.store.close().await;
    let page = world.get("/").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{}", page.text);
    assert!(page.text.contains("nothing can be said"));
    assert_eq!(world.get("/api/status").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let health = world.get("/healthz").await;
    assert_eq!((health.status.as_u16(), health.json()["duties"][0]["ok"].clone()), (503, false.into()));
}

#[tokio::test]
async fn the_sending_side_says_what_fails_and_until_when() {
    let world = world(Access::Open, true).await;
    let html = world.page("/sending").await;
    for expected in [
        "<h1>2 policies cannot be refreshed; 2 policies are enforced on mail that leaves.</h1>",
        "langsam.example first, at 2026-11-25 03:00 UTC",
        "/sending/handel-ost.example",
        "mailward policy unset kaputt.example",
        "their certificate ran out",
        "token anna",
        "ran out <time",
        "so only the hosts named may be used",
    ] {
        assert!(html.contains(expected), "{expected} is missing: {html}");
    }
    let failing = world.page("/sending?filter=failing").await;
    let list = failing.split("id=\"overrides\"").next().unwrap();
    assert!(list.contains("/sending/langsam.example") && !list.contains("/sending/handel-ost.example"));
    let found = world.page("/sending?q=HANDEL").await;
    let list = found.split("id=\"overrides\"").next().unwrap();
    assert!(list.contains("/sending/handel-ost.example") && !list.contains("/sending/langsam.example"));
    let today = world.page("/").await;
    assert!(today.contains("2 policies cannot be refreshed") && today.contains("href=\"/sending\""));
}

#[tokio::test]
async fn a_domain_shows_its_decision_and_only_asks_when_asked() {
    let world = world(Access::Open, true).await;
    let html = world.page("/sending/handel-ost.example").await;
    for expected in [
        "goes only to the hosts that its policy names",
        "OK secure match=mx1.handel-ost.example servername=hostname",
        "policy_type=sts",
        "mode: enforce\nmx: mx1.handel-ost.example",
        "mailward policy set handel-ost.example --require none",
    ] {
        assert!(html.contains(expected), "{expected} is missing: {html}");
    }
    let failing = world.page("/sending/langsam.example").await;
    assert!(failing.contains("stays in force until 2026-11-25 03:00 UTC") && failing.contains("timed out"));
    let asked = sending::ASKED.load(std::sync::atomic::Ordering::SeqCst);
    let unknown = world.page("/sending/unknown-to-all.example").await;
    assert!(
        unknown.contains("Nothing is known of unknown-to-all.example") && unknown.contains("Look it up now")
    );
    assert!(
        !sending::was_asked("unknown-to-all.example"),
        "{asked}: nobody was asked about an unknown domain"
    );
    world.page("/sending/unknown-to-all.example?look=1").await;
    assert!(sending::was_asked("unknown-to-all.example"));
    let typed = world.get("/sending?look=%20Handel-Ost.Example.").await;
    assert_eq!(typed.header(header::LOCATION), "/sending/handel-ost.example?look=1");
    let odd = world.page("/sending?look=%3Cb%3Ex").await;
    assert!(odd.contains("is no domain") && odd.contains("&lt;b&gt;x") && !odd.contains("<b>x"));
    let hostile = world.page("/sending/feindlich.example").await;
    assert!(!hostile.contains("<script>") && hostile.contains("&lt;script&gt;"));
    assert!(!hostile.contains('\u{202e}') && hostile.contains("⟨U+202E⟩"));
}

/// The newest report about a domain.
async fn outgoing_of(world: &World, name: &str) -> i64 {
    let filter = OutgoingFilter { domain: Some(seed::name(name)), ..Default::default() };
    world.store.outgoing_reports(&filter, None, 1).await.unwrap().rows[0].number
}

#[tokio::test]
async fn outgoing_reports_say_whether_they_arrive() {
    let world = world(Access::Open, true).await;
    let html = world.page("/outgoing").await;
    for expected in [
        "<h1>5 reports about 2026-11-23: 1 accepted, 2 on the way, 1 not accepted, 1 suppressed.</h1>",
        "does not learn what our servers saw",
        "href=\"/outgoing?day=2026-11-23&amp;state=refused\"",
        "550 5.1.1 no such user",
        "it publishes no TLS-RPT record",
        "the connection timed out after 10 s",
        "refused: 410 Gone",
        "<b>12</b>",
    ] {
        assert!(html.contains(expected), "{expected} is missing: {html}");
    }
    let rows =
        |html: &str| html.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap().to_owned();
    assert_eq!(rows(&html).matches("<tr>").count(), 12);
    for (query, headline, found) in [
        ("state=refused", "2 reports were refused.", 2),
        ("state=sent&day=2026-11-22", "2 reports about 2026-11-22 were accepted.", 2),
        ("domain=handel-ost.example", "3 reports about handel-ost.example.", 3),
        ("domain=m%C3%BCnchen.example&day=2026-11-23", "1 report about münchen.example on 2026-11-23.", 1),
        ("state=none", "2 reports were not made.", 2),
    ] {
        let html = world.page(&format!("/outgoing?{query}")).await;
        assert!(html.contains(&format!("<h1>{headline}</h1>")), "{query}: {html}");
        assert_eq!(rows(&html).matches("<tr>").count(), found, "{query}");
    }
    let nothing = world.page("/outgoing?domain=nobody.example").await;
    assert!(
        nothing.contains("<h1>No report about nobody.example fits.</h1>")
            && nothing.contains("Show all reports")
    );
    assert_eq!(world.get("/outgoing?day=soon").await.status, StatusCode::BAD_REQUEST);
    let hostile = world.page(&format!("/outgoing/{}", outgoing_of(&world, "feindlich.example").await)).await;
    assert!(!hostile.contains("<script>alert") && hostile.contains("&lt;script&gt;alert(1)"), "{hostile}");
    assert!(!hostile.contains('\u{202e}') && hostile.contains("⟨U+202E⟩"));
    assert!(hostile.contains("was refused.</h1>"));
    let sending = world.page("/sending").await;
    assert!(sending.contains("5 reports about 2026-11-23") && sending.contains("href=\"/outgoing\""));
}

#[tokio::test]
async fn a_report_is_shown_as_it_leaves() {
    let world = world(Access::Open, true).await;
    let number = outgoing_of(&world, "langsam.example").await;
    let html = world.page(&format!("/outgoing/{number}")).await;
    for expected in [
        "was not accepted yet; the next try is at",
        "https://tls.langsam.example/v1",
        "the connection timed out after 10 s",
        "<b>38</b> passed, <b>14</b> failed",
        "/explain/certificate-expired",
        "mx1.langsam.example &lt;b&gt;here&lt;/b&gt;",
        "&quot;organization-name&quot;: &quot;Muster Post GmbH&quot;",
        "Send it now",
        "everything at tls.langsam.example",
    ] {
        assert!(html.contains(expected), "{expected} is missing: {html}");
    }
    let stored = world.store.outgoing_report(number).await.unwrap().unwrap();
    let raw = world.get(&format!("/outgoing/{number}/raw")).await;
    assert_eq!(raw.header(header::CONTENT_TYPE), "application/tlsrpt+gzip");
    assert!(raw.header(header::CONTENT_DISPOSITION).starts_with("attachment;"));
    assert_eq!(raw.bytes, stored.gzip, "byte for byte");

    let none = outgoing_of(&world, "ohne.example").await;
    let html = world.page(&format!("/outgoing/{none}")).await;
    assert!(
        html.contains("No report was made about ohne.example") && html.contains("It publishes no TLS-RPT")
    );
    assert!(!html.contains("Send it now") && !html.contains("As it leaves"));
    assert_eq!(world.get(&format!("/outgoing/{none}/raw")).await.status, StatusCode::NOT_FOUND);

    // Before it leaves: counted today, by nobody else yet.
    let list = world.page("/outgoing/preview").await;
    assert!(list.contains("Sessions to 3 domains were counted on 2026-11-24 so far."), "{list}");
    assert!(list.contains("/outgoing/preview?domain=stumm.example&amp;day=2026-11-24"), "{list}");
    let html = world.page("/outgoing/preview?domain=Langsam.example").await;
    for expected in [
        "As of now the report about langsam.example on 2026-11-24 tells of failures.",
        "<b>9</b> passed, <b>4</b> failed",
        "Muster Post GmbH",
        "mailto:tls@langsam.example",
        "https://sammler.example/v1</span><span class=\"sub\"><a href=\"/outgoing/suppressed\">suppressed",
    ] {
        assert!(html.contains(expected), "{expected} is missing: {html}");
    }
    let document = world.get("/api/outgoing/preview/langsam.example?day=2026-11-24").await.json();
    assert_eq!(document["report"]["policies"][0]["summary"]["total-failure-session-count"], 4);
    assert_eq!(document["report"]["organization-name"], "Muster Post GmbH");
    assert_eq!(outgoing_numbers(&world).await.len(), 12, "a preview keeps nothing");
}

#[tokio::test]
async fn sending_and_suppressing_are_intents_with_author_and_reason() {
    let world = world(Access::Open, true).await;
    let number = outgoing_of(&world, "langsam.example").await;
    let send = format!("/outgoing/{number}/send");
    let what = "https%3A%2F%2Ftls.langsam.example%2Fv1";
    let suppress = format!("what={what}&days=30&reason=it+hangs");
    for (path, body) in [
        (send.as_str(), ""),
        ("/outgoing/suppress", suppress.as_str()),
        ("/outgoing/unsuppress", "what=mailto:tls@ruhe.example&reason=x"),
    ] {
        let foreign = world.post(path, "http://evil.example", body).await;
        assert_eq!(foreign.status, StatusCode::FORBIDDEN, "{path}: a form of another site");
    }
    let ours = "http://localhost:8460";
    for body in [
        "what=a.example&reason=+",
        "what=+&reason=x",
        "what=http%3A%2F%2Fa.example&reason=x",
        "what=a.example&days=0&reason=x",
    ] {
        assert_eq!(
            world.post("/outgoing/suppress", ours, body).await.status,
            StatusCode::BAD_REQUEST,
            "{body}"
        );
    }
    assert_eq!(world.post("/outgoing/4711/send", ours, "").await.status, StatusCode::NOT_FOUND);
    let now = seed::now();
    let log = world.store.log(None, None, 500).await.unwrap().rows;
    assert_eq!(
        log.iter().filter(|entry| entry.at == now && entry.author == "dashboard").count(),
        0,
        "{log:?}"
    );
    assert_eq!(world.store.outgoing_suppressions(now).await.unwrap().len(), 2);

    let sent = world.post(&send, ours, "").await;
    assert_eq!(sent.header(header::LOCATION), format!("/outgoing/{number}"), "{}", sent.text);
    let row = world.store.outgoing_report(number).await.unwrap().unwrap().row;
    assert_eq!((row.targets[0].state, row.targets[0].next_at), (TargetState::Due, Some(now)));
    assert!(world.page(&format!("/outgoing/{number}")).await.contains("(just now).</h1>"));

    let done = world.post("/outgoing/suppress", ours, &suppress).await;
    assert_eq!(done.header(header::LOCATION), "/outgoing/suppressed", "{}", done.text);
    let html = world.page("/outgoing/suppressed").await;
    assert!(html.contains("<h1>3 addresses and hosts are sent no report.</h1>"), "{html}");
    assert!(html.contains("it hangs") && html.contains("2026-12-24") && html.contains("token anna"));
    let html = world.page(&format!("/outgoing/{number}")).await;
    assert!(html.contains("Why, and the way back") && !html.contains("Send nothing there"));
    let body = format!("what={what}&reason=mended");
    assert_eq!(world.post("/outgoing/unsuppress", ours, &body).await.status, StatusCode::SEE_OTHER);
    assert_eq!(world.post("/outgoing/unsuppress", ours, &body).await.status, StatusCode::SEE_OTHER, "again");
    let left = world.store.outgoing_suppressions(now).await.unwrap();
    assert!(left.len() == 2 && !left.iter().any(|one| one.what.contains("langsam")), "{left:?}");
    let log = world.store.log(None, None, 500).await.unwrap().rows;
    let ours = log.iter().filter(|entry| entry.at == now && entry.author == "dashboard");
    let acts: Vec<_> = ours.map(|entry| (entry.act.as_str(), entry.reason.as_str())).collect();
    assert_eq!(
        acts,
        [("unsuppress-reports", "mended"), ("suppress-reports", "it hangs"), ("send-report", "")]
    );
}

#[tokio::test]
async fn without_a_policy_daemon_the_page_tells_how_to_switch_it_on() {
    let world = world(Access::Open, false).await;
    let html = world.page("/sending").await;
    for expected in
        ["[policyd]", "smtp_tls_policy_maps = socketmap:unix:/run/mailward/policyd.sock:mailward-tlsrpt"]
    {
        assert!(html.contains(expected), "{expected} is missing");
    }
    assert!(!html.contains("Look up a domain"), "there is no cache to ask");
    assert!(!world.page("/").await.contains("href=\"/sending\">See"), "no card on the first page");
    let lookup = world.get("/api/sending/lookup/a.example").await;
    assert_eq!(lookup.status, StatusCode::NOT_FOUND);
    assert!(lookup.text.contains("mailward lookup a.example"));
    sending::fill(&world.store).await;
    let html = world.page("/sending").await;
    assert!(
        html.contains("No policy daemon runs in this process")
            && html.contains("/sending/handel-ost.example")
    );
    let held = world.page("/sending/handel-ost.example").await;
    assert!(held.contains("The policy of handel-ost.example (mode enforce) is held until"), "{held}");
}
