//! What is answered, and what it costs.

use mailward_core::delivery::{OnDnsFailure, Override, Require};
use mailward_lab::{Answer, Fault};
use mailward_sending::policy::{self, Document, Options};

use super::house::{Client, House, eventually, frame, named, outside, policy, secure};

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_looked_up_once_and_told_from_memory() {
    let house = House::start().await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    let questions = house.world.dns.questions();
    for key in ["a.test", "A.test", "a.test.", "a.test:25"] {
        assert_eq!(house.ask(&format!("mailward {key}")).await, secure("mx.a.test"), "{key}");
    }
    assert_eq!(house.world.dns.questions(), questions, "memory needs no DNS");
    assert_eq!(house.fetches("a.test"), 1);
    let reported = house.ask("mailward-tlsrpt a.test").await;
    assert_eq!(
        reported,
        secure("mx.a.test")
            + " policy_type=sts policy_domain=a.test { policy_string = version: STSv1 } \
               { policy_string = mode: enforce } { policy_string = mx: mx.a.test } \
               { policy_string = max_age: 604800 } mx_host_pattern=mx.a.test"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_no_domains_are_answered_without_asking() {
    let house = House::start().await;
    let questions = house.world.dns.questions();
    let mut client = Client::connect(house.node.address).await;
    for (request, answer) in [
        ("mailward .a.test", "NOTFOUND "),
        ("mailward [mx.a.test]:25", "NOTFOUND "),
        ("mailward 192.0.2.1", "NOTFOUND "),
        ("mailward a.test:587", "NOTFOUND "),
        ("mailward localhost", "NOTFOUND "),
        ("mailward ", "NOTFOUND "),
        ("other a.test", "PERM unknown map name; use mailward or mailward-tlsrpt"),
        ("", "PERM a request is a map name, a blank and a key"),
    ] {
        assert_eq!(client.ask(request).await, answer, "{request:?}");
    }
    assert_eq!(house.world.dns.questions(), questions);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_ask_and_one_fetches() {
    let house = House::start().await;
    house.domain("a.test");
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connect(house.node.address).await;
        client.send(&frame("mailward a.test")).await;
        clients.push(client);
    }
    for mut client in clients {
        assert_eq!(client.read().await, Some(secure("mx.a.test")));
    }
    assert_eq!(house.fetches("a.test"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_that_demand_nothing() {
    let house = House::start().await;
    for (domain, mode) in [("t.test", "testing"), ("n.test", "none")] {
        house.domain(domain);
        let body = policy(mode, &format!("mx.{domain}"), 86_400);
        house.world.policy_hosts.set_body(&format!("mta-sts.{domain}"), &body);
        assert_eq!(house.ask(&format!("mailward {domain}")).await, "NOTFOUND ", "{mode}");
    }
    let document = house.node.policies.explain(&named("t.test"), 25).await;
    assert_eq!(document.decision, "mta-sts-testing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_looked_for_again_after_the_recheck() {
    let house = House::start().await;
    house.domain("a.test");
    house.world.dns.remove("_mta-sts.a.test", "TXT").unwrap();
    assert_eq!(house.ask("mailward a.test").await, "NOTFOUND ");
    house.world.announce("a.test", "1").unwrap();
    assert_eq!(house.ask("mailward a.test").await, "NOTFOUND ", "remembered");
    house.pass(3601);
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_with_max_age_zero_holds_for_one_question() {
    let house = House::start().await;
    house.domain_with("a.test", "mx.a.test", 0);
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    assert_eq!(house.fetches("a.test"), 2, "not cached (reading A7)");
    house.world.dns.remove("_mta-sts.a.test", "TXT").unwrap();
    assert_eq!(house.ask("mailward a.test").await, "NOTFOUND ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_is_taken_when_the_record_is_looked_at() {
    let house = House::start().await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    let name = "mta-sts.a.test";
    house.world.policy_hosts.set_body(name, &policy("testing", "mx.a.test", 86_400));
    house.world.announce("a.test", "2").unwrap();
    house.pass(3601);
    assert_eq!(house.ask("mailward a.test").await, "NOTFOUND ");
    // And once more the other way, behind an answer: the DNS side is still fresh.
    house.world.policy_hosts.set_body(name, &policy("enforce", "*.a.test", 86_400));
    house.world.announce("a.test", "3").unwrap();
    house.pass(3601);
    eventually("enforced again", async || house.ask("mailward a.test").await == secure("mx.a.test")).await;
    assert_eq!(house.fetches("a.test"), 3);
}

/// RFC 8461 §5.1: before mail is held since no MX matches, the record is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn before_mail_is_held_the_record_is_looked_at() {
    let house = House::start().await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    house.world.set("a.test", "MX", &["10 new.a.test."]).unwrap();
    house.world.set("new.a.test", "A", &["127.0.0.1"]).unwrap();
    house.world.policy_hosts.set_body("mta-sts.a.test", &policy("enforce", "new.a.test", 604_800));
    house.world.announce("a.test", "2").unwrap();
    // The MX answer is old, the record is believed for an hour.
    house.pass(310);
    assert_eq!(house.ask("mailward a.test").await, secure("new.a.test"));
    // When the record is the same, mail waits; and nobody is asked again within a minute.
    house.world.set("a.test", "MX", &["10 other.test."]).unwrap();
    house.pass(310);
    assert_eq!(house.ask("mailward a.test").await, secure("mta-sts-no-mx-match.invalid"));
    let questions = house.world.dns.questions();
    assert_eq!(house.ask("mailward a.test").await, secure("mta-sts-no-mx-match.invalid"));
    assert_eq!(house.world.dns.questions(), questions);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_has_the_first_word() {
    let house = House::start().await;
    house.domain("a.test");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let over = |require| Override { require, until: None, reason: "their set-up is broken".into() };
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    house.store.put_override(&named("a.test"), &over(Require::None), "me", now).await.unwrap();
    eventually("the override holds", async || house.ask("mailward a.test").await == "OK may").await;
    // Sub-domains and unknown domains as well, without any lookup.
    house.store.put_override(&named("dead.test"), &over(Require::Dane), "me", now).await.unwrap();
    eventually("another", async || house.ask("mailward dead.test").await == "OK dane-only").await;
    let document = house.node.policies.explain(&named("a.test"), 25).await;
    let operator = document.operator.unwrap();
    assert_eq!((operator.require, operator.author.as_deref()), (Require::None, Some("me")));
    house.store.remove_override(&named("a.test"), "me", "mended", now).await.unwrap();
    eventually("it is gone", async || house.ask("mailward a.test").await == secure("mx.a.test")).await;
    // A policy in testing mode counts as one that enforces.
    house.domain("t.test");
    house.world.policy_hosts.set_body("mta-sts.t.test", &policy("testing", "mx.t.test", 86_400));
    assert_eq!(house.ask("mailward t.test").await, "NOTFOUND ");
    house.store.put_override(&named("t.test"), &over(Require::Sts), "me", now).await.unwrap();
    eventually("sts is required", async || house.ask("mailward t.test").await == secure("mx.t.test")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_dns_fails() {
    let house = House::start().await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    for domain in ["a.test", "new.test"] {
        house.world.dns.fault(domain, Some("MX"), Some(Fault::ServFail)).unwrap();
    }
    house.pass(310);
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"), "the last certain answer holds");
    let answer = house.ask("mailward new.test").await;
    assert!(answer.starts_with("TEMP new.test: the MX records could not be looked up"), "{answer}");
    let open = Options { on_dns_failure: OnDnsFailure::Open, ..Options::default() };
    let other = House::with(open).await;
    other.world.dns.fault("new.test", Some("MX"), Some(Fault::ServFail)).unwrap();
    assert_eq!(other.ask("mailward new.test").await, "NOTFOUND ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_explained() {
    let house = House::start().await;
    house.domain("a.test");
    let answer = house.ask("mailward-trace a.test").await;
    let document: Document = serde_json::from_str(answer.strip_prefix("OK ").unwrap()).unwrap();
    assert_eq!(document.decision, "mta-sts-enforce");
    assert_eq!(document.postfix, secure("mx.a.test"));
    assert_eq!(document.mx.len(), 1);
    assert!(document.expires_at.is_some());
    let steps =
        ["TXT _mta-sts.a.test: id 1", "mode enforce", "MX a.test: mx.a.test", "is enforced", "so only"];
    for step in steps {
        assert!(document.trace.iter().any(|line| line.contains(step)), "{step} in {:#?}", document.trace);
    }
    // Mail obeys what was explained, and a second look finds the policy in the cache.
    let again = house.node.policies.explain(&named("a.test"), 25).await;
    assert!(again.trace[0].contains("from the cache"), "{:?}", again.trace);
    assert_eq!(house.fetches("a.test"), 1);
    assert_eq!(house.node.policies.recent()[0].domain, named("a.test"));
    let live =
        policy::look_now(&outside(&house.world), &named("a.test"), 25, None, OnDnsFailure::LastKnown).await;
    assert_eq!((live.decision, live.postfix), (document.decision, document.postfix));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_port_has_the_same_policy() {
    let house = House::start().await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    house.world.policy_hosts.set_answer("mta-sts.a.test", Answer::Status(500));
    assert_eq!(house.ask("mailward a.test:2525").await, secure("mx.a.test"));
    assert_eq!(house.fetches("a.test"), 1);
}
