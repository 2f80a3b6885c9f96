//! The sending side of the believable store: policies of others that hold, fail and ran out, overrides, and
//! a cache that answers without a network.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use mailward_core::PolicyDomain;
use mailward_core::delivery::{Override, Require};
use mailward_core::mta_sts::{Mode, StsPolicy};
use mailward_store::Store;
use mailward_store::policies::{Branch, HeldPolicy, KnownPolicy, RefreshFailure};
use mailward_web::{CacheSize, Explaining, Lookup, LookupHost, RecentDecision, Sending};

use crate::seed::{name, now};

fn ago(hours: i64) -> Timestamp {
    now().saturating_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn body(domain: &str, mode: Mode, max_age: u32) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: mx1.{domain}\r\nmax_age: {max_age}\r\n")
}

/// Domain, mode and max_age and hours since the fetch, a failure, the word of DANE.
type Row = (&'static str, Option<(Mode, u32, i64)>, Option<&'static str>, Option<&'static str>);

const KNOWN: &[Row] = &[
    ("handel-ost.example", Some((Mode::Enforce, 604_800, 5)), None, Some("absent")),
    ("langsam.example", Some((Mode::Enforce, 86_400, 12)), Some("the fetch timed out"), Some("absent")),
    ("probe-nord.example", Some((Mode::Testing, 86_400, 2)), None, Some("partial")),
    ("abgelaufen.example", Some((Mode::Enforce, 86_400, 200)), None, Some("absent")),
    ("feindlich.example", None, Some("<script>alert(1)</script> \u{202e}gro.kcatta"), None),
    ("dane-fest.example", None, None, Some("full")),
    ("xn--mnchen-3ya.example", None, None, Some("absent")),
];

/// Fills the sending side of a store.
///
/// # Panics
/// When the store refuses: this is a tool for development.
pub async fn fill(store: &Store) {
    let rows: Vec<KnownPolicy> = KNOWN.iter().map(known).collect();
    store.put_known_policies(&rows).await.expect("policies are stored");
    for (domain, require, hours, reason) in [
        ("kaputt.example", Require::None, Some(-70), "their certificate ran out on 2026-11-20; told them"),
        ("bank-am-see.example", Require::Dane, None, "agreed with them in the contract of 2026"),
        ("alt.example", Require::Encrypt, Some(90), "until their new gateway was there"),
    ] {
        let over = Override { require, until: hours.map(ago), reason: reason.into() };
        store.put_override(&name(domain), &over, "token anna", ago(100)).await.expect("an override is kept");
    }
}

fn known((domain, policy, failure, branch): &Row) -> KnownPolicy {
    KnownPolicy {
        domain: name(domain),
        policy: policy.map(|(mode, max_age, hours)| HeldPolicy {
            id: "20261101T090000Z".into(),
            body: body(domain, mode, max_age).into_bytes(),
            mode,
            max_age,
            fetched_at: ago(hours),
            record_seen_at: ago(1),
        }),
        failure: failure.map(|detail| RefreshFailure {
            id: Some("20261123T101500Z".into()),
            since: ago(8),
            last_at: ago(1),
            reason: "fetch-failed".into(),
            detail: detail.into(),
        }),
        branch: branch.map(|kind| Branch {
            kind: kind.into(),
            mx: vec![format!("mx1.{domain}")],
            decided_at: ago(1),
            ttl: 3_600,
        }),
        used_at: ago(1),
    }
}

/// How often the cache was asked.
pub static ASKED: AtomicU64 = AtomicU64::new(0);
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Whether the cache was asked about a domain.
#[allow(dead_code, reason = "the tests ask; the example does not")]
pub fn was_asked(domain: &str) -> bool {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|asked| asked == domain)
}

/// A cache that knows the rows above.
pub fn cache() -> Arc<dyn Sending> {
    Arc::new(Cache)
}

struct Cache;

impl Sending for Cache {
    fn places(&self) -> Vec<String> {
        vec!["unix:/run/mailward/policyd.sock".into(), "inet:127.0.0.1:8461".into()]
    }

