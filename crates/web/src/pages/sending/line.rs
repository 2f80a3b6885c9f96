//! One known domain as a line of the list.

use jiff::Timestamp;
use mailward_core::mta_sts::Mode;
use mailward_store::policies::{PolicyLine, PolicyRow, RefreshFailure};

use crate::chart;
use crate::state::{State, plain};
use crate::words::{self, Markup};

pub(super) struct Line {
    pub(super) address: String,
    pub(super) name: String,
    pub(super) badge: Markup,
    /// Why it cannot be refreshed, in the peer's words.
    pub(super) trouble: String,
    pub(super) trouble_since: Option<Markup>,
    pub(super) mode: &'static str,
    pub(super) id: String,
    pub(super) until: Option<Markup>,
    pub(super) ran_out: bool,
    pub(super) horizon: Markup,
    pub(super) fetched: Option<Markup>,
    pub(super) dane: &'static str,
    pub(super) used: Markup,
}

impl Line {
    pub(super) fn new(row: PolicyRow, now: Timestamp) -> Self {
        let policy = row.policy.as_ref();
        Self {
            address: format!("/sending/{}", row.domain),
            name: row.domain.to_unicode(),
            badge: badge(policy, row.failure.as_ref(), row.branch.as_deref(), now),
            trouble: row.failure.as_ref().map(|f| words::cut(&f.detail, 160)).unwrap_or_default(),
            trouble_since: row.failure.as_ref().map(|f| words::moment(f.since, now).short()),
            mode: policy.map_or("", |policy| policy.mode.as_str()),
            id: policy.map(|policy| words::cut(&policy.id, 32)).unwrap_or_default(),
            until: policy.map(|policy| words::moment(policy.expires_at, now).short()),
            ran_out: policy.is_some_and(|policy| policy.expires_at <= now),
            horizon: policy.map_or_else(
                || askama::filters::Safe(String::new()),
                |policy| chart::horizon(policy.fetched_at, policy.expires_at, now),
            ),
            fetched: policy.map(|policy| words::moment(policy.fetched_at, now).short()),
            dane: dane(row.branch.as_deref()),
            used: words::moment(row.used_at, now).short(),
        }
    }
}

/// What becomes of mail there, in a shape and a word.
pub(super) fn badge(
    policy: Option<&PolicyLine>,
    failure: Option<&RefreshFailure>,
    branch: Option<&str>,
    now: Timestamp,
) -> Markup {
    let live = policy.filter(|policy| now < policy.expires_at);
    match (live.map(|policy| policy.mode), failure, policy) {
        (Some(Mode::Enforce), None, _) => State::Holds.with_word("enforced"),
        (Some(Mode::Enforce), Some(_), _) => State::Look.with_word("enforced, refresh fails"),
        (Some(_), Some(_), _) => State::Look.with_word("refresh fails"),
        (Some(Mode::Testing), None, _) => plain("testing"),
        (Some(Mode::None), None, _) => plain("mode none"),
        (None, Some(_), Some(_)) => State::Broken.with_word("ran out, refresh fails"),
        (None, Some(_), None) => State::Look.with_word("no policy to be had"),
        (None, None, Some(_)) => plain("ran out"),
        (None, None, None) if branch == Some("full") => State::Holds.with_word("DANE"),
        (None, None, None) => plain("no policy"),
    }
}

/// What the DNS last said of DANE, in words.
pub(super) fn dane(branch: Option<&str>) -> &'static str {
    match branch {
        Some("full") => "at every server",
        Some("partial") => "at some servers",
        Some("half") => "half: MX not signed",
        Some("unusable") => "records not usable",
        Some("absent") => "none",
        Some(_) => "another",
        None => "not known",
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_line_says_what_becomes_of_mail() {
        let now = Timestamp::from_second(1_795_532_400).unwrap();
        let policy = |mode, hours| {
            let expires_at = now + SignedDuration::from_hours(hours);
            let id = String::new();
            PolicyLine { mode, id, max_age: 86_400, fetched_at: now, expires_at, record_seen_at: now }
        };
        let (reason, detail) = (String::new(), String::new());
        let failure = RefreshFailure { id: None, since: now, last_at: now, reason, detail };
        for (policy, fails, branch, said) in [
            (Some(policy(Mode::Enforce, 1)), false, None, "● enforced"),
            (Some(policy(Mode::Enforce, 1)), true, None, "▲ enforced, refresh fails"),
            (Some(policy(Mode::Testing, 1)), true, None, "▲ refresh fails"),
            (Some(policy(Mode::Testing, 1)), false, Some("full"), "· testing"),
            (Some(policy(Mode::None, 1)), false, None, "· mode none"),
            (Some(policy(Mode::Enforce, 0)), true, None, "■ ran out, refresh fails"),
            (Some(policy(Mode::Enforce, -1)), false, None, "· ran out"),
            (None, true, None, "▲ no policy to be had"),
            (None, false, Some("full"), "● DANE"),
            (None, false, Some("absent"), "· no policy"),
        ] {
            let badge = badge(policy.as_ref(), fails.then_some(&failure), branch, now).0;
            let text: String =
                badge.split('<').filter_map(|part| part.split_once('>')).map(|(_, t)| t).collect();
            assert_eq!(text, said, "{policy:?}");
        }
    }
}
