//! Each row spoils one thing of a perfect domain, and says what must come of it.

use super::example::*;
use super::*;
use crate::chain::ChainFault;
use crate::dns::{DnsError, DnssecStatus};
use crate::facts::{AddressFetch, FetchCause, HandshakeFailure, ProbeOutcome};
use crate::finding::catalogue;

fn options() -> AuditOptions {
    AuditOptions { at: now(), smtp: true }
}

fn judged(spoil: impl Fn(&mut DomainFacts)) -> Audit {
    let mut facts = perfect();
    spoil(&mut facts);
    audit(&facts, &options())
}

fn tls_with(fault: ChainFault) -> ProbeOutcome {
    ProbeOutcome::Tls(crate::facts::TlsFacts { web_pki: vec![fault], ..tls("2026-05-07T12:00:00Z") })
}

fn handshake(reason: &str, maybe_legacy: bool) -> ProbeOutcome {
    ProbeOutcome::Handshake(HandshakeFailure { reason: reason.into(), maybe_legacy, chain: Vec::new() })
}

fn unreachable() -> ProbeOutcome {
    ProbeOutcome::Timeout("connect".into())
}

fn without_dane(facts: &mut DomainFacts) {
    for host in &mut facts.hosts {
        host.tlsa = secure(Vec::new());
    }
}

#[test]
fn a_perfect_domain_is_enforce_full_present() {
    let audit = judged(|_| {});
    let summary = &audit.summary;
    assert_eq!(
        (summary.mta_sts, summary.dane, summary.tls_rpt),
        (StsState::Enforce, DaneState::Full, ReportingState::Present)
    );
    assert!(summary.worst < Some(Severity::Warning), "{:#?}", audit.findings);
    assert_eq!(
        summary.consequence,
        "Nobody loses mail: senders that use DANE or MTA-STS reach example.com over authenticated TLS."
    );
    assert!(audit.mx.iter().all(|mx| {
        mx.in_policy == Some(true)
            && mx
                .addresses
                .iter()
                .all(|a| a.mta_sts.as_deref() == Some("ok") && a.dane.as_deref() == Some("match"))
    }));
    assert_eq!(audit.records.rua, ["mailto:tls@reports.example"]);
}

#[test]
fn a_bare_domain_is_told_without_alarm() {
    let audit = audit(&bare(), &options());
    let summary = &audit.summary;
    assert_eq!(
        (summary.mta_sts, summary.dane, summary.tls_rpt),
        (StsState::Absent, DaneState::Absent, ReportingState::Absent)
    );
    assert_eq!(summary.worst, Some(Severity::Info), "{:#?}", audit.findings);
    assert!(summary.consequence.contains("nobody is protected"));
}

type Row = (&'static str, Severity, &'static str, fn(&mut DomainFacts));

