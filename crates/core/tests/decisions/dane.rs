//! The rules of RFC 7672 §2, one row each.

use mailward_core::delivery::{DaneBranch, OnDnsFailure, Require};

use crate::world::{Case, at, case};

const NO_STS: &str = "no-record";
const STS: &str = "enforce a.test b.test c.test";

#[test]
fn each_rule_of_the_rfc() {
    for (rule, case, expected) in [
        ("§2.1.2: the MX lookup fails, no implicit MX", case("error", "", NO_STS), "TEMP"),
        ("§2.1.1: not determined is an error", case("indeterminate", "none", NO_STS), "TEMP"),
        ("RFC 7505: null MX", case("null", "", NO_STS), "NOTFOUND"),
        ("null MX under a policy: nothing to protect", case("null", "", STS), "NOTFOUND"),
        ("§2.2.2: no MX, the domain is the host", case("absent", "dane", NO_STS), "dane-only"),
        ("no MX, no address: the MTA bounces by itself", case("absent", "no-address", NO_STS), "NOTFOUND"),
        (
            "§2.1.2: one host without a route, the other works",
            case("secure", "no-route dane", NO_STS),
            "dane",
        ),
        ("§2.2.2: an unsigned host is opportunistic", case("secure", "unsigned", NO_STS), "NOTFOUND"),
        ("§2.2: a secure denial is opportunistic", case("secure", "none", NO_STS), "NOTFOUND"),
        ("§2.2: an insecure TLSA answer is none", case("secure", "insecure-tlsa", NO_STS), "NOTFOUND"),
        ("§2.1.2: a TLSA lookup fails", case("secure", "failed", NO_STS), "TEMP"),
        ("§2.1.2: a bogus TLSA answer", case("secure", "bogus-tlsa", NO_STS), "TEMP"),
        ("§2.1.1: an address that could not be determined", case("secure", "not-known", NO_STS), "TEMP"),
        ("two hosts, both lookups fail", case("secure", "failed failed", NO_STS), "TEMP"),
        ("a host without an address saves nothing", case("secure", "failed no-address", NO_STS), "TEMP"),
        ("§2.2: usable records", case("secure", "dane", NO_STS), "dane-only"),
        ("§2.2: none usable: TLS, nobody authenticated", case("secure", "unusable", NO_STS), "dane"),
        ("§2.2.2: a secure alias into an unsigned zone", case("secure", "alias", NO_STS), "dane-only"),
        ("§2.2.1, A16: half-DANE", case("insecure", "dane", NO_STS), "dane"),
        ("half-DANE, none usable", case("insecure", "unusable", NO_STS), "dane"),
        ("nobody validates", case("insecure", "not-asked", NO_STS), "NOTFOUND"),
        ("DANE at every host that takes mail", case("secure", "dane no-address", NO_STS), "dane-only"),
        ("DANE at some", case("secure", "none dane", NO_STS), "dane"),
        ("usable and unusable", case("secure", "dane unusable", NO_STS), "dane"),
        (
            "no DANE, and one host unknown: only that one is left out",
            case("secure", "none failed", NO_STS),
            "dane",
        ),
    ] {
        assert_eq!(case.told(), expected, "{rule}");
    }
}

/// RFC 8461 §2: MTA-STS never rescues what DANE forbids.
#[test]
fn a_policy_never_rescues_failing_dane() {
    for (rule, case, expected) in [
        ("DANE decides", case("secure", "dane", STS), "dane-only"),
        (
            "also where the policy names none of the hosts",
            case("secure", "dane", "enforce x.test"),
            "dane-only",
        ),
        ("at some hosts", case("secure", "none dane", STS), "dane-only"),
        ("some failed", case("secure", "failed dane", STS), "dane-only"),
        ("some failed, some without", case("secure", "failed dane none", STS), "dane-only"),
        ("every TLSA lookup fails", case("secure", "failed", STS), "TEMP"),
        ("the MX lookup fails", case("error", "", STS), "TEMP"),
        ("the host whose lookup failed is left out", case("secure", "failed none", STS), "secure b.test"),
        (
            "also when it is the only one the policy allows",
            case("secure", "failed none", "enforce a.test"),
            "secure nothing",
        ),
        ("A15: records without use demand TLS only", case("secure", "unusable", STS), "secure a.test"),
        ("A16: half-DANE authenticates nobody", case("insecure", "dane", STS), "secure a.test"),
        ("an unsigned host: its TLSA was never asked for", case("secure", "unsigned", STS), "secure a.test"),
    ] {
        assert_eq!(case.told(), expected, "{rule}");
    }
    // Patterns would open the host that is left out to newer versions of Postfix.
    for (hosts, sts, alone) in [
        ("failed none", STS, true),
        ("no-route none", STS, true),
        ("failed none", "enforce b.test", false),
        ("none none", STS, false),
        ("none no-address", STS, false),
    ] {
        assert_eq!(case("secure", hosts, sts).decide().names_alone, alone, "{hosts} {sts}");
    }
}

