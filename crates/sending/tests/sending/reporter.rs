//! The reporter: a day that is over becomes one report, which leaves as mail or by POST.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mailward_core::tlsrpt::datagram::{SessionFailure, SessionPolicy};
use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_core::tlsrpt::{PolicyType, ResultType, lint_report};
use mailward_duty::{Stop, StopSignal};
use mailward_lab::{Behaviour, CertificateKind, Fault, World, WorldOptions};
use mailward_net::Outside;
use mailward_sending::reporter::SigningKey;
use mailward_sending::{Reporter, ReporterOptions};
use mailward_store::Store;
use mailward_store::outgoing::{Made, OutgoingFilter, OutgoingRow};
use mailward_store::tallies::{Increment, TallySource};
use tempfile::TempDir;

use crate::endpoint::Endpoint;
use crate::house::{named, outside, sqlite};

pub struct Office {
    pub world: World,
    pub store: Store,
    pub reporter: Reporter,
    /// Where our own mail server is.
    server: std::net::Ipv4Addr,
    stop: Stop,
    _signal: StopSignal,
    _directory: TempDir,
}

const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";

impl Office {
    pub async fn open(private: bool) -> Self {
        let world = World::start(&WorldOptions::default()).unwrap();
        world.zone("test", mailward_lab::Security::Unsigned).unwrap();
        let server = world.mx("mail.sender.test", Behaviour::Good, CertificateKind::Good).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&sqlite(&directory)).await.unwrap();
        let reporter = reporter(&world, &store, server, private);
        let (signal, stop) = StopSignal::new();
        Self { world, store, reporter, server, stop, _signal: signal, _directory: directory }
    }

    /// Sessions of a domain on the present day, and where it wants the report.
    pub async fn seen(&self, domain: &str, rua: &str, failed: u64) {
        let record = format!("v=TLSRPTv1; rua={rua}");
        self.world.set(&format!("_smtp._tls.{domain}"), "TXT", &[&record]).unwrap();
        let increment = Increment {
            day: self.now().to_zoned(jiff::tz::TimeZone::UTC).date(),
            domain: named(domain),
            record,
            source: TallySource::MailServer,
            policy: SessionPolicy {
                policy_type: PolicyType::Sts,
                policy_domain: domain.parse().unwrap(),
                policy_string: vec!["version: STSv1".into(), "mode: enforce".into()],
                mx_host: vec![format!("*.{domain}")],
            },
            successful: 7,
            failed,
            failures: if failed > 0 { vec![(failure(), failed)] } else { vec![] },
        };
        self.store.add_tallies(&[increment]).await.unwrap();
    }

    fn now(&self) -> Timestamp {
        mailward_core::Clock::now(&*self.world.clock)
    }

    pub fn pass(&self, hours: i64, minutes: i64) {
        self.world.clock.advance(SignedDuration::from_mins(hours * 60 + minutes));
    }

    pub async fn make(&self) -> usize {
        self.reporter.make(&self.stop).await.unwrap()
    }

    pub async fn send(&self) -> usize {
        self.reporter.send(&self.stop).await.unwrap()
    }

    async fn rows(&self) -> Vec<OutgoingRow> {
        self.store.outgoing_reports(&OutgoingFilter::default(), None, 99).await.unwrap().rows
    }

    /// State, tries and answer of the only target.
    pub async fn target(&self) -> (TargetState, u32, String) {
        let target = self.rows().await.remove(0).targets.remove(0);
        (target.state, target.tries, target.answer)
    }

    fn mails(&self) -> Vec<String> {
        let messages = self.world.mx_hosts.messages(self.server);
        messages.into_iter().map(|m| String::from_utf8(m.data).unwrap()).collect()
    }
}

fn failure() -> SessionFailure {
    SessionFailure {
        result_type: ResultType::StarttlsNotSupported,
        sending_mta_ip: None,
        receiving_mx_hostname: Some("mx.a.test".into()),
        receiving_mx_helo: None,
        receiving_ip: None,
        additional_information: None,
        failure_reason_code: None,
    }
}

