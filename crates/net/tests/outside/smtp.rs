//! The prober against mail servers that do everything wrong, one thing at a time.

use std::net::IpAddr;
use std::time::Duration;

use mailward_core::MxHost;
use mailward_core::chain::ChainFault;
use mailward_core::facts::{AddressProbe, ProbeOutcome};
use mailward_net::smtp::probe;
use rcgen::date_time_ymd;

use crate::fake_smtp::{FakeSmtp, Step, say, until_starttls, usual};
use crate::world::{Authority, Way, self_signed};

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn host() -> MxHost {
    MxHost::parse("mx.d.test").unwrap()
}

/// Probes a server that follows `script`; gives the outcome and what the server heard.
async fn play(script: Vec<Step>) -> (ProbeOutcome, Vec<String>) {
    let authority = Authority::new();
    let server = FakeSmtp::start(script).await;
    let way = Way::to(&authority).smtp(server.address.port()).open();
    let AddressProbe { address, outcome, .. } = probe(&way, &host(), LOCAL).await;
    assert_eq!(address, LOCAL);
    (outcome, server.heard())
}

/// The same with short deadlines.
async fn play_short(script: Vec<Step>) -> ProbeOutcome {
    let server = FakeSmtp::start(script).await;
    let short = Duration::from_millis(250);
    let way = Way::to(&Authority::new())
        .smtp(server.address.port())
        .with(|o| {
            o.probe.greeting = short;
            o.probe.command = short;
            o.probe.tls = short;
        })
        .open();
    let begun = tokio::time::Instant::now();
    let outcome = probe(&way, &host(), LOCAL).await.outcome;
    assert!(begun.elapsed() < Duration::from_secs(3));
    outcome
}

#[tokio::test]
async fn a_good_server_shows_its_chain() {
    let authority = Authority::new();
    let server = FakeSmtp::start(usual(authority.issue(&["mx.d.test"]).server(&[]))).await;
    let way = Way::to(&authority).smtp(server.address.port()).open();
    let probed = probe(&way, &host(), LOCAL).await;
    let ProbeOutcome::Tls(facts) = &probed.outcome else { panic!("{probed:?}") };
    assert_eq!((facts.version.as_str(), facts.cipher.starts_with("TLS_")), ("1.3", true));
    assert_eq!(facts.chain[0].dns_names, ["mx.d.test"]);
    assert_eq!(facts.web_pki, []);
    assert_eq!(server.heard(), ["EHLO probe.test", "STARTTLS", "EHLO probe.test", "QUIT"]);
}

#[tokio::test]
async fn tls_counts_whatever_the_certificate_is_worth() {
    let authority = Authority::new();
    let expired = authority.issue_with(&["mx.d.test"], |p| p.not_after = date_time_ymd(2026, 5, 1));
    for (what, identity, expected) in [
        ("another name", authority.issue(&["a.test"]), ChainFault::HostMismatch(vec!["a.test".into()])),
        ("expired", expired, ChainFault::Expired("2026-05-01T00:00:00Z".parse().unwrap())),
        ("self-signed", self_signed(&["mx.d.test"]), ChainFault::SelfSigned),
    ] {
        let server = FakeSmtp::start(usual(identity.server(&[]))).await;
        let way = Way::to(&authority).smtp(server.address.port()).open();
        let outcome = probe(&way, &host(), LOCAL).await.outcome;
        let ProbeOutcome::Tls(facts) = outcome else { panic!("{what}: {outcome:?}") };
        assert_eq!(facts.web_pki, [expected], "{what}");
    }
}

#[tokio::test]
async fn only_a_220_greets() {
    for code in [221, 354, 421, 500, 501, 530, 554, 250] {
        let (outcome, heard) =
            play(vec![say(format!("{code} no\x01 service\r\n")), Step::Hear, say("221 x\r\n")]).await;
        assert_eq!(outcome, ProbeOutcome::Greeting(format!(r"{code} no\x01 service")), "{code}");
        assert_eq!(heard, ["QUIT"], "{code}: no EHLO");
    }
    let mut script = usual(Authority::new().issue(&["mx.d.test"]).server(&[]));
    script[0] = say("220-mx.d.test\r\n220-please be patient\r\n220 ok\r\n");
    assert!(matches!(play(script).await.0, ProbeOutcome::Tls(_)), "more lines are fine");
}

