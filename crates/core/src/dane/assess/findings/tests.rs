use rcgen::DnType;
use sha2::{Digest, Sha256, Sha512};

use super::*;
use crate::chain::minting::*;
use crate::dane::{Tlsa, assess};
use crate::dns::TlsaRdata;

const HOST: &str = "mx.example.com";

struct World {
    root: Minted,
    leaf: Minted,
}

impl World {
    fn new(leaf: rcgen::CertificateParams) -> Self {
        let root = self_signed(authority("root"));
        Self { leaf: signed(leaf, &root), root }
    }

    fn findings(&self, records: &[TlsaRdata]) -> Vec<(String, Severity)> {
        let chain = [self.leaf.der.clone(), self.root.der.clone()];
        let assessment = assess(records, &chain, &[host(HOST)], now());
        findings(HOST, &assessment).into_iter().map(|f| (f.id, f.severity)).collect()
    }

    fn leaf(&self, usage: u8, selector: u8, matching: u8) -> TlsaRdata {
        record(usage, selector, matching, &self.leaf)
    }

    fn root(&self, usage: u8, selector: u8, matching: u8) -> TlsaRdata {
        record(usage, selector, matching, &self.root)
    }
}

fn record(usage: u8, selector: u8, matching: u8, of: &Minted) -> TlsaRdata {
    let key = crate::chain::Certificate::parse(&of.der).unwrap().spki().to_vec();
    let whole = if selector == 0 { of.der.clone() } else { key };
    let data = match matching {
        0 => whole,
        1 => Sha256::digest(whole).to_vec(),
        _ => Sha512::digest(whole).to_vec(),
    };
    TlsaRdata(Tlsa { usage, selector, matching, data }.to_wire())
}

/// A record of this kind that matches nothing.
fn other(usage: u8, selector: u8, matching: u8) -> TlsaRdata {
    let octets = if matching == 2 { 64 } else { 32 };
    TlsaRdata([&[usage, selector, matching][..], &vec![0; octets]].concat())
}

#[test]
fn every_fault_of_a_set_has_its_finding() {
    use Severity::{Error, Info, Warning};
    let good = World::new(server(&[HOST]));
    let misnamed = World::new(server(&["other.example"]));
    let old = World::new(expired(server(&[HOST])));
    let short = || TlsaRdata(vec![3, 1, 1, 0xab]);
    let many: Vec<TlsaRdata> = (0..13)
        .map(|n| if n == 0 { good.leaf(3, 1, 1) } else { TlsaRdata([&[3, 1, 1][..], &[n; 32]].concat()) })
        .collect();
    type Row<'w> = (&'static str, &'w World, Vec<TlsaRdata>, Vec<(&'static str, Severity)>);
    let rows: Vec<Row<'_>> = vec![
        ("this key and the next", &good, vec![good.leaf(3, 1, 1), other(3, 1, 1)], vec![]),
        ("this key and an anchor", &good, vec![good.leaf(3, 1, 1), good.root(2, 1, 1)], vec![]),
        ("only an anchor", &good, vec![good.root(2, 0, 1)], vec![]),
        ("only this key", &good, vec![good.leaf(3, 1, 1)], vec![("DANE-011", Info)]),
        ("this key twice", &good, vec![good.leaf(3, 1, 1); 2], vec![("DANE-011", Info)]),
        (
            "this key by two digests",
            &good,
            vec![good.leaf(3, 1, 1), good.leaf(3, 1, 2)],
            vec![("DANE-011", Info)],
        ),
        ("a certificate", &good, vec![good.leaf(3, 0, 1), other(3, 0, 1)], vec![("DANE-009", Warning)]),
        ("a whole key", &good, vec![good.leaf(3, 1, 0), good.root(2, 1, 1)], vec![("DANE-010", Warning)]),
        ("another key", &good, vec![other(3, 1, 1)], vec![("DANE-004", Error)]),
        ("another anchor", &good, vec![other(2, 1, 1)], vec![("DANE-004", Error)]),
        ("an unused usage", &good, vec![other(1, 1, 1)], vec![("DANE-003", Error), ("DANE-002", Warning)]),
        ("an unknown usage", &good, vec![other(9, 1, 1)], vec![("DANE-003", Error)]),
        ("nothing but a broken one", &good, vec![short()], vec![("DANE-003", Error), ("DANE-016", Error)]),
        (
            "a broken one beside",
            &good,
            vec![short(), good.leaf(3, 1, 1), other(3, 1, 1)],
            vec![("DANE-016", Error)],
        ),
        (
            "a kind without a match",
            &good,
            vec![other(3, 1, 1), good.root(2, 1, 1)],
            vec![("DANE-005", Error)],
        ),
        ("the strongest fails", &good, vec![other(3, 1, 2), good.leaf(3, 1, 1)], vec![("DANE-006", Error)]),
        (
            "the strongest fails, an anchor matches",
            &good,
            vec![other(3, 1, 2), good.leaf(3, 1, 1), good.root(2, 1, 1)],
            vec![("DANE-006", Warning)],
        ),
        ("another name", &misnamed, vec![misnamed.root(2, 1, 1)], vec![("DANE-007", Error)]),
        (
            "another name, and the key",
            &misnamed,
            vec![misnamed.leaf(3, 1, 1), misnamed.root(2, 1, 1)],
            vec![("DANE-007", Warning), ("DANE-008", Info)],
        ),
        ("expired", &old, vec![old.root(2, 1, 1)], vec![("DANE-007", Error)]),
        ("expired under usage 3", &old, vec![old.leaf(3, 1, 1), other(3, 1, 1)], vec![("DANE-008", Info)]),
        ("many", &good, many, vec![("DANE-014", Warning)]),
        ("none", &good, vec![], vec![("DANE-003", Error)]),
    ];
    for (why, world, records, expected) in rows {
        let found = world.findings(&records);
        let found: Vec<(&str, Severity)> =
            found.iter().map(|(id, severity)| (id.as_str(), *severity)).collect();
        assert_eq!(found, expected, "{why}");
    }
}

