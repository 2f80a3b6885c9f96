//! Senders, MX hosts, policy hosts and attackers against each other: each kind of fault must be seen by
//! an honest sender as what it is, and must do to mail what RFC 8461 says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use jiff::SignedDuration;
use mailward_core::Clock;
use mailward_lab::scenario::{Outcome, SenderSpec, Shape};
use mailward_lab::{Answer, Behaviour, CertificateKind, Sender, Tampering, World, WorldOptions};

fn world() -> World {
    World::start(&WorldOptions::default()).unwrap()
}

fn sender(world: &World, domain: &str, shape: Shape) -> Sender {
    let spec = SenderSpec { domain: domain.into(), organization: "Sender Inc.".into(), shape, signs: true };
    world.sender(&spec).unwrap()
}

fn policy(mode: &str, mx: &str) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n")
}

/// What an MX host does: the certificate, the behaviour, the failure a sender tells, and what becomes of
/// mail without a policy, under testing and under enforce.
#[tokio::test]
async fn mx_hosts_are_what_they_are_told_to_be() {
    use CertificateKind as C;
    use Outcome::{ClearText, Deferred, Delivered};
    let world = world();
    world.good_domain("rcpt.test").unwrap();
    let address = world.mx("mx.rcpt.test", Behaviour::Good, C::Good).unwrap();
    world.set("rcpt.test", "MX", &["10 mx.rcpt.test."]).unwrap();
    let good = Behaviour::Good;
    let text = |s: &str| s.to_owned();
    let rows = [
        (C::Good, good.clone(), "", Delivered, Delivered),
        (C::Good, Behaviour::Tls12, "", Delivered, Delivered),
        (C::Good, Behaviour::Tls13, "", Delivered, Delivered),
        (C::Direct, good.clone(), "", Delivered, Delivered),
        (C::EndsSoon, good.clone(), "", Delivered, Delivered),
        (C::Expired, good.clone(), "certificate-expired", Delivered, Deferred),
        (C::NotYetValid, good.clone(), "certificate-not-trusted", Delivered, Deferred),
        (C::WrongName, good.clone(), "certificate-host-mismatch", Delivered, Deferred),
        (C::CnOnly, good.clone(), "certificate-host-mismatch", Delivered, Deferred),
        (C::SelfSigned, good.clone(), "certificate-not-trusted", Delivered, Deferred),
        (C::OtherCa, good.clone(), "certificate-not-trusted", Delivered, Deferred),
        (C::MissingIntermediate, good.clone(), "certificate-not-trusted", Delivered, Deferred),
        (C::Good, Behaviour::NoStarttls, "starttls-not-supported", ClearText, Deferred),
        (
            C::Good,
            Behaviour::StarttlsReply(text("454 4.7.0 not now")),
            "starttls-not-supported",
            ClearText,
            Deferred,
        ),
        (C::Good, Behaviour::Injection(text("250 injected")), "validation-failure", ClearText, Deferred),
        (C::Good, Behaviour::Garbage, "validation-failure", ClearText, Deferred),
        (C::Good, Behaviour::DropAtHandshake, "validation-failure", ClearText, Deferred),
        (C::Good, Behaviour::Greeting(text("554 no")), "", Deferred, Deferred),
        (C::Good, Behaviour::Ehlo(text("550 no")), "", Deferred, Deferred),
        (C::Good, Behaviour::Recipient(text("450 later")), "", Deferred, Deferred),
    ];
    for (kind, behaviour, failure, under_testing, under_enforce) in rows {
        world.mx_hosts.set_certificate(address, world.ca.issue(&["mx.rcpt.test"], kind));
        world.mx_hosts.set_behaviour(address, behaviour.clone());
        for (mode, outcome) in [("testing", under_testing), ("enforce", under_enforce)] {
            world.policy("rcpt.test", &policy(mode, "mx.rcpt.test"), Answer::Ok, C::Good).unwrap();
            let before = world.mx_hosts.messages(address).len();
            let delivery = sender(&world, "sender.test", Shape::Plain).deliver("rcpt.test", 1).await;
            let told = delivery.failures.first().map_or("", |(_, f)| f.result_type.as_str());
            assert_eq!((told, delivery.outcome), (failure, outcome), "{kind:?} {behaviour:?} {mode}");
            let messages = world.mx_hosts.messages(address);
            assert_eq!(
                messages.len() - before,
                usize::from(outcome != Deferred),
                "{kind:?} {behaviour:?} {mode}"
            );
            if outcome != Deferred {
                let last = messages.last().unwrap();
                assert_eq!(last.tls.is_some(), outcome == Delivered, "{kind:?} {behaviour:?}");
                let asked_for = (outcome == Delivered).then_some("mx.rcpt.test");
                assert_eq!(last.server_name.as_deref(), asked_for, "{kind:?} {behaviour:?}");
                let anywhere = world.mx_hosts.delivered_to(&last.to[0]);
                assert_eq!(anywhere.last(), Some(&("mx.rcpt.test".to_owned(), last.clone())));
            }
        }
    }
}

