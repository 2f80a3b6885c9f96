//! A second real client of the collector: a small program of our own that is linked with Debian 13's
//! libtlsrpt, as Postfix is. It tells of every kind of session there is, and every one must be counted as it
//! was told.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::command::mailward;
use crate::compile::compile;
use crate::daemon::Daemon;
use crate::mail_world::in_directory;
use crate::mta::Release;
use crate::namespace::root_of;
use crate::wait;

/// What the library has for failures (its header), and what RFC 8460 §4.3 calls them.
const FAILURES: [(u16, &str); 11] = [
    (201, "starttls-not-supported"),
    (202, "certificate-host-mismatch"),
    (203, "certificate-not-trusted"),
    (204, "certificate-expired"),
    (205, "validation-failure"),
    (301, "sts-policy-fetch-error"),
    (302, "sts-policy-invalid"),
    (303, "sts-webpki-invalid"),
    (304, "tlsa-invalid"),
    (305, "dnssec-invalid"),
    (306, "dane-required"),
];

/// Sessions of one kind, and the entries of the report that they must come to.
struct Kind {
    domain: String,
    sessions: u64,
    /// Calls after `session` and before `send`.
    calls: String,
    entries: Value,
}

pub fn play(release: Release) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("tlsrpt.sock");
    let program = build(&root_of(release), folder.path());
    configure(folder.path(), &socket);
    let mut daemon = Daemon::start(mailward().current_dir(folder.path()).arg("serve"));
    daemon.says("Dashboard: http://", 20);

    let kinds = kinds();
    let day = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let mut calls = Vec::new();
    for kind in &kinds {
        for _ in 0..kind.sessions {
            let record = format!("v=TLSRPTv1; rua=mailto:tls@{}", kind.domain);
            calls.extend(format!("session\t{}\t{record}\n{}send\n", kind.domain, kind.calls).into_bytes());
        }
    }
    // Octets of strangers that are no UTF-8: the library copies them.
    calls.extend(
        b"session\todd.test\tv=TLSRPTv1; rua=mailto:tls@odd.test\npolicy\t9\t-\nfailure\t205\t-\tm\xfcx\t",
    );
    calls.extend(b"250-\xff\xfe \x01 \"quoted\" \\x\\n250 SIZE\t-\tcaf\xe9\t-\nresult\t1\nsend\n");
    tell(&program, &socket, &calls);

    // Of yesterday, should it be midnight by now.
    let preview = |domain: &str| {
        let preview = |day: jiff::civil::Date| {
            let day = day.to_string();
            in_directory(folder.path(), &["report", "outgoing", "preview", domain, "--day", &day, "--json"])
        };
        let today = preview(day);
        if today.code == 0 { today.json()["report"]["policies"].clone() } else { Value::Null }
    };
    wait::until("the last session is counted", 20, || !preview("odd.test").is_null());
    for kind in &kinds {
        assert_eq!(preview(&kind.domain), kind.entries, "{}", kind.domain);
    }
    let odd = preview("odd.test");
    let failure = &odd[0]["failure-details"][0];
    assert_eq!(
        (&odd[0]["summary"]["total-failure-session-count"], &failure["failed-session-count"]),
        (&json!(1), &json!(1))
    );
    assert!(failure["receiving-mx-helo"].as_str().unwrap().contains("\"quoted\" \\x"), "{odd}");
    daemon.terminate();
}

fn configure(directory: &Path, socket: &Path) {
    let text = format!(
        "[store]\nurl = \"sqlite:{}/mailward.db\"\n[dns]\nservers = [\"127.0.0.1:1\"]\n\
         [web]\nlisten = [\"127.0.0.1:0\"]\n[collector]\nsocket = \"{}\"\n\
         [reporter]\norganization = \"Sender\"\ncontact = \"tls@sender.test\"\n",
        directory.display(),
        socket.display()
    );
    std::fs::write(directory.join("mailward.toml"), text).unwrap();
}

/// Compiles the program against header and library as they lie in the folder of Debian 13. The rest of what it
/// needs is this machine's.
fn build(root: &Path, folder: &Path) -> PathBuf {
    let libraries = std::fs::read_dir(root.join("usr/lib")).unwrap().map(|entry| entry.unwrap().path());
    let library = libraries.into_iter().map(|path| path.join("libtlsrpt.so.0")).find(|path| path.exists());
    let library = library.expect("Debian's package of Postfix 3.10 depends on libtlsrpt");
    let copy = folder.join("libtlsrpt.so.0");
    std::fs::copy(library, &copy).unwrap();
    let (headers, path) = (root.join("usr/include"), format!("-Wl,-rpath,{}", folder.display()));
    let [headers, copy] = [&headers, &copy].map(|path| path.to_str().unwrap());
    compile("client/client.c", &folder.join("client"), &["-I", headers, copy, &path])
}

