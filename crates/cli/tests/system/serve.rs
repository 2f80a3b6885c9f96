//! `mailward serve`: what runs, what is served, how it reloads and how it ends.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use mailward_lab::scenario::SenderSpec;
use mailward_lab::{CertificateKind, World};
use serde_json::json;

use crate::command::{mailward, run_command};
use crate::daemon::Daemon;
use crate::held::report;
use crate::http::{Response, exchange, get, post, tls};
use crate::mail_world::{configuration, in_world, world};
use crate::{postgres, wait};

/// A daemon with every duty on, in a world of its own.
struct Served {
    daemon: Daemon,
    world: World,
    /// Policy host.
    https: SocketAddr,
    /// Own listener of reports.
    reports: SocketAddr,
    web: SocketAddr,
    token: String,
}

const DOMAIN: &str = "own.test";
const HOST: &str = "mta-sts.own.test";

fn served(store: Option<&str>) -> Served {
    let world = world();
    let (address, apart) = (world.address(), world.address());
    let https = SocketAddr::from((address, world.https_port));
    let reports = SocketAddr::from((apart, world.https_port));
    let certificates = world.directory.join("certificates");
    let identity = world.ca.issue(&[HOST, "reports.test"], CertificateKind::Good);
    world.write_certificate(&certificates, HOST, &identity).unwrap();
    let mut text = configuration(&world);
    if let Some(url) = store {
        let line = text.lines().find(|l| l.starts_with("url = ")).unwrap().to_owned();
        text = text.replace(&line, &format!("url = \"{url}\""));
    }
    text.push_str(&format!(
        "[web]\nlisten = [\"127.0.0.1:0\"]\n\
         [policy_host]\nlisten = [\"{https}\"]\ncertificates = \"{certificates}\"\n\
         [reports.https]\nlisten = [\"{reports}\"]\n\
         [reports.maildir]\npath = \"{maildir}\"\ninterval = \"1s\"\n\
         [monitor]\ninterval = \"1h\"\n",
        certificates = certificates.display(),
        maildir = world.maildir(DOMAIN).unwrap().display(),
    ));
    std::fs::write(world.directory.join("mailward.toml"), text).unwrap();
    world.zone(DOMAIN, mailward_lab::Security::Signed).unwrap();
    world.mx("mx1.own.test", mailward_lab::Behaviour::Good, CertificateKind::Good).unwrap();
    world.set(DOMAIN, "MX", &["10 mx1.own.test."]).unwrap();
    world.set(HOST, "A", &[&address.to_string()]).unwrap();
    let (daemon, web, token) = start(&world.directory);
    Served { daemon, world, https, reports, web, token: token.expect("the first start prints a token") }
}

/// Starts on the configuration in a directory; the token is printed by the first start alone.
fn start(directory: &Path) -> (Daemon, SocketAddr, Option<String>) {
    let mut daemon = Daemon::start(mailward().current_dir(directory).arg("serve"));
    let web = daemon.says("Dashboard: http://", 20).parse().unwrap();
    let printed = daemon.stdout();
    let token =
        printed.lines().find_map(|l| l.split_once("once: ")).map(|(_, token)| token.trim().to_owned());
    (daemon, web, token)
}

impl Served {
    fn request(&self, name: &str, text: &str) -> Response {
        exchange(&mut tls(self.https, name, &self.world.root_pem).unwrap(), text.as_bytes()).unwrap()
    }

