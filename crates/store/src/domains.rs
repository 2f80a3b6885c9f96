//! Domains held: what we publish for them, and every policy ever served.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use serde::{Deserialize, Serialize};

use crate::columns::{count, from_json, json, micros, timestamp};
use crate::engine::{Write, statements, values};
use crate::log::{LogEntry, append};
use crate::names::{Numbers, intern};
use crate::{Result, Store, StoreError};

/// A domain held, with the policy it publishes now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDomain {
    /// The domain.
    pub domain: PolicyDomain,
    /// Mode of the policy now served.
    pub mode: Mode,
    /// Patterns of that policy, as text.
    pub mx: Vec<String>,
    /// Its max_age in seconds.
    pub max_age: u32,
    /// The id to publish with it.
    pub policy_id: String,
    /// The body served, byte for byte.
    pub policy_body: String,
    /// Report addresses to publish in the TLS-RPT record, as URIs.
    pub rua: Vec<String>,
    /// When the domain was added.
    pub added_at: Timestamp,
    /// Since when this mode is published with this MX set.
    pub mode_since: Timestamp,
}

/// A policy that was or is served (append only).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedPolicy {
    /// The body.
    pub body: String,
    /// Its id.
    pub policy_id: String,
    /// Mode.
    pub mode: Mode,
    /// Seconds.
    pub max_age: u32,
    /// First moment it was the one to serve.
    pub first_served: Timestamp,
    /// Last moment; `None` while it is served.
    pub last_served: Option<Timestamp>,
}

statements! {
    HELD = "SELECT name, mode, mx, max_age, policy_id, policy_body, rua, added_at, mode_since
        FROM domains WHERE name = $1";
    ALL_HELD = "SELECT name, mode, mx, max_age, policy_id, policy_body, rua, added_at, mode_since
        FROM domains ORDER BY name";
    HELD_NUMBER = "SELECT number FROM domains WHERE name = $1";
    VERSION = "SELECT value FROM counters WHERE name = 'domains-version'";
    CHANGED = "UPDATE counters SET value = value + 1 WHERE name = 'domains-version'";
    PUT = "INSERT INTO domains
        (number, name, mode, mx, max_age, policy_id, policy_body, rua, added_at, mode_since)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (number) DO UPDATE SET mode = excluded.mode, mx = excluded.mx, max_age = excluded.max_age,
        policy_id = excluded.policy_id, policy_body = excluded.policy_body, rua = excluded.rua,
        mode_since = excluded.mode_since";
    REMOVE = "DELETE FROM domains WHERE number = $1";
    SERVE = "INSERT INTO served_policies (domain, body, policy_id, mode, mx, max_age, first_served)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    STOP_SERVING = "UPDATE served_policies SET last_served = $2 WHERE domain = $1 AND last_served IS NULL";
    SERVED = "SELECT s.body, s.policy_id, s.mode, s.max_age, s.first_served, s.last_served
        FROM served_policies s JOIN names n ON n.number = s.domain
        WHERE n.hash = $1 ORDER BY s.number DESC";
    DROP_EXCUSE = "DELETE FROM excuses
        WHERE domain = $1 AND result_type = $2 AND mx IS NOT DISTINCT FROM $3";
    EXCUSE = "INSERT INTO excuses (domain, result_type, mx, author, reason, at) VALUES ($1, $2, $3, $4, $5, $6)";
    WAIVE = "INSERT INTO waivers (domain, item, author, reason, at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (domain, item) DO UPDATE SET author = excluded.author, reason = excluded.reason, at = excluded.at";
    END_WAIVERS = "DELETE FROM waivers WHERE domain = $1";
}

