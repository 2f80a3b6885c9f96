//! What remains when a row meets the one that is stored: of each part the later.

use super::{HeldPolicy, KnownPolicy, RefreshFailure};

/// The row to store. `new` wins where both are of the same moment.
pub(super) fn merge(stored: Option<&KnownPolicy>, new: &KnownPolicy) -> KnownPolicy {
    let Some(stored) = stored else {
        let failure = new.failure.clone().filter(|failure| !is_over(failure, new.policy.as_ref()));
        return KnownPolicy { failure, ..new.clone() };
    };
    let fetched_at = |known: &KnownPolicy| known.policy.as_ref().map(|policy| policy.fetched_at);
    // None is before everything.
    let outdated = fetched_at(new) < fetched_at(stored);
    let policy = if outdated { stored.policy.clone() } else { later_look(stored, new.policy.clone()) };

    let failure = match (&new.failure, &stored.failure) {
        (Some(new), Some(stored)) if stored.last_at > new.last_at => Some(stored),
        (Some(new), _) => Some(new),
        // Who does not know of the last fetch does not know how it went after it either.
        (None, Some(stored)) if outdated => Some(stored),
        (None, _) => None,
    };
    let failure = failure.filter(|failure| !is_over(failure, policy.as_ref())).cloned();

    let branch = match (&new.branch, &stored.branch) {
        (Some(new), Some(stored)) if stored.decided_at > new.decided_at => Some(stored),
        (new, stored) => new.as_ref().or(stored.as_ref()),
    };
    KnownPolicy {
        domain: new.domain.clone(),
        failure,
        branch: branch.cloned(),
        used_at: new.used_at.max(stored.used_at),
        policy,
    }
}

fn is_over(failure: &RefreshFailure, policy: Option<&HeldPolicy>) -> bool {
    policy.is_some_and(|policy| policy.fetched_at > failure.last_at)
}

/// Two nodes that hold the same policy may have looked at the record at different times.
fn later_look(stored: &KnownPolicy, new: Option<HeldPolicy>) -> Option<HeldPolicy> {
    let mut policy = new?;
    if let Some(stored) = stored.policy.as_ref().filter(|s| s.fetched_at == policy.fetched_at) {
        policy.record_seen_at = policy.record_seen_at.max(stored.record_seen_at);
    }
    Some(policy)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mailward_core::PolicyDomain;
    use mailward_core::mta_sts::Mode;

    use super::super::Branch;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// `p10` a policy fetched at 10, `r15` its record seen at 15, `f20` a failure at 20, `b30` a decision at
    /// 30, `u40` used at 40; who wrote it is the id of the policy, the reason, the word.
    fn row(text: &str, writer: &str) -> KnownPolicy {
        let moment =
            |letter: char| text.split(' ').find_map(|word| word.strip_prefix(letter)?.parse().ok().map(at));
        let policy = moment('p').map(|fetched_at| HeldPolicy {
            id: writer.to_owned(),
            body: writer.as_bytes().to_owned(),
            mode: Mode::Enforce,
            max_age: 9,
            fetched_at,
            record_seen_at: moment('r').unwrap_or(fetched_at),
        });
        let failure = moment('f').map(|last_at| RefreshFailure {
            id: None,
            since: at(1),
            last_at,
            reason: writer.to_owned(),
            detail: String::new(),
        });
        let branch = moment('b').map(|decided_at| Branch {
            kind: writer.to_owned(),
            mx: Vec::new(),
            decided_at,
            ttl: 1,
        });
        let domain = PolicyDomain::parse("d.example").unwrap();
        KnownPolicy { domain, policy, failure, branch, used_at: moment('u').unwrap_or(at(0)) }
    }

    /// The row as `row` reads it, with the writer's name after each part.
    fn text(known: &KnownPolicy) -> String {
        let mut text = Vec::new();
        if let Some(p) = &known.policy {
            assert_eq!(p.body, p.id.as_bytes(), "id and body stay together");
            let seen = p.record_seen_at.as_second();
            text.push(format!("p{}{} r{seen}", p.fetched_at.as_second(), p.id));
        }
        text.extend(known.failure.as_ref().map(|f| format!("f{}{}", f.last_at.as_second(), f.reason)));
        text.extend(known.branch.as_ref().map(|b| format!("b{}{}", b.decided_at.as_second(), b.kind)));
        text.push(format!("u{}", known.used_at.as_second()));
        text.join(" ")
    }

    #[test]
    fn the_later_of_each_part_remains() {
        for (stored, new, remains, why) in [
            ("p10 u5", "p20 u9", "p20new r20 u9", "fetched later"),
            ("p20 u5", "p10 u9", "p20old r20 u9", "fetched before what is stored, used after"),
            ("p20 u9", "p20 u5", "p20new r20 u9", "of the same moment the last written"),
            ("p20 u0", "u9", "p20old r20 u9", "a row without policy takes none away"),
            ("p20 r50", "p20 r30", "p20new r50 u0", "the same policy, looked at later by the other"),
            ("p20 r50", "p30 r30", "p30new r30 u0", "another policy, another record"),
            ("p10 f20", "p30", "p30new r30 u0", "success"),
            ("p10 f20", "p10", "p10new r10 u0", "success without a fetch: the old id is back"),
            ("f20", "u9", "u9", "the record is gone"),
            ("p10 f20", "p5", "p10old r10 f20old u0", "who knows not of the fetch knows not of the failure"),
            ("p10", "p5 f8", "p10old r10 u0", "failed before the other succeeded"),
            ("p10", "p5 f20", "p10old r10 f20new u0", "failed after the other succeeded"),
            ("p10", "p10 f10", "p10new r10 f10new u0", "fetched and failed at one moment: it still fails"),
            ("f20", "f30", "f30new u0", "fails again"),
            ("f30", "f20", "f30old u0", "failed again before"),
            ("f30", "f30", "f30new u0", "of the same moment the last written"),
            ("b20", "b30", "b30new u0", "decided later"),
            ("b30", "b20", "b30old u0", "decided before"),
            ("b30", "u9", "b30old u9", "a row without decision takes none away"),
            ("p10", "b30", "p10old r10 b30new u0", "parts come from different rows"),
        ] {
            let (stored, new) = (row(stored, "old"), row(new, "new"));
            let merged = merge(Some(&stored), &new);
            assert_eq!(text(&merged), remains, "{why}");
            assert_eq!(merge(Some(&merged), &new), merged, "again, {why}");
        }
    }

    #[test]
    fn a_first_row_stays_as_it_is() {
        for (new, remains) in
            [("u9", "u9"), ("p10 f5", "p10new r10 u0"), ("p5 f10 b3 u1", "p5new r5 f10new b3new u1")]
        {
            assert_eq!(text(&merge(None, &row(new, "new"))), remains);
        }
    }
}