    fn size(&self) -> CacheSize {
        CacheSize { entries: 7, bytes: 4_321_000, lookups: 1, evicted: 0 }
    }

    fn recent(&self) -> Vec<RecentDecision> {
        let one = |n: usize, (domain, ..): &Row| {
            let told = explained(&name(domain));
            RecentDecision {
                at: now().saturating_sub(SignedDuration::from_mins(4 * n as i64 + 1)).unwrap_or_default(),
                domain: told.domain,
                port: if n == 3 { 26 } else { 25 },
                level: match told.decision.as_str() {
                    "dane" => "dane-only",
                    "mta-sts-enforce" => "secure",
                    _ => "no-demand",
                }
                .into(),
                decision: told.decision,
                trace: told.trace,
                took_ms: 37 + 211 * n as u64,
            }
        };
        (0..40).map(|n| one(n, &KNOWN[n % KNOWN.len()])).collect()
    }

    fn explain<'a>(&'a self, domain: &'a PolicyDomain) -> Explaining<'a> {
        ASKED.fetch_add(1, SeqCst);
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).push(domain.to_string());
        Box::pin(async move { explained(domain) })
    }
}

fn explained(domain: &PolicyDomain) -> Lookup {
    let row = KNOWN.iter().find(|(known, ..)| *known == domain.as_str());
    let held = row.and_then(|(_, policy, ..)| *policy);
    let live = held.filter(|(_, max_age, hours)| hours * 3_600 < i64::from(*max_age));
    let enforced = live.is_some_and(|(mode, ..)| mode == Mode::Enforce);
    let is_dane = row.is_some_and(|(.., branch)| *branch == Some("full"));
    let host = format!("mx1.{domain}");
    let (decision, requirement, conclusion) = match (is_dane, enforced, live) {
        (true, ..) => (
            "dane",
            "TLS with a certificate that matches a TLSA record",
            "so every mail server used must show a certificate that matches its TLSA records",
        ),
        (_, true, _) => (
            "mta-sts-enforce",
            "TLS with a trusted certificate for this name",
            "so only the hosts named may be used, over TLS with a trusted certificate for their name",
        ),
        (.., Some(_)) => {
            ("mta-sts-testing", "TLS where it works", "so mail flows as before, and failures are reported")
        }
        _ => (
            "opportunistic",
            "TLS where it works",
            "so nothing is demanded: the mail server's own level applies",
        ),
    };
    let failure = row.and_then(|(_, _, failure, _)| *failure).unwrap_or("no failure");
    let secure = format!("OK secure match={host} servername=hostname");
    let postfix = if is_dane {
        "OK dane-only".into()
    } else if enforced {
        secure
    } else {
        "NOTFOUND ".to_owned()
    };
    Lookup {
        schema: "mailward.lookup/1",
        domain: domain.clone(),
        decision: decision.into(),
        policy: live.and_then(|(mode, max_age, _)| {
            StsPolicy::parse(body(domain.as_str(), mode, max_age).as_bytes()).ok()
        }),
        mx: vec![
            LookupHost {
                host: host.clone(),
                allowed: true,
                requirement: requirement.into(),
                why: format!("matches {host}"),
            },
            LookupHost {
                host: format!("fallback.{domain}"),
                allowed: !enforced,
                requirement: if enforced { "not to be used" } else { requirement }.into(),
                why: if enforced { "no pattern of the policy matches" } else { "no policy asks for more" }
                    .into(),
            },
        ],
        postfix_tlsrpt: if enforced {
            format!("{postfix} policy_type=sts policy_domain={domain} policy_ttl=86400")
        } else {
            postfix.clone()
        },
        postfix,
        operator: None,
        expires_at: live
            .map(|(_, max_age, hours)| ago(hours) + SignedDuration::from_secs(i64::from(max_age))),
        trace: vec![
            format!("TXT _mta-sts.{domain}: {failure}"),
            format!("MX {domain}: {host}, fallback.{domain}; not signed"),
            "no mail server has secure TLSA records: no DANE".into(),
            conclusion.into(),
        ],
        source: "cache",
    }
}
