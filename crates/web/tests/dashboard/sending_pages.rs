//! The sending side: what mail must meet, what cannot be refreshed, and a lookup.

use axum::http::{StatusCode, header};
use mailward_web::Access;

use super::{sending, world};

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
