use DaneVerdict::{Expired, Match, NameMismatch, NoMatch, Untrusted};
use rcgen::{
    CertificateParams, CidrSubnet, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    NameConstraints, SanType,
};
use sha2::{Digest, Sha256, Sha512};

use super::*;
use crate::chain::minting::*;

const HOST: &str = "mx.example.com";

fn key_of(certificate: &[u8]) -> Vec<u8> {
    crate::chain::Certificate::parse(certificate).unwrap().spki().to_vec()
}

/// The record of this kind for a certificate.
fn record(usage: u8, selector: u8, matching: u8, certificate: &[u8]) -> Tlsa {
    let whole = if selector == 0 { certificate.to_vec() } else { key_of(certificate) };
    let data = match matching {
        0 => whole,
        1 => Sha256::digest(whole).to_vec(),
        _ => Sha512::digest(whole).to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}

fn judged(chain: &[&[u8]], records: &[Tlsa]) -> DaneVerdict {
    let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
    verify(&chain, records, &[host(HOST)], now())
}

/// Why, what is sent, what the DNS holds, what comes of it.
type Row<'c> = (&'static str, Vec<&'c [u8]>, Vec<Tlsa>, DaneVerdict);

#[test]
fn usage_3_compares_with_the_leaf_and_with_nothing_else() {
    let root = self_signed(authority("root"));
    let faulty = with(expired(server(&["other.example"])), |p| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let leaf = signed(faulty, &root);
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let fits = record(3, selector, matching, &leaf.der);
        assert_eq!(judged(&[&leaf.der], std::slice::from_ref(&fits)), Match(0), "{fits}");
        assert_eq!(
            judged(&[&root.der, &leaf.der], std::slice::from_ref(&fits)),
            NoMatch,
            "above the leaf: {fits}"
        );
        assert_eq!(judged(&[], std::slice::from_ref(&fits)), NoMatch, "nothing sent: {fits}");
        // Bytes are compared, so what follows the leaf does not matter, however much it is.
        let mut long: Vec<&[u8]> = vec![&leaf.der];
        long.extend(std::iter::repeat_n(&root.der[..], 20));
        assert_eq!(judged(&long, &[fits]), Match(0));
    }
}

#[test]
fn usage_2_wants_an_anchor_a_way_and_the_name() {
    let root = self_signed(authority("root"));
    let upper = signed(authority("upper"), &root);
    let make = |params: CertificateParams| signed(params, &upper).der;
    let leaf = make(server(&[HOST]));
    let stranger = self_signed(authority("stranger"));
    let forged = signed_with(server(&[HOST]), &upper, &stranger.key).der;
    let common_name = named(HOST, CertificateParams::default());
    let purpose = |usage| with(server(&[HOST]), |p| p.extended_key_usages = vec![usage]);
    let old_upper = signed(expired(authority("old")), &root);
    let below_old = signed(server(&[HOST]), &old_upper).der;
    let no_ca = signed(with(authority("no ca"), |p| p.is_ca = IsCa::NoCa), &root);
    let below_no_ca = signed(server(&[HOST]), &no_ca).der;
    let old_root = self_signed(expired(with(authority("old root"), |p| p.is_ca = IsCa::NoCa)));
    let below_old_root = signed(server(&[HOST]), &old_root).der;
    let self_made = self_signed(server(&[HOST])).der;
    let is = |certificate: &[u8]| vec![record(2, 0, 1, certificate)];
    let key = |certificate: &[u8]| vec![record(2, 1, 1, certificate)];
    let whole = |certificate: &[u8]| vec![record(2, 0, 0, certificate)];
    let bare = |certificate: &[u8]| vec![record(2, 1, 0, certificate)];
    let rows: Vec<Row<'_>> = vec![
        ("issuer", vec![&leaf, &upper.der], is(&upper.der), Match(0)),
        ("issuer's key", vec![&leaf, &upper.der], key(&upper.der), Match(0)),
        ("root", vec![&leaf, &upper.der, &root.der], is(&root.der), Match(0)),
        ("root, order of the chain mixed up", vec![&leaf, &root.der, &upper.der], is(&root.der), Match(0)),
        ("root by digest, not sent", vec![&leaf, &upper.der], is(&root.der), NoMatch),
        ("root from the DNS, not sent", vec![&leaf, &upper.der], whole(&root.der), Match(0)),
        ("issuer from the DNS, only the leaf sent", vec![&leaf], whole(&upper.der), Match(0)),
        ("issuer's key from the DNS, only the leaf sent", vec![&leaf], bare(&upper.der), Match(0)),
        ("root's key from the DNS", vec![&leaf, &upper.der], bare(&root.der), Match(0)),
        ("another's key from the DNS", vec![&leaf, &upper.der], bare(&stranger.der), NoMatch),
        ("another's certificate from the DNS", vec![&leaf, &upper.der], whole(&stranger.der), NoMatch),
        ("the leaf is not its own anchor", vec![&leaf, &upper.der], is(&leaf), NoMatch),
        ("nor is its key", vec![&leaf, &upper.der], key(&leaf), NoMatch),
        ("nor in full", vec![&leaf, &upper.der], whole(&leaf), NoMatch),
        ("nor when it signs itself", vec![&self_made], bare(&self_made), NoMatch),
        ("nor when it signs itself, in full", vec![&self_made], whole(&self_made), NoMatch),
        ("nor when it is sent twice", vec![&self_made, &self_made], is(&self_made), NoMatch),
        (
            "a matching stranger padded in",
            vec![&leaf, &upper.der, &stranger.der],
            is(&stranger.der),
            Untrusted,
        ),
        ("a forged leaf", vec![&forged, &upper.der], is(&upper.der), Untrusted),
        ("a link is missing", vec![&leaf, &root.der], is(&root.der), Untrusted),
        ("an issuer that is no CA", vec![&below_no_ca, &no_ca.der, &root.der], is(&root.der), Untrusted),
        ("the anchor need be no CA", vec![&below_no_ca, &no_ca.der], is(&no_ca.der), Match(0)),
        ("an issuer that has expired", vec![&below_old, &old_upper.der, &root.der], is(&root.der), Expired),
        ("the anchor may have expired", vec![&below_old_root, &old_root.der], is(&old_root.der), Match(0)),
    ];
    for (why, chain, records, verdict) in rows {
        assert_eq!(judged(&chain, &records), verdict, "{why}");
    }
    for (params, verdict, why) in [
        (server(&["*.example.com"]), Match(0), "a wildcard"),
        (server(&["*.mx.example.com"]), NameMismatch, "a wildcard one label too deep"),
        (server(&["other.example"]), NameMismatch, "another name"),
        (common_name.clone(), Match(0), "a common name without a DNS-ID"),
        (
            with(common_name.clone(), |p| p.subject_alt_names = server(&["a.example"]).subject_alt_names),
            NameMismatch,
            "a common name beside a DNS-ID",
        ),
        (expired(server(&[HOST])), Expired, "expired"),
        (expired(server(&["other.example"])), NameMismatch, "the name is told first"),
        (early(server(&[HOST])), Untrusted, "not yet valid"),
        (purpose(ExtendedKeyUsagePurpose::ServerAuth), Match(0), "for servers"),
        (purpose(ExtendedKeyUsagePurpose::Any), Match(0), "for any purpose"),
        (purpose(ExtendedKeyUsagePurpose::ClientAuth), Untrusted, "for clients"),
    ] {
        assert_eq!(judged(&[&make(params), &upper.der], &is(&upper.der)), verdict, "{why}");
    }
    // Reading A28: the switch for the common name.
    let chain = [make(common_name.clone()), upper.der.clone()];
    let ignored = verify_with(&chain, &is(&upper.der), &[host(HOST)], now(), CommonName::Ignored);
    assert_eq!(ignored, NameMismatch);
    // X.509 version 1 has no DNS-ID to offer; webpki would not read it.
    let version_1 = version_1(&signed(common_name, &upper), &upper);
    assert_eq!(judged(&[&version_1, &upper.der], &is(&upper.der)), Match(0));
    // Any of the reference names suffices; none given, none fits.
    let chain = [leaf.clone(), upper.der.clone()];
    let names = [host("example.org"), host(HOST)];
    assert_eq!(verify(&chain, &is(&upper.der), &names, now()), Match(0));
    assert_eq!(verify(&chain, &is(&upper.der), &[], now()), NameMismatch);
}