/// How a policy host answers, and what a fetch makes of it.
#[tokio::test]
async fn policy_hosts_are_what_they_are_told_to_be() {
    use CertificateKind as C;
    let world = world();
    world.good_domain("rcpt.test").unwrap();
    let text = |s: &str| s.to_owned();
    let rows = [
        (C::Good, Answer::Ok, ""),
        (C::Good, Answer::Chunked, ""),
        (C::Good, Answer::UntilClose, ""),
        (C::Good, Answer::MediaType(text("text/plain; charset=utf-8")), ""),
        (C::Good, Answer::MediaType(text("text/html")), "sts-policy-fetch-error media-type"),
        (C::Good, Answer::MediaType(text("")), "sts-policy-fetch-error media-type"),
        (C::Good, Answer::Status(404), "sts-policy-fetch-error http-404"),
        (C::Good, Answer::Redirect(301, text("https://rcpt.test/x")), "sts-policy-fetch-error http-301"),
        (C::Good, Answer::Oversized(100_000), "sts-policy-fetch-error too-large"),
        (C::Good, Answer::OversizedChunked(100_000), "sts-policy-fetch-error too-large"),
        (C::Good, Answer::CutOff, "sts-policy-fetch-error http: no complete response"),
        (C::Good, Answer::Raw(text("what?\r\n\r\n")), "sts-policy-fetch-error http: no complete response"),
        (C::Good, Answer::EndlessHeaders, "sts-policy-fetch-error http: no complete response"),
        (C::Expired, Answer::Ok, "sts-webpki-invalid certificate-expired"),
        (C::WrongName, Answer::Ok, "sts-webpki-invalid certificate-host-mismatch"),
        (C::SelfSigned, Answer::Ok, "sts-webpki-invalid unknown-issuer"),
        (C::OtherCa, Answer::Ok, "sts-webpki-invalid unknown-issuer"),
        (C::MissingIntermediate, Answer::Ok, "sts-webpki-invalid unknown-issuer"),
    ];
    for (kind, answer, failure) in rows {
        let body = policy("enforce", "mx1.rcpt.test");
        world.policy("rcpt.test", &body, answer.clone(), kind).unwrap();
        let mut sender = sender(&world, "sender.test", Shape::Plain);
        let delivery = sender.deliver("rcpt.test", 1).await;
        assert_eq!(delivery.policy.is_some(), failure.is_empty(), "{kind:?} {answer:?}");
        let day = world.clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        sender.report(day).await;
        let told = newest_report(&world, "rcpt.test");
        let details = &told["policies"][0]["failure-details"];
        let told = details.as_array().unwrap().first().map_or(String::new(), |d| {
            format!("{} {}", d["result-type"].as_str().unwrap(), d["failure-reason-code"].as_str().unwrap())
        });
        assert_eq!(told, failure, "{kind:?} {answer:?}");
    }
    let before = world.policy_hosts.requests("mta-sts.rcpt.test");
    world.policy("rcpt.test", "x", Answer::Ok, C::Good).unwrap();
    sender(&world, "sender.test", Shape::Plain).deliver("rcpt.test", 1).await;
    assert_eq!(world.policy_hosts.requests("mta-sts.rcpt.test"), before + 1);
}

