//! Reports that we send: from yesterday's sessions to a receiver that believes them, whatever is killed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::datagram::{SessionFailure, SessionPolicy};
use mailward_core::tlsrpt::{PolicyType, ResultType};
use mailward_lab::{Behaviour, CertificateKind, Security, World};
use mailward_store::Store;
use mailward_store::tallies::{Increment, TallySource};

use crate::command::{mailward, skip};
use crate::daemon::Daemon;
use crate::mail_world::{configuration, in_directory, in_world, world};
use crate::wait;

const KILLS: u64 = 30;
const DOMAINS: usize = 300;

fn yesterday() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date().yesterday().unwrap()
}

fn seen(domain: &str) -> Increment {
    let failure = SessionFailure {
        result_type: ResultType::CertificateExpired,
        sending_mta_ip: "192.0.2.1".parse().ok(),
        receiving_mx_hostname: Some(format!("mx1.{domain}")),
        receiving_mx_helo: None,
        receiving_ip: "192.0.2.2".parse().ok(),
        additional_information: None,
        failure_reason_code: None,
    };
    Increment {
        day: yesterday(),
        domain: PolicyDomain::parse(domain).unwrap(),
        record: String::new(),
        source: TallySource::MailServer,
        policy: SessionPolicy {
            policy_type: PolicyType::Sts,
            policy_domain: domain.parse().unwrap(),
            policy_string: vec!["version: STSv1".into(), "mode: testing".into()],
            mx_host: vec![format!("mx1.{domain}")],
        },
        successful: 40,
        failed: 2,
        failures: vec![(failure, 2)],
    }
}

/// Sessions of yesterday. The binary's clock is that of the machine, so the store is told of them.
fn saw_yesterday(directory: &Path, increments: &[Increment]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&format!("sqlite:{}/mailward.db", directory.display())).await.unwrap();
        store.add_tallies(increments).await.unwrap();
        store.close().await;
    });
}

/// A world with a mail server of our own, and the configuration of a reporter in it.
fn office(more: &str) -> (World, Ipv4Addr) {
    let world = world();
    world.zone("sender.test", Security::Signed).unwrap();
    let server = world.mx("mail.sender.test", Behaviour::Good, CertificateKind::Good).unwrap();
    let text = format!(
        "{}[web]\nlisten = [\"127.0.0.1:0\"]\n[reporter]\norganization = \"Sender\"\n\
         contact = \"tls@sender.test\"\nsubmit = \"smtp://{server}:{}\"\nspread = \"1s\"\n{more}",
        configuration(&world),
        world.smtp_port,
    );
    std::fs::write(world.directory.join("mailward.toml"), text).unwrap();
    (world, server)
}

#[test]
fn from_sessions_to_a_receiver_that_believes_them() {
    if Command::new("openssl").arg("version").output().is_err() {
        return skip("openssl is not installed");
    }
    let endpoint = world_endpoint();
    let (world, server) = office(&format!(
        "dkim = [{{ domain = \"sender.test\", selector = \"tlsrpt\", key = \"dkim.pem\" }}]\n{}",
        endpoint.table
    ));
    let directory = world.directory.clone();
    std::fs::write(directory.join("dkim.pem"), &endpoint.key).unwrap();
    world.good_domain("a.test").unwrap();
    let address = world.address();
    let text = std::fs::read_to_string(directory.join("mailward.toml")).unwrap();
    let text = text.replace("ENDPOINT", &format!("{address}:{}", world.https_port));
    std::fs::write(directory.join("mailward.toml"), text).unwrap();
    let identity = world.ca.issue(&["rua.a.test"], CertificateKind::Good);
    world.write_certificate(&directory.join("certificates"), "rua.a.test", &identity).unwrap();
    world.set("rua.a.test", "A", &[&address.to_string()]).unwrap();
    let record = "v=TLSRPTv1; rua=mailto:tls@a.test,https://rua.a.test/v1/tls-rpt";
    world.set("_smtp._tls.a.test", "TXT", &[record]).unwrap();

    // What `config check` proposes is what it is content with.
    let advice = |part: &str| {
        let checked = in_world(&world, &["config", "check", "--json"]).exits(0).json();
        let messages = checked["advice"].as_array().unwrap().iter();
        let mut messages = messages.filter_map(|a| a["message"].as_str().map(str::to_owned));
        messages.find(|m| m.contains(part)).unwrap_or_else(|| panic!("{part}: {checked}"))
    };
    let proposed = advice("has no TXT record").split('"').nth(1).unwrap().to_owned();
    world.set("tlsrpt._domainkey.sender.test", "TXT", &["v=DKIM1; k=rsa; p=AAAA"]).unwrap();
    advice("it is another key");
    world.set("tlsrpt._domainkey.sender.test", "TXT", &[&proposed]).unwrap();
    advice("publishes this rsa-sha256 key");

    saw_yesterday(&directory, &[seen("a.test")]);
    let preview = ["report", "outgoing", "preview", "a.test", "--day", &yesterday().to_string(), "--json"];
    let preview = in_world(&world, &preview).exits(0).json();
    assert_eq!(preview["report"]["policies"][0]["summary"]["total-failure-session-count"], 2);

    let mut daemon = Daemon::start(mailward().current_dir(&directory).arg("serve"));
    daemon.says("Dashboard: http://", 20);
    let mail = wait::some("the mail", 30, || world.mx_hosts.messages(server).pop());
    assert_eq!((mail.from.as_str(), &mail.to[..]), ("", &["tls@a.test".to_owned()][..]));
    let sent = wait::some("both targets", 30, || {
        let list = in_world(&world, &["report", "outgoing", "list", "--json"]).exits(0).json();
        let targets = list["reports"][0]["targets"].as_array().unwrap().clone();
        targets.iter().all(|t| t["state"] == "sent").then(|| list["reports"][0].clone())
    });
    let id = sent["report_id"].as_str().unwrap();
    // Ours came in at our own endpoint, unsigned as all POSTs are.
    let posted = in_world(&world, &["report", "show", id, "--json"]).exits(0).json();
    assert_eq!(posted["row"]["source"], "https", "{posted}");
    let shown = in_world(&world, &["report", "outgoing", "show", id]).exits(0).stdout;
    assert!(shown.contains("2 times certificate-expired at mx1.a.test"), "{shown}");
    daemon.terminate();

    // The mail, at somebody else's.
    let receiver = directory.join("receiver");
    std::fs::create_dir(&receiver).unwrap();
    let theirs = configuration(&world).replace("/mailward.db", "/receiver/mailward.db");
    std::fs::write(receiver.join("mailward.toml"), theirs).unwrap();
    std::fs::write(receiver.join("report.eml"), &mail.data).unwrap();
    in_directory(&receiver, &["report", "import", "report.eml"]).exits(0);
    let theirs = in_directory(&receiver, &["report", "show", id, "--json"]).exits(0).json();
    assert_eq!(theirs["row"]["trust"], "dkim-verified", "{theirs}");
    assert_eq!(theirs["row"]["failed"], 2);
    assert_eq!(theirs["findings"].as_array().map(Vec::len), Some(0), "{theirs}");
}

