//! Sessions as a large sender has them: some domains are written to all the time, most now and then, a few
//! are broken.

use std::collections::BTreeMap;

use jiff::civil::Date;
use mailward_core::tlsrpt::datagram::{SessionFailure, SessionPolicy};
use mailward_core::tlsrpt::{PolicyType, ResultType};
use mailward_core::{DomainName, PolicyDomain};
use mailward_store::tallies::{Increment, TallySource};

/// Of so many domains one has failures in every other session; elsewhere one session in [`RARE`] fails.
const BROKEN: usize = 33;
const RARE: u64 = 2_000;
/// Our own machines that send.
const NODES: u64 = 4;
/// MX hosts of a domain.
const HOSTS: u64 = 2;

/// Where sessions come from. The same ones in every run.
pub struct Sessions {
    a_second: f64,
    /// Sessions owed for seconds so far.
    owed: f64,
    /// Zipf's law: how much of all goes to the domains up to each.
    shares: Vec<f64>,
    state: u64,
}

#[derive(Default)]
struct Seen {
    successful: u64,
    failed: BTreeMap<(u64, u64), u64>,
}

impl Sessions {
    /// So many a day over so many domains.
    pub fn new(a_day: u64, domains: usize) -> Result<Self, String> {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=domains)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        if shares.is_empty() {
            return Err("no domains".to_owned());
        }
        Ok(Self { a_second: a_day as f64 / 86_400.0, owed: 0.0, shares, state: 0x9E37_79B9_7F4A_7C15 })
    }

    /// The sessions of so many seconds of a day, as the collector hands them over.
    pub fn take(&mut self, day: Date, seconds: u64) -> Result<Vec<Increment>, String> {
        self.owed += self.a_second * seconds as f64;
        let mut seen: BTreeMap<usize, Seen> = BTreeMap::new();
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            let at = self.random() as f64 / u64::MAX as f64;
            let domain = self.shares.partition_point(|share| *share < at).min(self.shares.len() - 1);
            let fails = if domain.is_multiple_of(BROKEN) { 2 } else { RARE };
            let sum = seen.entry(domain).or_default();
            if self.random().is_multiple_of(fails) {
                *sum.failed.entry((self.random() % HOSTS, self.random() % NODES)).or_default() += 1;
            } else {
                sum.successful += 1;
            }
        }
        seen.into_iter().map(|(domain, sum)| increment(day, domain, sum)).collect()
    }

    /// xorshift64*.
    fn random(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

fn increment(day: Date, number: usize, seen: Seen) -> Result<Increment, String> {
    let name = format!("d{number}.test");
    let kind = |(host, node): (u64, u64)| SessionFailure {
        result_type: ResultType::CertificateExpired,
        sending_mta_ip: format!("192.0.2.{node}").parse().ok(),
        receiving_mx_hostname: Some(format!("mx{host}.{name}")),
        receiving_mx_helo: Some(format!("mx{host}.{name}")),
        receiving_ip: format!("198.51.100.{host}").parse().ok(),
        additional_information: None,
        failure_reason_code: Some("certificate has expired".into()),
    };
    Ok(Increment {
        day,
        domain: PolicyDomain::parse(&name).map_err(|e| e.to_string())?,
        record: format!("v=TLSRPTv1; rua=mailto:tls-reports@{name}"),
        source: TallySource::MailServer,
        policy: policy(day, number, &name)?,
        successful: seen.successful,
        failed: seen.failed.values().sum(),
        failures: seen.failed.into_iter().map(|(key, sessions)| (kind(key), sessions)).collect(),
    })
}

/// Six in ten have MTA-STS, and one of a hundred changes on each day; 15 of 100 have DANE; the rest nothing.
fn policy(day: Date, number: usize, name: &str) -> Result<SessionPolicy, String> {
    let policy_domain = DomainName::parse(name).map_err(|e| e.to_string())?;
    let (policy_type, policy_string, mx_host) = match number % 20 {
        0..12 => {
            let today = usize::try_from(day.day_of_year()).unwrap_or(0);
            let changed = (number + today).is_multiple_of(100);
            let age = if changed { 604_800 + today } else { 604_800 };
            let lines =
                ["version: STSv1", "mode: enforce", &format!("mx: *.{name}"), &format!("max_age: {age}")];
            (PolicyType::Sts, lines.map(str::to_owned).to_vec(), vec![format!("*.{name}")])
        }
        12..15 => {
            let record = format!("3 1 1 {number:064x}");
            (PolicyType::Tlsa, vec![record], (0..HOSTS).map(|host| format!("mx{host}.{name}")).collect())
        }
        _ => (PolicyType::NoPolicyFound, vec![], vec![]),
    };
    Ok(SessionPolicy { policy_type, policy_domain, policy_string, mx_host })
}
