//! Reports handed to a real Postfix 3.10 that wants TLS and a login, and posted to addresses that stand in
//! a record themselves; all by the real `mailward serve`, in namespaces of its own.
//!
//! Who may log in is answered by a few lines here that speak Dovecot's protocol; all of the SMTP is
//! Postfix's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "the binary under test runs on the system's clock, so tests do"
)]

mod endpoint;
mod logins;
mod mail_server;
mod office;

// The ways of the other whole-world tests.
#[path = "../system/command.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod command;
#[path = "../system/daemon.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod daemon;
#[path = "../system/mail_world.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod mail_world;
#[path = "../postfix/mta.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod mta;
#[path = "../postfix/namespace.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod namespace;
#[path = "../system/wait.rs"]
#[allow(dead_code, reason = "the other test program uses the rest")]
mod wait;

use std::process::Command;

use mta::{Listen, Release};

use endpoint::{Endpoint, Listener};
use logins::{PASSWORD, USER};
use office::Office;

/// Debian 13. Nothing asks the policy daemon here.
const NEW: Release = Release { version: "3.10", map: "mailward-tlsrpt", listen: Listen::Inet, tells: false };

#[test]
fn reports_are_handed_to_a_real_postfix() {
    namespace::inside("reports_are_handed_to_a_real_postfix", NEW, submission);
}

#[test]
fn an_address_in_a_record_falls_under_the_rule_of_addresses() {
    namespace::inside("an_address_in_a_record_falls_under_the_rule_of_addresses", NEW, addresses);
}

fn submission(release: Release) {
    let office = Office::open();
    let postfix = office.postfix(release);

    // STARTTLS and PLAIN; a name outside ASCII goes as SMTPUTF8, and an internationalised domain as it is.
    office.seen("a.test", "mailto:tls@a.test");
    office.seen("u.test", "mailto:gr%C3%B6%C3%9Fe@a.test");
    office.seen("i.test", "mailto:tls@b%C3%BCcher.test");
    let with_login = |password| Some((USER, password));
    office.serve("smtp+starttls://localhost:587", with_login(PASSWORD), |office| {
        for domain in ["a.test", "u.test", "i.test"] {
            let (state, answer) = office.settled(domain);
            assert_eq!((state.as_str(), &answer[..3]), ("sent", "250"), "{domain}: {answer}");
        }
    });
    office.arrived("tls@a.test");
    office.arrived("tls@xn--bcher-kva.test");
    postfix.logs("sasl_method=PLAIN, sasl_username=reports");
    postfix.logs("TLS connection established from localhost");
    postfix.logs("SMTPUTF8 is required, but was not offered by host");

    // TLS from the start and LOGIN.
    office.seen("b.test", "mailto:tls@b.test");
    office.serve("smtps://localhost:465", with_login(PASSWORD), |office| {
        assert_eq!(office.settled("b.test").0, "sent");
    });
    office.arrived("tls@b.test");
    postfix.logs("sasl_method=LOGIN, sasl_username=reports");

    // What cannot be done waits and says why.
    let rows = [
        (
            "wrong",
            "smtp+starttls://localhost:587",
            with_login("guess"),
            "refuses the login of reports: 535 5.7.8",
        ),
        ("nobody", "smtp+starttls://localhost:587", None, "let it relay for us, or set reporter.user"),
        ("local", "smtp://127.0.0.1:25", None, "let it relay for us, or set reporter.user"),
        ("public", "smtp://127.0.0.1:25", with_login(PASSWORD), "offers no login (AUTH)"),
        ("small", "smtp+starttls://localhost:588", with_login(PASSWORD), "takes mails of at most 600 bytes"),
        ("other", "smtps://localhost:590", with_login(PASSWORD), "does not hold: it names other.test"),
        ("clear", "smtps://localhost:587", with_login(PASSWORD), "the handshake of TLS"),
        ("dead", "smtps://localhost:591", with_login(PASSWORD), "cannot be spoken to (the connection)"),
    ];
    for (name, submit, login, part) in rows {
        let domain = format!("{name}.test");
        office.seen(&domain, &format!("mailto:tls@{domain}"));
        office.serve(submit, login, |office| {
            let (state, answer) = office.settled(&domain);
            assert_eq!(state, "waiting", "{name}: {answer}");
            assert!(answer.contains(part), "{name}: {answer}");
            assert!(!answer.contains("AHJlcG9y"), "{name}: {answer}");
        });
    }
    office.seen("e.test", "mailto:gr%C3%B6%C3%9Fe@a.test");
    office.serve("smtp+starttls://localhost:589", with_login(PASSWORD), |office| {
        let (state, answer) = office.settled("e.test");
        assert_eq!(state, "refused", "{answer}");
        assert!(answer.contains("does not offer SMTPUTF8"), "{answer}");
    });
    assert!(!office.logins.heard_in_clear(), "a password came over a connection without TLS");

    // What waited leaves once it can: the same report, once.
    office.again("wrong.test");
    office.serve("smtp+starttls://localhost:587", with_login(PASSWORD), |office| {
        let settled = wait::some("the second try", 30, || {
            Some(office.settled("wrong.test")).filter(|(state, _)| state == "sent")
        });
        assert!(settled.1.starts_with("250"), "{settled:?}");
    });
    assert_eq!(office.arrived("tls@wrong.test").len(), 1);
}

