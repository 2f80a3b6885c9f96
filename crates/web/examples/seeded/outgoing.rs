//! Outgoing reports of the believable store: in every state, with answers kind and hostile, addresses that are left
//! alone, and a day that is still counted.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use mailward_core::tlsrpt::datagram::{SessionFailure, SessionPolicy};
use mailward_core::tlsrpt::outgoing::TargetState;
use mailward_core::tlsrpt::tally::Reporter;
use mailward_core::tlsrpt::{PolicyType, ReportUri, ResultType, write};
use mailward_store::Store;
use mailward_store::outgoing::{ClaimLimits, Claimed, Made, NewOutgoing, NewTarget, Outcome, Suppression};
use mailward_store::tallies::{Increment, TallySource};

use crate::seed::{name, now};

/// Who reports.
pub fn author() -> Reporter {
    Reporter {
        organization: "Muster Post GmbH".into(),
        contact: "tls-rpt@muster-post.example".into(),
        probes: false,
    }
}

const HOSTILE: &str = "550 <script>alert(1)</script> \u{202e}gro.kcatta";

/// What became of an address.
struct To(&'static str, TargetState, &'static str);

/// Domain, days ago, passed and failed sessions, and where the report goes; nowhere: no record.
struct Row(&'static str, i64, u64, u64, &'static [To]);

const ROWS: &[Row] = &[
    Row(
        "handel-ost.example",
        3,
        1_204,
        0,
        &[To("mailto:tls@handel-ost.example", TargetState::Sent, "250 2.0.0 ok")],
    ),
    Row(
        "langsam.example",
        3,
        40,
        12,
        &[To("https://tls.langsam.example/v1", TargetState::GivenUp, "503 Service Unavailable")],
    ),
    Row("ohne.example", 3, 3, 0, &[]),
    Row(
        "handel-ost.example",
        2,
        1_380,
        2,
        &[To("mailto:tls@handel-ost.example", TargetState::Sent, "250 2.0.0 ok")],
    ),
    Row("feindlich.example", 2, 0, 9, &[To("mailto:x@feindlich.example", TargetState::Refused, HOSTILE)]),
    Row(
        "xn--mnchen-3ya.example",
        2,
        77,
        0,
        &[
            To("mailto:tls@xn--mnchen-3ya.example", TargetState::Sent, "250 2.0.0 ok"),
            To("https://rua.sammler.example/v1/tls", TargetState::Refused, "410 Gone"),
        ],
    ),
    Row(
        "handel-ost.example",
        1,
        1_193,
        0,
        &[To("mailto:tls@handel-ost.example", TargetState::Sent, "250 2.0.0 ok")],
    ),
    Row(
        "langsam.example",
        1,
        38,
        14,
        &[To("https://tls.langsam.example/v1", TargetState::Waiting, "the connection timed out after 10 s")],
    ),
    Row("probe-nord.example", 1, 5, 1, &[To("mailto:tls@probe-nord.example", TargetState::Due, "")]),
    Row("ruhe.example", 1, 9, 0, &[To("mailto:tls@ruhe.example", TargetState::Suppressed, "suppressed")]),
    Row(
        "xn--mnchen-3ya.example",
        1,
        80,
        0,
        &[To("mailto:tls@xn--mnchen-3ya.example", TargetState::Refused, "550 5.1.1 no such user")],
    ),
    Row("ohne.example", 1, 4, 0, &[]),
];

/// Fills the reporting side of a store.
///
/// # Panics
/// When the store refuses: this is a tool for development.
pub async fn fill(store: &Store) {
    let today = now().to_zoned(jiff::tz::TimeZone::UTC).date();
    for Row(domain, ago, passed, failed, to) in ROWS {
        let day = today.saturating_sub(jiff::Span::new().days(*ago));
        count(store, day, domain, *passed, *failed).await;
        make(store, day, domain, (*passed, *failed), to).await;
        settle(store, day, to).await;
    }
    for (domain, passed, failed) in
        [("handel-ost.example", 411, 0), ("langsam.example", 9, 4), ("stumm.example", 1, 0)]
    {
        count(store, today, domain, passed, failed).await;
    }
    for (what, days, author, reason) in [
        ("mailto:tls@ruhe.example", None, "token anna", "they asked us to stop, ticket 4711"),
        ("sammler.example", Some(30), "reporter", "3 reports in a row were not accepted: 410 Gone"),
    ] {
        let until = days.and_then(|days| now().checked_add(SignedDuration::from_hours(24 * days)).ok());
        let suppression = Suppression {
            what: what.into(),
            until,
            reason: reason.into(),
            author: author.into(),
            set_at: now().saturating_sub(SignedDuration::from_hours(30)).unwrap_or_default(),
        };
        store.suppress_outgoing(&suppression).await.expect("a suppression is kept");
    }
}

