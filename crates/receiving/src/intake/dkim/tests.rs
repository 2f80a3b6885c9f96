//! Signatures made by mail-auth's signer, keys in the lab's DNS.

use std::time::Duration;

use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use mailward_core::Clock;
use mailward_lab::{Fault, Security, World, WorldOptions};
use mailward_net::dns::{DnsOptions, Dnssec, Resolver};

use super::*;
use crate::intake::keys::Keys;

const MAIL: &str = "From: tls@reporter.example\r\nTo: reports@example.com\r\nSubject: Report\r\n\
                    TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: reporter.example\r\n\r\n\
                    {\"a\":  1}\r\n\r\n";
const ALL: [&str; 5] = ["From", "To", "Subject", "TLS-Report-Domain", "TLS-Report-Submitter"];

struct Signer {
    key: Vec<u8>,
    headers: Vec<&'static str>,
    body_length: bool,
    expiration: u64,
    canonicalization: Canonicalization,
}

impl Signer {
    fn new() -> Self {
        let key = Ed25519Key::generate_pkcs8().unwrap();
        let canonicalization = Canonicalization::Simple;
        Self { key, headers: ALL.to_vec(), body_length: false, expiration: 0, canonicalization }
    }

    fn key(&self) -> Ed25519Key {
        Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.key).unwrap()
    }

    fn record(&self, tags: &str) -> String {
        // A subject public key of Ed25519 as RFC 8463 wants it: 32 bytes in base64.
        let alphabet: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*b"+/").collect();
        let text: String = self
            .key()
            .public_key()
            .chunks(3)
            .flat_map(|chunk| {
                let bits =
                    chunk.iter().fold(0u32, |v, b| (v << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
                (0..4)
                    .map(move |place| ((bits >> (18 - 6 * place)) & 63, place <= chunk.len()))
                    .collect::<Vec<_>>()
            })
            .map(|(digit, used)| if used { char::from(alphabet[digit as usize]) } else { '=' })
            .collect();
        format!("v=DKIM1; k=ed25519; {tags}p={text}")
    }

    fn sign(&self, mail: &str) -> String {
        let mut signer = DkimSigner::from_key(self.key())
            .domain("reporter.example")
            .selector("s1")
            .headers(self.headers.clone())
            .body_length(self.body_length)
            .header_canonicalization(self.canonicalization)
            .body_canonicalization(self.canonicalization);
        if self.expiration > 0 {
            signer = signer.expiration(self.expiration);
        }
        format!("{}{mail}", signer.sign(mail.as_bytes()).unwrap().to_header())
    }
}

struct Post {
    world: World,
    keys: Keys,
    verifier: Verifier,
}

impl Post {
    fn new(record: &str) -> Self {
        let world = World::start(&WorldOptions::default()).unwrap();
        world.zone("reporter.example", Security::Signed).unwrap();
        world.set("s1._domainkey.reporter.example", "TXT", &[record]).unwrap();
        let options = DnsOptions {
            servers: vec![world.resolver],
            dnssec: Dnssec::Off,
            timeout: Duration::from_millis(300),
        };
        let keys = Keys::new(Resolver::new(&options, world.clock.clone()).unwrap());
        Self { world, keys, verifier: Verifier::new() }
    }

    async fn verify(&self, mail: &str) -> Vec<SignatureFacts> {
        self.verify_at(mail, self.world.clock.now()).await
    }

    async fn verify_at(&self, mail: &str, now: Timestamp) -> Vec<SignatureFacts> {
        let signatures = Signatures::read(mail.as_bytes(), now);
        let keys = self.keys.all(signatures.wanted().cloned().collect()).await;
        signatures.check(mail.as_bytes(), &self.verifier, |name| keys[name].clone())
    }
}

