//! The monitor in the lab's world.

use std::sync::Arc;
use std::time::Duration;

use mailward_core::PolicyDomain;
use mailward_lab::{Behaviour, World, WorldOptions};
use mailward_net::smtp::ProbeTimeouts;
use mailward_net::tls::Roots;
use mailward_net::{Outside, OutsideOptions};
use mailward_receiving::StopSignal;
use mailward_receiving::monitor::Monitor;

use crate::house::{eventually, hold, open, resolver};

fn outside(world: &World) -> Outside {
    let options = OutsideOptions {
        helo: "probe.test".into(),
        smtp_port: world.smtp_port,
        https_port: world.https_port,
        allow_private_addresses: true,
        fetch_timeout: Duration::from_secs(4),
        probe: ProbeTimeouts { greeting: Duration::from_secs(1), ..ProbeTimeouts::default() },
    };
    Outside {
        resolver: resolver(world),
        roots: Arc::new(Roots::load(std::slice::from_ref(&world.root_pem)).unwrap()),
        options: Arc::new(options),
        clock: world.clock.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_noticed_and_kept() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let mx = world.good_domain("example.com").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let domain = PolicyDomain::parse("example.com").unwrap();
    let now = || mailward_core::Clock::now(&*world.clock);
    hold(&store, "example.com", &["mx1.example.com"], now()).await;
    let monitor = Monitor::new(store.clone(), outside(&world), Duration::from_secs(3600));

    let first = monitor.round(&domain).await.unwrap();
    let rounds = store.probe_rounds(&domain, jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(rounds.len(), 1);
    assert!(rounds[0].complete && rounds[0].faults.values().all(Option::is_none), "{rounds:?}");

    world.mx_hosts.set_behaviour(mx, Behaviour::NoStarttls);
    world.clock.advance(jiff::SignedDuration::from_hours(1));
    let second = monitor.round(&domain).await.unwrap();
    assert!(second.worst > first.worst, "{first:?} {second:?}");
    let added: Vec<&str> = second.difference.added.iter().map(|f| f.id.as_str()).collect();
    assert!(!added.is_empty(), "losing STARTTLS is a finding");
    let latest = store.latest_observation(&domain).await.unwrap().unwrap();
    assert_eq!(latest.audit.checked_at, now());

    world.mx_hosts.set_behaviour(mx, Behaviour::Good);
    world.clock.advance(jiff::SignedDuration::from_hours(1));
    let third = monitor.round(&domain).await.unwrap();
    let removed: Vec<&str> = third.difference.removed.iter().map(|f| f.id.as_str()).collect();
    assert_eq!(removed, added, "mended");
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_are_looked_at_when_held_and_when_asked() {
    let world = World::start(&WorldOptions::default()).unwrap();
    world.good_domain("example.com").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let domain = PolicyDomain::parse("example.com").unwrap();
    let now = || mailward_core::Clock::now(&*world.clock);
    let monitor = Monitor::new(store.clone(), outside(&world), Duration::from_secs(3600));
    let (handle, status) = (monitor.handle(), monitor.status());
    let (signal, stop) = StopSignal::new();
    let running = tokio::spawn(monitor.run(stop));
    hold(&store, "example.com", &["mx1.example.com"], now()).await;
    let rounds = async || store.probe_rounds(&domain, jiff::Timestamp::UNIX_EPOCH).await.unwrap().len();
    eventually("the first look", async || (rounds().await == 1).then_some(())).await;
    eventually("a good status", async || status.health().ok.then_some(())).await;

    world.clock.advance(jiff::SignedDuration::from_mins(5));
    assert!(handle.look_now(Some(domain.clone())).await);
    eventually("the look asked for", async || (rounds().await == 2).then_some(())).await;

    signal.stop();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}