#[test]
fn extensions_that_are_not_understood_refuse() {
    // Under the arc of certificate extensions, known to nobody.
    let unknown = |critical| {
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 99], vec![5, 0]);
        extension.set_criticality(critical);
        extension
    };
    // extKeyUsage without a purpose in it.
    let broken = || CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![4, 0]);
    let root = self_signed(authority("root"));
    let custom = |params, extension| with(params, |p| p.custom_extensions = vec![extension]);
    for (leaf, issuer, verdict, why) in [
        (custom(server(&[HOST]), unknown(false)), authority("issuer"), Match(0), "not critical"),
        (custom(server(&[HOST]), unknown(true)), authority("issuer"), Untrusted, "critical in the leaf"),
        (server(&[HOST]), custom(authority("issuer"), unknown(true)), Untrusted, "critical in an issuer"),
        (custom(server(&[HOST]), broken()), authority("issuer"), Untrusted, "unreadable"),
    ] {
        let issuer = signed(issuer, &root);
        let chain = [&signed(leaf, &issuer).der[..], &issuer.der, &root.der];
        assert_eq!(judged(&chain, &[record(2, 0, 1, &root.der)]), verdict, "{why}");
    }
}

#[test]
fn names_outside_the_constraints_of_an_issuer_refuse() {
    let root = self_signed(authority("root"));
    let dns = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let network = || GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([192, 0, 2, 0], 24));
    let many = (0..200).map(|n| dns(&format!("{n}.example"))).collect();
    let with_address =
        with(server(&[HOST]), |p| p.subject_alt_names.push(SanType::IpAddress([192, 0, 2, 1].into())));
    let names: Vec<String> = (0..900).map(|n| format!("{n}.example.org")).chain([HOST.to_owned()]).collect();
    let with_many = named("server", CertificateParams::new(names).unwrap());
    for (leaf, permitted, excluded, verdict, why) in [
        (server(&[HOST]), vec![dns("example.com")], vec![], Match(0), "permitted"),
        (server(&[HOST]), vec![], vec![dns("example.com")], Untrusted, "excluded"),
        (server(&[HOST]), vec![network()], vec![], Match(0), "of a kind that the leaf has not"),
        (with_address, vec![network()], vec![], Untrusted, "of a kind that is not compared"),
        (with_many.clone(), vec![], vec![dns("example.com")], Untrusted, "among many names"),
        (with_many, vec![], many, Untrusted, "too many to compare"),
    ] {
        let constraints = NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded };
        let issuer = signed(with(authority("issuer"), |p| p.name_constraints = Some(constraints)), &root);
        let chain = [&signed(leaf, &issuer).der[..], &issuer.der, &root.der];
        assert_eq!(judged(&chain, &[record(2, 0, 1, &root.der)]), verdict, "{why}");
        assert_eq!(judged(&chain, &[record(2, 0, 1, &issuer.der)]), verdict, "as the anchor: {why}");
        assert_eq!(judged(&chain[..1], &[record(2, 0, 0, &issuer.der)]), verdict, "from the DNS: {why}");
    }
}