/// Takes every report mail out of a maildir and unpacks the newest.
fn newest_report(world: &World, domain: &str) -> serde_json::Value {
    use base64::Engine;
    use std::io::Read;
    let directory = world.maildir(domain).unwrap().join("new");
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let text = std::fs::read_to_string(files.last().expect("a report")).unwrap();
    files.iter().for_each(|f| std::fs::remove_file(f).unwrap());
    let packed = text.split("\r\n\r\n").last().unwrap().split("\r\n--").next().unwrap().replace("\r\n", "");
    let packed = base64::engine::general_purpose::STANDARD.decode(packed).unwrap();
    let mut json = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut json).unwrap();
    serde_json::from_str(&json).unwrap()
}

#[tokio::test]
async fn a_policy_is_kept_and_renewed_as_the_rfc_says() {
    let world = world();
    world.good_domain("rcpt.test").unwrap();
    let mut sender = sender(&world, "sender.test", Shape::Plain);
    let requests = || world.policy_hosts.requests("mta-sts.rcpt.test");
    let mut expect = async |fetches: u64, mode: &str, why: &str| {
        let delivery = sender.deliver("rcpt.test", 1).await;
        let seen = delivery.policy.map_or("none", |p| p.mode.as_str());
        assert_eq!((requests(), seen), (fetches, mode), "{why}");
    };
    expect(1, "enforce", "first contact").await;
    expect(1, "enforce", "the same id, fresh").await;
    world.policy_hosts.set_body("mta-sts.rcpt.test", &policy("testing", "mx1.rcpt.test"));
    expect(1, "enforce", "a new body under the old id is not seen").await;
    world.announce("rcpt.test", "2").unwrap();
    expect(2, "testing", "a new id is").await;
    world.policy_hosts.set_answer("mta-sts.rcpt.test", Answer::Status(500));
    world.announce("rcpt.test", "3").unwrap();
    expect(3, "testing", "the cached policy outlives a failed fetch").await;
    expect(3, "testing", "the same id is not fetched again at once").await;
    world.clock.advance(SignedDuration::from_secs(301));
    expect(4, "testing", "but after five minutes").await;
    world.dns.remove("_mta-sts.rcpt.test", "TXT").unwrap();
    expect(4, "testing", "a missing record clears nothing").await;
    world.clock.advance(SignedDuration::from_hours(25));
    expect(4, "none", "max_age is over").await;
}

#[tokio::test]
async fn attackers_reach_only_whom_they_reach() {
    use Outcome::{ClearText, Deferred, Delivered};
    let world = world();
    let address = world.good_domain("rcpt.test").unwrap();
    let evil = world.mx("mx.evil.test", Behaviour::Good, CertificateKind::Good).unwrap();
    let strip = world.intercept(&["victim.test"], address, Tampering::StripStarttls).unwrap();
    let inject =
        world.intercept(&["victim.test"], address, Tampering::Inject("250 injected".into())).unwrap();
    let redirect = world.redirect(&["victim.test"], "rcpt.test", "mx.evil.test").unwrap();
    let rows = [
        (None, "victim.test", "testing", Delivered, ""),
        (Some(&strip), "victim.test", "testing", ClearText, "starttls-not-supported"),
        (Some(&strip), "victim.test", "enforce", Deferred, "starttls-not-supported"),
        (Some(&strip), "other.test", "enforce", Delivered, ""),
        (Some(&inject), "victim.test", "testing", ClearText, "validation-failure"),
        (Some(&inject), "victim.test", "enforce", Deferred, "validation-failure"),
        (Some(&redirect), "victim.test", "testing", Delivered, "validation-failure"),
        (Some(&redirect), "victim.test", "enforce", Deferred, "validation-failure"),
        (Some(&redirect), "other.test", "enforce", Delivered, ""),
    ];
    for (attacker, from, mode, outcome, failure) in rows {
        world.policy("rcpt.test", &policy(mode, "mx1.rcpt.test"), Answer::Ok, CertificateKind::Good).unwrap();
        attacker.inspect(|a| a.attack());
        let delivery = sender(&world, from, Shape::Plain).deliver("rcpt.test", 1).await;
        attacker.inspect(|a| a.relent());
        let told = delivery.failures.first().map_or("", |(_, f)| f.result_type.as_str());
        assert_eq!((delivery.outcome, told), (outcome, failure), "{from} {mode}");
    }
    assert_eq!(world.mx_hosts.messages(evil).len(), 1, "mail drawn away under testing only");
}

