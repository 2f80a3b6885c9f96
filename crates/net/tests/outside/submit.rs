//! Handing mail to our own server: protection, logging in, what it offers, and servers that do not behave.

use std::net::SocketAddr;
use std::sync::Arc;

use mailward_core::tlsrpt::outgoing::Answer::{self, Accepted, Later, Refused};
use mailward_net::Outside;
use mailward_net::post::Delivered;
use mailward_net::submit::{Login, SubmitServer, submit, submit_within};
use rustls::ServerConfig;
use tokio::time::{Duration, Instant};

use crate::fake_smtp::Step::{Drip, Flood, Hear, HearTls, Hold, Tls};
use crate::fake_smtp::{FakeSmtp, Step, say};
use crate::world::{Authority, Way, self_signed};

/// The only name that the system resolves everywhere.
const NAME: &str = "localhost";
const MAIL: &str = "Subject: x\r\n\r\n.dot\r\nbody\r\n";
const TO: &str = "tls@a.test";

fn server(scheme: &str, address: SocketAddr) -> SubmitServer {
    let host = if scheme == "smtp" { address.ip().to_string() } else { NAME.to_owned() };
    format!("{scheme}://{host}:{}", address.port()).parse().unwrap()
}

fn login() -> Login {
    Login { user: "reports".into(), password: "s3cret".into() }
}

/// The lines of a mail up to its end, so many of them.
fn hear_mail() -> Vec<Step> {
    vec![Hear; MAIL.lines().count() + 1]
}

/// From MAIL to QUIT, the mail taken.
fn takes_mail() -> Vec<Step> {
    let mut steps = vec![Hear, say("250 ok\r\n"), Hear, say("250 ok\r\n"), Hear, say("354 go\r\n")];
    steps.extend(hear_mail());
    steps.extend([say("250 2.0.0 queued\r\n"), Hear, say("221 bye\r\n")]);
    steps
}

fn greets(ehlo: &str) -> Vec<Step> {
    vec![say("220-mail\r\n220 ESMTP\r\n"), Hear, say(ehlo)]
}

fn joined(parts: impl IntoIterator<Item = Vec<Step>>) -> Vec<Step> {
    parts.into_iter().flatten().collect()
}

struct Desk {
    outside: Outside,
    good: Arc<ServerConfig>,
    authority: Authority,
}

impl Desk {
    fn new() -> Self {
        let authority = Authority::new();
        let good = authority.issue(&[NAME]).server(&[]);
        Self { outside: Way::to(&authority).open(), good, authority }
    }

    /// STARTTLS, and the EHLO inside.
    fn starttls(&self, ehlo: &str) -> Vec<Step> {
        let inside = vec![Hear, say("220 go ahead\r\n"), Tls(Arc::clone(&self.good)), Hear, say(ehlo)];
        joined([greets("250-mail\r\n250 STARTTLS\r\n"), inside])
    }

    /// TLS from the start.
    fn tls(&self, ehlo: &str) -> Vec<Step> {
        joined([vec![Tls(Arc::clone(&self.good))], greets(ehlo)])
    }

    async fn hand_in(
        &self,
        scheme: &str,
        login: Option<&Login>,
        to: &str,
        script: Vec<Step>,
    ) -> (Delivered, Vec<String>) {
        let fake = FakeSmtp::start(script).await;
        let delivered =
            submit(&self.outside, &server(scheme, fake.address), login, to, MAIL.as_bytes()).await;
        (delivered, fake.heard())
    }

    #[track_caller]
    fn expect(why: &str, outcome: &(Delivered, Vec<String>), answer: Answer, part: &str) {
        let (delivered, heard) = outcome;
        assert_eq!(delivered.answer, answer, "{why}: {delivered:?} {heard:?}");
        assert!(delivered.text.contains(part), "{why}: {part:?} is not in {:?}; {heard:?}", delivered.text);
    }
}

const PLAIN: &str = "AUTH PLAIN AHJlcG9ydHMAczNjcmV0";

