//! The operator's word for one domain.

use mailward_core::delivery::{Override, Require, by_word_alone};

use crate::world::{at, case};

#[test]
fn three_words_need_no_lookup() {
    for (require, level) in
        [(Require::Dane, "dane-only"), (Require::Encrypt, "encrypt"), (Require::None, "may")]
    {
        let over = Override { require, until: Some(at(90)), reason: "by hand".into() };
        let decided = by_word_alone(&over, at(0)).unwrap();
        assert_eq!((decided.level.as_str(), decided.valid_until), (level, at(90)));
        // Whatever the domain publishes, and whether or not the DNS answers.
        for (mx, hosts) in [("secure", "dane"), ("secure", "failed"), ("error", "")] {
            assert_eq!(case(mx, hosts, "enforce a.test").over(require).told(), level, "{mx} {hosts}");
        }
    }
}

#[test]
fn mta_sts_by_order() {
    let ordered = |mx, hosts, sts| case(mx, hosts, sts).over(Require::Sts);
    for (what, case, expected) in [
        ("enforced anyway", ordered("secure", "none", "enforce a.test"), "secure a.test"),
        ("testing counts as enforced", ordered("secure", "none", "testing a.test"), "secure a.test"),
        ("testing, none allowed", ordered("secure", "none", "testing x.test"), "secure nothing"),
        ("no policy: mail waits", ordered("secure", "none", "no-record"), "TEMP"),
        ("mode none: mail waits", ordered("secure", "none", "none"), "TEMP"),
        ("not even DANE is enough without one", ordered("secure", "dane", "no-record"), "TEMP"),
        // RFC 8461 §2 also holds for a policy by order.
        ("DANE still decides", ordered("secure", "dane", "testing a.test"), "dane-only"),
        ("DANE that fails is not rescued", ordered("secure", "failed", "testing a.test"), "TEMP"),
    ] {
        assert_eq!(case.told(), expected, "{what}");
    }
    let cause = ordered("secure", "none", "no-record").decide().cause();
    assert_eq!(cause, "the operator requires sts, and the domain does not have it");
}

#[test]
fn a_word_that_ran_out_is_none() {
    let over = Override { require: Require::None, until: Some(at(10)), reason: String::new() };
    assert!(over.holds(at(9)) && !over.holds(at(10)));
}