#[tokio::test]
async fn sessions_are_counted_and_reported_true() {
    let world = world();
    world.good_domain("rcpt.test").unwrap();
    let second = world.mx("mx2.rcpt.test", Behaviour::Good, CertificateKind::Expired).unwrap();
    world.set("rcpt.test", "MX", &["10 mx1.rcpt.test.", "10 mx2.rcpt.test."]).unwrap();
    let body = "version: STSv1\nmode: testing\nmx: *.rcpt.test\nmax_age: 86400\n";
    world.policy("rcpt.test", body, Answer::Ok, CertificateKind::Good).unwrap();
    for shape in [Shape::Plain, Shape::Google, Shape::Microsoft] {
        let mut sender = sender(&world, "sender.test", shape);
        sender.deliver("rcpt.test", 41).await;
        world.clock.advance(SignedDuration::from_hours(24));
        let sent = sender.report_yesterday().await;
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].result, Ok("mail".into()));
        let report = newest_report(&world, "rcpt.test");
        assert_eq!(report["report-id"], sent[0].id);
        let entry = &report["policies"][0];
        assert_eq!(entry["summary"]["total-successful-session-count"], 21, "{shape:?}");
        assert_eq!(entry["summary"]["total-failure-session-count"], 20, "{shape:?}");
        assert_eq!(entry["failure-details"][0]["result-type"], "certificate-expired");
        assert_eq!(entry["failure-details"][0]["receiving-mx-hostname"], "mx2.rcpt.test");
        assert_eq!(entry["failure-details"][0]["receiving-ip"], second.to_string());
        let double = report["policies"].as_array().unwrap().len() == 2;
        assert_eq!(double, shape == Shape::Microsoft, "{shape:?}");
    }
}

/// A verifier that is not ours accepts the signatures with the key from the world's DNS.
#[tokio::test]
async fn report_mail_is_signed() {
    use mail_auth::common::{parse::TxtRecordParser, verify::DomainKey};
    use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
    use mailward_lab::dns::ask::{Flags, ask};

    struct Key(Txt);
    impl ResolverCache<Box<str>, Txt> for Key {
        fn get<Q: std::hash::Hash + Eq + ?Sized>(&self, _: &Q) -> Option<Txt>
        where
            Box<str>: std::borrow::Borrow<Q>,
        {
            Some(self.0.clone())
        }
        fn remove<Q: std::hash::Hash + Eq + ?Sized>(&self, _: &Q) -> Option<Txt>
        where
            Box<str>: std::borrow::Borrow<Q>,
        {
            None
        }
        fn insert(&self, _: Box<str>, _: Txt, _: std::time::Instant) {}
    }

    let world = world();
    world.good_domain("rcpt.test").unwrap();
    for (shape, changed, passes) in [
        (Shape::Plain, false, true),
        (Shape::Google, false, true),
        (Shape::Microsoft, false, true),
        (Shape::Plain, true, false),
        (Shape::Google, true, false),
    ] {
        let mut sender = sender(&world, "sender.test", shape);
        sender.deliver("rcpt.test", 3).await;
        let day = world.clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        sender.report(day).await;
        let directory = world.maildir("rcpt.test").unwrap().join("new");
        let file = std::fs::read_dir(directory).unwrap().next().unwrap().unwrap().path();
        let mut text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(file).unwrap();
        if changed {
            text = text.replacen("Report Domain: rcpt", "Report Domain: xcpt", 1);
        }
        let flags = Flags::default();
        let record =
            ask(world.resolver, "tlsrpt._domainkey.sender.test", "TXT", flags).await.unwrap().texts();
        assert!(record[0].contains("s=tlsrpt;"));
        let key = Key(Txt::DomainKey(DomainKey::parse(record[0].as_bytes()).unwrap().into()));
        let message = AuthenticatedMessage::parse(text.as_bytes()).unwrap();
        let authenticator = MessageAuthenticator::new_system_conf().unwrap();
        let output = authenticator.verify_dkim(Parameters::new(&message).with_txt_cache(&key)).await;
        assert_eq!(output.len(), 1);
        assert_eq!(output[0].result() == &DkimResult::Pass, passes, "{shape:?} {:?}", output[0].result());
    }
}
