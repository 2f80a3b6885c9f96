//! A maildir with mails of every sort.

use std::path::Path;
use std::time::Duration;

use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use mailward_core::rollout::Trust;
use mailward_lab::{Fault, Security, World, WorldOptions};
use mailward_receiving::StopSignal;
use mailward_receiving::intake::maildir::{Maildir, Scan};
use mailward_store::reports::ReportFilter;
use tempfile::TempDir;

use crate::house::{intake, open};
use crate::posts::report;

struct Reporter {
    key: Vec<u8>,
}

impl Reporter {
    /// A reporter whose key for Ed25519 stands in the world's DNS.
    fn new(world: &World) -> Self {
        let key = Ed25519Key::generate_pkcs8().unwrap();
        world.zone("reporter.example", Security::Signed).unwrap();
        let reporter = Self { key };
        let record = reporter.record("v=DKIM1; k=ed25519; s=tlsrpt");
        world.set("s1._domainkey.reporter.example", "TXT", &[&record]).unwrap();
        reporter
    }

    fn record(&self, tags: &str) -> String {
        let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.key).unwrap();
        format!("{tags}; p={}", base64(&key.public_key()))
    }

    /// A signed mail with this report.
    fn mail(&self, report: &str) -> String {
        let mail = unsigned(report);
        let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.key).unwrap();
        let signature = DkimSigner::from_key(key)
            .domain("reporter.example")
            .selector("s1")
            .headers(["From", "To", "Subject", "TLS-Report-Domain", "TLS-Report-Submitter"])
            .sign(mail.as_bytes())
            .unwrap();
        format!("{}{mail}", signature.to_header())
    }
}

fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let value = chunk.iter().fold(0u32, |v, b| (v << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = alphabet[(value >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

fn unsigned(report: &str) -> String {
    format!(
        "From: tls@reporter.example\r\nTo: reports@example.com\r\nSubject: Report Domain: example.com\r\n\
         TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: reporter.example\r\nMIME-Version: 1.0\r\n\
         Content-Type: application/tlsrpt+json\r\n\r\n{report}\r\n"
    )
}

fn maildir(directory: &TempDir) -> std::path::PathBuf {
    let at = directory.path().join("Maildir");
    for folder in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(at.join(folder)).unwrap();
    }
    at
}

fn names(at: &Path, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(at.join(folder)).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const INTERVAL: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn good_bad_and_known_mails_are_each_taken_once() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let reporter = Reporter::new(&world);
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let at = maildir(&directory);
    let of = |id: &str| report(id, "example.com", "Reporter");
    let put = |folder: &str, name: &str, mail: &str| {
        // As mail servers on Unix write it.
        std::fs::write(at.join(folder).join(name), mail.replace("\r\n", "\n")).unwrap();
    };
    put("new", "1.good", &reporter.mail(&of("signed")));
    put("new", "2.spam", "From: a@b.example\r\nSubject: hello\r\n\r\nbuy\r\n");
    put(
        "new",
        "3.bounce",
        "From: MAILER-DAEMON\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsorry\r\n--b--\r\n",
    );
    put("new", "4.broken", &unsigned("{\"organization-name\": \"x\", \"policies\": ["));
    put("new", "5.known", &reporter.mail(&of("signed")));
    put("new", "6.unsigned", &unsigned(&of("unsigned")));
    put("new", "7.changed", &reporter.mail(&of("changed")).replace("\"Reporter\"", "\"Evil\""));
    put("new", ".hidden", "not for us");
    put("cur", "8.unread:2,", &reporter.mail(&of("unread")));
    put("cur", "9.read:2,S", &reporter.mail(&of("read before us")));
    put("cur", "10.flags:2,R", &reporter.mail(&of("flags")));
    std::fs::create_dir(at.join("new/directory")).unwrap();

    let (_signal, stop) = StopSignal::new();
    let mut watched = Maildir::new(&at, INTERVAL, intake(&world, &store));
    let scan = watched.scan(&stop).await.unwrap();
    assert_eq!(scan, Scan { stored: 7, not_reports: 2, unreadable: 1, ..Scan::default() });
    assert_eq!(names(&at, "new"), [".hidden", "directory"]);
    assert_eq!(
        names(&at, "cur"),
        [
            "1.good:2,S",
            "10.flags:2,RS",
            "2.spam:2,S",
            "3.bounce:2,S",
            "4.broken:2,S",
            "5.known:2,S",
            "6.unsigned:2,S",
            "7.changed:2,S",
            "8.unread:2,S",
            "9.read:2,S",
        ]
    );
    let rows = store.reports(&ReportFilter::default(), None, 100).await.unwrap().rows;
    let mut seen: Vec<(&str, Trust, &str)> =
        rows.iter().map(|r| (r.report_id.as_str(), r.trust, r.submitter.as_str())).collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            ("changed", Trust::Unverified, "reporter.example"),
            ("flags", Trust::DkimVerified, "reporter.example"),
            ("signed", Trust::DkimVerified, "reporter.example"),
            ("unread", Trust::DkimVerified, "reporter.example"),
            ("unsigned", Trust::Unverified, "reporter.example"),
        ]
    );
    assert_eq!(store.quarantine(None, 10).await.unwrap().rows.len(), 1);

    assert_eq!(
        watched.scan(&stop).await.unwrap(),
        Scan { unreadable: 1, ..Scan::default() },
        "nothing twice"
    );
    let mut restarted = Maildir::new(&at, INTERVAL, intake(&world, &store));
    assert_eq!(restarted.scan(&stop).await.unwrap(), Scan { unreadable: 1, ..Scan::default() });

    // Somebody reads a mail before we come round: it is taken in all the same.
    put("cur", "11.quick:2,S", &reporter.mail(&of("read while we watch")));
    assert_eq!(restarted.scan(&stop).await.unwrap().stored, 1);
    assert_eq!(restarted.scan(&stop).await.unwrap().stored, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_dns_delays_trust_only() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let reporter = Reporter::new(&world);
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let at = maildir(&directory);
    let mail = reporter.mail(&report("late", "example.com", "Reporter"));
    std::fs::write(at.join("new/1.mail"), mail).unwrap();
    let key = "s1._domainkey.reporter.example";
    world.dns.fault(key, None, Some(Fault::ServFail)).unwrap();
    let (_signal, stop) = StopSignal::new();
    let mut watched = Maildir::new(&at, INTERVAL, intake(&world, &store));
    let scan = watched.scan(&stop).await.unwrap();
    assert_eq!(scan, Scan { stored: 1, untested: 1, ..Scan::default() });
    assert_eq!(names(&at, "new"), ["1.mail"], "it stays to be tried again");
    let rows = store.reports(&ReportFilter::default(), None, 10).await.unwrap().rows;
    assert_eq!(rows[0].trust, Trust::Unverified);
    let stored = store.report(rows[0].number).await.unwrap().unwrap();
    assert_eq!(stored.dkim.unwrap().verdict, "untested");
    assert!(stored.findings.iter().any(|f| f.id == "REP-065"), "{:?}", stored.findings);
    assert_eq!(watched.scan(&stop).await.unwrap(), Scan::default(), "not at every look");

    world.dns.fault(key, None, None).unwrap();
    let mut restarted = Maildir::new(&at, INTERVAL, intake(&world, &store));
    assert_eq!(restarted.scan(&stop).await.unwrap(), Scan { stored: 1, ..Scan::default() });
    assert_eq!(names(&at, "cur"), ["1.mail:2,S"]);
    let rows = store.reports(&ReportFilter::default(), None, 10).await.unwrap().rows;
    assert_eq!((rows.len(), rows[0].trust), (1, Trust::DkimVerified), "the trust is raised");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_everything_stays() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let at = maildir(&directory);
    std::fs::write(at.join("new/1.mail"), unsigned(&report("x", "example.com", "Reporter"))).unwrap();
    let (_signal, stop) = StopSignal::new();
    let mut watched = Maildir::new(&at, INTERVAL, intake(&world, &store));
    store.close().await;
    watched.scan(&stop).await.unwrap_err();
    assert_eq!(names(&at, "new"), ["1.mail"]);
    let missing = directory.path().join("missing");
    let error = Maildir::new(missing, INTERVAL, intake(&world, &store)).scan(&stop).await.unwrap_err();
    assert!(error.to_string().contains("missing/new"), "{error}");
}
