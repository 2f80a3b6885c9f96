//! What policyd and its probes see themselves, from the question of a mail server to the tallies and into a
//! report.

use mailward_core::Clock;
use mailward_core::tlsrpt::tally::{PolicyTally, Reporter as Author};
use mailward_duty::StopSignal;
use mailward_lab::{Answer, Behaviour, CertificateKind, Fault};
use mailward_sending::collector::{Collector, Options};
use mailward_sending::policy;
use mailward_sending::{Prober, Witness, witness};
use mailward_store::outgoing::{Made, OutgoingFilter};
use mailward_store::tallies::TallySource;
use tokio::task::JoinHandle;

use super::house::{House, SOON, eventually, named, outside, policy, secure};

/// A policy daemon with a collector beside it.
struct Watched {
    house: House,
    witness: Witness,
    prober: Prober,
    stop: StopSignal,
    tasks: Vec<JoinHandle<()>>,
}

impl Watched {
    async fn start() -> Self {
        let recheck = std::time::Duration::from_secs(600);
        let house = House::with(policy::Options { recheck, round: SOON, ..policy::Options::default() }).await;
        let socket = house.directory.path().join("tlsrpt.sock");
        let options = Options { socket, mode: 0o600, owner: None, group: None };
        let clock = house.world.clock.clone();
        let collector = Collector::bind(&options, house.store.clone(), clock).unwrap();
        let (stop, ear) = StopSignal::new();
        let (witness, clerk) = witness::open(outside(&house.world), collector.door());
        house.node.policies.tell(witness.clone());
        let prober = Prober::new(house.node.policies.clone(), outside(&house.world), witness.clone());
        let tasks = vec![tokio::spawn(collector.run(ear.clone())), tokio::spawn(clerk.run(ear))];
        Self { house, witness, prober, stop, tasks }
    }