#[test]
fn an_anchor_from_the_dns_is_better_sent() {
    let world = World::new(server(&[HOST]));
    let chain = [world.leaf.der.clone()];
    let assessment = assess(&[world.root(2, 0, 0)], &chain, &[host(HOST)], now());
    assert_eq!((assessment.verdict, assessment.usable[0].anchor), (DaneVerdict::Match(0), None));
    let ids: Vec<_> = findings(HOST, &assessment).into_iter().map(|f| f.id).collect();
    assert_eq!(ids, ["DANE-007", "DANE-010"]);
}

#[test]
fn a_retired_intermediate_is_known_by_its_name() {
    let retired = |organization: &str| {
        let root = self_signed(authority("root"));
        let params =
            with(authority("R3"), |p| p.distinguished_name.push(DnType::OrganizationName, organization));
        let issuer = signed(params, &root);
        let chain = [signed(server(&[HOST]), &issuer).der, issuer.der.clone()];
        assess(&[record(2, 1, 1, &issuer)], &chain, &[host(HOST)], now())
    };
    let assessment = retired("Let's Encrypt");
    assert_eq!(assessment.retired, [(0, "R3".to_owned())]);
    assert_eq!(findings(HOST, &assessment)[0].id, "DANE-013");
    assert_eq!(retired("Somebody else").retired, []);
}

#[test]
fn findings_say_what_to_publish() {
    let world = World::new(server(&[HOST]));
    let chain = [world.leaf.der.clone()];
    let assessment = assess(&[other(3, 1, 1)], &chain, &[host(HOST)], now());
    let found = findings(HOST, &assessment).remove(0);
    let wanted = Tlsa::from_wire(&world.leaf(3, 1, 1).0).unwrap().to_string();
    assert_eq!(found.evidence["presented"], wanted);
    assert!(found.fix[0].contains(&wanted), "{:?}", found.fix);
}

#[test]
fn duplicates_are_one_record() {
    let world = World::new(server(&[HOST]));
    let chain = [world.leaf.der.clone()];
    let records = [other(3, 1, 1), other(3, 1, 1), world.leaf(3, 1, 1), world.leaf(3, 1, 1)];
    let assessment = assess(&records, &chain, &[host(HOST)], now());
    assert_eq!(assessment.verdict, DaneVerdict::Match(2));
    assert_eq!(assessment.usable.iter().map(|o| o.index).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn hostile_sets_are_assessed() {
    let world = World::new(server(&[HOST]));
    let chain = [world.leaf.der.clone(), world.root.der.clone()];
    let flood: Vec<TlsaRdata> =
        (0..1000_u16).map(|n| TlsaRdata([&[2, 0, 1][..], &n.to_be_bytes().repeat(16)].concat())).collect();
    let broken: Vec<TlsaRdata> = (0..1000).map(|n| TlsaRdata(vec![2; n % 5])).collect();
    for records in [flood, broken] {
        let assessment = assess(&records, &chain, &[host(HOST)], now());
        assert_eq!(assessment.count, 1000);
        assert!(assessment.usable.len() <= 100);
        let found = findings(HOST, &assessment);
        assert!(found.iter().all(|f| f.message.len() < 500 && f.evidence.len() < 4), "{found:?}");
    }
}
