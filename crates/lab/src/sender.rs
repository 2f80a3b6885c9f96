//! Sending organisations: small MTAs of the lab's own that find policies, deliver real mail over real
//! connections, count what happens and report it, as RFC 8461 and RFC 8460 say.
//!
//! A sender does few real sessions and counts each for as many as it is told, so that a scenario
//! with thousands of sessions takes no longer than one with three. Its code has nothing in common with
//! the product's own sending side.

mod https;
mod mail;
mod mail_server;
mod maildir;
mod policy;
mod report;
mod session;
mod tally;
mod target;
mod tls;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use mailward_core::Clock;
use mailward_core::mta_sts::Mode;
use mailward_core::tlsrpt::{PolicyType, ResultType};
use rustls::pki_types::CertificateDer;

pub(crate) use mail::DkimKey;
pub use mail_server::{MailServer, Sent};
pub(crate) use maildir::put;
pub use policy::Policy;
pub use tls::Failure;

use crate::clock::WorldClock;
use crate::dns::Security;
use crate::dns::ask::{Flags, ask};
use crate::paths::Paths;
use crate::scenario::{Outcome, SenderSpec};
use crate::world::World;
use https::{Trust, exchange};
use policy::{Cache, Found};
use report::{Author, Report};
use session::{Channel, Demand, Ended, Mail, attempt};
use tally::{Applied, Place, Tally};
use target::{Target, targets};

/// What a sender sees of the world.
pub(crate) struct Surroundings {
    sender: String,
    true_resolver: SocketAddr,
    https_port: u16,
    smtp_port: u16,
    clock: Arc<WorldClock>,
    root: CertificateDer<'static>,
    paths: Paths,
    maildirs: PathBuf,
    address: String,
}

impl Surroundings {
    fn resolver(&self) -> SocketAddr {
        self.paths.resolver(&self.sender, self.true_resolver)
    }

    fn route(&self, address: IpAddr) -> SocketAddr {
        self.paths.route(&self.sender, SocketAddr::from((address, self.smtp_port)))
    }

    fn today(&self) -> Date {
        self.clock.now().to_zoned(TimeZone::UTC).date()
    }
}

/// One sending organisation.
pub struct Sender {
    spec: SenderSpec,
    surroundings: Surroundings,
    cache: Cache,
    tally: Tally,
    key: Option<mail::DkimKey>,
    /// Numbers the mails it writes.
    written: u64,
}

/// What became of mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The worst that became of any of it.
    pub outcome: Outcome,
    /// Failures met, without repetition: MX and what was wrong.
    pub failures: Vec<(String, Failure)>,
    /// The policy it was sent under.
    pub policy: Option<Policy>,
}

/// A report that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentReport {
    /// The policy domain.
    pub domain: String,
    /// Where it went, as in `rua`.
    pub to: String,
    /// Its report-id.
    pub id: String,
    /// `mail`, or the HTTP status; or why it could not be sent.
    pub result: Result<String, String>,
}

impl World {
    /// Founds a sending organisation and publishes its DKIM key in its (signed) zone.
    ///
    /// # Errors
    /// When its domain is no name.
    pub fn sender(&self, spec: &SenderSpec) -> io::Result<Sender> {
        let key = spec.signs.then(|| mail::DkimKey::generate(spec.shape));
        if let Some(key) = &key {
            if !self.dns.zones().contains(&spec.domain) {
                self.zone(&spec.domain, Security::Signed).map_err(io::Error::other)?;
            }
            let owner = format!("{}._domainkey.{}", mail::DkimKey::SELECTOR, spec.domain);
            self.set(&owner, "TXT", &[&key.record()]).map_err(io::Error::other)?;
        }
        let surroundings = surroundings(self, &spec.domain, self.address().to_string());
        let (cache, tally) = (Cache::default(), Tally::default());
        Ok(Sender { spec: spec.clone(), surroundings, cache, tally, key, written: 0 })
    }

    /// The maildir to which report mail for a domain goes (made if it is not there).
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn maildir(&self, domain: &str) -> io::Result<PathBuf> {
        maildir::make(&self.directory.join("maildirs"), domain)
    }
}

fn surroundings(world: &World, sender: &str, address: String) -> Surroundings {
    Surroundings {
        sender: sender.to_owned(),
        true_resolver: world.resolver,
        https_port: world.https_port,
        smtp_port: world.smtp_port,
        clock: Arc::clone(&world.clock),
        root: world.ca.root(),
        paths: world.paths.clone(),
        maildirs: world.directory.join("maildirs"),
        address,
    }
}

/// The body that the policy host of a domain serves now, fetched as any sender does.
pub(crate) async fn fetch_body(world: &World, domain: &str) -> Result<String, Failure> {
    let surroundings = surroundings(world, "cache.invalid", String::new());
    policy::fetch_body(&surroundings, domain).await.map(|body| String::from_utf8_lossy(&body).into_owned())
}