/// The part of the configuration that takes reports, and a key that signs.
struct ReportEndpoint {
    table: String,
    key: Vec<u8>,
}

fn world_endpoint() -> ReportEndpoint {
    let made = Command::new("openssl").args(["genrsa", "2048"]).output().unwrap();
    assert!(made.status.success());
    let table = "[policy_host]\nlisten = [\"ENDPOINT\"]\ncertificates = \"certificates\"\n[reports.https]\n";
    ReportEndpoint { table: table.to_owned(), key: made.stdout }
}

#[test]
fn a_reporter_killed_thirty_times() {
    let (world, server) = office("");
    let directory = world.directory.clone();
    world.zone("test", Security::Unsigned).unwrap();
    let names: Vec<String> = (0..DOMAINS).map(|n| format!("d{n}.test")).collect();
    for name in &names {
        let record = format!("v=TLSRPTv1; rua=mailto:tls@{name}");
        world.set(&format!("_smtp._tls.{name}"), "TXT", &[&record]).unwrap();
    }
    saw_yesterday(&directory, &names.iter().map(|name| seen(name)).collect::<Vec<_>>());

    let mut cut_short = 0;
    for n in 0..KILLS {
        let mut daemon = Daemon::start(mailward().current_dir(&directory).arg("serve"));
        let before = world.mx_hosts.messages(server).len();
        // Another moment each time: in the start, while reports are made, between mails, within one.
        let end = Instant::now() + Duration::from_millis(60 + (n * 7_919) % 500);
        while Instant::now() < end {
            std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
        }
        daemon.kill();
        let sent = world.mx_hosts.messages(server).len();
        cut_short += u64::from(sent > before && sent < DOMAINS);
    }
    eprintln!("{cut_short} of {KILLS} were killed while mails left");

    let mut daemon = Daemon::start(mailward().current_dir(&directory).arg("serve"));
    daemon.says("Dashboard: http://", 20);
    wait::until("every report is sent", 120, || {
        let list = ["report", "outgoing", "list", "--state", "sent", "--limit", "1000", "--json"];
        let list = in_world(&world, &list).exits(0).json();
        list["reports"].as_array().unwrap().len() == DOMAINS
    });
    daemon.terminate();

    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in world.mx_hosts.messages(server) {
        let text = String::from_utf8(mail.data).unwrap();
        let id = text.split("Message-ID: <").nth(1).unwrap().split('>').next().unwrap().to_owned();
        ids.entry(mail.to[0].clone()).or_default().push(id);
    }
    assert_eq!(ids.len(), DOMAINS, "every domain got its report");
    for (to, mut ids) in ids {
        ids.dedup();
        assert_eq!(ids.len(), 1, "{to} got more than one report: {ids:?}");
    }
}
