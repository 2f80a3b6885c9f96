//! Puts the items together: verdict, waivers, the earliest moment.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::answer::Answer;
use super::reports::Reports;
use super::window::window;
use super::{Evidence, Gate, GateItem, ItemState, Judgement, Verdict, outside, probes, time};

/// Judges whether the next step up (to enforce, or to a longer max_age) loses no mail.
pub fn judge(evidence: &Evidence, gate: &Gate, now: Timestamp) -> Judgement {
    let window = window(now, gate);
    let reports = Reports::read(evidence, gate, window);
    let answers: [(&str, Answer); 11] = [
        (
            "Has the policy been in testing long enough with this set of mail servers?",
            time::testing(evidence, gate, now),
        ),
        ("Did every mail server pass every probe of ours?", probes::green(evidence, gate, now)),
        ("Have enough senders reported?", reports.reporters(evidence, gate)),
        ("Have enough sessions been reported?", reports.sessions(evidence, gate)),
        ("Is the window free of failures that are ours?", reports.ours(evidence, gate)),
        ("Is the window free of failures that nobody can explain?", reports.unexplained(evidence, gate)),
        ("Does the policy name every mail server?", outside::covered(evidence, gate, now)),
        (
            "Is the policy served on every address, and does the record announce it?",
            outside::served(evidence, gate, now),
        ),
        (
            "Does the certificate of the policy host last?",
            outside::policy_host_certificate(evidence, gate, now),
        ),
        ("Do the certificates of all mail servers last?", outside::mx_certificates(evidence, gate, now)),
        ("Is everything at rest?", time::at_rest(evidence)),
    ];
    let mut earliest = None;
    let mut items = Vec::with_capacity(answers.len());
    for (number, (question, answer)) in (1..).zip(answers) {
        let item = waive(number, question, answer.state, answer.evidence, answer.next, &evidence.waived);
        if matches!(item.state, ItemState::Obstacle | ItemState::Unknown) {
            earliest = earliest.max(answer.earliest);
        }
        items.push(item);
    }
    let verdict = verdict(&items);
    Judgement {
        earliest: if verdict == Verdict::Safe { Some(now) } else { earliest.filter(|at| *at > now) },
        verdict,
        items,
        window,
        would_defer: reports.would_defer,
        hints: reports.hints,
    }
}

/// An operator may pass a gap or an obstacle by name; it stays visible with its reason.
fn waive(
    number: u8,
    question: &str,
    mut state: ItemState,
    mut evidence: String,
    mut next: Vec<String>,
    waived: &BTreeMap<u8, String>,
) -> GateItem {
    if state != ItemState::Holds
        && let Some(reason) = waived.get(&number)
    {
        state = ItemState::Waived;
        evidence
            .push_str(&format!(" An operator passed this item: {}", crate::finding::phrase::foreign(reason)));
        next.clear();
    }
    GateItem { number, question: question.to_owned(), state, evidence, next }
}

/// An obstacle outweighs a gap; a gap never counts as passed.
fn verdict(items: &[GateItem]) -> Verdict {
    let numbers = |state| items.iter().filter(|item| item.state == state).map(|item| item.number).collect();
    let (obstacles, missing): (Vec<u8>, Vec<u8>) =
        (numbers(ItemState::Obstacle), numbers(ItemState::Unknown));
    match (obstacles.is_empty(), missing.is_empty()) {
        (false, _) => Verdict::NotYet { obstacles },
        (true, false) => Verdict::Unknown { missing },
        (true, true) => Verdict::Safe,
    }
}