#[test]
fn one_fault_one_finding() {
    use Severity::{Error, Info, Untested, Warning};
    let rows: &[Row] = &[
        // Record.
        ("STS-TXT-001", Error, "a policy is served, nothing announces it", |f| f.sts_record = secure(vec![])),
        ("STS-TXT-002", Error, "SERVFAIL is no denial", |f| f.sts_record = servfail()),
        ("STS-TXT-002", Untested, "our resolver is down", |f| {
            f.sts_record = Err(DnsError::Unreachable("refused".into()))
        }),
        ("STS-TXT-003", Error, "two records", |f| {
            f.sts_record = secure(txt(&["v=STSv1; id=a;", "v=STSv1; id=b;"]))
        }),
        ("STS-TXT-005", Error, "lower case", |f| f.sts_record = secure(txt(&["v=stsv1; id=a;"]))),
        ("STS-TXT-006", Error, "bad id", |f| f.sts_record = secure(txt(&["v=STSv1; id=2026-01-01;"]))),
        ("STS-TXT-007", Warning, "blank before the semicolon", |f| {
            f.sts_record = secure(txt(&["v=STSv1 ; id=a;"]))
        }),
        ("STS-TXT-013", Warning, "SPF beside it", |f| {
            f.sts_record = secure(txt(&["v=STSv1; id=a;", "v=spf1 -all"]))
        }),
        ("STS-TXT-014", Error, "dangling alias", |f| {
            f.sts_record = via(secure(vec![]), "_mta-sts.example.com", "gone.example.net")
        }),
        ("STS-TXT-016", Warning, "long TTL", |f| f.sts_record.as_mut().unwrap().ttl = 86_401),
        // Policy host.
        ("STS-WEB-001", Error, "no address", |f| {
            (f.policy_host.addresses, f.policy_host.fetch) = (secure(vec![]), None)
        }),
        ("STS-WEB-004", Error, "unknown issuer", |f| {
            f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Certificate(ChainFault::UnknownIssuer))))
        }),
        ("STS-WEB-005", Error, "other name", |f| {
            f.policy_host.fetch =
                Some(Err(fetch_error(FetchCause::Certificate(ChainFault::HostMismatch(vec![
                    "www.example.com".into(),
                ])))))
        }),
        ("STS-WEB-006", Error, "expired", |f| {
            f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Certificate(ChainFault::Expired(time(
                "2026-03-01T00:00:00Z",
            ))))))
        }),
        ("STS-WEB-006", Warning, "20 days left", |f| {
            f.policy_host.fetch.as_mut().unwrap().as_mut().unwrap().chain =
                vec![certificate("2026-04-05T12:00:00Z")]
        }),
        ("STS-WEB-006", Error, "6 days left", |f| {
            f.policy_host.fetch.as_mut().unwrap().as_mut().unwrap().chain =
                vec![certificate("2026-03-22T12:00:00Z")]
        }),
        ("STS-WEB-007", Error, "no intermediate", |f| {
            f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Certificate(ChainFault::IncompleteChain))))
        }),
        ("STS-WEB-008", Error, "404", |f| {
            f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Status(404))))
        }),
        ("STS-WEB-009", Error, "301", |f| {
            f.policy_host.fetch =
                Some(Err(fetch_error(FetchCause::Redirect(301, "https://www.example.com/".into()))))
        }),
        ("STS-WEB-010", Error, "text/html", |f| {
            f.policy_host.fetch = Some(Err(fetch_error(FetchCause::MediaType(Some("text/html".into())))))
        }),
        ("STS-WEB-011", Error, "too large", |f| {
            f.policy_host.fetch = Some(Err(fetch_error(FetchCause::TooLarge)))
        }),
        ("STS-WEB-012", Error, "too slow", |f| {
            f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Timeout)))
        }),
        ("STS-WEB-013", Error, "old TLS", |f| {
            f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Tls("alert-protocol_version".into()))))
        }),
        ("STS-WEB-015", Error, "another body at one address", |f| {
            f.policy_host.by_address =
                vec![AddressFetch { address: address("192.0.2.81"), body_sha256: Ok("00".into()) }]
        }),
        ("STS-WEB-002", Warning, "one address is dead", |f| {
            f.policy_host.by_address = vec![AddressFetch {
                address: address("2001:db8::81"),
                body_sha256: Err(fetch_error(FetchCause::Connect)),
            }]
        }),
        // Policy.
        ("STS-POL-002", Error, "Mode", |f| {
            serve(f, &policy_text("Enforce", &["mx1.example.com", "mx2.example.com"], 1_209_600))
        }),
        ("STS-POL-006", Warning, "short while enforcing", |f| {
            serve(f, &policy_text("enforce", &["mx1.example.com", "mx2.example.com"], 604_800))
        }),
        ("STS-POL-008", Error, "no mx", |f| serve(f, &policy_text("enforce", &[], 604_800))),
        ("STS-POL-011", Warning, "wildcard over all", |f| {
            serve(f, &policy_text("enforce", &["*.example.com"], 1_209_600))
        }),
        // Policy and MX.
        ("STS-MX-001", Error, "one MX is left out", |f| {
            serve(f, &policy_text("enforce", &["mx1.example.com"], 1_209_600))
        }),
        ("STS-MX-001", Warning, "the same while testing", |f| {
            serve(f, &policy_text("testing", &["mx1.example.com"], 86_400))
        }),
        ("STS-MX-002", Error, "none is named", |f| {
            serve(f, &policy_text("enforce", &["mx.example.net"], 1_209_600))
        }),
        ("STS-MX-003", Info, "a pattern too many", |f| {
            serve(
                f,
                &policy_text(
                    "enforce",
                    &["mx1.example.com", "mx2.example.com", "mx3.example.com"],
                    1_209_600,
                ),
            )
        }),
        ("STS-MX-004", Warning, "MX is an alias", |f| {
            f.hosts[0].ipv4 = via(secure(vec![address("192.0.2.1")]), "mx1.example.com", "node.example.com")
        }),
        ("STS-MX-005", Error, "no address", |f| {
            (f.hosts[1].ipv4, f.hosts[1].probes) = (secure(vec![]), vec![])
        }),
        ("STS-MX-005", Error, "null MX beside others", |f| {
            f.mx.as_mut().unwrap().records.push(mx_record(0, "."))
        }),
        ("STS-MX-005", Error, "an address as MX", |f| {
            f.mx.as_mut().unwrap().records.push(mx_record(0, "192.0.2.9"))
        }),
        ("STS-MX-006", Warning, "null MX and a policy", |f| {
            (f.mx, f.hosts) = (secure(vec![mx_record(0, ".")]), vec![])
        }),
        // Reporting.
        ("RPT-001", Info, "no record", |f| f.tlsrpt_record = secure(vec![])),
        ("RPT-007", Warning, "no record beside a policy", |f| f.tlsrpt_record = secure(vec![])),
        ("RPT-001", Error, "two records", |f| {
            f.tlsrpt_record =
                secure(txt(&["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@d.example"]))
        }),
        ("RPT-002", Error, "no usable target", |f| {
            f.tlsrpt_record = secure(txt(&["v=TLSRPTv1; rua=ftp://b.example"]))
        }),
        ("RPT-001", Error, "SERVFAIL", |f| f.tlsrpt_record = servfail()),
        // Mail servers.
        ("SMTP-001", Error, "one host is dead", |f| f.hosts[1].probes[0].outcome = unreachable()),
        ("SMTP-001", Warning, "one family is dead", |f| {
            f.hosts[1].probes.push(probe("2001:db8::2", unreachable()))
        }),
        ("SMTP-002", Error, "greeting 554", |f| {
            f.hosts[1].probes[0].outcome = ProbeOutcome::Greeting("554 no".into())
        }),
        ("SMTP-003", Error, "no STARTTLS", |f| {
            f.hosts[1].probes[0].outcome = ProbeOutcome::NoStartTls(vec!["SIZE".into()])
        }),
        ("SMTP-004", Error, "handshake", |f| f.hosts[1].probes[0].outcome = handshake("tls-eof", false)),
        ("SMTP-004", Error, "454", |f| {
            f.hosts[1].probes[0].outcome = ProbeOutcome::StartTlsRefused("454 TLS not available".into())
        }),
        ("SMTP-004", Untested, "only our library cannot", |f| {
            f.hosts[1].probes[0].outcome = handshake("tls-alert-handshake_failure", true)
        }),
        ("SMTP-005", Error, "TLS 1.0 only", |f| {
            f.hosts[1].probes[0].outcome = handshake("tls-alert-protocol_version", true)
        }),
        ("SMTP-007", Error, "self-signed", |f| {
            f.hosts[1].probes[0].outcome = tls_with(ChainFault::SelfSigned)
        }),
        ("SMTP-008", Error, "other name", |f| {
            f.hosts[1].probes[0].outcome = tls_with(ChainFault::HostMismatch(vec!["x.example".into()]))
        }),
        ("SMTP-009", Warning, "20 days left", |f| {
            f.hosts[1].probes[0].outcome = ProbeOutcome::Tls(tls("2026-04-05T12:00:00Z"))
        }),
        ("SMTP-009", Error, "6 days left", |f| {
            f.hosts[1].probes[0].outcome = ProbeOutcome::Tls(tls("2026-03-22T12:00:00Z"))
        }),
        ("SMTP-014", Warning, "two certificates", |f| {
            let mut other = tls("2026-05-07T12:00:00Z");
            other.chain[0].sha256 = "ff".repeat(32);
            f.hosts[1].probes.push(probe("192.0.2.3", ProbeOutcome::Tls(other)));
        }),
        ("SMTP-016", Untested, "nothing answers at all", |f| {
            f.hosts.iter_mut().for_each(|h| h.probes[0].outcome = unreachable())
        }),
        ("SMTP-016", Untested, "no IPv6 here", |f| {
            f.hosts[1].probes.push(probe(
                "2001:db8::2",
                ProbeOutcome::Unreachable("Network is unreachable (os error 101)".into()),
            ))
        }),
        // DNSSEC.
        ("DNS-001", Error, "bogus MX", |f| f.mx = Err(DnsError::Bogus(None))),
        ("DNS-001", Info, "insecure MX", |f| f.mx.as_mut().unwrap().status = DnssecStatus::Insecure),
        ("DNS-002", Error, "insecure address", |f| {
            f.hosts[0].ipv4.as_mut().unwrap().status = DnssecStatus::Insecure
        }),
        ("DNS-002", Error, "insecure TLSA", |f| {
            f.hosts[0].tlsa.as_mut().unwrap().status = DnssecStatus::Insecure
        }),
        ("DNS-004", Error, "TLSA SERVFAIL", |f| f.hosts[0].tlsa = servfail()),
        ("DNS-004", Warning, "TLSA SERVFAIL at an insecure host", |f| {
            f.hosts[0].ipv4 = insecure(vec![address("192.0.2.1")]);
            f.hosts[0].tlsa = servfail();
        }),
        ("DNS-004", Warning, "AAAA SERVFAIL", |f| f.hosts[0].ipv6 = servfail()),
        ("DNS-006", Warning, "a large answer", |f| {
            f.hosts[0].tlsa.as_mut().unwrap().records.extend((0..30).map(|n| tlsa(3, 1, 1, &[n; 32])))
        }),
        // DANE.
        ("DANE-001", Info, "alias on the way", |f| {
            f.hosts[0].tlsa = via(secure(vec![tlsa_311()]), "_25._tcp.mx1.example.com", "tlsa.example.com")
        }),
        ("DANE-002", Warning, "usage 1", |f| {
            f.hosts[0].tlsa.as_mut().unwrap().records.push(tlsa(1, 1, 1, &[1; 32]))
        }),
        ("DANE-003", Error, "all unusable", |f| f.hosts[0].tlsa = secure(vec![tlsa(1, 1, 1, &[1; 32])])),
        ("DANE-004", Error, "no match", |f| f.hosts[0].tlsa = secure(vec![tlsa(3, 1, 1, &[1; 32])])),
        ("DANE-008", Info, "usage 3 with a certificate that expired", |f| {
            f.hosts[0].probes[0].outcome = tls_with(ChainFault::Expired(time("2026-03-01T00:00:00Z")))
        }),
        ("DANE-011", Info, "no next key", |f| f.hosts[0].tlsa = secure(vec![tlsa_311()])),
        ("DANE-016", Error, "short digest", |f| {
            f.hosts[0].tlsa.as_mut().unwrap().records.push(tlsa(3, 1, 1, &[1; 5]))
        }),
        ("DANE-018", Warning, "one MX without", |f| f.hosts[1].tlsa = secure(vec![])),
        ("BOTH-001", Error, "DANE accepts what MTA-STS refuses", |f| {
            f.hosts[0].probes[0].outcome = tls_with(ChainFault::SelfSigned)
        }),
    ];
    for (id, severity, why, spoil) in rows {
        let audit = judged(spoil);
        let found: Vec<&Finding> = audit.findings.iter().filter(|finding| finding.id == *id).collect();
        assert!(
            found.iter().any(|finding| finding.severity == *severity),
            "{id} {why}: {:#?}",
            audit.findings
        );
        for finding in &audit.findings {
            let entry = catalogue::entry(&finding.id)
                .unwrap_or_else(|| panic!("{} is not in the catalogue", finding.id));
            assert!(
                finding.severity == Severity::Untested || finding.severity <= entry.severity,
                "{} {why}",
                finding.id
            );
            assert!(!finding.subject.is_empty() && !finding.message.is_empty(), "{} {why}", finding.id);
            if finding.severity >= Severity::Warning {
                assert!(!finding.fix.is_empty(), "{} {why} says no fix", finding.id);
            }
            if finding.severity == Severity::Error {
                assert!(!finding.consequence.is_empty(), "{} {why} says no consequence", finding.id);
            }
        }
        assert!(audit.summary.consequence.ends_with('.'), "{why}: {}", audit.summary.consequence);
    }
}

