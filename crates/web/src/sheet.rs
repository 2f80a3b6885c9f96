//! Everything about one domain, gathered once for its page and its document.

use jiff::Timestamp;
use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::audit::MxVerdict;
use mailward_core::rollout::{self, Judgement};
use mailward_core::tlsrpt::ResultType;
use mailward_store::domains::{HeldDomain, ServedPolicy};
use mailward_store::log::LogEntry;
use mailward_store::observations::{Observation, TrackedFinding};
use mailward_store::sessions::{Problem, Reporter, SessionDay};

use crate::failure::Failure;
use crate::records::{self, PublishedRecord};
use crate::{App, words};

/// All there is to show of a domain held.
pub(crate) struct Sheet {
    pub(crate) held: HeldDomain,
    pub(crate) observation: Option<Observation>,
    pub(crate) judgement: Judgement,
    /// Every day of the time asked for, oldest first, up to yesterday.
    pub(crate) days: Vec<SessionDay>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) excused: Vec<(ResultType, Option<String>, String)>,
    pub(crate) policies: Vec<ServedPolicy>,
    pub(crate) findings: Vec<TrackedFinding>,
    pub(crate) records: Vec<PublishedRecord>,
    pub(crate) reporters: Vec<Reporter>,
    pub(crate) log: Vec<LogEntry>,
}

/// Reads a name from an address, as people write it.
pub(crate) fn name(text: &str) -> Result<PolicyDomain, Failure> {
    PolicyDomain::parse(text).map_err(|e| Failure::NotFound(format!("{text:?} is no domain: {e}.")))
}

/// The domain, or "not held" with what would make it held.
pub(crate) async fn held(app: &App, domain: &PolicyDomain) -> Result<HeldDomain, Failure> {
    app.store.domain(domain).await?.ok_or_else(|| {
        Failure::NotFound(format!(
            "mailward does not hold {domain}. To watch it and publish its policy: mailward domain add {domain}"
        ))
    })
}

/// Gathers the sheet of a domain held, with sessions of so many days.
pub(crate) async fn read(app: &App, domain: &PolicyDomain, days: i64) -> Result<Sheet, Failure> {
    let now = app.now();
    let today = words::day(now);
    let held = held(app, domain).await?;
    let store = &app.store;
    let observation = store.latest_observation(domain).await?;
    let evidence = store.evidence(domain, &app.gate, now).await?;
    let judgement = rollout::judge(&evidence, &app.gate, now);
    let records = records::of(&held, &app.publishing, observation.as_ref());
    let since = words::days_before(today, days);
    Ok(Sheet {
        days: store.session_days(domain, since, words::days_before(today, 1)).await?,
        problems: store.problems(Some(domain), since, 50).await?,
        excused: store.excused(domain).await?,
        policies: store.served_policies(domain).await?,
        findings: store.tracked_findings(domain, month_ago(now)).await?,
        reporters: store.reporters(Some(domain), 20).await?,
        log: store.log(Some(domain), None, 20).await?.rows,
        held,
        observation,
        judgement,
        records,
    })
}

fn month_ago(now: Timestamp) -> Timestamp {
    now.saturating_sub(jiff::SignedDuration::from_hours(28 * 24)).unwrap_or(now)
}

impl Sheet {
    /// Why failures of this kind were marked as not ours, if they were.
    pub(crate) fn excuse(&self, problem: &Problem) -> Option<&str> {
        let fits = |(result, mx, _): &&(ResultType, Option<String>, String)| {
            *result == problem.result_type
                && mx.as_ref().is_none_or(|mx| problem.mx.as_ref().is_some_and(|named| same_host(named, mx)))
        };
        self.excused.iter().find(fits).map(|(_, _, reason)| reason.as_str())
    }

    /// Our own newest verdict on the MX a problem names.
    pub(crate) fn own_probe(&self, problem: &Problem) -> Option<&MxVerdict> {
        let named = problem.mx.as_deref()?;
        self.observation.as_ref()?.audit.mx.iter().find(|mx| same_host(named, mx.host.as_str()))
    }

    /// First and last day of the sessions shown.
    pub(crate) fn span(&self) -> Option<(Date, Date)> {
        Some((self.days.first()?.day, self.days.last()?.day))
    }
}

/// Whether a host as a reporter wrote it is this one.
pub(crate) fn same_host(written: &str, host: &str) -> bool {
    written.trim().trim_end_matches('.').eq_ignore_ascii_case(host)
}
