use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, date_time_ymd,
};

use super::*;
use crate::chain::minting::*;
use crate::chain::{MAX_CERTIFICATES, describe, describe_chain};

const HOST: &str = "mx.example.com";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn expired_in_march() -> ChainFault {
    ChainFault::Expired(time("2026-03-01T00:00:00Z"))
}

fn not_before_november() -> ChainFault {
    ChainFault::NotYetValid(time("2026-11-01T00:00:00Z"))
}

fn mismatch(names: &[&str]) -> ChainFault {
    ChainFault::HostMismatch(names.iter().map(|n| (*n).to_owned()).collect())
}

/// Leaf, intermediate and root made from these, and what is sent of them.
struct World {
    root: Minted,
    intermediate: Minted,
}

impl World {
    fn new() -> Self {
        Self::with(authority("intermediate"))
    }

    fn with(intermediate: rcgen::CertificateParams) -> Self {
        let root = self_signed(authority("root"));
        let intermediate = signed(intermediate, &root);
        Self { root, intermediate }
    }

    fn chain(&self, leaf: rcgen::CertificateParams) -> Vec<Vec<u8>> {
        vec![signed(leaf, &self.intermediate).der, self.intermediate.der.clone()]
    }

    fn faults(&self, chain: &[Vec<u8>]) -> Vec<ChainFault> {
        let (anchors, refused) = TrustAnchors::from_der([&self.root.der]);
        assert_eq!((anchors.len(), refused), (1, 0));
        verify_web_pki(chain, &anchors, &host(HOST), now())
    }
}

