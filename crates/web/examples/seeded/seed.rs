//! A believable store: domains that hold, one that loses mail, one too new to know, one that cannot be
//! tested, and reporters of every trust. Shared by the example and the tests.
//!
//! Facts are made here; what they mean is concluded by the audit and the gate, as in the daemon.

use std::net::IpAddr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mailward_core::audit::{self, AuditOptions};
use mailward_core::chain::ChainFault;
use mailward_core::dns::{Answer, Denial, DnsResult, DnssecStatus, MxRecord, TxtRecord};
use mailward_core::facts::{
    AddressProbe, CertificateFacts, DomainFacts, FetchedPolicy, MxFacts, PolicyHostFacts, ProbeOutcome,
    TlsFacts,
};
use mailward_core::mta_sts::{Mode, publish};
use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::report::{AppliedPolicy, Summary};
use mailward_core::tlsrpt::{DateRange, FailureDetails, PolicyResult, PolicyType, Report, ResultType};
use mailward_core::{Finding, MxHost, PolicyDomain, Severity};
use mailward_store::Store;
use mailward_store::domains::HeldDomain;
use mailward_store::reports::{Content, DkimFacts, IncomingItem};

/// The moment at which everything is looked at: 2026-11-24 15:00 UTC.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_795_532_400).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn ago(hours: i64) -> Timestamp {
    now().saturating_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What happens at an MX host.
#[derive(Clone, Copy, PartialEq)]
enum Host {
    Good,
    WrongName,
    Blocked,
}

struct Domain {
    name: &'static str,
    mode: Mode,
    max_age: u32,
    days: i64,
    hosts: &'static [(&'static str, Host)],
    /// Sessions a day, roughly.
    volume: u64,
    observed: bool,
    record_ttl: u32,
}

const DOMAINS: &[Domain] = &[
    Domain {
        name: "brandt-werke.example",
        mode: Mode::Enforce,
        max_age: 1_209_600,
        days: 160,
        hosts: &[("mx1.brandt-werke.example", Host::Good), ("mx2.brandt-werke.example", Host::Good)],
        volume: 420,
        observed: true,
        record_ttl: 300,
    },
    Domain {
        name: "kontor-nord.example",
        mode: Mode::Enforce,
        max_age: 604_800,
        days: 90,
        hosts: &[("mx1.kontor-nord.example", Host::Good), ("mx2.kontor-nord.example", Host::WrongName)],
        volume: 130,
        observed: true,
        record_ttl: 300,
    },
    Domain {
        name: "praxis-lind.example",
        mode: Mode::Testing,
        max_age: 86_400,
        days: 21,
        hosts: &[("mail.praxis-lind.example", Host::Good)],
        volume: 64,
        observed: true,
        record_ttl: 300,
    },
    Domain {
        name: "verein-sued.example",
        mode: Mode::Testing,
        max_age: 86_400,
        days: 40,
        hosts: &[("mx.verein-sued.example", Host::Blocked)],
        volume: 18,
        observed: true,
        record_ttl: 300,
    },
    Domain {
        name: "bücherei.example",
        mode: Mode::Enforce,
        max_age: 86_400,
        days: 12,
        hosts: &[("mx1.brandt-werke.example", Host::Good)],
        volume: 36,
        observed: true,
        record_ttl: 86_400,
    },
    Domain {
        name: "muehlenbach.example",
        mode: Mode::Testing,
        max_age: 86_400,
        days: 0,
        hosts: &[("mx.muehlenbach.example", Host::Good)],
        volume: 0,
        observed: false,
        record_ttl: 300,
    },
];

/// Fills a store.
///
/// # Panics
/// When the store refuses: this is a tool for development.
pub async fn fill(store: &Store) {
    for domain in DOMAINS {
        add(store, domain).await;
        if domain.observed {
            observe(store, domain).await;
        }
    }
    let mut items = Vec::new();
    for (index, domain) in DOMAINS.iter().enumerate().filter(|(_, d)| d.volume > 0) {
        reports(domain, index as u64, &mut items);
    }
    items.extend(weak());
    items.push(hostile());
    items.push(broken());
    store.insert_items(&items).await.expect("items are stored");
    store
        .excuse_failures(
            &name("brandt-werke.example"),
            "certificate-expired",
            None,
            "token anna",
            "The sender's clock was a year ahead; they confirmed it on 2026-11-12.",
            ago(200),
        )
        .await
        .expect("a mark is kept");
    store.add_token("anna", &[7; 32], ago(2_000)).await.expect("a token is kept");
}

/// A domain's name.
pub fn name(text: &str) -> PolicyDomain {
    PolicyDomain::parse(text).expect("a name")
}

