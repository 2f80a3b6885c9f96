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
    pub(crate) horizon: Option<(&'static str, Markup)>,
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
                horizon: horizon.map(|at| {
                    let until =
                        if at > now { "some sender may hold it until" } else { "no sender holds it since" };
                    (until, words::moment(at, now).tag())
                }),
                lines: difference(before, &policy.body),
                state,
            }
        })
        .collect()
}

/// Line by line, by the longest common subsequence: a policy is a handful of lines. Of a long body only
/// the first ones are shown.
fn difference(before: &str, after: &str) -> Vec<(&'static str, String)> {
    const MOST: usize = 60;
    let old: Vec<&str> = before.lines().take(MOST).collect();
    let new: Vec<&str> = after.lines().take(MOST).collect();
    if old.is_empty() {
        return new.into_iter().map(|line| (" ", line.to_owned())).collect();
    }
    // common[i][j]: lines that old[i..] and new[j..] have in common.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((" ", new[j].to_owned()));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            lines.push(("-", old[i].to_owned()));
            i += 1;
        } else {
            lines.push(("+", new[j].to_owned()));
            j += 1;
        }
    }
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
        assert_eq!(shown, ["-mode: testing", "+mode: enforce", " mx: a", "+mx: b", " max_age: 1"]);
        assert!(
            difference("", "mode: testing").iter().all(|(sign, _)| *sign == " "),
            "the first is no change"
        );
    }
}
