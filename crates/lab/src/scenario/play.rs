//! Plays a scenario: does what its steps say, in the world and at the product, and compares.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use mailward_core::{Clock, Severity};

use super::{Action, Expectation, Outcome, PolicyAction, SenderSpec, Stage};
use crate::ca::CertificateKind;
use crate::dns::DEFAULT_TTL;
use crate::policy_host::Answer;
use crate::product::{OpenFinding, Product, ProductError, WantedPolicy};
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

/// Rounds of the monitor are at most so far apart (facts: the gate's G2).
const ROUND: u32 = 6;

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
    /// Plays the whole scenario against a product that runs in this world.
    ///
    /// # Errors
    /// The first step that does not come out as told.
    pub async fn play<P: Product, N: Narrator + Send>(
        &mut self,
        product: &mut P,
        narrator: &mut N,
    ) -> Result<Story, Mismatch> {
        let scenario = self.scenario.clone();
        let mut story = Story { name: scenario.name.clone(), ..Story::default() };
        let mut player = Player { stage: self, product, narrator, held: vec![] };
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
    product: &'a mut P,
    narrator: &'a mut N,
    /// Domains held, in the order of holding.
    held: Vec<String>,
}

impl<P: Product, N: Narrator + Send> Player<'_, P, N> {
    fn tell(&mut self, text: &str) {
        self.narrator.event(self.stage.world.clock.now(), text);
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
                        for to in to.names() {
                            self.mail(sender, to, *sessions).await?;
                        }
                    }
                    self.pass(24).await?;
                    for sender in from {
                        self.report(sender).await?;
                    }
                    self.product.take_in_reports().await?;
                }
            }
            Action::Hours(hours) => self.pass(*hours).await?,
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
                let to = self.product.post_url().filter(|_| *posted);
                let to = to.unwrap_or_else(|| format!("mailto:tls-reports@{about}"));
                for sent in liar.report_yesterday_to(&[to]).await {
                    let result = sent.result.map_err(|why| Wrong(format!("the lie was not taken: {why}")))?;
                    self.tell(&format!(
                        "somebody claims to be {claims} and reports {successful} passed and {failed} failed sessions \
                         ({result})"
                    ));
                }
            }
            Action::Hold(wanted) => self.hold(wanted).await?,
            Action::SetPolicy(wanted) => self.product.set_policy(&wanted.domain, &policy(wanted)).await?,
            Action::Publish(domain) => self.publish(domain).await?,
            Action::Monitor(domain) => self.product.monitor_round(domain).await?,
            Action::TakeInReports {} => drop(self.product.take_in_reports().await?),
        }
        Ok(())
    }

    fn mx(&self, host: &str) -> Result<std::net::Ipv4Addr, Wrong> {
        self.stage.mx.get(host).copied().ok_or_else(|| Wrong(format!("{host} is no MX host here")))
    }

    fn attacker(&self, name: &str) -> Result<&crate::paths::Attacker, Wrong> {
        self.stage.attackers.get(name).ok_or_else(|| Wrong(format!("{name} is no attacker here")))
    }

    async fn mail(&mut self, from: &str, to: &str, sessions: u64) -> Result<Outcome, Wrong> {
        let sender =
            self.stage.senders.get_mut(from).ok_or_else(|| Wrong(format!("{from} is no sender here")))?;
        let delivery = sender.deliver(to, sessions).await;
        let what = match delivery.outcome {
            Outcome::Delivered => "arrives over TLS",
            Outcome::ClearText => "arrives in clear text",
            Outcome::Deferred => "waits with the sender",
        };
        let failures: Vec<String> =
            delivery.failures.iter().map(|(mx, f)| format!("{} at {mx}", f.result_type)).collect();
        let because = if failures.is_empty() { String::new() } else { format!(" ({})", failures.join(", ")) };
        self.tell(&format!("mail from {from} to {to} {what}{because}"));
        Ok(delivery.outcome)
    }

    async fn report(&mut self, from: &str) -> Went {
        let sender =
            self.stage.senders.get_mut(from).ok_or_else(|| Wrong(format!("{from} is no sender here")))?;
        for sent in sender.report_yesterday().await {
            sent.result
                .map_err(|why| Wrong(format!("the report of {from} to {} was not taken: {why}", sent.to)))?;
        }
        Ok(())
    }

    /// Time passes; the monitor looks at every domain held at least every six hours.
    async fn pass(&mut self, hours: u32) -> Went {
        let mut left = hours;
        while left > 0 {
            let step = left.min(ROUND);
            self.stage.world.clock.advance(SignedDuration::from_hours(i64::from(step)));
            left -= step;
            for domain in self.held.clone() {
                self.product.monitor_round(&domain).await?;
            }
        }
        Ok(())
    }

    async fn hold(&mut self, wanted: &PolicyAction) -> Went {
        let domain = &wanted.domain;
        self.stage.world.maildir(domain)?;
        let rua = [format!("mailto:tls-reports@{domain}")];
        self.product.hold(domain, &policy(wanted), &rua).await?;
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
        Ok(self.product.policy_host_certificate(&name, &certificate, &key).await?)
    }

    fn point_to_product(&self, domain: &str) -> Went {
        let SocketAddr::V4(address) = self.product.policy_host() else {
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
        let records = self.product.records(domain).await?;
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

    async fn compare(&mut self, expected: &Expectation) -> Went {
        let domain = &expected.domain;
        let judged = self.product.judgement(domain).await?;
        let findings = self.product.findings(domain).await?;
        self.tell(&format!("mailward on {domain}: {}", sentence(&judged, &findings)));
        let mut wrong = Vec::new();
        if let Some(verdict) = expected.verdict.as_ref().filter(|verdict| **verdict != judged.verdict) {
            wrong.push(format!("the verdict should be {verdict}"));
        }
        let lacks = |wanted: &[u8], seen: &[u8]| wanted.iter().any(|item| !seen.contains(item));
        if lacks(&expected.obstacles, &judged.obstacles) {
            wrong.push(format!("obstacles should be {:?} at least", expected.obstacles));
        }
        if lacks(&expected.missing, &judged.missing) {
            wrong.push(format!("unknown should be {:?} at least", expected.missing));
        }
        let open: Vec<u8> = judged.obstacles.iter().chain(&judged.missing).copied().collect();
        let broken: Vec<u8> = expected.holds.iter().filter(|item| open.contains(item)).copied().collect();
        if !broken.is_empty() {
            wrong.push(format!("items {broken:?} should hold"));
        }
        for wanted in &expected.findings {
            if !findings.iter().any(|f| is(f, wanted)) {
                wrong.push(format!("{wanted} should be found"));
            }
        }
        for unwanted in &expected.no_findings {
            if findings.iter().any(|f| is(f, unwanted)) {
                wrong.push(format!("{unwanted} should not be found"));
            }
        }
        if expected.no_errors && findings.iter().any(|f| f.severity == Severity::Error) {
            wrong.push("there should be no errors".to_owned());
        }
        if let Some(wanted) = expected.sessions {
            let seen = self.product.sessions(domain).await?;
            if seen != wanted {
                wrong.push(format!("sessions (passed, failed) should be {wanted:?}, not {seen:?}"));
            }
        }
        if !expected.trust.is_empty() {
            let seen = self.product.reporters(domain).await?;
            for (reporter, trust) in &expected.trust {
                if !seen.iter().any(|(r, t)| r == reporter && t == trust) {
                    wrong.push(format!("{reporter} should be {trust}, not among {seen:?}"));
                }
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Wrong(format!("{}; seen: {}", wrong.join("; "), sentence(&judged, &findings))))
    }
}

fn policy(wanted: &PolicyAction) -> WantedPolicy {
    let PolicyAction { mode, mx, max_age, keep_id, .. } = wanted;
    WantedPolicy { mode: *mode, mx: mx.clone(), max_age: *max_age, keep_id: *keep_id }
}

/// Whether a finding is `ID` or `ID SUBJECT`, the subject being part of its own.
fn is(finding: &OpenFinding, wanted: &str) -> bool {
    match wanted.split_once(' ') {
        Some((id, subject)) => finding.id == id && finding.subject.contains(subject),
        None => finding.id == wanted,
    }
}

fn sentence(judged: &crate::product::Judged, findings: &[OpenFinding]) -> String {
    let mut text = judged.verdict.clone();
    for (word, items) in [("in the way", &judged.obstacles), ("unknown", &judged.missing)] {
        if !items.is_empty() {
            let items: Vec<String> = items.iter().map(|item| format!("G{item}")).collect();
            text.push_str(&format!(", {word}: {}", items.join(" ")));
        }
    }
    let told = findings.iter().filter(|f| f.severity >= Severity::Warning);
    let told: Vec<String> = told.map(|f| format!("{} {}", f.id, f.subject)).collect();
    if told.is_empty() { text } else { format!("{text}; findings: {}", told.join(", ")) }
}
