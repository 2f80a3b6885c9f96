//! Pages of outgoing reports in a real Chromium, over the believable store: in every state, with hostile answers.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mailward_core::clock::FixedClock;
use mailward_core::rollout::Gate;
use mailward_store::Store;
use mailward_web::{Access, DutyHealth, Health, Publishing, WebState};

mod chromium;
#[path = "../examples/seeded/outgoing.rs"]
mod outgoing;
#[path = "../examples/seeded/seed.rs"]
#[allow(dead_code, reason = "only the time and the names are used here")]
mod seed;

struct NoDuties;

impl Health for NoDuties {
    fn report(&self) -> Vec<DutyHealth> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outgoing_reports_in_a_real_browser() {
    let Some(program) = chromium::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}/web.db", folder.path().display())).await.unwrap();
    outgoing::fill(&store).await;
    let mut paths: Vec<String> =
        ["/outgoing", "/outgoing?state=refused", "/outgoing/preview", "/outgoing/suppressed"]
            .map(Into::into)
            .into();
    paths.push("/outgoing/preview?domain=langsam.example".into());
    let reports = store.outgoing_reports(&Default::default(), None, 50).await.unwrap().rows;
    for name in ["langsam.example", "feindlich.example", "xn--mnchen-3ya.example"] {
        let report = reports.iter().find(|row| row.domain.as_str() == name).unwrap();
        paths.push(format!("/outgoing/{}", report.number));
    }
    let state = WebState {
        store,
        clock: Arc::new(FixedClock(seed::now())),
        access: Access::Open,
        health: Arc::new(NoDuties),
        sending: None,
        reporter: Some(outgoing::author()),
        metrics: None,
        gate: Gate::default(),
        publishing: Publishing::default(),
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = mailward_web::router(state).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    let looked = tokio::task::spawn_blocking(move || {
        for path in paths {
            for width in chromium::WIDTHS {
                chromium::look(program, folder.path(), &format!("http://{address}{path}"), width);
            }
        }
    });
    looked.await.unwrap();
    server.abort();
}