pub fn reporter(world: &World, store: &Store, server: std::net::Ipv4Addr, private: bool) -> Reporter {
    let mut out: Outside = outside(world);
    let mut way = (*out.options).clone();
    way.allow_private_addresses = private;
    out.options = Arc::new(way);
    Reporter::new(store.clone(), out, options(world, server)).unwrap()
}

/// A reporter that hands its mail to this server.
pub fn options(world: &World, server: std::net::Ipv4Addr) -> ReporterOptions {
    let key = SigningKey::from_pem(KEY.as_bytes(), &"sender.test".parse().unwrap(), "tlsrpt").unwrap();
    ReporterOptions {
        organization: "Größe, \"Inc\"".into(),
        contact: "tls@sender.test".into(),
        from: "noreply@sender.test".into(),
        submit: format!("smtp://{server}:{}", world.smtp_port).parse().unwrap(),
        login: None,
        keys: vec![Arc::new(key)],
        spread: SignedDuration::ZERO,
        success_only: false,
        probes: false,
        alone: false,
    }
}

#[tokio::test]
async fn a_day_that_is_over_becomes_one_mail() {
    let office = Office::open(true).await;
    office.seen("a.test", "mailto:tls%21x@a.test", 2).await;
    assert_eq!(office.make().await, 0, "today");
    office.pass(15, 4);
    assert_eq!(office.make().await, 0, "others may still hold sessions of the day");
    office.pass(0, 2);
    assert_eq!(office.make().await, 1);
    assert_eq!(office.make().await, 0, "once");
    assert_eq!(office.send().await, 1);
    assert_eq!(office.send().await, 0);

    let message = office.world.mx_hosts.messages(office.server).remove(0);
    assert_eq!((message.from.as_str(), &message.to[..]), ("", &["tls!x@a.test".to_owned()][..]));
    let mail = String::from_utf8(message.data.clone()).unwrap();
    let row = office.rows().await.remove(0);
    for line in [
        "DKIM-Signature: v=1; a=ed25519-sha256; s=tlsrpt; d=sender.test;",
        "TLS-Report-Domain: a.test\r\n",
        "TLS-Report-Submitter: sender.test\r\n",
        "TLS-Required: No\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "To: <tls!x@a.test>\r\n",
        "multipart/report; report-type=\"tlsrpt\";",
        &format!("Message-ID: <{}>\r\n", row.report_id),
        &format!(
            "Subject: Report Domain: a.test\r\n Submitter: sender.test\r\n Report-ID: <{}>\r\n",
            row.report_id
        ),
        "sender.test!a.test!1793577600!1793663999!",
    ] {
        assert!(mail.contains(line), "{line}\n{mail}");
    }
    assert!(mail.is_ascii() && mail.lines().all(|line| line.len() < 998), "{mail}");
    let signature = mail.split("\r\nFrom:").next().unwrap().to_ascii_lowercase();
    for field in ["tls-report-domain", "tls-report-submitter", "from", "date", "message-id"] {
        assert!(signature.contains(field), "{field} is not signed: {signature}");
    }
    assert!(!signature.contains(" l="), "{signature}");
    // A receiver has nothing to complain about but that nobody asked the DNS for the key.
    let linted = lint_report(&message.data, None, office.now());
    let ids: Vec<_> = linted.findings.iter().map(|finding| (&finding.id, &finding.message)).collect();
    assert!(linted.findings.iter().all(|f| f.message.contains("DKIM")), "{ids:?}");
    assert_eq!(linted.reports[0].report_id, row.report_id);
    assert_eq!((row.state, row.made), (Some(TargetState::Sent), Made::Report));
    assert!(row.targets[0].answer.starts_with("250"), "{}", row.targets[0].answer);
}

