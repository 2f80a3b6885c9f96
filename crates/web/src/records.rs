//! What to publish for a domain, and whether the world already sees it.
//!
//! What a record says is [`mailward_core::mta_sts::publish::records`]'s; here it is only compared with
//! what the newest look from outside brought.

use mailward_core::dns::DnsResult;
use mailward_core::mta_sts::publish::{self, Record, RecordType};
use mailward_store::domains::HeldDomain;
use mailward_store::observations::Observation;
use serde::Serialize;

use crate::Publishing;
use crate::state::State;

/// Whether the world sees a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Seen {
    /// Exactly this.
    Yes,
    /// Something else stands there.
    Different,
    /// Nothing stands there.
    No,
    /// Not looked at, or the look failed.
    Unknown,
}

impl Seen {
    pub(crate) fn state(self) -> State {
        match self {
            Self::Yes => State::Holds,
            Self::Different => State::Broken,
            Self::No => State::Look,
            Self::Unknown => State::Unknown,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Yes => "the world sees exactly this",
            Self::Different => "the world sees something else",
            Self::No => "not published yet",
            Self::Unknown => "not known: no look from outside yet, or it failed",
        }
    }
}

/// A record with what the world sees in its place.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PublishedRecord {
    #[serde(flatten)]
    pub(crate) record: Record,
    pub(crate) seen: Seen,
    /// What stands there instead, when it differs.
    pub(crate) found: Vec<String>,
}

impl PublishedRecord {
    /// What is known of it, in words.
    pub(crate) fn words(&self) -> &'static str {
        match self.seen {
            Seen::Yes if self.record.value.is_empty() => "the world sees an address",
            seen => seen.words(),
        }
    }
}

/// The records of a domain in the order in which they go live.
pub(crate) fn of(
    held: &HeldDomain,
    publishing: &Publishing,
    observation: Option<&Observation>,
) -> Vec<PublishedRecord> {
    let rua = if held.rua.is_empty() { &publishing.rua } else { &held.rua };
    let list =
        publish::records(&held.domain, &held.policy_id, &held.policy_body, rua, &publishing.policy_host);
    // A name too long for a record in front of it cannot have been taken up as a domain.
    list.unwrap_or_default().into_iter().map(|record| compare(record, observation)).collect()
}

fn compare(record: Record, observation: Option<&Observation>) -> PublishedRecord {
    let found: Option<Vec<String>> = observation.and_then(|seen| match record.record_type {
        RecordType::Txt if record.name.starts_with("_mta-sts.") => texts(&seen.facts.sts_record),
        RecordType::Txt => texts(&seen.facts.tlsrpt_record),
        RecordType::Policy => Some(seen.audit.policy_text.iter().cloned().collect()),
        RecordType::Cname => aliases(&seen.facts.policy_host.addresses),
        RecordType::A | RecordType::Aaaa => addresses(&seen.facts.policy_host.addresses, record.record_type),
    });
    let seen = match &found {
        None => Seen::Unknown,
        Some(values) if values.is_empty() => Seen::No,
        // What the operator fills in: any address is one.
        Some(_) if record.value.is_empty() => Seen::Yes,
        // Several addresses may stand at one name; one text and one policy may.
        Some(values) if is_address(record.record_type) && values.contains(&record.value) => Seen::Yes,
        Some(values) if *values == [record.value.clone()] => Seen::Yes,
        Some(_) => Seen::Different,
    };
    let found = if seen == Seen::Different { found.unwrap_or_default() } else { Vec::new() };
    PublishedRecord { record, seen, found }
}

fn is_address(record_type: RecordType) -> bool {
    matches!(record_type, RecordType::A | RecordType::Aaaa | RecordType::Cname)
}

fn texts(answer: &DnsResult<mailward_core::dns::TxtRecord>) -> Option<Vec<String>> {
    answer.as_ref().ok().map(|a| a.records.iter().map(mailward_core::dns::TxtRecord::text).collect())
}

fn aliases(answer: &DnsResult<std::net::IpAddr>) -> Option<Vec<String>> {
    answer.as_ref().ok().map(|a| a.aliases.iter().map(|alias| alias.target.to_string()).collect())
}

fn addresses(answer: &DnsResult<std::net::IpAddr>, record_type: RecordType) -> Option<Vec<String>> {
    let wanted = |ip: &&std::net::IpAddr| ip.is_ipv4() == (record_type == RecordType::A);
    answer.as_ref().ok().map(|a| a.records.iter().filter(wanted).map(ToString::to_string).collect())
}
