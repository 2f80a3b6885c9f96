//! A real Postfix: started in its folder, fed over SMTP, known by its log and its queue.
//!
//! The folder itself stays as it was unpacked. What a running Postfix writes to lies in copies that are
//! mounted over it inside the namespace.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mailward_lab::Identity;
use serde_json::Value;

use crate::namespace::{bind, root_of};
use crate::wait;

/// A release and the way it asks.
#[derive(Debug, Clone, Copy)]
pub struct Release {
    /// As in the name of its folder.
    pub version: &'static str,
    /// The socketmap it asks.
    pub map: &'static str,
    /// Where it asks.
    pub listen: Listen,
    /// Whether it tells of its sessions (TLSRPT).
    pub tells: bool,
}

/// What the policy daemon listens on.
#[derive(Debug, Clone, Copy)]
pub enum Listen {
    /// A socket below the queue directory.
    Unix,
    /// 127.0.0.1:8461.
    Inet,
}

/// Who owns mailboxes: the user `postfix`, as `scripts/postfix` makes it.
const OWNER: u32 = 2525;

/// A running Postfix.
pub struct Postfix {
    root: PathBuf,
    log: PathBuf,
    queue: PathBuf,
    pub release: Release,
}

/// What the log says of one attempt to deliver.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// `sent`, `deferred`, `bounced`.
    pub status: String,
    pub reason: String,
}

impl Postfix {
    /// Unpacked, not yet started, with `directory` for what it writes.
    pub fn prepare(release: Release, directory: &Path) -> Self {
        let root = root_of(release);
        for part in ["etc", "var"] {
            let copy = directory.join(part);
            let copied = Command::new("cp").arg("-a").arg(root.join(part)).arg(&copy).status().unwrap();
            assert!(copied.success());
            bind(&copy, &root.join(part));
        }
        bind(Path::new("/dev"), &root.join("dev"));
        let var = directory.join("var");
        let queue = var.join("spool/postfix");
        // Below the queue directory, where chrooted daemons find what lies there.
        std::fs::create_dir_all(queue.join("mailward")).unwrap();
        Self { root, log: var.join("log/postfix.log"), queue, release }
    }

    /// Where the policy daemon listens, as its configuration has it.
    pub fn listen(&self) -> String {
        match self.release.listen {
            Listen::Inet => "127.0.0.1:8461".to_owned(),
            Listen::Unix => format!("unix:{}", self.queue.join("mailward/policyd.sock").display()),
        }
    }

    /// The socket of the collector.
    pub fn collector(&self) -> String {
        self.queue.join("mailward/tlsrpt.sock").display().to_string()
    }

    /// Starts it as one that sends, with this resolver and these trusted roots.
    pub fn start(&self, resolver: SocketAddr, roots: &Path) {
        let etc = self.root.join("etc");
        let resolv = format!("nameserver {}\noptions edns0 trust-ad timeout:2 attempts:2\n", resolver.ip());
        std::fs::write(etc.join("resolv.conf"), &resolv).unwrap();
        std::fs::write(self.queue.join("etc/resolv.conf"), &resolv).unwrap();
        std::fs::copy(roots, etc.join("postfix/lab.pem")).unwrap();
        let endpoint = match self.release.listen {
            Listen::Inet => "inet:127.0.0.1:8461",
            // From the queue directory, which is the current one of every daemon, chrooted or not.
            Listen::Unix => "unix:mailward/policyd.sock",
        };
        let reports = match self.release.tells {
            true => "smtp_tlsrpt_enable = yes\nsmtp_tlsrpt_socket_name = mailward/tlsrpt.sock",
            false => "",
        };
        let policies = format!("smtp_tls_policy_maps = socketmap:{endpoint}:{}", self.release.map);
        let settings = [
            reports,
            "myhostname = out.sender.test",
            "inet_interfaces = 127.0.0.1",
            "mynetworks = 127.0.0.0/8",
            "smtp_dns_support_level = dnssec",
            "smtp_tls_security_level = dane",
            "smtp_tls_CAfile = /etc/postfix/lab.pem",
            "smtp_tls_loglevel = 1",
            "smtp_address_preference = ipv4",
            // A mail that waits is tried again when the test says so.
            "minimal_backoff_time = 3600s",
            "queue_run_delay = 3600s",
            "smtp_host_lookup = dns",
            &policies,
        ];
        self.start_with(&settings.map(str::to_owned), SocketAddr::from(([127, 0, 0, 1], 25)));
    }

    /// Starts it as one that takes mail for a domain at an address, into the maildir that is returned.
    pub fn start_mailbox(&self, domain: &str, address: Ipv4Addr, identity: &Identity) -> PathBuf {
        // It listens only at addresses that an interface has by name, though all of 127/8 is loopback.
        let has = Command::new("ip").args(["address", "add", &format!("{address}/32"), "dev", "lo"]).status();
        assert!(has.unwrap().success(), "{address}");
        let pem = identity.key_pem() + &identity.certificate_pem();
        std::fs::write(self.root.join("etc/postfix/server.pem"), pem).unwrap();
        let maildir = self.root.join("var/mailboxes/reports");
        for folder in ["tmp", "new", "cur"] {
            std::fs::create_dir_all(maildir.join(folder)).unwrap();
            std::os::unix::fs::chown(maildir.join(folder), Some(OWNER), Some(OWNER)).unwrap();
        }
        let settings = [
            format!("myhostname = mx1.{domain}"),
            format!("inet_interfaces = {address}"),
            "smtpd_tls_security_level = may".to_owned(),
            "smtpd_tls_chain_files = /etc/postfix/server.pem".to_owned(),
            format!("virtual_mailbox_domains = {domain}"),
            "virtual_mailbox_base = /var/mailboxes".to_owned(),
            "virtual_mailbox_maps = static:reports/".to_owned(),
            format!("virtual_uid_maps = static:{OWNER}"),
            format!("virtual_gid_maps = static:{OWNER}"),
        ];
        self.start_with(&settings, SocketAddr::from((address, 25)));
        maildir
    }

