//! The world changes while mail flows: policies move, and what fetches them breaks.

use std::net::Ipv4Addr;

use mailward_lab::Behaviour::Good;
use mailward_lab::CertificateKind::{self, SelfSigned};
use mailward_lab::{Answer, Fault, Security};

use crate::house::{House, Site, policy};
use crate::mta::Release;
use crate::wait;

pub fn play(release: Release) {
    let mut addresses = None;
    let mut house = House::build(release, |world| {
        let moving = Site::new(world, "moving.test", Security::Signed);
        moving.mx("old", Good, CertificateKind::Good);
        moving.policy("enforce", "1", &["old"]);
        world.mx("new.moving.test", Good, CertificateKind::Good).unwrap();
        let stays = Site::new(world, "stays.test", Security::Signed);
        let mx = stays.mx("mx1", Good, CertificateKind::Good);
        addresses = Some((mx, stays.policy("enforce", "1", &["mx1"])));
    });
    let (mx, policy_host) = addresses.unwrap();
    for (domain, host) in [("moving.test", "old"), ("stays.test", "mx1")] {
        assert_eq!(house.postfix.send(&format!("someone@{domain}")).status, "sent");
        assert_eq!(house.arrived(&format!("someone@{domain}")), [at(domain, host)]);
    }
    // This takes a minute: nobody fetches a policy more often (RFC 8461 §3.3).
    moves(&house);
    outlives_its_host(&mut house, mx, policy_host);
    assert!(!house.postfix.log().contains("status=bounced"), "{}", house.postfix.log());
}

/// A mail that arrived at a host, which was asked for by its name.
fn at(domain: &str, label: &str) -> (String, Option<String>) {
    let host = format!("{label}.{domain}");
    (host.clone(), Some(host))
}

/// RFC 8461 §3.1: another id announces another policy, and mail follows it without a restart of anything.
fn moves(house: &House) {
    let (domain, to) = ("moving.test", "someone@moving.test");
    // The mail server moves first, and the policy does not know it yet: mail waits.
    house.world.set(domain, "MX", &["10 new.moving.test."]).unwrap();
    house.until_told(domain, "mta-sts-no-mx-match.invalid");
    let attempt = house.postfix.send(to);
    assert_eq!(attempt.status, "deferred", "{attempt:?}");
    assert_eq!(house.arrived(to).len(), 1);

    house.world.policy_hosts.set_body("mta-sts.moving.test", &policy("enforce", domain, &["new"]));
    house.world.announce(domain, "2").unwrap();
    house.until_told(domain, "match=new.moving.test");
    let known = house.postfix.attempts(to).len();
    house.postfix.flush();
    assert_eq!(house.postfix.next_attempt(to, known).status, "sent");
    assert_eq!(house.arrived(to).len(), 2);
    assert!(house.arrived(to).contains(&at(domain, "new")), "{:?}", house.arrived(to));
}

/// RFC 8461 §3.3: an attacker who cuts off the policy host, or the record, gains nothing before `max_age`
/// is over, and a restart of ours does not help either.
fn outlives_its_host(house: &mut House, mx: Ipv4Addr, policy_host: Ipv4Addr) {
    let (domain, to) = ("stays.test", "someone@stays.test");
    let good = house.world.mx_hosts.identity(mx).unwrap();
    house.world.mx_hosts.set_certificate(mx, house.world.ca.issue(&["mx1.stays.test"], SelfSigned));
    let still_waits = |house: &House, why: &str| {
        let attempt = house.postfix.send(to);
        assert_eq!(attempt.status, "deferred", "{why}: {attempt:?}");
        assert_eq!(house.arrived(to).len(), 1, "{why}");
    };

    let hosts = &house.world.policy_hosts;
    let fetched = hosts.requests("mta-sts.stays.test");
    hosts.set_answer("mta-sts.stays.test", Answer::Status(503));
    house.world.announce(domain, "2").unwrap();
    wait::until("mailward fetches the new policy", 90, || {
        house.ask(domain);
        hosts.requests("mta-sts.stays.test") > fetched
    });
    still_waits(house, "the policy host has nothing");
    hosts.down(policy_host);
    house.world.announce(domain, "3").unwrap();
    looks_again(house, domain);
    still_waits(house, "the policy host is dead");

    house.world.dns.fault("_mta-sts.stays.test", Some("TXT"), Some(Fault::ServFail)).unwrap();
    looks_again(house, domain);
    still_waits(house, "the record cannot be looked up");
    house.world.dns.fault("_mta-sts.stays.test", Some("TXT"), None).unwrap();
    house.world.set("_mta-sts.stays.test", "TXT", &[]).unwrap();
    looks_again(house, domain);
    still_waits(house, "the record is gone");

    house.kill_mailward();
    still_waits(house, "mailward is dead");
    house.start_mailward();
    still_waits(house, "mailward knows the policy from its store alone");

    house.world.mx_hosts.set_certificate(mx, good);
    house.postfix.flush();
    wait::until("all that waited arrives", 60, || house.arrived(to).len() == 7);
    assert!(house.arrived(to).iter().all(|mail| *mail == at(domain, "mx1")), "{:?}", house.arrived(to));
}

/// Asks until the world sees questions again, after what it was asked just before.
#[track_caller]
fn looks_again(house: &House, domain: &str) {
    let questions = house.world.dns.questions();
    wait::until("mailward looks at the record again", 30, || {
        house.ask(domain);
        house.world.dns.questions() > questions
    });
}
