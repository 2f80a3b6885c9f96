//! The policy of a domain as this sender finds and keeps it (RFC 8461 §3 and §5), written anew from the
//! RFC, and no line of it shared with the product.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use mailward_core::Clock;
use mailward_core::mta_sts::Mode;
use mailward_core::tlsrpt::ResultType;

use super::Surroundings;
use super::https::{Trust, exchange};
use super::tls::Failure;
use crate::dns::ask::{Flags, ask};

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What happens on failure.
    pub mode: Mode,
    /// Patterns, lower case.
    pub mx: Vec<String>,
    /// Seconds.
    pub max_age: u32,
    /// Its lines.
    pub lines: Vec<String>,
}

impl Policy {
    /// RFC 8461 §4.1: equal, or one label below a wildcard.
    pub(super) fn covers(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(base) => host.split_once('.').is_some_and(|(_, rest)| rest == base),
            None => pattern == host,
        })
    }
}

struct Kept {
    policy: Policy,
    id: String,
    fetched: Timestamp,
}

impl Kept {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.fetched) <= SignedDuration::from_secs(i64::from(self.policy.max_age))
    }
}

/// What this sender knows of policies.
#[derive(Default)]
pub(super) struct Cache {
    kept: HashMap<String, Kept>,
    /// The id whose fetch failed last, and when.
    failed: HashMap<String, (String, Timestamp, Failure)>,
}

/// The same id is not fetched again sooner after a failure (RFC 8461 §3.3).
const PAUSE: SignedDuration = SignedDuration::from_secs(300);
/// A policy is fetched again after so long even if its id stays (RFC 8461 §3.3 suggests daily).
const REFRESH: SignedDuration = SignedDuration::from_hours(24);

/// What was found.
pub(super) enum Found {
    Policy(Policy),
    /// There is none.
    Nothing,
    /// There should be one, and it cannot be had.
    Failed(Failure),
}

/// Looks for the policy of a domain: record, cache, policy host.
pub(super) async fn discover(surroundings: &Surroundings, cache: &mut Cache, domain: &str) -> Found {
    let now = surroundings.clock.now();
    let announced = record_id(surroundings, domain).await;
    let kept = cache.kept.get(domain).filter(|kept| kept.is_fresh(now));
    let Some(id) = announced else {
        // No record, or no answer: what is cached stays in force until it is over (RFC 8461 §3.1, §5.1).
        return kept.map_or(Found::Nothing, |kept| Found::Policy(kept.policy.clone()));
    };
    if let Some(kept) = kept
        && kept.id == id
        && now.duration_since(kept.fetched) < REFRESH
    {
        return Found::Policy(kept.policy.clone());
    }
    let paused =
        |(failed, at, _): &&(String, Timestamp, Failure)| *failed == id && now.duration_since(*at) < PAUSE;
    let fetched = match cache.failed.get(domain).filter(paused) {
        Some((_, _, failure)) => Err(failure.clone()),
        None => {
            let fetched = fetch(surroundings, domain).await;
            if let Err(failure) = &fetched {
                cache.failed.insert(domain.to_owned(), (id.clone(), now, failure.clone()));
            }
            fetched
        }
    };
    match fetched {
        Ok(policy) => {
            cache.failed.remove(domain);
            cache.kept.insert(domain.to_owned(), Kept { policy: policy.clone(), id, fetched: now });
            Found::Policy(policy)
        }
        Err(failure) => {
            // A cached policy outlives a failed fetch (RFC 8461 §3.3).
            let kept = cache.kept.get(domain).filter(|kept| kept.is_fresh(now));
            kept.map_or(Found::Failed(failure), |kept| Found::Policy(kept.policy.clone()))
        }
    }
}

async fn record_id(surroundings: &Surroundings, domain: &str) -> Option<String> {
    let reply =
        ask(surroundings.resolver(), &format!("_mta-sts.{domain}"), "TXT", Flags::default()).await.ok()?;
    let texts = reply.texts();
    let mut records = texts.iter().filter(|text| text.starts_with("v=STSv1;"));
    let (Some(record), None) = (records.next(), records.next()) else { return None };
    let id = record.split(';').find_map(|field| field.trim().strip_prefix("id="))?;
    let valid = (1..=32).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric());
    valid.then(|| id.to_owned())
}

async fn fetch(surroundings: &Surroundings, domain: &str) -> Result<Policy, Failure> {
    let body = fetch_body(surroundings, domain).await?;
    parse(&body).ok_or_else(|| Failure::new(ResultType::StsPolicyInvalid, "does not parse"))
}

/// RFC 8461 §3.3: HTTPS with a valid certificate, 200, text/plain, no redirect.
pub(super) async fn fetch_body(surroundings: &Surroundings, domain: &str) -> Result<Vec<u8>, Failure> {
    let failed = |reason: &str| Failure::new(ResultType::StsPolicyFetchError, reason);
    let host = format!("mta-sts.{domain}");
    let reply =
        ask(surroundings.resolver(), &host, "A", Flags::default()).await.map_err(|_| failed("dns"))?;
    let request = format!(
        "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lab-sender\r\nAccept: text/plain\r\n\
         Connection: close\r\n\r\n"
    );
    let addresses = reply.addresses();
    let port = surroundings.https_port;
    let response = exchange(surroundings, &host, &addresses, port, request.as_bytes(), Trust::Valid).await?;
    if response.status != 200 {
        return Err(failed(&format!("http-{}", response.status)));
    }
    let media_type = response.media_type.unwrap_or_default();
    if !media_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("text/plain")) {
        return Err(failed("media-type"));
    }
    Ok(response.body)
}

fn parse(body: &[u8]) -> Option<Policy> {
    let text = std::str::from_utf8(body).ok()?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let fields: Vec<(&str, &str)> =
        lines.iter().map(|line| line.split_once(':').map(|(k, v)| (k, v.trim()))).collect::<Option<_>>()?;
    let first = |key: &str| fields.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    if first("version")? != "STSv1" {
        return None;
    }
    let mode = match first("mode")? {
        "enforce" => Mode::Enforce,
        "testing" => Mode::Testing,
        "none" => Mode::None,
        _ => return None,
    };
    let mx: Vec<String> =
        fields.iter().filter(|(k, _)| *k == "mx").map(|(_, v)| v.to_ascii_lowercase()).collect();
    if mx.is_empty() && mode != Mode::None {
        return None;
    }
    let max_age = first("max_age")?.parse::<u32>().ok()?.min(31_557_600);
    Some(Policy { mode, mx, max_age, lines: lines.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let good = "version: STSv1\r\nmode: enforce\nmx: MX.a.test\nmx: *.b.test\nmax_age: 60\n";
        let policy = parse(good.as_bytes()).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, 60));
        for (host, covered) in [
            ("mx.a.test", true),
            ("x.b.test", true),
            ("x.y.b.test", false),
            ("b.test", false),
            ("a.test", false),
        ] {
            assert_eq!(policy.covers(host), covered, "{host}");
        }
        for bad in
            ["", "version: STSv2\nmode: none\nmax_age: 1\n", "version: STSv1\nmode: enforce\nmax_age: 1\n"]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
