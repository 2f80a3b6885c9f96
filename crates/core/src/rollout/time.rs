//! G1 and G11: long enough in testing, and nothing under way.

use jiff::{SignedDuration, Timestamp};

use super::answer::Answer;
use super::{Evidence, Gate};
use crate::finding::phrase::{foreign, moment, relative, span};
use crate::mta_sts::Mode;

/// G1: days in testing with this MX set.
pub(super) fn testing(evidence: &Evidence, gate: &Gate, now: Timestamp) -> Answer {
    let domain = &evidence.domain;
    let needed = SignedDuration::from_hours(i64::from(gate.testing_days) * 24);
    match (evidence.mode, evidence.testing_since) {
        // Facts rollout §3.5: a later step needs the gate without the days in testing.
        (Some(Mode::Enforce), _) => Answer::holds(
            "The policy enforces already; days in testing are asked for before the first step only.",
        ),
        (Some(Mode::None), _) => Answer::obstacle(
            "The policy says mode none: senders do not test anything, so there is nothing to learn from.",
            [
                format!("Begin testing: mailward rollout {domain} advance"),
                format!("Then wait {} days.", gate.testing_days),
            ],
        ),
        (None, _) => Answer::unknown(
            "No policy of this domain has been published by us or seen by us.",
            [
                format!("Publish a policy in mode testing: mailward domain add {domain}"),
                format!("See what to publish: mailward dns {domain}"),
            ],
        ),
        (Some(Mode::Testing), None) => Answer::unknown(
            "The policy is in testing; since when with this set of mail servers is not known.",
            [format!(
                "Let mailward watch the domain for {} days: mailward domain add {domain}",
                gate.testing_days
            )],
        ),
        (Some(Mode::Testing), Some(since)) => {
            let open = since.saturating_add(needed).unwrap_or(Timestamp::MAX);
            let spent = if since > now { SignedDuration::ZERO } else { now.duration_since(since) };
            let so_far =
                format!("In testing with this set of mail servers since {} ({})", moment(since), span(spent));
            if now >= open {
                return Answer::holds(format!("{so_far}; {} days are asked for.", gate.testing_days));
            }
            Answer::obstacle(
                format!(
                    "{so_far}; {} days are asked for, which is reached on {}.",
                    gate.testing_days,
                    moment(open)
                ),
                [format!(
                    "Wait until {} ({}), then look again: mailward rollout {domain}",
                    moment(open),
                    relative(open, now)
                )],
            )
            .not_before(Some(open))
        }
    }
}

/// G11: no change pending, not frozen.
pub(super) fn at_rest(evidence: &Evidence) -> Answer {
    match &evidence.pending {
        None => Answer::holds("No change is under way and no guard has tripped."),
        Some(what) => Answer::obstacle(
            format!("One change at a time: {}", foreign(what)),
            [format!("Let it finish or undo it; see where it stands: mailward rollout {}", evidence.domain)],
        ),
    }
}
