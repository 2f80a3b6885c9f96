//! What each host must bring, for whoever judges host by host.

use mailward_core::delivery::{DaneBranch, OnDnsFailure};

use crate::world::{Case, case};

/// `a dane, b not-allowed`, in the words of the requirement.
fn show(case: &Case) -> String {
    let hosts = case.decide().hosts;
    let word = |host: &mailward_core::delivery::HostDecision| {
        let requirement = serde_json::to_string(&host.requirement).unwrap();
        let usable = !matches!(requirement.trim_matches('"'), "not-allowed" | "unreachable");
        assert_eq!(host.allowed, usable, "{host:?}");
        assert!(!host.why.is_empty());
        format!("{} {}", host.host.as_str().trim_end_matches(".test"), requirement.trim_matches('"'))
    };
    hosts.iter().map(word).collect::<Vec<_>>().join(", ")
}

#[test]
fn each_host_by_its_own_facts() {
    for (what, case, expected) in [
        ("DANE", case("secure", "dane dane", "no-record"), "a dane, b dane"),
        ("some DANE", case("secure", "dane none unusable", "no-record"), "a dane, b opportunistic, c tls"),
        // Reading A14: a host without usable records falls under MTA-STS in full.
        (
            "some DANE under a policy",
            case("secure", "dane none unusable", "enforce a.test c.test"),
            "a dane, b not-allowed, c mta-sts",
        ),
        ("DANE outranks the policy", case("secure", "dane", "enforce x.test"), "a dane"),
        ("a failed lookup", case("secure", "dane failed", "no-record"), "a dane, b unreachable"),
        (
            "a failed lookup under a policy",
            case("secure", "none failed", "enforce *.test"),
            "a mta-sts, b unreachable",
        ),
        ("no address", case("secure", "none no-address", "no-record"), "a opportunistic, b unreachable"),
        ("unusable under a policy (A15)", case("secure", "unusable", "enforce a.test"), "a mta-sts"),
        ("half-DANE (A16)", case("insecure", "dane unsigned", "no-record"), "a dane, b opportunistic"),
        ("testing asks for nothing", case("insecure", "unsigned", "testing x.test"), "a opportunistic"),
        ("mail waits", case("secure", "failed no-route", "no-record"), "a unreachable, b unreachable"),
        (
            "no DANE was known: the policy",
            case("secure", "failed failed", "enforce b.test").last(DaneBranch::Absent, 60),
            "a not-allowed, b mta-sts",
        ),
        (
            "no DANE was known, no policy",
            case("secure", "failed", "no-record").last(DaneBranch::Absent, 60),
            "a opportunistic",
        ),
        // The records are missing, so nothing can be matched now.
        ("DANE was known", case("secure", "failed", "no-record").last(DaneBranch::Full, 60), "a unreachable"),
        (
            "the operator lets mail go",
            case("secure", "failed", "no-record").on_dns_failure(OnDnsFailure::Open),
            "a opportunistic",
        ),
    ] {
        assert_eq!(show(&case), expected, "{what}");
    }
}
