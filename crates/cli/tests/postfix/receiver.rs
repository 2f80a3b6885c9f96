//! The organisation that is reported to: a second `mailward serve` with a store of its own, a mailbox that
//! a real Postfix delivers to, and an endpoint for POSTs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mailward_lab::{CertificateKind, Security, World};
use serde_json::Value;

use crate::OLD;
use crate::command::mailward;
use crate::daemon::Daemon;
use crate::mail_world::{configuration_with, in_directory};
use crate::mta::Postfix;

const DOMAIN: &str = "reports.test";
/// Addresses for reports.
pub const MAIL: &str = "mailto:reports@reports.test";
pub const HTTPS: &str = "https://rua.reports.test/v1/tls-rpt";

/// Where it is going to be.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    mail: Ipv4Addr,
    https: Ipv4Addr,
}

/// Makes its zone.
pub fn furnish(world: &World) -> Place {
    let place = Place { mail: world.address(), https: world.address() };
    world.zone(DOMAIN, Security::Signed).unwrap();
    for (label, address) in [("mx1", place.mail), ("rua", place.https)] {
        world.set(&format!("{label}.{DOMAIN}"), "A", &[&address.to_string()]).unwrap();
    }
    world.set(DOMAIN, "MX", &[&format!("10 mx1.{DOMAIN}.")]).unwrap();
    place
}

pub struct Receiver {
    daemon: Daemon,
    directory: PathBuf,
    pub maildir: PathBuf,
}

impl Receiver {
    /// Starts it. It holds these domains.
    pub fn start(world: &World, resolver: SocketAddr, place: Place, domains: &[String]) -> Self {
        let directory = world.directory.join("receiver");
        let certificates = directory.join("certificates");
        let issue = |label: &str| world.ca.issue(&[&format!("{label}.{DOMAIN}")], CertificateKind::Good);
        world.write_certificate(&certificates, &format!("rua.{DOMAIN}"), &issue("rua")).unwrap();
        let postfix = Postfix::prepare(OLD, &directory);
        let maildir = postfix.start_mailbox(DOMAIN, place.mail, &issue("mx1"));
        let configuration = configuration_with(world, resolver, "trust-ad");
        let configuration = configuration.replace("/mailward.db", "/receiver/mailward.db")
            + &format!(
                "[web]\nlisten = [\"127.0.0.1:8470\"]\n[policy_host]\nlisten = [\"{}:443\"]\n\
                 certificates = \"{}\"\n[reports.https]\n[reports.maildir]\npath = \"{}\"\ninterval = \"1s\"\n",
                place.https,
                certificates.display(),
                maildir.display()
            );
        std::fs::write(directory.join("mailward.toml"), configuration).unwrap();
        hold(&directory, domains);
        let mut daemon = Daemon::start(mailward().current_dir(&directory).arg("serve"));
        daemon.says("Dashboard: http://", 20);
        Self { daemon, directory, maildir }
    }

    /// The mails that were delivered to its mailbox, taken in or not.
    pub fn mails(&self) -> Vec<PathBuf> {
        let folders = ["new", "cur"].map(|folder| std::fs::read_dir(self.maildir.join(folder)).unwrap());
        folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    /// How many mails it has taken in.
    pub fn taken_in(&self) -> usize {
        std::fs::read_dir(self.maildir.join("cur")).unwrap().count()
    }

    /// Every report that counts, by report-id. Panics when one is there twice.
    #[track_caller]
    pub fn reports(&self) -> BTreeMap<String, Value> {
        let mut reports = BTreeMap::new();
        for report in in_directory(&self.directory, &["report", "export", "--json"]).exits(0).lines() {
            let id = report["report-id"].as_str().unwrap().to_owned();
            assert!(reports.insert(id.clone(), report).is_none(), "{id} is there twice");
        }
        reports
    }

    /// The rows of the list of reports.
    pub fn rows(&self) -> Vec<Value> {
        let list = ["report", "list", "--limit", "10000", "--json"];
        let list = in_directory(&self.directory, &list).exits(0).json();
        list["reports"].as_array().unwrap().clone()
    }

    /// What came in for a report, as it came.
    pub fn raw(&self, number: i64) -> Vec<u8> {
        let mut show = mailward();
        show.current_dir(&self.directory).args(["report", "show", &number.to_string(), "--raw"]);
        show.output().unwrap().stdout
    }

    pub fn terminate(self) -> String {
        self.daemon.terminate()
    }
}

fn hold(directory: &Path, domains: &[String]) {
    let domains: String = domains
        .iter()
        .map(|domain| format!("[[domain]]\nname = \"{domain}\"\nmx = [\"mx1.{domain}\"]\n"))
        .collect();
    std::fs::write(directory.join("domains.toml"), domains).unwrap();
    in_directory(directory, &["domain", "apply", "domains.toml"]).exits(0);
}
