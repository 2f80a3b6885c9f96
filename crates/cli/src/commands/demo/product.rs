//! The real rooms, as a scenario meets them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::{Date, date};
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::publish::RecordType;
use mailward_core::rollout::{Gate, Verdict, judge};
use mailward_lab::product::{
    Judged, OpenFinding, OutgoingReport, Product, ProductError, ProductResult, RecordToPublish, WantedPolicy,
};
use mailward_receiving::StopSignal;
use mailward_receiving::intake::maildir::Maildir;
use mailward_store::domains::HeldDomain;

use super::sending;
use crate::commands::rollout::verdict_word;
use crate::commands::{dns, domain};
use crate::config::Config;
use crate::daemon::Daemon;

/// Who acts, in the log.
const AUTHOR: &str = "demo";

/// A running daemon and the operator in front of it.
pub struct Mailward {
    daemon: Daemon,
    config: Config,
    /// Where mails to the rua addresses of the world arrive: `DOMAIN/` below it.
    maildirs: PathBuf,
    /// The first domain held: reports are posted to the name of its policy host.
    first: Option<PolicyDomain>,
}

impl Mailward {
    /// The daemon, in a world with this directory. `domain` is the one that reports are posted under, if that
    /// is settled before anything is held.
    pub fn new(daemon: Daemon, world: &Path, config: Config, domain: Option<PolicyDomain>) -> Self {
        Self { daemon, config, maildirs: world.join("maildirs"), first: domain }
    }

    /// The daemon, to go on without a story.
    pub fn into_daemon(self) -> Daemon {
        self.daemon
    }

    async fn held(&self, domain: &str) -> ProductResult<HeldDomain> {
        let name = PolicyDomain::parse(domain).map_err(wrong)?;
        self.daemon
            .store
            .domain(&name)
            .await
            .map_err(wrong)?
            .ok_or_else(|| wrong(format!("{domain} is not held")))
    }

    async fn put(&self, held: &HeldDomain, reason: &str) -> ProductResult<()> {
        let now = self.daemon.clock.now();
        self.daemon.store.put_domain(held, AUTHOR, reason, now).await.map_err(wrong)?;
        self.daemon.reload().await;
        Ok(())
    }
}

pub(super) fn wrong(error: impl std::fmt::Display) -> ProductError {
    ProductError(error.to_string())
}

impl Product for Mailward {
    fn policy_host(&self) -> SocketAddr {
        self.daemon.policy_host[0]
    }

    fn post_url(&self) -> Option<String> {
        let path = &self.config.reports.https.as_ref()?.path;
        let host = self.first.as_ref()?.policy_host().ok()?;
        Some(format!("https://{host}:{}{path}", self.policy_host().port()))
    }

    async fn hold(&mut self, domain: &str, policy: &WantedPolicy, rua: &[String]) -> ProductResult<()> {
        let name = PolicyDomain::parse(domain).map_err(wrong)?;
        let now = self.daemon.clock.now();
        self.first.get_or_insert_with(|| name.clone());
        let held = domain::desired(None, &name, &policy.mx, policy.mode, policy.max_age, rua.to_vec(), now)
            .map_err(wrong)?;
        self.put(&held, "held by the operator of the story").await
    }

    async fn set_policy(&mut self, domain: &str, policy: &WantedPolicy) -> ProductResult<()> {
        let before = self.held(domain).await?;
        let now = self.daemon.clock.now();
        let mut after = domain::desired(
            Some(&before),
            &before.domain,
            &policy.mx,
            policy.mode,
            policy.max_age,
            before.rua.clone(),
            now,
        )
        .map_err(wrong)?;
        if policy.keep_id {
            after.policy_id.clone_from(&before.policy_id);
        }
        self.put(&after, "changed by the operator of the story").await
    }

    async fn records(&mut self, domain: &str) -> ProductResult<Vec<RecordToPublish>> {
        let held = self.held(domain).await?;
        let records = dns::to_publish(&held, &self.config.publish).map_err(wrong)?;
        Ok(records
            .into_iter()
            .filter(|r| r.record_type != RecordType::Policy && !r.value.is_empty())
            .map(|r| RecordToPublish {
                name: r.name,
                rtype: r.record_type.as_str().to_owned(),
                value: r.value,
            })
            .collect())
    }