#[tokio::test]
async fn a_mail_is_handed_in_however_the_connection_is_protected() {
    let desk = Desk::new();
    let auth = || vec![Hear, say("235 2.7.0 ok\r\n")];
    let offers = "250-mail\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 AUTH LOGIN PLAIN\r\n";
    for (scheme, script) in
        [("smtp", greets(offers)), ("smtp+starttls", desk.starttls(offers)), ("smtps", desk.tls(offers))]
    {
        let login = login();
        let outcome = desk.hand_in(scheme, Some(&login), TO, joined([script, auth(), takes_mail()])).await;
        Desk::expect(scheme, &outcome, Accepted, "250 2.0.0 queued");
        let heard = outcome.1;
        let from = heard.iter().position(|line| line == PLAIN).unwrap_or_else(|| panic!("{heard:?}"));
        let size = format!("MAIL FROM:<> SIZE={}", MAIL.len());
        let told = ["RCPT TO:<tls@a.test>", "DATA", "Subject: x", "", "..dot", "body", ".", "QUIT"];
        assert_eq!(heard[from + 1], size, "{scheme}");
        assert_eq!(heard[from + 2..], told, "{scheme}");
        assert_eq!(
            heard.iter().filter(|line| *line == "STARTTLS").count(),
            usize::from(scheme.contains('+'))
        );
    }
}

#[tokio::test]
async fn who_logs_in_knows_two_ways_and_says_why_it_failed() {
    let desk = Desk::new();
    let ehlo = |auth: &str| format!("250-mail\r\n250 {auth}\r\n");
    let refused = "535 5.7.8 authentication failed\r\n";
    for (auth, script, answer, part, said) in [
        (
            "AUTH LOGIN",
            joined([
                vec![Hear, say("334 VXNlcm5hbWU6\r\n"), Hear, say("334 UGFzc3dvcmQ6\r\n"), Hear],
                vec![say("235 ok\r\n")],
                takes_mail(),
            ]),
            Accepted,
            "250",
            &["AUTH LOGIN", "cmVwb3J0cw==", "czNjcmV0"][..],
        ),
        ("AUTH=PLAIN", joined([vec![Hear, say("235 ok\r\n")], takes_mail()]), Accepted, "250", &[PLAIN]),
        (
            "AUTH PLAIN",
            vec![Hear, say(refused)],
            Later(None),
            "refuses the login of reports: 535 5.7.8 authentication failed; check reporter.user and reporter.password_file",
            &[PLAIN],
        ),
        (
            "AUTH LOGIN",
            vec![Hear, say("334 a\r\n"), Hear, say(refused)],
            Later(None),
            "refuses the login of reports",
            &["AUTH LOGIN", "cmVwb3J0cw=="],
        ),
        (
            "AUTH PLAIN",
            vec![Hear, say("454 4.7.0 try again\r\n")],
            Later(None),
            "cannot check the login of reports now: 454",
            &[PLAIN],
        ),
        (
            "AUTH PLAIN",
            vec![Hear, say(format!("500 unknown: {PLAIN}\r\n"))],
            Later(None),
            "500, with our command repeated",
            &[PLAIN],
        ),
        ("AUTH CRAM-MD5 GSSAPI", vec![], Later(None), "offers CRAM-MD5, GSSAPI to log in", &[]),
        ("SIZE 100", vec![], Later(None), "offers no login (AUTH): use its submission port", &[]),
    ] {
        let login = login();
        let outcome = desk.hand_in("smtps", Some(&login), TO, joined([desk.tls(&ehlo(auth)), script])).await;
        Desk::expect(auth, &outcome, answer, part);
        assert!(!outcome.0.text.contains("AHJlcG9y"), "{:?}", outcome.0);
        assert_eq!(outcome.1[1..1 + said.len()], *said, "{auth}");
    }

    // Too long for a command of RFC 5321.
    let long = Login { user: "reports".into(), password: "x".repeat(500) };
    let steps = vec![Hear, say("334 \r\n"), Hear, say("235 ok\r\n")];
    let script = joined([desk.tls(&ehlo("AUTH PLAIN")), steps, takes_mail()]);
    let outcome = desk.hand_in("smtps", Some(&long), TO, script).await;
    Desk::expect("a long password", &outcome, Accepted, "250");
    assert_eq!((outcome.1[1].as_str(), outcome.1[2].len()), ("AUTH PLAIN", 680));
}

