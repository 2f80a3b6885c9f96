//! Facts in words.

use jiff::Timestamp;
use mailward_core::delivery::{
    Branch, DaneBranch, DeliveryPolicy, HostAddresses, HostFacts, HostTlsa, Known, NextHopFacts,
    OnDnsFailure, Override, Require, decide,
};
use mailward_core::dns::{Answer, Denial, DnsError, DnssecStatus, MxRecord, TlsaRdata};
use mailward_core::mta_sts::StsPolicy;
use mailward_core::mta_sts::cache::NoPolicy;
use mailward_core::postfix::answer;
use mailward_core::postfix::socketmap::Map;
use mailward_core::{MxHost, PolicyDomain};

/// Seconds after the beginning.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A next hop and all that is known of it.
#[derive(Clone)]
pub struct Case {
    pub mx: &'static str,
    /// A word for each host.
    pub hosts: Vec<&'static str>,
    /// A word for the policy, or its patterns.
    pub sts: &'static str,
    pub on_dns_failure: OnDnsFailure,
    /// The branch known, and how many seconds ago.
    pub last: Option<(DaneBranch, i64)>,
    pub over: Option<Require>,
}

/// MX answer, hosts, MTA-STS.
pub fn case(mx: &'static str, hosts: &str, sts: &'static str) -> Case {
    let hosts = hosts.split_whitespace().map(|word| HOSTS.iter().copied().find(|h| *h == word).unwrap());
    Case { mx, hosts: hosts.collect(), sts, on_dns_failure: OnDnsFailure::LastKnown, last: None, over: None }
}

/// What may be known of a host.
const HOSTS: [&str; 12] = [
    "dane",
    "unusable",
    "none",
    "unsigned",
    "no-address",
    "failed",
    "bogus-tlsa",
    "no-route",
    "insecure-tlsa",
    "not-known",
    "alias",
    "not-asked",
];

/// The names of the hosts, by preference: `a.test`, `b.test`, `c.test`.
fn name(at: usize) -> String {
    format!("{}.test", char::from(b'a' + u8::try_from(at).unwrap()))
}

fn host(at: usize, word: &str) -> HostFacts {
    use DnssecStatus::{Bogus, Indeterminate, Insecure, Secure};
    let base = MxHost::parse(&name(at)).unwrap();
    let found =
        |rdata: &[u8]| HostTlsa::Found { base: base.0.clone(), records: vec![TlsaRdata(rdata.to_vec())] };
    let usable = [&[3, 1, 1][..], &[7; 32]].concat();
    let (addresses, tlsa) = match word {
        "dane" => (HostAddresses::Found(Secure), found(&usable)),
        // Usage 1 is not used at port 25 (reading A27).
        "unusable" => (HostAddresses::Found(Secure), found(&[&[1, 1, 1][..], &[7; 32]].concat())),
        "none" => (HostAddresses::Found(Secure), HostTlsa::None(Secure)),
        "insecure-tlsa" => (HostAddresses::Found(Secure), HostTlsa::None(Insecure)),
        "unsigned" => (HostAddresses::Found(Insecure), HostTlsa::NotAsked),
        // A secure alias into an unsigned zone, with records under the original name.
        "alias" => (HostAddresses::Found(Insecure), found(&usable)),
        "no-address" => (HostAddresses::Absent, HostTlsa::NotAsked),
        "no-route" => (HostAddresses::Failed(DnsError::Timeout), HostTlsa::NotAsked),
        "failed" => (HostAddresses::Found(Secure), HostTlsa::Failed(DnsError::ServerFailure(None))),
        "bogus-tlsa" => (HostAddresses::Found(Secure), HostTlsa::None(Bogus)),
        "not-known" => (HostAddresses::Found(Indeterminate), HostTlsa::NotAsked),
        "not-asked" => (HostAddresses::NotAsked, HostTlsa::NotAsked),
        other => panic!("{other}"),
    };
    HostFacts { host: base, preference: 10, addresses, tlsa, ttl: 600 }
}