    fn start_with(&self, settings: &[String], at: SocketAddr) {
        let common = "compatibility_level = 3.6\nmaillog_file = /var/log/postfix.log\nmydestination =\n\
                      alias_maps =\ninet_protocols = ipv4\n";
        let text = format!("{common}{}\n", settings.join("\n"));
        std::fs::write(self.root.join("etc/postfix/main.cf"), text).unwrap();
        self.run("postfix", &["start"]);
        wait::until("Postfix takes mail", 30, || TcpStream::connect(at).is_ok());
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("chroot");
        command.arg(&self.root).arg(format!("/usr/sbin/{program}")).args(arguments);
        // Not a pipe for stderr: the daemons that are started would keep it open.
        let talk = self.queue.join("talk");
        let stderr = std::fs::File::create(&talk).unwrap();
        let stdout = if program == "postfix" { Stdio::null() } else { Stdio::piped() };
        let output = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        let complaints = std::fs::read_to_string(talk).unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {complaints}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Everything that waits is tried now, also at hosts that were found dead.
    pub fn flush(&self) {
        self.run("postqueue", &["-f"]);
    }

    /// What waits for one recipient is tried now, and nothing else.
    pub fn flush_to(&self, recipient: &str) {
        for (id, _) in self.queue().iter().filter(|(_, to)| to == recipient) {
            self.run("postqueue", &["-i", id]);
        }
    }

    /// The recipients of the mails that wait.
    pub fn waiting(&self) -> Vec<String> {
        self.queue().into_iter().map(|(_, recipient)| recipient).collect()
    }

    /// Ids of the mails that wait, with each recipient.
    fn queue(&self) -> Vec<(String, String)> {
        let listed = self.run("postqueue", &["-j"]);
        let mails = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        mails
            .flat_map(|mail| {
                let recipients = mail["recipients"].as_array().cloned().unwrap_or_default();
                recipients
                    .into_iter()
                    .map(move |recipient| (text(&mail["queue_id"]), text(&recipient["address"])))
            })
            .collect()
    }

    /// The whole log.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Attempts to deliver to a recipient, oldest first.
    pub fn attempts(&self, recipient: &str) -> Vec<Attempt> {
        let to = format!(" to=<{recipient}>, ");
        self.log().lines().filter_map(|line| Some(line.split_once(&to)?.1)).filter_map(attempt).collect()
    }

    /// Waits for an attempt to deliver to a recipient after the first `known` ones.
    #[track_caller]
    pub fn next_attempt(&self, recipient: &str, known: usize) -> Attempt {
        let mut attempts = wait::some(&format!("an attempt to deliver to {recipient}"), 60, || {
            Some(self.attempts(recipient)).filter(|attempts| attempts.len() > known)
        });
        attempts.remove(known)
    }

    /// Hands over one mail and waits for what becomes of it at first.
    #[track_caller]
    pub fn send(&self, recipient: &str) -> Attempt {
        let known = self.attempts(recipient).len();
        Submission::open().mail(recipient, "one");
        self.next_attempt(recipient, known)
    }
}

/// `relay=…, delay=…, dsn=…, status=deferred (why)` of a line of the log.
fn attempt(text: &str) -> Option<Attempt> {
    let (status, reason) = text.split_once("status=")?.1.split_once(' ')?;
    Some(Attempt { status: status.to_owned(), reason: reason.to_owned() })
}

/// A connection to hand mail over.
pub struct Submission {
    stream: BufReader<TcpStream>,
}

impl Submission {
    pub fn open() -> Self {
        let stream = TcpStream::connect("127.0.0.1:25").unwrap();
        let mut submission = Self { stream: BufReader::new(stream) };
        submission.expect("220");
        submission.say("HELO test.sender.test\r\n", "250");
        submission
    }

    /// One mail. The subject tells it from others.
    pub fn mail(&mut self, recipient: &str, subject: &str) {
        self.say("MAIL FROM:<owner@sender.test>\r\n", "250");
        self.say(&format!("RCPT TO:<{recipient}>\r\n"), "250");
        self.say("DATA\r\n", "354");
        let mail =
            format!("From: owner@sender.test\r\nTo: {recipient}\r\nSubject: {subject}\r\n\r\nbody\r\n");
        self.say(&format!("{mail}.\r\n"), "250");
    }

    fn say(&mut self, text: &str, reply: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
        self.expect(reply);
    }

    fn expect(&mut self, reply: &str) {
        let mut line = String::new();
        while line.as_bytes().get(3) != Some(&b' ') {
            line.clear();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "Postfix hung up");
        }
        assert!(line.starts_with(reply), "{line}");
    }
}