fn addresses(_: Release) {
    let mut office = Office::open();
    // In this namespace they are ours.
    for address in ["8.8.4.4/32", "8.8.4.5/32"] {
        let added = Command::new("ip").args(["address", "add", address, "dev", "lo"]).status().unwrap();
        assert!(added.success());
    }
    let good = Endpoint::start(&office.world, "8.8.4.4", "8.8.4.4");
    let named = Endpoint::start(&office.world, "8.8.4.5", "r.test");
    let inside = Endpoint::start(&office.world, "127.0.0.9", "127.0.0.9");
    for (domain, uri) in [
        ("good.test", "https://8.8.4.4:8443/v1"),
        ("named.test", "https://8.8.4.5:8443/v1"),
        ("inside.test", "https://127.0.0.9:8443/v1"),
        ("mapped.test", "https://[::ffff:127.0.0.9]:8443/v1"),
        ("octal.test", "https://0177.0.0.9:8443/v1"),
    ] {
        office.seen(domain, uri);
    }
    office.allow_private(false);
    office.serve("smtp://127.0.0.1:25", None, |office| {
        for (domain, state, part) in [
            ("good.test", "sent", "201"),
            ("named.test", "waiting", "does not hold: it names r.test"),
            ("inside.test", "refused", "private or reserved"),
            ("mapped.test", "refused", "private or reserved"),
            ("octal.test", "refused", "neither a name nor an address"),
        ] {
            let (seen, answer) = office.settled(domain);
            assert_eq!(seen, state, "{domain}: {answer}");
            assert!(answer.contains(part), "{domain}: {answer}");
        }
    });
    assert_eq!((good.posts(), named.posts(), inside.posts()), (1, 0, 0));
    assert_eq!(inside.connections(), 0);

    // A password does not leave the machine in clear: not a byte of it, for it is not even asked.
    let listener = Listener::start("8.8.4.4:2525");
    office.seen("far.test", "mailto:tls@far.test");
    office.serve("smtp://8.8.4.4:2525", Some((USER, PASSWORD)), |office| {
        let (state, answer) = office.settled("far.test");
        assert_eq!(state, "waiting", "{answer}");
        assert!(answer.contains("is on another machine and the connection is not encrypted"), "{answer}");
    });
    assert_eq!(listener.heard(), "");

    // Where they are allowed, an address inside is one like any other.
    office.seen("allowed.test", "https://127.0.0.9:8443/v1");
    office.allow_private(true);
    office.serve("smtp://127.0.0.1:25", None, |office| {
        assert_eq!(office.settled("allowed.test").0, "sent");
    });
    assert_eq!(inside.posts(), 1);
}