/// The TLS-RPT record of a domain: the one there must be (RFC 8460 §3).
async fn report_record(surroundings: &Surroundings, domain: &str) -> Option<String> {
    let owner = format!("_smtp._tls.{domain}");
    let reply = ask(surroundings.resolver(), &owner, "TXT", Flags::default()).await.ok()?;
    let mut records = reply.texts().into_iter().filter(|text| text.starts_with("v=TLSRPTv1;"));
    let (Some(record), None) = (records.next(), records.next()) else { return None };
    Some(record)
}

impl Sender {
    /// Its domain.
    pub fn domain(&self) -> &str {
        &self.spec.domain
    }

    /// Delivers mail to a domain, counted as this many sessions, spread evenly over the addresses of the
    /// MX hosts of best preference; each falls back to the others as a queue would.
    pub async fn deliver(&mut self, domain: &str, sessions: u64) -> Delivery {
        let day = self.surroundings.today();
        let found = policy::discover(&self.surroundings, &mut self.cache, domain).await;
        let (applied, policy) = match found {
            Found::Policy(policy) => {
                let (lines, mx) = (policy.lines.clone(), policy.mx.clone());
                (Applied { policy_type: PolicyType::Sts, lines, mx }, Some(policy))
            }
            Found::Nothing => (Applied::none(), None),
            Found::Failed(failure) => {
                let sts = Applied { policy_type: PolicyType::Sts, ..Applied::none() };
                let what = (failure, Place::default());
                self.tally.failure(day, domain, &sts, what, sessions);
                (Applied::none(), None)
            }
        };
        let mut delivery = Delivery { outcome: Outcome::Delivered, failures: vec![], policy };
        let Some(hosts) = targets(&self.surroundings, domain).await else {
            delivery.outcome = Outcome::Deferred;
            return delivery;
        };
        let best = hosts.first().map(|host| host.preference);
        let starts = hosts.iter().filter(|host| Some(host.preference) == best).count().max(1);
        let mut tried = HashMap::new();
        for start in 0..starts {
            let share = share(sessions, starts, start);
            let order = hosts[start..starts].iter().chain(&hosts[..start]).chain(&hosts[starts..]);
            let mut outcome = Outcome::Deferred;
            for target in order {
                let ended = self.session(domain, target, &delivery.policy, &mut tried).await;
                if ended.reached {
                    self.count(day, domain, &applied, target, &ended, share, &mut delivery.failures);
                }
                if let Some(channel) = ended.handed_over {
                    outcome = match channel {
                        Channel::Tls => Outcome::Delivered,
                        Channel::ClearText => Outcome::ClearText,
                    };
                    break;
                }
            }
            delivery.outcome = delivery.outcome.max(outcome);
        }
        delivery
    }

    /// One real session with an address, or what came of it a moment ago.
    async fn session(
        &self,
        domain: &str,
        target: &Target,
        policy: &Option<Policy>,
        tried: &mut HashMap<Target, Ended>,
    ) -> Ended {
        if let Some(ended) = tried.get(target) {
            return ended.clone();
        }
        let enforced = policy.as_ref().is_some_and(|p| p.mode == Mode::Enforce);
        let judged = policy.as_ref().filter(|p| p.mode != Mode::None);
        let covered = judged.is_none_or(|p| p.covers(&target.host));
        let outside = Failure::new(ResultType::ValidationFailure, "sts-mx-mismatch");
        let ended = if enforced && !covered {
            // RFC 8461 §4.1: this host is not used at all.
            Ended::failed(outside)
        } else {
            let demand = if enforced { Demand::Authenticated } else { Demand::Opportunistic };
            let to = format!("postmaster@{domain}");
            let from = format!("someone@{}", self.spec.domain);
            let text = format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: Hello\r\n\r\nHello.");
            let mail = Mail { helo: &self.spec.domain, from: &from, to: &to, text: &text };
            let route = self.surroundings.route(target.address);
            let ended = attempt(&self.surroundings, &target.host, route, &demand, &mail).await;
            let failure =
                if covered { ended.failure.clone() } else { ended.failure.clone().or(Some(outside)) };
            Ended { failure, ..ended }
        };
        tried.insert(target.clone(), ended.clone());
        ended
    }

    #[allow(clippy::too_many_arguments, reason = "one place counts, and it needs to know all of it")]
    fn count(
        &mut self,
        day: Date,
        domain: &str,
        applied: &Applied,
        target: &Target,
        ended: &Ended,
        sessions: u64,
        failures: &mut Vec<(String, Failure)>,
    ) {
        // Without a policy only a missing or broken TLS is a failure; nobody is authenticated.
        let is_certificate = |failure: &Failure| {
            let certificate = [
                ResultType::CertificateExpired,
                ResultType::CertificateHostMismatch,
                ResultType::CertificateNotTrusted,
            ];
            certificate.contains(&failure.result_type)
        };
        let unjudged = applied.policy_type == PolicyType::NoPolicyFound;
        match ended.failure.clone().filter(|failure| !(unjudged && is_certificate(failure))) {
            None => self.tally.success(day, domain, applied, sessions),
            Some(failure) => {
                let told = (target.host.clone(), failure.clone());
                if !failures.contains(&told) {
                    failures.push(told);
                }
                let place = Place { mx: Some(target.host.clone()), address: Some(target.address) };
                self.tally.failure(day, domain, applied, (failure, place), sessions);
            }
        }
    }

