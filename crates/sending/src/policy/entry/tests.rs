use mailward_core::delivery::{
    HostAddresses, HostFacts, HostTlsa, Known, NextHopFacts, OnDnsFailure, decide,
};
use mailward_core::dns::{Answer, Denial, DnsError, DnssecStatus, MxRecord, TlsaRdata};
use mailward_core::postfix::answer::render;
use mailward_core::postfix::socketmap::Map;

use super::*;

const NOW: u32 = 1_800_000_000;

fn key(domain: &str, port: u16) -> Key {
    Key { domain: PolicyDomain::parse(domain).unwrap(), port }
}

fn held(body: &str) -> Held {
    let policy = StsPolicy::parse(body.as_bytes()).unwrap();
    let cached = CachedPolicy {
        policy,
        id: "20261101T000000".into(),
        fetched_at: moment(NOW - 100),
        record_seen_at: moment(NOW - 50),
    };
    Held { cached, body: body.as_bytes().to_vec() }
}

fn body(mx: &[&str]) -> String {
    let mx: String = mx.iter().map(|mx| format!("mx: {mx}\r\n")).collect();
    format!("version: STSv1\r\nmode: enforce\r\n{mx}max_age: 604800\r\nnote: {{x}}\r\n")
}

fn facts(domain: &str, hosts: &[&str], tlsa: bool) -> NextHopFacts {
    let host = |name: &&str| HostFacts {
        host: MxHost::parse(name).unwrap(),
        preference: 10,
        addresses: HostAddresses::Found(DnssecStatus::Secure),
        tlsa: match tlsa {
            true => HostTlsa::Found {
                base: mailward_core::DomainName::parse(name).unwrap(),
                records: vec![TlsaRdata([vec![3, 1, 1], vec![7; 32]].concat())],
            },
            false => HostTlsa::None(DnssecStatus::Secure),
        },
        ttl: 300,
    };
    let record = |name: &&str| MxRecord { preference: 10, exchange: Ok(MxHost::parse(name).unwrap()) };
    NextHopFacts {
        domain: PolicyDomain::parse(domain).unwrap(),
        port: 25,
        mx: Ok(Answer {
            status: DnssecStatus::Secure,
            ttl: 300,
            aliases: Vec::new(),
            records: hosts.iter().map(record).collect(),
            denial: hosts.is_empty().then_some(Denial::NoData),
        }),
        hosts: hosts.iter().map(host).collect(),
    }
}