#[test]
fn only_so_many_names_are_compared() {
    let root = self_signed(authority("root"));
    for (before, verdict) in [(999, Match(0)), (1000, NameMismatch)] {
        let names: Vec<String> = (0..before).map(|n| format!("{n}.org")).chain([HOST.to_owned()]).collect();
        let leaf = signed(named("server", CertificateParams::new(names).unwrap()), &root).der;
        assert_eq!(judged(&[&leaf, &root.der], &[record(2, 0, 1, &root.der)]), verdict, "{before}");
    }
}

#[test]
fn any_record_suffices_and_reasons_have_an_order() {
    let root = self_signed(authority("root"));
    let leaf = signed(server(&[HOST]), &root).der;
    let old = signed(expired(server(&[HOST])), &root).der;
    let stranger = self_signed(authority("stranger"));
    let other = &stranger.der;
    let (by_key, by_root) = (record(3, 1, 1, &leaf), record(2, 0, 1, &root.der));
    let unknown = Tlsa { usage: 1, ..by_key.clone() };
    let rows: Vec<(&str, &[u8], Vec<Tlsa>, DaneVerdict)> = vec![
        (
            "the first that matches",
            &leaf,
            vec![record(3, 1, 1, other), by_root.clone(), by_key.clone()],
            Match(1),
        ),
        ("what cannot be used is skipped", &leaf, vec![unknown.clone(), by_key.clone()], Match(1)),
        ("only unusable ones", &leaf, vec![unknown.clone()], DaneVerdict::Unusable),
        ("none", &leaf, vec![], DaneVerdict::Unusable),
        ("expired before untrusted", &old, vec![record(2, 0, 1, other), by_root.clone()], Expired),
        ("untrusted before no match", &leaf, vec![record(3, 1, 1, other), record(2, 0, 1, other)], Untrusted),
        ("a weaker digest does not count", &leaf, vec![record(3, 1, 2, other), by_key.clone()], NoMatch),
        ("full data counts beside", &leaf, vec![record(3, 1, 2, other), record(3, 1, 0, &leaf)], Match(1)),
        ("agility is by selector", &leaf, vec![record(3, 0, 2, other), by_key.clone()], Match(1)),
        (
            "an unusable strong digest is none",
            &leaf,
            vec![Tlsa { matching: 2, ..by_key.clone() }, by_key.clone()],
            Match(1),
        ),
    ];
    for (why, leaf, records, verdict) in rows {
        assert_eq!(judged(&[leaf, &root.der, other], &records), verdict, "{why}");
    }
}

