//! `mailward dns DOMAIN`: what to publish, in order, and whether the world sees it.

use mailward_core::dns::DnsResult;
use mailward_core::mta_sts::publish::{self, PolicyHostTarget, Record, RecordType};
use mailward_core::{DomainName, PolicyDomain};
use mailward_net::{Outside, policy_host};
use mailward_store::domains::HeldDomain;
use mailward_web::Publishing;
use serde::Serialize;

use crate::Context;
use crate::args::DnsFormat;
use crate::commands::rollout::held;
use crate::config::PublishTable;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, faint, strong, wrap};
use crate::rooms;

/// TTL proposed: short, so that a way back is short (facts: 300 to 3600).
const TTL: u32 = 300;

#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    record: Record,
    /// `None`: could not be found out.
    seen: Option<bool>,
    #[serde(skip)]
    note: String,
}

/// Runs it.
pub async fn run(context: &Context, domain: &str, format: DnsFormat) -> Result {
    let domain = PolicyDomain::parse(domain)?;
    let store = rooms::store(&context.loaded.config).await?;
    let held = held(&store, &domain).await?;
    store.close().await;
    let records = to_publish(&held, &context.loaded.config.publish)?;
    if format == DnsFormat::Zone && !context.json() {
        for record in &records {
            match record.zone_line(TTL) {
                Some(line) => anstream::println!("{line}"),
                None => {
                    anstream::println!("; {} {}: {}", record.record_type.as_str(), record.name, record.reason)
                }
            }
        }
        return Ok(Outcome::Fine);
    }
    let outside = rooms::outside(&context.loaded.config, context.clock.clone())?;
    let mut lines = vec![];
    for record in records {
        lines.push(look(&outside, &domain, record).await);
    }
    if context.json() || format == DnsFormat::Json {
        output::print_json(&lines);
    } else {
        print(&domain, &lines);
    }
    Ok(Outcome::Fine)
}

/// Everything to publish for a domain held.
pub fn to_publish(held: &HeldDomain, table: &PublishTable) -> Result<Vec<Record>> {
    let target = publishing(table)?.policy_host;
    publish::records(&held.domain, &held.policy_id, &held.policy_body, &held.rua, &target)
        .map_err(Failure::from)
}

/// `[publish]`, as the dashboard takes it.
pub fn publishing(table: &PublishTable) -> Result<Publishing> {
    let policy_host = match &table.policy_host_name {
        Some(name) => PolicyHostTarget::Alias(DomainName::parse(name)?),
        None => PolicyHostTarget::Unknown,
    };
    Ok(Publishing { rua: table.rua.clone(), policy_host })
}

async fn look(outside: &Outside, domain: &PolicyDomain, mut record: Record) -> Line {
    let (seen, note) = match record.record_type {
        RecordType::Policy => served(outside, domain, &record).await,
        RecordType::Txt => match DomainName::parse(&record.name) {
            Ok(name) => text(
                outside.resolver.txt(&name).await.map(|a| a.records.iter().map(|r| r.text()).collect()),
                &record.value,
            ),
            Err(e) => (None, e.to_string()),
        },
        RecordType::A | RecordType::Aaaa | RecordType::Cname => match DomainName::parse(&record.name) {
            Ok(name) => address(outside, &name, &mut record).await,
            Err(e) => (None, e.to_string()),
        },
    };
    Line { record, seen, note }
}

fn text(
    answer: std::result::Result<Vec<String>, mailward_core::dns::DnsError>,
    wanted: &str,
) -> (Option<bool>, String) {
    match answer {
        Err(why) => (None, why.to_string()),
        Ok(texts) if texts.iter().any(|t| t == wanted) => (Some(true), String::new()),
        Ok(texts) if texts.is_empty() => (Some(false), "nothing is there yet".to_owned()),
        Ok(texts) => (Some(false), format!("the world sees {}", texts.join(" and "))),
    }
}

