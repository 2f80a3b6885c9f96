//! DNSSEC keys and signatures (RFC 4034): ECDSA P-256 with SHA-256, one key a zone.

use domain::base::iana::SecurityAlgorithm;
use domain::crypto::sign::{GenerateParams, KeyPair, SignRaw, generate};
use sha2::{Digest, Sha256};

use super::name::Name;
use super::record::{hex, rtype};

/// Zone key and secure entry point at once: the key signs the whole zone.
const FLAGS: u16 = 257;
const DIGEST_SHA256: u8 = 2;

/// From when and until when signatures hold, Unix seconds (RFC 4034 §3.1.5).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    pub inception: u32,
    pub expiration: u32,
}

impl Validity {
    /// 2020 to 2050: the world's clock may stand anywhere in between, and so may that of a resolver.
    pub(crate) const LONG: Self = Self { inception: 1_577_836_800, expiration: 2_524_608_000 };
    /// January 2020: over, whatever clock one looks at.
    pub(crate) const OVER: Self = Self { inception: 1_577_836_800, expiration: 1_580_515_200 };
}

/// The key of a zone.
pub(crate) struct ZoneKey {
    pair: KeyPair,
    dnskey: Vec<u8>,
    tag: u16,
}

impl ZoneKey {
    pub(crate) fn generate() -> Self {
        let (secret, public) =
            generate(&GenerateParams::EcdsaP256Sha256, FLAGS).expect("P-256 keys can be made");
        let pair = KeyPair::from_bytes(&secret, &public).expect("the key was made right now");
        let mut dnskey = FLAGS.to_be_bytes().to_vec();
        dnskey.push(3);
        dnskey.push(SecurityAlgorithm::ECDSAP256SHA256.to_int());
        dnskey.extend_from_slice(public.public_key());
        Self { pair, dnskey, tag: public.key_tag() }
    }

    /// The data of the DNSKEY record.
    pub(crate) fn dnskey(&self) -> &[u8] {
        &self.dnskey
    }

    /// The data of the DS record for it (RFC 4034 §5.1.4).
    pub(crate) fn ds(&self, apex: &Name) -> Vec<u8> {
        let mut hashed = Vec::new();
        apex.write(&mut hashed);
        hashed.extend_from_slice(&self.dnskey);
        let mut ds = self.tag.to_be_bytes().to_vec();
        ds.push(SecurityAlgorithm::ECDSAP256SHA256.to_int());
        ds.push(DIGEST_SHA256);
        ds.extend_from_slice(&Sha256::digest(&hashed));
        ds
    }

    /// The DS record as a line of a trust anchor file.
    pub(crate) fn anchor_line(&self, apex: &Name) -> String {
        let ds = self.ds(apex);
        format!("{apex} 3600 IN DS {} {} {} {}\n", self.tag, ds[2], ds[3], hex(&ds[4..]))
    }

    /// Signs one RRset and returns the data of its RRSIG (RFC 4034 §3.1.8.1). `data` need not be sorted.
    pub(crate) fn sign(
        &self,
        apex: &Name,
        owner: &Name,
        covered: u16,
        ttl: u32,
        data: &[Vec<u8>],
        validity: Validity,
    ) -> Vec<u8> {
        let mut rrsig = covered.to_be_bytes().to_vec();
        rrsig.push(SecurityAlgorithm::ECDSAP256SHA256.to_int());
        rrsig.push(owner.signed_labels());
        rrsig.extend_from_slice(&ttl.to_be_bytes());
        rrsig.extend_from_slice(&validity.expiration.to_be_bytes());
        rrsig.extend_from_slice(&validity.inception.to_be_bytes());
        rrsig.extend_from_slice(&self.tag.to_be_bytes());
        apex.write(&mut rrsig);

        let mut signed = rrsig.clone();
        let mut sorted: Vec<&Vec<u8>> = data.iter().collect();
        sorted.sort();
        sorted.dedup();
        for record in sorted {
            owner.write(&mut signed);
            signed.extend_from_slice(&covered.to_be_bytes());
            signed.extend_from_slice(&1u16.to_be_bytes());
            signed.extend_from_slice(&ttl.to_be_bytes());
            signed.extend_from_slice(&u16::try_from(record.len()).unwrap_or(u16::MAX).to_be_bytes());
            signed.extend_from_slice(record);
        }
        let signature = self.pair.sign_raw(&signed).expect("signing with P-256 does not fail");
        rrsig.extend_from_slice(signature.as_ref());
        rrsig
    }
}

/// The data of an NSEC record: the next name and the types at this one (RFC 4034 §4.1).
pub(crate) fn nsec(next: &Name, types: &[u16]) -> Vec<u8> {
    let mut data = Vec::new();
    next.write(&mut data);
    let mut types: Vec<u16> = types.iter().copied().chain([rtype::RRSIG, rtype::NSEC]).collect();
    types.sort_unstable();
    types.dedup();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0u8; 32];
        for number in window {
            let [_, low] = number.to_be_bytes();
            bits[usize::from(low / 8)] |= 0x80 >> (low % 8);
        }
        let [high, low] = window[window.len() - 1].to_be_bytes();
        let length = low / 8 + 1;
        data.push(high);
        data.push(length);
        data.extend_from_slice(&bits[..usize::from(length)]);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 4034 §4.3: A MX RRSIG NSEC TYPE1234.
    #[test]
    fn type_bitmap_as_in_the_rfc() {
        let next = Name::parse("host.example.com").unwrap();
        let data = nsec(&next, &[rtype::A, rtype::MX, 1234]);
        let bitmap = &data[18..];
        let mut expected = vec![0x00, 0x06, 0x40, 0x01, 0x00, 0x00, 0x00, 0x03, 0x04, 0x1b];
        expected.extend([0; 26]);
        expected.push(0x20);
        assert_eq!(bitmap, expected);
    }
}