impl Case {
    pub fn facts(&self) -> NextHopFacts {
        let records = |names: Vec<Result<MxHost, String>>, status| {
            let denial = names.is_empty().then_some(Denial::NoData);
            let records = names.into_iter().map(|exchange| MxRecord { preference: 10, exchange }).collect();
            Ok(Answer { status, ttl: 600, aliases: Vec::new(), records, denial })
        };
        let named = || (0..self.hosts.len()).map(|n| Ok(MxHost::parse(&name(n)).unwrap())).collect();
        let mx = match self.mx {
            "secure" => records(named(), DnssecStatus::Secure),
            "insecure" => records(named(), DnssecStatus::Insecure),
            "indeterminate" => records(named(), DnssecStatus::Indeterminate),
            "absent" => records(Vec::new(), DnssecStatus::Secure),
            "null" => records(vec![Err(".".into())], DnssecStatus::Secure),
            "address" => records(vec![Err("192.0.2.1".into())], DnssecStatus::Insecure),
            "error" => Err(DnsError::Timeout),
            other => panic!("{other}"),
        };
        let hosts = self.hosts.iter().enumerate().map(|(at, word)| host(at, word));
        let hosts = hosts.filter(|_| !matches!(self.mx, "null" | "address" | "error")).collect();
        // Without MX the domain is its own host.
        let domain = if self.mx == "absent" { "a.test" } else { "d.test" };
        NextHopFacts { domain: PolicyDomain::parse(domain).unwrap(), port: 25, mx, hosts }
    }

    pub fn decide(&self) -> DeliveryPolicy {
        self.decide_at(at(0))
    }

    pub fn decide_at(&self, now: Timestamp) -> DeliveryPolicy {
        let facts = self.facts();
        let policy = |mode: &str, patterns: &str| {
            let mx: String = patterns.split_whitespace().map(|p| format!("mx: {p}\n")).collect();
            StsPolicy::parse(format!("version: STSv1\nmode: {mode}\n{mx}max_age: 86400\n").as_bytes())
        };
        let sts = match self.sts.split_once(' ') {
            Some((mode, patterns)) => Ok(policy(mode, patterns).unwrap()),
            None => match self.sts {
                "none" => Ok(policy("none", "").unwrap()),
                "no-record" => Err(NoPolicy::NoRecord),
                "dns-unavailable" => Err(NoPolicy::DnsUnavailable(DnsError::Timeout)),
                "back-off" => Err(NoPolicy::BackOff),
                other => panic!("{other}"),
            },
        };
        let last = self.last.map(|(dane, age)| Branch {
            dane,
            mx: ["a.test", "b.test"].iter().map(|m| MxHost::parse(m).unwrap()).collect(),
            decided_at: at(-age),
            ttl: 600,
        });
        let over = self.over.map(|require| Override { require, until: None, reason: "by hand".into() });
        let known = Known {
            facts: &facts,
            sts: sts.as_ref(),
            last: last.as_ref(),
            on_dns_failure: self.on_dns_failure,
            over: over.as_ref(),
        };
        decide(&known, now)
    }

    /// What Postfix is told, in short.
    pub fn told(&self) -> String {
        told(&self.decide())
    }

    pub fn on_dns_failure(mut self, what: OnDnsFailure) -> Self {
        self.on_dns_failure = what;
        self
    }

    pub fn last(mut self, dane: DaneBranch, age: i64) -> Self {
        self.last = Some((dane, age));
        self
    }

    pub fn over(mut self, require: Require) -> Self {
        self.over = Some(require);
        self
    }
}

/// `dane-only`, `secure a.test:b.test`, `NOTFOUND`, `TEMP`.
pub fn told(policy: &DeliveryPolicy) -> String {
    let domain = PolicyDomain::parse("d.test").unwrap();
    let answer = answer::render(&domain, policy, None, Map::Plain);
    if answer.starts_with("TEMP") {
        return "TEMP".to_owned();
    }
    let answer = answer.strip_prefix("OK ").unwrap_or(&answer).trim_end();
    answer
        .replace("match=", "")
        .replace(" servername=hostname", "")
        .replace("mta-sts-no-mx-match.invalid", "nothing")
}
