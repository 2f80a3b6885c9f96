//! Whether a certificate names a host (RFC 9525).

use super::certificate::Certificate;
use super::text::printable;
use crate::DomainName;

/// Whether the common name may stand in for a missing DNS-ID (reading A28: for DANE, never for MTA-STS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommonName {
    /// Never looked at.
    Ignored,
    /// Counts where the certificate has no DNS-ID at all.
    WithoutDnsId,
}

/// Names shown when none fits.
pub(super) const NAMES_SHOWN: usize = 100;
/// Common names compared; a certificate has one.
const COMMON_NAMES: usize = 10;

/// Whether one of the `hosts` is named.
pub(crate) fn names_any(certificate: &Certificate<'_>, hosts: &[DomainName], rule: CommonName) -> bool {
    hosts.iter().any(|host| names(certificate, host, rule))
}

/// Whether `host` is named.
pub(crate) fn names(certificate: &Certificate<'_>, host: &DomainName, rule: CommonName) -> bool {
    if certificate.dns_ids().any(|presented| fits(presented, host)) {
        return true;
    }
    rule == CommonName::WithoutDnsId
        && certificate.dns_ids().next().is_none()
        && common_names(certificate).any(|presented| fits(presented, host))
}

/// The DNS-IDs presented, for people.
pub(crate) fn presented(certificate: &Certificate<'_>) -> Vec<String> {
    certificate.dns_ids().take(NAMES_SHOWN).map(printable).collect()
}

fn common_names<'a>(certificate: &'a Certificate<'_>) -> impl Iterator<Item = &'a str> {
    certificate.parsed.subject().iter_common_name().take(COMMON_NAMES).filter_map(|name| name.as_str().ok())
}

/// RFC 9525 §6.3: letters in any case, and `*` only as the whole left-most label, for exactly one label.
/// A final dot is no part of a presented name, so a name with one fits nothing.
fn fits(presented: &str, host: &DomainName) -> bool {
    if presented.eq_ignore_ascii_case(host.as_str()) {
        return true;
    }
    let Some(suffix) = presented.strip_prefix("*.") else { return false };
    // A wildcard right below a top-level domain would name everybody's host.
    let Some((_, rest)) = host.as_str().split_once('.') else { return false };
    suffix.contains('.') && rest.eq_ignore_ascii_case(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_left_most_labels_are_wild() {
        for (presented, host, expected, why) in [
            ("mail.example.com", "mail.example.com", true, "equal"),
            ("MAIL.Example.com", "mail.example.com", true, "in any case"),
            ("*.example.com", "mail.example.com", true, "one label"),
            ("*.example.com", "a.mail.example.com", false, "two labels"),
            ("*.example.com", "example.com", false, "no label"),
            ("m*.example.com", "mail.example.com", false, "part of a label"),
            ("*l.example.com", "mail.example.com", false, "part of a label"),
            ("mail.*.com", "mail.example.com", false, "not the left-most"),
            ("*.*.com", "mail.example.com", false, "two wildcards"),
            ("*", "mail.example.com", false, "nothing but a wildcard"),
            ("*", "mail", false, "nothing but a wildcard"),
            ("*.com", "example.com", false, "a whole top-level domain"),
            ("mail.example.com.", "mail.example.com", false, "a final dot"),
            (".example.com", "mail.example.com", false, "an empty label"),
            ("example.com", "badexample.com", false, "no border of labels"),
            ("*.xn--bcher-kva.example", "mx.xn--bcher-kva.example", true, "A-labels"),
            ("mail.example.com\0.evil.example", "mail.example.com", false, "a NUL inside"),
            ("", "mail.example.com", false, "empty"),
        ] {
            let host = DomainName::parse(host).unwrap();
            assert_eq!(fits(presented, &host), expected, "{presented} for {host}: {why}");
        }
    }
}
