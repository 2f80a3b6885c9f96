//! MTA-STS where no DANE decides.

use mailward_core::delivery::{DaneBranch, OnDnsFailure};

use crate::world::{case, told};

#[test]
fn each_mode_and_each_reason_for_none() {
    for (what, case, expected) in [
        ("enforce", case("insecure", "unsigned", "enforce a.test"), "secure a.test"),
        (
            "enforce, a wildcard: the names of the hosts",
            case("insecure", "unsigned unsigned", "enforce *.test"),
            "secure a.test:b.test",
        ),
        (
            "enforce, some allowed: in the order of the MX",
            case("insecure", "unsigned unsigned unsigned", "enforce c.test b.test"),
            "secure b.test:c.test",
        ),
        ("enforce, none allowed", case("insecure", "unsigned", "enforce x.test"), "secure nothing"),
        (
            "enforce, digits match nothing (B3)",
            case("insecure", "unsigned", "enforce 192.0.2.1"),
            "secure nothing",
        ),
        (
            "enforce, no MX: the domain is the host (A31)",
            case("absent", "none", "enforce a.test"),
            "secure a.test",
        ),
        ("enforce, no MX, another name", case("absent", "none", "enforce b.test"), "secure nothing"),
        // A forged MX with an address in it must not switch a policy off.
        ("enforce, an address as MX", case("address", "", "enforce a.test"), "secure nothing"),
        ("an address as MX without a policy", case("address", "", "no-record"), "NOTFOUND"),
        ("testing", case("insecure", "unsigned", "testing a.test"), "NOTFOUND"),
        ("testing, none allowed", case("insecure", "unsigned", "testing x.test"), "NOTFOUND"),
        ("testing beside DANE", case("secure", "dane", "testing a.test"), "dane-only"),
        ("mode none", case("insecure", "unsigned", "none"), "NOTFOUND"),
        ("no record", case("insecure", "unsigned", "no-record"), "NOTFOUND"),
        ("the policy could not be fetched", case("insecure", "unsigned", "back-off"), "NOTFOUND"),
        (
            "the record could not be looked up (A10)",
            case("insecure", "unsigned", "dns-unavailable"),
            "NOTFOUND",
        ),
    ] {
        assert_eq!(case.told(), expected, "{what}");
    }
}

/// Reading A10: the operator may let mail wait while nobody knows whether there is a policy. DANE needs none.
#[test]
fn mail_may_wait_for_the_record() {
    for (hosts, mx, expected) in [
        ("unsigned", "insecure", "TEMP"),
        ("none", "secure", "TEMP"),
        ("unusable", "secure", "TEMP"),
        ("dane", "insecure", "TEMP"),
        ("dane", "secure", "dane-only"),
        ("dane none", "secure", "dane-only"),
        ("dane failed", "secure", "dane-only"),
    ] {
        let case = case(mx, hosts, "dns-unavailable").on_dns_failure(OnDnsFailure::Defer);
        let decided = case.decide();
        assert_eq!(told(&decided), expected, "{mx} {hosts}");
        if expected == "TEMP" {
            assert!(
                decided.cause().starts_with("the MTA-STS record could not be looked up"),
                "{}",
                decided.cause()
            );
        }
    }
    for choice in [OnDnsFailure::LastKnown, OnDnsFailure::Open] {
        assert_eq!(case("insecure", "unsigned", "dns-unavailable").on_dns_failure(choice).told(), "NOTFOUND");
    }
}

#[test]
fn the_decision_in_one_word() {
    for (mx, hosts, sts, word) in [
        ("secure", "dane", "enforce a.test", "dane"),
        ("secure", "unusable", "no-record", "dane"),
        ("insecure", "dane", "no-record", "dane"),
        ("secure", "none", "enforce a.test", "mta-sts-enforce"),
        ("secure", "none", "enforce x.test", "defer"),
        ("secure", "none", "testing a.test", "mta-sts-testing"),
        ("secure", "none", "no-record", "opportunistic"),
        // The level is DANE so that the MTA leaves out the host that failed; nothing is demanded of the other.
        ("secure", "none failed", "no-record", "opportunistic"),
        ("secure", "none failed", "testing a.test", "mta-sts-testing"),
        ("secure", "failed", "no-record", "defer"),
        ("null", "", "no-record", "opportunistic"),
    ] {
        assert_eq!(case(mx, hosts, sts).decide().decision(), word, "{mx} {hosts} {sts}");
    }
}

#[test]
fn mail_that_waits_says_why() {
    for (case, cause) in [
        (
            case("error", "", "no-record"),
            "the MX records could not be looked up: no name server answered in time",
        ),
        (
            case("secure", "failed", "no-record"),
            "no mail server can be judged: the resolver answered SERVFAIL",
        ),
        (
            case("indeterminate", "none", "no-record"),
            "the MX records could not be looked up: DNSSEC validation fails",
        ),
        (
            case("secure", "bogus-tlsa", "no-record").last(DaneBranch::Full, 90_000),
            "no mail server can be judged: DNSSEC validation fails",
        ),
    ] {
        assert_eq!(case.decide().cause(), cause);
    }
}
