//! Certificates whose private keys nobody has, made again with keys of our own: the same octets but for keys,
//! signatures and one name, so that a server can present them.

use std::cell::RefCell;
use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};

/// What stands before the 65 octets of a P-256 key (RFC 5480 §2).
const SPKI_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT: usize = 65;
/// The name in the originals, and how long it is: another name must be as long, or lengths would change.
const NAME: &[u8] = b"example.com";

/// A key that takes the place of another.
struct Key {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

/// A certificate, and the name that its twin is for.
type Wanted = (Vec<u8>, String);

/// Keys in the place of those of some certificates.
pub struct Workshop {
    /// By the point of the original key.
    keys: HashMap<Vec<u8>, Key>,
    originals: Vec<Vec<u8>>,
    /// No two signatures are alike, so there is one twin only.
    twins: RefCell<HashMap<Wanted, Vec<u8>>>,
}

impl Workshop {
    /// Knows these certificates, and these keys that no certificate is at hand for.
    pub fn new(
        certificates: impl IntoIterator<Item = Vec<u8>>,
        spkis: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        let mut workshop = Self {
            keys: HashMap::new(),
            originals: certificates.into_iter().collect(),
            twins: RefCell::default(),
        };
        workshop.originals.sort();
        workshop.originals.dedup();
        let points: Vec<Vec<u8>> =
            workshop.originals.iter().cloned().chain(spkis).map(|der| point(&der).to_vec()).collect();
        for point in points {
            workshop.keys.entry(point).or_insert_with(|| {
                let pkcs8 =
                    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                        .unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
                Key { pair, pkcs8: pkcs8.as_ref().to_vec() }
            });
        }
        workshop
    }

    /// The private key of the twin of a certificate (PKCS #8).
    pub fn private_key(&self, original: &[u8]) -> &[u8] {
        &self.keys[point(original)].pkcs8
    }

    /// The twin of a certificate, for another name.
    pub fn twin(&self, original: &[u8], name: &str) -> Vec<u8> {
        let key = (original.to_vec(), name.to_owned());
        let known = self.twins.borrow().get(&key).cloned();
        known.unwrap_or_else(|| {
            let twin = self.make_twin(original, name);
            self.twins.borrow_mut().insert(key, twin.clone());
            twin
        })
    }

    fn make_twin(&self, original: &[u8], name: &str) -> Vec<u8> {
        assert_eq!(name.len(), NAME.len());
        let certificate = content(original);
        let (tbs, rest) = certificate.split_at(whole(certificate));
        let (algorithm, signature) = rest.split_at(whole(rest));
        // A BIT STRING begins with the number of bits unused.
        let signature = &content(signature)[1..];
        let by = |point: &Vec<u8>| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(tbs, signature).is_ok()
        };
        let issuer = self.keys.iter().find(|(point, _)| by(point));
        let (_, issuer) = issuer.expect("the issuer of each certificate is among the vectors");
        let tbs = replaced(&self.with_twin_key(tbs), NAME, name.as_bytes());
        let signature = issuer.pair.sign(&SystemRandom::new(), &tbs).unwrap();
        let signature = [&[0], signature.as_ref()].concat();
        tlv(0x30, &[&tbs, algorithm, &tlv(0x03, &signature)].concat())
    }

    /// The twin of a TLSA record `U S M HEX`: of the twin of what it is of. A record that is another's but for
    /// its last digit stays so.
    pub fn record(&self, original: &str, name: &str) -> String {
        let [usage, selector, matching, data] = original.split(' ').collect::<Vec<_>>()[..] else {
            panic!("no TLSA record: {original}");
        };
        let data = data.to_ascii_lowercase();
        let of = |der: &[u8]| hex(&matched(matching, der));
        let spki = |point: &[u8]| [SPKI_PREFIX, point].concat();
        let pairs: Vec<(String, String)> = match selector {
            "0" => self.originals.iter().map(|der| (of(der), of(&self.twin(der, name)))).collect(),
            _ => {
                let keys = self.keys.iter();
                keys.map(|(point, key)| (of(&spki(point)), of(&spki(key.pair.public_key().as_ref()))))
                    .collect()
            }
        };
        let found = pairs.iter().find(|(known, _)| *known == data).map(|(_, twin)| twin.clone());
        let found = found.or_else(|| {
            let (start, _) = data.split_at(data.len() - 1);
            let (_, twin) = pairs.iter().find(|(known, _)| known.starts_with(start))?;
            let other = if twin.ends_with('0') { '1' } else { '0' };
            Some(format!("{}{other}", &twin[..twin.len() - 1]))
        });
        format!("{usage} {selector} {matching} {}", found.unwrap_or_else(|| panic!("of what is {original}?")))
    }

    fn with_twin_key(&self, tbs: &[u8]) -> Vec<u8> {
        let point = point(tbs);
        replaced(tbs, point, self.keys[point].pair.public_key().as_ref())
    }
}

fn matched(matching: &str, der: &[u8]) -> Vec<u8> {
    match matching {
        "0" => der.to_vec(),
        "1" => digest(&SHA256, der).as_ref().to_vec(),
        _ => digest(&SHA512, der).as_ref().to_vec(),
    }
}

/// The public key in a certificate, or in a SubjectPublicKeyInfo.
fn point(der: &[u8]) -> &[u8] {
    let at = der.windows(SPKI_PREFIX.len()).position(|window| window == SPKI_PREFIX);
    let start = at.expect("all keys are P-256") + SPKI_PREFIX.len();
    &der[start..start + POINT]
}

fn replaced(octets: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    for at in 0..=octets.len() - old.len() {
        if octets[at..].starts_with(old) {
            octets[at..at + old.len()].copy_from_slice(new);
        }
    }
    octets
}

/// Octets of the head of a DER element, and of what it holds.
fn lengths(der: &[u8]) -> (usize, usize) {
    match der[1] {
        short @ ..0x80 => (2, usize::from(short)),
        long => {
            let count = usize::from(long - 0x80);
            (2 + count, der[2..2 + count].iter().fold(0, |sum, octet| sum * 256 + usize::from(*octet)))
        }
    }
}

fn whole(der: &[u8]) -> usize {
    let (head, content) = lengths(der);
    head + content
}

fn content(der: &[u8]) -> &[u8] {
    let (head, content) = lengths(der);
    &der[head..head + content]
}

/// An element of less than 64 KiB.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match (high, low) {
        (0, ..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}
