//! What our senders saw, counted by UTC day, report domain and policy: what the daily reports are made of.
//!
//! The collector (`mailward-sending`) adds [`Increment`]s about once a second, the reporter reads a
//! [`Tally`] once the day is over. Rows hold numbers alone; texts stand once and are meant by number, for
//! names, records and policies are the same every day. Several nodes add to one database: every writer
//! takes the same lock, so the caps hold exactly whoever adds.
//!
//! What peers make up is capped by day and domain, never what is counted: beyond the caps, sessions count
//! under a failure or a policy without texts.

use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::datagram::{SessionFailure, SessionPolicy};
use mailward_core::tlsrpt::tally::Digest;
use serde::{Deserialize, Serialize};

use crate::columns::{corrupt, date, day_number, hash16};
use crate::engine::{Write, statements, values};
use crate::{Result, Store};

mod add;
pub(crate) mod read;
pub(crate) mod retention;
pub(crate) mod texts;

pub use read::{TallyDay, TallySum};

use add::Addition;

/// Kinds of failure told apart by day and domain: a kind under one policy is one. Beyond, they count as
/// [`SessionFailure::other`].
pub const KINDS_A_DAY: usize = 1000;
/// Policies told apart by day and domain. Beyond, they count as [`without_texts`].
pub const POLICIES_A_DAY: usize = 100;

/// Who saw a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TallySource {
    /// A mail server, by datagram.
    MailServer,
    /// mailward itself, on a delivery's behalf: a policy that could not be had, an MX that no policy names.
    Mailward,
    /// mailward's own probes of MX hosts. They are no sessions: only their failures count, and
    /// [`Store::tally`] leaves them out.
    Probe,
}

/// Sessions to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Increment {
    /// The UTC day on which they were told.
    pub day: Date,
    /// The domain reported to.
    pub domain: PolicyDomain,
    /// Its TLS-RPT record as last seen; the last increment of a domain and day stays.
    pub record: String,
    /// Who saw them.
    pub source: TallySource,
    /// The policy that was applied.
    pub policy: SessionPolicy,
    /// How many went well.
    pub successful: u64,
    /// How many did not.
    pub failed: u64,
    /// Failures by kind.
    pub failures: Vec<(SessionFailure, u64)>,
}

/// The policy under which sessions count that have one too many: of the same type, without texts.
pub fn without_texts(policy: &SessionPolicy, domain: &PolicyDomain) -> SessionPolicy {
    SessionPolicy {
        policy_type: policy.policy_type.clone(),
        policy_domain: (**domain).clone(),
        policy_string: Vec::new(),
        mx_host: Vec::new(),
    }
}

statements! {
    ADD_DAYS = "INSERT INTO tally_days (day, domains) VALUES {rows}
        ON CONFLICT (day) DO UPDATE SET domains = tally_days.domains + excluded.domains";
    ADD_SUMS = "INSERT INTO tally_sums (day, policy_type, source, successful, failed) VALUES {rows}
        ON CONFLICT (day, policy_type, source) DO UPDATE SET successful = tally_sums.successful + excluded.successful,
        failed = tally_sums.failed + excluded.failed";
    KNOWN_DOMAINS = "SELECT at, record, policies, kinds FROM tally_domains WHERE at IN ({list})";
    PUT_DOMAINS = "INSERT INTO tally_domains (at, domain, record, policies, kinds) VALUES {rows}
        ON CONFLICT (at) DO UPDATE SET record = excluded.record, policies = excluded.policies,
        kinds = excluded.kinds";
    OPEN = "INSERT INTO tally_open (at) VALUES {rows}";
    TAKE = "DELETE FROM tally_open WHERE at = $1";
    KNOWN_POLICIES = "SELECT at, policy FROM tallies WHERE at IN ({list})";
    ADD_POLICIES = "INSERT INTO tallies (at, policy, source, successful, failed) VALUES {rows}
        ON CONFLICT (at, policy, source) DO UPDATE SET successful = tallies.successful + excluded.successful,
        failed = tallies.failed + excluded.failed";
    KNOWN_KINDS = "SELECT at, policy, source, kind FROM tally_failures WHERE at IN ({list})";
    ADD_KINDS = "INSERT INTO tally_failures (at, policy, source, kind, sessions) VALUES {rows}
        ON CONFLICT (at, policy, source, kind) DO UPDATE SET sessions = tally_failures.sessions + excluded.sessions";
}

impl Store {
    /// Adds sessions in one transaction: all, or none. Some thousand at a time are a good measure. To add
    /// the same again counts it again.
    ///
    /// # Errors
    /// As every function here; nothing was added then.
    pub async fn add_tallies(&self, increments: &[Increment]) -> Result<()> {
        if increments.is_empty() {
            return Ok(());
        }
        let mut write = self.engine.write().await?;
        Addition::of(increments).run(&mut write).await?;
        write.commit().await
    }
}

/// Takes a day of a domain out of what [`Store::tally_domains`] lists, in the transaction of whoever makes
/// its report. `false` when somebody else took it before. What is added later still counts, and opens
/// nothing again.
pub(crate) async fn take(write: &mut Write, day: Date, domain: &PolicyDomain) -> Result<bool> {
    match texts::number_of(write, &domain_digest(domain)).await? {
        Some(number) => Ok(write.run(TAKE, values![at(day, number)]).await? > 0),
        None => Ok(false),
    }
}

/// What a domain's name is found by.
fn domain_digest(domain: &PolicyDomain) -> Digest {
    hash16(&[b"domain", domain.as_str().as_bytes()])
}

fn record_digest(record: &str) -> Digest {
    hash16(&[b"record", record.as_bytes()])
}

/// Numbers of texts are smaller than this.
const DOMAINS: i64 = 1 << 40;

/// A domain on a day as one integer.
fn at(day: Date, domain: i64) -> i64 {
    // invariant of the calendar: days of years -9999 to 9999 have 22 bits.
    day_number(day) * DOMAINS + domain
}

fn day_of(at: i64) -> Result<Date> {
    date(at.div_euclid(DOMAINS))
}

fn source_number(source: TallySource) -> i64 {
    match source {
        TallySource::MailServer => 0,
        TallySource::Mailward => 1,
        TallySource::Probe => 2,
    }
}

fn source(number: i64) -> Result<TallySource> {
    Ok(match number {
        0 => TallySource::MailServer,
        1 => TallySource::Mailward,
        2 => TallySource::Probe,
        _ => return Err(corrupt("a source of tallies", number)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_a_domain_are_one_integer() {
        for text in ["1969-12-31", "1970-01-01", "2026-03-14", "-009999-01-01", "9999-12-31"] {
            let day: Date = text.parse().unwrap();
            for domain in [1, DOMAINS - 1] {
                assert_eq!(day_of(at(day, domain)).unwrap(), day, "{text}");
            }
            assert!(
                at(day, DOMAINS - 1) < at(day.saturating_add(jiff::Span::new().days(1)), 1)
                    || day == Date::MAX
            );
        }
    }
}
