//! Addresses of MTAs as reporters write them (REP-048).

use std::net::IpAddr;

/// The address in a text, and whether it stood there in plain form.
pub(super) fn address(text: &str) -> (Option<IpAddr>, bool) {
    if let Ok(address) = text.parse() {
        return (Some(address), true);
    }
    let mut bare = text.trim();
    bare = bare.strip_prefix('[').unwrap_or(bare);
    bare = bare.strip_suffix(']').unwrap_or(bare);
    // RFC 5321 §4.1.3 writes `[IPv6:…]` in mail headers.
    if bare.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("IPv6:")) {
        bare = &bare[5..];
    }
    // RFC 4007 §11: a zone means nothing to anybody else.
    bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    (bare.parse().ok(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_by_row() {
        let rows = [
            ("192.0.2.1", Some("192.0.2.1"), true),
            ("2001:DB8:0:0::1", Some("2001:db8::1"), true),
            ("[192.0.2.1]", Some("192.0.2.1"), false),
            ("IPv6:2001:db8::1", Some("2001:db8::1"), false),
            ("[ipv6:2001:db8::1]", Some("2001:db8::1"), false),
            (" 192.0.2.1 ", Some("192.0.2.1"), false),
            ("fe80::1%eth0", Some("fe80::1"), false),
            ("", None, false),
            ("mail.example.com", None, false),
            ("192.0.2.256", None, false),
            ("x.x.x.x", None, false),
        ];
        for (text, want, plain) in rows {
            let want = want.map(|a| a.parse().unwrap());
            assert_eq!(address(text), (want, plain), "{text}");
        }
    }
}
