//! A made-up year of reports: domains, reporters and troubles in the proportions of a large installation.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use mailward_core::PolicyDomain;
use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::Report;
use mailward_store::domains::HeldDomain;
use mailward_store::reports::{Content, IncomingItem};
use mailward_store::{Result, Store};

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub domains: u64,
    pub reporters: u64,
    pub reports: u64,
    /// Failure details in each report.
    pub details: u64,
    /// Reports fall on so many days before [`TODAY`].
    pub days: u64,
}

/// The day after the last report.
pub const TODAY: Date = Date::constant(2026, 11, 1);

const TYPES: [&str; 5] = [
    "certificate-expired",
    "starttls-not-supported",
    "validation-failure",
    "tlsa-invalid",
    "sts-webpki-invalid",
];

impl Load {
    /// Holds all domains.
    pub async fn hold(&self, store: &Store) -> Result<()> {
        for number in 0..self.domains {
            let at = Timestamp::UNIX_EPOCH;
            let held = HeldDomain {
                domain: domain(number),
                mode: mailward_core::mta_sts::Mode::Testing,
                mx: vec![format!("mx1.{}", domain(number))],
                max_age: 86_400,
                policy_id: "1".into(),
                policy_body: "version: STSv1\n".into(),
                rua: Vec::new(),
                added_at: at,
                mode_since: at,
            };
            store.put_domain(&held, "load", "load", at).await?;
        }
        Ok(())
    }

    /// One item, always the same for its number.
    pub fn item(&self, number: u64) -> IncomingItem {
        let reporter = number % self.reporters;
        let day =
            TODAY.saturating_sub(i64::try_from(1 + number / self.reporters % self.days).unwrap_or(1).days());
        let report = self.report(number, reporter, day);
        IncomingItem {
            raw: serde_json::to_vec(&report).unwrap_or_default(),
            source: "maildir".into(),
            origin: format!("new/{number}"),
            received_at: midnight(day),
            trust: if reporter % 4 == 3 { Trust::Unauthenticated } else { Trust::DkimVerified },
            dkim: None,
            submitter: format!("reporter{reporter}.example"),
            content: Content::Reports(vec![(report, Vec::new())]),
            findings: Vec::new(),
        }
    }

    fn report(&self, number: u64, reporter: u64, day: Date) -> Report {
        // Every reporter tells of every domain in turn.
        let name = domain((number / self.reporters / self.days + number) % self.domains.max(1)).to_string();
        let details: Vec<_> = (0..self.details)
            .map(|at| {
                serde_json::json!({
                    "result-type": TYPES[(at % 5) as usize],
                    "sending-mta-ip": format!("192.0.2.{}", at % 256),
                    "receiving-mx-hostname": format!("mx{}.{name}", at / 5 % 3),
                    "receiving-ip": format!("198.51.100.{}", at % 256),
                    "failed-session-count": 1 + at,
                })
            })
            .collect();
        let failed: u64 = (1..=self.details).sum();
        let report = serde_json::json!({
            "organization-name": format!("Reporter {reporter}"),
            "date-range": {"start-datetime": format!("{day}T00:00:00Z"), "end-datetime": format!("{day}T23:59:59Z")},
            "contact-info": format!("tls@reporter{reporter}.example"),
            "report-id": format!("{day}_{number}"),
            "policies": [{
                "policy": {"policy-type": "sts", "policy-domain": name, "mx-host": [format!("mx1.{name}")],
                    "policy-string": ["version: STSv1", "mode: testing", format!("mx: mx1.{name}"), "max_age: 86400"]},
                "summary": {"total-successful-session-count": 100 + number, "total-failure-session-count": failed},
                "failure-details": details,
            }],
        });
        serde_json::from_value(report).expect("a report of ours is one")
    }
}

/// A domain of the load.
pub fn domain(number: u64) -> PolicyDomain {
    PolicyDomain::parse(&format!("d{number}.example")).expect("a name of ours is one")
}

fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp())
}

/// Asks everything that pages ask; the name and the milliseconds of each question, the best of three.
pub async fn ask(store: &Store) -> Result<Vec<(&'static str, f64)>> {
    let month = TODAY.saturating_sub(28.days());
    let some = domain(1);
    let by_domain =
        mailward_store::reports::ReportFilter { domain: Some(some.clone()), ..Default::default() };
    let failed = mailward_store::reports::ReportFilter { failed_only: true, ..Default::default() };
    let mut asked = Vec::new();
    macro_rules! time {
        ($name:literal, $question:expr) => {{
            let mut best = f64::MAX;
            for _ in 0..3 {
                let start = tokio::time::Instant::now();
                $question;
                best = best.min(start.elapsed().as_secs_f64() * 1_000.0);
            }
            asked.push(($name, best));
        }};
    }
    time!("domain_lines", store.domain_lines(TODAY).await?);
    time!("problems", store.problems(None, month, 50).await?);
    time!("problems of a domain", store.problems(Some(&some), month, 50).await?);
    time!("session_days", store.session_days(&some, month, TODAY).await?);
    time!("reporters", store.reporters(None, 50).await?);
    time!("reporters of a domain", store.reporters(Some(&some), 50).await?);
    time!("reports", store.reports(&Default::default(), None, 50).await?);
    time!("reports, second page", store.reports(&Default::default(), Some(500), 50).await?);
    time!("reports of a domain", store.reports(&by_domain, None, 50).await?);
    time!("reports with failures", store.reports(&failed, None, 50).await?);
    let gate = mailward_core::rollout::Gate::default();
    time!("evidence", store.evidence(&some, &gate, midnight(TODAY)).await?);
    Ok(asked)
}