#[tokio::test]
async fn only_a_250_accepts_ehlo() {
    for code in [220, 221, 354, 421, 500, 501, 502, 504, 530, 550] {
        for quit in ["220 x\r\n", "354 x\r\n", "554 x\r\n", ""] {
            let mut script = vec![say("220 x\r\n"), Step::Hear, say(format!("{code} no\r\n")), Step::Hear];
            script.push(say(quit));
            let (outcome, heard) = play(script).await;
            assert_eq!(outcome, ProbeOutcome::Ehlo(format!("{code} no")));
            assert_eq!(heard, ["EHLO probe.test", "QUIT"], "no HELO, no STARTTLS");
        }
    }
}

#[tokio::test]
async fn starttls_that_is_not_offered_is_not_tried() {
    for (reply, keywords) in [
        ("250 mx.d.test\r\n", &[][..]),
        ("250\r\n", &[]),
        ("250 STARTTLS\r\n", &[]),
        ("250-x\r\n250-SIZE 1\r\n250 XXXXXXXA\r\n", &["SIZE 1", "XXXXXXXA"]),
        ("250-x\r\n250 XSTARTTLS\r\n", &["XSTARTTLS"]),
        ("250-x\r\n250 \x00STARTTLS\r\n", &[r"\x00STARTTLS"]),
    ] {
        let (outcome, heard) =
            play(vec![say("220 x\r\n"), Step::Hear, say(reply), Step::Hear, say("221 x\r\n")]).await;
        let keywords: Vec<String> = keywords.iter().map(ToString::to_string).collect();
        assert_eq!(outcome, ProbeOutcome::NoStartTls(keywords), "{reply:?}");
        assert_eq!(heard, ["EHLO probe.test", "QUIT"]);
    }
}

#[tokio::test]
async fn only_a_220_starts_tls() {
    for code in [221, 250, 354, 421, 454, 500, 501, 502, 530] {
        let mut script = until_starttls();
        script[4] = say(format!("{code} no\r\n"));
        script.extend([Step::Hear, say("221 x\r\n")]);
        let (outcome, heard) = play(script).await;
        assert_eq!(outcome, ProbeOutcome::StartTlsRefused(format!("{code} no")));
        assert_eq!(heard, ["EHLO probe.test", "STARTTLS", "QUIT"], "{code}");
    }
}

#[tokio::test]
async fn clear_text_behind_the_220_is_an_injection() {
    for surplus in [
        &b"250-x\r\n250 AUTH LOGIN\r\n"[..],
        b"unterminated",
        b"\r",
        b"\n",
        b"\x16\x03\x03",
        b"220 again\r\n",
    ] {
        for first in ["220 ok\r\n", "220-a\r\n220 b\r\n"] {
            let mut script = until_starttls();
            script[4] = say([first.as_bytes(), surplus].concat());
            script.push(Step::Hold);
            let (outcome, heard) = play(script).await;
            assert_eq!(outcome, ProbeOutcome::StartTlsInjection, "{:?}", surplus.escape_ascii().to_string());
            assert_eq!(heard, ["EHLO probe.test", "STARTTLS"]);
        }
    }
}

#[tokio::test]
async fn replies_ahead_of_their_commands_are_not_taken() {
    let ahead = |at: usize, bytes: &str| {
        let mut script = until_starttls();
        script[at] = say(bytes);
        script.push(Step::Hold);
        script
    };
    for (script, phase) in [
        (ahead(0, "220 x\r\n250-x\r\n250 STARTTLS\r\n"), "ehlo"),
        (ahead(2, "250-x\r\n250 STARTTLS\r\n220 go\r\n"), "starttls"),
    ] {
        let (outcome, _) = play(script).await;
        assert_eq!(outcome, ProbeOutcome::Protocol(format!("data ahead of the command ({phase})")));
    }
}

#[tokio::test]
async fn handshakes_that_fail_have_names() {
    for (bytes, reason, legacy) in [
        (vec![], "tls-eof", false),
        (vec![21, 3, 1, 0, 2, 2, 70], "tls-alert-protocol_version", true),
        (vec![21, 3, 3, 0, 2, 2, 40], "tls-alert-handshake_failure", true),
        (vec![21, 3, 3, 0, 2, 2, 80], "tls-alert-internal_error", false),
        (vec![0xAA; 4096], "tls-invalid_message-invalid_content_type", false),
        (b"454 TLS not available\r\n".to_vec(), "tls-invalid_message-invalid_content_type", false),
    ] {
        let mut script = until_starttls();
        // Surplus that comes later than the 220 is TLS's to judge.
        script.push(Step::HearTls);
        script.push(Step::Say(bytes));
        let (outcome, heard) = play(script).await;
        let ProbeOutcome::Handshake(failure) = outcome else { panic!("{reason}: {outcome:?}") };
        assert_eq!((failure.reason.as_str(), failure.maybe_legacy), (reason, legacy));
        assert!(failure.chain.is_empty());
        assert_eq!(heard, ["EHLO probe.test", "STARTTLS"], "nothing in clear after it");
    }
}