#[test]
fn every_fault_of_a_leaf_is_told() {
    let world = World::new();
    let leaf = || server(&[HOST]);
    let purpose = |p: &mut rcgen::CertificateParams, usage| p.extended_key_usages = vec![usage];
    let common_name = with(named(HOST, rcgen::CertificateParams::default()), |p| p.subject_alt_names.clear());
    for (params, faults, why) in [
        (leaf(), vec![], "good"),
        (server(&["other.example", "*.example.com"]), vec![], "a wildcard"),
        (with(leaf(), |p| purpose(p, ExtendedKeyUsagePurpose::ServerAuth)), vec![], "for servers"),
        (expired(leaf()), vec![expired_in_march()], "expired"),
        (early(leaf()), vec![not_before_november()], "not yet valid"),
        (server(&["*.com", "mx.example.org"]), vec![mismatch(&["*.com", "mx.example.org"])], "another name"),
        (common_name, vec![mismatch(&[])], "only a common name"),
        (expired(server(&["a.example"])), vec![expired_in_march(), mismatch(&["a.example"])], "two faults"),
        (
            with(leaf(), |p| purpose(p, ExtendedKeyUsagePurpose::ClientAuth)),
            vec![ChainFault::Purpose],
            "for clients",
        ),
        (
            with(leaf(), |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            vec![ChainFault::Purpose],
            "a CA",
        ),
    ] {
        assert_eq!(world.faults(&world.chain(params)), faults, "{why}");
    }
}

#[test]
fn an_address_is_named_by_an_ip_id_alone() {
    let world = World::new();
    let (anchors, _) = TrustAnchors::from_der([&world.root.der]);
    let of = |names: &[&str], address: &str| {
        verify_web_pki_address(&world.chain(server(names)), &anchors, address.parse().unwrap(), now())
    };
    for (names, address, faults, why) in [
        (&["192.0.2.1"][..], "192.0.2.1", vec![], "IPv4"),
        (&["a.example", "2001:db8::1"], "2001:DB8:0::1", vec![], "IPv6, in any form"),
        (&["192.0.2.1"], "192.0.2.2", vec![mismatch(&["192.0.2.1"])], "another address"),
        (&["192.0.2.1"], "::ffff:192.0.2.1", vec![mismatch(&["192.0.2.1"])], "another family"),
        (&["*.0.2.1"], "192.0.2.1", vec![mismatch(&["*.0.2.1"])], "a name of digits"),
        (&[HOST, "10.0.0.1"], "192.0.2.1", vec![mismatch(&["10.0.0.1", HOST])], "all is shown"),
    ] {
        assert_eq!(of(names, address), faults, "{why}");
    }
    let late = world.chain(expired(server(&["192.0.2.1"])));
    let faults = verify_web_pki_address(&late, &anchors, "192.0.2.1".parse().unwrap(), now());
    assert_eq!(faults, vec![expired_in_march()], "the rest is judged all the same");
    let named = verify_web_pki(&world.chain(server(&["192.0.2.1"])), &anchors, &host(HOST), now());
    assert_eq!(named, vec![mismatch(&[])], "an IP-ID is no name");
}

#[test]
fn every_fault_of_a_path_is_told() {
    let other = World::new();
    let outside =
        || ChainFault::Malformed("a name lies outside the name constraints of an issuer".to_owned());
    let constrained = |permitted: &[&str], excluded: &[&str]| {
        let subtrees =
            |names: &[&str]| names.iter().map(|n| GeneralSubtree::DnsName((*n).to_owned())).collect();
        let constraints = NameConstraints {
            permitted_subtrees: subtrees(permitted),
            excluded_subtrees: subtrees(excluded),
        };
        with(authority("intermediate"), |p| p.name_constraints = Some(constraints))
    };
    for (params, faults, why) in [
        (authority("intermediate"), vec![], "good"),
        (expired(authority("intermediate")), vec![expired_in_march()], "expired intermediate"),
        (early(authority("intermediate")), vec![not_before_november()], "early intermediate"),
        (with(authority("intermediate"), |p| p.is_ca = IsCa::NoCa), vec![ChainFault::NotACa], "no CA"),
        (
            with(authority("intermediate"), |p| p.key_usages = vec![KeyUsagePurpose::CrlSign]),
            vec![ChainFault::NotACa],
            "a CA that may not sign certificates",
        ),
        (constrained(&["example.com"], &[]), vec![], "within the constraints"),
        (constrained(&["example.org"], &[]), vec![outside()], "not permitted"),
        (constrained(&[], &["mx.example.com"]), vec![outside()], "excluded"),
    ] {
        let world = World::with(params);
        assert_eq!(world.faults(&world.chain(server(&[HOST]))), faults, "{why}");
    }

    let world = World::new();
    let good = world.chain(server(&[HOST]));
    let (leaf, intermediate) = (good[0].clone(), good[1].clone());
    let stranger = self_signed(authority("stranger"));
    let forged = signed_with(server(&[HOST]), &world.intermediate, &stranger.key);
    let foreign = other.chain(server(&[HOST]));
    let self_made = self_signed(server(&[HOST])).der;
    let self_made_ca =
        self_signed(with(authority(HOST), |p| p.subject_alt_names = server(&[HOST]).subject_alt_names));
    for (chain, faults, why) in [
        (vec![leaf.clone()], vec![ChainFault::IncompleteChain], "the intermediate is missing"),
        (vec![leaf.clone(), leaf.clone()], vec![ChainFault::IncompleteChain], "the leaf twice"),
        (vec![leaf.clone(), stranger.der.clone()], vec![ChainFault::UnknownIssuer], "another's intermediate"),
        (
            vec![leaf.clone(), stranger.der.clone(), intermediate.clone()],
            vec![],
            "out of order, and more than needed",
        ),
        (vec![leaf.clone(), vec![0x30], intermediate.clone()], vec![], "garbage beside"),
        (vec![leaf.clone(), intermediate.clone(), world.root.der.clone()], vec![], "with its root"),
        (vec![forged.der, intermediate.clone()], vec![ChainFault::BadSignature], "a forged signature"),
        // Both roots have the same name and not the same key.
        (foreign, vec![ChainFault::BadSignature], "a root of the same name"),
        (vec![stranger.der.clone()], vec![ChainFault::SelfSigned, mismatch(&[])], "self-signed"),
        (vec![self_made], vec![ChainFault::SelfSigned], "self-signed with the right name"),
        (vec![self_made_ca.der], vec![ChainFault::SelfSigned], "self-signed CA"),
        (
            vec![signed(server(&[HOST]), &stranger).der, stranger.der.clone()],
            vec![ChainFault::UnknownIssuer],
            "a private CA, sent in full",
        ),
        (
            vec![signed(expired(server(&["a.example"])), &stranger).der, stranger.der.clone()],
            vec![expired_in_march(), ChainFault::UnknownIssuer, mismatch(&["a.example"])],
            "three faults",
        ),
    ] {
        assert_eq!(world.faults(&chain), faults, "{why}");
    }
    assert_eq!(verify_web_pki(&good, &TrustAnchors::new(), &host(HOST), now()), [ChainFault::UnknownIssuer]);
}

#[test]
fn the_path_length_counts_issuers() {
    for (room, good) in [(0, false), (1, true)] {
        let limit =
            |p: &mut rcgen::CertificateParams| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(room));
        let world = World::with(with(authority("upper"), limit));
        let lower = signed(authority("lower"), &world.intermediate);
        let chain = [signed(server(&[HOST]), &lower).der, lower.der, world.intermediate.der.clone()];
        let faults = if good { vec![] } else { vec![ChainFault::NotACa] };
        assert_eq!(world.faults(&chain), faults, "room for {room}");
    }
}

