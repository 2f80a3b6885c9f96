//! `[collector]`: a mail server tells of its sessions, the daemon counts them, SIGTERM loses none.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use mailward_store::Store;

use crate::command::{binary, mailward, run_command};
use crate::daemon::Daemon;
use crate::http::get;
use crate::wait;

fn configure(directory: &Path, collector: &str) {
    let text = format!(
        "[store]\nurl = \"sqlite:{}/mailward.db\"\n[dns]\nservers = [\"127.0.0.1:1\"]\n[web]\nlisten = [\"127.0.0.1:0\"]\n[collector]\n{collector}\n",
        directory.display()
    );
    std::fs::write(directory.join("mailward.toml"), text).unwrap();
}

fn session(domain: &str) -> Vec<u8> {
    format!(
        r#"{{"d": "{domain}","pr": "v=TLSRPTv1; rua=mailto:tls@{domain}","policies":[{{"policy-type":9,"t":0,"f":0}}]}}"#
    )
    .into_bytes()
}

/// As Postfix does it: a socket for each session, and no waiting.
fn tell(socket: &Path, datagram: &[u8]) -> std::io::Result<usize> {
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.connect(socket)?;
    sender.send(datagram)
}

fn metric(web: SocketAddr, name: &str) -> Option<f64> {
    let body = get(web, "/metrics", "").unwrap().body;
    body.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn datagrams(web: SocketAddr, result: &str) -> Option<f64> {
    metric(web, &format!("mailward_collector_datagrams_total{{result=\"{result}\"}}"))
}

/// Sessions in the database, of whatever day.
fn stored(directory: &Path) -> u64 {
    let url = format!("sqlite:{}/mailward.db", directory.display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&url).await.unwrap();
        let (first, last) = ("2000-01-01".parse().unwrap(), "9000-01-01".parse().unwrap());
        let days = store.tally_overview(first, last).await.unwrap();
        store.close().await;
        days.iter().flat_map(|day| &day.sums).map(|sum| sum.successful + sum.failed).sum()
    })
}

#[test]
fn sessions_are_counted_and_none_is_lost_by_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("tlsrpt.sock");
    configure(folder.path(), &format!("socket = \"{}\"", socket.display()));
    let mut daemon = Daemon::start(mailward().current_dir(folder.path()).arg("serve"));
    let web: SocketAddr = daemon.says("Dashboard: http://", 20).parse().unwrap();
    for result in ["accepted", "truncated", "dropped", "empty", "no-json", "too-deep", "unknown-policy-type"]
    {
        assert_eq!(datagrams(web, result), Some(0.0), "{result} from the start");
    }
    assert!(metric(web, "mailward_collector_queue_limit").is_some_and(|limit| limit >= 10.0));

    for _ in 0..3 {
        tell(&socket, &session("d.test")).unwrap();
    }
    tell(&socket, b"not json").unwrap();
    tell(&socket, &b"[".repeat(50_000)).unwrap();
    tell(&socket, b"").unwrap();
    wait::until("they are counted", 10, || datagrams(web, "accepted") == Some(3.0));
    for result in ["no-json", "too-deep", "empty"] {
        assert_eq!(datagrams(web, result), Some(1.0), "{result}");
    }
    assert_eq!(get(web, "/healthz", "").unwrap().status, 200);
    wait::until("they are stored", 10, || stored(folder.path()) == 3);
    assert!(daemon.stderr().contains("a datagram is not counted"), "{}", daemon.stderr());

    // A burst, and the end at once. Where the queue is short, the sender hears of what does not fit.
    let taken = (0..900).filter(|_| tell(&socket, &session("d.test")).is_ok()).count() as u64;
    daemon.terminate();
    assert_eq!(stored(folder.path()), 3 + taken);
    assert!(tell(&socket, &session("d.test")).is_err());
    assert!(taken > 10, "{taken}");
}

#[test]
fn a_socket_passed_by_systemd_is_used() {
    let folder = tempfile::tempdir().unwrap();
    // What the configuration names is not made.
    configure(folder.path(), "socket = \"/nonexistent/tlsrpt.sock\"");
    let path = folder.path().join("passed.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    // Sent while nothing runs, as during a restart.
    tell(&path, &session("early.test")).unwrap();
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, binary()])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(folder.path());
    let mut daemon = Daemon::start_with(&mut command, Stdio::from(OwnedFd::from(socket)));
    let web: SocketAddr = daemon.says("Dashboard: http://", 20).parse().unwrap();
    tell(&path, &session("d.test")).unwrap();
    wait::until("both are counted", 10, || datagrams(web, "accepted") == Some(2.0));
    daemon.terminate();
    assert_eq!(stored(folder.path()), 2);
    assert!(path.exists(), "it is systemd's");
}

#[test]
fn a_socket_that_cannot_be_made_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(120));
    for (collector, part) in [
        (format!("socket = \"{}\"", long.display()), "107 is the most"),
        ("group = \"no such group\"".to_owned(), "there is no group"),
        ("mode = \"0999\"".to_owned(), "0999"),
        ("sockett = \"/x\"".to_owned(), "collector.socket"),
    ] {
        configure(folder.path(), &collector);
        let ran = run_command(mailward().current_dir(folder.path()).arg("serve"), &[]).exits(2);
        assert!(ran.stderr.contains(part), "{collector}: {}", ran.stderr);
    }
}
