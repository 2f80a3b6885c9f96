//! The mail server of an organisation that runs mailward, as Postfix 3.10 behaves towards it.
//!
//! It knows no policy itself. For every mail it asks the organisation's policy daemon over the socketmap,
//! obeys what it is told, delivers over real connections, and tells the collector of each session in a
//! datagram. Mail that may not go waits in its queue. The reports of the organisation are handed in at a
//! port of its own and leave by it like any mail, only that they demand nothing of TLS (RFC 8689).
//!
//! Written from the protocols, with no code of the product: `socketmap.rs` asks, `answer.rs` reads what
//! Postfix would read, `datagram.rs` writes what libtlsrpt writes.

mod answer;
mod datagram;
mod socketmap;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use jiff::civil::Date;
use mailward_core::tlsrpt::ResultType;

use super::session::{Channel, Demand, Ended, Mail, attempt};
use super::target::{Target, targets};
use super::tls::{Failure, Tlsa};
use super::{Surroundings, report_record, surroundings};
use crate::ca::CertificateKind;
use crate::dns::ask::{Data, Flags, ask};
use crate::scenario::Outcome;
use crate::smtp::{Behaviour, Message, MxHosts};
use crate::world::World;
use answer::{Level, TlsPolicy};
use datagram::Session;

/// The map that Postfix 3.10 asks.
const MAP: &str = "mailward-tlsrpt";

/// A mail server with its queue.
pub struct MailServer {
    surroundings: Surroundings,
    policyd: PathBuf,
    collector: PathBuf,
    hosts: MxHosts,
    submission: Ipv4Addr,
    /// Mails handed in there that were taken into the queue.
    taken: usize,
    queue: Vec<Letter>,
    /// Datagrams sent, by the UTC day of the world.
    told: BTreeMap<Date, u64>,
    /// Numbers the mails of its people.
    written: u64,
}

/// A mail in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Letter {
    from: String,
    to: String,
    text: String,
    /// `TLS-Required: No` (RFC 8689 §5): it is delivered despite any policy, and nobody is told of it.
    is_tls_required: bool,
}

/// What became of mail to one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The worst that became of any of it.
    pub outcome: Outcome,
    /// Why some of it waits, or what was wrong on the way; without repetition.
    pub remarks: Vec<String>,
}

impl World {
    /// Sets up the mail server of an organisation: its host `mail.DOMAIN` takes the mail that the
    /// organisation hands in. `policyd` and `collector` are the sockets at which its mailward is asked
    /// and told.
    ///
    /// # Errors
    /// When the domain is no name or no address can be bound.
    pub fn mail_server(&self, domain: &str, policyd: PathBuf, collector: PathBuf) -> io::Result<MailServer> {
        let submission = self.mx(&format!("mail.{domain}"), Behaviour::Good, CertificateKind::Good)?;
        Ok(MailServer {
            surroundings: surroundings(self, domain, self.address().to_string()),
            policyd,
            collector,
            hosts: self.mx_hosts.clone(),
            submission,
            taken: 0,
            queue: vec![],
            told: BTreeMap::new(),
            written: 0,
        })
    }
}

impl MailServer {
    /// Where the organisation hands in its own mail.
    pub fn submission(&self) -> Ipv4Addr {
        self.submission
    }

    /// The mails of people that wait for this domain.
    pub fn waiting(&self, domain: &str) -> usize {
        self.queue.iter().filter(|letter| letter.is_tls_required && next_hop(&letter.to) == domain).count()
    }

    /// How many sessions of this UTC day the collector was told of.
    pub fn told_on(&self, day: Date) -> u64 {
        self.told.get(&day).copied().unwrap_or(0)
    }