fn tell(program: &Path, socket: &Path, calls: &[u8]) {
    let mut client =
        Command::new(program).arg(socket).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(calls).unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn kinds() -> Vec<Kind> {
    let mut kinds = vec![
        Kind {
            domain: "tlsa.test".into(),
            sessions: 3,
            calls: "policy\t1\tmx.tlsa.test\nstring\t3 1 1 AA\nstring\t2 1 1 BB\nresult\t0\n".into(),
            entries: json!([entry("tlsa", "mx.tlsa.test", &["3 1 1 AA", "2 1 1 BB"], &[], (3, 0), &[])]),
        },
        Kind {
            domain: "sts.test".into(),
            sessions: 5,
            calls: "policy\t2\tsts.test\nstring\tversion: STSv1\nstring\tmode: enforce\npattern\t*.sts.test\n\
                    pattern\tmx.sts.example\nresult\t0\n"
                .into(),
            entries: json!([entry(
                "sts",
                "sts.test",
                &["version: STSv1", "mode: enforce"],
                &["*.sts.test", "mx.sts.example"],
                (5, 0),
                &[]
            )]),
        },
        Kind {
            domain: "none.test".into(),
            sessions: 7,
            calls: "policy\t9\t-\nresult\t0\n".into(),
            entries: json!([entry("no-policy-found", "none.test", &[], &[], (7, 0), &[])]),
        },
        // Nothing is known of the failure but its kind.
        Kind {
            domain: "bare.test".into(),
            sessions: 2,
            calls: "policy\t2\tbare.test\nfailure\t205\t-\t-\t-\t-\t-\t-\nresult\t1\n".into(),
            entries: json!([entry(
                "sts",
                "bare.test",
                &[],
                &[],
                (0, 2),
                &[json!({"result-type": "validation-failure", "failed-session-count": 2})]
            )]),
        },
        // Made good at the second MX: a success that tells of failures.
        Kind {
            domain: "good-at-last.test".into(),
            sessions: 4,
            calls: "policy\t2\tgood-at-last.test\nfailure\t203\t-\tmx1.good-at-last.test\t-\t-\t-\t-\n\
                    failure\t201\t-\tmx2.good-at-last.test\t-\t-\t-\t-\nresult\t0\n"
                .into(),
            entries: json!([entry(
                "sts",
                "good-at-last.test",
                &[],
                &[],
                (4, 0),
                &[
                    json!({"result-type": "certificate-not-trusted", "receiving-mx-hostname": "mx1.good-at-last.test", "failed-session-count": 4}),
                    json!({"result-type": "starttls-not-supported", "receiving-mx-hostname": "mx2.good-at-last.test", "failed-session-count": 4}),
                ]
            )]),
        },
        // One session under two policies.
        Kind {
            domain: "two.test".into(),
            sessions: 6,
            calls: "policy\t1\tmx.two.test\nstring\t3 1 1 AA\nfailure\t304\t-\tmx.two.test\t-\t-\t-\t-\nresult\t1\n\
                    policy\t2\ttwo.test\nresult\t0\n"
                .into(),
            entries: json!([
                entry(
                    "tlsa",
                    "mx.two.test",
                    &["3 1 1 AA"],
                    &[],
                    (0, 6),
                    &[json!({"result-type": "tlsa-invalid", "receiving-mx-hostname": "mx.two.test", "failed-session-count": 6})]
                ),
                entry("sts", "two.test", &[], &[], (6, 0), &[]),
            ]),
        },
    ];
    kinds.extend(FAILURES.iter().zip(1..).map(|((code, name), sessions)| failing(*code, name, sessions)));
    kinds
}

/// A failure with every field.
fn failing(code: u16, name: &str, sessions: u64) -> Kind {
    let domain = format!("c{code}.test");
    let (number, kind) = if (304..=306).contains(&code) { (1, "tlsa") } else { (2, "sts") };
    let calls = format!(
        "policy\t{number}\t{domain}\nfailure\t{code}\t192.0.2.1\tmx.{domain}\t250-helo.{domain} at your service\\n250 SIZE\t\
         2001:db8::1\thttps://info.example/x\tsome_reason\nresult\t1\n"
    );
    let failure = json!({
        "result-type": name,
        "sending-mta-ip": "192.0.2.1",
        "receiving-mx-hostname": format!("mx.{domain}"),
        "receiving-mx-helo": format!("helo.{domain} at your service"),
        "receiving-ip": "2001:db8::1",
        "failed-session-count": sessions,
        "additional-information": "https://info.example/x",
        "failure-reason-code": "some_reason",
    });
    let entries = json!([entry(kind, &domain, &[], &[], (0, sessions), &[failure])]);
    Kind { domain, sessions, calls, entries }
}

fn entry(
    kind: &str,
    domain: &str,
    strings: &[&str],
    patterns: &[&str],
    (successful, failed): (u64, u64),
    failures: &[Value],
) -> Value {
    json!({
        "policy": {
            "policy-type": kind, "policy-domain": domain, "policy-string": strings, "mx-host": patterns,
        },
        "summary": {"total-successful-session-count": successful, "total-failure-session-count": failed},
        "failure-details": failures,
    })
}