fn policy(domain: &Domain, mode: Mode, max_age: u32, at: Timestamp) -> HeldDomain {
    let patterns: Vec<&str> = domain.hosts.iter().map(|(host, _)| *host).collect();
    let made = publish::new_policy(&patterns, mode, max_age, at).expect("a policy");
    HeldDomain {
        domain: name(domain.name),
        mode,
        mx: patterns.iter().map(|p| (*p).to_owned()).collect(),
        max_age,
        policy_id: made.id,
        policy_body: made.body,
        rua: vec![format!("mailto:tls-rpt@{}", name(domain.name))],
        added_at: ago(domain.days * 24),
        mode_since: at,
    }
}

/// The policies of a domain, oldest first.
fn steps(domain: &Domain) -> Vec<HeldDomain> {
    let start = ago(domain.days * 24);
    let mut steps = vec![policy(domain, Mode::Testing, 86_400, start)];
    if domain.mode == Mode::Enforce {
        steps.push(policy(domain, Mode::Enforce, 86_400, ago(domain.days * 24 - 250)));
        if domain.max_age > 86_400 {
            steps.push(policy(domain, Mode::Enforce, domain.max_age, ago(9 * 24 + 5)));
        }
    }
    steps
}

async fn add(store: &Store, domain: &Domain) {
    let reasons = ["taken up", "the gate was open", "a quiet week under enforce; longer max_age"];
    for (held, reason) in steps(domain).into_iter().zip(reasons) {
        store.put_domain(&held, "token anna", reason, held.mode_since).await.expect("a domain is kept");
    }
}

fn answer<T>(records: Vec<T>, ttl: u32) -> DnsResult<T> {
    let denial = records.is_empty().then_some(Denial::NoData);
    Ok(Answer { status: DnssecStatus::Insecure, ttl, aliases: Vec::new(), records, denial })
}

fn certificate(host: &str, names: &[&str], days: i64) -> CertificateFacts {
    CertificateFacts {
        subject: format!("CN={host}"),
        issuer: "CN=Example Issuing CA R3, O=Example Trust".into(),
        dns_names: names.iter().map(|n| (*n).to_owned()).collect(),
        not_before: ago((90 - days) * 24),
        not_after: ago(-days * 24),
        sha256: "5f".repeat(32),
        spki_sha256: "a7".repeat(32),
        der: Vec::new(),
    }
}

fn host(index: usize, host: &str, kind: Host, at: Timestamp) -> MxFacts {
    let address: IpAddr = format!("192.0.2.{}", 20 + index).parse().expect("an address");
    let chain = |names: &[&str]| vec![certificate(host, names, 52)];
    let wrong = kind == Host::WrongName && at >= ago(46);
    let outcome = match kind {
        Host::Blocked => ProbeOutcome::Unreachable("blocked".into()),
        _ if wrong => ProbeOutcome::Tls(TlsFacts {
            version: "1.3".into(),
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            chain: vec![certificate("web7.hosting.example", &["web7.hosting.example"], 71)],
            web_pki: vec![ChainFault::HostMismatch(vec!["web7.hosting.example".into()])],
        }),
        _ => ProbeOutcome::Tls(TlsFacts {
            version: "1.3".into(),
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            chain: chain(&[host]),
            web_pki: Vec::new(),
        }),
    };
    MxFacts {
        host: MxHost::parse(host).expect("a host"),
        preference: 10 * (index as u16 + 1),
        ipv4: answer(vec![address], 3_600),
        ipv6: answer(Vec::new(), 3_600),
        tlsa: answer(Vec::new(), 3_600),
        probes: vec![AddressProbe { address, outcome, elapsed_ms: 84 }],
    }
}

fn facts(domain: &Domain, at: Timestamp) -> DomainFacts {
    let held = steps(domain).into_iter().rev().find(|held| held.mode_since <= at);
    let held = held.unwrap_or_else(|| policy(domain, Mode::Testing, 86_400, ago(domain.days * 24)));
    let policy_host = held.domain.policy_host().expect("a name").to_string();
    let text = |text: String| TxtRecord(text.into_bytes());
    let address: IpAddr = "192.0.2.7".parse().expect("an address");
    let hosts: Vec<MxFacts> =
        domain.hosts.iter().enumerate().map(|(index, (name, kind))| host(index, name, *kind, at)).collect();
    DomainFacts {
        domain: held.domain.clone(),
        observed_at: at,
        sts_record: answer(vec![text(publish::sts_record(&held.policy_id))], domain.record_ttl),
        tlsrpt_record: answer(vec![text(publish::tlsrpt_record(&held.rua).expect("a record"))], 300),
        mx: answer(
            hosts
                .iter()
                .map(|mx| MxRecord { preference: mx.preference, exchange: Ok(mx.host.clone()) })
                .collect(),
            3_600,
        ),
        policy_host: PolicyHostFacts {
            addresses: answer(vec![address], 3_600),
            fetch: Some(Ok(FetchedPolicy {
                body: held.policy_body.into_bytes(),
                content_type: Some("text/plain".into()),
                address,
                chain: vec![certificate(&policy_host, &[&policy_host], 61)],
                elapsed_ms: 132,
            })),
            by_address: Vec::new(),
        },
        hosts,
    }
}

