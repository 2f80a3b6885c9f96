//! An operator's import.

use std::path::{Path, PathBuf};

use mailward_core::rollout::Trust;
use mailward_lab::{Fault, Security, World, WorldOptions};
use mailward_receiving::intake::import::{ImportError, Totals};
use mailward_store::reports::ReportFilter;

use crate::house::{intake, open};
use crate::posts::{gzip, report};

fn mail(report: &str) -> String {
    format!(
        "From: TLS <tls@reporter.example>\r\nTo: reports@example.com\r\nSubject: Report Domain: example.com\r\n\
         TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: reporter.example\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=b\r\n\r\n--b\r\n\
         Content-Type: text/plain\r\n\r\nA report.\r\n--b\r\nContent-Type: application/tlsrpt+json\r\n\r\n\
         {report}\r\n--b--\r\n"
    )
}

fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn folder(at: &Path) {
    let of = |id: &str| report(id, "example.com", "Reporter");
    write(at.join("a.json"), of("a"));
    write(at.join("b.json.gz"), gzip(of("b").as_bytes()));
    write(at.join("deep/er/c.eml"), mail(&of("c")));
    write(at.join("again/a.json"), of("a"));
    write(at.join("notes.txt"), "nothing to see here");
    write(at.join("spam.eml"), "From: a@b.example\r\nSubject: hello\r\n\r\nbuy\r\n");
    write(at.join("broken.json.gz"), &gzip(of("x").as_bytes())[..50]);
    write(at.join(".hidden.json"), of("hidden"));
    write(at.join("Mail/new/1.M1P1.host"), mail(&of("d")).replace("\r\n", "\n"));
    write(at.join("Mail/cur/2.M1P1.host:2,S"), mail(&of("e")));
    write(at.join("Mail/tmp/3.M1P1.host"), mail(&of("being-written")));
    write(at.join("Mail/.Sub/new/4.M1P1.host"), mail(&of("f")));
    for folder in ["Mail/.Sub/cur", "Mail/.Sub/tmp"] {
        std::fs::create_dir_all(at.join(folder)).unwrap();
    }
    let mbox: String =
        ["g", "h"].iter().map(|id| format!("From x\n{}\n", mail(&of(id)).replace("\r\n", "\n"))).collect();
    write(at.join("old.mbox"), mbox);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_taken_whole_and_once() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let intake = intake(&world, &store);
    let at = directory.path().join("reports");
    folder(&at);
    let mut told = Vec::new();
    let totals = intake.import(std::slice::from_ref(&at), |totals| told.push(totals.new)).await.unwrap();
    let expected = Totals {
        items: 12,
        bytes: totals.bytes,
        new: 8,
        duplicates: 1,
        quarantined: 2,
        not_reports: 1,
        trusted: 3,
        unverified: 6,
        examples: totals.examples.clone(),
        ..Totals::default()
    };
    assert_eq!(totals, expected);
    assert_eq!(told.last(), Some(&8));
    let examples: Vec<&str> = totals.examples.iter().filter_map(|e| e.origin.rsplit('/').next()).collect();
    assert_eq!(examples, ["broken.json.gz", "notes.txt", "spam.eml"]);

    let rows = store.reports(&ReportFilter::default(), None, 100).await.unwrap().rows;
    let mut seen: Vec<(&str, Trust)> = rows.iter().map(|r| (r.report_id.as_str(), r.trust)).collect();
    seen.sort_unstable();
    let trust = |id: &str| if id <= "b" { Trust::Trusted } else { Trust::Unverified };
    let expected: Vec<(&str, Trust)> =
        ["a", "b", "c", "d", "e", "f", "g", "h"].iter().map(|id| (*id, trust(id))).collect();
    assert_eq!(seen, expected);

    let again = intake.import(&[at], |_| ()).await.unwrap();
    assert_eq!((again.new, again.revisions, again.quarantined), (0, 0, 0), "{again:?}");
    assert_eq!(again.duplicates, 11, "nine reports, and two in quarantine: {again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_none_is_named() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let missing = directory.path().join("missing");
    let error = intake(&world, &store).import(std::slice::from_ref(&missing), |_| ()).await.unwrap_err();
    assert!(matches!(&error, ImportError::Path { .. }) && error.to_string().contains("missing"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_are_written_in_batches() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let at = directory.path().join("many");
    for number in 0..1200 {
        write(at.join(format!("{number}.json")), report(&format!("{number}"), "example.com", "Reporter"));
    }
    let mut told = 0;
    let totals = intake(&world, &store).import(&[at], |_| told += 1).await.unwrap();
    assert_eq!((totals.items, totals.new), (1200, 1200));
    assert_eq!(told, 3, "two full batches and the rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_of_a_lot_ask_for_their_keys_together() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    world.zone("reporter.example", Security::Signed).unwrap();
    world.dns.fault("s0._domainkey.reporter.example", None, Some(Fault::ServFail)).unwrap();
    let at = directory.path().join("signed");
    let of = |id: &str| report(id, "example.com", "Reporter");
    for number in 0..80 {
        let signature = format!(
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=reporter.example; s=s{};\r\n\
             \th=from:to:subject:tls-report-domain:tls-report-submitter; bh={}=; b={}\r\n",
            number % 2,
            "A".repeat(43),
            "A".repeat(344),
        );
        write(at.join(format!("{number}.eml")), signature + &mail(&of(&format!("mail-{number}"))));
        write(at.join(format!("{number}.json")), of(&format!("bare-{number}")));
    }
    let asked = world.dns.questions();
    let totals = intake(&world, &store).import(&[at], |_| ()).await.unwrap();
    let asked = world.dns.questions() - asked;
    assert_eq!((totals.items, totals.new, totals.trusted), (160, 160, 80), "{totals:?}");
    assert_eq!(
        (totals.unverified, totals.untested),
        (80, 40),
        "a key that cannot be asked for is no failure"
    );
    assert!(asked < 40, "{asked} questions for two keys");
    let rows = store.reports(&ReportFilter::default(), None, 200).await.unwrap().rows;
    for (id, verdict) in
        [("mail-0", "untested"), ("mail-1", "fail"), ("mail-78", "untested"), ("mail-79", "fail")]
    {
        let row = rows.iter().find(|row| row.report_id == id).unwrap();
        let dkim = store.report(row.number).await.unwrap().unwrap().dkim.unwrap();
        assert_eq!(dkim.verdict, verdict, "{id}: {dkim:?}");
    }
    assert!(
        rows.iter().filter(|row| row.report_id.starts_with("bare")).all(|row| row.trust == Trust::Trusted)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_versions_the_later_file_counts() {
    let world = World::start(&WorldOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let at = directory.path().join("versions");
    let text = report("same", "example.com", "Reporter");
    let (head, tail) = text.split_once("session-count\":").unwrap();
    let tail = tail.trim_start_matches(|digit: char| digit.is_ascii_digit());
    for version in 100..300 {
        // Lots are read side by side: one that takes long must not be overtaken.
        let blanks = " ".repeat(if version < 132 { 100_000 } else { 0 });
        write(at.join(format!("{version}.json")), format!("{head}session-count\":{version}{blanks}{tail}"));
    }
    let totals = intake(&world, &store).import(&[at], |_| ()).await.unwrap();
    assert_eq!((totals.new, totals.revisions), (1, 199), "{totals:?}");
    let rows = store.reports(&ReportFilter::default(), None, 300).await.unwrap().rows;
    let counting: Vec<u64> = rows.iter().filter(|r| !r.superseded).map(|r| r.successful).collect();
    assert_eq!(counting, [299]);
}
