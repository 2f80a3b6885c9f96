//! Facts for tests: a domain with everything in order, to be spoiled one fault at a time.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use crate::dns::{Alias, Answer, Denial, DnsError, DnsResult, DnssecStatus, MxRecord, TlsaRdata, TxtRecord};
use crate::facts::{
    AddressProbe, CertificateFacts, DomainFacts, FetchCause, FetchError, FetchedPolicy, MxFacts,
    PolicyHostFacts, ProbeOutcome, TlsFacts,
};
use crate::{DomainName, MxHost, PolicyDomain};

pub(crate) const NOW: &str = "2026-03-16T12:00:00Z";

/// A self-signed certificate for mx1.example.com and mx2.example.com.
const CERTIFICATE: &str = include_str!("example.b64");

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn now() -> Timestamp {
    time(NOW)
}

pub(crate) fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub(crate) fn host(text: &str) -> MxHost {
    MxHost::parse(text).unwrap()
}

pub(crate) fn der() -> Vec<u8> {
    STANDARD.decode(CERTIFICATE.split_whitespace().collect::<String>()).unwrap()
}

pub(crate) fn secure<T>(records: Vec<T>) -> DnsResult<T> {
    answer(DnssecStatus::Secure, records)
}

pub(crate) fn insecure<T>(records: Vec<T>) -> DnsResult<T> {
    answer(DnssecStatus::Insecure, records)
}

fn answer<T>(status: DnssecStatus, records: Vec<T>) -> DnsResult<T> {
    let denial = records.is_empty().then_some(Denial::NoData);
    Ok(Answer { status, ttl: 300, aliases: Vec::new(), records, denial })
}

/// The same answer by way of an alias.
pub(crate) fn via<T>(result: DnsResult<T>, owner: &str, target: &str) -> DnsResult<T> {
    result
        .map(|answer| Answer { aliases: vec![Alias { owner: name(owner), target: name(target) }], ..answer })
}

pub(crate) fn servfail<T>() -> DnsResult<T> {
    Err(DnsError::ServerFailure(None))
}

pub(crate) fn txt(texts: &[&str]) -> Vec<TxtRecord> {
    texts.iter().map(|text| TxtRecord(text.as_bytes().to_vec())).collect()
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A certificate that ends at this time.
pub(crate) fn certificate(not_after: &str) -> CertificateFacts {
    CertificateFacts { not_after: time(not_after), ..crate::chain::describe(&der()).unwrap() }
}

pub(crate) fn tls(not_after: &str) -> TlsFacts {
    TlsFacts {
        version: "1.3".into(),
        cipher: "TLS13_AES_128_GCM_SHA256".into(),
        chain: vec![certificate(not_after)],
        web_pki: Vec::new(),
    }
}

pub(crate) fn probe(at: &str, outcome: ProbeOutcome) -> AddressProbe {
    AddressProbe { address: address(at), outcome, elapsed_ms: 40 }
}

/// `3 1 1` of the certificate presented.
pub(crate) fn tlsa_311() -> TlsaRdata {
    let digest = crate::chain::describe(&der()).unwrap().spki_sha256;
    let bytes: Vec<u8> =
        (0..digest.len()).step_by(2).map(|at| u8::from_str_radix(&digest[at..at + 2], 16).unwrap()).collect();
    tlsa(3, 1, 1, &bytes)
}

pub(crate) fn tlsa(usage: u8, selector: u8, matching: u8, data: &[u8]) -> TlsaRdata {
    TlsaRdata([&[usage, selector, matching], data].concat())
}

pub(crate) fn mx_host(host_name: &str, preference: u16, ip: &str) -> MxFacts {
    MxFacts {
        host: host(host_name),
        preference,
        ipv4: secure(vec![address(ip)]),
        ipv6: secure(Vec::new()),
        tlsa: secure(vec![tlsa_311(), tlsa(3, 1, 1, &[7; 32])]),
        probes: vec![probe(ip, ProbeOutcome::Tls(tls("2026-05-07T12:00:00Z")))],
    }
}

pub(crate) fn mx_record(preference: u16, exchange: &str) -> MxRecord {
    MxRecord { preference, exchange: MxHost::parse(exchange).map_err(|_| exchange.to_owned()) }
}

pub(crate) fn policy_text(mode: &str, hosts: &[&str], max_age: u32) -> String {
    let lines: String = hosts.iter().map(|host| format!("mx: {host}\n")).collect();
    format!("version: STSv1\nmode: {mode}\n{lines}max_age: {max_age}\n")
}

pub(crate) fn fetch_error(cause: FetchCause) -> FetchError {
    FetchError { detail: format!("as in the test: {}", cause.reason_code()), cause, chain: Vec::new() }
}

/// Serves this body, announced by an id that belongs to it.
pub(crate) fn serve(facts: &mut DomainFacts, body: &str) {
    let id = crate::rollout::policy_id(time("2026-03-02T10:05:00Z"), body.as_bytes());
    facts.sts_record = insecure(txt(&[&format!("v=STSv1; id={id};")]));
    facts.policy_host.fetch = Some(Ok(FetchedPolicy {
        body: body.as_bytes().to_vec(),
        content_type: Some("text/plain".into()),
        address: address("192.0.2.80"),
        chain: vec![certificate("2026-05-16T12:00:00Z")],
        elapsed_ms: 90,
    }));
}

/// example.com with two mail servers and everything in order: enforce, DANE on both, reports asked for.
pub(crate) fn perfect() -> DomainFacts {
    let mut facts = DomainFacts {
        domain: PolicyDomain::parse("example.com").unwrap(),
        observed_at: now(),
        sts_record: insecure(Vec::new()),
        tlsrpt_record: secure(txt(&["v=TLSRPTv1; rua=mailto:tls@reports.example"])),
        mx: secure(vec![mx_record(10, "mx1.example.com"), mx_record(20, "mx2.example.com")]),
        policy_host: PolicyHostFacts {
            addresses: secure(vec![address("192.0.2.80")]),
            fetch: None,
            by_address: Vec::new(),
        },
        hosts: vec![mx_host("mx1.example.com", 10, "192.0.2.1"), mx_host("mx2.example.com", 20, "192.0.2.2")],
    };
    serve(&mut facts, &policy_text("enforce", &["mx1.example.com", "mx2.example.com"], 1_209_600));
    facts
}

/// A domain without MTA-STS, DANE and TLS-RPT.
pub(crate) fn bare() -> DomainFacts {
    let mut facts = perfect();
    facts.sts_record = insecure(Vec::new());
    facts.tlsrpt_record = insecure(Vec::new());
    facts.policy_host.addresses = insecure(Vec::new());
    facts.policy_host.fetch = None;
    facts.mx = insecure(vec![mx_record(10, "mx1.example.com")]);
    facts.hosts.truncate(1);
    facts.hosts[0].ipv4 = insecure(vec![address("192.0.2.1")]);
    facts.hosts[0].ipv6 = insecure(Vec::new());
    facts.hosts[0].tlsa = insecure(Vec::new());
    facts
}
