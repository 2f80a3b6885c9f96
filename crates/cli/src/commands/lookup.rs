//! `mailward lookup DOMAIN`: what a sender must do for this next hop right now by MTA-STS, and why.
//!
//! Looks live, with an empty cache: the same [`cache::step`] that a policy daemon takes.

use jiff::{SignedDuration, Timestamp};
use mailward_core::dns::MxRecord;
use mailward_core::mta_sts::cache::{self, FetchTrouble, Known, NoPolicy, RecordTrouble, Step};
use mailward_core::mta_sts::{Mode, StsPolicy, record};
use mailward_core::{MxHost, PolicyDomain};
use mailward_net::{Outside, policy_host};
use serde::Serialize;

use crate::Context;
use crate::exit::{Outcome, Result};
use crate::output::{self, strong, wrap};
use crate::rooms;

/// How long a record once seen is believed; of no effect on a look with an empty cache.
const RECHECK: SignedDuration = SignedDuration::from_hours(1);

/// Never matches: Postfix defers and its log shows why.
const NO_MATCH: &str = "mta-sts-no-mx-match.invalid";

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    domain: PolicyDomain,
    decision: &'static str,
    policy: Option<StsPolicy>,
    mx: Vec<Host>,
    postfix: String,
    expires_at: Option<Timestamp>,
    trace: Vec<String>,
}

#[derive(Serialize)]
struct Host {
    host: MxHost,
    allowed: bool,
    requirement: &'static str,
    why: String,
}

/// Runs it.
pub async fn run(context: &Context, domain: &str) -> Result {
    let domain = PolicyDomain::parse(domain)?;
    let outside = rooms::outside(&context.loaded.config, context.clock.clone())?;
    let mut trace = vec![];
    let found = discover(&outside, &domain, &mut trace).await?;
    let hosts = mx_hosts(&outside, &domain, &mut trace).await;
    let found_out = hosts.is_some();
    let document = decide(domain, found, hosts, trace);
    if context.json() {
        output::print_json(&document);
    } else {
        print(&document);
    }
    // Without the MX records nobody can send, or say how to.
    Ok(if found_out { Outcome::Fine } else { Outcome::Unknown })
}

/// Steps from an empty cache to a policy, or to the reason why none applies.
async fn discover(
    outside: &Outside,
    domain: &PolicyDomain,
    trace: &mut Vec<String>,
) -> Result<std::result::Result<(StsPolicy, Timestamp), NoPolicy>> {
    let (mut record, mut fetched) = (None, None);
    loop {
        let known = Known { record: record.as_ref(), fetched: fetched.as_ref(), ..Known::default() };
        match cache::step(known, RECHECK, outside.clock.now()) {
            Step::Serve { policy, expires_at, .. } => return Ok(Ok((policy, expires_at))),
            Step::NoPolicy(why) => return Ok(Err(why)),
            Step::AskRecord => record = Some(ask_record(outside, domain, trace).await?),
            Step::FetchPolicy { id } => {
                trace.push(format!("id {id} announced: fetching the policy"));
                fetched = Some(fetch(outside, domain, trace).await?);
            }
        }
    }
}

async fn ask_record(
    outside: &Outside,
    domain: &PolicyDomain,
    trace: &mut Vec<String>,
) -> Result<std::result::Result<Option<String>, RecordTrouble>> {
    let name = domain.sts_record_name()?;
    Ok(match outside.resolver.txt(&name).await {
        Err(why) => {
            trace.push(format!("TXT {name}: {why}"));
            Err(RecordTrouble::Dns(why))
        }
        Ok(answer) => match record::discover(&answer.records) {
            Ok(found) => {
                let seen =
                    found.as_ref().map_or_else(|| "no MTA-STS record".to_owned(), |r| format!("id {}", r.id));
                trace.push(format!("TXT {name}: {seen}"));
                Ok(found.map(|r| r.id))
            }
            Err(why) => {
                trace.push(format!("TXT {name}: {why}"));
                Err(RecordTrouble::Invalid(why))
            }
        },
    })
}

