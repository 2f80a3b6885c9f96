//! The mail server of an organisation, between a policy daemon and a collector that are stand-ins: it obeys
//! what it is told, and tells what it saw.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use mailward_core::Clock;
use mailward_core::tlsrpt::datagram::{Datagram, parse};
use mailward_lab::scenario::Outcome;
use mailward_lab::{Behaviour, CertificateKind, MailServer, Tampering, World, WorldOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};

/// One mail server, and what it is told.
struct House {
    world: World,
    server: MailServer,
    answer: Arc<Mutex<String>>,
    collector: UnixDatagram,
}

fn house() -> House {
    let world = World::start(&WorldOptions::default()).unwrap();
    world.good_domain("rcpt.test").unwrap();
    world.zone("org.test", mailward_lab::Security::Signed).unwrap();
    let (policyd, collector) = (world.directory.join("policyd.sock"), world.directory.join("tlsrpt.sock"));
    let answer = Arc::new(Mutex::new(String::new()));
    tokio::spawn(policy_daemon(UnixListener::bind(&policyd).unwrap(), Arc::clone(&answer)));
    let socket = UnixDatagram::bind(&collector).unwrap();
    socket.set_nonblocking(true).unwrap();
    let server = world.mail_server("org.test", policyd, collector).unwrap();
    House { world, server, answer, collector: socket }
}

async fn policy_daemon(listener: UnixListener, answer: Arc<Mutex<String>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 29];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"25:mailward-tlsrpt rcpt.test,", "as Postfix 3.10 asks");
        let answer = answer.lock().unwrap().clone();
        stream.write_all(format!("{}:{answer},", answer.len()).as_bytes()).await.unwrap();
    }
}

impl House {
    fn told(&self) -> Vec<Datagram> {
        let mut buffer = vec![0; 65_536];
        let next = || self.collector.recv(&mut buffer).ok().map(|n| parse(&buffer[..n]).unwrap());
        std::iter::from_fn(next).collect()
    }
}

const STS: &str = "OK secure match=mx1.rcpt.test servername=hostname policy_type=sts policy_domain=rcpt.test \
    { policy_string = mode: enforce } mx_host_pattern=mx1.rcpt.test";

#[tokio::test]
async fn it_obeys_and_tells() {
    use CertificateKind as C;
    use Outcome::{ClearText, Deferred, Delivered};
    let mut house = house();
    let address = house.world.mx("mx.rcpt.test", Behaviour::Good, C::Good).unwrap();
    house.world.set("rcpt.test", "MX", &["10 mx.rcpt.test."]).unwrap();
    let sts = STS.replace("mx1", "mx");
    let other = STS.replace("mx1", "mx9");
    let (good, bare) = (Behaviour::Good, Behaviour::NoStarttls);
    // What is answered, the certificate, the server, whether a TLSA record is there and matches; what becomes
    // of mail, and what is told: policy type, failed, result type.
    let rows = [
        (sts.as_str(), C::Good, &good, None, Delivered, "sts false "),
        (&sts, C::Expired, &good, None, Deferred, "sts true certificate-expired"),
        (&sts, C::WrongName, &good, None, Deferred, "sts true certificate-host-mismatch"),
        (&sts, C::Good, &bare, None, Deferred, "sts true starttls-not-supported"),
        (&other, C::Good, &good, None, Deferred, ""),
        ("OK dane-only", C::SelfSigned, &good, Some(true), Delivered, "tlsa false "),
        ("OK dane-only", C::Good, &good, Some(false), Deferred, "tlsa true certificate-not-trusted"),
        ("OK dane-only", C::Good, &good, None, Deferred, ""),
        ("OK dane-only", C::Good, &bare, Some(true), Deferred, "tlsa true starttls-not-supported"),
        ("OK dane", C::Expired, &good, None, Delivered, "no-policy-found false "),
        ("NOTFOUND ", C::Good, &good, Some(false), Deferred, "tlsa true certificate-not-trusted"),
        ("NOTFOUND ", C::Good, &bare, None, ClearText, ""),
        ("OK may", C::Good, &good, Some(false), Delivered, "no-policy-found false "),
        ("OK encrypt", C::SelfSigned, &good, None, Delivered, "no-policy-found false "),
        ("OK encrypt", C::Good, &bare, None, Deferred, "no-policy-found true starttls-not-supported"),
        ("TEMP rcpt.test: no answer from the DNS", C::Good, &good, None, Deferred, ""),
        ("OK secure match=mx.rcpt.test who=knows", C::Good, &good, None, Deferred, ""),
    ];
    for (answer, kind, behaviour, tlsa, outcome, told) in rows {
        let row = format!("{answer}, {kind:?}, {behaviour:?}, {tlsa:?}");
        let identity = house.world.ca.issue(&["mx.rcpt.test"], kind);
        let digest = if tlsa == Some(true) { identity.spki_sha256() } else { "00".repeat(32) };
        let record = format!("3 1 1 {digest}");
        let records: Vec<&str> = tlsa.iter().map(|_| record.as_str()).collect();
        house.world.set("_25._tcp.mx.rcpt.test", "TLSA", &records).unwrap();
        house.world.mx_hosts.set_certificate(address, identity);
        house.world.mx_hosts.set_behaviour(address, behaviour.clone());
        answer.clone_into(&mut house.answer.lock().unwrap());
        let before = house.world.mx_hosts.messages(address).len();
        let sent = house.server.send("rcpt.test", 1).await.unwrap();
        assert_eq!(sent.outcome, outcome, "{row}: {:?}", sent.remarks);
        let arrived = house.world.mx_hosts.messages(address);
        assert_eq!(arrived.len() - before, usize::from(outcome != Deferred), "{row}");
        if outcome != Deferred {
            assert_eq!(arrived.last().unwrap().tls.is_some(), outcome == Delivered, "{row}");
        }
        let datagrams = house.told();
        let seen: Vec<String> = datagrams
            .iter()
            .map(|datagram| {
                let told = &datagram.policies[0];
                let failure = told.failures.first().map(|f| f.result_type.as_str()).unwrap_or_default();
                format!("{} {} {failure}", told.policy.policy_type.as_str(), told.failed)
            })
            .collect();
        assert_eq!(seen.join("; "), told, "{row}");
        assert!(datagrams.iter().all(|d| d.domain.as_str() == "rcpt.test"), "{row}");
    }
}

