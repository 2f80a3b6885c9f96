//! A world for senders, in a process of its own: many domains with one MX and an enforced policy each,
//! unsigned, and orders to change, break and heal them while it runs.
//!
//! Domains share 64 MX names and 64 addresses of policy hosts, so that no limit for each address hides
//! the speed of the asker. Certificates are made at the first handshake.

use std::io::BufRead;
use std::net::Ipv4Addr;

use mailward_lab::{Answer, CertificateKind, Fault, Security, World, WorldOptions};

use crate::{measure, world};

/// Addresses of policy hosts, and names of MX hosts.
pub const SHARED: usize = 64;

/// The name of a domain by number.
pub fn domain(number: usize) -> String {
    format!("d{number:05}.bench.test")
}

/// The name of the MX host of a domain by number.
pub fn mx(number: usize) -> String {
    format!("mx{}.bench.test", number % SHARED)
}

/// The policy of a domain by number and version: one pattern more than needed shows the version.
pub fn policy(number: usize, version: u32, max_age: u32) -> String {
    let (mx, domain) = (mx(number), domain(number));
    format!("version: STSv1\nmode: enforce\nmx: {mx}\nmx: v{version}.{domain}\nmax_age: {max_age}\n")
}

/// The max_age of the first version: an hour for some domains, two weeks for most.
pub fn first_max_age(number: usize) -> u32 {
    if matches!(number % 10, 1..=3) { 3_600 } else { 1_209_600 }
}

/// What can be ordered: each order is one line to the world's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A domain has another policy under another id from now on.
    Version(usize, u32, u32),
    /// The policy host of a domain answers with this status; with 200 as it should.
    Status(usize, u16),
    /// The address of policy hosts with this number listens, or does not.
    Listens(usize, bool),
    /// The DNS tells of a domain, or fails.
    Dns(usize, bool),
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(number, version, max_age) => write!(f, "version {number} {version} {max_age}"),
            Self::Status(number, status) => write!(f, "status {number} {status}"),
            Self::Listens(address, up) => write!(f, "listens {address} {}", u8::from(*up)),
            Self::Dns(number, works) => write!(f, "dns {number} {}", u8::from(*works)),
        }
    }
}

/// The child: so many domains, until its input ends.
pub fn serve(domains: usize) -> Result<(), String> {
    let options = WorldOptions { now: measure::now(), ..WorldOptions::default() };
    let world = World::start(&options).map_err(|e| e.to_string())?;
    world.zone("bench.test", Security::Unsigned).map_err(|e| e.to_string())?;
    let mut addresses = Vec::with_capacity(SHARED);
    for number in 0..SHARED {
        let address = world.address();
        world.policy_hosts.up(address).map_err(|e| e.to_string())?;
        addresses.push(address);
        set(&world, &mx(number), "A", "127.0.0.1")?;
    }
    for number in 0..domains {
        let name = domain(number);
        let host = format!("mta-sts.{name}");
        world.policy_hosts.set_later(
            &host,
            &policy(number, 0, first_max_age(number)),
            CertificateKind::Direct,
        );
        set(&world, &name, "MX", &format!("10 {}.", mx(number)))?;
        set(&world, &host, "A", &addresses[number % SHARED].to_string())?;
        world.announce(&name, "v0").map_err(|e| e.to_string())?;
    }
    world::introduce(&world, &addresses, &[]);
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match obey(&world, &addresses, &line) {
            Ok(()) => println!("{}", world.dns.questions()),
            Err(why) => println!("{line}: {why}"),
        }
    }
    Ok(())
}

fn set(world: &World, owner: &str, rtype: &str, data: &str) -> Result<(), String> {
    world.set(owner, rtype, &[data]).map_err(|e| format!("{owner} {rtype}: {e}"))
}

fn obey(world: &World, addresses: &[Ipv4Addr], line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split(' ').collect();
    let number =
        |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok()).ok_or("a number is missing");
    match words[0] {
        "questions" => Ok(()),
        "version" => {
            let (of, version, max_age) = (number(1)? as usize, number(2)?, number(3)?);
            let name = domain(of);
            world.policy_hosts.set_body(&format!("mta-sts.{name}"), &policy(of, version, max_age));
            world.announce(&name, &format!("v{version}")).map_err(|e| e.to_string())
        }
        "status" => {
            let status = u16::try_from(number(2)?).map_err(|e| e.to_string())?;
            let answer = if status == 200 { Answer::Ok } else { Answer::Status(status) };
            world.policy_hosts.set_answer(&format!("mta-sts.{}", domain(number(1)? as usize)), answer);
            Ok(())
        }
        "listens" => {
            let address = *addresses.get(number(1)? as usize).ok_or("no such address")?;
            match number(2)? {
                0 => world.policy_hosts.down(address),
                _ => world.policy_hosts.up(address).map_err(|e| e.to_string())?,
            }
            Ok(())
        }
        "dns" => {
            let name = domain(number(1)? as usize);
            let fault = (number(2)? == 0).then_some(Fault::ServFail);
            for owner in [name.clone(), format!("_mta-sts.{name}")] {
                world.dns.fault(&owner, None, fault).map_err(|e| e.to_string())?;
            }
            Ok(())
        }
        _ => Err("no order".to_owned()),
    }
}
