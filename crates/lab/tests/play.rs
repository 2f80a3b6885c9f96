//! The scenarios, as far as the lab itself can vouch for them: what becomes of mail, what senders
//! report. What mailward says of it is compared where mailward is (the integration tests).
//!
//! The product here is a stand-in that publishes policies and counts reports, and judges nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use mailward_lab::product::{Judged, OpenFinding, OutgoingReport, RecordToPublish, WantedPolicy};
use mailward_lab::scenario::{Action, Expectation, MailState, Mismatch, Outcome, Silent, Stage, Step, Story};
use mailward_lab::{Answer, CertificateKind, PolicyHosts, Product, ProductResult, Scenario, WorldOptions};

/// Serves through the lab's own policy host, at an address of its own.
struct StandIn {
    hosts: PolicyHosts,
    address: SocketAddr,
    maildirs: PathBuf,
    policies: BTreeMap<String, (WantedPolicy, u32)>,
}

impl StandIn {
    fn new(stage: &Stage) -> Self {
        let world = &stage.world;
        let address = world.address();
        world.policy_hosts.up(address).unwrap();
        Self {
            hosts: world.policy_hosts.clone(),
            address: SocketAddr::from((address, world.https_port)),
            maildirs: world.directory.join("maildirs"),
            policies: BTreeMap::new(),
        }
    }

    /// Every report mail about a domain: who sent it, whether it is signed, passed, failed.
    fn reports(&self, domain: &str) -> Vec<(String, bool, u64, u64)> {
        use std::io::Read;
        let mut reports = Vec::new();
        for entry in std::fs::read_dir(self.maildirs.join(domain).join("new")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let packed = text.rsplit("\r\n\r\n").next().unwrap().split("\r\n--").next().unwrap();
            let packed = STANDARD.decode(packed.replace("\r\n", "")).unwrap();
            let mut json = String::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut json).unwrap();
            let report: serde_json::Value = serde_json::from_str(&json).unwrap();
            let most = |key: &str| {
                let policies = report["policies"].as_array().unwrap();
                policies.iter().map(|p| p["summary"][key].as_u64().unwrap()).max().unwrap()
            };
            let reporter = report["contact-info"].as_str().unwrap().split('@').nth(1).unwrap().to_owned();
            let passed = most("total-successful-session-count");
            let failed = most("total-failure-session-count");
            reports.push((reporter, text.starts_with("DKIM-Signature:"), passed, failed));
        }
        reports
    }
}

impl Product for StandIn {
    fn policy_host(&self) -> SocketAddr {
        self.address
    }

    fn post_url(&self) -> Option<String> {
        None
    }

    async fn hold(&mut self, domain: &str, policy: &WantedPolicy, _: &[String]) -> ProductResult<()> {
        self.set_policy(domain, policy).await
    }

    async fn set_policy(&mut self, domain: &str, policy: &WantedPolicy) -> ProductResult<()> {
        let mx: String = policy.mx.iter().map(|mx| format!("mx: {mx}\n")).collect();
        let body = format!("version: STSv1\nmode: {}\n{mx}max_age: {}\n", policy.mode, policy.max_age);
        let name = format!("mta-sts.{domain}");
        if !self.hosts.set_body(&name, &body) {
            self.hosts.set(&name, &body, Answer::Ok, CertificateKind::Good);
        }
        let id = self.policies.get(domain).map_or(0, |(_, id)| *id);
        let id = if policy.keep_id { id } else { id + 1 };
        self.policies.insert(domain.to_owned(), (policy.clone(), id));
        Ok(())
    }

    async fn records(&mut self, domain: &str) -> ProductResult<Vec<RecordToPublish>> {
        let record = |name: String, value: String| RecordToPublish { name, rtype: "TXT".into(), value };
        let id = self.policies[domain].1;
        Ok(vec![
            record(format!("_smtp._tls.{domain}."), format!("v=TLSRPTv1; rua=mailto:tls-reports@{domain}")),
            record(format!("_mta-sts.{domain}."), format!("v=STSv1; id={id};")),
        ])
    }

    async fn policy_host_certificate(&mut self, _: &str, _: &str, _: &str) -> ProductResult<()> {
        Ok(())
    }

    async fn monitor_round(&mut self, _: &str) -> ProductResult<()> {
        Ok(())
    }

    async fn take_in_reports(&mut self) -> ProductResult<u64> {
        Ok(0)
    }

    async fn judgement(&mut self, _: &str) -> ProductResult<Judged> {
        Ok(Judged { verdict: "unknown".into(), ..Judged::default() })
    }

    async fn findings(&mut self, _: &str) -> ProductResult<Vec<OpenFinding>> {
        Ok(vec![])
    }