/// `pass`, or the start of the reason.
fn told(facts: &SignatureFacts) -> String {
    match &facts.verdict {
        SignatureVerdict::Pass => "pass".into(),
        SignatureVerdict::Fail(why) => format!("fail: {why}"),
        SignatureVerdict::Untested(why) => format!("untested: {why}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_hold_or_do_not() {
    let signer = Signer::new();
    let relaxed = Signer {
        canonicalization: Canonicalization::Relaxed,
        ..Signer { key: signer.key.clone(), ..Signer::new() }
    };
    let part = Signer { body_length: true, ..Signer { key: signer.key.clone(), ..Signer::new() } };
    let post = Post::new(&signer.record("s=tlsrpt; "));
    let good = signer.sign(MAIL);
    let rows = [
        (good.clone(), "pass", "as signed"),
        (good.replace("\r\n", "\n"), "pass", "as stored on Unix"),
        (relaxed.sign(MAIL).replace("Subject: Report", "Subject:   Report "), "pass", "relaxed"),
        (good.replace("\"a\":  1", "\"a\":  2"), "fail: calculated body hash", "body changed"),
        (
            good.replace("\"a\":  1", "\"a\": 1"),
            "fail: calculated body hash",
            "a blank less in a simple body",
        ),
        (good.replace("Subject: Report", "Subject: Other"), "fail: ", "signed header changed"),
        (good.replace("d=reporter.example", "d=other.example"), "fail: there is no key", "another domain"),
        (good.replace("s=s1;", "s=s2;"), "fail: there is no key", "another selector"),
        (good.replace("a=ed25519-sha256", "a=rsa-sha1"), "fail: rsa-sha1", "SHA-1"),
        (good.replace("a=ed25519-sha256", "a=rsa-sha256"), "fail: ", "another kind of key"),
        (good.replace("v=1;", "v=2;"), "fail: it is malformed", "another version"),
        (good.replace("bh=", "xx="), "", "no body hash"),
        (part.sign(MAIL), "untested: a signature over a part", "l="),
    ];
    for (mail, verdict, why) in rows {
        let facts = post.verify(&mail).await;
        let told = facts.first().map(told).unwrap_or_default();
        assert!(told.starts_with(verdict), "{why}: {told:?} should be {verdict:?}");
        assert!(
            verdict != "pass" || facts[0].key_services.as_deref() == Some(&["tlsrpt".to_owned()]),
            "{why}"
        );
    }
    assert!(post.verify(&part.sign(MAIL)).await[0].body_length);
    let zero = good.replace("bh=", "l=0; bh=");
    assert!(post.verify(&zero).await[0].body_length, "l=0 signs no body at all");
    assert_eq!(post.verify(MAIL).await, [], "no signature, no facts");
    assert_eq!(post.verify("").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_say_what_they_are_for() {
    let signer = Signer::new();
    let mail = signer.sign(MAIL);
    for (record, verdict, services) in [
        (signer.record(""), "pass", None),
        (signer.record("s=*; "), "pass", Some("*")),
        (signer.record("s=email; "), "pass", Some("email")),
        (signer.record("s=email:tlsrpt; "), "pass", Some("email:tlsrpt")),
        (signer.record("t=y; "), "fail: the key is marked as a test", None),
        (signer.record("t=s; "), "pass", None),
        ("v=DKIM1; k=ed25519; p=".to_owned(), "fail: the key cannot be used: ", None),
        ("v=DKIM1; k=ed25519; p=AAAA".to_owned(), "fail: ", None),
        ("v=spf1 -all".to_owned(), "fail: the key cannot be used", None),
        ("x".repeat(200), "fail: the key cannot be used", None),
    ] {
        let facts = Post::new(&record).verify(&mail).await;
        assert!(told(&facts[0]).starts_with(verdict), "{record}: {facts:?}");
        assert_eq!(
            facts[0].key_services.as_ref().map(|list| list.join(":")).as_deref(),
            services,
            "{record}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_no_failure() {
    let signer = Signer::new();
    let mail = signer.sign(MAIL);
    for fault in [Fault::ServFail, Fault::Refused, Fault::Silent, Fault::Garbage] {
        let post = Post::new(&signer.record(""));
        post.world.dns.fault("s1._domainkey.reporter.example", None, Some(fault)).unwrap();
        let told = told(&post.verify(&mail).await[0]);
        assert!(told.starts_with("untested: "), "{told}");
    }
    let post = Post::new(&signer.record(""));
    let signatures = Signatures::read(mail.as_bytes(), post.world.clock.now());
    let nobody = |_: &DomainName| Key::Unknown("no resolver is configured".to_owned());
    let facts = signatures.check(mail.as_bytes(), &post.verifier, nobody);
    assert!(told(&facts[0]).starts_with("untested: no resolver"), "{facts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_resolver_is_soon_left_alone() {
    let post = Post::new("v=DKIM1; p=");
    for selector in ["a", "b", "c", "d"] {
        let name = format!("{selector}._domainkey.reporter.example");
        post.world.dns.fault(&name, None, Some(Fault::Silent)).unwrap();
    }
    let name = |text: &str| DomainName::parse(&format!("{text}._domainkey.reporter.example")).unwrap();
    for selector in ["a", "b", "c"] {
        assert!(matches!(post.keys.key(&name(selector)).await, Key::Unknown(_)));
    }
    let asked = post.world.dns.questions();
    assert!(matches!(post.keys.key(&name("d")).await, Key::Unknown(_)));
    assert!(matches!(post.keys.key(&name("a")).await, Key::Unknown(_)));
    assert_eq!(post.world.dns.questions(), asked, "not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_remembered() {
    let signer = Signer::new();
    let post = Post::new(&signer.record(""));
    let mail = signer.sign(MAIL);
    post.verify(&mail).await;
    let asked = post.world.dns.questions();
    assert_eq!(told(&post.verify(&mail).await[0]), "pass");
    assert_eq!(post.world.dns.questions(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_occurrence_of_a_header_must_be_signed() {
    let signer = Signer::new();
    let post = Post::new(&signer.record(""));
    let good = signer.sign(MAIL);
    let twice = Signer {
        headers: [&ALL[..], &["From"]].concat(),
        ..Signer { key: signer.key.clone(), ..Signer::new() }
    };
    let covers = |facts: &SignatureFacts, name: &str| {
        facts.signed_headers.iter().any(|h| h.eq_ignore_ascii_case(name))
    };
    for (mail, header, covered, why) in [
        (good.clone(), "From", true, "as signed"),
        (format!("From: tls@other.example\r\n{good}"), "From", false, "another From on top"),
        (
            format!("TLS-Report-Submitter: other.example\r\n{good}"),
            "TLS-Report-Submitter",
            false,
            "another submitter on top",
        ),
        (format!("X-Other: other.example\r\n{good}"), "From", true, "what nobody reads"),
    ] {
        let facts = post.verify(&mail).await;
        assert_eq!((told(&facts[0]).as_str(), covers(&facts[0], header)), ("pass", covered), "{why}");
    }
    let twice = twice.sign(MAIL);
    assert_eq!(told(&post.verify(&twice).await[0]), "pass", "signed against additions");
    let added = format!("From: tls@other.example\r\n{twice}");
    assert_ne!(told(&post.verify(&added).await[0]), "pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_follows_our_clock() {
    let signer = Signer { expiration: 3600, ..Signer::new() };
    let post = Post::new(&signer.record(""));
    let mail = signer.sign(MAIL);
    // The signer knows only the real time: the world is moved there.
    let x: i64 = mail.split("x=").nth(1).unwrap().split([';', '\r']).next().unwrap().trim().parse().unwrap();
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let before = post.verify_at(&mail, at(x - 1)).await;
    assert_eq!(told(&before[0]), "pass");
    let after = post.verify_at(&mail, at(x)).await;
    assert!(told(&after[0]).starts_with("fail: the signature has expired"), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_too_much_is_not_checked() {
    let signer = Signer::new();
    let post = Post::new(&signer.record(""));
    let good = signer.sign(MAIL);
    let headers = format!("{}{good}", "X: y\r\n".repeat(2000));
    assert!(told(&post.verify(&headers).await[0]).starts_with("fail: the header is too large"));
    let (first, rest) = good.split_once("h=").unwrap();
    let names = format!("{first}h={}{rest}", "X:".repeat(200));
    assert!(told(&post.verify(&names).await[0]).starts_with("fail: the header is too large"));
    let signature = good.strip_suffix(MAIL).unwrap();
    let many = format!("{}{MAIL}", signature.repeat(50));
    assert_eq!(post.verify(&many).await.len(), SIGNATURES);
}