    /// A domain that wants reports, with these MX hosts and a policy as `House::domain` makes it.
    fn domain(&self, domain: &str, mx: &[&str]) {
        self.house.domain(domain);
        let lines: Vec<String> = mx.iter().map(|host| format!("10 {host}.")).collect();
        self.house.world.set(domain, "MX", &lines.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        self.wants_reports(domain);
    }

    fn wants_reports(&self, domain: &str) {
        let record = format!("v=TLSRPTv1; rua=mailto:tls@{domain}");
        self.house.world.set(&format!("_smtp._tls.{domain}"), "TXT", &[&record]).unwrap();
    }

    /// What is tallied of a domain today.
    async fn tally(&self, domain: &str, source: TallySource) -> Vec<PolicyTally> {
        let day = self.house.world.clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let tally = self.house.store.tally_from(day, &named(domain), Some(source)).await.unwrap();
        tally.map_or(Vec::new(), |tally| tally.policies)
    }

    /// The same in words, when it has come to this.
    async fn becomes(&self, domain: &str, expected: &[&str]) {
        let is = async || words(&self.tally(domain, TallySource::Mailward).await) == expected;
        let what = format!("{domain}: {expected:?}");
        let waited = tokio::time::timeout(std::time::Duration::from_secs(25), eventually(&what, is)).await;
        assert!(waited.is_ok(), "{what}, but {:?}", words(&self.tally(domain, TallySource::Mailward).await));
    }

    async fn ask(&self, domain: &str) -> String {
        self.house.ask(&format!("mailward-tlsrpt {domain}")).await
    }

    async fn end(mut self) {
        self.house.node.end().await;
        self.stop.stop();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Type, domain, lines of the policy, failed sessions, and the failures with their counts.
fn words(policies: &[PolicyTally]) -> Vec<String> {
    let mut all: Vec<String> = policies
        .iter()
        .map(|p| {
            let mut kinds: Vec<String> = p
                .failures
                .iter()
                .map(|(kind, count)| {
                    let reason = kind.failure_reason_code.as_deref().unwrap_or("-");
                    let at = kind.receiving_mx_hostname.as_deref().unwrap_or("-");
                    format!("{count} {} {reason} {at}", kind.result_type.as_str())
                })
                .collect();
            kinds.sort();
            let (name, lines) = (&p.policy.policy_domain, p.policy.policy_string.len());
            assert_eq!(p.successful, 0, "policyd sees no session that went well");
            format!("{} {name} {lines} {}: {}", p.policy.policy_type.as_str(), p.failed, kinds.join(", "))
        })
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_deliveries_meet_reaches_the_tallies() {
    let watched = Watched::start().await;
    let house = &watched.house;
    let hosts = &house.world.policy_hosts;
    for domain in ["fetch.test", "cert.test", "invalid.test", "good.test", "record.test"] {
        watched.domain(domain, &[&format!("mx.{domain}")]);
    }
    hosts.set_answer("mta-sts.fetch.test", Answer::Status(404));
    hosts.set(
        "mta-sts.cert.test",
        &policy("enforce", "mx.cert.test", 86_400),
        Answer::Ok,
        CertificateKind::Expired,
    );
    hosts.set_body("mta-sts.invalid.test", "version: STSv1\nmode: enforce\nmx: mx.invalid.test\n");
    house.world.dns.fault("_mta-sts.record.test", None, Some(Fault::ServFail)).unwrap();
    watched.domain("outside.test", &["mx.elsewhere.test"]);
    watched.domain("partly.test", &["mx.partly.test", "mx.elsewhere.test"]);
    // Nobody wants reports about this one.
    house.domain("quiet.test");
    hosts.set_answer("mta-sts.quiet.test", Answer::Status(404));
    for domain in ["fetch.test", "cert.test", "invalid.test", "record.test", "quiet.test"] {
        assert_eq!(watched.ask(domain).await, "NOTFOUND ", "{domain}");
    }
    for (domain, begins) in [
        ("good.test", "OK secure match=mx.good.test "),
        ("outside.test", "OK secure match=mta-sts-no-mx-match.invalid "),
        ("partly.test", "OK secure match=mx.partly.test "),
    ] {
        let answer = watched.ask(domain).await;
        assert!(answer.starts_with(begins), "{answer}");
    }
    let expected: &[(&str, &[&str])] = &[
        ("fetch.test", &["sts fetch.test 0 1: 1 sts-policy-fetch-error http-404 -"]),
        ("cert.test", &["sts cert.test 0 1: 1 sts-webpki-invalid expired -"]),
        ("invalid.test", &["sts invalid.test 3 1: 1 sts-policy-invalid there is no max_age -"]),
        ("record.test", &["sts record.test 0 1: 1 sts-policy-fetch-error record-lookup -"]),
        ("outside.test", &["sts outside.test 4 1: 1 validation-failure sts-mx-mismatch mx.elsewhere.test"]),
        // Mail goes to the other host, and the mail server tells of that session.
        ("partly.test", &["sts partly.test 4 0: 1 validation-failure sts-mx-mismatch mx.elsewhere.test"]),
    ];
    for (domain, becomes) in expected {
        watched.becomes(domain, becomes).await;
    }
    // Ten thousand questions are no more than one, and neither are looks within five minutes.
    for _ in 0..100 {
        watched.ask("fetch.test").await;
        watched.ask("outside.test").await;
    }
    for _ in 0..3 {
        house.pass(61);
        watched.ask("outside.test").await;
    }
    house.pass(180);
    watched.ask("fetch.test").await;
    watched.ask("outside.test").await;
    watched.becomes("fetch.test", &["sts fetch.test 0 2: 2 sts-policy-fetch-error http-404 -"]).await;
    watched
        .becomes(
            "outside.test",
            &["sts outside.test 4 2: 2 validation-failure sts-mx-mismatch mx.elsewhere.test"],
        )
        .await;
    for domain in ["quiet.test", "good.test"] {
        assert_eq!(words(&watched.tally(domain, TallySource::Mailward).await), [""; 0], "{domain}");
    }
    watched.end().await;
}

/// Mail went under the policy held, and the mail server counts that session under the same policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_fails_is_a_detail_beside_the_sessions() {
    let watched = Watched::start().await;
    let house = &watched.house;
    for domain in ["asked.test", "still.test"] {
        watched.domain(domain, &[&format!("mx.{domain}")]);
        assert_eq!(house.ask(&format!("mailward {domain}")).await, secure(&format!("mx.{domain}")));
    }
    house.world.announce("asked.test", "2").unwrap();
    for domain in ["asked.test", "still.test"] {
        house.world.policy_hosts.set_answer(&format!("mta-sts.{domain}"), Answer::Status(500));
    }
    // Half an hour later the record is looked at again behind the answer, which the policy held still gives.
    house.pass(1800);
    assert_eq!(house.ask("mailward asked.test").await, secure("mx.asked.test"));
    watched.becomes("asked.test", &["sts asked.test 4 0: 1 sts-policy-fetch-error http-500 -"]).await;
    // Refreshed by the timer a day later, with no mail on its way: there is no session.
    house.pass(26 * 3600);
    let before = house.fetches("still.test");
    eventually("the timer refreshes", async || house.fetches("still.test") > before).await;
    eventually("nothing is under way", async || house.node.policies.counts().lookups == 0).await;
    // What goes the same way later has arrived.
    watched.domain("late.test", &["mx.late.test"]);
    house.world.policy_hosts.set_answer("mta-sts.late.test", Answer::Status(404));
    watched.ask("late.test").await;
    watched.becomes("late.test", &["sts late.test 0 1: 1 sts-policy-fetch-error http-404 -"]).await;
    assert_eq!(words(&watched.tally("still.test", TallySource::Mailward).await), [""; 0]);
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_of_testing_policies_are_no_sessions() {
    let watched = Watched::start().await;
    let house = &watched.house;
    let world = &house.world;
    let mut at = std::collections::HashMap::new();
    for (domain, mode, kind, behaviour) in [
        ("clear.test", "testing", CertificateKind::Good, Behaviour::NoStarttls),
        ("expired.test", "testing", CertificateKind::Expired, Behaviour::Good),
        ("good.test", "testing", CertificateKind::Good, Behaviour::Good),
        ("enforced.test", "enforce", CertificateKind::Expired, Behaviour::Good),
        ("unused.test", "testing", CertificateKind::Expired, Behaviour::Good),
    ] {
        let mx = format!("mx.{domain}");
        watched.domain(domain, &[&mx]);
        let address = world.mx(&mx, behaviour, kind).unwrap();
        world.set(&mx, "A", &[&address.to_string()]).unwrap();
        at.insert(domain, address);
        world.policy_hosts.set_body(&format!("mta-sts.{domain}"), &policy(mode, &mx, 604_800));
    }
    for domain in ["clear.test", "expired.test", "good.test", "enforced.test"] {
        watched.ask(domain).await;
    }
    let now = u32::try_from(world.clock.now().as_second()).unwrap();
    let connections = || {
        let count = |domain: &str| world.mx_hosts.connections(at[domain]);
        ["clear.test", "expired.test", "good.test", "enforced.test", "unused.test"].map(count)
    };
    watched.prober.probe(now..now + 86_400).await;
    assert_eq!(connections(), [1, 1, 1, 0, 0], "only where mail goes and nothing is enforced");
    // The same host is left alone for the rest of the day.
    watched.prober.probe(now..now + 86_400).await;
    assert_eq!(connections(), [1, 1, 1, 0, 0]);
    let probed = async |domain: &str| words(&watched.tally(domain, TallySource::Probe).await);
    for (domain, found) in [
        ("clear.test", "sts clear.test 4 0: 1 starttls-not-supported - mx.clear.test"),
        ("expired.test", "sts expired.test 4 0: 1 certificate-expired expired mx.expired.test"),
    ] {
        eventually(found, async || probed(domain).await == [found]).await;
        assert_eq!(words(&watched.tally(domain, TallySource::MailServer).await), [""; 0]);
        assert_eq!(words(&watched.tally(domain, TallySource::Mailward).await), [""; 0]);
    }
    assert_eq!(probed("good.test").await, [""; 0]);
    house.pass(24 * 3600);
    for domain in ["clear.test", "expired.test", "good.test"] {
        watched.ask(domain).await;
    }
    watched.prober.probe(now..now + 86_400).await;
    assert_eq!(connections(), [2, 2, 2, 0, 0], "a day later again");
    watched.end().await;
}

/// A report about the delivery of the last report would cause the next one, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_report_mail_meets_is_in_no_report() {
    let watched = Watched::start().await;
    let house = &watched.house;
    for domain in ["quiet.test", "other.test"] {
        watched.domain(domain, &[&format!("mx.{domain}")]);
        house.world.policy_hosts.set_answer(&format!("mta-sts.{domain}"), Answer::Status(404));
        watched.ask(domain).await;
        let expected = format!("sts {domain} 0 1: 1 sts-policy-fetch-error http-404 -");
        watched.becomes(domain, &[&expected]).await;
    }
    // The next day both get their report, and our mail server asks where to bring it.
    let server = house.world.mx("mail.sender.test", Behaviour::Good, CertificateKind::Good).unwrap();
    let reporter = crate::reporter::reporter(&house.world, &house.store, server, true);
    reporter.tell(watched.witness.clone());
    house.pass(24 * 3600);
    assert_eq!(reporter.make(&house.node.stop).await.unwrap(), 2);
    assert_eq!(reporter.send(&house.node.stop).await.unwrap(), 2);
    assert_eq!(house.world.mx_hosts.messages(server).len(), 2);
    for _ in 0..3 {
        watched.ask("quiet.test").await;
        watched.ask("other.test").await;
        house.pass(1000);
    }
    // Other mail, after an hour.
    house.pass(601);
    watched.ask("other.test").await;
    watched.becomes("other.test", &["sts other.test 0 1: 1 sts-policy-fetch-error http-404 -"]).await;
    assert_eq!(words(&watched.tally("quiet.test", TallySource::Mailward).await), [""; 0]);
    house.pass(24 * 3600);
    assert_eq!(reporter.make(&house.node.stop).await.unwrap(), 1, "of the other one alone");
    watched.end().await;
}

/// A day of probes alone makes no report; where the operator wants it, they stand beside the sessions.
#[tokio::test(flavor = "multi_thread")]
async fn probes_stand_in_reports_where_that_is_wanted_and_count_nothing() {
    let watched = Watched::start().await;
    let house = &watched.house;
    watched.domain("a.test", &["mx.a.test"]);
    let address = house.world.mx("mx.a.test", Behaviour::NoStarttls, CertificateKind::Good).unwrap();
    house.world.set("mx.a.test", "A", &[&address.to_string()]).unwrap();
    house.world.policy_hosts.set_body("mta-sts.a.test", &policy("testing", "mx.a.test", 604_800));
    watched.ask("a.test").await;
    let now = u32::try_from(house.world.clock.now().as_second()).unwrap();
    watched.prober.probe(now..now + 86_400).await;
    eventually("it is tallied", async || !watched.tally("a.test", TallySource::Probe).await.is_empty()).await;

    let day = house.world.clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let told = async |probes: bool| {
        let author = Author { organization: "Sender".into(), contact: "tls@sender.test".into(), probes };
        let tally = house.store.tally_told(day, &named("a.test"), &author).await.unwrap();
        tally.map(|tally| tally.preview(&author))
    };
    assert_eq!(told(false).await, None);
    let with = told(true).await;
    let [entry] = &with.unwrap().policies[..] else { panic!("one policy") };
    let [detail] = &entry.failure_details[..] else { panic!("one detail") };
    assert_eq!((entry.summary.total_failure_session_count, detail.failed_session_count), (0, 0));
    assert_eq!(detail.failure_reason_code.as_deref(), Some("probe"));

    house.pass(24 * 3600);
    let reporter = crate::reporter::reporter(&house.world, &house.store, std::net::Ipv4Addr::LOCALHOST, true);
    assert_eq!(reporter.make(&house.node.stop).await.unwrap(), 1);
    assert_eq!(reporter.make(&house.node.stop).await.unwrap(), 0, "dealt with");
    let rows = house.store.outgoing_reports(&OutgoingFilter::default(), None, 9).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.made).collect::<Vec<_>>(), [Made::NothingFailed]);
    watched.end().await;
}
