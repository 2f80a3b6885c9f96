//! A world with a reporter in it: sessions of yesterday, and what became of the reports on them.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::PolicyType;
use mailward_core::tlsrpt::datagram::SessionPolicy;
use mailward_lab::address::Ports;
use mailward_lab::{Behaviour, CertificateKind, Security, World, WorldOptions};
use mailward_store::Store;
use mailward_store::tallies::{Increment, TallySource};

use crate::command::mailward;
use crate::daemon::Daemon;
use crate::logins::Logins;
use crate::mail_server::Postfix;
use crate::mail_world::{configuration, in_directory};
use crate::mta::Release;
use crate::wait;

pub struct Office {
    pub world: World,
    pub logins: Logins,
    /// It knows LOGIN alone.
    old_logins: Logins,
    /// Where Postfix delivers everything.
    hub: Ipv4Addr,
    private: bool,
}

impl Office {
    pub fn open() -> Self {
        let options = WorldOptions {
            now: Timestamp::now(),
            ports: Ports::REAL,
            network: Some((77, 1)),
            ..WorldOptions::default()
        };
        let world = World::start(&options).unwrap();
        world.zone("test", Security::Signed).unwrap();
        let hub = world.mx("hub.test", Behaviour::Good, CertificateKind::Good).unwrap();
        let (logins, old_logins) = (Logins::start(&["PLAIN", "LOGIN"]), Logins::start(&["LOGIN"]));
        Self { world, logins, old_logins, hub, private: true }
    }

    pub fn postfix(&self, release: Release) -> Postfix {
        Postfix::start(release, &self.world, self.hub, [self.logins.address, self.old_logins.address])
    }

    /// Whether addresses inside may be posted to, from the next start on.
    pub fn allow_private(&mut self, allowed: bool) {
        self.private = allowed;
    }

    /// Sessions of yesterday. The binary's clock is that of the machine, so the store is told of them.
    pub fn seen(&self, domain: &str, rua: &str) {
        let record = format!("v=TLSRPTv1; rua={rua}");
        self.world.set(&format!("_smtp._tls.{domain}"), "TXT", &[&record]).unwrap();
        let increment = Increment {
            day: yesterday(),
            domain: PolicyDomain::parse(domain).unwrap(),
            record,
            source: TallySource::MailServer,
            policy: SessionPolicy {
                policy_type: PolicyType::NoPolicyFound,
                policy_domain: domain.parse().unwrap(),
                policy_string: vec![],
                mx_host: vec![],
            },
            successful: 3,
            failed: 0,
            failures: vec![],
        };
        let url = format!("sqlite:{}/mailward.db", self.world.directory.display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(&url).await.unwrap();
            store.add_tallies(&[increment]).await.unwrap();
            store.close().await;
        });
    }

    /// Runs the reporter while `play` looks.
    pub fn serve(&self, submit: &str, login: Option<(&str, &str)>, play: impl FnOnce(&Self)) {
        let directory = &self.world.directory;
        let login = login.map_or_else(String::new, |(user, password)| {
            std::fs::write(directory.join("password"), format!("{password}\n")).unwrap();
            format!("user = \"{user}\"\npassword_file = \"password\"\n")
        });
        let outside = configuration(&self.world);
        let outside = outside.replace(
            "allow_private_addresses = true",
            &format!("allow_private_addresses = {}", self.private),
        );
        let text = format!(
            "{outside}[web]\nlisten = [\"127.0.0.1:0\"]\n[reporter]\norganization = \"Sender\"\n\
             contact = \"tls@sender.test\"\nspread = \"1s\"\nsubmit = \"{submit}\"\n{login}"
        );
        std::fs::write(directory.join("mailward.toml"), text).unwrap();
        let mut daemon = Daemon::start(mailward().current_dir(directory).arg("serve"));
        daemon.says("Dashboard: http://", 20);
        play(self);
        daemon.terminate();
    }

    /// State and answer of the target of a domain's report, once it was tried.
    #[track_caller]
    pub fn settled(&self, domain: &str) -> (String, String) {
        wait::some(&format!("a try for {domain}"), 60, || {
            let list = ["report", "outgoing", "list", "--json"];
            let list = in_directory(&self.world.directory, &list).exits(0).json();
            let reports = list["reports"].as_array().unwrap();
            let report = reports.iter().find(|report| report["domain"] == domain)?;
            let target = &report["targets"][0];
            let text = |member: &str| target[member].as_str().unwrap_or_default().to_owned();
            (text("state") != "due").then(|| (text("state"), text("answer")))
        })
    }

    /// The report of a domain is tried at once.
    pub fn again(&self, domain: &str) {
        let list = in_directory(&self.world.directory, &["report", "outgoing", "list", "--json"]);
        let list = list.exits(0).json();
        let reports = list["reports"].as_array().unwrap();
        let report = reports.iter().find(|report| report["domain"] == domain).unwrap();
        let id = report["report_id"].as_str().unwrap();
        in_directory(&self.world.directory, &["report", "outgoing", "send", id]).exits(0);
    }

    /// The mails that came out of Postfix for a recipient; one at least.
    #[track_caller]
    pub fn arrived(&self, recipient: &str) -> Vec<Vec<u8>> {
        wait::some(&format!("a mail to {recipient}"), 30, || {
            let mails: Vec<Vec<u8>> =
                self.world.mx_hosts.delivered_to(recipient).into_iter().map(|(_, mail)| mail.data).collect();
            (!mails.is_empty()).then_some(mails)
        })
    }
}

fn yesterday() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date().yesterday().unwrap()
}
