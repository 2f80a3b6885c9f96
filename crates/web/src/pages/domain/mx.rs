//! The MX table of the newest look.

use jiff::Timestamp;
use mailward_core::audit::{AddressVerdict, Audit};

use crate::state::State;
use crate::words::{self, Markup};

/// One address of an MX host.
pub(crate) struct Address {
    pub(crate) ip: String,
    pub(crate) starttls: Markup,
    pub(crate) tls_version: String,
    pub(crate) certificate: String,
    pub(crate) mta_sts: Markup,
    pub(crate) dane: Markup,
    pub(crate) error: String,
    pub(crate) spki: String,
}

/// One MX host.
pub(crate) struct Mx {
    pub(crate) host: String,
    pub(crate) preference: u16,
    pub(crate) in_policy: Markup,
    pub(crate) addresses: Vec<Address>,
}

pub(super) fn rows(audit: &Audit, now: Timestamp) -> Vec<Mx> {
    audit
        .mx
        .iter()
        .map(|mx| Mx {
            host: mx.host.to_string(),
            preference: mx.preference,
            in_policy: match mx.in_policy {
                Some(true) => State::Holds.with_word("in the policy"),
                Some(false) => State::Broken.with_word("not in the policy"),
                None => State::Unknown.with_word("no policy to compare"),
            },
            addresses: mx.addresses.iter().map(|address| row(address, now)).collect(),
        })
        .collect()
}

fn row(address: &AddressVerdict, now: Timestamp) -> Address {
    let leaf = address.chain.first();
    Address {
        ip: address.ip.to_string(),
        starttls: match address.starttls {
            Some(true) => State::Holds.with_word("offered"),
            Some(false) => State::Broken.with_word("not offered"),
            None => State::Unknown.with_word("not tested"),
        },
        tls_version: address.tls_version.clone().unwrap_or_default(),
        certificate: leaf
            .map(|leaf| {
                let end = words::moment(leaf.not_after, now);
                let ends = if leaf.not_after > now { "ends" } else { "ended" };
                format!("{}; {ends} {} ({})", leaf.subject, end.utc, end.relative)
            })
            .unwrap_or_default(),
        mta_sts: sts(address),
        dane: dane(address),
        error: address.error.clone().unwrap_or_default(),
        spki: leaf.map(|leaf| leaf.spki_sha256.clone()).unwrap_or_default(),
    }
}

/// What MTA-STS makes of an address.
pub(super) fn sts(address: &AddressVerdict) -> Markup {
    match address.mta_sts.as_deref() {
        Some("ok") => State::Holds.with_word("ok"),
        Some(fault) => State::Broken.with_word(&crate::visible::markup(fault)),
        None => State::Unknown.with_word("not tested"),
    }
}

/// What DANE makes of an address.
pub(super) fn dane(address: &AddressVerdict) -> Markup {
    match address.dane.as_deref() {
        Some("match") => State::Holds.with_word("match"),
        // No record asks for nothing, so nothing is wrong.
        Some("none") => State::Unknown.with_word("no TLSA record"),
        Some("unusable") => State::Look.with_word("unusable"),
        Some(fault) => State::Broken.with_word(&crate::visible::markup(fault)),
        None => State::Unknown.with_word("not tested"),
    }
}