/// Another certificate for the key and name of `of`.
fn cross(of: &Minted, params: rcgen::CertificateParams, by: &Minted) -> Vec<u8> {
    let params = with(params, |p| p.serial_number = Some(vec![7].into()));
    params.signed_by(&of.key, &Issuer::from_params(&by.params, &by.key)).unwrap().der().to_vec()
}

#[test]
fn another_way_is_taken_around_an_expired_cross_certificate() {
    let old = self_signed(authority("old root"));
    let world = World::new();
    // The intermediate's key and name, certified by two roots; the older certificate has expired.
    let older = cross(&world.intermediate, expired(authority("intermediate")), &old);
    let mut chain = world.chain(server(&[HOST]));
    chain.insert(1, older);
    let (anchors, _) = TrustAnchors::from_der([&old.der, &world.root.der]);
    assert_eq!(verify_web_pki(&chain, &anchors, &host(HOST), now()), []);
    let (anchors, _) = TrustAnchors::from_der([&old.der]);
    assert_eq!(verify_web_pki(&chain, &anchors, &host(HOST), now()), [expired_in_march()]);
}

#[test]
fn another_way_is_taken_around_an_issuer_without_room() {
    let world = World::new();
    let narrow = with(authority("intermediate"), |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let narrow = cross(&world.intermediate, narrow, &world.root);
    let lower = signed(authority("lower"), &world.intermediate);
    let leaf = signed(server(&[HOST]), &lower).der;
    let chain = [leaf, lower.der, narrow, world.intermediate.der.clone()];
    assert_eq!(world.faults(&chain), []);
    assert_eq!(world.faults(&chain[..3]), [ChainFault::NotACa]);
}

#[test]
fn the_last_second_is_valid() {
    let world = World::new();
    let chain = world.chain(with(server(&[HOST]), |p| p.not_after = date_time_ymd(2026, 3, 1)));
    let (anchors, _) = TrustAnchors::from_der([&world.root.der]);
    let at = |text| verify_web_pki(&chain, &anchors, &host(HOST), time(text));
    assert_eq!(at("2026-03-01T00:00:00.9Z"), []);
    assert_eq!(at("2026-03-01T00:00:01Z"), [expired_in_march()]);
    assert_eq!(at("2025-12-31T23:59:59Z").len(), 1);
}

#[test]
fn what_is_no_chain_is_malformed() {
    let world = World::new();
    let good = world.chain(server(&[HOST]));
    let version_1 =
        version_1(&signed(named(HOST, rcgen::CertificateParams::default()), &world.root), &world.root);
    let trailing = [good[0].clone(), vec![0]].concat();
    let long: Vec<_> = good.iter().cycle().take(MAX_CERTIFICATES + 1).cloned().collect();
    for (chain, why) in [
        (vec![], "nothing"),
        (vec![vec![]], "an empty certificate"),
        (vec![b"garbage".to_vec()], "garbage"),
        (vec![trailing], "something follows"),
        (vec![good[0][..100].to_vec()], "cut short"),
        (vec![vec![0x30; 70_000]], "too large"),
        (vec![good[0].clone(), vec![0; 70_000]], "too large in all"),
        (long, "too many certificates"),
        (vec![version_1], "X.509 version 1"),
    ] {
        let faults = world.faults(&chain);
        assert!(matches!(faults.first(), Some(ChainFault::Malformed(_))), "{why}: {faults:?}");
    }
}

#[test]
fn many_certificates_of_one_name_take_no_time() {
    // Nine cross-signing CAs of one name: 9! orders, of which none leads to an anchor.
    let world = World::new();
    let first = self_signed(authority("x"));
    let peers: Vec<Minted> = (0..8).map(|_| signed(authority("x"), &first)).collect();
    let mut chain = vec![signed(server(&[HOST]), &peers[7]).der];
    chain.extend(peers.iter().map(|peer| peer.der.clone()));
    chain.push(first.der);
    assert_eq!(world.faults(&chain), [ChainFault::UnknownIssuer]);
}

#[test]
fn certificates_are_described() {
    let world = World::new();
    let chain = world.chain(server(&[HOST, "*.example.org"]));
    let facts = describe(&chain[0]).unwrap();
    assert_eq!((facts.subject.as_str(), facts.issuer.as_str()), ("CN=server", "CN=intermediate"));
    assert_eq!(facts.dns_names, [HOST, "*.example.org"]);
    assert_eq!(
        (facts.not_before, facts.not_after),
        (time("2026-01-01T00:00:00Z"), time("2027-01-01T00:00:00Z"))
    );
    assert_eq!((facts.sha256.len(), facts.spki_sha256.len()), (64, 64));
    assert_eq!(facts.der, chain[0]);
    let described = describe_chain(&[chain[0].clone(), vec![0], chain[1].clone()]);
    assert_eq!(
        described.iter().map(|f| f.subject.as_str()).collect::<Vec<_>>(),
        ["CN=server", "CN=intermediate"]
    );
    let many = vec![chain[0].clone(); 50];
    assert_eq!(describe_chain(&many).len(), MAX_CERTIFICATES);
}

#[test]
fn signatures_of_every_current_kind_hold() {
    let rsa = || KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    for (key, why) in [
        (KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(), "P-256"),
        (KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(), "P-384"),
        (KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap(), "P-521"),
        (KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), "Ed25519"),
        (rsa(), "RSA"),
    ] {
        let params = authority("root");
        let root = params.self_signed(&key).unwrap();
        let leaf =
            server(&[HOST]).signed_by(&KeyPair::generate().unwrap(), &Issuer::from_params(&params, &key));
        let (anchors, _) = TrustAnchors::from_der([root.der()]);
        let chain = [leaf.unwrap().der().to_vec()];
        assert_eq!(verify_web_pki(&chain, &anchors, &host(HOST), now()), [], "{why}");
    }
}

