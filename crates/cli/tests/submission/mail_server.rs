//! Postfix as a submission server: 587 wants STARTTLS and a login, 465 is TLS from the start, and some more
//! ports are each wrong in one way.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mailward_lab::{CertificateKind, World};

use crate::mta::{self, Release};
use crate::namespace::root_of;
use crate::wait;

/// What each port does beside the rest.
const PORTS: [(&str, &str); 5] = [
    ("465", "-o smtpd_tls_wrappermode=yes"),
    ("587", "-o smtpd_tls_security_level=encrypt"),
    ("588", "-o smtpd_tls_security_level=encrypt -o message_size_limit=600"),
    ("589", "-o smtpd_tls_security_level=encrypt -o smtputf8_enable=no"),
    (
        "590",
        "-o smtpd_tls_wrappermode=yes -o smtpd_tls_cert_file=/etc/postfix/other.test.crt \
         -o smtpd_tls_key_file=/etc/postfix/other.test.key",
    ),
];

pub struct Postfix {
    log: PathBuf,
    _prepared: mta::Postfix,
}

impl Postfix {
    /// Who may log in is asked of the first of `logins`, at 465 of the second.
    pub fn start(release: Release, world: &World, hub: Ipv4Addr, logins: [SocketAddr; 2]) -> Self {
        let prepared = mta::Postfix::prepare(release, &world.directory);
        let etc = world.directory.join("etc/postfix");
        for name in ["localhost", "other.test"] {
            let identity = world.ca.issue(&[name], CertificateKind::Good);
            world.write_certificate(&etc, name, &identity).unwrap();
        }
        let settings = [
            "compatibility_level = 3.6",
            "maillog_file = /var/log/postfix.log",
            "myhostname = mail.sender.test",
            "mydestination =",
            "alias_maps =",
            "inet_interfaces = 127.0.0.1",
            "inet_protocols = ipv4",
            // Whoever wants something relayed must log in.
            "mynetworks = 192.0.2.1/32",
            "smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination",
            "smtpd_sasl_type = dovecot",
            "smtpd_tls_cert_file = /etc/postfix/localhost.crt",
            "smtpd_tls_key_file = /etc/postfix/localhost.key",
            "smtpd_tls_loglevel = 1",
            "smtpd_tls_auth_only = yes",
            "smtputf8_enable = yes",
            "smtp_host_lookup = native",
            &format!("relayhost = [{hub}]:{}", world.smtp_port),
        ];
        std::fs::write(etc.join("main.cf"), settings.join("\n") + "\n").unwrap();
        let mut services = std::fs::read_to_string(etc.join("master.cf")).unwrap();
        for (port, options) in PORTS {
            let logins = logins[usize::from(port == "465")];
            services.push_str(&format!(
                "\n127.0.0.1:{port} inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes \
                 -o smtpd_sasl_path=inet:{logins} {options}"
            ));
        }
        std::fs::write(etc.join("master.cf"), services + "\n").unwrap();
        let var = world.directory.join("var");
        let talk = std::fs::File::create(var.join("talk")).unwrap();
        let mut command = Command::new("chroot");
        command.arg(root_of(release)).args(["/usr/sbin/postfix", "start"]);
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(talk).status().unwrap();
        let log = var.join("log/postfix.log");
        assert!(
            started.success(),
            "{}{}",
            std::fs::read_to_string(var.join("talk")).unwrap(),
            std::fs::read_to_string(&log).unwrap_or_default()
        );
        for (port, _) in PORTS.into_iter().chain([("25", "")]) {
            let address = format!("127.0.0.1:{port}");
            wait::until(&format!("Postfix at {port}"), 30, || TcpStream::connect(&address).is_ok());
        }
        Self { log, _prepared: prepared }
    }

    /// Waits until the log has this text.
    #[track_caller]
    pub fn logs(&self, text: &str) {
        let log = || std::fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned());
        wait::until(&format!("{text:?} in the log of Postfix"), 30, || log().is_ok_and(|l| l.contains(text)));
    }
}
