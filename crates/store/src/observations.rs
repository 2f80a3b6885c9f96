//! What our own monitor saw: facts and audits over time, and which findings came and went.

use jiff::{Timestamp, ToSpan};
use mailward_core::audit::{Audit, Difference, compare};
use mailward_core::facts::DomainFacts;
use mailward_core::rollout::ProbeRound;
use mailward_core::{Finding, PolicyDomain, Severity};
use serde::{Deserialize, Serialize};

use crate::bytes::{pack_json, unpack_json};
use crate::columns::{from_json, json, micros, number, timestamp};
use crate::engine::{Write, statements, values};
use crate::names::{Numbers, intern, name_hash};
use crate::{Result, Store};

/// How long rounds and findings that went are remembered.
const KEPT_HOURS: i64 = 400 * 24;

/// The newest observation of a domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// What was seen.
    pub facts: DomainFacts,
    /// What was concluded.
    pub audit: Audit,
}

/// A finding over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackedFinding {
    /// As last seen.
    pub finding: Finding,
    /// First seen.
    pub since: Timestamp,
    /// Last seen.
    pub last_seen: Timestamp,
    /// When it was first missing again; `None` while it lasts.
    pub gone: Option<Timestamp>,
}

statements! {
    LATEST = "SELECT o.facts, o.audit FROM latest_observations o JOIN names n ON n.number = o.domain
        WHERE n.hash = $1";
    AUDIT = "SELECT observed_at, audit FROM latest_observations WHERE domain = $1";
    SAVE_LATEST = "INSERT INTO latest_observations (domain, observed_at, summary, errors, warnings, facts, audit)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (domain) DO UPDATE SET
        observed_at = excluded.observed_at, summary = excluded.summary, errors = excluded.errors,
        warnings = excluded.warnings, facts = excluded.facts, audit = excluded.audit";
    SAVE_ROUND = "INSERT INTO probe_rounds (domain, observed_at, summary, round) VALUES ($1, $2, $3, $4)
        ON CONFLICT (domain, observed_at) DO UPDATE SET summary = excluded.summary, round = excluded.round";
    FORGET_ROUNDS = "DELETE FROM probe_rounds WHERE domain = $1 AND observed_at < $2";
    ROUNDS = "SELECT p.round FROM probe_rounds p JOIN names n ON n.number = p.domain
        WHERE n.hash = $1 AND p.observed_at >= $2 ORDER BY p.observed_at";
    OPEN_FINDINGS = "SELECT number, id, subject FROM tracked_findings WHERE domain = $1 AND gone IS NULL";
    ADD_FINDINGS = "INSERT INTO tracked_findings (domain, id, subject, finding, since, last_seen) VALUES {rows}";
    SEEN_AGAIN = "UPDATE tracked_findings SET finding = $2, last_seen = $3 WHERE number = $1";
    GONE = "UPDATE tracked_findings SET gone = $2 WHERE number = $1";
    FORGET_FINDINGS = "DELETE FROM tracked_findings WHERE domain = $1 AND gone < $2";
    TRACKED = "SELECT f.finding, f.since, f.last_seen, f.gone
        FROM tracked_findings f JOIN names n ON n.number = f.domain
        WHERE n.hash = $1 AND (f.gone IS NULL OR f.gone >= $2)";
}

impl Store {
    /// Stores one observation with its probe round; returns what changed against the last one. The
    /// facts of the newest observation are kept whole, older ones as audit summary and probe round. An
    /// observation older than the newest adds its round and changes nothing else.
    ///
    /// # Errors
    /// As every function here.
    pub async fn record_observation(
        &self,
        facts: &DomainFacts,
        audit: &Audit,
        round: &ProbeRound,
    ) -> Result<Difference> {
        let at = micros(facts.observed_at);
        let packed_facts = pack_json(facts)?;
        let packed_audit = pack_json(audit)?;
        let summary = json(&audit.summary)?;
        let of = |severity| number(audit.findings.iter().filter(|f| f.severity == severity).count() as u64);

        let mut write = self.engine.write().await?;
        let mut numbers = Numbers::lock(&mut write).await?;
        let names = intern(&mut write, &mut numbers, [facts.domain.as_str()]).await?;
        numbers.save(&mut write).await?;
        let domain = names.get(facts.domain.as_str()).copied().unwrap_or_default();
        write.run(SAVE_ROUND, values![domain, micros(round.at), summary.as_str(), json(round)?]).await?;
        let kept_from = facts.observed_at.checked_sub(KEPT_HOURS.hours()).unwrap_or(Timestamp::MIN);
        write.run(FORGET_ROUNDS, values![domain, micros(kept_from)]).await?;

        let last: Option<(i64, Vec<u8>)> = write.optional(AUDIT, values![domain]).await?;
        let difference = match &last {
            Some((last_at, packed)) => {
                let last_audit: Audit = unpack_json(packed)?;
                let difference = compare(&last_audit.findings, &audit.findings);
                if *last_at > at {
                    write.commit().await?;
                    return Ok(difference);
                }
                difference
            }
            None => compare(&[], &audit.findings),
        };
        let values = values![
            domain,
            at,
            summary,
            of(Severity::Error),
            of(Severity::Warning),
            packed_facts,
            packed_audit
        ];
        write.run(SAVE_LATEST, values).await?;
        track(&mut write, domain, &audit.findings, at).await?;
        write.run(FORGET_FINDINGS, values![domain, micros(kept_from)]).await?;
        write.commit().await?;
        Ok(difference)
    }

