//! Texts of tallies, kept once: names of domains, records, policies and kinds of failure, by number.
//!
//! Policies and kinds are JSON, so that any text in them comes back; long ones are deflated.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use jiff::civil::Date;
use mailward_core::DomainName;
use mailward_core::tlsrpt::datagram::{SessionFailure, SessionPolicy};
use mailward_core::tlsrpt::tally::Digest;
use mailward_core::tlsrpt::{PolicyType, ResultType};

use crate::bytes::{pack, unpack};
use crate::columns::{day_number, from_json, json};
use crate::engine::{Value, Write, statements, values};
use crate::{Result, StoreError};

statements! {
    // The row stays locked until the end: no other writer adds meanwhile.
    TAKE_NUMBERS = "UPDATE counters SET value = value + $1 WHERE name = 'tally-texts' RETURNING value";
    NUMBER = "SELECT number FROM tally_texts WHERE digest = $1";
    FIND = "SELECT digest, number, last_day FROM tally_texts WHERE digest IN ({list})";
    PUT = "INSERT INTO tally_texts (number, digest, last_day, deflated, text) VALUES {rows}
        ON CONFLICT (number) DO UPDATE SET last_day = excluded.last_day";
}

/// The texts that a transaction needs, and the lock under which it writes.
pub(super) struct Texts {
    known: HashMap<Vec<u8>, (i64, i64)>,
    /// Numbers given out so far, and before this transaction.
    given: i64,
    given_before: i64,
    /// Rows to write, by number: new ones, and those used on a later day than ever before.
    rows: BTreeMap<i64, [Value; 5]>,
}

impl Texts {
    /// Waits for other writers, then finds those of these texts that are known.
    pub(super) async fn lock(write: &mut Write, digests: impl IntoIterator<Item = Digest>) -> Result<Self> {
        let given = take_numbers(write, 0).await?;
        let digests = digests.into_iter().map(|digest| digest.as_slice().into()).collect();
        let found: Vec<(Vec<u8>, i64, i64)> = write.all_of_list(FIND, digests).await?;
        let known = found.into_iter().map(|(digest, number, last_day)| (digest, (number, last_day)));
        Ok(Self { known: known.collect(), given, given_before: given, rows: BTreeMap::new() })
    }

    /// The number of a text, if it has one.
    pub(super) fn find(&self, digest: &Digest) -> Option<i64> {
        self.known.get(digest.as_slice()).map(|(number, _)| *number)
    }

    /// The number of a text that is used on a day; a new one gets the next.
    pub(super) fn number(
        &mut self,
        digest: &Digest,
        day: Date,
        text: impl FnOnce() -> Result<String>,
    ) -> Result<i64> {
        let day = day_number(day);
        let known = self.known.get(digest.as_slice()).copied();
        if let Some((number, last_day)) = known
            && last_day >= day
        {
            return Ok(number);
        }
        let number = known.map_or(self.given + 1, |(number, _)| number);
        self.given = self.given.max(number);
        let (deflated, bytes) = pack(text()?.as_bytes());
        self.known.insert(digest.to_vec(), (number, day));
        self.rows.insert(
            number,
            [number.into(), digest.as_slice().into(), day.into(), deflated.into(), bytes.into()],
        );
        Ok(number)
    }

    /// Writes what is new.
    pub(super) async fn save(self, write: &mut Write) -> Result<()> {
        if self.given > self.given_before {
            take_numbers(write, self.given - self.given_before).await?;
        }
        write.run_rows(PUT, self.rows.into_values().collect()).await
    }
}

/// Takes so many numbers and holds the lock; the last one given out.
pub(super) async fn take_numbers(write: &mut Write, numbers: i64) -> Result<i64> {
    let taken: Option<(i64,)> = write.optional(TAKE_NUMBERS, values![numbers]).await?;
    let missing = || StoreError::Corrupt("the counter of tally texts is not there".into());
    Ok(taken.ok_or_else(missing)?.0)
}

/// The number of one text.
pub(super) async fn number_of(write: &mut Write, digest: &Digest) -> Result<Option<i64>> {
    let found: Option<(i64,)> = write.optional(NUMBER, values![digest.as_slice()]).await?;
    Ok(found.map(|(number,)| number))
}

/// A text as it stands in a row.
pub(super) fn plain(deflated: i64, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(unpack(deflated, bytes)?)
        .map_err(|_| StoreError::Corrupt("a text of tallies is no UTF-8".into()))
}

pub(super) fn policy_text(policy: &SessionPolicy) -> Result<String> {
    json(&(&policy.policy_type, policy.policy_domain.as_str(), &policy.policy_string, &policy.mx_host))
}

pub(super) fn policy(deflated: i64, bytes: Vec<u8>) -> Result<SessionPolicy> {
    let text = plain(deflated, bytes)?;
    let (policy_type, policy_domain, policy_string, mx_host): (PolicyType, String, _, _) = from_json(&text)?;
    let policy_domain = DomainName::parse(&policy_domain)
        .map_err(|e| StoreError::Corrupt(format!("{policy_domain:?} in a tally is no domain: {e}")))?;
    Ok(SessionPolicy { policy_type, policy_domain, policy_string, mx_host })
}

/// result type, sending address, MX, EHLO, receiving address, more, reason
type Kind<T> = (ResultType, Option<IpAddr>, Option<T>, Option<T>, Option<IpAddr>, Option<T>, Option<T>);

pub(super) fn kind_text(kind: &SessionFailure) -> Result<String> {
    let row: Kind<&str> = (
        kind.result_type.clone(),
        kind.sending_mta_ip,
        kind.receiving_mx_hostname.as_deref(),
        kind.receiving_mx_helo.as_deref(),
        kind.receiving_ip,
        kind.additional_information.as_deref(),
        kind.failure_reason_code.as_deref(),
    );
    json(&row)
}

pub(super) fn kind(deflated: i64, bytes: Vec<u8>) -> Result<SessionFailure> {
    let row: Kind<String> = from_json(&plain(deflated, bytes)?)?;
    Ok(SessionFailure {
        result_type: row.0,
        sending_mta_ip: row.1,
        receiving_mx_hostname: row.2,
        receiving_mx_helo: row.3,
        receiving_ip: row.4,
        additional_information: row.5,
        failure_reason_code: row.6,
    })
}
