use super::*;
use crate::chain::der;
use crate::chain::minting::*;

/// Key, message and signature of a certificate by its issuer, as an algorithm gets them.
fn parts<'a>(certificate: &'a Minted, issuer: &'a Minted) -> [&'a [u8]; 3] {
    let spki = Certificate::parse(&issuer.der).unwrap().spki();
    let (_, key) = der::key_parts(der::sequence_content(spki).unwrap()).unwrap();
    let parts = der::signed_parts(&certificate.der).unwrap();
    [key, parts.signed, parts.signature]
}

fn changed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

/// What the certificate's signature by this key is, and the search it was asked in.
fn asked<'k>(known: &'k Known, der: &[u8], is_issuer: bool, issuer: &Minted) -> (Signature, Held<'k>) {
    let mut held = Held::new(Some(known));
    let issuer = Certificate::parse(&issuer.der).unwrap();
    let key = der::sequence_content(issuer.spki()).unwrap();
    let signature = held.signature_of(&Certificate::parse(der).unwrap(), is_issuer, key);
    (signature, held)
}

#[test]
fn what_held_is_known_for_exactly_these_bytes() {
    let (root, other) = (self_signed(authority("root")), self_signed(authority("root")));
    let intermediate = signed(authority("intermediate"), &root);
    let known = Known::default();
    assert_eq!(asked(&known, &intermediate.der, true, &root).0, Signature::Holds);
    assert_eq!(known.len(), 1);
    // The same again is answered, and answered from memory: nothing is added.
    assert_eq!(asked(&known, &intermediate.der, true, &root).0, Signature::Holds);
    assert_eq!(known.len(), 1);

    let at = |part: &[u8]| intermediate.der.windows(part.len()).position(|window| window == part).unwrap();
    let [_, message, signature] = parts(&intermediate, &root);
    let mut other_message = intermediate.der.clone();
    // A digit of the end of validity, so that it stays a certificate.
    let digit = at(b"270101000000Z");
    assert!(digit < message.len());
    other_message[digit + 1] = b'8';
    let mut other_signature = intermediate.der.clone();
    other_signature[at(signature) + signature.len() - 1] ^= 1;
    for (der, issuer, why) in [
        (&intermediate.der, &other, "another key"),
        (&other_message, &root, "another message"),
        (&other_signature, &root, "another signature"),
    ] {
        assert_eq!(asked(&known, der, true, issuer).0, Signature::Fails, "{why}");
    }
    assert_eq!(known.len(), 1, "what fails is not remembered");
}

#[test]
fn leaves_are_not_kept() {
    let root = self_signed(authority("root"));
    let leaf = signed(server(&["mx.example.com"]), &root);
    let known = Known::default();
    let (signature, held) = asked(&known, &leaf.der, false, &root);
    assert_eq!((signature, known.len(), held.here.len()), (Signature::Holds, 0, 1));
}

#[test]
fn algorithms_answer_what_held_here_and_compute_the_rest() {
    let root = self_signed(authority("root"));
    let (leaf, unseen) = (signed(server(&["a.example"]), &root), signed(server(&["b.example"]), &root));
    let known = Known::default();
    let (_, mut held) = asked(&known, &leaf.der, false, &root);
    let verified = |held: &Held<'_>, [key, message, signature]: [&[u8]; 3]| {
        held.algorithms().iter().filter(|a| a.verify_signature(key, message, signature).is_ok()).count()
    };
    let [key, message, signature] = parts(&leaf, &root);
    let (key_of_other, forged, bent) = (changed(key), changed(message), changed(signature));
    for (parts, expected, why) in [
        ([key, message, signature], 1, "seen"),
        (parts(&unseen, &root), 1, "unseen and good"),
        ([&key_of_other, message, signature], 0, "another key"),
        ([key, &forged, signature], 0, "another message"),
        ([key, message, &bent], 0, "another signature"),
    ] {
        assert_eq!(verified(&held, parts), expected, "{why}");
    }
    // Memory is asked before arithmetic: a print put there by hand is believed, for its algorithm alone.
    let fits = |a: &Remembering<'_>| a.verify_signature(key, message, signature).is_ok();
    let algorithm = held.algorithms().into_iter().find(fits).unwrap().real;
    let print = Print::of(algorithm, key, &forged, signature);
    held.here.push(print);
    assert_eq!(verified(&held, [key, &forged, signature]), 1);
}

#[test]
fn memory_is_bounded() {
    let known = Known::default();
    for number in 0..3 * MOST_KNOWN as u64 {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        known.insert(Print(bytes));
        assert!(known.len() <= MOST_KNOWN);
    }
}
