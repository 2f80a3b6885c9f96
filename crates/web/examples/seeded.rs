//! Serves the dashboard over a believable store, for looking at pages while they are built:
//! `cargo run -p mailward-web --example seeded -- 8470 [empty|locked|receiving]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mailward_core::clock::FixedClock;
use mailward_store::Store;
use mailward_web::{Access, DutyHealth, Health, Publishing, WebState};

#[path = "seeded/outgoing.rs"]
mod outgoing;
#[path = "seeded/seed.rs"]
mod seed;
#[path = "seeded/sending.rs"]
mod sending;

struct Well;

impl Health for Well {
    fn report(&self) -> Vec<DutyHealth> {
        let duty = |duty: &str, ok, reason: &str| DutyHealth { duty: duty.into(), ok, reason: reason.into() };
        vec![
            duty("policy-host", true, ""),
            duty("intake", true, ""),
            duty("monitor", false, "port 25 is blocked from here (SMTP-016)"),
        ]
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().as_deref().unwrap_or("8470").parse()?;
    let kind = arguments.next().unwrap_or_default();
    let folder = tempfile::tempdir()?;
    let store = Store::open(&format!("sqlite:{}/seeded.db", folder.path().display())).await?;
    if kind != "empty" {
        seed::fill(&store).await;
        sending::fill(&store).await;
        outgoing::fill(&store).await;
    }
    let state = WebState {
        store,
        clock: Arc::new(FixedClock(seed::now())),
        access: if kind == "locked" { Access::Token } else { Access::Open },
        health: Arc::new(Well),
        sending: (!matches!(kind.as_str(), "empty" | "receiving")).then(sending::cache),
        reporter: (!matches!(kind.as_str(), "empty" | "receiving")).then(outgoing::author),
        metrics: None,
        gate: mailward_core::rollout::Gate::default(),
        publishing: Publishing::default(),
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("http://{}", listener.local_addr()?);
    let service = mailward_web::router(state).into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, service).await?)
}