/// A look every four hours for nine days, the last one 20 minutes ago.
async fn observe(store: &Store, domain: &Domain) {
    let last = now().saturating_sub(SignedDuration::from_mins(20)).unwrap_or(Timestamp::UNIX_EPOCH);
    for back in (0..=54).rev() {
        let at = last.saturating_sub(SignedDuration::from_hours(back * 4)).unwrap_or(last);
        let facts = facts(domain, at);
        let audit = audit::audit(&facts, &AuditOptions { at, smtp: true });
        let round = audit::probe_round(&facts, at);
        store.record_observation(&facts, &audit, &round).await.expect("an observation is kept");
    }
}

const REPORTERS: &[(&str, &str, &str)] = &[
    ("Google Inc.", "google.com", "smtp-tls-reporting@google.com"),
    ("Microsoft Corporation", "microsoft.com", "tlsrpt-noreply@microsoft.com"),
    ("Nordpost eG", "nordpost.example", "tls-reports@nordpost.example"),
];

fn day(back: i64) -> Date {
    now().to_zoned(TimeZone::UTC).date().saturating_sub(jiff::Span::new().days(back))
}

fn range(day: Date) -> DateRange {
    let at = |hour, minute, second| {
        day.at(hour, minute, second, 0).to_zoned(TimeZone::UTC).map(|z| z.timestamp()).unwrap_or_default()
    };
    DateRange { start_datetime: at(0, 0, 0), end_datetime: at(23, 59, 59) }
}

fn failure(result_type: ResultType, mx: &str, sessions: u64, reason: Option<&str>) -> FailureDetails {
    FailureDetails {
        result_type,
        sending_mta_ip: "198.51.100.24".parse().ok(),
        receiving_mx_hostname: Some(mx.to_owned()),
        receiving_mx_helo: None,
        receiving_ip: "192.0.2.21".parse().ok(),
        failed_session_count: sessions,
        additional_information: None,
        failure_reason_code: reason.map(ToOwned::to_owned),
    }
}

fn reports(domain: &Domain, seed: u64, items: &mut Vec<IncomingItem>) {
    for back in 1..=28_i64 {
        for (number, reporter) in REPORTERS.iter().enumerate() {
            // Microsoft comes late, and the small reporter has no mail at weekends.
            let weekend = day(back).weekday().to_monday_zero_offset() >= 5;
            if (number == 1 && back < 3) || (number == 2 && weekend) {
                continue;
            }
            let wave = (back as u64 * 37 + seed * 17 + number as u64 * 11) % 23;
            let base = domain.volume * [5, 3, 1][number] / 9;
            let sessions = if weekend { base / 4 } else { base } * (80 + wave) / 100;
            let failures = failures(domain, back, number, sessions);
            let failed = failures.iter().map(|f| f.failed_session_count).sum::<u64>();
            items.push(item(
                reporter,
                &name(domain.name),
                day(back),
                back,
                (sessions.saturating_sub(failed), failures),
                (Trust::DkimVerified, "pass"),
            ));
        }
    }
}

fn failures(domain: &Domain, back: i64, reporter: usize, sessions: u64) -> Vec<FailureDetails> {
    match (domain.name, back, reporter) {
        ("kontor-nord.example", 1, _) => {
            let mx = "mx2.kontor-nord.example";
            vec![failure(ResultType::CertificateHostMismatch, mx, sessions / 2, Some("host-mismatch"))]
        }
        ("kontor-nord.example", 2, 0) => {
            vec![failure(ResultType::CertificateHostMismatch, "mx2.kontor-nord.example", 7, None)]
        }
        ("kontor-nord.example", 17, 0) => {
            vec![failure(ResultType::StsPolicyFetchError, "mx1.kontor-nord.example", 4, Some("timeout"))]
        }
        ("brandt-werke.example", 12, 2) => {
            vec![failure(ResultType::CertificateExpired, "mx1.brandt-werke.example", 9, None)]
        }
        ("praxis-lind.example", 5, 1) => {
            let mx = "mail.praxis-lind.example";
            vec![failure(ResultType::StarttlsNotSupported, mx, 3, Some("no STARTTLS in EHLO"))]
        }
        _ => Vec::new(),
    }
}