#[tokio::test]
async fn passwords_go_only_where_the_certificate_holds() {
    let desk = Desk::new();
    let offers = "250-mail\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n";
    let stranger = desk.authority.issue(&["other.test"]).server(&[]);
    let own = self_signed(&[NAME]).server(&[]);
    let late = desk.authority.issue_with(&[NAME], |params| params.not_after = params.not_before).server(&[]);
    for (config, part) in [
        (&stranger, "shows a certificate that does not hold: it names other.test"),
        (&own, "shows a certificate that does not hold: it is self-signed"),
        (&late, "shows a certificate that does not hold: it expired at"),
    ] {
        let upgrade = vec![Hear, say("220 go\r\n"), Tls(Arc::clone(config)), Hear];
        for (scheme, script) in [
            ("smtps", joined([vec![Tls(Arc::clone(config))], greets(offers), vec![Hear]])),
            ("smtp+starttls", joined([greets(offers), upgrade])),
        ] {
            let login = login();
            let outcome = desk.hand_in(scheme, Some(&login), TO, script).await;
            Desk::expect(scheme, &outcome, Later(None), part);
            Desk::expect(scheme, &outcome, Later(None), "tls.extra_roots");
            assert!(!outcome.1.iter().any(|line| line.starts_with("AUTH")), "{:?}", outcome.1);
        }
    }
    let go = |text: &str| vec![Hear, say(text)];
    let plain = "250-mail\r\n250 AUTH PLAIN\r\n";
    for (script, part) in [
        (greets(plain), "offers no STARTTLS, so nothing was handed in"),
        (joined([greets(offers), go("454 4.7.0 not now\r\n")]), "answers STARTTLS with 454 4.7.0 not now"),
        (joined([greets(offers), go("220 go\r\n250 injected\r\n")]), "sends text ahead of TLS"),
        (
            joined([greets(offers), go("220 go\r\n"), vec![HearTls, say("no handshake at all")]]),
            "the handshake of TLS",
        ),
    ] {
        let login = login();
        let outcome = desk.hand_in("smtp+starttls", Some(&login), TO, script).await;
        Desk::expect(part, &outcome, Later(None), part);
        assert!(!outcome.1.iter().any(|line| line.starts_with("AUTH")), "{:?}", outcome.1);
    }
}

#[tokio::test]
async fn what_a_server_does_not_offer_is_not_asked_of_it() {
    let desk = Desk::new();
    for (ehlo, to, script, answer, part, mail) in [
        ("250 mail\r\n", TO, takes_mail(), Accepted, "250", "MAIL FROM:<>"),
        ("250-mail\r\n250 SIZE\r\n", TO, takes_mail(), Accepted, "250", "MAIL FROM:<> SIZE=26"),
        ("250-mail\r\n250 SIZE 0\r\n", TO, takes_mail(), Accepted, "250", "MAIL FROM:<> SIZE=26"),
        ("250-mail\r\n250 SIZE 26\r\n", TO, takes_mail(), Accepted, "250", "MAIL FROM:<> SIZE=26"),
        (
            "250-mail\r\n250 SIZE 25\r\n",
            TO,
            vec![],
            Later(None),
            "takes mails of at most 25 bytes, and the report has 26: raise its limit",
            "",
        ),
        (
            "250-mail\r\n250 SMTPUTF8\r\n",
            "größe@a.test",
            takes_mail(),
            Accepted,
            "250",
            "MAIL FROM:<> SMTPUTF8",
        ),
        ("250-mail\r\n250 8BITMIME\r\n", "größe@a.test", vec![], Refused, "does not offer SMTPUTF8", ""),
    ] {
        let outcome = desk.hand_in("smtp", None, to, joined([greets(ehlo), script])).await;
        Desk::expect(ehlo, &outcome, answer, part);
        assert_eq!(outcome.1.get(1).map_or("", String::as_str), mail, "{ehlo}");
        let rcpt = format!("RCPT TO:<{to}>");
        assert_eq!(outcome.1.get(2), (answer == Accepted).then_some(&rcpt), "{ehlo}");
    }
}

