//! Plays a scenario: does what its steps say, in the world and at the products, and compares.

mod compare;
mod exchange;

use std::net::SocketAddr;

use jiff::Timestamp;
use mailward_core::Clock;

use super::stage::REPORTS;
use super::{Action, PolicyAction, SenderSpec, Stage};
use crate::ca::CertificateKind;
use crate::dns::DEFAULT_TTL;
use crate::policy_host::Answer;
use crate::product::{Product, ProductError, WantedPolicy};
use crate::sender::fetch_body;

/// Listens while a scenario is played.
pub trait Narrator {
    /// A step begins.
    fn step(&mut self, number: usize, at: Timestamp, say: &str);
    /// Something happened, or was seen.
    fn event(&mut self, at: Timestamp, text: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Narrator for Silent {
    fn step(&mut self, _: usize, _: Timestamp, _: &str) {}
    fn event(&mut self, _: Timestamp, _: &str) {}
}

/// What was told, when it came out as the scenario says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Story {
    /// Name of the scenario.
    pub name: String,
    /// Steps played.
    pub steps: usize,
    /// Expectations that were met.
    pub met: usize,
}

/// Where the world, or the product, did not do what the scenario says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step} ({say}): {what}")]
pub struct Mismatch {
    /// The step, from 1.
    pub step: usize,
    /// Its narration.
    pub say: String,
    /// What was expected and what was seen.
    pub what: String,
}

/// Why a step does not come out; becomes a [`Mismatch`] with its step.
struct Wrong(String);

impl From<ProductError> for Wrong {
    fn from(error: ProductError) -> Self {
        Self(format!("the product refuses: {error}"))
    }
}

impl From<std::io::Error> for Wrong {
    fn from(error: std::io::Error) -> Self {
        Self(format!("the world refuses: {error}"))
    }
}

impl From<crate::dns::DnsEditError> for Wrong {
    fn from(error: crate::dns::DnsEditError) -> Self {
        Self(format!("the DNS refuses: {error}"))
    }
}

type Went = Result<(), Wrong>;

impl Stage {
    /// Plays the whole scenario against products that run in this world: one for each of
    /// [`Self::houses`], in their order, or one alone.
    ///
    /// # Errors
    /// The first step that does not come out as told.
    ///
    /// # Panics
    /// Without a product.
    pub async fn play<P: Product, N: Narrator + Send>(
        &mut self,
        products: &mut [P],
        narrator: &mut N,
    ) -> Result<Story, Mismatch> {
        assert_eq!(products.len(), self.houses.len().max(1), "a product for each house");
        let scenario = self.scenario.clone();
        let mut story = Story { name: scenario.name.clone(), ..Story::default() };
        let mut player = Player { stage: self, products, narrator, held: vec![] };
        for (number, step) in (1..).zip(&scenario.steps) {
            let mismatch = |wrong: Wrong| Mismatch { step: number, say: step.say.clone(), what: wrong.0 };
            player.narrator.step(number, player.stage.world.clock.now(), &step.say);
            for action in &step.actions {
                player.act(action).await.map_err(mismatch)?;
            }
            for expectation in &step.expect {
                player.compare(expectation).await.map_err(mismatch)?;
                story.met += 1;
            }
            story.steps += 1;
        }
        Ok(story)
    }
}

struct Player<'a, P, N> {
    stage: &'a mut Stage,
    /// At least one.
    products: &'a mut [P],
    narrator: &'a mut N,
    /// Domains held, in the order of holding.
    held: Vec<String>,
}