/// Every sort of answer: what is told from memory is what the decision says, for both maps.
#[test]
fn what_is_packed_is_told_as_it_was_decided() {
    let long: Vec<String> =
        (0..2000).map(|n| format!("host-with-a-long-name-{n}.mail.example.net")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let failed =
        || NextHopFacts { mx: Err(DnsError::Timeout), hosts: vec![], ..facts("a.example", &[], false) };
    let mut one_fails = facts("a.example", &["b.example", "c.example"], false);
    one_fails.hosts[1].tlsa = HostTlsa::Failed(DnsError::Timeout);
    for (what, policy, facts) in [
        ("a host is left out", Some(body(&["b.example", "c.example"])), one_fails),
        ("nothing", None, facts("a.example", &["b.example"], false)),
        ("dane", None, facts("a.example", &["b.example"], true)),
        ("one name", Some(body(&["b.example"])), facts("a.example", &["b.example"], false)),
        ("a star", Some(body(&["*.b.example"])), facts("a.example", &["x.b.example", "c.example"], false)),
        (
            "two names",
            Some(body(&["b.example", "c.example"])),
            facts("a.example", &["c.example", "b.example"], false),
        ),
        ("no name", Some(body(&["b.example"])), facts("a.example", &["c.example"], false)),
        (
            "too long",
            Some(body(&long)),
            facts("a.example", &["host-with-a-long-name-1.mail.example.net"], false),
        ),
        ("no DNS", None, failed()),
        ("no DNS, and a policy", Some(body(&["b.example"])), failed()),
    ] {
        let mut entry = Entry::new(key("a.example", 25));
        entry.held = policy.as_deref().map(held);
        entry.record_seen = NOW - 50;
        let sts = entry.sts(moment(NOW)).unwrap_or(Err(NoPolicy::NoRecord)).cloned();
        let known = Known {
            facts: &facts,
            sts: sts.as_ref(),
            last: None,
            on_dns_failure: OnDnsFailure::LastKnown,
            over: None,
        };
        let decided = decide(&known, moment(NOW));
        entry.decide(&decided, moment(NOW));
        entry.set_times(3600, moment(NOW));
        let packed = entry.pack();
        for map in [Map::Plain, Map::TlsRpt] {
            let mut told = Vec::new();
            packed.render(map, &mut told);
            let expected = render(&entry.key.domain, &decided, policy.as_deref().map(str::as_bytes), map);
            assert_eq!(String::from_utf8(told).unwrap(), expected, "{what}");
        }
        let back = Entry::unpack(&packed, entry.key.clone());
        assert_eq!(back.pack().0, packed.0, "{what}");
        assert_eq!((back.answered, back.branch), (entry.answered, entry.branch), "{what}");
    }
}

#[test]
fn an_entry_is_small() {
    let mut entry = Entry::new(key("some-company.example", 25));
    entry.held = Some(held("version: STSv1\nmode: enforce\nmx: mx1.some-company.example\nmax_age: 604800\n"));
    let facts = facts("some-company.example", &["mx1.some-company.example"], false);
    let policy = entry.held.as_ref().unwrap().cached.policy.clone();
    let known = Known {
        facts: &facts,
        sts: Ok(&policy),
        last: None,
        on_dns_failure: OnDnsFailure::LastKnown,
        over: None,
    };
    entry.decide(&decide(&known, moment(NOW)), moment(NOW));
    let cost = entry.pack().cost();
    assert!(cost <= 300, "{cost} bytes");
}

#[test]
fn ages() {
    let mut entry = Entry::new(key("a.example", 25));
    entry.held = Some(held(&body(&["b.example"])));
    entry.record_seen = NOW;
    (entry.dns_at, entry.dns_until) = (NOW, NOW + 300);
    let mut answered = Answered {
        level: Level::Secure,
        text: "b.example".into(),
        names_alone: true,
        at: NOW,
        until: 0,
        refresh: 0,
    };
    entry.answered = Some(answered.clone());
    let times = |entry: &Entry| entry.answered.as_ref().map(|a| (a.until - NOW, a.refresh - NOW)).unwrap();
    entry.set_times(3600, moment(NOW));
    assert_eq!(times(&entry), (300, 240), "by the DNS");
    entry.dns_until = NOW + 3600;
    entry.set_times(600, moment(NOW));
    let (until, refresh) = times(&entry);
    assert_eq!(until, 3600, "a record that is due does not end a live policy");
    assert!((540..=600).contains(&refresh), "{refresh}: within a tenth of the recheck");
    answered.text = String::new();
    entry.answered = Some(answered);
    entry.set_times(3600, moment(NOW));
    assert_eq!(times(&entry).0, 60, "mail is not held for longer without a look");
    entry.held = None;
    (entry.no_sts, entry.sts_until) = (Some(NoSts::NoRecord), NOW + 100);
    entry.answered = Some(Answered {
        level: Level::NoDemand,
        text: String::new(),
        names_alone: false,
        at: NOW,
        until: 0,
        refresh: 0,
    });
    entry.set_times(3600, moment(NOW));
    assert_eq!(times(&entry), (100, 80), "what is not there");
    let mut short = Entry::new(key("a.example", 25));
    short.held = Some(held(&body(&["b.example"]).replace("604800", "7200")));
    let fetched = NOW - 100;
    assert_eq!(short.fetch_due(), Some(fetched + 5760), "before it runs out");
    let daily = Entry { held: Some(held(&body(&["b.example"]))), ..short.clone() }.fetch_due().unwrap();
    assert!((fetched + 79_200..fetched + 93_600).contains(&daily), "daily");
}

#[test]
fn what_failed_is_tried_again_after_minutes_then_less_often() {
    let mut entry = Entry::new(key("a.example", 25));
    entry.held = Some(held(&body(&["b.example"])));
    entry.record_seen = NOW;
    let failed = |since: u32| RefreshFailure {
        id: Some("2".into()),
        since: moment(since),
        last_at: moment(NOW),
        reason: "sts-policy-fetch-error".into(),
        detail: String::new(),
    };
    let due = |entry: &Entry, recheck| entry.record_due(recheck, moment(NOW)) - NOW;
    assert!((3240..=3600).contains(&due(&entry, 3600)), "nothing failed");
    for (since, expected) in [(NOW, 301), (NOW - 600, 301), (NOW - 2400, 1201)] {
        entry.failure = Some(failed(since));
        assert_eq!(due(&entry, 3600), expected, "failing for {} s", NOW - since);
    }
    let reason = NoPolicy::DnsUnavailable(DnsError::Timeout).as_str().to_owned();
    entry.failure = Some(RefreshFailure { reason, ..failed(NOW) });
    assert_eq!(due(&entry, 3600), 61, "names are asked for sooner than hosts");
    entry.failure = Some(failed(NOW - 86_400));
    assert!((3240..=3600).contains(&due(&entry, 3600)), "never less often than without a failure");
    assert!(due(&entry, 200) <= 200, "nor where records are believed for less");
}