    /// The newest observation.
    ///
    /// # Errors
    /// As every function here.
    pub async fn latest_observation(&self, domain: &PolicyDomain) -> Result<Option<Observation>> {
        let hash = name_hash(domain.as_str());
        let found: Option<(Vec<u8>, Vec<u8>)> =
            self.engine.optional(LATEST, values![hash.as_slice()]).await?;
        let Some((facts, audit)) = found else { return Ok(None) };
        Ok(Some(Observation { facts: unpack_json(&facts)?, audit: unpack_json(&audit)? }))
    }

    /// Probe rounds from `from` on, oldest first.
    ///
    /// # Errors
    /// As every function here.
    pub async fn probe_rounds(&self, domain: &PolicyDomain, from: Timestamp) -> Result<Vec<ProbeRound>> {
        let hash = name_hash(domain.as_str());
        let rows: Vec<(String,)> = self.engine.all(ROUNDS, values![hash.as_slice(), micros(from)]).await?;
        rows.iter().map(|(round,)| from_json(round)).collect()
    }

    /// Findings that last, or that went after `gone_after`; lasting ones first, worst first.
    ///
    /// # Errors
    /// As every function here.
    pub async fn tracked_findings(
        &self,
        domain: &PolicyDomain,
        gone_after: Timestamp,
    ) -> Result<Vec<TrackedFinding>> {
        type Row = (String, i64, i64, Option<i64>);
        let hash = name_hash(domain.as_str());
        let rows: Vec<Row> = self.engine.all(TRACKED, values![hash.as_slice(), micros(gone_after)]).await?;
        let tracked = |(finding, since, last_seen, gone): Row| {
            Ok(TrackedFinding {
                finding: from_json(&finding)?,
                since: timestamp(since)?,
                last_seen: timestamp(last_seen)?,
                gone: gone.map(timestamp).transpose()?,
            })
        };
        let mut findings: Vec<TrackedFinding> = rows.into_iter().map(tracked).collect::<Result<_>>()?;
        findings.sort_by(|a, b| {
            let order = |t: &TrackedFinding| (t.gone.is_some(), std::cmp::Reverse(t.finding.severity));
            order(a)
                .cmp(&order(b))
                .then_with(|| a.finding.id.cmp(&b.finding.id))
                .then_with(|| a.finding.subject.cmp(&b.finding.subject))
                .then_with(|| b.since.cmp(&a.since))
        });
        Ok(findings)
    }
}

/// A finding is the same trouble as long as id and subject are the same (as [`compare`] has it).
async fn track(write: &mut Write, domain: i64, findings: &[Finding], at: i64) -> Result<()> {
    let open: Vec<(i64, String, String)> = write.all(OPEN_FINDINGS, values![domain]).await?;
    let mut open: std::collections::HashMap<(String, String), i64> =
        open.into_iter().map(|(number, id, subject)| ((id, subject), number)).collect();
    let mut new = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for finding in findings {
        // As the column has it, so that the next look finds it again.
        let subject = finding.subject.replace('\0', "\u{fffd}");
        let key = (finding.id.clone(), subject.clone());
        if !seen.insert(key.clone()) {
            continue;
        }
        match open.remove(&key) {
            Some(number) => {
                write.run(SEEN_AGAIN, values![number, json(finding)?, at]).await?;
            }
            None => new.push([
                domain.into(),
                finding.id.as_str().into(),
                subject.into(),
                json(finding)?.into(),
                at.into(),
                at.into(),
            ]),
        }
    }
    write.run_rows(ADD_FINDINGS, new).await?;
    for number in open.into_values() {
        write.run(GONE, values![number, at]).await?;
    }
    Ok(())
}