async fn fetch(
    outside: &Outside,
    domain: &PolicyDomain,
    trace: &mut Vec<String>,
) -> Result<std::result::Result<StsPolicy, FetchTrouble>> {
    let host = domain.policy_host()?;
    let (v4, v6) = tokio::join!(outside.resolver.ipv4(&host), outside.resolver.ipv6(&host));
    let addresses: Vec<_> = [v4, v6].into_iter().flatten().flat_map(|a| a.records).collect();
    Ok(match policy_host::fetch(outside, domain, &addresses).await {
        Ok(fetched) => match StsPolicy::parse(&fetched.body) {
            Ok(policy) => {
                trace.push(format!(
                    "https://{host}/.well-known/mta-sts.txt: mode {}, max_age {}",
                    policy.mode, policy.max_age
                ));
                Ok(policy)
            }
            Err(why) => {
                trace.push(format!("https://{host}/.well-known/mta-sts.txt: no policy: {why}"));
                Err(FetchTrouble::Invalid(why))
            }
        },
        Err(why) => {
            trace.push(format!("https://{host}/.well-known/mta-sts.txt: {why}"));
            Err(FetchTrouble::Fetch(why.cause))
        }
    })
}

/// The MX hosts by preference; the domain itself where there is no MX (reading A31); `None` when the
/// lookup fails.
async fn mx_hosts(outside: &Outside, domain: &PolicyDomain, trace: &mut Vec<String>) -> Option<Vec<MxHost>> {
    match outside.resolver.mx(domain).await {
        Ok(answer) if answer.is_absent() => {
            trace.push(format!("MX {domain}: none; the domain itself is the host"));
            Some(vec![MxHost((**domain).clone())])
        }
        Ok(answer) => {
            let hosts: Vec<MxHost> =
                answer.records.into_iter().filter_map(|r: MxRecord| r.exchange.ok()).collect();
            let names: Vec<&str> = hosts.iter().map(|h| h.as_str()).collect();
            trace.push(format!(
                "MX {domain}: {}",
                if names.is_empty() { "none that is a host".to_owned() } else { names.join(", ") }
            ));
            Some(hosts)
        }
        Err(why) => {
            trace.push(format!("MX {domain}: {why}"));
            None
        }
    }
}

fn decide(
    domain: PolicyDomain,
    found: std::result::Result<(StsPolicy, Timestamp), NoPolicy>,
    hosts: Option<Vec<MxHost>>,
    mut trace: Vec<String>,
) -> Document {
    let schema = "mailward.lookup/1";
    let hosts_known = hosts.is_some();
    let hosts = hosts.unwrap_or_default();
    let (policy, expires_at) = match found {
        Ok((policy, expires_at)) => (policy, expires_at),
        Err(why) => {
            trace.push(format!("so no MTA-STS policy applies: {}", why.sentence()));
            if !hosts_known {
                trace.push("so mail waits: nobody knows its mail servers now".to_owned());
                let postfix = format!("TEMP the MX records of {domain} could not be looked up");
                let decision = "defer";
                return Document {
                    schema,
                    domain,
                    decision,
                    policy: None,
                    mx: vec![],
                    postfix,
                    expires_at: None,
                    trace,
                };
            }
            let mx = hosts
                .into_iter()
                .map(|host| Host {
                    host,
                    allowed: true,
                    requirement: "opportunistic",
                    why: "no policy asks for more".to_owned(),
                })
                .collect();
            return Document {
                schema,
                domain,
                decision: "opportunistic",
                policy: None,
                mx,
                postfix: "NOTFOUND ".to_owned(),
                expires_at: None,
                trace,
            };
        }
    };
    let enforced = policy.mode == Mode::Enforce;
    let mx: Vec<Host> = hosts
        .into_iter()
        .map(|host| {
            let pattern = policy.matching(&host).map(ToString::to_string);
            let why = match &pattern {
                Some(pattern) => format!("matches {pattern}"),
                None => "no pattern of the policy matches".to_owned(),
            };
            let requirement = match (enforced, pattern.is_some()) {
                (false, _) => "opportunistic, failures are reported",
                (true, true) => "TLS with a trusted certificate for this name",
                (true, false) => "not to be used",
            };
            Host { host, allowed: !enforced || pattern.is_some(), requirement, why }
        })
        .collect();
    let none_allowed = enforced && hosts_known && !mx.iter().any(|h| h.allowed);
    let decision = match (enforced, none_allowed) {
        (false, _) => "mta-sts-testing",
        (true, true) => "defer",
        (true, false) => "mta-sts-enforce",
    };
    let sentence = match decision {
        "mta-sts-testing" => "so mail flows as before, and failures are reported",
        "defer" => "so mail is deferred: the policy is enforced and names none of the MX hosts",
        _ => "so only the hosts named may be used, over TLS with a trusted certificate for their name",
    };
    trace.push(sentence.to_owned());
    let postfix = if enforced { postfix_answer(&policy, &mx, hosts_known) } else { "NOTFOUND ".to_owned() };
    Document {
        schema,
        domain,
        decision,
        policy: Some(policy),
        mx,
        postfix,
        expires_at: Some(expires_at),
        trace,
    }
}

