use mailward_core::tlsrpt::authenticity::SignatureVerdict;
use mailward_core::tlsrpt::report::{AppliedPolicy, DateRange, PolicyResult, PolicyType, Summary};

use super::*;

fn now() -> Timestamp {
    "2026-11-02T09:00:00Z".parse().unwrap()
}

fn report(contact: &str, domains: &[&str]) -> Report {
    let entry = |domain: &&str| PolicyResult {
        policy: AppliedPolicy {
            policy_type: PolicyType::Sts,
            policy_string: Vec::new(),
            policy_domain: Some(DomainName::parse(domain).unwrap()),
            mx_host: Vec::new(),
        },
        summary: Summary { total_successful_session_count: 1, total_failure_session_count: 0 },
        failure_details: Vec::new(),
    };
    Report {
        organization_name: "Reporter".into(),
        date_range: DateRange { start_datetime: now(), end_datetime: now() },
        contact_info: contact.into(),
        report_id: "1".into(),
        policies: domains.iter().map(entry).collect(),
    }
}

fn arrival(source: Source) -> Arrival {
    Arrival {
        bytes: b"raw".to_vec(),
        source,
        origin: "somewhere".into(),
        file_name: None,
        media_type: None,
        held_domain: None,
    }
}

fn mail() -> MailFacts {
    MailFacts { from_domain: Some("reporter.example".into()), ..MailFacts::default() }
}

fn signed(domain: &str, verdict: SignatureVerdict) -> SignatureFacts {
    SignatureFacts {
        verdict,
        domain: domain.into(),
        selector: "s1".into(),
        body_length: false,
        signed_headers: vec!["from".into()],
        key_services: Some(vec!["tlsrpt".into()]),
    }
}

fn item(concluded: Concluded) -> IncomingItem {
    match concluded {
        Concluded::Item(item) => *item,
        Concluded::NotAReport { findings, .. } => panic!("no report: {findings:?}"),
    }
}

#[test]
fn trust_follows_the_way_and_the_proof() {
    let pass = || vec![signed("reporter.example", SignatureVerdict::Pass)];
    let untested = || vec![signed("reporter.example", SignatureVerdict::Untested("SERVFAIL".into()))];
    let trusted = Source::HttpsTrusted("relay".into());
    for (source, mail, signatures, trust, dkim, why) in [
        (Source::Https, None, vec![], Trust::Unauthenticated, None, "anybody can post"),
        (trusted.clone(), None, vec![], Trust::Trusted, None, "by its token"),
        (Source::Import, None, vec![], Trust::Trusted, None, "the operator vouches for a bare file"),
        (Source::Import, Some(mail()), vec![], Trust::Unverified, Some("none"), "not for a mail"),
        (Source::Import, Some(mail()), pass(), Trust::DkimVerified, Some("pass"), "which proves itself"),
        (Source::Maildir, Some(mail()), pass(), Trust::DkimVerified, Some("pass"), "by mail"),
        (Source::Maildir, Some(mail()), untested(), Trust::Unverified, Some("untested"), "no DNS"),
        (
            Source::Maildir,
            Some(mail()),
            vec![signed("evil.example", SignatureVerdict::Pass)],
            Trust::Unverified,
            Some("fail"),
            "a stranger's signature",
        ),
        (
            Source::Maildir,
            Some(MailFacts { forwarded: true, ..mail() }),
            pass(),
            Trust::Unverified,
            Some("none"),
            "forwarded",
        ),
        (Source::Https, Some(mail()), vec![], Trust::Unauthenticated, None, "a mail inside a post is a post"),
    ] {
        let parsed = Parsed::Accepted(vec![(report("tls@reporter.example", &["example.com"]), vec![])]);
        let item = item(conclude(
            arrival(source),
            parsed,
            mail,
            &signatures,
            &Known::of(&["example.com"]),
            true,
            now(),
        ));
        assert_eq!(item.trust, trust, "{why}");
        assert_eq!(item.dkim.as_ref().map(|d| d.verdict.as_str()), dkim, "{why}");
        assert_eq!(item.submitter, "reporter.example", "{why}");
        assert!(item.dkim.is_none_or(|d| !d.detail.is_empty()), "{why}");
    }
}

#[test]
fn one_item_has_the_trust_of_its_least_proved_report() {
    let own = report("tls@reporter.example", &["example.com"]);
    let other = report("tls@reporter.example", &["example.com"]);
    let facts = MailFacts { from_domain: None, ..mail() };
    let stranger = Report { contact_info: "tls@stranger.example".into(), ..other };
    let parsed = Parsed::Accepted(vec![(own, vec![]), (stranger, vec![])]);
    let signatures = [signed("reporter.example", SignatureVerdict::Pass)];
    let held = Known::of(&["example.com"]);
    let item = item(conclude(arrival(Source::Maildir), parsed, Some(facts), &signatures, &held, true, now()));
    assert_eq!(item.trust, Trust::Unverified);
}