#[tokio::test]
async fn no_record_no_report_and_no_answer_no_loss() {
    let office = Office::open(true).await;
    for (domain, failed) in [("gone.test", 1), ("broken.test", 1), ("silent.test", 1), ("good.test", 0)] {
        office.seen(domain, &format!("mailto:tls@{domain}"), failed).await;
    }
    office.world.dns.remove("_smtp._tls.gone.test", "TXT").unwrap();
    office.world.set("_smtp._tls.broken.test", "TXT", &["v=TLSRPTv1; rua=mailto:a@b.test!10m"]).unwrap();
    office.world.dns.fault("_smtp._tls.silent.test", None, Some(Fault::ServFail)).unwrap();
    office.pass(24 * 3, 0);
    assert_eq!(office.make().await, 3);
    let made: Vec<_> = office.rows().await.into_iter().map(|r| (r.domain.to_string(), r.made)).collect();
    for row in [
        ("gone.test".to_owned(), Made::NoRecord),
        ("broken.test".to_owned(), Made::NoRecord),
        ("good.test".to_owned(), Made::NothingFailed),
    ] {
        assert!(made.contains(&row), "{row:?}: {made:?}");
    }
    office.world.dns.fault("_smtp._tls.silent.test", None, None).unwrap();
    assert_eq!(office.make().await, 0, "not at once");
    office.pass(0, 3);
    assert_eq!(office.make().await, 1, "the day was not lost");
    assert_eq!(office.send().await, 1);
    assert_eq!(office.mails().len(), 1);
}

#[tokio::test]
async fn refusals_end_and_troubles_are_tried_for_a_day() {
    let office = Office::open(true).await;
    office.seen("a.test", "mailto:tls@a.test", 1).await;
    office.pass(16, 0);
    office.make().await;
    let replies = [
        (
            "554 5.7.1 relay access denied",
            " (our own mail server refuses us: let it relay for us, or set reporter.user)",
            "our own server's policy is no refusal",
        ),
        ("451 4.3.0 later", "", "later"),
    ];
    for (tries, (reply, advice, why)) in (1..).zip(replies) {
        office.world.mx_hosts.set_behaviour(office.server, Behaviour::Recipient(reply.into()));
        assert_eq!(office.send().await, 1, "{why}");
        assert_eq!(office.target().await, (TargetState::Waiting, tries, format!("{reply}{advice}")), "{why}");
        assert_eq!(office.send().await, 0, "not at once");
        office.pass(0, 3);
    }
    let mut tries = 2;
    while office.target().await.0 == TargetState::Waiting {
        tries += office.send().await;
        office.pass(1, 0);
        assert!(tries < 40);
    }
    assert_eq!(office.target().await.0, TargetState::GivenUp);
    assert!((8..=20).contains(&tries), "{tries}");

    office.seen("b.test", "mailto:tls@b.test", 1).await;
    office.world.mx_hosts.set_behaviour(office.server, Behaviour::Recipient("550 5.1.1 no such user".into()));
    office.pass(24, 0);
    office.make().await;
    assert_eq!(office.send().await, 1);
    assert_eq!(office.target().await, (TargetState::Refused, 1, "550 5.1.1 no such user".to_owned()));
    assert_eq!(office.mails(), Vec::<String>::new());
}

