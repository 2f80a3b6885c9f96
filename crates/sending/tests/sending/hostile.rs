//! Peers that are slow, broken or mean.

use std::time::Duration;

use mailward_lab::{Answer, CertificateKind, Fault};
use mailward_sending::policy::{FirstContact, Options};
use tokio::time::Instant;

use super::house::{Client, House, frame, policy, secure};

/// The second question about a broken domain must not wait.
const AT_ONCE: Duration = Duration::from_millis(500);

async fn timed(house: &House, request: &str) -> (String, Duration) {
    let begun = Instant::now();
    (house.ask(request).await, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_host_that_hangs_costs_five_seconds_once() {
    let house = House::start().await;
    house.domain("a.test");
    house.domain("b.test");
    house.domain("good.test");
    house.world.policy_hosts.set_answer("mta-sts.a.test", Answer::Hang);
    house.world.policy_hosts.set_answer("mta-sts.b.test", Answer::Drip);
    // The drip waits beside it on another connection.
    let mut drip = Client::connect(house.node.address).await;
    drip.send(&frame("mailward b.test")).await;
    let mut slow = Client::connect(house.node.address).await;
    slow.send(&frame("mailward a.test")).await;
    let (answer, took) = timed(&house, "mailward good.test").await;
    assert_eq!(answer, secure("mx.good.test"));
    assert!(took < Duration::from_secs(2), "others are not delayed: {took:?}");
    let begun = Instant::now();
    assert_eq!(slow.read().await.unwrap(), "NOTFOUND ");
    assert_eq!(drip.read().await.unwrap(), "NOTFOUND ");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for domain in ["a.test", "b.test"] {
        let (answer, took) = timed(&house, &format!("mailward {domain}")).await;
        assert_eq!(answer, "NOTFOUND ");
        assert!(took < AT_ONCE, "{domain} is remembered: {took:?}");
    }
    assert_eq!(house.fetches("a.test"), 1, "the fetch goes on, and is the only one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_dns_costs_five_seconds_once() {
    let house = House::start().await;
    house.world.dns.fault("dead.test", None, Some(Fault::Silent)).unwrap();
    house.world.dns.fault("_mta-sts.dead.test", None, Some(Fault::Silent)).unwrap();
    let (answer, took) = timed(&house, "mailward dead.test").await;
    assert!(answer.starts_with("TEMP dead.test: "), "{answer}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let (again, took) = timed(&house, "mailward dead.test").await;
    assert_eq!(again, answer);
    assert!(took < AT_ONCE, "{took:?}");
    // Who wants the reasons has the DNS asked again, and waits no longer.
    let (trace, took) = timed(&house, "mailward-trace dead.test").await;
    assert!(trace.contains("\"decision\":\"defer\""), "{trace}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_need_not_wait_for_the_policy() {
    let options = Options { first_contact: FirstContact::Async, ..Options::default() };
    let house = House::with(options).await;
    house.domain("a.test");
    let (answer, took) = timed(&house, "mailward a.test").await;
    // A quick policy host may win the race against the DNS.
    assert!(answer == "NOTFOUND " || answer == secure("mx.a.test"), "{answer}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    house.domain("b.test");
    house.world.policy_hosts.set_answer("mta-sts.b.test", Answer::Hang);
    let (answer, took) = timed(&house, "mailward b.test").await;
    assert_eq!(answer, "NOTFOUND ");
    assert!(took < Duration::from_secs(1), "{took:?}");
    super::house::eventually("a.test is protected", async || {
        house.ask("mailward a.test").await == secure("mx.a.test")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_changes_each_time_is_fetched_once_a_minute() {
    let options = Options { recheck: Duration::from_secs(1), ..Options::default() };
    let house = House::with(options).await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    for id in 2..20 {
        house.world.announce("a.test", &id.to_string()).unwrap();
        house.pass(3);
        assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    }
    super::house::eventually("nothing is under way", async || house.node.policies.counts().lookups == 0)
        .await;
    assert_eq!(house.fetches("a.test"), 1, "54 seconds");
    house.pass(60);
    house.ask("mailward a.test").await;
    super::house::eventually("a minute is over", async || house.fetches("a.test") == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_that_failed_is_left_alone_for_five_minutes() {
    let options = Options { recheck: Duration::from_secs(5), ..Options::default() };
    let house = House::with(options).await;
    house.domain("a.test");
    house.world.policy_hosts.set_answer("mta-sts.a.test", Answer::Status(404));
    for _ in 0..10 {
        assert_eq!(house.ask("mailward a.test").await, "NOTFOUND ");
        house.pass(20);
    }
    assert_eq!(house.fetches("a.test"), 1);
    house.world.policy_hosts.set_answer("mta-sts.a.test", Answer::Ok);
    house.pass(120);
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
}

/// Thousands of domains on one dead policy host: each learns it at once, others are as quick as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_policy_host_is_left_alone() {
    let house = House::start().await;
    let dead = house.world.address();
    for n in 0..60 {
        let domain = format!("d{n}.test");
        house.domain(&domain);
        house.world.set(&format!("mta-sts.{domain}"), "A", &[&dead.to_string()]).unwrap();
    }
    house.domain("good.test");
    for n in 0..60 {
        assert_eq!(house.ask(&format!("mailward d{n}.test")).await, "NOTFOUND ");
    }
    // Somebody listens again, and is not asked before the pause is over.
    let hosts = house.world.policy_hosts_apart();
    hosts.up(dead).unwrap();
    hosts.set(
        "mta-sts.new.test",
        &policy("enforce", "mx.new.test", 86_400),
        Answer::Ok,
        CertificateKind::Good,
    );
    house.domain("new.test");
    house.world.set("mta-sts.new.test", "A", &[&dead.to_string()]).unwrap();
    assert_eq!(house.ask("mailward new.test").await, "NOTFOUND ");
    assert_eq!(hosts.connections(dead), 0);
    assert_eq!(house.ask("mailward good.test").await, secure("mx.good.test"));
}