/// RFC 8460 §4.4: the policy domain of a TLSA policy is the base domain, mostly an MX host.
#[test]
fn what_is_told_of_dane_belongs_to_the_domain_of_the_host() {
    let named = |domain: &str| Some(MailFacts { report_domain: Some(domain.into()), ..mail() });
    let (mx, star, other) = (&["mx1.example.com"][..], &["*.example.com"][..], &["mx.provider.example"][..]);
    let one = Known::with_hosts(&[("example.com", mx), ("example.net", other)]);
    let by_star = Known::with_hosts(&[("example.com", star)]);
    let shared = Known::with_hosts(&[("example.com", other), ("example.net", other)]);
    for (base, policy_type, mail, held, domain, why) in [
        ("mx1.example.com", PolicyType::Tlsa, None, &one, Some("example.com"), "its policy names the host"),
        ("mx7.example.com", PolicyType::Tlsa, None, &by_star, Some("example.com"), "by a wildcard"),
        ("a.mx7.example.com", PolicyType::Tlsa, None, &by_star, None, "which is one label"),
        ("mx1.example.com", PolicyType::Sts, None, &one, None, "only with DANE it is a host"),
        ("mx.stranger.example", PolicyType::Tlsa, None, &one, None, "nobody's host"),
        ("mx.provider.example", PolicyType::Tlsa, None, &shared, None, "which of the two?"),
        ("mx.provider.example", PolicyType::Tlsa, named("example.net"), &shared, Some("example.net"), "told"),
        ("mx.provider.example", PolicyType::Tlsa, named("stranger.example"), &shared, None, "not held"),
        ("example.com", PolicyType::Tlsa, named("example.net"), &one, Some("example.com"), "held itself"),
    ] {
        let mut report = report("tls@reporter.example", &[base]);
        report.policies[0].policy.policy_type = policy_type;
        let parsed = Parsed::Accepted(vec![(report, vec![])]);
        let item = item(conclude(arrival(Source::Maildir), parsed, mail, &[], held, true, now()));
        let got = match &item.content {
            Content::Reports(reports) => {
                let policy = &reports[0].0.policies[0].policy;
                let moved = policy.policy_domain.as_ref().is_some_and(|domain| domain.as_str() != base);
                assert!(!moved || policy.mx_host == [base], "{why}: the host is kept");
                policy.policy_domain.as_ref().map(ToString::to_string)
            }
            Content::Quarantined => None,
        };
        assert_eq!(got.as_deref(), domain, "{why}");
    }
}

#[test]
fn strangers_domains_go_aside() {
    for (source, held, kept, aside, why) in [
        (Source::Https, vec!["example.com"], vec!["example.com"], 1, "the others count"),
        (Source::Maildir, vec!["example.com"], vec!["example.com"], 1, "by mail likewise"),
        (Source::Https, vec!["other.example"], vec![], 2, "nothing is left"),
        (Source::Https, vec![], vec!["example.com", "stranger.example"], 0, "nothing is held yet"),
        (
            Source::Import,
            vec!["other.example"],
            vec!["example.com", "stranger.example"],
            0,
            "the operator's choice",
        ),
    ] {
        let parsed =
            Parsed::Accepted(vec![(report("a@b.example", &["example.com", "stranger.example"]), vec![])]);
        let item = item(conclude(arrival(source), parsed, None, &[], &Known::of(&held), true, now()));
        let domains: Vec<String> = match &item.content {
            Content::Quarantined => Vec::new(),
            Content::Reports(reports) => {
                let entries = reports.iter().flat_map(|(report, _)| &report.policies);
                entries
                    .filter_map(|entry| entry.policy.policy_domain.as_ref())
                    .map(ToString::to_string)
                    .collect()
            }
        };
        assert_eq!(domains, kept, "{why}");
        assert_eq!(item.findings.iter().filter(|f| f.id == "REP-079").count(), aside, "{why}");
        assert_eq!(item.raw, b"raw", "{why}: the bytes are kept");
    }
}

#[test]
fn what_is_no_report_is_kept_only_where_it_would_be_lost() {
    let finding = || vec![Finding::new("REP-091", Severity::Error, "", "no report")];
    let big = || Arrival { bytes: vec![b'x'; GARBAGE_KEPT + 1], ..arrival(Source::Https) };
    for (arrival, quarantined, whole, kept, why) in [
        (arrival(Source::Https), false, true, true, "a post has no other copy"),
        (big(), false, true, false, "too large to keep for anybody"),
        (big(), true, true, false, "too large to keep for anybody"),
        (arrival(Source::Maildir), false, true, false, "the mail stays in the mailbox"),
        (arrival(Source::Import), false, true, false, "the file stays where it is"),
        (arrival(Source::Import), true, true, true, "quarantine is for what looks like a report"),
        (arrival(Source::Import), true, false, false, "a part of a file is not kept"),
    ] {
        let parsed = if quarantined { Parsed::Quarantined(finding()) } else { Parsed::NotAReport(finding()) };
        let held = Known::default();
        let got = match conclude(arrival, parsed, None, &[], &held, whole, now()) {
            Concluded::Item(item) => item.content == Content::Quarantined,
            Concluded::NotAReport { keep, findings } => {
                assert_eq!(findings, finding(), "{why}");
                keep.is_some()
            }
        };
        assert_eq!(got, kept, "{why}");
    }
}