#[test]
fn a_broken_octet_never_passes_and_never_panics() {
    let world = World::new();
    let chain = world.chain(server(&[HOST]));
    for at in 0..chain[0].len() {
        let mut broken = chain.clone();
        broken[0][at] ^= 0x55;
        assert!(!world.faults(&broken).is_empty(), "octet {at}");
        let _ = describe(&broken[0]);
    }
}

#[test]
fn no_verdict_depends_on_what_is_known_of_signatures() {
    let world = World::new();
    let short = signed(expired(authority("short")), &world.root);
    let narrow = signed(
        with(authority("narrow"), |p| {
            let permitted_subtrees = vec![GeneralSubtree::DnsName("example.org".into())];
            p.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        }),
        &world.root,
    );
    let stranger = self_signed(authority("root"));
    let by_stranger = signed(authority("intermediate"), &stranger);
    let below = |issuer: &Minted, host| vec![signed(server(&[host]), issuer).der, issuer.der.clone()];
    let mut forged = world.chain(server(&[HOST]));
    *forged[1].last_mut().unwrap() ^= 1;
    let (anchors, _) = TrustAnchors::from_der([&world.root.der]);
    let chains = [
        (world.chain(server(&[HOST])), "good"),
        (world.chain(server(&[HOST])), "another leaf of the same issuer"),
        (world.chain(server(&["b.example"])), "another name"),
        (below(&short, HOST), "an issuer that expires in March"),
        (below(&narrow, HOST), "an issuer for other names"),
        (forged, "an issuer with a bent signature"),
        (below(&by_stranger, HOST), "an issuer of a stranger with the same names"),
    ];
    for moment in ["2026-02-01T00:00:00Z", "2026-06-01T00:00:00Z", "2027-06-01T00:00:00Z"] {
        for (chain, why) in &chains {
            let (fresh, _) = TrustAnchors::from_der([&world.root.der]);
            let afresh = verify_web_pki(chain, &fresh, &host(HOST), time(moment));
            let again = verify_web_pki(chain, &anchors, &host(HOST), time(moment));
            assert_eq!(again, afresh, "{why} at {moment}");
        }
    }
    assert_eq!(anchors.known().len(), 3, "the three issuers below the root");
    assert_eq!(anchors.clone().known().len(), 3, "clones share");
    let twice = verify_web_pki(&chains[0].0, &TrustAnchors::new(), &host(HOST), now());
    assert_eq!(twice, [ChainFault::UnknownIssuer], "what is known is no anchor");
}