impl Store {
    /// Adds a domain, or changes the policy, MX set or report addresses of one that is held; the policy
    /// replaced ends in the history at `now`. Idempotent: the same again changes nothing and returns
    /// `false`. Of a domain that is held, `added_at` is left as it was, and `mode_since` too as long as
    /// mode and MX set stay.
    ///
    /// # Errors
    /// As every function here.
    pub async fn put_domain(
        &self,
        domain: &HeldDomain,
        author: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let mut write = self.engine.write().await?;
        // First the version: it puts those who change domains in order.
        write.run(CHANGED, values![]).await?;
        let held = write.optional::<Row>(HELD, values![domain.domain.as_str()]).await?;
        let held = held.map(held_domain).transpose()?;
        if held.as_ref().is_some_and(|held| same(held, domain)) {
            return Ok(false);
        }
        let number = number_of(&mut write, &domain.domain).await?;
        let mode_since = match &held {
            Some(held) if held.mode == domain.mode && mx_set(held) == mx_set(domain) => held.mode_since,
            _ => domain.mode_since,
        };
        let (mx, rua) = (json(&domain.mx)?, json(&domain.rua)?);
        let values = values![
            number,
            domain.domain.as_str(),
            domain.mode.as_str(),
            mx.as_str(),
            i64::from(domain.max_age),
            domain.policy_id.as_str(),
            domain.policy_body.as_str(),
            rua,
            micros(domain.added_at),
            micros(mode_since),
        ];
        write.run(PUT, values).await?;
        let act = act(held.as_ref(), domain);
        if act != "change-reporting" {
            write.run(STOP_SERVING, values![number, micros(now)]).await?;
            let values = values![
                number,
                domain.policy_body.as_str(),
                domain.policy_id.as_str(),
                domain.mode.as_str(),
                mx,
                i64::from(domain.max_age),
                micros(now),
            ];
            write.run(SERVE, values).await?;
            write.run(END_WAIVERS, values![number]).await?;
        }
        let detail = format!(
            "mode {}, max_age {}, mx {}, id {}, rua {}",
            domain.mode,
            domain.max_age,
            domain.mx.join(" "),
            domain.policy_id,
            domain.rua.join(" ")
        );
        append(&mut write, &entry(&domain.domain, author, act, reason, detail, now)).await?;
        write.commit().await?;
        Ok(true)
    }

    /// One domain held.
    ///
    /// # Errors
    /// As every function here.
    pub async fn domain(&self, domain: &PolicyDomain) -> Result<Option<HeldDomain>> {
        let found = self.engine.optional::<Row>(HELD, values![domain.as_str()]).await?;
        found.map(held_domain).transpose()
    }

    /// All domains held, by name.
    ///
    /// # Errors
    /// As every function here.
    pub async fn domains(&self) -> Result<Vec<HeldDomain>> {
        let mut domains: Vec<HeldDomain> = self
            .engine
            .all::<Row>(ALL_HELD, values![])
            .await?
            .into_iter()
            .map(held_domain)
            .collect::<Result<_>>()?;
        // PostgreSQL may sort by the rules of a language.
        domains.sort_unstable_by(|a, b| a.domain.cmp(&b.domain));
        Ok(domains)
    }

    /// A number that changes whenever a domain held changes: cheap to ask, so that the policy host
    /// notices within seconds what another process wrote.
    ///
    /// # Errors
    /// As every function here.
    pub async fn domains_version(&self) -> Result<i64> {
        let version = self.engine.optional::<(i64,)>(VERSION, values![]).await?;
        version
            .map(|(value,)| value)
            .ok_or_else(|| StoreError::Corrupt("the counter of changes is not there".into()))
    }

    /// Stops holding a domain. Reports and history stay. `false` when it was not held.
    ///
    /// # Errors
    /// As every function here.
    pub async fn remove_domain(
        &self,
        domain: &PolicyDomain,
        author: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let mut write = self.engine.write().await?;
        write.run(CHANGED, values![]).await?;
        let number: Option<(i64,)> = write.optional(HELD_NUMBER, values![domain.as_str()]).await?;
        let Some((number,)) = number else { return Ok(false) };
        write.run(REMOVE, values![number]).await?;
        write.run(STOP_SERVING, values![number, micros(now)]).await?;
        write.run(END_WAIVERS, values![number]).await?;
        let entry = entry(domain, author, "remove-domain", reason, String::new(), now);
        append(&mut write, &entry).await?;
        write.commit().await?;
        Ok(true)
    }

    /// Every policy ever served for the domain, newest first.
    ///
    /// # Errors
    /// As every function here.
    pub async fn served_policies(&self, domain: &PolicyDomain) -> Result<Vec<ServedPolicy>> {
        type Row = (String, String, String, i64, i64, Option<i64>);
        let hash = crate::names::name_hash(domain.as_str());
        let rows: Vec<Row> = self.engine.all(SERVED, values![hash.as_slice()]).await?;
        let policy = |(body, policy_id, mode_text, max_age, first, last): Row| {
            Ok(ServedPolicy {
                body,
                policy_id,
                mode: mode(&mode_text)?,
                max_age: max_age_of(max_age),
                first_served: timestamp(first)?,
                last_served: last.map(timestamp).transpose()?,
            })
        };
        rows.into_iter().map(policy).collect()
    }

