//! Too many at once: fetches, connections.

use std::net::Ipv4Addr;
use std::time::Duration;

use mailward_lab::{Answer, CertificateKind};
use mailward_sending::Policyd;
use mailward_sending::policyd::Listen;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::house::{Client, House, eventually, frame, policy, secure};

/// Sixty-four fetches in all, four at one address, however many domains ask; everybody is answered in time.
#[tokio::test(flavor = "multi_thread")]
async fn fetches_are_bounded_in_all_and_at_each_address() {
    let house = House::start().await;
    let hosts = house.world.policy_hosts_apart();
    let addresses: Vec<Ipv4Addr> = (0..20).map(|_| house.world.address()).collect();
    let domains: Vec<(String, Ipv4Addr)> =
        // A fifth of them at the first address.
        (0..100usize)
            .map(|n| (format!("d{n}.test"), addresses[if n < 20 { 0 } else { n % addresses.len() }]))
            .collect();
    for (domain, address) in &domains {
        house.domain(domain);
        let name = format!("mta-sts.{domain}");
        house.world.set(&name, "A", &[&address.to_string()]).unwrap();
        let body = policy("enforce", &format!("mx.{domain}"), 604_800);
        hosts.set(&name, &body, Answer::Hang, CertificateKind::Good);
    }
    addresses.iter().for_each(|address| hosts.up(*address).unwrap());
    let connections = || addresses.iter().map(|address| hosts.connections(*address)).collect::<Vec<u64>>();
    let mut asked = JoinSet::new();
    for (domain, _) in &domains {
        let (address, request) = (house.node.address, frame(&format!("mailward {domain}")));
        asked.spawn(async move {
            let begun = Instant::now();
            let mut client = Client::connect(address).await;
            client.send(&request).await;
            (client.read().await.unwrap(), begun.elapsed())
        });
    }
    eventually("sixty-four fetch", async || connections().iter().sum::<u64>() >= 64).await;
    while let Some(answered) = asked.join_next().await {
        let (answer, took) = answered.unwrap();
        assert_eq!(answer, "NOTFOUND ");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    let at_once = connections();
    assert_eq!(at_once.iter().sum::<u64>(), 64, "{at_once:?}");
    assert!(at_once.iter().all(|count| *count <= 4), "{at_once:?}");
}

/// Ten thousand who connect and say nothing: a listener takes as many as it has places for, the rest waits in
/// the kernel; who is in is served, and so is the other listener; when they leave, everybody is.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_delay_nobody_who_is_in() {
    const MANY: usize = 10_000;
    let house = House::start().await;
    house.domain("a.test");
    let path = house.directory.path().join("policyd.sock");
    let listen = [
        Listen::Tcp("127.0.0.1:0".parse().unwrap()),
        Listen::Unix { path: path.clone(), mode: 0o600, group: None },
    ];
    let policyd = Policyd::bind(&listen, house.node.policies.clone()).await.unwrap();
    let address = policyd.addresses()[0].parse().unwrap();
    let running = tokio::spawn(policyd.run(house.node.stop.clone()));
    let mut first = Client::connect(address).await;
    assert_eq!(first.ask("mailward a.test").await, secure("mx.a.test"));
    let before = open_files();
    let mut idle = JoinSet::new();
    for _ in 0..MANY {
        idle.spawn(async move {
            // Many of them never get further than this.
            let stream = TcpStream::connect(address).await;
            std::future::pending::<()>().await;
            drop(stream);
        });
    }
    // All places but that of the first.
    eventually("all have been begun", async || open_files() >= before + MANY + 1023).await;
    assert!(open_files() <= before + MANY + 1023 + 200, "no more than 1024 are taken in: {}", open_files());
    let served = async {
        for _ in 0..100 {
            assert_eq!(first.ask("mailward a.test").await, secure("mx.a.test"));
        }
        let mut other = UnixStream::connect(&path).await.unwrap();
        other.write_all(&frame("mailward a.test")).await.unwrap();
        let mut answer = vec![0; frame(&secure("mx.a.test")).len()];
        other.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, frame(&secure("mx.a.test")));
    };
    timeout(Duration::from_secs(5), served).await.expect("who is in is served");
    idle.shutdown().await;
    let mut last = timeout(Duration::from_secs(20), Client::connect(address)).await.expect("a place");
    let answer = timeout(Duration::from_secs(20), last.ask("mailward a.test")).await;
    assert_eq!(answer.expect("they have left"), secure("mx.a.test"));
    running.abort();
}

/// File descriptors of this process.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
