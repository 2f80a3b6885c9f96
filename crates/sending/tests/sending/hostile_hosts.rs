//! Policy hosts and name servers that are broken or mean: each costs its own domain its policy, at once, and
//! nothing else.

use std::time::Duration;

use futures_util::future::join_all;
use mailward_lab::{Answer, CertificateKind, Fault, Poison};
use mailward_sending::policy::Options;
use tokio::time::Instant;

use super::house::{House, Node, outside_by, policy, secure};

/// What was done for a domain, step by step.
fn trace(house: &House, domain: &str) -> String {
    let recent = house.node.policies.recent();
    let of = recent.iter().find(|recent| recent.domain.as_str() == domain);
    of.map_or_else(|| format!("{domain} was not looked up"), |recent| recent.trace.join("; "))
}

/// Asks for all of them at once; each must be answered so, without waiting, and for the reason given.
async fn are_answered(house: &House, rows: &[(String, &str, &str)]) {
    let asked = rows.iter().map(async |(domain, ..)| {
        let begun = Instant::now();
        (house.ask(&format!("mailward {domain}")).await, begun.elapsed())
    });
    for ((domain, expected, why), (answer, took)) in rows.iter().zip(join_all(asked).await) {
        let trace = trace(house, domain);
        let is_expected =
            answer == expected.replace("{}", domain) || (*expected == "TEMP" && answer.starts_with("TEMP "));
        assert!(is_expected, "{domain}: {answer}; {trace}");
        assert!(took < Duration::from_secs(5), "{domain}: {took:?}");
        assert!(trace.contains(why), "{domain}: {why} is not in: {trace}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_policy_host_passes_for_a_policy() {
    let house = House::start().await;
    let hosts = &house.world.policy_hosts;
    let mut rows = Vec::new();
    let mut row = |expected: &'static str, why: &'static str| {
        let domain = format!("d{}.test", rows.len());
        house.domain(&domain);
        let name = format!("mta-sts.{domain}");
        rows.push((domain, expected, why));
        name
    };
    const NO: &str = "NOTFOUND ";
    const YES: &str = "OK secure match=mx.{} servername=hostname";
    let elsewhere = "https://elsewhere.test/.well-known/mta-sts.txt";
    house
        .world
        .policy(
            "elsewhere.test",
            &policy("enforce", "*.evil.test", 86_400),
            Answer::Ok,
            CertificateKind::Good,
        )
        .unwrap();
    for (answer, expected, why) in [
        (Answer::Redirect(301, elsewhere.into()), NO, "redirect-301-https://elsewhere.test"),
        (Answer::Redirect(302, "http://elsewhere.test/".into()), NO, "redirect-302-http://elsewhere.test"),
        (Answer::Redirect(307, "/other.txt".into()), NO, "redirect-307-/other.txt"),
        (Answer::Redirect(308, elsewhere.into()), NO, "redirect-308"),
        (Answer::Status(203), NO, "http-203"),
        (Answer::Status(204), NO, "http-204"),
        (Answer::Status(206), NO, "http-206"),
        (Answer::Status(304), NO, "http-304"),
        (Answer::Oversized(200_000_000), NO, "too-large"),
        (Answer::OversizedChunked(1_000_000), NO, "too-large"),
        (Answer::Oversized(65_537), NO, "too-large"),
        (Answer::EndlessHeaders, NO, "too-large"),
        (Answer::CutOff, NO, "http"),
        (Answer::Encoded, NO, "content-encoding"),
        (Answer::MediaType(String::new()), NO, "media-type"),
        (Answer::MediaType("text/html".into()), NO, "media-type"),
        (Answer::Raw("SSH-2.0-OpenSSH_9.2\r\n".into()), NO, "http"),
        (Answer::Chunked, YES, "mode enforce"),
        (Answer::UntilClose, YES, "mode enforce"),
    ] {
        let name = row(expected, why);
        assert!(hosts.set_answer(&name, answer));
    }
    let good = |name: &str| policy("enforce", &name.replace("mta-sts", "mx"), 604_800);
    for (what, why) in [
        ("a byte order mark", "no policy"),
        ("a NUL", "no policy"),
        ("HTML", "no policy"),
        ("JSON", "no policy"),
        ("a line separator of Unicode", "no policy"),
        ("an attribute for Postfix", "no policy"),
        ("ten thousand mx lines", "too-large"),
    ] {
        let name = row(NO, why);
        let good = good(&name);
        let body = match what {
            "a byte order mark" => format!("\u{feff}{good}"),
            "a NUL" => good.replace("mode: enforce", "mode: enforce\0"),
            "HTML" => format!("<html>{good}</html>"),
            "JSON" => r#"{"version": "STSv1", "mode": "none"}"#.to_owned(),
            "a line separator of Unicode" => good.replace('\n', "\u{2028}"),
            "an attribute for Postfix" => good.replace("\nmax_age", " ciphers=low\nmax_age"),
            _ => good.replace("mx:", &format!("{}mx:", "mx: a.b\n".repeat(10_000))),
        };
        assert!(hosts.set_body(&name, &body), "{what}");
    }
    for (kind, why) in [
        (CertificateKind::WrongName, "host-mismatch"),
        (CertificateKind::Expired, "expired"),
        (CertificateKind::OtherCa, "incomplete-chain"),
        (CertificateKind::SelfSigned, "self-signed"),
        (CertificateKind::CnOnly, "host-mismatch"),
    ] {
        let name = row(NO, why);
        hosts.set(&name, &good(&name), Answer::Ok, kind);
    }
    // One label of the certificate may be a star.
    let name = row(YES, "mode enforce");
    let star = name.replace("mta-sts", "*");
    assert!(hosts.set_certificate(&name, house.world.ca.issue(&[&star], CertificateKind::Good)));
    are_answered(&house, &rows).await;
    assert_eq!(house.fetches("elsewhere.test"), 0, "nobody follows a redirect");
    // Each was one fetch, and is remembered.
    for (domain, ..) in &rows {
        house.ask(&format!("mailward {domain}")).await;
        assert!(house.fetches(domain) <= 1, "{domain}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_thousands_of_lines_is_answered_within_bounds() {
    let house = House::start().await;
    for (domain, lines) in [("long.test", 500), ("longest.test", 2_500)] {
        house.domain(domain);
        let many: String = (0..lines).map(|n| format!("mx: h{n}.{domain}\n")).collect();
        let body =
            policy("enforce", &format!("mx.{domain}"), 604_800).replace("max_age", &format!("{many}max_age"));
        assert!(body.len() <= 65_536, "{}", body.len());
        assert!(house.world.policy_hosts.set_body(&format!("mta-sts.{domain}"), &body));
        assert_eq!(house.ask(&format!("mailward {domain}")).await, secure(&format!("mx.{domain}")));
    }
    let long = house.ask("mailward-tlsrpt long.test").await;
    assert!(long.ends_with(" mx_host_pattern=h499.long.test") && long.len() < 99_000, "{}", long.len());
    assert!(long.contains("{ policy_string = mx: h499.long.test }"));
    // Its lines are left out first, then Postfix is told why mail waits.
    let longest = house.ask("mailward-tlsrpt longest.test").await;
    assert!(
        longest.starts_with("OK secure match=mx.longest.test ") && longest.len() <= 99_000,
        "{longest:.200}"
    );
    assert!(!longest.contains("policy_string"), "{longest:.200}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_breaks_costs_its_own_domain() {
    let house = House::start().await;
    let world = &house.world;
    const NO: &str = "NOTFOUND ";
    let mut rows = Vec::new();
    for (what, expected, why) in [
        ("record-loops", NO, "SERVFAIL"),
        ("host-loops", NO, "(dns)"),
        ("mx-loops", "TEMP", ""),
        ("record-garbage", NO, "malformed"),
        ("mx-garbage", "TEMP", ""),
        ("mx-refused", "TEMP", ""),
        ("record-servfail", NO, "SERVFAIL"),
        ("many-records", "OK secure match=mx.{} servername=hostname", "mode enforce"),
        ("two-records", NO, "record"),
    ] {
        let domain = format!("{what}.test");
        house.domain(&domain);
        let (record, host, other) =
            (format!("_mta-sts.{domain}"), format!("mta-sts.{domain}"), format!("x.{domain}"));
        let loops = |name: &str, rtype: &str| {
            world.dns.remove(name, rtype).unwrap();
            world.set(name, "CNAME", &[&format!("{other}.")]).unwrap();
            world.set(&other, "CNAME", &[&format!("{name}.")]).unwrap();
        };
        let fault = |name: &str, fault| world.dns.fault(name, None, Some(fault)).unwrap();
        match what {
            "record-loops" => loops(&record, "TXT"),
            "host-loops" => loops(&host, "A"),
            "mx-loops" => loops(&domain, "MX"),
            "record-garbage" => fault(&record, Fault::Garbage),
            "mx-garbage" => fault(&domain, Fault::Garbage),
            "mx-refused" => fault(&domain, Fault::Refused),
            "record-servfail" => fault(&record, Fault::ServFail),
            // Far more than a datagram holds: it comes over TCP.
            "many-records" => {
                let mut texts: Vec<String> = (0..40).map(|n| format!("{n} {}", "x".repeat(200))).collect();
                texts.push("v=STSv1; id=1;".into());
                world.set(&record, "TXT", &texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
            }
            _ => world.set(&record, "TXT", &["v=STSv1; id=1;", "v=STSv1; id=2;"]).unwrap(),
        }
        rows.push((domain, expected, why));
    }
    are_answered(&house, &rows).await;
}

/// A resolver in an attacker's hands: what was learned before holds, and the forged host gets no mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_lies_sends_no_mail_to_its_host() {
    let house = House::start().await;
    house.domain("a.test");
    assert_eq!(house.ask("mailward a.test").await, secure("mx.a.test"));
    let stored = async || house.store.known_policy(&super::house::named("a.test")).await.unwrap().is_some();
    super::house::eventually("it is stored", stored).await;
    let poison = Poison::default();
    poison.set("a.test", "MX", &["1 mx.evil.test."]).unwrap();
    poison.set("_mta-sts.a.test", "TXT", &[]).unwrap();
    poison.set("mta-sts.a.test", "A", &[&house.world.address().to_string()]).unwrap();
    let liar = house.world.poisoned_resolver(poison.clone()).unwrap();
    let mut node = Node::through(outside_by(&house.world, liar), &house.store, Options::default()).await;
    let nowhere = "OK secure match=mta-sts-no-mx-match.invalid servername=hostname";
    assert_eq!(node.ask("mailward a.test").await, nowhere);
    // A new id leads to a host that cannot prove its name.
    poison.set("_mta-sts.a.test", "TXT", &["v=STSv1; id=evil;"]).unwrap();
    house.pass(3601);
    assert_eq!(node.ask("mailward a.test").await, nowhere);
    node.end().await;
}