#[tokio::test]
async fn an_answer_is_believed_where_it_is_due() {
    let desk = Desk::new();
    let ehlo = || greets("250 mail\r\n");
    let ok = || vec![Hear, say("250 ok\r\n")];
    let hears_all = || joined([ehlo(), ok(), ok(), vec![Hear, say("354 go\r\n")], hear_mail()]);
    let unknown = "whether it was taken is not known, so the same mail is sent again";
    for (script, answer, part) in [
        (vec![say("421 4.3.2 too busy\r\n")], Later(None), "answers the connection with 421 4.3.2 too busy"),
        (vec![], Later(None), "hung up at the connection"),
        (vec![say("220 mail\r\n"), Hear, say("421 bye\r\n")], Later(None), "answers EHLO with 421 bye"),
        (vec![say("220 mail\r\n"), Hear, say("502 what\r\n")], Later(None), "answers EHLO with 502 what"),
        (vec![say("220 mail\r\n"), Hear, say("250-a\r\n220 b\r\n")], Later(None), "different codes"),
        (vec![say("hello\r\n")], Later(None), "answers the connection with a reply without a code"),
        (vec![say("220 "), Flood(vec![b'x'; 4096])], Later(None), "a reply line of more than 4096 bytes"),
        (vec![say("220 m\r\n"), Hear, Flood(b"250-x\r\n".to_vec())], Later(None), "more than 128 lines"),
        (joined([ehlo(), vec![Hear, say("553 5.1.8 not you\r\n")]]), Later(None), "answers MAIL with 553"),
        (joined([ehlo(), ok(), vec![Hear, say("550 5.1.1 who\r\n")]]), Refused, "550 5.1.1 who"),
        (joined([ehlo(), ok(), vec![Hear, say("550-5.1.1\r\n550 who\r\n")]]), Refused, "550 5.1.1 / who"),
        (joined([ehlo(), ok(), vec![Hear, say("421 shut down\r\n")]]), Later(None), "421 shut down"),
        (joined([ehlo(), ok(), vec![Hear, say("554 5.7.1 no\r\n")]]), Later(None), "let it relay for us"),
        (joined([ehlo(), ok(), ok(), vec![Hear, say("554 no valid\r\n")]]), Refused, "554 no valid"),
        // Answers to questions that were not asked yet.
        (
            joined([ehlo(), vec![Hear, say("250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n")], hear_mail()]),
            Later(None),
            "sends replies before RCPT, unasked",
        ),
        (
            joined([ehlo(), ok(), ok(), vec![Hear, say("354 go\r\n250 taken\r\n")], hear_mail()]),
            Later(None),
            "sends replies before the mail, unasked",
        ),
        (joined([hears_all(), vec![say("250 taken\r\n")]]), Accepted, "250 taken"),
        (joined([hears_all(), vec![say("451 4.3.0 later\r\n")]]), Later(None), "451 4.3.0 later"),
        (joined([hears_all(), vec![say("552 5.2.2 full\r\n")]]), Refused, "552 5.2.2 full"),
        (joined([hears_all(), vec![say("354 go on\r\n")]]), Later(None), "354 go on"),
        (hears_all(), Later(None), unknown),
        (joined([hears_all(), vec![say("25")]]), Later(None), unknown),
        (joined([hears_all(), vec![say("garbage\r\n")]]), Later(None), unknown),
    ] {
        let outcome = desk.hand_in("smtp", None, TO, script).await;
        Desk::expect(part, &outcome, answer, part);
        assert!(outcome.0.text.len() <= 255, "{:?}", outcome.0.text);
        let knows = outcome.0.text.contains(unknown);
        assert_eq!(knows, part == unknown, "{:?}", outcome.0.text);
    }
    // Nobody is there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let delivered = submit(&desk.outside, &server("smtp", nobody), None, TO, MAIL.as_bytes()).await;
    Desk::expect("nobody", &(delivered, vec![]), Later(None), "cannot be spoken to (the connection)");
}

#[tokio::test]
async fn the_limit_is_for_all_of_it() {
    let desk = Desk::new();
    let (greets, ehlo) = (say("220 mail\r\n"), "250 mail\r\n");
    let rows = [
        (vec![Hold], "the connection"),
        (vec![greets.clone(), Hear, Hold], "EHLO"),
        (vec![greets.clone(), Hear, Drip(vec![b'2'; 100_000])], "EHLO"),
        (vec![greets.clone(), Hear, Drip(b"250-x\r\n".repeat(10_000))], "EHLO"),
        (vec![greets.clone(), Hear, say(ehlo), Hear, Hold], "MAIL"),
        (
            joined([
                vec![greets, Hear, say(ehlo), Hear, say("250 ok\r\n"), Hear, say("250 ok\r\n")],
                vec![Hear, say("354 go\r\n")],
                hear_mail(),
                vec![Hold],
            ]),
            "the end of the mail",
        ),
    ];
    let limit = Duration::from_secs(3);
    let tries = rows.map(|(script, what)| {
        let desk = &desk;
        async move {
            let fake = FakeSmtp::start(script).await;
            let server = server("smtp", fake.address);
            let begun = Instant::now();
            let delivered = submit_within(limit, &desk.outside, &server, None, TO, MAIL.as_bytes()).await;
            assert!(begun.elapsed() < 5 * limit, "{what}: {:?}", begun.elapsed());
            let part = format!("gives no whole answer to {what}: 3 s are over");
            Desk::expect(what, &(delivered, fake.heard()), Later(None), &part);
        }
    });
    futures_util::future::join_all(tries).await;
}