    fn policy(&self) -> Response {
        self.request(HOST, &format!("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
    }

    fn post_report(&self, to: SocketAddr, name: &str, media_type: &str, body: &[u8]) -> Response {
        let head = format!(
            "POST /v1/tls-rpt HTTP/1.1\r\nHost: {name}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let began = Instant::now();
        let mut stream = tls(to, name, &self.world.root_pem).unwrap();
        let response = exchange(&mut stream, &[head.as_bytes(), body].concat()).unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        response
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }

    fn exported(&self) -> usize {
        in_world(&self.world, &["report", "export", "--json"]).exits(0).lines().len()
    }
}

/// Everything that does not depend on the engine below.
fn flow(store: Option<&str>) -> Served {
    let served = served(store);
    // Held by another process, served soon.
    in_world(&served.world, &["domain", "add", DOMAIN]).exits(0);
    wait::until("the policy is served", 10, || served.policy().status == 200);
    let policy = served.policy();
    assert_eq!(policy.body, "version: STSv1\nmode: testing\nmx: mx1.own.test\nmax_age: 86400\n");
    assert!(policy.header("content-type").is_some_and(|t| t.starts_with("text/plain")), "{}", policy.head);

    // Posted: stored once, on either listener, by either name.
    let body = report(DOMAIN, 1, 5, 0);
    let json_type = "application/tlsrpt+json";
    let first = served.post_report(served.https, HOST, json_type, body.as_bytes());
    assert_eq!(first.status, 201, "{} {}", first.head, first.body);
    let again = served.post_report(served.reports, "reports.test", json_type, body.as_bytes());
    assert_eq!(again.status, 200, "{} {}", again.head, again.body);
    assert_eq!(served.exported(), 1);

    // By mail, signed, from a sender of the world.
    let spec = SenderSpec {
        domain: "bigmail.test".into(),
        organization: "Big Mail".into(),
        shape: mailward_lab::scenario::Shape::Plain,
        signs: true,
    };
    let mut sender = served.world.sender(&spec).unwrap();
    sender.invent(DOMAIN, 40, 2, Some("starttls-not-supported"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sent = runtime.block_on(sender.report_yesterday_to(&[format!("mailto:tls-reports@{DOMAIN}")]));
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].result.is_ok(), "{sent:?}");
    wait::until("the mail is taken in", 10, || served.exported() == 2);
    let list = in_world(&served.world, &["report", "list", "--json"]).exits(0).json();
    let trust = |submitter: &str| {
        let rows = list["reports"].as_array().unwrap();
        rows.iter().find(|r| r["submitter"] == submitter).map(|r| r["trust"].clone())
    };
    assert_eq!(trust("bigmail.test"), Some(json!("dkim-verified")), "{list}");

    // The API shows it to whoever has the token.
    let shown = get(served.web, "/api/reports", &served.bearer()).unwrap();
    assert_eq!(shown.status, 200);
    assert!(shown.body.contains("bigmail.test"), "{}", shown.body);
    let health = get(served.web, "/healthz", "").unwrap();
    assert_eq!(health.status, 200, "{}", health.body);
    served
}

#[test]
fn every_duty_on_sqlite() {
    let mut served = flow(None);
    paths_names_and_methods(&served);
    hostile_posts(&served);
    another_certificate(&served);
    doors(&served);
    reload_keeps_connections(&served);
    second_instance(&served);

    // Killed and started again: what was acknowledged is there, and no second token is printed.
    let before = served.exported();
    served.daemon.kill();
    assert_eq!(served.exported(), before);
    let (daemon, web, token) = start(&served.world.directory);
    assert_eq!(token, None, "the token is printed once");
    assert_eq!(get(web, "/api/status", &served.bearer()).unwrap().status, 200);
    served.daemon = daemon;
    assert_eq!(served.policy().status, 200, "from the first moment on");
    let told = served.daemon.terminate();
    assert!(told.contains("stopping"), "{told}");
}

#[test]
fn every_duty_on_postgres() {
    let Some(postgres) = postgres::start() else { return };
    let served = flow(Some(&postgres.url));
    let status = in_world(&served.world, &["status", "--json"]).json();
    assert_eq!(status["domains"][0]["line"]["domain"], DOMAIN, "{status}");
    served.daemon.terminate();
}

fn paths_names_and_methods(served: &Served) {
    let line = |first: &str, host: &str| format!("{first}\r\nHost: {host}\r\n\r\n");
    let path = "/.well-known/mta-sts.txt";
    let head = served.request(HOST, &line(&format!("HEAD {path} HTTP/1.1"), HOST));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some(served.policy().body.len().to_string().as_str()));
    for (name, request, status) in [
        (HOST, line(&format!("GET {path} HTTP/1.0"), HOST), 200..=200),
        (HOST, line(&format!("GET {path} HTTP/1.1"), "MTA-STS.Own.TEST"), 200..=200),
        ("MTA-STS.OWN.test", line(&format!("GET {path} HTTP/1.1"), HOST), 200..=200),
        (HOST, line("GET / HTTP/1.1", HOST), 404..=404),
        (HOST, line("GET /.well-known/mta-sts.txt/ HTTP/1.1", HOST), 404..=404),
        (HOST, line("GET /.well-known/MTA-STS.txt HTTP/1.1", HOST), 404..=404),
        (HOST, line("GET /v1/tls-rpt HTTP/1.1", HOST), 400..=499),
        (HOST, line(&format!("POST {path} HTTP/1.1"), HOST), 400..=499),
        (HOST, line(&format!("DELETE {path} HTTP/1.1"), HOST), 400..=499),
        (HOST, line(&format!("GET {path} HTTP/1.1"), "mta-sts.other.test"), 400..=499),
        (HOST, "\u{1}\u{2}garbage\r\n\r\n".to_owned(), 400..=499),
        (HOST, format!("GET {path} HTTP/1.1\r\n\r\n"), 400..=499),
    ] {
        let response = served.request(name, &request);
        assert!(status.contains(&response.status), "{name} {request:?}: {} {}", response.head, response.body);
    }
    let refused = tls(served.https, "mta-sts.other.test", &served.world.root_pem);
    assert!(refused.is_err(), "no certificate is shown for another name");
    let gone = served.post_report(served.https, HOST, "text/html", b"<p>");
    assert!((400..500).contains(&gone.status));
}

fn hostile_posts(served: &Served) {
    let before = served.exported();
    let json_type = "application/tlsrpt+json";
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let bomb = gzip_bomb(256 << 20);
    for (media_type, body) in [
        (json_type, &b""[..]),
        (json_type, b"not json"),
        (json_type, b"{}"),
        (json_type, deep.as_bytes()),
        ("application/tlsrpt+gzip", b"not gzip"),
        ("application/tlsrpt+gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut"),
        ("application/tlsrpt+gzip", &bomb),
        ("application/json+x", b"{}"),
    ] {
        let response = served.post_report(served.https, HOST, media_type, body);
        assert!((400..500).contains(&response.status), "{media_type} {}: {}", body.len(), response.head);
    }
    let long = vec![b' '; 12 << 20];
    let response = served.post_report(served.https, HOST, json_type, &long);
    assert!((400..500).contains(&response.status), "{}", response.head);
    assert_eq!(served.exported(), before, "none of it counts");
    assert_eq!(get(served.web, "/healthz", "").unwrap().status, 200);
}

/// Zeros, many times over, as gzip.
fn gzip_bomb(size: usize) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..size >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

fn serial(served: &Served) -> Vec<u8> {
    let stream = tls(served.https, HOST, &served.world.root_pem).unwrap();
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn another_certificate(served: &Served) {
    let certificates = served.world.directory.join("certificates");
    let old = serial(served);
    let next = served.world.ca.issue(&[HOST, "reports.test"], CertificateKind::Good);
    // Half of the exchange: the pair does not fit, so the old one stays, and it is said.
    std::fs::write(certificates.join(format!("{HOST}.key")), next.key_pem()).unwrap();
    let told = || {
        let health = get(served.web, "/healthz", "").unwrap();
        assert_eq!(health.status, 200, "the duty works: {}", health.body);
        let duties = health.json()["duties"].as_array().unwrap().clone();
        let duty = duties.into_iter().find(|d| d["duty"] == "certificates").unwrap();
        duty["reason"].as_str().unwrap().to_owned()
    };
    wait::until("half an exchange is said", 10, || told().contains(HOST));
    assert_eq!(serial(served), old);
    std::fs::write(certificates.join(format!("{HOST}.crt")), next.certificate_pem()).unwrap();
    wait::until("the new certificate is shown", 10, || serial(served) != old);
    assert_eq!(served.policy().status, 200);
    wait::until("all is well again", 10, || told().is_empty());
    // The other form, beside the first: more days left, so it is preferred.
    let folder = certificates.join("renewed");
    std::fs::create_dir(&folder).unwrap();
    let renewed = served.world.ca.issue_with_days_left(&["mta-sts.second.test"], 300);
    std::fs::write(folder.join("privkey.pem"), renewed.key_pem()).unwrap();
    std::fs::write(folder.join("fullchain.pem"), renewed.certificate_pem()).unwrap();
    wait::until("a certificate for a second name", 10, || {
        tls(served.https, "mta-sts.second.test", &served.world.root_pem).is_ok()
    });
}

fn doors(served: &Served) {
    let web = served.web;
    let anonymous = get(web, "/", "").unwrap();
    assert_eq!(anonymous.status, 303, "{}", anonymous.head);
    let form = get(web, "/login", "").unwrap();
    assert!(form.body.contains("type=\"password\""), "{}", form.body);
    assert_eq!(get(web, "/api/status", "").unwrap().status, 401);
    assert_eq!(get(web, "/api/status", "Authorization: Bearer wrong\r\n").unwrap().status, 401);
    let openapi = get(web, "/api/openapi.json", &served.bearer()).unwrap();
    assert!(openapi.json()["openapi"].is_string());

    let made = in_world(&served.world, &["admin", "token", "create", "second"]).exits(0).stdout;
    for token in [served.token.as_str(), made.trim()] {
        let header = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(get(web, "/api/status", &header).unwrap().status, 200);
        let origin = format!("Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://{web}\r\n");
        let entered = post(web, "/login", &origin, format!("token={token}&next=/").as_bytes()).unwrap();
        assert_eq!(entered.status, 303, "{}", entered.head);
        let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let page = get(web, "/", &format!("Cookie: {cookie}\r\n")).unwrap();
        assert_eq!(page.status, 200);
        assert!(page.body.contains(DOMAIN) && page.body.contains("<h1"), "{}", page.body);
        let domain = get(web, &format!("/domains/{DOMAIN}"), &format!("Cookie: {cookie}\r\n")).unwrap();
        assert_eq!(domain.status, 200);
    }
    let wrong = post(web, "/login", "Content-Type: application/x-www-form-urlencoded\r\n", b"token=nonsense")
        .unwrap();
    assert!((400..500).contains(&wrong.status) && wrong.header("set-cookie").is_none(), "{}", wrong.head);

    let metrics = get(web, "/metrics", "").unwrap();
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.body.lines().any(|l| l.starts_with("mailward_") && !l.starts_with('#')),
        "{}",
        metrics.body
    );
}

fn reload_keeps_connections(served: &Served) {
    let mut kept = tls(served.https, HOST, &served.world.root_pem).unwrap();
    let request = format!("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    assert_eq!(exchange(&mut kept, request.as_bytes()).unwrap().status, 200);
    served.daemon.signal("HUP");
    wait::until("the reload is logged", 5, || served.daemon.stderr().contains("read again"));
    assert_eq!(exchange(&mut kept, request.as_bytes()).unwrap().status, 200, "on the same connection");
}

fn second_instance(served: &Served) {
    let listen = format!("web.listen={}", served.web);
    let mut command = mailward();
    command.current_dir(&served.world.directory).args(["serve", "--set", &listen]);
    let ran = run_command(&mut command, b"").exits(2);
    let port = served.https.port().to_string();
    assert!(ran.stderr.contains("cannot listen on") && ran.stderr.contains(&port), "{}", ran.stderr);
}

#[test]
fn with_no_configuration_at_all() {
    let home = tempfile::tempdir().unwrap();
    let command = |arguments: &[&str]| {
        let mut command = mailward();
        command.current_dir(home.path()).env("HOME", home.path()).args(arguments);
        command
    };
    let mut daemon = Daemon::start(command(&["serve", "--set", "web.listen=127.0.0.1:0"]).env_remove("PATH"));
    let web: SocketAddr = daemon.says("Dashboard: http://", 20).parse().unwrap();
    daemon.says("No domain is held yet", 5);
    assert!(daemon.stdout().contains("Access token"), "{}", daemon.stdout());
    assert!(home.path().join(".local/share/mailward/mailward.db").exists());
    let ran = run_command(&mut command(&["domain", "add", "own.test", "--mx", "mx.own.test"]), b"");
    ran.exits(0);
    let list = run_command(&mut command(&["status", "--json"]), b"").exits(0).json();
    assert_eq!(list["domains"].as_array().unwrap().len(), 1);
    let token = daemon
        .stdout()
        .lines()
        .find_map(|l| l.split_once("once: ").map(|(_, t)| t.trim().to_owned()))
        .unwrap();
    let shown = get(web, "/api/domains", &format!("Authorization: Bearer {token}\r\n")).unwrap();
    assert!(shown.body.contains("own.test"), "{}", shown.body);
    assert_eq!(get(web, "/healthz", "").unwrap().status, 200);
    let database = std::fs::metadata(home.path().join(".local/share/mailward/mailward.db")).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&database) & 0o777;
    assert_eq!(mode & 0o007, 0, "others read nothing: {mode:o}");
    daemon.terminate();
}

#[test]
fn systemd_is_told() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let heard = || {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).expect("a word to systemd");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut command = mailward();
    command.current_dir(home.path()).env("HOME", home.path()).env("NOTIFY_SOCKET", &path);
    let mut daemon = Daemon::start(command.args(["serve", "--set", "web.listen=127.0.0.1:0"]));
    assert!(heard().contains("READY=1"));
    daemon.says("Dashboard: http://", 5);
    daemon.signal("HUP");
    let reloading = heard();
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(heard().contains("READY=1"));
    daemon.terminate();
    assert!(heard().contains("STOPPING=1"));
}

/// The database goes away under a running daemon: 503 with the reason, policies are still served, and 200
/// again when it is back.
#[test]
fn health_tells_of_a_lost_database() {
    let Some(mut postgres) = postgres::start() else { return };
    let served = served(Some(&postgres.url));
    in_world(&served.world, &["domain", "add", DOMAIN]).exits(0);
    wait::until("the policy is served", 10, || served.policy().status == 200);
    postgres.stop();
    wait::until("health fails", 15, || get(served.web, "/healthz", "").is_ok_and(|r| r.status == 503));
    let health = get(served.web, "/healthz", "").unwrap().json();
    let store = health["duties"].as_array().unwrap().iter().find(|d| d["duty"] == "store").unwrap();
    assert_eq!(store["ok"], false);
    assert!(!store["reason"].as_str().unwrap().is_empty(), "{health}");
    assert_eq!(served.policy().status, 200, "from memory");
    postgres.start_again();
    wait::until("health is well again", 20, || {
        get(served.web, "/healthz", "").is_ok_and(|r| r.status == 200)
    });
    served.daemon.terminate();
}

#[test]
fn certificates_may_come_later() {
    let world = world();
    let https = SocketAddr::from((world.address(), world.https_port));
    let certificates = world.directory.join("empty");
    std::fs::create_dir(&certificates).unwrap();
    let mut text = configuration(&world);
    text.push_str(&format!(
        "[web]\nlisten = [\"127.0.0.1:0\"]\n[policy_host]\nlisten = [\"{https}\"]\ncertificates = \"{}\"\n",
        certificates.display()
    ));
    std::fs::write(world.directory.join("mailward.toml"), text).unwrap();
    in_world(&world, &["domain", "add", DOMAIN, "--mx", "mx1.own.test"]).exits(0);
    let (daemon, ..) = start(&world.directory);
    assert!(tls(https, HOST, &world.root_pem).is_err());
    let identity = world.ca.issue(&[HOST], CertificateKind::Good);
    world.write_certificate(&certificates, HOST, &identity).unwrap();
    wait::until("the certificate is taken up", 10, || tls(https, HOST, &world.root_pem).is_ok());
    let mut stream = tls(https, HOST, &world.root_pem).unwrap();
    let request =
        format!("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange(&mut stream, request.as_bytes()).unwrap().status, 200);
    let mut rest = vec![];
    assert!(stream.read_to_end(&mut rest).is_ok_and(|n| n == 0), "closed with a close_notify");
    daemon.terminate();
}