#[test]
fn a_flood_of_records_is_cut_the_strongest_first() {
    let root = self_signed(authority("root"));
    let leaf = signed(server(&[HOST]), &root).der;
    let chain = [leaf.clone(), root.der];
    let noise = |n: u16, octets: usize| Tlsa {
        usage: 3,
        selector: 0,
        matching: 1,
        data: n.to_be_bytes().repeat(octets / 2),
    };
    let mut records: Vec<Tlsa> = (0..1000).map(|n| noise(n, 32)).collect();
    records.push(record(3, 1, 2, &leaf));
    assert_eq!(verify(&chain, &records, &[], now()), Match(1000));
    let judged = judge(
        &records.into_iter().map(Ok).collect::<Vec<_>>(),
        &Presented::new(&chain),
        &[],
        now(),
        CommonName::Ignored,
    );
    assert_eq!(judged.outcomes.len(), MAX_RECORDS);
    assert!(judged.outcomes.is_sorted_by_key(|o| o.index));
    let alike = vec![record(3, 1, 1, &leaf); 1000];
    assert_eq!(verify(&chain, &alike, &[], now()), Match(0));
}

#[test]
fn garbage_is_no_match_and_no_panic() {
    let garbage: Vec<Vec<u8>> =
        vec![vec![], vec![0x30], vec![0x30, 0x84, 255, 255, 255, 255], vec![0xff; 70_000]];
    let records = [
        Tlsa { usage: 2, selector: 0, matching: 1, data: vec![0; 32] },
        Tlsa { usage: 3, selector: 0, matching: 1, data: Sha256::digest([0x30]).to_vec() },
    ];
    for start in 0..garbage.len() {
        let chain = &garbage[start..];
        let expected = if start == 1 { Match(1) } else { NoMatch };
        assert_eq!(verify(chain, &records, &[host(HOST)], now()), expected, "{start}");
    }
    let huge = vec![vec![0x30; 60_000]; 1000];
    assert_eq!(verify(&huge, &records, &[host(HOST)], now()), NoMatch);
    // Every octet of a good chain broken once: a verdict, whatever it is.
    let root = self_signed(authority("root"));
    let leaf = signed(server(&[HOST]), &root).der;
    for at in 0..leaf.len() {
        let mut broken = leaf.clone();
        broken[at] ^= 0x55;
        let verdict =
            verify(&[broken, root.der.clone()], &[record(2, 0, 1, &root.der)], &[host(HOST)], now());
        assert!(!matches!(verdict, Match(_)), "octet {at} is not covered by the signature");
    }
}