/// RFC 7672 §2.2, §6: what the operator requires holds mail where the domain does not have it. Postfix does that
/// itself at this level; whoever judges host by host is told.
#[test]
fn required_dane() {
    for (mx, state, allowed) in [
        ("secure", "dane", true),
        ("secure", "unusable", false),
        ("secure", "none", false),
        ("secure", "unsigned", false),
        ("secure", "failed", false),
        ("insecure", "dane", false),
        ("insecure", "unsigned", false),
    ] {
        let decided = case(mx, state, STS).over(Require::Dane).decide();
        assert_eq!(
            (decided.level.as_str(), decided.hosts[0].allowed),
            ("dane-only", allowed),
            "{mx} {state}"
        );
    }
}

#[test]
fn the_last_known_answer_stands_in_for_a_day() {
    use DaneBranch::{Absent, Full, Half, Partial, Unusable};
    let failing = || case("secure", "failed", NO_STS);
    let enforced = || case("secure", "failed failed", "enforce b.test");
    let gone = || case("error", "", "enforce *.test");
    for (what, case, expected) in [
        ("DANE", failing().last(Full, 600), "dane-only"),
        ("some DANE", failing().last(Partial, 600), "dane"),
        ("half-DANE", failing().last(Half, 600), "dane"),
        ("unusable", failing().last(Unusable, 600), "dane"),
        ("no DANE", failing().last(Absent, 600), "NOTFOUND"),
        ("no DANE under a policy: the hosts of now", enforced().last(Absent, 600), "secure b.test"),
        ("no DANE under a policy: the hosts of then", gone().last(Absent, 600), "secure a.test:b.test"),
        ("DANE under a policy", gone().last(Full, 600), "dane-only"),
        ("nearly a day ago", failing().last(Full, 86_399), "dane-only"),
        ("a day ago", failing().last(Full, 86_400), "TEMP"),
        ("the clock went back", failing().last(Full, -7_200), "dane-only"),
        (
            "the operator lets mail wait",
            failing().last(Full, 600).on_dns_failure(OnDnsFailure::Defer),
            "TEMP",
        ),
        (
            "the operator lets mail go",
            failing().last(Full, 600).on_dns_failure(OnDnsFailure::Open),
            "NOTFOUND",
        ),
        ("by the policy, if there is one", enforced().on_dns_failure(OnDnsFailure::Open), "secure b.test"),
        (
            "by its names, if the hosts are unknown",
            gone().on_dns_failure(OnDnsFailure::Open),
            "secure nothing",
        ),
    ] {
        assert_eq!(case.told(), expected, "{what}");
    }
    let named =
        case("error", "", "enforce x.test *.test y.test x.test 192.0.2.1").on_dns_failure(OnDnsFailure::Open);
    assert_eq!(named.told(), "secure x.test:y.test");
}

#[test]
fn answers_last_as_long_as_the_dns_says_and_failures_a_minute() {
    let valid = |case: Case| case.decide().valid_until;
    assert_eq!(valid(case("secure", "dane", NO_STS)), at(600));
    assert_eq!(valid(case("secure", "failed", NO_STS)), at(60));
    assert_eq!(valid(case("error", "", NO_STS).last(DaneBranch::Full, 600)), at(60));
    let waits = case("secure", "none", "dns-unavailable").on_dns_failure(OnDnsFailure::Defer);
    assert_eq!(valid(waits), at(60));
}

/// What is to be kept is the last certain answer, not what stood in for it.
#[test]
fn only_what_is_certain_is_kept() {
    let kept = |case: Case| case.decide().branch.map(|branch| branch.dane);
    assert_eq!(kept(case("secure", "dane", NO_STS)), Some(DaneBranch::Full));
    assert_eq!(kept(case("secure", "none failed", NO_STS)), Some(DaneBranch::Absent));
    assert_eq!(kept(case("null", "", NO_STS)), Some(DaneBranch::Absent));
    assert_eq!(kept(case("secure", "failed", NO_STS).last(DaneBranch::Full, 600)), None);
    assert_eq!(kept(case("error", "", NO_STS).last(DaneBranch::Full, 600)), None);
}