    /// What its policy daemon answers now about a next hop.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask(&self, domain: &str) -> io::Result<String> {
        socketmap::ask(&self.policyd, MAP, domain).await
    }

    /// Its people write so many mails to a domain. Each is tried once; what cannot go waits.
    ///
    /// # Errors
    /// When the collector cannot be told.
    pub async fn send(&mut self, domain: &str, mails: u64) -> io::Result<Sent> {
        let from = format!("someone@{}", self.surroundings.sender);
        let to = format!("postmaster@{domain}");
        let first = self.queue.len();
        for _ in 0..mails {
            self.written += 1;
            let number = self.written;
            let text = format!(
                "From: <{from}>\r\nTo: <{to}>\r\nSubject: Letter {number}\r\nMessage-ID: <{number}@{}>\r\n\r\nHello.\r\n",
                self.surroundings.sender
            );
            let letter = Letter { from: from.clone(), to: to.clone(), text, is_tls_required: true };
            self.queue.push(letter);
        }
        self.work_from(first).await
    }

    /// Tries everything in the queue once, also what was handed in meanwhile.
    ///
    /// # Errors
    /// When the collector cannot be told.
    pub async fn work(&mut self) -> io::Result<Sent> {
        let handed_in = self.hosts.messages(self.submission);
        let new = handed_in.get(self.taken..).unwrap_or_default();
        self.queue.extend(new.iter().flat_map(letters));
        self.taken = handed_in.len();
        self.work_from(0).await
    }

    async fn work_from(&mut self, first: usize) -> io::Result<Sent> {
        let mut sent = Sent { outcome: Outcome::Delivered, remarks: vec![] };
        for letter in self.queue.split_off(first) {
            let outcome = self.deliver(&letter, &mut sent.remarks).await?;
            sent.outcome = sent.outcome.max(outcome);
            if outcome == Outcome::Deferred {
                self.queue.push(letter);
            }
        }
        Ok(sent)
    }

    async fn deliver(&mut self, letter: &Letter, remarks: &mut Vec<String>) -> io::Result<Outcome> {
        let mut remark = |text: String| {
            if !remarks.contains(&text) {
                remarks.push(text);
            }
        };
        let domain = next_hop(&letter.to);
        let policy = match letter.is_tls_required {
            true => answer::read(&self.ask(domain).await.unwrap_or_else(|e| format!("TEMP {e}"))),
            false => Ok(TlsPolicy::may()),
        };
        let policy = match policy {
            Ok(policy) => policy,
            Err(why) => {
                remark(why);
                return Ok(Outcome::Deferred);
            }
        };
        let Some(hosts) = targets(&self.surroundings, domain).await else {
            remark(format!("the DNS does not tell the mail servers of {domain}"));
            return Ok(Outcome::Deferred);
        };
        for target in hosts {
            let demand = match self.demand(&policy, &target).await {
                Ok(demand) => demand,
                Err(why) => {
                    // Postfix does not connect, and tells nobody.
                    remark(why);
                    continue;
                }
            };
            let ended = self.session(letter, &target, &demand).await;
            if let Some(failure) = &ended.failure {
                remark(format!("{} at {}", failure.result_type, target.host));
            }
            if letter.is_tls_required && ended.reached {
                self.tell(domain, &policy, &target, &demand, &ended).await?;
            }
            match ended.handed_over {
                Some(Channel::Tls) => return Ok(Outcome::Delivered),
                Some(Channel::ClearText) => return Ok(Outcome::ClearText),
                None => {}
            }
        }
        Ok(Outcome::Deferred)
    }

    /// What a policy demands of one mail server; why it is not used at all.
    async fn demand(&self, policy: &TlsPolicy, target: &Target) -> Result<Demand, String> {
        match policy.level {
            Level::May => Ok(Demand::Opportunistic),
            Level::Encrypt => Ok(Demand::Encrypted),
            Level::Secure if policy.allows(&target.host) => Ok(Demand::Authenticated),
            Level::Secure => Err(format!("the policy does not name {}", target.host)),
            Level::Dane | Level::DaneOnly => {
                let records = self.tlsa(target).await?;
                match (records.is_empty(), policy.level) {
                    (false, _) => Ok(Demand::Matching(records)),
                    (true, Level::DaneOnly) => Err(format!("no TLSA record of {} can be used", target.host)),
                    (true, _) => Ok(Demand::Opportunistic),
                }
            }
        }
    }

    /// Usable TLSA records that the DNS vouches for.
    async fn tlsa(&self, target: &Target) -> Result<Vec<Tlsa>, String> {
        if !target.is_secure {
            return Ok(vec![]);
        }
        let owner = format!("_25._tcp.{}", target.host);
        let reply = ask(self.surroundings.resolver(), &owner, "TLSA", Flags::default()).await;
        // RFC 7672 §2.1.2: not to know whether DANE applies is no reason to go without.
        let reply = reply.ok().filter(|reply| matches!(reply.rcode, 0 | 3));
        let reply = reply.ok_or_else(|| format!("the DNS does not tell the TLSA records of {owner}"))?;
        let record = |data: &Data| if let Data::Other(_, octets) = data { Tlsa::read(octets) } else { None };
        let records = reply.answer.iter().filter_map(|(_, data)| record(data)).collect();
        Ok(if reply.authentic { records } else { vec![] })
    }

    async fn session(&self, letter: &Letter, target: &Target, demand: &Demand) -> Ended {
        let route = self.surroundings.route(target.address);
        let helo = format!("mail.{}", self.surroundings.sender);
        let mail = Mail { helo: &helo, from: &letter.from, to: &letter.to, text: &letter.text };
        attempt(&self.surroundings, &target.host, route, demand, &mail).await
    }

    /// Tells the collector of a session, where the domain wants to hear of it and Postfix would tell.
    async fn tell(
        &mut self,
        domain: &str,
        policy: &TlsPolicy,
        target: &Target,
        demand: &Demand,
        ended: &Ended,
    ) -> io::Result<()> {
        let failure = match (&ended.failure, demand) {
            // Nothing was demanded: who does without STARTTLS, or is not who it says, is no failure.
            (Some(failure), Demand::Opportunistic) if is_missing_starttls(failure) => return Ok(()),
            (Some(failure), Demand::Opportunistic | Demand::Encrypted) if is_certificate(failure) => None,
            (failure, _) => failure.as_ref(),
        };
        let Some(record) = report_record(&self.surroundings, domain).await else { return Ok(()) };
        let session = Session {
            domain,
            record: &record,
            policy,
            demand,
            failure,
            failed: ended.handed_over.is_none(),
            sending_ip: &self.surroundings.address,
            target,
            ehlo: &ended.ehlo,
        };
        let day = self.surroundings.today();
        datagram::send(&self.collector, &session.text()).await?;
        *self.told.entry(day).or_default() += 1;
        Ok(())
    }
}

fn is_missing_starttls(failure: &Failure) -> bool {
    failure.result_type == ResultType::StarttlsNotSupported
}

fn is_certificate(failure: &Failure) -> bool {
    let certificate = [
        ResultType::CertificateExpired,
        ResultType::CertificateHostMismatch,
        ResultType::CertificateNotTrusted,
    ];
    certificate.contains(&failure.result_type)
}

fn next_hop(to: &str) -> &str {
    to.rsplit_once('@').map_or(to, |(_, domain)| domain)
}

/// A mail that was handed in: one for each recipient.
fn letters(mail: &Message) -> Vec<Letter> {
    let text = String::from_utf8_lossy(&mail.data).into_owned();
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let no = |line: &str| {
        let field = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("TLS-Required"));
        field.is_some_and(|(_, value)| value.trim().eq_ignore_ascii_case("no"))
    };
    let is_tls_required = !head.lines().any(no);
    let letter =
        |to: &String| Letter { from: mail.from.clone(), to: to.clone(), text: text.clone(), is_tls_required };
    mail.to.iter().map(letter).collect()
}