async fn count(store: &Store, day: Date, domain: &str, successful: u64, failed: u64) {
    let failure = SessionFailure {
        result_type: ResultType::CertificateExpired,
        sending_mta_ip: "192.0.2.1".parse().ok(),
        receiving_mx_hostname: Some(format!("mx1.{domain}")),
        receiving_mx_helo: Some(format!("mx1.{domain} <b>here</b>")),
        receiving_ip: "192.0.2.77".parse().ok(),
        additional_information: None,
        failure_reason_code: Some("certificate has expired".into()),
    };
    let increment = Increment {
        day,
        domain: name(domain),
        record: format!("v=TLSRPTv1; rua=mailto:tls@{domain},https://sammler.example/v1"),
        source: TallySource::MailServer,
        policy: SessionPolicy {
            policy_type: PolicyType::Sts,
            policy_domain: domain.parse().expect("a name of ours"),
            policy_string: vec!["version: STSv1".into(), "mode: enforce".into(), format!("mx: mx1.{domain}")],
            mx_host: vec![format!("mx1.{domain}")],
        },
        successful,
        failed,
        failures: if failed > 0 { vec![(failure, failed)] } else { Vec::new() },
    };
    store.add_tallies(&[increment]).await.expect("sessions are counted");
}

async fn make(store: &Store, day: Date, domain: &str, (successful, failed): (u64, u64), to: &[To]) {
    let tally = store.tally(day, &name(domain)).await.expect("the store answers").expect("it was counted");
    let report_id = format!("{}.{domain}.5f3a@muster-post.example", day.strftime("%Y%m%d"));
    let made = if to.is_empty() { Made::NoRecord } else { Made::Report };
    let (detail, gzip) = match made {
        Made::NoRecord => ("it publishes no TLS-RPT record", Vec::new()),
        _ => ("", write::gzip(&tally.report(&author(), &report_id))),
    };
    let target = |to: &To| {
        let uri = ReportUri::parse(to.0).expect("an address of ours");
        let host = uri.host();
        let lane = if to.0.starts_with("mailto:") { "mail".to_owned() } else { host.clone() };
        NewTarget { uri: to.0.into(), host, lane, first_try: first_try(day, to) }
    };
    let new = NewOutgoing {
        day,
        domain: name(domain),
        report_id,
        made,
        detail: detail.into(),
        successful,
        failed,
        gzip,
        targets: to.iter().map(target).collect(),
    };
    let end = midnight(day) + SignedDuration::from_hours(24) + SignedDuration::from_mins(6);
    assert_eq!(store.make_outgoing(&[new], end).await.expect("a report is kept"), 1);
}

fn midnight(day: Date) -> Timestamp {
    day.to_zoned(jiff::tz::TimeZone::UTC).expect("a day of ours").timestamp()
}

/// Some time on the next day; what is due leaves later than now.
fn first_try(day: Date, to: &To) -> Timestamp {
    match to.1 {
        TargetState::Due => now() + SignedDuration::from_mins(40),
        _ => midnight(day) + SignedDuration::from_hours(25),
    }
}

/// Tries what is not due, with the outcome told above.
async fn settle(store: &Store, day: Date, to: &[To]) {
    let limits = ClaimLimits { lease: SignedDuration::from_mins(5), targets: 9, mails: 9, per_host: 9 };
    let at = midnight(day) + SignedDuration::from_hours(25);
    for target in store.claim_outgoing(7, limits, at).await.expect("the store answers") {
        let To(_, state, answer) = to.iter().find(|to| to.0 == target.uri).expect("one of these");
        let waits = *state == TargetState::Waiting;
        let outcome = Outcome {
            state: *state,
            next_at: waits.then(|| now() + SignedDuration::from_mins(17)),
            answer: (*answer).into(),
        };
        finish(store, &target, &outcome, at).await;
    }
}

async fn finish(store: &Store, target: &Claimed, outcome: &Outcome, at: Timestamp) {
    assert!(store.finish_outgoing(7, target, outcome, at).await.expect("the store answers"), "it is ours");
}
