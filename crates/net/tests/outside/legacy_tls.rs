//! Real OpenSSL servers of the kind that our TLS library leaves out: "cannot reach" is not "broken".

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mailward_core::MxHost;
use mailward_core::facts::ProbeOutcome;
use mailward_net::smtp::probe;

use crate::fake_smtp::{FakeSmtp, Step, until_starttls};
use crate::world::{Authority, Way};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(directory: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.current_dir(directory).args(arguments.split(' ')).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

async fn start(directory: &Path, arguments: &str) -> (Server, SocketAddr) {
    let address = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let mut command = Command::new("openssl");
    command.current_dir(directory).args(["s_server", "-quiet", "-accept", &address.to_string()]);
    command.args(arguments.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Server(command.spawn().unwrap());
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..300 {
        assert!(server.0.try_wait().unwrap().is_none(), "openssl ended: {arguments}");
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return (server, address);
        }
        pace.tick().await;
    }
    panic!("openssl does not listen");
}

#[tokio::test]
async fn legacy_peers_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    if !openssl(path, "version") {
        assert!(std::env::var_os("CI").is_none(), "openssl is not installed");
        println!("skipped: openssl is not installed");
        return;
    }
    for (name, key) in [("good", "rsa:2048"), ("small", "rsa:1024")] {
        let made = format!(
            "req -x509 -newkey {key} -nodes -keyout {name}.key -out {name}.crt -days 30 -subj /CN=mx.d.test"
        );
        assert!(openssl(path, &made), "{made}");
    }
    // Version 1: a self-signed request has no extensions.
    assert!(openssl(path, "req -new -key good.key -out v1.csr -subj /CN=mx.d.test"));
    assert!(openssl(path, "x509 -req -in v1.csr -signkey good.key -out v1.crt -days 30"));
    let good = "-cert good.crt -key good.key";
    for (arguments, reason, chain) in [
        (format!("{good} -tls1_1 -cipher ALL:@SECLEVEL=0"), "tls-alert-protocol_version", false),
        (format!("{good} -tls1_2 -cipher AES128-SHA:@SECLEVEL=0"), "tls-alert-handshake_failure", false),
        (format!("{good} -tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256"), "tls-alert-handshake_failure", false),
        ("-cert small.crt -key small.key -cipher ALL:@SECLEVEL=0".into(), "tls-bad_signature", true),
        ("-cert v1.crt -key good.key".into(), "tls-unsupported_certificate", true),
    ] {
        let (_server, address) = start(path, &arguments).await;
        let mut script = until_starttls();
        script.push(Step::PassTo(address));
        let mail = FakeSmtp::start(script).await;
        let way = Way::to(&Authority::new()).smtp(mail.address.port()).open();
        let host = MxHost::parse("mx.d.test").unwrap();
        let outcome = probe(&way, &host, IpAddr::from([127, 0, 0, 1])).await.outcome;
        let ProbeOutcome::Handshake(failure) = outcome else { panic!("{arguments}: {outcome:?}") };
        assert_eq!((failure.reason.as_str(), failure.maybe_legacy), (reason, true), "{arguments}");
        // The chain is kept although the handshake failed after it: a DANE match is not lost.
        assert_eq!(!failure.chain.is_empty(), chain, "{arguments}");
    }
}