#[tokio::test]
async fn what_waits_is_tried_again_and_reports_do_not_wait() {
    let mut house = house();
    *house.answer.lock().unwrap() = STS.replace("mx1", "mx");
    let address = house.world.mx("mx.rcpt.test", Behaviour::Good, CertificateKind::Good).unwrap();
    house.world.set("rcpt.test", "MX", &["10 mx.rcpt.test."]).unwrap();
    let mallory = house.world.intercept(&["org.test"], address, Tampering::StripStarttls).unwrap();
    mallory.attack();
    assert_eq!(house.server.send("rcpt.test", 3).await.unwrap().outcome, Outcome::Deferred);
    assert_eq!(house.server.waiting("rcpt.test"), 3);
    assert!(mallory.overheard().is_empty() && house.world.mx_hosts.messages(address).is_empty());

    // A report, as the reporter hands it in.
    let text =
        "From: <tls@org.test>\r\nTLS-Required: No\r\nTLS-Report-Domain: rcpt.test\r\n\r\n.a dot first\r\n";
    hand_in(&house, text).await;
    assert_eq!(house.server.work().await.unwrap().outcome, Outcome::Deferred);
    let arrived = house.world.mx_hosts.messages(address);
    assert_eq!(arrived.len(), 1, "the report alone");
    assert_eq!((arrived[0].tls.as_deref(), arrived[0].from.as_str()), (None, ""));
    assert_eq!(
        String::from_utf8_lossy(&arrived[0].data),
        text,
        "to the last octet, so that its signature holds"
    );
    assert_eq!(mallory.overheard().len(), 1);
    assert_eq!(house.server.waiting("rcpt.test"), 3);

    mallory.relent();
    assert_eq!(house.server.work().await.unwrap().outcome, Outcome::Delivered);
    assert_eq!(house.server.waiting("rcpt.test"), 0);
    let arrived = house.world.mx_hosts.messages(address);
    assert_eq!((arrived.len(), arrived.iter().filter(|mail| mail.tls.is_some()).count()), (4, 3));
    assert_eq!(mallory.overheard().len(), 1, "nothing but the report");
    // Three tries of three letters, and nothing of the report.
    let told = house.told();
    assert_eq!((told.len(), told.iter().filter(|d| d.policies[0].failed).count()), (9, 6));
    let today = house.world.clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    assert_eq!(house.server.told_on(today), 9);
}

/// Hands in a mail as a client on this machine does.
async fn hand_in(house: &House, text: &str) {
    let port = house.world.smtp_port;
    let mut stream = TcpStream::connect((house.server.submission(), port)).await.unwrap();
    let text = text.replace("\r\n.", "\r\n..");
    let mail = format!(
        "EHLO here.test\r\nMAIL FROM:<>\r\nRCPT TO:<tls-reports@rcpt.test>\r\nDATA\r\n{text}.\r\nQUIT\r\n"
    );
    stream.write_all(mail.as_bytes()).await.unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).await.unwrap();
    assert!(replies.contains("250 2.0.0 taken"), "{replies}");
}