    async fn policy_host_certificate(
        &mut self,
        name: &str,
        certificate_pem: &str,
        key_pem: &str,
    ) -> ProductResult<()> {
        let Some(table) = &self.config.policy_host else { return Err(wrong("no policy host")) };
        let file = |end: &str| table.certificates.join(format!("{name}.{end}"));
        std::fs::write(file("crt"), certificate_pem).map_err(wrong)?;
        std::fs::write(file("key"), key_pem).map_err(wrong)?;
        self.daemon.reload().await;
        Ok(())
    }

    async fn monitor_round(&mut self, domain: &str) -> ProductResult<()> {
        let name = PolicyDomain::parse(domain).map_err(wrong)?;
        self.daemon.looker.round(&name).await.map(drop).map_err(wrong)
    }

    async fn take_in_reports(&mut self) -> ProductResult<u64> {
        let (_signal, stop) = StopSignal::new();
        let mut stored = 0;
        for held in self.daemon.store.domains().await.map_err(wrong)? {
            let path = self.maildirs.join(held.domain.as_str());
            if path.is_dir() {
                let mut maildir = Maildir::new(path, Duration::from_secs(60), self.daemon.intake.clone());
                stored += maildir.scan(&stop).await.map_err(wrong)?.stored;
            }
        }
        Ok(stored)
    }

    async fn judgement(&mut self, domain: &str) -> ProductResult<Judged> {
        let name = PolicyDomain::parse(domain).map_err(wrong)?;
        let (gate, now) = (Gate::default(), self.daemon.clock.now());
        let evidence = self.daemon.store.evidence(&name, &gate, now).await.map_err(wrong)?;
        let judgement = judge(&evidence, &gate, now);
        let verdict = verdict_word(&judgement.verdict).to_owned();
        Ok(match judgement.verdict {
            Verdict::Safe => Judged { verdict, ..Judged::default() },
            Verdict::NotYet { obstacles } => {
                Judged { verdict, obstacles, missing: unknown(&judgement.items) }
            }
            Verdict::Unknown { missing } => Judged { verdict, missing, ..Judged::default() },
        })
    }

    async fn findings(&mut self, domain: &str) -> ProductResult<Vec<OpenFinding>> {
        let name = PolicyDomain::parse(domain).map_err(wrong)?;
        let tracked =
            self.daemon.store.tracked_findings(&name, self.daemon.clock.now()).await.map_err(wrong)?;
        Ok(tracked
            .into_iter()
            .filter(|t| t.gone.is_none())
            .map(|t| OpenFinding {
                id: t.finding.id,
                subject: t.finding.subject,
                severity: t.finding.severity,
            })
            .collect())
    }

    async fn sessions(&mut self, domain: &str) -> ProductResult<(u64, u64)> {
        let name = PolicyDomain::parse(domain).map_err(wrong)?;
        let now = self.daemon.clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let from = now.checked_sub(jiff::Span::new().days(400)).unwrap_or(date(2020, 1, 1));
        let days = self.daemon.store.session_days(&name, from, now).await.map_err(wrong)?;
        Ok(days.iter().fold((0, 0), |(ok, bad), day| (ok + day.successful, bad + day.failed)))
    }

    async fn reporters(&mut self, domain: &str) -> ProductResult<Vec<(String, String)>> {
        let name = PolicyDomain::parse(domain).map_err(wrong)?;
        let reporters = self.daemon.store.reporters(Some(&name), 100).await.map_err(wrong)?;
        Ok(reporters.into_iter().map(|r| (r.submitter, r.trust.as_str().to_owned())).collect())
    }

    async fn counted(&mut self, day: Date, sessions: u64) -> ProductResult<()> {
        sending::counted(&self.daemon, day, sessions).await
    }

    async fn send_reports(&mut self) -> ProductResult<Vec<OutgoingReport>> {
        sending::reports(&self.daemon).await
    }

    async fn problems(&mut self, domain: &str) -> ProductResult<Vec<String>> {
        let name = PolicyDomain::parse(domain).map_err(wrong)?;
        let problems = self.daemon.store.problems(Some(&name), date(2020, 1, 1), 100).await.map_err(wrong)?;
        let line = |p: mailward_store::sessions::Problem| {
            let place = p.mx.map(|mx| format!(" at {mx}")).unwrap_or_default();
            format!(
                "{} sessions {}{place}, told by {}",
                p.sessions + p.weak_sessions,
                p.result_type,
                p.reporters.join(", ")
            )
        };
        Ok(problems.into_iter().map(line).collect())
    }
}

fn unknown(items: &[mailward_core::rollout::GateItem]) -> Vec<u8> {
    use mailward_core::rollout::ItemState;
    items.iter().filter(|i| i.state == ItemState::Unknown).map(|i| i.number).collect()
}
