//! Reading tallies: which days of which domains wait for a report, one of them whole, and sums for pages.

use std::collections::BTreeMap;

use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::PolicyType;
use mailward_core::tlsrpt::tally::{PolicyTally, Reporter, Tally};
use serde::{Deserialize, Serialize};

use super::{TallySource, at, day_of, domain_digest, source, source_number, texts};
use crate::columns::{count, date, day_number};
use crate::engine::{statements, values};
use crate::{Result, Store, StoreError};

/// What was seen on one day, of all domains together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyDay {
    /// The UTC day.
    pub day: Date,
    /// Domains of which anything was seen.
    pub domains: u64,
    /// Sessions by policy type and by who saw them. Not to be added up across types: a session counts once
    /// under each policy that was evaluated (reading A19).
    pub sums: Vec<TallySum>,
}

/// Sessions of a day under one type of policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallySum {
    /// The type.
    pub policy_type: PolicyType,
    /// Who saw them.
    pub source: TallySource,
    /// How many went well.
    pub successful: u64,
    /// How many did not.
    pub failed: u64,
}

statements! {
    OPEN = "SELECT o.at, n.deflated, n.text, r.deflated, r.text FROM tally_open o
        JOIN tally_domains d ON d.at = o.at JOIN tally_texts n ON n.number = d.domain
        JOIN tally_texts r ON r.number = d.record WHERE o.at > $1 AND o.at < $2 ORDER BY o.at LIMIT $3";
    DOMAIN = "SELECT number FROM tally_texts WHERE digest = $1";
    RECORD = "SELECT r.deflated, r.text FROM tally_domains d JOIN tally_texts r ON r.number = d.record
        WHERE d.at = $1";
    POLICIES = "SELECT t.policy, t.source, t.successful, t.failed, p.deflated, p.text
        FROM tallies t JOIN tally_texts p ON p.number = t.policy
        WHERE t.at = $1 AND t.source BETWEEN $2 AND $3 ORDER BY t.policy, t.source";
    FAILURES = "SELECT f.policy, f.kind, CAST(SUM(f.sessions) AS BIGINT), k.deflated, k.text
        FROM tally_failures f JOIN tally_texts k ON k.number = f.kind
        WHERE f.at = $1 AND f.source BETWEEN $2 AND $3
        GROUP BY f.policy, f.kind, k.deflated, k.text ORDER BY 3 DESC, f.kind";
    DAYS = "SELECT day, domains FROM tally_days WHERE day BETWEEN $1 AND $2 ORDER BY day";
    SUMS = "SELECT day, policy_type, source, successful, failed FROM tally_sums
        WHERE day BETWEEN $1 AND $2 ORDER BY day, policy_type, source";
}

/// at; deflated and text of the name; deflated and text of the record
type OpenRow = (i64, i64, Vec<u8>, i64, Vec<u8>);

impl Store {
    /// Days before `before` of which no report was made yet, with their domains and the record of each that
    /// was last seen on that day; by day, in one fixed order of domains, at most `limit`. Go on with the
    /// last of them as `after`.
    ///
    /// # Errors
    /// As every function here.
    pub async fn tally_domains(
        &self,
        before: Date,
        after: Option<(Date, PolicyDomain)>,
        limit: u32,
    ) -> Result<Vec<(Date, PolicyDomain, String)>> {
        let after = match after {
            None => i64::MIN,
            Some((day, domain)) => match self.domain_number(&domain).await? {
                Some(number) => at(day, number),
                // Its texts went, and so did the day.
                None => at(day, super::DOMAINS - 1),
            },
        };
        let rows: Vec<OpenRow> =
            self.engine.all(OPEN, values![after, at(before, 0), i64::from(limit)]).await?;
        let row = |(at, name_deflated, name, record_deflated, record): OpenRow| {
            let name = texts::plain(name_deflated, name)?;
            let domain = PolicyDomain::parse(&name)
                .map_err(|e| StoreError::Corrupt(format!("{name:?} in the tallies is no domain: {e}")))?;
            Ok((day_of(at)?, domain, texts::plain(record_deflated, record)?))
        };
        rows.into_iter().map(row).collect()
    }

    /// Sessions with a domain on a day, by whomever they were seen; policies by type, failures by how many.
    /// Probes are none.
    ///
    /// # Errors
    /// As every function here.
    pub async fn tally(&self, day: Date, domain: &PolicyDomain) -> Result<Option<Tally>> {
        self.tally_from(day, domain, None).await
    }