async fn address(outside: &Outside, name: &DomainName, record: &mut Record) -> (Option<bool>, String) {
    let (v4, v6) = tokio::join!(outside.resolver.ipv4(name), outside.resolver.ipv6(name));
    let target =
        |answer: &DnsResult<std::net::IpAddr>| answer.as_ref().ok().and_then(|a| a.expanded().cloned());
    let alias = target(&v4).or_else(|| target(&v6));
    let failed = match (&v4, &v6) {
        (Err(why), _) | (_, Err(why)) => Some(why.to_string()),
        _ => None,
    };
    let addresses: Vec<String> =
        [v4, v6].into_iter().flatten().flat_map(|a| a.records).map(|ip| ip.to_string()).collect();
    if addresses.is_empty() {
        return match failed {
            Some(why) => (None, why),
            None => (Some(false), "no address is there yet".to_owned()),
        };
    }
    match record.record_type {
        RecordType::Cname if alias.as_ref().map(DomainName::as_str) != Some(&record.value) => (
            Some(false),
            format!("the world sees {}", alias.map_or_else(|| addresses.join(", "), |a| a.to_string())),
        ),
        _ if record.value.is_empty() => {
            // The operator's own choice: what is there is what we show.
            let (first, kind) = (
                addresses[0].clone(),
                if addresses[0].contains(':') { RecordType::Aaaa } else { RecordType::A },
            );
            (record.value, record.record_type) = (first, kind);
            (Some(true), format!("the world sees {}", addresses.join(", ")))
        }
        _ => (
            Some(addresses.contains(&record.value) || record.record_type == RecordType::Cname),
            format!("the world sees {}", addresses.join(", ")),
        ),
    }
}

async fn served(outside: &Outside, domain: &PolicyDomain, record: &Record) -> (Option<bool>, String) {
    let Ok(host) = domain.policy_host() else { return (None, String::new()) };
    let (v4, v6) = tokio::join!(outside.resolver.ipv4(&host), outside.resolver.ipv6(&host));
    let failed = v4.as_ref().err().or(v6.as_ref().err()).map(ToString::to_string);
    let addresses: Vec<_> = [v4, v6].into_iter().flatten().flat_map(|a| a.records).collect();
    match failed {
        Some(why) if addresses.is_empty() => return (None, why),
        None if addresses.is_empty() => return (Some(false), format!("{host} has no address yet")),
        _ => {}
    }
    match policy_host::fetch(outside, domain, &addresses).await {
        Ok(fetched) if fetched.body == record.value.as_bytes() => (Some(true), String::new()),
        Ok(_) => (Some(false), "another policy is served there".to_owned()),
        Err(why) => (Some(false), why.to_string()),
    }
}

fn print(domain: &PolicyDomain, lines: &[Line]) {
    let missing = lines.iter().filter(|l| l.seen != Some(true)).count();
    let headline = match missing {
        0 => "The world sees everything that is to be published.".to_owned(),
        1 => "1 thing is left to publish. Go by the numbers: each waits for the one before.".to_owned(),
        n => format!("{n} things are left to publish. Go by the numbers: each waits for the one before."),
    };
    anstream::println!("{}  {headline}", strong(domain));
    for line in lines {
        let state = match line.seen {
            Some(true) => "● seen",
            Some(false) => "▲ not seen yet",
            None => "○ unknown",
        };
        let note = if line.note.is_empty() || line.seen == Some(true) {
            String::new()
        } else {
            format!(" ({})", output::clean(&line.note))
        };
        anstream::println!(
            "\n{}  {}  {}  {state}{note}",
            line.record.order,
            strong(line.record.record_type.as_str()),
            strong(&line.record.name)
        );
        for value in line.record.value.lines() {
            anstream::println!("     {}", output::clean(value));
        }
        if line.record.value.is_empty() {
            anstream::println!("     {}", faint("the public address of your policy host"));
        }
        anstream::println!("     {}", faint(wrap(&line.record.reason, 5)));
    }
}
