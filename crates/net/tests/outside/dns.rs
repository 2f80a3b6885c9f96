//! The resolver against a scripted server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use mailward_core::DomainName;
use mailward_core::clock::FixedClock;
use mailward_core::dns::{Denial, DnsError, DnssecStatus, MxRecord};
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};

use crate::fake_dns::*;

const SHORT: Duration = Duration::from_millis(400);

fn resolver(servers: &[SocketAddr], dnssec: Dnssec, timeout: Duration) -> Resolver {
    let options = DnsOptions { servers: servers.to_vec(), dnssec, timeout };
    Resolver::new(&options, Arc::new(FixedClock(Timestamp::UNIX_EPOCH))).unwrap()
}

fn trusting(server: &FakeDns) -> Resolver {
    resolver(&[server.address], Dnssec::TrustAd, SHORT)
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

#[tokio::test]
async fn a_question_carries_what_rfc_4035_and_6891_ask_for() {
    for (dnssec, ad, cd, dnssec_ok) in [
        (Dnssec::TrustAd, true, false, true),
        (Dnssec::Off, false, false, false),
        (Dnssec::Validate(None), true, true, true),
    ] {
        let server = FakeDns::start(|q| Reply::to(q).rcode(REFUSED).once()).await;
        let resolver = resolver(&[server.address], dnssec.clone(), SHORT);
        let _ = resolver.txt(&name("a.example")).await;
        let asked = &server.asked()[0];
        assert_eq!((asked.ad, asked.cd), (ad, cd), "{dnssec:?}");
        assert_eq!(asked.dnssec_ok, Some(dnssec_ok), "{dnssec:?}");
        assert_eq!(asked.payload, 1232);
    }
}

#[tokio::test]
async fn the_ad_bit_is_the_status_of_answers_and_denials() {
    let server = FakeDns::start(|q| {
        let reply = Reply::to(q);
        let reply = if q.name.starts_with("secure") { reply.secure() } else { reply };
        match q.name.split('.').nth(1) {
            Some("txt") => reply.answer(&q.name, TXT, 300, &txt(b"v=STSv1; id=1;")),
            Some("nodata") => reply.soa("example", 900, 120),
            _ => reply.rcode(NXDOMAIN).soa("example", 60, 7200),
        }
        .once()
    })
    .await;
    let resolver = trusting(&server);
    for (text, status, denial, ttl) in [
        ("secure.txt.example", DnssecStatus::Secure, None, 300),
        ("plain.txt.example", DnssecStatus::Insecure, None, 300),
        ("secure.nodata.example", DnssecStatus::Secure, Some(Denial::NoData), 120),
        ("plain.nodata.example", DnssecStatus::Insecure, Some(Denial::NoData), 120),
        ("secure.nx.example", DnssecStatus::Secure, Some(Denial::NxDomain), 60),
        ("plain.nx.example", DnssecStatus::Insecure, Some(Denial::NxDomain), 60),
    ] {
        let answer = resolver.txt(&name(text)).await.unwrap();
        assert_eq!((answer.status, answer.denial, answer.ttl), (status, denial, ttl), "{text}");
        assert_eq!(answer.records.is_empty(), denial.is_some(), "{text}");
    }
}

#[tokio::test]
async fn with_dnssec_off_an_ad_bit_says_nothing() {
    let server = FakeDns::start(|q| Reply::to(q).secure().answer(&q.name, TXT, 1, &txt(b"x")).once()).await;
    let answer = resolver(&[server.address], Dnssec::Off, SHORT).txt(&name("a.example")).await.unwrap();
    assert_eq!(answer.status, DnssecStatus::Insecure);
}

#[tokio::test]
async fn servfail_is_told_apart_by_checking_disabled() {
    let server = FakeDns::start(|q| {
        let bogus = q.name.starts_with("bogus");
        if q.cd && bogus {
            Reply::to(q).answer(&q.name, TXT, 1, &txt(b"x")).once()
        } else if bogus {
            Reply::to(q).rcode(SERVFAIL).extended_error(7, "signature\x07 expired").once()
        } else {
            Reply::to(q).rcode(SERVFAIL).extended_error(22, "").once()
        }
    })
    .await;
    let resolver = trusting(&server);
    let bogus = resolver.txt(&name("bogus.example")).await.unwrap_err();
    assert_eq!(bogus, DnsError::Bogus(Some("Signature Expired: signature\u{fffd} expired".into())));
    let outage = resolver.txt(&name("down.example")).await.unwrap_err();
    assert_eq!(outage, DnsError::ServerFailure(Some("No Reachable Authority".into())));
    assert_eq!(
        server.log(),
        ["bogus.example 16", "bogus.example 16+cd", "down.example 16", "down.example 16+cd"]
    );
}

#[tokio::test]
async fn other_codes_are_errors_and_never_absence() {
    let server = FakeDns::start(|q| match q.name.as_str() {
        "refused.example" => Reply::to(q).rcode(REFUSED).extended_error(18, "").once(),
        "referral.example" => Reply::to(q).authority("example", NS, 60, &wire_name("ns.example")).once(),
        _ => Reply::to(q).rcode(4).once(),
    })
    .await;
    let resolver = trusting(&server);
    for (text, error) in [
        ("refused.example", "the resolver answered REFUSED (Prohibited)"),
        ("referral.example", "the resolver answered with a referral: it does not resolve"),
        ("other.example", "the resolver answered NOTIMP"),
    ] {
        assert_eq!(resolver.txt(&name(text)).await.unwrap_err().to_string(), error, "{text}");
    }
}

#[tokio::test]
async fn only_the_matching_answer_counts() {
    let server = FakeDns::start(|q| {
        let good = Reply::to(q).answer(&q.name, TXT, 1, &txt(b"right"));
        let forged = Reply::to(q).answer(&q.name, TXT, 1, &txt(b"forged"));
        let mut wrong_id = forged.clone();
        wrong_id.id = [q.id[0] ^ 1, q.id[1]];
        let mut wrong_name = forged.clone();
        wrong_name.question[1] ^= 1;
        let mut wrong_case = forged.clone();
        wrong_case.question[1] ^= 0x20;
        let mut wrong_type = forged.clone();
        let at = wrong_type.question.len() - 3;
        wrong_type.question[at] = 1;
        let mut no_answer = forged.build();
        no_answer[2] &= 0x7F;
        let mut no_question = forged.build();
        no_question[5] = 0;
        let junk = vec![vec![], vec![1], q.id.to_vec(), [&q.id[..], &[0xFF; 40]].concat()];
        [junk, vec![no_answer, no_question]]
            .concat()
            .into_iter()
            .chain([wrong_id, wrong_name, wrong_case, wrong_type, good].iter().map(Reply::build))
            .collect()
    })
    .await;
    let answer = trusting(&server).txt(&name("a.example")).await.unwrap();
    assert_eq!(answer.records[0].text(), "right");
    assert_eq!(server.log().len(), 1);
}

#[tokio::test]
async fn a_truncated_answer_comes_again_over_tcp() {
    let server = FakeDns::start(|q| {
        if !q.tcp {
            return Reply::to(q).truncated().answer(&q.name, TXT, 1, &txt(b"cut")).once();
        }
        let mut other = Reply::to(q);
        other.id = [q.id[0] ^ 1, q.id[1]];
        let long = txt(&[b'x'; 40_000]);
        vec![other.build(), Reply::to(q).secure().answer(&q.name, TXT, 1, &long).build()]
    })
    .await;
    let answer = trusting(&server).txt(&name("a.example")).await.unwrap();
    assert_eq!(answer.records[0].0.len(), 40_000);
    assert_eq!(answer.status, DnssecStatus::Secure);
    assert_eq!(server.log(), ["a.example 16", "a.example 16/tcp"]);
}

#[tokio::test]
async fn a_silent_server_is_asked_twice_and_then_given_up() {
    let server = FakeDns::start(|_| vec![]).await;
    let error = trusting(&server).txt(&name("a.example")).await.unwrap_err();
    assert_eq!(error, DnsError::Timeout);
    assert_eq!(server.log().len(), 2);
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again() {
    let seen = AtomicUsize::new(0);
    let server = FakeDns::start(move |q| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => vec![],
        _ => Reply::to(q).answer(&q.name, TXT, 1, &txt(b"x")).once(),
    })
    .await;
    assert!(trusting(&server).txt(&name("a.example")).await.is_ok());
}

#[tokio::test]
async fn the_second_server_helps_against_silence_only() {
    let good = || FakeDns::start(|q| Reply::to(q).answer(&q.name, TXT, 1, &txt(b"x")).once());
    let second = good().await;
    let silent = FakeDns::start(|_| vec![]).await;
    let answer =
        resolver(&[silent.address, second.address], Dnssec::TrustAd, SHORT).txt(&name("a.example")).await;
    assert!(answer.is_ok());

    let failing = FakeDns::start(|q| Reply::to(q).rcode(SERVFAIL).once()).await;
    let second = good().await;
    let answer =
        resolver(&[failing.address, second.address], Dnssec::TrustAd, SHORT).txt(&name("a.example")).await;
    assert_eq!(answer.unwrap_err(), DnsError::ServerFailure(None));
    assert_eq!(second.log().len(), 0, "a SERVFAIL is not overruled");

    // Nobody listens at the port that a server has just left.
    let dead = { std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let second = good().await;
    let answer = resolver(&[dead, second.address], Dnssec::TrustAd, SHORT).txt(&name("a.example")).await;
    assert!(answer.is_ok());
}

#[tokio::test]
async fn no_server_at_all_is_said_at_once() {
    let dead = { std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let begun = tokio::time::Instant::now();
    let error = resolver(&[dead], Dnssec::TrustAd, Duration::from_secs(30)).txt(&name("a.example")).await;
    assert!(matches!(error, Err(DnsError::Unreachable(ref e)) if e.contains(&dead.to_string())), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn aliases_are_followed_and_the_weakest_link_counts() {
    let server = FakeDns::start(|q| {
        let reply = Reply::to(q);
        match q.name.as_str() {
            // All in one message, as recursive servers answer; the letters of names may differ.
            "one.example" => reply
                .secure()
                .answer("ONE.example", CNAME, 500, &wire_name("Two.Example"))
                .answer("two.example", CNAME, 100, &wire_name("three.example"))
                .answer("three.example", TXT, 300, &txt(b"end")),
            // In parts: asked for again.
            "part.example" => reply.secure().answer("part.example", CNAME, 50, &wire_name("rest.example")),
            "weak.example" => reply.answer("weak.example", CNAME, 50, &wire_name("strong.example")),
            "strong.example" => reply.secure().answer("strong.example", TXT, 300, &txt(b"end")),
            "rest.example" => reply.answer("rest.example", TXT, 300, &txt(b"end")),
            "nowhere.example" => reply
                .rcode(NXDOMAIN)
                .secure()
                .answer("nowhere.example", CNAME, 50, &wire_name("gone.example"))
                .soa("example", 900, 900),
            // Somebody else's records in the same answer are not ours.
            _ => reply.answer("other.example", TXT, 300, &txt(b"not asked for")).soa("example", 9, 9),
        }
        .once()
    })
    .await;
    let resolver = trusting(&server);
    let show = |a: &mailward_core::dns::Answer<mailward_core::dns::TxtRecord>| {
        a.aliases.iter().map(|x| format!("{}>{}", x.owner, x.target)).collect::<Vec<_>>().join(" ")
    };
    for (text, status, denial, ttl, aliases) in [
        ("one.example", DnssecStatus::Secure, None, 100, "one.example>two.example two.example>three.example"),
        ("part.example", DnssecStatus::Insecure, None, 50, "part.example>rest.example"),
        ("weak.example", DnssecStatus::Insecure, None, 50, "weak.example>strong.example"),
        ("nowhere.example", DnssecStatus::Secure, Some(Denial::NxDomain), 50, "nowhere.example>gone.example"),
        ("stranger.example", DnssecStatus::Insecure, Some(Denial::NoData), 9, ""),
    ] {
        let answer = resolver.txt(&name(text)).await.unwrap();
        assert_eq!((answer.status, answer.denial, answer.ttl), (status, denial, ttl), "{text}");
        assert_eq!(show(&answer), aliases, "{text}");
    }
}

/// An alias chain `0.example` → `1.example` → … of this many steps, in one message.
fn chain(asked: &Asked, steps: usize) -> Reply {
    let mut reply = Reply::to(asked);
    for step in 0..steps {
        let target = wire_name(&format!("{}.example", step + 1));
        reply = reply.answer(&format!("{step}.example"), CNAME, 60, &target);
    }
    reply.answer(&format!("{steps}.example"), TXT, 60, &txt(b"end"))
}

#[tokio::test]
async fn sixteen_aliases_and_no_more() {
    for (steps, good) in [(16, true), (17, false)] {
        let server = FakeDns::start(move |q| chain(q, steps).once()).await;
        let answer = trusting(&server).txt(&name("0.example")).await;
        assert_eq!(answer.is_ok(), good, "{steps}: {answer:?}");
        if !good {
            assert_eq!(answer.unwrap_err(), DnsError::AliasLoop);
        }
    }
}

#[tokio::test]
async fn loops_end() {
    // Within one message, and over many.
    let server = FakeDns::start(|q| {
        let reply = Reply::to(q);
        match q.name.as_str() {
            "self.example" => reply.answer("self.example", CNAME, 60, &wire_name("self.example")),
            "a.example" => reply.answer("a.example", CNAME, 60, &wire_name("b.example")),
            _ => reply.answer("b.example", CNAME, 60, &wire_name("a.example")),
        }
        .once()
    })
    .await;
    let resolver = trusting(&server);
    for text in ["self.example", "a.example"] {
        assert_eq!(resolver.txt(&name(text)).await.unwrap_err(), DnsError::AliasLoop, "{text}");
    }
    assert!(server.log().len() <= 4, "{:?}", server.log());
}

#[tokio::test]
async fn records_beside_an_alias_are_taken() {
    let server = FakeDns::start(|q| {
        Reply::to(q)
            .answer(&q.name, CNAME, 60, &wire_name("other.example"))
            .answer(&q.name, TXT, 60, &txt(b"mine"))
            .once()
    })
    .await;
    let answer = trusting(&server).txt(&name("a.example")).await.unwrap();
    assert_eq!(answer.records[0].text(), "mine");
    assert!(answer.aliases.is_empty());
}

#[tokio::test]
async fn txt_strings_are_joined_as_bytes() {
    let rows: &[(&str, Vec<u8>, &[u8])] = &[
        ("two.example", b"\x04v=ST\x03Sv1".to_vec(), b"v=STSv1"),
        ("none.example", vec![], b""),
        ("empty.example", vec![0], b""),
        ("odd.example", b"\x03\xff\x00;".to_vec(), b"\xff\x00;"),
    ];
    for (owner, data, joined) in rows {
        let data = data.clone();
        let server = FakeDns::start(move |q| Reply::to(q).answer(&q.name, TXT, 1, &data).once()).await;
        let answer = trusting(&server).txt(&name(owner)).await.unwrap();
        assert_eq!(&answer.records[0].0[..], *joined, "{owner}");
    }
}

#[tokio::test]
async fn sets_are_bounded_and_ordered() {
    let server = FakeDns::start(|q| {
        let mut reply = Reply::to(q);
        match q.rtype {
            TXT => {
                for n in 0..200 {
                    reply = reply.answer(&q.name, TXT, 1, &txt(format!("{n}").as_bytes()));
                }
            }
            TLSA => {
                // 300 of usage 1, then 60 of SHA2-256, then 60 of SHA2-512, then junk.
                for n in 0..420u16 {
                    let (usage, matching) = match n {
                        0..300 => (1, 2),
                        300..360 => (3, 1),
                        _ => (3, 2),
                    };
                    let [high, low] = n.to_be_bytes();
                    reply = reply.answer(&q.name, TLSA, 1, &[usage, 1, matching, high, low]);
                }
            }
            _ => {
                for n in (0..600u16).rev() {
                    reply = reply.answer(&q.name, MX, 1, &mx(n, &format!("mx{n}.example")));
                }
            }
        }
        if q.tcp { reply.once() } else { Reply::to(q).truncated().once() }
    })
    .await;
    let resolver = resolver(&[server.address], Dnssec::TrustAd, Duration::from_secs(5));
    let owner = name("a.example");
    assert_eq!(resolver.txt(&owner).await.unwrap().records.len(), 50);
    let tlsa = resolver.tlsa(&owner).await.unwrap().records;
    assert_eq!(tlsa.len(), 100);
    assert!(tlsa[..60].iter().all(|r| r.0[0] == 3 && r.0[2] == 2), "the strongest usable first");
    assert!(tlsa[60..].iter().all(|r| r.0[0] == 3 && r.0[2] == 1));
    let mx = resolver.mx(&owner).await.unwrap().records;
    assert_eq!(mx.len(), 500);
    assert!(mx.is_sorted_by_key(|r| r.preference));
}

#[tokio::test]
async fn mx_names_that_are_no_hosts_are_shown_and_kept() {
    let server = FakeDns::start(|q| {
        Reply::to(q)
            .answer(&q.name, MX, 60, &mx(20, "MX2.Example"))
            .answer(&q.name, MX, 60, &mx(10, ""))
            .answer(&q.name, MX, 60, &mx(30, "192.0.2.1"))
            .answer(&q.name, MX, 60, &mx(40, "a b.example"))
            .answer(&q.name, MX, 60, &mx(50, "caf\u{e9}.example"))
            .once()
    })
    .await;
    let records = trusting(&server).mx(&name("a.example")).await.unwrap().records;
    let shown: Vec<String> = records
        .iter()
        .map(|MxRecord { preference, exchange }| match exchange {
            Ok(host) => format!("{preference} {host}"),
            Err(text) => format!("{preference} !{text}"),
        })
        .collect();
    assert_eq!(
        shown,
        ["10 !.", "20 mx2.example", "30 !192.0.2.1", r"40 !a\ b.example", r"50 !caf\195\169.example"]
    );
}

#[tokio::test]
async fn times_to_live_are_sane() {
    for (ttl, seen) in [(0, 0), (1 << 31, 0), (u32::MAX, 0), ((1 << 31) - 1, (1 << 31) - 1)] {
        let server = FakeDns::start(move |q| Reply::to(q).answer(&q.name, TXT, ttl, &txt(b"x")).once()).await;
        assert_eq!(trusting(&server).txt(&name("a.example")).await.unwrap().ttl, seen, "{ttl}");
    }
    let server = FakeDns::start(|q| Reply::to(q).once()).await;
    let answer = trusting(&server).txt(&name("a.example")).await.unwrap();
    assert_eq!((answer.denial, answer.ttl), (Some(Denial::NoData), 60), "no SOA");
}

#[tokio::test]
async fn malformed_answers_are_errors() {
    type Breakage = fn(&Asked) -> Vec<u8>;
    let rows: &[(&str, Breakage)] = &[
        ("counts beyond the data", |q| {
            let mut m = Reply::to(q).answer(&q.name, TXT, 1, &txt(b"x")).build();
            m[7] = 200;
            m
        }),
        ("an owner that points to itself", |q| {
            let at = u16::try_from(12 + q.question.len()).unwrap();
            let mut m = Reply::to(q).build();
            m[7] = 1;
            m.truncate(usize::from(at));
            m.extend((0xC000 | at).to_be_bytes());
            m.extend([0, 16, 0, 1, 0, 0, 0, 0, 0, 0]);
            m
        }),
        ("a name of 300 octets", |q| {
            let mut owner = Vec::new();
            for _ in 0..5 {
                owner.push(60);
                owner.extend([b'a'; 60]);
            }
            owner.push(0);
            let mut m = Reply::to(q).build();
            m[7] = 1;
            m.truncate(12 + q.question.len());
            m.extend(owner);
            m.extend([0, 16, 0, 1, 0, 0, 0, 0, 0, 0]);
            m
        }),
        ("an extended label", |q| {
            let mut m = Reply::to(q).build();
            m[7] = 1;
            m.truncate(12 + q.question.len());
            m.extend([0x80, 1, 0, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0]);
            m
        }),
        ("a string that runs over its record", |q| Reply::to(q).answer(&q.name, TXT, 1, &[9, b'x']).build()),
        ("an alias into a name that no host has", |q| {
            Reply::to(q).answer(&q.name, CNAME, 1, &wire_name("a b.example")).build()
        }),
    ];
    for (what, make) in rows {
        let make = *make;
        let server = FakeDns::start(move |q| vec![make(q)]).await;
        let error = trusting(&server).txt(&name("a.example")).await;
        assert!(matches!(error, Err(DnsError::Malformed(_))), "{what}: {error:?}");
    }
    // Addresses and exchanges of another length.
    let server = FakeDns::start(|q| Reply::to(q).answer(&q.name, q.rtype, 1, &[1, 2, 3]).once()).await;
    let resolver = trusting(&server);
    let owner = name("a.example");
    assert!(matches!(resolver.ipv4(&owner).await, Err(DnsError::Malformed(_))));
    assert!(matches!(resolver.ipv6(&owner).await, Err(DnsError::Malformed(_))));
    assert!(matches!(resolver.mx(&owner).await, Err(DnsError::Malformed(_))));
    // TLSA is not judged here, however short.
    assert_eq!(resolver.tlsa(&owner).await.unwrap().records[0].0, [1, 2, 3]);
}

#[tokio::test]
async fn answers_cut_or_changed_anywhere_never_panic() {
    let seed = AtomicUsize::new(1);
    let server = FakeDns::start(move |q| {
        let whole = chain(q, 3).soa("example", 5, 5).extended_error(6, "x").build();
        let n = seed.fetch_add(1, Ordering::SeqCst);
        let body = 12 + q.question.len();
        let mut m = whole.clone();
        if n.is_multiple_of(2) {
            m.truncate(body + n / 2 % (whole.len() - body));
        } else {
            let at = 6 + n * 31 % (whole.len() - 6);
            if !(12..body).contains(&at) {
                m[at] = m[at].wrapping_add(u8::try_from(1 + n % 255).unwrap());
            }
        }
        // A truncation bit would only send us to TCP.
        m[2] &= !2;
        vec![m]
    })
    .await;
    let resolver = trusting(&server);
    let owner = name("0.example");
    for _ in 0..400 {
        let _ = resolver.txt(&owner).await;
    }
}

#[tokio::test]
async fn the_self_test_tells_whether_the_root_is_validated() {
    for (reply, expected) in [
        (Reply::secure as fn(Reply) -> Reply, Ok(DnssecStatus::Secure)),
        (|r| r, Ok(DnssecStatus::Insecure)),
        (|r| r.rcode(SERVFAIL), Err(DnsError::ServerFailure(None))),
    ] {
        let server = FakeDns::start(move |q| {
            assert_eq!((q.name.as_str(), q.rtype), ("", DNSKEY));
            reply(Reply::to(q).answer("", DNSKEY, 60, &[1, 1, 3, 8, 1, 2, 3])).once()
        })
        .await;
        assert_eq!(trusting(&server).self_test().await, expected);
    }
}

#[tokio::test]
async fn addresses_of_both_families() {
    let server = FakeDns::start(|q| {
        let data: &[u8] = if q.rtype == A {
            &[192, 0, 2, 1]
        } else {
            &[0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        };
        Reply::to(q).answer(&q.name, q.rtype, 60, data).once()
    })
    .await;
    let resolver = trusting(&server);
    let owner = name("a.example");
    assert_eq!(resolver.ipv4(&owner).await.unwrap().records[0].to_string(), "192.0.2.1");
    assert_eq!(resolver.ipv6(&owner).await.unwrap().records[0].to_string(), "2001:db8::1");
    assert_eq!(server.asked().iter().map(|q| q.rtype).collect::<Vec<_>>(), [A, AAAA]);
}

#[tokio::test]
async fn thousands_at_once_are_all_answered() {
    let server =
        FakeDns::start(|q| Reply::to(q).answer(&q.name, TXT, 60, &txt(q.name.as_bytes())).once()).await;
    let resolver = resolver(&[server.address], Dnssec::TrustAd, Duration::from_secs(4));
    let mut all = tokio::task::JoinSet::new();
    for n in 0..3000 {
        let resolver = resolver.clone();
        all.spawn(async move {
            let owner = name(&format!("n{n}.example"));
            resolver.txt(&owner).await.map(|a| a.records[0].text() == owner.as_str())
        });
    }
    while let Some(result) = all.join_next().await {
        assert_eq!(result.unwrap(), Ok(true));
    }
}
