//! Subjects and issuers as text, in the escaping of RFC 4514 and the order of the certificate.
//!
//! Escaped, so that a common name that holds `, CN=mail.example.com` is not read as two.

use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::text::{hex, printable};

/// Attributes written; more are cut with the rest of the text.
const ATTRIBUTES: usize = 50;

/// At most 255 characters, without anything that a terminal or page would act on.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let relative = name.iter_rdn().take(ATTRIBUTES).map(|rdn| {
        let attributes: Vec<String> = rdn.iter().take(ATTRIBUTES).map(attribute).collect();
        attributes.join("+")
    });
    printable(&relative.collect::<Vec<_>>().join(", "))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let kind = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
    let bytes = attribute.as_slice();
    let value = match attribute.attr_value().tag() {
        // RFC 4514 §2.4: what is no text is written as its octets.
        Tag::BmpString => utf_16(bytes),
        _ => std::str::from_utf8(bytes).ok().map(str::to_owned),
    };
    match value {
        Some(value) => format!("{kind}={}", escaped(&value)),
        None => format!("{kind}=#{}", hex(bytes)),
    }
}

fn utf_16(bytes: &[u8]) -> Option<String> {
    let units = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        // Half a unit: a lone surrogate is no text either.
        _ => 0xd800,
    });
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

/// RFC 4514 §2.4.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let edge = (at == 0 && matches!(c, ' ' | '#')) || (at == last && c == ' ');
        if edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue};

    use crate::chain::describe;
    use crate::chain::minting::{self_signed, with};

    #[test]
    fn names_cannot_pass_for_others() {
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        let rows = [
            (vec![(DnType::CommonName, utf8("mail.example.com"))], "CN=mail.example.com"),
            (
                vec![(DnType::OrganizationName, utf8("Example Inc.")), (DnType::CommonName, utf8("mx"))],
                "O=Example Inc., CN=mx",
            ),
            (vec![(DnType::CommonName, utf8("a, CN=mail.example.com"))], "CN=a\\, CN=mail.example.com"),
            (vec![(DnType::CommonName, utf8(" #a+b\\ "))], "CN=\\ #a\\+b\\\\\\ "),
            (vec![(DnType::CommonName, utf8("a\nb"))], "CN=a\\u{a}b"),
            (vec![(DnType::CommonName, DnValue::BmpString("Bücher".try_into().unwrap()))], "CN=Bücher"),
            (vec![(DnType::from_oid(&[1, 2, 3]), utf8("x"))], "1.2.3=x"),
            (vec![], ""),
        ];
        for (attributes, expected) in rows {
            let mut name = DistinguishedName::new();
            for (kind, value) in attributes {
                name.push(kind, value);
            }
            let certificate =
                self_signed(with(CertificateParams::default(), |p| p.distinguished_name = name));
            assert_eq!(describe(&certificate.der).unwrap().subject, expected);
        }
    }
}
