//! The world of a scenario, set up before the product starts in it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use super::{AttackSpec, OrganizationSpec, Scenario, ZoneSpec};
use crate::attacker::Tampering;
use crate::paths::Attacker;
use crate::sender::{DkimKey, MailServer, Sender, put};
use crate::world::{World, WorldOptions};

/// A world in which a scenario is about to be played.
pub struct Stage {
    /// The world; the product is started in it.
    pub world: World,
    /// The story.
    pub scenario: Scenario,
    /// The houses of its organisations, in the order of the file. The products are started in them.
    pub houses: Vec<House>,
    pub(super) senders: BTreeMap<String, Sender>,
    /// Mail servers of the organisations, by domain.
    pub(super) mail_servers: BTreeMap<String, MailServer>,
    /// How much of what each MX host took was looked at for reports.
    sorted: BTreeMap<Ipv4Addr, usize>,
    pub(super) attackers: BTreeMap<String, Attacker>,
    pub(super) mx: BTreeMap<String, Ipv4Addr>,
}

/// Where the mailward of an organisation lives: what its configuration needs to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct House {
    /// Its domain.
    pub domain: String,
    /// Name of the organisation.
    pub organization: String,
    /// A directory of its own.
    pub directory: PathBuf,
    /// The socket at which its mail server asks.
    pub policyd: PathBuf,
    /// The socket at which its mail server tells of sessions.
    pub collector: PathBuf,
    /// Where its mail server takes the mail that it hands in.
    pub submission: SocketAddr,
    /// The file with the key that signs its reports; the record is published under this selector.
    pub dkim_key: PathBuf,
    /// See [`Self::dkim_key`].
    pub selector: &'static str,
}

/// The local part of the mailboxes of reports.
pub(super) const REPORTS: &str = "tls-reports";

impl Stage {
    /// Sets the stage: the world begins as many days before `now` as the scenario says.
    ///
    /// # Errors
    /// When the world cannot be started, or the scenario names something that is not there.
    pub fn set(scenario: Scenario, now: Timestamp, options: &WorldOptions) -> io::Result<Self> {
        let days = SignedDuration::from_hours(24) * i32::try_from(scenario.starts_days_ago).unwrap_or(0);
        let begin = now.checked_sub(days).map_err(io::Error::other)?;
        let world = World::start(&WorldOptions { now: begin, ..options.clone() })?;
        for zone in &scenario.zones {
            records(&world, zone)?;
        }
        let mut mx = BTreeMap::new();
        for host in &scenario.mx {
            let address = world.mx(&host.host, host.behaviour.clone(), host.certificate)?;
            if let Some(identity) = world.mx_hosts.identity(address).filter(|_| host.dane) {
                let (owner, data) =
                    (format!("_25._tcp.{}", host.host), format!("3 1 1 {}", identity.spki_sha256()));
                world.set(&owner, "TLSA", &[&data]).map_err(io::Error::other)?;
            }
            mx.insert(host.host.clone(), address);
        }
        for policy in &scenario.policies {
            world.policy(&policy.domain, &policy.body, policy.answer.clone(), policy.certificate)?;
            if let Some(id) = &policy.id {
                world.announce(&policy.domain, id).map_err(io::Error::other)?;
            }
        }
        let mut senders = BTreeMap::new();
        for spec in &scenario.senders {
            senders.insert(spec.domain.clone(), world.sender(spec)?);
        }
        let (mut houses, mut mail_servers) = (vec![], BTreeMap::new());
        for spec in &scenario.organizations {
            let (house, mail_server) = found(&world, spec)?;
            houses.push(house);
            mail_servers.insert(spec.domain.clone(), mail_server);
        }
        let mut attackers = BTreeMap::new();
        for spec in &scenario.attackers {
            let of: Vec<&str> = spec.senders.iter().map(String::as_str).collect();
            let victim = |host: &String| {
                mx.get(host).copied().ok_or_else(|| io::Error::other(format!("{host} is no MX host here")))
            };
            let attacker = match &spec.attack {
                AttackSpec::StripStarttls { mx } => {
                    world.intercept(&of, victim(mx)?, Tampering::StripStarttls)?
                }
                AttackSpec::Inject { mx } => {
                    world.intercept(&of, victim(mx)?, Tampering::Inject("250 injected".into()))?
                }
                AttackSpec::Redirect { domain, to } => world.redirect(&of, domain, to)?,
            };
            attackers.insert(spec.name.clone(), attacker);
        }
        let sorted = BTreeMap::new();
        Ok(Self { world, scenario, houses, senders, mail_servers, sorted, attackers, mx })
    }

    /// Puts the report mail that MX hosts took since the last time into the maildirs of its domains.
    pub(super) fn sort_mail(&mut self) -> io::Result<()> {
        for address in self.mx.values() {
            let messages = self.world.mx_hosts.messages(*address);
            let sorted = self.sorted.entry(*address).or_default();
            for (number, mail) in messages.iter().enumerate().skip(*sorted) {
                for to in &mail.to {
                    if let Some((REPORTS, domain)) = to.split_once('@') {
                        let name = format!("{number}.{address}");
                        put(&self.world.directory.join("maildirs"), domain, &name, &mail.data)?;
                    }
                }
            }
            *sorted = messages.len();
        }
        Ok(())
    }
}

/// A house with its mail server, and the key of its reports in the DNS.
fn found(world: &World, spec: &OrganizationSpec) -> io::Result<(House, MailServer)> {
    let domain = &spec.domain;
    let directory = world.directory.join(domain);
    std::fs::create_dir_all(directory.join("certificates"))?;
    let (policyd, collector) = (directory.join("policyd.sock"), directory.join("tlsrpt.sock"));
    let mail_server = world.mail_server(domain, policyd.clone(), collector.clone())?;
    let (key, dkim_key) = (DkimKey::rsa(), directory.join("dkim.pem"));
    std::fs::write(&dkim_key, key.pem())?;
    let owner = format!("{}._domainkey.{domain}", DkimKey::SELECTOR);
    world.set(&owner, "TXT", &[&key.record()]).map_err(io::Error::other)?;
    let house = House {
        domain: domain.clone(),
        organization: spec.name.clone(),
        submission: SocketAddr::from((mail_server.submission(), world.smtp_port)),
        directory,
        policyd,
        collector,
        dkim_key,
        selector: DkimKey::SELECTOR,
    };
    Ok((house, mail_server))
}

fn records(world: &World, zone: &ZoneSpec) -> io::Result<()> {
    world.zone(&zone.name, zone.security).map_err(io::Error::other)?;
    for line in &zone.records {
        let wrong = || io::Error::other(format!("{line:?} is no record: OWNER TYPE DATA"));
        let (owner, rest) = line.split_once(' ').ok_or_else(wrong)?;
        let (rtype, data) = rest.trim_start().split_once(' ').ok_or_else(wrong)?;
        let owner = match owner {
            "@" => zone.name.clone(),
            absolute if absolute.ends_with('.') => absolute.to_owned(),
            relative => format!("{relative}.{}", zone.name),
        };
        world.dns.add(&owner, rtype, data.trim()).map_err(io::Error::other)?;
    }
    Ok(())
}
