//! What outlives failures, restarts and other nodes.

use mailward_lab::{Answer, CertificateKind};
use mailward_sending::policy::Options;
use mailward_store::Store;
use tempfile::TempDir;

use super::house::{House, Node, eventually, named, policy, secure, sqlite};
use super::postgres::new_database;

/// The policy host breaks and a new id appears: what an attacker would do who wants mail unprotected.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_policy_outlives_whatever_stands_in_the_way() {
    let house = House::start().await;
    house.domain("a.test");
    let name = "mta-sts.a.test";
    let (hosts, dns) = (&house.world.policy_hosts, &house.world.dns);
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    let trouble: [(&str, &dyn Fn()); 6] = [
        ("a new id, and 500", &|| {
            house.world.announce("a.test", "2").unwrap();
            hosts.set_answer(name, Answer::Status(500));
        }),
        ("a policy that is none", &|| {
            house.world.announce("a.test", "3").unwrap();
            hosts.set(name, "version: STSv1\nmode: enforce\n", Answer::Ok, CertificateKind::Good);
        }),
        ("a bad certificate", &|| {
            house.world.announce("a.test", "4").unwrap();
            hosts.set(name, &policy("none", "x.test", 9), Answer::Ok, CertificateKind::SelfSigned);
        }),
        ("no record", &|| dns.remove("_mta-sts.a.test", "TXT").unwrap()),
        ("two records", &|| {
            house.world.set("_mta-sts.a.test", "TXT", &["v=STSv1; id=5;", "v=STSv1; id=6;"]).unwrap();
        }),
        ("no answer", &|| {
            dns.fault("_mta-sts.a.test", None, Some(mailward_lab::Fault::ServFail)).unwrap();
        }),
    ];
    for (what, happens) in trouble {
        happens();
        house.pass(4000);
        assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"), "{what}");
    }
    // Seven days are over: the policy stands in only while the record cannot be looked up (reading A10).
    house.pass(604_800);
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    dns.fault("_mta-sts.a.test", None, None).unwrap();
    house.world.announce("a.test", "7").unwrap();
    house.pass(400);
    assert_eq!(house.ask("mailward a.test").await, "NOTFOUND ");
    eventually("the failure is remembered", async || {
        let known = house.store.known_policy(&named("a.test")).await.unwrap();
        known.is_some_and(|known| known.failure.is_some() && known.policy.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_keeps_policies() {
    let house = House::start().await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    house.world.policy_hosts.set_answer("mta-sts.a.test", Answer::Status(500));
    for step in [-86_400, -30 * 86_400, 31 * 86_400 + 4000] {
        house.pass(step);
        assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"), "{step}");
    }
    // What was not there is looked for again.
    house.domain("b.test");
    house.world.dns.remove("_mta-sts.b.test", "TXT").unwrap();
    assert_eq!(house.ask("mailward b.test").await, "NOTFOUND ");
    house.world.announce("b.test", "1").unwrap();
    house.pass(-7200);
    assert_eq!(house.ask("mailward b.test").await, secure("mx.b.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_cache() {
    let mut house = House::start().await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    house.world.policy_hosts.remove("mta-sts.a.test");
    house.world.dns.remove("_mta-sts.a.test", "TXT").unwrap();
    for _ in 0..2 {
        house.restart(Options::default()).await;
        assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
        house.pass(4000);
    }
    // The DNS is gone, too: the last certain answer is in the store.
    house.world.dns.fault("a.test", None, Some(mailward_lab::Fault::ServFail)).unwrap();
    house.restart(Options::default()).await;
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_one_sqlite_file_learn_from_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let url = sqlite(&directory);
    nodes_learn_from_each_other(directory, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_one_postgresql_learn_from_each_other() {
    let Some(url) = new_database() else { return };
    nodes_learn_from_each_other(tempfile::tempdir().unwrap(), &url).await;
}

/// Two nodes that have nothing in common but the database.
async fn nodes_learn_from_each_other(directory: TempDir, url: &str) {
    let options = || Options { shared: true, ..Options::default() };
    let mut house = House::on(directory, url, options()).await;
    let store = Store::open(url).await.unwrap();
    let mut other = Node::start(&house.world, &store, options()).await;
    house.domain("a.test");
    house.domain("b.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    let is_stored = async || store.known_policy(&named("a.test")).await.unwrap().is_some();
    eventually("a.test is written", is_stored).await;
    house.world.policy_hosts.remove("mta-sts.a.test");
    assert_eq!(other.ask("mailward a.test").await, secure("mx.a.test"), "from the store");
    // A newer policy of the other node arrives behind the answers.
    assert_eq!(house.ask("mailward b.test").await, secure("mx.b.test"));
    assert_eq!(other.ask("mailward b.test").await, secure("mx.b.test"));
    house.world.policy_hosts.set_body("mta-sts.b.test", &policy("testing", "mx.b.test", 86_400));
    house.world.announce("b.test", "2").unwrap();
    house.pass(3601);
    assert_eq!(house.ask("mailward b.test").await, "NOTFOUND ");
    house.world.policy_hosts.remove("mta-sts.b.test");
    eventually("the other node has it", async || other.ask("mailward b.test").await == "NOTFOUND ").await;
    other.end().await;
    house.node.end().await;
    store.close().await;
    house.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_cannot_do_stops_no_answer() {
    let house = House::start().await;
    house.domain("a.test");
    house.store.close().await;
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    eventually("the duty says so", async || {
        let health = house.node.policies.status().health();
        health.ok && health.reason.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_fetched_daily_although_nobody_asks() {
    let house = House::with(Options { round: super::house::SOON, ..Options::default() }).await;
    house.domain("a.test");
    house.domain("b.test");
    for domain in ["a.test", "b.test"] {
        assert_eq!(house.ask(&format!("mailward {domain}")).await, secure(&format!("mx.{domain}")));
    }
    house.pass(27 * 3600);
    let fetched = async || house.fetches("a.test") + house.fetches("b.test") == 4;
    eventually("both are fetched again", fetched).await;
    assert_eq!((house.fetches("a.test"), house.fetches("b.test")), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_fails_is_left_alone_for_five_minutes() {
    let house = House::start().await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    house.world.policy_hosts.set_answer("mta-sts.a.test", Answer::Status(500));
    // Refreshes are spread over the day: this one is due before the day is over.
    house.pass(85_900);
    let before = house.fetches("a.test");
    for (pass, fetches) in [(0, 1), (61, 1), (61, 1), (61, 1), (200, 2)] {
        house.pass(pass);
        house.ask("mailward-trace a.test").await;
        assert_eq!(house.fetches("a.test") - before, fetches, "after {pass} s more");
        assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"), "the live policy holds");
    }
}