#[test]
fn nobody_is_blamed_for_what_was_not_promised() {
    // A web server that answers for every name of the domain, without MTA-STS.
    let mut facts = bare();
    facts.policy_host.addresses = insecure(vec![address("192.0.2.80")]);
    facts.policy_host.fetch = Some(Err(fetch_error(FetchCause::Status(404))));
    let found = audit(&facts, &options());
    assert!(found.findings.iter().all(|f| !f.id.starts_with("STS-WEB")), "{:#?}", found.findings);
    // Certificates only matter once there is a policy.
    facts.hosts[0].probes[0].outcome = tls_with(ChainFault::SelfSigned);
    let found = audit(&facts, &options());
    assert_eq!(found.summary.worst, Some(Severity::Info));
    // Without probes nothing is said of mail servers.
    let quiet = audit(&bare(), &AuditOptions { at: now(), smtp: false });
    assert!(quiet.findings.iter().all(|f| !f.id.starts_with("SMTP")));
}

#[test]
fn a_blocked_port_is_not_a_fault() {
    let audit = judged(|f| f.hosts.iter_mut().for_each(|h| h.probes[0].outcome = unreachable()));
    assert!(
        audit.findings.iter().all(|f| f.id != "SMTP-001" && f.severity < Severity::Warning),
        "{:#?}",
        audit.findings
    );
    assert_eq!((audit.summary.worst, audit.summary.dane), (Some(Severity::Untested), DaneState::Full));
    // One address that refuses is an answer: the port is open from here.
    let audit = judged(|f| {
        f.hosts[0].probes[0].outcome = unreachable();
        f.hosts[1].probes[0].outcome = ProbeOutcome::Unreachable("Connection refused".into());
    });
    assert_eq!(
        audit.findings.iter().filter(|f| f.id == "SMTP-001" && f.severity == Severity::Error).count(),
        2
    );
}