    /// What this reporter tells of a domain and day: sessions, and what probes found where it wants that.
    ///
    /// # Errors
    /// As every function here.
    pub async fn tally_told(
        &self,
        day: Date,
        domain: &PolicyDomain,
        reporter: &Reporter,
    ) -> Result<Option<Tally>> {
        let sessions = self.tally(day, domain).await?;
        if !reporter.probes {
            return Ok(sessions);
        }
        let probes = self.tally_from(day, domain, Some(TallySource::Probe)).await?;
        let Some(probes) = probes else { return Ok(sessions) };
        let none = || Tally { day, domain: domain.clone(), policies: Vec::new() };
        let mut tally = sessions.unwrap_or_else(none);
        tally.tell_of_probes(probes);
        Ok(Some(tally))
    }

    /// The same as seen by one source alone, which may be our probes.
    ///
    /// # Errors
    /// As every function here.
    pub async fn tally_from(
        &self,
        day: Date,
        domain: &PolicyDomain,
        source: Option<TallySource>,
    ) -> Result<Option<Tally>> {
        let Some(number) = self.domain_number(domain).await? else { return Ok(None) };
        let (first, last) = match source {
            Some(source) => (source, source),
            None => (TallySource::MailServer, TallySource::Mailward),
        };
        let (first, last) = (source_number(first), source_number(last));
        let asked = values![at(day, number), first, last];
        let rows: Vec<(i64, i64, i64, i64, i64, Vec<u8>)> = self.engine.all(POLICIES, asked.clone()).await?;
        let mut policies: BTreeMap<i64, PolicyTally> = BTreeMap::new();
        for (number, _, successful, failed, deflated, text) in rows {
            let tally = match policies.entry(number) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => entry.insert(PolicyTally {
                    policy: texts::policy(deflated, text)?,
                    successful: 0,
                    failed: 0,
                    failures: Vec::new(),
                }),
            };
            tally.successful = tally.successful.saturating_add(count(successful));
            tally.failed = tally.failed.saturating_add(count(failed));
        }
        let rows: Vec<(i64, i64, i64, i64, Vec<u8>)> = self.engine.all(FAILURES, asked).await?;
        for (policy, _, sessions, deflated, text) in rows {
            // Another process may have added a policy between the two questions.
            if let Some(tally) = policies.get_mut(&policy) {
                tally.failures.push((texts::kind(deflated, text)?, count(sessions)));
            }
        }
        let mut policies: Vec<PolicyTally> = policies.into_values().collect();
        policies.sort_by(|a, b| a.policy.policy_type.cmp(&b.policy.policy_type));
        Ok((!policies.is_empty()).then(|| Tally { day, domain: domain.clone(), policies }))
    }

    /// The record of a domain that was last seen on a day.
    ///
    /// # Errors
    /// As every function here.
    pub async fn tally_record(&self, day: Date, domain: &PolicyDomain) -> Result<Option<String>> {
        let Some(number) = self.domain_number(domain).await? else { return Ok(None) };
        let row: Option<(i64, Vec<u8>)> = self.engine.optional(RECORD, values![at(day, number)]).await?;
        row.map(|(deflated, text)| texts::plain(deflated, text)).transpose()
    }

    /// What was seen from one day to another, both included: one entry for each day on which anything was
    /// seen. Quick, however much it was.
    ///
    /// # Errors
    /// As every function here.
    pub async fn tally_overview(&self, from: Date, to: Date) -> Result<Vec<TallyDay>> {
        let range = values![day_number(from), day_number(to)];
        let days: Vec<(i64, i64)> = self.engine.all(DAYS, range.clone()).await?;
        let mut overview: BTreeMap<i64, TallyDay> = BTreeMap::new();
        for (number, domains) in days {
            let day = TallyDay { day: date(number)?, domains: count(domains), sums: Vec::new() };
            overview.insert(number, day);
        }
        let sums: Vec<(i64, String, i64, i64, i64)> = self.engine.all(SUMS, range).await?;
        for (day, policy_type, from, successful, failed) in sums {
            if let Some(day) = overview.get_mut(&day) {
                day.sums.push(TallySum {
                    policy_type: policy_type.into(),
                    source: source(from)?,
                    successful: count(successful),
                    failed: count(failed),
                });
            }
        }
        Ok(overview.into_values().collect())
    }

    async fn domain_number(&self, domain: &PolicyDomain) -> Result<Option<i64>> {
        let digest = domain_digest(domain);
        let found: Option<(i64,)> = self.engine.optional(DOMAIN, values![digest.as_slice()]).await?;
        Ok(found.map(|(number,)| number))
    }
}
