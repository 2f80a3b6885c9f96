//! Who may look.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use mailward_web::Access;

use super::{pages, seed, world};

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