    /// Invents figures instead of counting sessions: for those who lie.
    pub fn invent(&mut self, domain: &str, successful: u64, failed: u64, result_type: Option<&str>) {
        let day = self.surroundings.today().yesterday().unwrap_or_else(|_| self.surroundings.today());
        let sts = Applied { policy_type: PolicyType::Sts, ..Applied::none() };
        self.tally.success(day, domain, &sts, successful);
        if failed > 0 {
            let result_type = ResultType::from(result_type.unwrap_or("validation-failure").to_owned());
            let what = (Failure { result_type, reason: None }, Place::default());
            self.tally.failure(day, domain, &sts, what, failed);
        }
    }

    /// Sends its reports on a day, one for each policy domain, to every address that the domain names.
    pub async fn report(&mut self, day: Date) -> Vec<SentReport> {
        self.send(day, None).await
    }

    /// Sends its reports on yesterday.
    pub async fn report_yesterday(&mut self) -> Vec<SentReport> {
        match self.surroundings.today().yesterday() {
            Ok(day) => self.send(day, None).await,
            Err(_) => vec![],
        }
    }

    /// Sends its reports on yesterday to these addresses, whatever the domains say.
    pub async fn report_yesterday_to(&mut self, addresses: &[String]) -> Vec<SentReport> {
        match self.surroundings.today().yesterday() {
            Ok(day) => self.send(day, Some(addresses)).await,
            Err(_) => vec![],
        }
    }

    async fn send(&mut self, day: Date, addresses: Option<&[String]>) -> Vec<SentReport> {
        let mut sent = Vec::new();
        for (domain, policies) in self.tally.of(day) {
            let report = self.author().write(day, &domain, &policies);
            let addresses = match addresses {
                Some(addresses) => addresses.to_vec(),
                None => self.report_addresses(&domain).await,
            };
            for to in addresses {
                let result = match to.strip_prefix("mailto:") {
                    Some(mailbox) => self.mail(&report, mailbox),
                    None => self.post(&report, &to).await,
                };
                sent.push(SentReport { domain: domain.clone(), to, id: report.id.clone(), result });
            }
        }
        sent
    }

    fn author(&self) -> Author<'_> {
        Author {
            organization: &self.spec.organization,
            domain: &self.spec.domain,
            shape: self.spec.shape,
            address: &self.surroundings.address,
        }
    }

    /// `rua` of its record.
    async fn report_addresses(&self, domain: &str) -> Vec<String> {
        let Some(record) = report_record(&self.surroundings, domain).await else { return vec![] };
        let rua = record.split(';').find_map(|field| field.trim().strip_prefix("rua="));
        let uris = rua.into_iter().flat_map(|rua| rua.split(',')).map(|uri| uri.trim().to_owned());
        uris.filter(|uri| uri.starts_with("mailto:") || uri.starts_with("https://")).collect()
    }

    fn mail(&mut self, report: &Report, mailbox: &str) -> Result<String, String> {
        let now = self.surroundings.clock.now();
        let text = mail::write(&self.author(), report, mailbox, now, self.key.as_ref());
        let (_, domain) = mailbox.rsplit_once('@').ok_or("no mailbox")?;
        self.written += 1;
        let name = format!("{}.{}.{}", now.as_second(), self.written, self.spec.domain);
        let put = put(&self.surroundings.maildirs, domain, &name, text.as_bytes());
        put.map(|()| "mail".to_owned()).map_err(|e| e.to_string())
    }

    async fn post(&self, report: &Report, uri: &str) -> Result<String, String> {
        let rest = uri.strip_prefix("https://").ok_or("no https URI")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| "no port")?),
            None => (authority, self.surroundings.https_port),
        };
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => ask(self.surroundings.resolver(), host, "A", Flags::default())
                .await
                .map_err(|e| e.to_string())?
                .addresses(),
        };
        let body = report.packed();
        let mut request = format!(
            "POST /{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/tlsrpt+gzip\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(&body);
        let response = exchange(&self.surroundings, host, &addresses, port, &request, Trust::Any)
            .await
            .map_err(|failure| failure.reason.unwrap_or_default())?;
        match response.status {
            200..=299 => Ok(response.status.to_string()),
            status => Err(format!("status {status}")),
        }
    }
}

/// The part of the sessions that begins at one of several addresses; the first takes what is left over.
fn share(sessions: u64, starts: usize, start: usize) -> u64 {
    let starts = u64::try_from(starts).unwrap_or(1);
    let even = sessions / starts;
    if start == 0 { even + sessions % starts } else { even }
}