    async fn sessions(&mut self, domain: &str) -> ProductResult<(u64, u64)> {
        let signed = self.reports(domain).into_iter().filter(|(_, signed, ..)| *signed);
        Ok(signed.fold((0, 0), |(passed, failed), (_, _, p, f)| (passed + p, failed + f)))
    }

    async fn reporters(&mut self, domain: &str) -> ProductResult<Vec<(String, String)>> {
        let trust = |signed: bool| if signed { "dkim-verified" } else { "unverified" }.to_owned();
        Ok(self.reports(domain).into_iter().map(|(who, signed, ..)| (who, trust(signed))).collect())
    }

    async fn counted(&mut self, _: Date, _: u64) -> ProductResult<()> {
        Ok(())
    }

    async fn send_reports(&mut self) -> ProductResult<Vec<OutgoingReport>> {
        Ok(vec![])
    }

    async fn problems(&mut self, _: &str) -> ProductResult<Vec<String>> {
        Ok(vec![])
    }
}

async fn play(scenario: Scenario) -> Result<Story, Mismatch> {
    let now = "2026-11-24T09:00:00Z".parse().unwrap();
    let mut stage = Stage::set(scenario, now, &WorldOptions::default()).unwrap();
    let mut product = StandIn::new(&stage);
    stage.play(std::slice::from_mut(&mut product), &mut Silent).await
}

/// Leaves of the expectations what does not need a judgement.
fn without_judgement(mut scenario: Scenario) -> Scenario {
    for expectation in scenario.steps.iter_mut().flat_map(|step| &mut step.expect) {
        let Expectation { domain, sessions, .. } = expectation.clone();
        *expectation = Expectation { domain, sessions, ..Expectation::default() };
    }
    scenario
}

#[tokio::test]
async fn mail_goes_as_the_scenarios_tell() {
    // With organisations it is the product that judges and tells; nothing of it is here.
    for scenario in Scenario::all().into_iter().filter(|scenario| scenario.organizations.is_empty()) {
        let (name, steps) = (scenario.name.clone(), scenario.steps.len());
        match play(without_judgement(scenario)).await {
            Ok(story) => assert_eq!(story.steps, steps, "{name}"),
            Err(mismatch) => panic!("{name}: {mismatch}"),
        }
    }
}

fn nothing_sent(from: &str) -> MailState {
    MailState { from: from.into(), arrived: 0, in_clear: 0, waiting: 0, overheard: 0 }
}

/// An expectation that is wrong is noticed: each kind, one at a time.
#[tokio::test]
async fn what_does_not_come_out_is_told() {
    let base = Scenario::named("policy-host-down").unwrap();
    let expect = |change: fn(&mut Expectation)| {
        let mut expectation = Expectation { domain: "example.test".into(), ..Expectation::default() };
        change(&mut expectation);
        Step { say: "wrong".into(), actions: vec![], expect: vec![expectation] }
    };
    let act = |action: Action| Step { say: "wrong".into(), actions: vec![action], expect: vec![] };
    let mail = |outcome| Action::Mail {
        from: "bigmail.test".into(),
        to: "example.test".into(),
        sessions: 1,
        outcome,
    };
    let ask =
        Action::Ask { from: "bigmail.test".into(), about: "example.test".into(), answer: "NOTFOUND".into() };
    let rows = [
        (expect(|e| e.verdict = Some("safe".into())), "the verdict should be safe"),
        (expect(|e| e.obstacles = vec![7]), "obstacles should be [7]"),
        (expect(|e| e.missing = vec![3]), "unknown should be [3]"),
        (expect(|e| e.findings = vec!["STS-MX-001 mx1".into()]), "STS-MX-001 mx1 should be found"),
        (expect(|e| e.sessions = Some((1, 0))), "should be (1, 0), not (0, 0)"),
        (expect(|e| e.trust = [("a".into(), "trusted".into())].into()), "a should be trusted"),
        (
            expect(|e| e.problems = vec!["certificate-expired mx1".into()]),
            "certificate-expired mx1 should be",
        ),
        (expect(|e| e.reports_sent = Some(1)), "1 reports should be sent"),
        (expect(|e| e.mail = Some(nothing_sent("bigmail.test"))), "bigmail.test is no organisation"),
        (act(Action::Retry("bigmail.test".into())), "bigmail.test is no organisation"),
        (act(ask), "bigmail.test is no organisation"),
        (act(mail(Outcome::Deferred)), "expected Deferred, seen Delivered"),
        (act(Action::Attack("nobody".into())), "nobody is no attacker"),
        (act(Action::MxDown("mx9.test".into())), "mx9.test is no MX host"),
    ];
    for (step, why) in rows {
        let mut scenario = without_judgement(base.clone());
        scenario.steps.truncate(1);
        scenario.steps.push(step);
        let mismatch = play(scenario).await.unwrap_err();
        assert_eq!(mismatch.step, 2);
        assert!(mismatch.what.contains(why), "{mismatch}");
    }
}
