//! Each row is a look, and what a report says of it: policy type, domain, lines and patterns; `!` for a
//! failed session; the failures.

use super::*;
use crate::chain::ChainFault;
use crate::dns::{Answer, DnssecStatus, MxRecord};
use crate::facts::FetchCause;
use crate::mta_sts::{PolicyError, RecordError};

const ENFORCE: &str = "version: STSv1\r\nmode: enforce\r\nmx: *.d.example\r\nmax_age: 86400\r\n";
const SHOWN: &str =
    "sts d.example [version: STSv1, mode: enforce, mx: *.d.example, max_age: 86400] [*.d.example]";

/// MX hosts; `~` in front marks one whose TLSA answer is bogus, `^` one whose address is, `-` one whose TLSA
/// answer fails otherwise.
fn facts(hosts: &[&str]) -> NextHopFacts {
    let host = |text: &&str| HostFacts {
        host: MxHost::parse(text.trim_start_matches(['~', '^', '-'])).unwrap(),
        preference: 10,
        addresses: match text.starts_with('^') {
            true => HostAddresses::Failed(DnsError::Bogus(None)),
            false => HostAddresses::Found(DnssecStatus::Secure),
        },
        tlsa: match text.as_bytes()[0] {
            b'~' => HostTlsa::Failed(DnsError::Bogus(Some("expired".into()))),
            b'-' => HostTlsa::Failed(DnsError::ServerFailure(None)),
            _ => HostTlsa::NotAsked,
        },
        ttl: 60,
    };
    let mx: Answer<MxRecord> =
        Answer { status: DnssecStatus::Secure, ttl: 60, aliases: vec![], records: vec![], denial: None };
    NextHopFacts {
        domain: PolicyDomain::parse("d.example").unwrap(),
        port: 25,
        mx: Ok(mx),
        hosts: hosts.iter().map(host).collect(),
    }
}

fn words(seen: &[Seen]) -> Vec<String> {
    let one = |seen: &Seen| {
        let policy = &seen.policy;
        let mut text = format!("{} {}", policy.policy_type.as_str(), policy.policy_domain);
        if !policy.policy_string.is_empty() || !policy.mx_host.is_empty() {
            text += &format!(" [{}] [{}]", policy.policy_string.join(", "), policy.mx_host.join(", "));
        }
        text += if seen.session_failed { " !" } else { "" };
        for f in &seen.failures {
            let mx = f.receiving_mx_hostname.as_deref().map(|mx| format!(" at {mx}")).unwrap_or_default();
            let reason = f.failure_reason_code.as_deref().unwrap_or_default();
            text += &format!("; {} ({reason}){mx}", f.result_type.as_str());
        }
        text
    };
    seen.iter().map(one).collect()
}

/// Why; the policy held; the trouble; the DNS; what is said.
type Row<'a> = (&'a str, Option<&'a str>, Option<NoPolicy>, &'a NextHopFacts, &'a [String]);