#[tokio::test]
async fn reports_are_posted() {
    let office = Office::open(true).await;
    let endpoint = Endpoint::start(&office.world, "r.test").await;
    office.seen("a.test", "https://r.test/v1/tls-rpt?x=1", 1).await;
    office.pass(16, 0);
    office.make().await;
    endpoint.answer("503 Busy", "Retry-After: 7200", "later\r\nplease");
    assert_eq!(office.send().await, 1);
    assert_eq!(office.target().await, (TargetState::Waiting, 1, "503 later please".to_owned()));
    office.pass(1, 59);
    assert_eq!(office.send().await, 0, "as asked");
    office.pass(0, 2);
    endpoint.answer("307 Moved", "Location: /v2", "");
    endpoint.answer("201 Created", "X: y", "thanks");
    assert_eq!(office.send().await, 1);
    assert_eq!(office.target().await, (TargetState::Sent, 2, "201 thanks".to_owned()));
    let requests = endpoint.requests();
    let first_lines: Vec<&str> = requests.iter().map(|r| r.0.lines().next().unwrap()).collect();
    assert_eq!(
        first_lines,
        ["POST /v1/tls-rpt?x=1 HTTP/1.1", "POST /v1/tls-rpt?x=1 HTTP/1.1", "POST /v2 HTTP/1.1"]
    );
    for (head, body) in &requests {
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/tlsrpt+gzip\r\n"), "{head}");
        assert!(!head.contains("content-encoding"), "{head}");
        let linted = lint_report(body, None, office.now());
        assert_eq!((linted.findings.len(), linted.reports.len()), (0, 1), "{:?}", linted.findings);
    }
}

#[tokio::test]
async fn strangers_do_not_lead_us_inside() {
    let office = Office::open(false).await;
    let endpoint = Endpoint::start(&office.world, "r.test").await;
    for (n, uri) in [
        "https://r.test/",
        "https://127.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::1]/",
        "https://10.0.0.1:25/",
    ]
    .into_iter()
    .enumerate()
    {
        office.seen(&format!("d{n}.test"), uri, 1).await;
    }
    office.pass(16, 0);
    office.make().await;
    assert_eq!(office.send().await, 5);
    for row in office.rows().await {
        let target = &row.targets[0];
        assert_eq!(target.state, TargetState::Refused, "{target:?}");
        assert!(target.answer.contains("private or reserved"), "{target:?}");
    }
    assert_eq!(endpoint.requests(), vec![]);
}

#[tokio::test]
async fn other_hosts_and_bad_certificates_get_nothing() {
    let office = Office::open(true).await;
    let endpoint = Endpoint::start(&office.world, "r.test").await;
    let bad = Endpoint::with(&office.world, "bad.test", CertificateKind::SelfSigned).await;
    office.seen("a.test", "https://r.test/", 1).await;
    office.seen("b.test", "https://bad.test/", 1).await;
    office.pass(16, 0);
    office.make().await;
    endpoint.answer("308 Moved", "Location: https://bad.test/", "");
    assert_eq!(office.send().await, 2);
    let rows = office.rows().await;
    let of = |uri: &str| rows.iter().flat_map(|r| &r.targets).find(|t| t.uri == uri).unwrap();
    assert_eq!(of("https://r.test/").state, TargetState::Refused);
    assert_eq!(of("https://bad.test/").state, TargetState::Waiting);
    assert!(of("https://bad.test/").answer.contains("certificate"), "{:?}", of("https://bad.test/"));
    assert_eq!(bad.requests(), vec![]);
}

#[tokio::test]
async fn two_nodes_never_send_one_twice() {
    let office = Office::open(true).await;
    for n in 0..30 {
        office.seen(&format!("d{n}.test"), &format!("mailto:tls@d{n}.test"), 1).await;
    }
    office.pass(16, 0);
    let other = reporter(&office.world, &office.store, office.server, true);
    let (a, b) = tokio::join!(office.reporter.make(&office.stop), other.make(&office.stop));
    assert!(a.unwrap() + b.unwrap() >= 30);
    assert_eq!(office.rows().await.len(), 30);
    let (a, b) = tokio::join!(office.reporter.send(&office.stop), other.send(&office.stop));
    assert_eq!(a.unwrap() + b.unwrap(), 30);
    let mut to: Vec<String> =
        office.world.mx_hosts.messages(office.server).into_iter().flat_map(|m| m.to).collect();
    to.sort();
    to.dedup();
    assert_eq!((to.len(), office.mails().len()), (30, 30));
}