impl<P: Product, N: Narrator + Send> Player<'_, P, N> {
    fn tell(&mut self, text: &str) {
        self.narrator.event(self.stage.world.clock.now(), text);
    }

    /// The place of the product that holds a domain: that of the organisation, else the first.
    fn place(&self, domain: &str) -> usize {
        self.stage.houses.iter().position(|house| house.domain == domain).unwrap_or(0)
    }

    fn product(&mut self, domain: &str) -> &mut P {
        let place = self.place(domain);
        &mut self.products[place]
    }

    async fn act(&mut self, action: &Action) -> Went {
        let world = &self.stage.world;
        match action {
            Action::Record { name, rtype, values } => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                world.dns.set_with_ttl(name, rtype, DEFAULT_TTL, &values)?;
            }
            Action::DnsFault { name, fault } => world.dns.fault(name, None, *fault)?,
            Action::MxCertificate { host, kind } => {
                let address = self.mx(host)?;
                world.mx_hosts.set_certificate(address, world.ca.issue(&[host], *kind));
            }
            Action::MxBehaviour { host, behaviour } => {
                world.mx_hosts.set_behaviour(self.mx(host)?, behaviour.clone());
            }
            Action::MxDown(host) => world.mx_hosts.down(self.mx(host)?),
            Action::MxUp(host) => world.mx_hosts.up(self.mx(host)?)?,
            Action::PolicyBody { domain, body } => {
                if !world.policy_hosts.set_body(&format!("mta-sts.{domain}"), body) {
                    return Err(Wrong(format!("the lab serves no policy for {domain}")));
                }
            }
            Action::PolicyHostDown(domain) => {
                let nowhere = world.address().to_string();
                world.set(&format!("mta-sts.{domain}"), "A", &[&nowhere])?;
            }
            Action::PolicyHostUp(domain) => self.point_to_product(domain)?,
            Action::PolicyHostCached(domain) => self.put_cache_in_front(domain).await?,
            Action::PolicyHostCertificate { domain, kind } => self.certify(domain, *kind).await?,
            Action::Attack(name) => self.attacker(name)?.attack(),
            Action::Relent(name) => self.attacker(name)?.relent(),
            Action::Mail { from, to, sessions, outcome } => {
                let seen = self.mail(from, to, *sessions).await?;
                if seen != *outcome {
                    return Err(Wrong(format!(
                        "mail from {from} to {to}: expected {outcome:?}, seen {seen:?}"
                    )));
                }
            }
            Action::Traffic { days, from, to, sessions } => {
                for _ in 0..*days {
                    for sender in from {
                        for to in to.names().iter().filter(|to| *to != sender) {
                            self.mail(sender, to, *sessions).await?;
                        }
                    }
                    self.end_of_day(from).await?;
                }
            }
            Action::Hours(hours) => self.pass(*hours).await?,
            Action::Night {} => self.end_of_day(&[]).await?,
            Action::Retry(from) => self.retry(from).await?,
            Action::Ask { from, about, answer } => self.ask(from, about, answer).await?,
            Action::Report(sender) => self.report(sender).await?,
            Action::Lie { organization, claims, shape, posted, about, successful, failed, result_type } => {
                let spec = SenderSpec {
                    domain: claims.clone(),
                    organization: organization.clone(),
                    shape: *shape,
                    signs: false,
                };
                let mut liar = world.sender(&spec)?;
                liar.invent(about, *successful, *failed, result_type.as_deref());
                let to = self.products[self.place(about)].post_url().filter(|_| *posted);
                let to = to.unwrap_or_else(|| format!("mailto:{REPORTS}@{about}"));
                for sent in liar.report_yesterday_to(&[to]).await {
                    let result = sent.result.map_err(|why| Wrong(format!("the lie was not taken: {why}")))?;
                    self.tell(&format!(
                        "somebody claims to be {claims} and reports {successful} passed and {failed} failed sessions \
                         ({result})"
                    ));
                }
            }
            Action::Hold(wanted) => self.hold(wanted).await?,
            Action::SetPolicy(wanted) => {
                self.product(&wanted.domain).set_policy(&wanted.domain, &policy(wanted)).await?;
            }
            Action::Publish(domain) => self.publish(domain).await?,
            Action::Monitor(domain) => self.product(domain).monitor_round(domain).await?,
            Action::TakeInReports {} => self.take_in_reports().await?,
        }
        Ok(())
    }

    fn mx(&self, host: &str) -> Result<std::net::Ipv4Addr, Wrong> {
        self.stage.mx.get(host).copied().ok_or_else(|| Wrong(format!("{host} is no MX host here")))
    }

    fn attacker(&self, name: &str) -> Result<&crate::paths::Attacker, Wrong> {
        self.stage.attackers.get(name).ok_or_else(|| Wrong(format!("{name} is no attacker here")))
    }

    async fn hold(&mut self, wanted: &PolicyAction) -> Went {
        let domain = &wanted.domain;
        self.stage.world.maildir(domain)?;
        let mut rua = vec![format!("mailto:{REPORTS}@{domain}")];
        if self.stage.houses.iter().any(|house| house.domain == *domain) {
            // Organisations that run mailward take reports both ways.
            rua.extend(self.product(domain).post_url());
        }
        self.product(domain).hold(domain, &policy(wanted), &rua).await?;
        self.certify(domain, CertificateKind::Good).await?;
        self.point_to_product(domain)?;
        if !self.held.contains(domain) {
            self.held.push(domain.clone());
        }
        Ok(())
    }

    async fn certify(&mut self, domain: &str, kind: CertificateKind) -> Went {
        let name = format!("mta-sts.{domain}");
        let identity = self.stage.world.ca.issue(&[&name], kind);
        let (certificate, key) = (identity.certificate_pem(), identity.key_pem());
        Ok(self.product(domain).policy_host_certificate(&name, &certificate, &key).await?)
    }

    fn point_to_product(&self, domain: &str) -> Went {
        let SocketAddr::V4(address) = self.products[self.place(domain)].policy_host() else {
            return Err(Wrong("the policy host has no IPv4 address".into()));
        };
        let address = address.ip().to_string();
        Ok(self.stage.world.set(&format!("mta-sts.{domain}"), "A", &[&address])?)
    }

    async fn put_cache_in_front(&mut self, domain: &str) -> Went {
        self.point_to_product(domain)?;
        let world = &self.stage.world;
        let body = fetch_body(world, domain)
            .await
            .map_err(|why| Wrong(format!("the policy of {domain} cannot be fetched: {}", why.result_type)))?;
        let (cache, address, name) =
            (world.policy_hosts_apart(), world.address(), format!("mta-sts.{domain}"));
        cache.up(address)?;
        cache.set(&name, &body, Answer::Ok, CertificateKind::Good);
        world.set(&name, "A", &[&address.to_string()])?;
        Ok(())
    }

    /// Puts the records that mailward names into the DNS, all values of one name and type together.
    async fn publish(&mut self, domain: &str) -> Went {
        let own_host = format!("mta-sts.{domain}");
        let records = self.product(domain).records(domain).await?;
        for record in &records {
            let owner = record.name.trim_end_matches('.');
            // Where the policy host is, the world decides: it may be down, or behind a cache.
            if owner == own_host {
                continue;
            }
            let same =
                |r: &&crate::product::RecordToPublish| r.name == record.name && r.rtype == record.rtype;
            let values: Vec<&str> = records.iter().filter(same).map(|r| r.value.as_str()).collect();
            self.stage.world.set(owner, &record.rtype, &values)?;
        }
        for record in &records {
            self.tell(&format!("published: {} {} {}", record.name, record.rtype, record.value));
        }
        Ok(())
    }
}

fn policy(wanted: &PolicyAction) -> WantedPolicy {
    let PolicyAction { mode, mx, max_age, keep_id, .. } = wanted;
    WantedPolicy { mode: *mode, mx: mx.clone(), max_age: *max_age, keep_id: *keep_id }
}