#[test]
fn what_a_look_says_in_a_report() {
    let domain = PolicyDomain::parse("d.example").unwrap();
    let policy = |body: &str| StsPolicy::parse(body.as_bytes()).unwrap();
    let none_mode = ENFORCE.replace("enforce", "none");
    let fetch = |cause| Some(NoPolicy::FetchFailed(cause));
    let invalid = Some(NoPolicy::PolicyInvalid(PolicyError("no max_age".into())));
    let good = facts(&["mx.d.example"]);
    let one_out = facts(&["mx.d.example", "a.mx.d.example"]);
    let all_out = facts(&["mx.e.example", "mx.f.example"]);
    let mismatch = "; validation-failure (sts-mx-mismatch)";
    let rows: &[Row<'_>] = &[
        ("all is well", Some(ENFORCE), None, &good, &[]),
        ("nothing is announced", None, Some(NoPolicy::NoRecord), &good, &[]),
        ("a record that is none", None, Some(NoPolicy::RecordInvalid(RecordError("x".into()))), &good, &[]),
        (
            "a first fetch that fails: a session without its policy",
            None,
            fetch(FetchCause::Status(404)),
            &good,
            &["sts d.example !; sts-policy-fetch-error (http-404)".into()],
        ),
        (
            "a bad certificate of the policy host",
            None,
            fetch(FetchCause::Certificate(ChainFault::SelfSigned)),
            &good,
            &["sts d.example !; sts-webpki-invalid (self-signed)".into()],
        ),
        (
            "a record that cannot be looked up (reading A10)",
            None,
            Some(NoPolicy::DnsUnavailable(DnsError::Timeout)),
            &good,
            &["sts d.example !; sts-policy-fetch-error (record-lookup)".into()],
        ),
        (
            "a policy that is none, with what was served",
            None,
            invalid.clone(),
            &good,
            &["sts d.example [mode: enforce, mx: \u{fffd}] [] !; sts-policy-invalid (no max_age)".into()],
        ),
        (
            "a refresh that fails while the policy holds: mail went by it",
            Some(ENFORCE),
            fetch(FetchCause::Timeout),
            &good,
            &[format!("{SHOWN}; sts-policy-fetch-error (timeout)")],
        ),
        ("no new attempt", None, Some(NoPolicy::BackOff), &good, &[]),
        ("mode none wants no reports", Some(&none_mode), fetch(FetchCause::Connect), &all_out, &[]),
        (
            "one host outside: mail goes to the other",
            Some(ENFORCE),
            None,
            &one_out,
            &[format!("{SHOWN}{mismatch} at a.mx.d.example")],
        ),
        (
            "all hosts outside: mail waits",
            Some(ENFORCE),
            fetch(FetchCause::Dns),
            &all_out,
            &[format!(
                "{SHOWN} !; sts-policy-fetch-error (dns){mismatch} at mx.e.example{mismatch} at mx.f.example"
            )],
        ),
        ("no host at all", Some(ENFORCE), None, &facts(&[]), &[]),
        (
            "bogus answers, each under its own name",
            Some(&none_mode),
            None,
            &facts(&["~mx.a.example", "^mx.b.example", "-mx.c.example"]),
            &[
                "tlsa mx.a.example; dnssec-invalid (bogus-tlsa) at mx.a.example".into(),
                "tlsa mx.b.example; dnssec-invalid (bogus-address) at mx.b.example".into(),
            ],
        ),
    ];
    for (what, body, trouble, facts, expected) in rows {
        let parsed = body.map(policy);
        let look = Look {
            domain: &domain,
            policy: parsed.as_ref().zip(body.map(str::as_bytes)),
            trouble: trouble.as_ref(),
            no_policy: (*trouble == invalid).then_some(b"mode: enforce\r\n\r\nmx: \xff\n"),
            facts: Some(facts),
            level: Some(Level::NoDemand),
        };
        assert_eq!(words(&of_look(&look)), *expected, "{what}");
    }
}

#[test]
fn mail_that_waits_for_dnssec_is_a_failed_session() {
    let domain = PolicyDomain::parse("d.example").unwrap();
    let mut facts = facts(&["~mx.d.example"]);
    let seen = |facts: &NextHopFacts, level| {
        let (policy, trouble, no_policy) = (None, None, None);
        words(&of_look(&Look { domain: &domain, policy, trouble, no_policy, facts: Some(facts), level }))
    };
    let one = "tlsa mx.d.example !; dnssec-invalid (bogus-tlsa) at mx.d.example";
    assert_eq!(seen(&facts, Some(Level::Defer)), [one]);
    facts.mx = Err(DnsError::Bogus(None));
    assert_eq!(seen(&facts, Some(Level::Defer)), ["tlsa d.example !; dnssec-invalid (bogus-mx)"]);
    // The last certain answer stands in.
    assert_eq!(seen(&facts, Some(Level::Secure)), ["tlsa d.example; dnssec-invalid (bogus-mx)"]);
    facts.mx = Err(DnsError::Timeout);
    facts.hosts.clear();
    assert_eq!(seen(&facts, Some(Level::Defer)), Vec::<String>::new(), "an outage proves nothing");
}
