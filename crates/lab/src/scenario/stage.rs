//! The world of a scenario, set up before the product starts in it.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};

use super::{AttackSpec, Scenario, ZoneSpec};
use crate::attacker::Tampering;
use crate::paths::Attacker;
use crate::sender::Sender;
use crate::world::{World, WorldOptions};

/// A world in which a scenario is about to be played.
pub struct Stage {
    /// The world; the product is started in it.
    pub world: World,
    /// The story.
    pub scenario: Scenario,
    pub(super) senders: BTreeMap<String, Sender>,
    pub(super) attackers: BTreeMap<String, Attacker>,
    pub(super) mx: BTreeMap<String, Ipv4Addr>,
}

impl Stage {
    /// Sets the stage: the world begins as many days before `now` as the scenario says.
    ///
    /// # Errors
    /// When the world cannot be started, or the scenario names something that is not there.
    pub fn set(scenario: Scenario, now: Timestamp, options: &WorldOptions) -> io::Result<Self> {
        let days = SignedDuration::from_hours(24) * i32::try_from(scenario.starts_days_ago).unwrap_or(0);
        let begin = now.checked_sub(days).map_err(io::Error::other)?;
        let world = World::start(&WorldOptions { now: begin, ..options.clone() })?;
        for zone in &scenario.zones {
            records(&world, zone)?;
        }
        let mut mx = BTreeMap::new();
        for host in &scenario.mx {
            let address = world.mx(&host.host, host.behaviour.clone(), host.certificate)?;
            mx.insert(host.host.clone(), address);
        }
        for policy in &scenario.policies {
            world.policy(&policy.domain, &policy.body, policy.answer.clone(), policy.certificate)?;
            if let Some(id) = &policy.id {
                world.announce(&policy.domain, id).map_err(io::Error::other)?;
            }
        }
        let mut senders = BTreeMap::new();
        for spec in &scenario.senders {
            senders.insert(spec.domain.clone(), world.sender(spec)?);
        }
        let mut attackers = BTreeMap::new();
        for spec in &scenario.attackers {
            let of: Vec<&str> = spec.senders.iter().map(String::as_str).collect();
            let victim = |host: &String| {
                mx.get(host).copied().ok_or_else(|| io::Error::other(format!("{host} is no MX host here")))
            };
            let attacker = match &spec.attack {
                AttackSpec::StripStarttls { mx } => {
                    world.intercept(&of, victim(mx)?, Tampering::StripStarttls)?
                }
                AttackSpec::Inject { mx } => {
                    world.intercept(&of, victim(mx)?, Tampering::Inject("250 injected".into()))?
                }
                AttackSpec::Redirect { domain, to } => world.redirect(&of, domain, to)?,
            };
            attackers.insert(spec.name.clone(), attacker);
        }
        Ok(Self { world, scenario, senders, attackers, mx })
    }
}

fn records(world: &World, zone: &ZoneSpec) -> io::Result<()> {
    world.zone(&zone.name, zone.security).map_err(io::Error::other)?;
    for line in &zone.records {
        let wrong = || io::Error::other(format!("{line:?} is no record: OWNER TYPE DATA"));
        let (owner, rest) = line.split_once(' ').ok_or_else(wrong)?;
        let (rtype, data) = rest.trim_start().split_once(' ').ok_or_else(wrong)?;
        let owner = match owner {
            "@" => zone.name.clone(),
            absolute if absolute.ends_with('.') => absolute.to_owned(),
            relative => format!("{relative}.{}", zone.name),
        };
        world.dns.add(&owner, rtype, data.trim()).map_err(io::Error::other)?;
    }
    Ok(())
}