/// The socketmap answer: the exact names of the MX hosts that a pattern allows, never a dot form, which
/// Postfix would match at any depth.
fn postfix_answer(policy: &StsPolicy, mx: &[Host], hosts_known: bool) -> String {
    let mut names: Vec<String> = match hosts_known {
        true => mx.iter().filter(|h| h.allowed).map(|h| h.host.to_string()).collect(),
        false => policy.mx.iter().map(ToString::to_string).filter(|p| !p.starts_with('*')).collect(),
    };
    let mut seen = std::collections::HashSet::new();
    names.retain(|n| seen.insert(n.clone()));
    if names.is_empty() {
        names.push(NO_MATCH.to_owned());
    }
    format!("OK secure match={} servername=hostname", names.join(":"))
}

fn print(document: &Document) {
    anstream::println!("{}  {}", strong(&document.domain), strong(document.decision));
    for step in &document.trace {
        anstream::println!("  {}", wrap(&output::clean(step), 2));
    }
    for host in &document.mx {
        anstream::println!(
            "  {}  {} ({})",
            strong(host.host.as_str()),
            host.requirement,
            output::clean(&host.why)
        );
    }
    if let Some(until) = document.expires_at {
        anstream::println!("  a sender may keep this policy until {until}");
    }
    anstream::println!("  Postfix is told: {}", document.postfix.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(mode: &str, patterns: &[&str], hosts: Option<&[&str]>) -> (&'static str, String) {
        let mx: String = patterns.iter().map(|p| format!("mx: {p}\n")).collect();
        let policy =
            StsPolicy::parse(format!("version: STSv1\nmode: {mode}\n{mx}max_age: 86400\n").as_bytes())
                .unwrap();
        let hosts = hosts.map(|h| h.iter().map(|h| MxHost::parse(h).unwrap()).collect());
        let document = decide(
            PolicyDomain::parse("example.com").unwrap(),
            Ok((policy, Timestamp::UNIX_EPOCH)),
            hosts,
            vec![],
        );
        (document.decision, document.postfix)
    }

    #[test]
    fn answers_by_mode_and_mx() {
        let ok = |names: &str| format!("OK secure match={names} servername=hostname");
        for (mode, patterns, hosts, decision, postfix) in [
            (
                "enforce",
                &["*.example.com", "b.example"][..],
                Some(&["a.example.com", "b.example", "x.y.example.com"][..]),
                "mta-sts-enforce",
                ok("a.example.com:b.example"),
            ),
            ("enforce", &["a.example"], Some(&["b.example"]), "defer", ok(NO_MATCH)),
            ("enforce", &["a.example", "*.b.example"], None, "mta-sts-enforce", ok("a.example")),
            ("testing", &["a.example"], Some(&["b.example"]), "mta-sts-testing", "NOTFOUND ".to_owned()),
        ] {
            assert_eq!(decided(mode, patterns, hosts), (decision, postfix), "{mode} {patterns:?} {hosts:?}");
        }
    }
}
