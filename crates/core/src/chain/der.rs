//! Just enough DER to cut a certificate at its outer joints.
//!
//! Signatures are computed over bytes as sent, and webpki compares algorithms as bytes; a parser that
//! gives values instead of bytes loses both. Everything else is read by x509-parser.

/// Tag of a SEQUENCE.
const SEQUENCE: u8 = 0x30;
/// Tag of a BIT STRING.
const BIT_STRING: u8 = 0x03;

/// One element: its bytes with header, its content, and what follows.
struct Element<'a> {
    tag: u8,
    whole: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

/// Reads the element at the start; `None` for what is no DER of definite length below 16 MiB.
fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let (&tag, after_tag) = bytes.split_first()?;
    let (&first, after_first) = after_tag.split_first()?;
    let (length, body) = match first {
        0..=0x7f => (usize::from(first), after_first),
        0x81..=0x83 => {
            let (octets, body) = after_first.split_at_checked(usize::from(first - 0x80))?;
            (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), body)
        }
        _ => return None,
    };
    let (content, rest) = body.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len() - rest.len())?;
    Some(Element { tag, whole, content, rest })
}

fn expect(bytes: &[u8], tag: u8) -> Option<Element<'_>> {
    element(bytes).filter(|e| e.tag == tag)
}

/// The content of the SEQUENCE that fills `bytes`: how webpki holds names and keys of anchors.
pub(super) fn sequence_content(bytes: &[u8]) -> Option<&[u8]> {
    expect(bytes, SEQUENCE).filter(|e| e.rest.is_empty()).map(|e| e.content)
}

/// The bits of a BIT STRING that has no unused ones.
fn whole_bits(content: &[u8]) -> Option<&[u8]> {
    content.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
}

/// What is signed, how, and the signature (RFC 5280 §4.1.1).
pub(super) struct SignedParts<'a> {
    /// The bytes signed.
    pub(super) signed: &'a [u8],
    /// Content of the AlgorithmIdentifier.
    pub(super) algorithm: &'a [u8],
    /// The signature.
    pub(super) signature: &'a [u8],
}

/// Cuts a certificate into its three parts.
pub(super) fn signed_parts(certificate: &[u8]) -> Option<SignedParts<'_>> {
    let signed = expect(sequence_content(certificate)?, SEQUENCE)?;
    let algorithm = expect(signed.rest, SEQUENCE)?;
    let signature = expect(algorithm.rest, BIT_STRING).filter(|e| e.rest.is_empty())?;
    Some(SignedParts {
        signed: signed.whole,
        algorithm: algorithm.content,
        signature: whole_bits(signature.content)?,
    })
}

/// Algorithm and key bits in the content of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
pub(super) fn key_parts(spki_content: &[u8]) -> Option<(&[u8], &[u8])> {
    let algorithm = expect(spki_content, SEQUENCE)?;
    let key = expect(algorithm.rest, BIT_STRING).filter(|e| e.rest.is_empty())?;
    Some((algorithm.content, whole_bits(key.content)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_end_where_they_say() {
        for (bytes, content, why) in [
            (&[0x30, 0][..], Some(&[][..]), "empty"),
            (&[0x30, 1, 7], Some(&[7][..]), "short form"),
            (&[0x30, 0x81, 1, 7], Some(&[7][..]), "long form"),
            (&[0x30, 1, 7, 8], None, "something follows"),
            (&[0x30, 2, 7], None, "cut short"),
            (&[0x31, 0], None, "another tag"),
            (&[0x30, 0x80, 0, 0], None, "indefinite length"),
            (&[0x30, 0x84, 0, 0, 0, 0], None, "a length of four octets"),
            (&[0x30, 0x83, 0xff], None, "the length is cut short"),
            (&[0x30], None, "no length"),
            (&[], None, "nothing"),
        ] {
            assert_eq!(sequence_content(bytes), content, "{why}");
        }
    }

    #[test]
    fn a_key_with_unused_bits_is_none() {
        let spki = |unused| [0x30, 0, 0x03, 2, unused, 9];
        assert_eq!(key_parts(&spki(0)), Some((&[][..], &[9][..])));
        assert_eq!(key_parts(&spki(1)), None);
    }
}
