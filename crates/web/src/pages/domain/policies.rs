//! The history of policies with what changed from one to the next.

use jiff::Timestamp;
use mailward_store::domains::ServedPolicy;

use crate::state::State;
use crate::words::{self, Markup};

/// A policy that was or is served.
pub(crate) struct Policy {
    pub(crate) id: String,
    pub(crate) mode: &'static str,
    pub(crate) max_age: String,
    pub(crate) from: Markup,
    pub(crate) to: Option<Markup>,
    /// Until when some sender may still enforce it.
    pub(crate) horizon: Option<Markup>,
    /// `+` or `-` or blank, and the line.
    pub(crate) lines: Vec<(&'static str, String)>,
    pub(crate) state: Markup,
}

/// Newest first, as the store gives them.
pub(super) fn rows(policies: &[ServedPolicy], now: Timestamp) -> Vec<Policy> {
    policies
        .iter()
        .enumerate()
        .map(|(index, policy)| {
            let before = policies.get(index + 1).map_or("", |older| older.body.as_str());
            let age = jiff::SignedDuration::from_secs(policy.max_age.into());
            let horizon = policy.last_served.and_then(|last| last.checked_add(age).ok());
            let state = match (policy.last_served, horizon) {
                (None, _) => State::Holds.with_word("served now"),
                (Some(_), Some(until)) if until > now => State::Look.with_word("cached by some senders"),
                _ => State::Unknown.with_word("expired everywhere"),
            };
            Policy {
                id: policy.policy_id.clone(),
                mode: policy.mode.as_str(),
                max_age: format!("{} ({})", policy.max_age, words::span(policy.max_age.into())),
                from: words::moment(policy.first_served, now).tag(),
                to: policy.last_served.map(|at| words::moment(at, now).tag()),
                horizon: horizon.map(|at| words::moment(at, now).tag()),
                lines: difference(before, &policy.body),
                state,
            }
        })
        .collect()
}

/// Line by line: a policy is a handful of lines, so what stands in both is kept by value. Of a long
/// body only the first lines are shown.
fn difference(before: &str, after: &str) -> Vec<(&'static str, String)> {
    const MOST: usize = 60;
    let old: Vec<&str> = before.lines().take(MOST).collect();
    let new: Vec<&str> = after.lines().take(MOST).collect();
    let mark = |line: &&str| {
        let sign = if before.is_empty() || old.contains(line) { " " } else { "+" };
        (sign, (*line).to_owned())
    };
    let mut lines: Vec<(&'static str, String)> = new.iter().map(mark).collect();
    lines.extend(old.iter().filter(|line| !new.contains(line)).map(|line| ("-", (*line).to_owned())));
    lines
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn differences_name_lines_that_came_and_went() {
        let shown: Vec<String> =
            difference("mode: testing\nmx: a\nmax_age: 1", "mode: enforce\nmx: a\nmx: b\nmax_age: 1")
                .into_iter()
                .map(|(sign, line)| format!("{sign}{line}"))
                .collect();
        assert_eq!(shown, ["+mode: enforce", " mx: a", "+mx: b", " max_age: 1", "-mode: testing"]);
        assert!(
            difference("", "mode: testing").iter().all(|(sign, _)| *sign == " "),
            "the first is no change"
        );
    }
}