#[tokio::test]
async fn breaches_of_the_protocol_are_named() {
    let long = [&b"220 "[..], &[b'x'; 5000], b"\r\n"].concat();
    for (script, words) in [
        (vec![say("22 x\r\n")], "three digits (greeting)"),
        (vec![say("2200 x\r\n")], "three digits (greeting)"),
        (vec![say("hello\r\n")], "three digits (greeting)"),
        (vec![say("220_x\r\n")], "separator"),
        (vec![say("220-x\r\n554 y\r\n")], "different codes"),
        (vec![say(long)], "line of more than 4096 bytes"),
        (vec![Step::Flood(vec![b'2'; 65_536])], "line of more than 4096 bytes"),
        (vec![Step::Flood(b"220-x\r\n".repeat(1000))], "more than 128 lines"),
        (
            vec![say("220 x\r\n"), Step::Hear, Step::Flood(b"250-KEYWORD\r\n".repeat(1000))],
            "128 lines (ehlo)",
        ),
        (vec![say("220 x\r\n"), Step::Hear, say("250-x\r\n")], "connection closed (ehlo)"),
        (vec![], "connection closed (greeting)"),
    ] {
        let (outcome, _) = play(script).await;
        assert!(matches!(&outcome, ProbeOutcome::Protocol(w) if w.contains(words)), "{words}: {outcome:?}");
    }
}

#[tokio::test]
async fn no_peer_holds_us_up() {
    let until = |at: usize, last: Step| {
        let mut script = until_starttls();
        script.truncate(at);
        script.push(last);
        script
    };
    let drip = || Step::Drip(b"220 x".repeat(100));
    for (script, phase) in [
        (vec![Step::Hold], "greeting"),
        (vec![drip()], "greeting"),
        (until(2, Step::Hold), "ehlo"),
        (until(2, drip()), "ehlo"),
        (until(4, Step::Hold), "starttls"),
        (until(5, Step::Hold), "tls"),
    ] {
        assert_eq!(play_short(script).await, ProbeOutcome::Timeout(phase.into()));
    }
    // QUIT is not waited for.
    let refused = play_short(vec![say("554 no\r\n"), Step::Hold]).await;
    assert_eq!(refused, ProbeOutcome::Greeting("554 no".into()));
    // Nor is what comes inside TLS.
    let mut script = until_starttls();
    script.extend([Step::Tls(self_signed(&["mx.d.test"]).server(&[])), Step::Hold]);
    assert!(matches!(play_short(script).await, ProbeOutcome::Tls(_)));
}

#[tokio::test]
async fn the_session_has_a_deadline_of_its_own() {
    // Each phase is in time, all of them together are not.
    let mut script = until_starttls();
    script[0] = Step::Drip(b"220 abcdefghijk\r\n".to_vec());
    script[2] = Step::Drip(b"250-x\r\n250 STARTTLS\r\n".to_vec());
    script.push(Step::Hold);
    let server = FakeSmtp::start(script).await;
    let way = Way::to(&Authority::new())
        .smtp(server.address.port())
        .with(|o| o.probe.session = Duration::from_millis(500))
        .open();
    let probed = probe(&way, &host(), LOCAL).await;
    assert_eq!(probed.outcome, ProbeOutcome::Timeout("session".into()));
    assert!((500..2000).contains(&probed.elapsed_ms), "{}", probed.elapsed_ms);
}

#[tokio::test]
async fn what_cannot_be_connected_is_unreachable_or_private() {
    let authority = Authority::new();
    let nobody = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let way = Way::to(&authority).smtp(nobody).open();
    let outcome = probe(&way, &host(), LOCAL).await.outcome;
    assert!(matches!(&outcome, ProbeOutcome::Unreachable(why) if why.contains("refused")), "{outcome:?}");

    let server = FakeSmtp::start(vec![Step::Hold]).await;
    let way =
        Way::to(&authority).smtp(server.address.port()).with(|o| o.allow_private_addresses = false).open();
    assert_eq!(probe(&way, &host(), LOCAL).await.outcome, ProbeOutcome::PrivateAddress);
}

#[tokio::test]
async fn any_bytes_are_survived() {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..60 {
        let noise = |n: u64, random: &mut dyn FnMut() -> u64| -> Vec<u8> {
            (0..n).map(|_| b"2250- \r\nSTARTTLS\x00\xff"[(random() % 17) as usize]).collect()
        };
        let mut script = until_starttls();
        let at = [0, 2, 4][(random() % 3) as usize];
        script[at] = Step::Say(noise(random() % 300, &mut random));
        let _ = play(script).await;
    }
}
