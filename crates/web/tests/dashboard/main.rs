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
use mailward_store::Store;
use mailward_store::outgoing::OutgoingFilter;
use mailward_web::{Access, DutyHealth, Health, Publishing, WebState};
use serde_json::Value;
use tower::ServiceExt;

mod outgoing_pages;
mod sending_pages;
mod visitors;

#[path = "../../examples/seeded/outgoing.rs"]
mod outgoing;
#[path = "../../examples/seeded/seed.rs"]
mod seed;
#[path = "../../examples/seeded/sending.rs"]
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
    let source = include_str!("../../src/api.rs");
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

/// The newest report about a domain.
async fn outgoing_of(world: &World, name: &str) -> i64 {
    let filter = OutgoingFilter { domain: Some(seed::name(name)), ..Default::default() };
    world.store.outgoing_reports(&filter, None, 1).await.unwrap().rows[0].number
}