    /// Marks failures of a type (and MX, if given) as not ours.
    ///
    /// # Errors
    /// As every function here.
    pub async fn excuse_failures(
        &self,
        domain: &PolicyDomain,
        result_type: &str,
        mx: Option<&str>,
        author: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut write = self.engine.write().await?;
        let number = number_of(&mut write, domain).await?;
        write.run(DROP_EXCUSE, values![number, result_type, mx]).await?;
        write.run(EXCUSE, values![number, result_type, mx, author, reason, micros(now)]).await?;
        let detail = format!("{result_type} at {}", mx.unwrap_or("any MX"));
        append(&mut write, &entry(domain, author, "excuse", reason, detail, now)).await?;
        write.commit().await
    }

    /// Passes one item of the gate by name, until the policy changes.
    ///
    /// # Errors
    /// As every function here.
    pub async fn waive_item(
        &self,
        domain: &PolicyDomain,
        item: u8,
        author: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut write = self.engine.write().await?;
        let number = number_of(&mut write, domain).await?;
        write.run(WAIVE, values![number, i64::from(item), author, reason, micros(now)]).await?;
        append(&mut write, &entry(domain, author, "waive", reason, format!("G{item}"), now)).await?;
        write.commit().await
    }

    /// The number of a domain that is held; sums of others are kept, and not shown.
    pub(crate) async fn held_number(&self, domain: &PolicyDomain) -> Result<Option<i64>> {
        let found: Option<(i64,)> = self.engine.optional(HELD_NUMBER, values![domain.as_str()]).await?;
        Ok(found.map(|(number,)| number))
    }
}

async fn number_of(write: &mut Write, domain: &PolicyDomain) -> Result<i64> {
    let mut numbers = Numbers::lock(write).await?;
    let known = intern(write, &mut numbers, [domain.as_str()]).await?;
    numbers.save(write).await?;
    known.get(domain.as_str()).copied().ok_or_else(|| StoreError::NotFound(domain.to_string()))
}

fn same(held: &HeldDomain, wanted: &HeldDomain) -> bool {
    same_policy(held, wanted) && held.rua == wanted.rua
}

fn same_policy(held: &HeldDomain, wanted: &HeldDomain) -> bool {
    held.mode == wanted.mode
        && held.mx == wanted.mx
        && held.max_age == wanted.max_age
        && held.policy_id == wanted.policy_id
        && held.policy_body == wanted.policy_body
}

fn act(held: Option<&HeldDomain>, wanted: &HeldDomain) -> &'static str {
    match held {
        None => "add-domain",
        Some(held) if same_policy(held, wanted) => "change-reporting",
        Some(_) => "change-policy",
    }
}

/// Patterns in another order are the same set.
fn mx_set(domain: &HeldDomain) -> std::collections::BTreeSet<&str> {
    domain.mx.iter().map(String::as_str).collect()
}

fn entry(
    domain: &PolicyDomain,
    author: &str,
    act: &str,
    reason: &str,
    detail: String,
    at: Timestamp,
) -> LogEntry {
    let (domain, reason) = (Some(domain.clone()), reason.to_owned());
    LogEntry { domain, reason, detail, ..LogEntry::of(author, act, at) }
}

type Row = (String, String, String, i64, String, String, String, i64, i64);

fn held_domain(row: Row) -> Result<HeldDomain> {
    let (name, mode_text, mx, max_age, policy_id, policy_body, rua, added_at, mode_since) = row;
    Ok(HeldDomain {
        domain: crate::columns::domain(&name)?,
        mode: mode(&mode_text)?,
        mx: from_json(&mx)?,
        max_age: max_age_of(max_age),
        policy_id,
        policy_body,
        rua: from_json(&rua)?,
        added_at: timestamp(added_at)?,
        mode_since: timestamp(mode_since)?,
    })
}

pub(crate) fn mode(text: &str) -> Result<Mode> {
    text.parse().map_err(|e| StoreError::Corrupt(format!("{e}")))
}

fn max_age_of(seconds: i64) -> u32 {
    u32::try_from(count(seconds)).unwrap_or(u32::MAX)
}
