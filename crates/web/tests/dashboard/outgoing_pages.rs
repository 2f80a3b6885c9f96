//! The reports that we send: whether they arrive, what they say, and what an operator may do about them.

use axum::http::{StatusCode, header};
use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_web::Access;

use super::{outgoing_numbers, outgoing_of, seed, world};

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