#[test]
fn who_loses_mail_is_one_sentence() {
    type Case = (&'static str, fn(&mut DomainFacts));
    let rows: &[Case] = &[
        ("Senders that enforce MTA-STS defer mail that picks mx2.example.com (1 of 2 mail servers).", |f| {
            without_dane(f);
            serve(f, &policy_text("enforce", &["mx1.example.com"], 1_209_600));
        }),
        ("Senders that enforce MTA-STS defer all mail for example.com.", |f| {
            serve(f, &policy_text("enforce", &["mx.example.net"], 1_209_600))
        }),
        ("Senders that use DANE defer mail that picks mx1.example.com (1 of 2 mail servers).", |f| {
            f.hosts[0].tlsa = secure(vec![tlsa(3, 1, 1, &[1; 32])])
        }),
        (
            "Senders that validate DNSSEC defer all mail for example.com: its MX answer does not validate.",
            |f| f.mx = Err(DnsError::Bogus(None)),
        ),
        (
            "Nobody loses mail while the policy is in testing; under enforce senders would defer mail that picks mx2.example.com (1 of 2 mail servers).",
            |f| {
                without_dane(f);
                serve(f, &policy_text("testing", &["mx1.example.com"], 86_400));
            },
        ),
        (
            "Senders that do not know the policy of example.com yet deliver unprotected, since it is announced and cannot be used; nobody loses mail now.",
            |f| f.policy_host.fetch = Some(Err(fetch_error(FetchCause::Status(404)))),
        ),
        (
            "Every sender waits or turns elsewhere with mail that picks mx2.example.com (1 of 2 mail servers).",
            |f| f.hosts[1].probes[0].outcome = unreachable(),
        ),
    ];
    for (sentence, spoil) in rows {
        assert_eq!(judged(spoil).summary.consequence, *sentence);
    }
}

#[test]
fn states_of_the_summary() {
    type Case = (StsState, DaneState, ReportingState, fn(&mut DomainFacts));
    use DaneState as D;
    use ReportingState as R;
    use StsState as S;
    let rows: &[Case] = &[
        (S::Broken, D::Full, R::Present, |f| f.sts_record = servfail()),
        (S::Broken, D::Full, R::Present, |f| f.sts_record = secure(txt(&["v=stsv1; id=a"]))),
        (S::Absent, D::Full, R::Present, |f| f.sts_record = secure(txt(&["v=spf1 -all"]))),
        (S::Broken, D::Full, R::Present, |f| serve(f, "")),
        (S::None, D::Full, R::Present, |f| serve(f, &policy_text("none", &[], 86_400))),
        (S::Testing, D::Full, R::Present, |f| {
            serve(f, &policy_text("testing", &["mx1.example.com"], 86_400))
        }),
        (S::Enforce, D::Partial, R::Present, |f| f.hosts[1].tlsa = secure(vec![])),
        (S::Enforce, D::Partial, R::Present, |f| f.mx.as_mut().unwrap().status = DnssecStatus::Insecure),
        (S::Enforce, D::Absent, R::Present, without_dane),
        (S::Enforce, D::Broken, R::Present, |f| f.hosts[1].tlsa = servfail()),
        (S::Enforce, D::Broken, R::Present, |f| f.hosts[1].tlsa = secure(vec![tlsa(3, 1, 1, &[1; 32])])),
        (S::Enforce, D::Broken, R::Present, |f| {
            f.hosts[1].probes[0].outcome = ProbeOutcome::NoStartTls(vec![])
        }),
        (S::Enforce, D::Full, R::Present, |f| f.hosts.iter_mut().for_each(|h| h.probes.clear())),
        (S::Enforce, D::Full, R::Absent, |f| f.tlsrpt_record = secure(vec![])),
        (S::Enforce, D::Full, R::Broken, |f| f.tlsrpt_record = servfail()),
        (S::Enforce, D::Full, R::Broken, |f| f.tlsrpt_record = secure(txt(&["v=TLSRPTv1;"]))),
    ];
    for (n, (sts, dane, reporting, spoil)) in rows.iter().enumerate() {
        let summary = judged(spoil).summary;
        assert_eq!((summary.mta_sts, summary.dane, summary.tls_rpt), (*sts, *dane, *reporting), "row {n}");
    }
}

#[test]
fn a_later_day_sees_what_expires() {
    let facts = perfect();
    let at = |text: &str| audit(&facts, &AuditOptions { at: time(text), smtp: true });
    assert!(at("2026-03-30T12:00:00Z").findings.iter().all(|f| f.id != "SMTP-009"));
    let later = at("2026-05-08T12:00:00Z");
    let expired = later.findings.iter().find(|f| f.id == "SMTP-009").unwrap();
    assert_eq!((expired.severity, expired.subject.as_str()), (Severity::Error, "mx1.example.com"));
    assert!(expired.message.contains("expired on 2026-05-07 (24 h ago)"), "{}", expired.message);
}

#[test]
fn fixes_are_ready_to_paste() {
    let audit = judged(|f| f.sts_record = secure(vec![]));
    let fix = &audit.findings.iter().find(|f| f.id == "STS-TXT-001").unwrap().fix;
    assert!(
        fix[1].starts_with("Publish: _mta-sts.example.com. 300 IN TXT \"v=STSv1; id=20260316T120000Z"),
        "{fix:?}"
    );
    let audit = judged(|f| serve(f, &policy_text("enforce", &["mx1.example.com"], 1_209_600)));
    let fix = &audit.findings.iter().find(|f| f.id == "STS-MX-001").unwrap().fix;
    assert!(fix[0].contains("\"mx: mx2.example.com\""), "{fix:?}");
}

#[test]
fn rounds_keep_untested_apart_from_faults() {
    let round = |spoil: fn(&mut DomainFacts)| {
        let mut facts = perfect();
        spoil(&mut facts);
        let round = probe_round(&facts, now());
        let red = round.faults.values().filter(|fault| fault.is_some()).count();
        (round.complete, round.faults.len(), red)
    };
    for (what, spoil, expected) in [
        ("all green", (|_| {}) as fn(&mut DomainFacts), (true, 2, 0)),
        (
            "one without STARTTLS",
            |f| f.hosts[1].probes[0].outcome = ProbeOutcome::NoStartTls(vec![]),
            (true, 2, 1),
        ),
        (
            "one with a wrong name",
            |f| f.hosts[1].probes[0].outcome = tls_with(ChainFault::HostMismatch(vec![])),
            (true, 2, 1),
        ),
        (
            "expired since",
            |f| f.hosts[1].probes[0].outcome = ProbeOutcome::Tls(tls("2026-03-16T11:00:00Z")),
            (true, 2, 1),
        ),
        ("blocked", |f| f.hosts.iter_mut().for_each(|h| h.probes[0].outcome = unreachable()), (false, 0, 0)),
        ("one down", |f| f.hosts[1].probes[0].outcome = unreachable(), (true, 2, 1)),
        (
            "only our library cannot",
            |f| f.hosts[1].probes[0].outcome = handshake("tls-alert-handshake_failure", true),
            (false, 1, 0),
        ),
        ("not probed", |f| f.hosts[1].probes.clear(), (false, 1, 0)),
        ("address lookup failed", |f| f.hosts[1].ipv6 = servfail(), (false, 2, 0)),
        ("MX lookup failed", |f| (f.mx, f.hosts) = (servfail(), vec![]), (false, 0, 0)),
        ("no address", |f| (f.hosts[1].ipv4, f.hosts[1].probes) = (secure(vec![]), vec![]), (true, 2, 1)),
    ] {
        assert_eq!(round(spoil), expected, "{what}");
    }
}