fn item(
    (organization, submitter, contact): &(&str, &str, &str),
    domain: &PolicyDomain,
    day: Date,
    back: i64,
    (successful, failure_details): (u64, Vec<FailureDetails>),
    (trust, verdict): (Trust, &str),
) -> IncomingItem {
    let failed = failure_details.iter().map(|f| f.failed_session_count).sum();
    let report = Report {
        organization_name: (*organization).to_owned(),
        date_range: range(day),
        contact_info: (*contact).to_owned(),
        report_id: format!("{day}T00:00:00Z_{domain}"),
        policies: vec![PolicyResult {
            policy: AppliedPolicy {
                policy_type: PolicyType::Sts,
                policy_string: ["version: STSv1", "mode: enforce", "mx: mx1", "max_age: 604800"]
                    .map(str::to_owned)
                    .into(),
                policy_domain: Some(domain.0.clone()),
                mx_host: vec![format!("*.{domain}")],
            },
            summary: Summary {
                total_successful_session_count: successful,
                total_failure_session_count: failed,
            },
            failure_details,
        }],
    };
    let raw = serde_json::to_vec_pretty(&report).expect("a report");
    IncomingItem {
        raw,
        source: if verdict == "none" { "https" } else { "maildir" }.into(),
        origin: format!("/var/mail/tls-rpt/new/{}.{submitter}", day),
        received_at: ago((back - 1) * 24 + 9),
        trust,
        dkim: (verdict != "none").then(|| DkimFacts {
            verdict: verdict.into(),
            signing_domain: Some((*submitter).to_owned()),
            selector: Some("20230601".into()),
            key_services: None,
            detail: "The signature covers From, TLS-Report-Domain and TLS-Report-Submitter.".into(),
        }),
        submitter: (*submitter).to_owned(),
        content: Content::Reports(vec![(report, Vec::new())]),
        findings: Vec::new(),
    }
}

/// HTTPS without proof: shown, never evidence.
fn weak() -> Vec<IncomingItem> {
    let who = ("Anonymous Relay", "relay.example", "postmaster@relay.example");
    (1..6)
        .map(|back| {
            let failures =
                vec![failure(ResultType::ValidationFailure, "mx1.brandt-werke.example", 900, None)];
            let domain = name("brandt-werke.example");
            item(&who, &domain, day(back), back, (12, failures), (Trust::Unauthenticated, "none"))
        })
        .collect()
}

/// Texts that nobody should believe: markup, a script address, a right-to-left override, a long word.
fn hostile() -> IncomingItem {
    let who = ("<script>alert(1)</script> \u{202e}gro.kcatta", "attacker.example", "\"><img src=x>");
    let mut bad = failure(
        ResultType::Other("<b onmouseover=alert(2)>invented</b>".into()),
        "mx\u{202e}elpmaxe.1xm",
        u64::MAX / 4096,
        Some("javascript:alert(document.cookie)"),
    );
    bad.additional_information =
        Some(format!("=HYPERLINK(\"http://attacker.example\") {}", "A".repeat(4_000)));
    bad.receiving_mx_helo = Some("bell\u{7}escape\u{1b}[31m".into());
    let domain = name("verein-sued.example");
    let mut item = item(&who, &domain, day(3), 3, (1, vec![bad]), (Trust::Unverified, "fail"));
    if let Content::Reports(reports) = &mut item.content
        && let Some((report, findings)) = reports.first_mut()
    {
        report.report_id = "=cmd|'/C calc'!A0</title><script>".into();
        let message = "the result type \"<b onmouseover=alert(2)>\" is not registered";
        findings.push(Finding::new("REP-046", Severity::Warning, "failure-details[0]", message));
    }
    item
}

/// Something that is no report.
fn broken() -> IncomingItem {
    let message = "the gzip data ends in the middle of a block after 2,048 bytes";
    IncomingItem {
        raw:
            b"From: <script>alert(3)</script>@attacker.example\r\nSubject: Report Domain: \xff\r\n\r\ncut off"
                .to_vec(),
        source: "maildir".into(),
        origin: "/var/mail/tls-rpt/new/1795500000.M1P2.mx".into(),
        received_at: ago(30),
        trust: Trust::Unverified,
        dkim: None,
        submitter: "attacker.example".into(),
        content: Content::Quarantined,
        findings: vec![Finding::new("REP-070", Severity::Error, "attachment 1", message)],
    }
}
