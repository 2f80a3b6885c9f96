//! A recent decision as a line, with its argument behind it.

use jiff::Timestamp;

use crate::sending::RecentDecision;
use crate::state::{State, plain};
use crate::words::{self, Markup};

/// Steps of an argument that are shown in a list.
const STEPS: usize = 40;

pub(super) struct RecentLine {
    pub(super) at: Markup,
    pub(super) address: String,
    pub(super) name: String,
    pub(super) badge: Markup,
    pub(super) level: String,
    pub(super) took: String,
    pub(super) trace: Vec<String>,
}

impl RecentLine {
    pub(super) fn new(one: RecentDecision, now: Timestamp) -> Self {
        let mut name = one.domain.to_unicode();
        if one.port != 25 {
            name.push_str(&format!(":{}", one.port));
        }
        Self {
            at: words::moment(one.at, now).short(),
            address: format!("/sending/{}?look=1", one.domain),
            name,
            badge: badge(&one.decision),
            level: one.level,
            took: format!("{} ms", words::count(one.took_ms)),
            trace: one.trace.iter().take(STEPS).map(|step| words::cut(step, 400)).collect(),
        }
    }
}

/// The decision as shape and word: what mail meets, not how well somebody did.
pub(super) fn badge(decision: &str) -> Markup {
    match decision {
        "dane" => State::Holds.with_word("DANE"),
        "mta-sts-enforce" => State::Holds.with_word("MTA-STS enforced"),
        "mta-sts-testing" => plain("MTA-STS testing"),
        "opportunistic" => plain("opportunistic"),
        "defer" => State::Broken.with_word("waits"),
        _ => State::Unknown.with_word("another decision"),
    }
}
