//! Which addresses belong to the public internet.
//!
//! A stranger's records choose where we connect to. The address is judged, never the name, right before
//! the connection, so that a second answer of the DNS cannot lead inside (rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address may be connected to when private ones are not allowed: global unicast, also where
/// an IPv4 address is wrapped into an IPv6 one (IANA special-purpose registries, RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        // "This network", private, shared (RFC 6598), loopback, link-local.
        [0 | 10 | 127, ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..]
        // Protocol assignments, documentation, benchmarks.
        | [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _]
        // What a machine in Azure reaches its host by; there it is inside, elsewhere nobody answers.
        | [168, 63, 129, 16]
        // Multicast, reserved, broadcast.
        | [224..=255, ..]
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = |high: u16, low: u16| is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match (a, b, c, d, e, f) {
        // Mapped and compatible forms of IPv4; the latter covers :: and ::1 as 0.0.0.0/8.
        (0, 0, 0, 0, 0, 0xFFFF | 0) => inner(g, h),
        // NAT64 (RFC 6052); the local prefix of RFC 8215 is private whatever it wraps.
        (0x64, 0xFF9B, 0, 0, 0, 0) => inner(g, h),
        // 6to4 (RFC 3056).
        (0x2002, ..) => inner(b, c),
        // Teredo, benchmarks, ORCHID and other assignments of 2001::/23; documentation.
        (0x2001, 0..=0x1FF | 0xDB8, ..) | (0x3FFF, 0..=0xFFF, ..) => false,
        // Global unicast is 2000::/3; all else is link-local, unique local, multicast or reserved.
        _ => a & 0xE000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_internet_is_refused() {
        for (text, public) in [
            ("8.8.8.8", true),
            ("100.63.255.255", true),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.1.2.3", false),
            ("127.0.0.1", false),
            ("127.255.0.9", false),
            ("169.254.169.254", false),
            ("100.100.100.200", false),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("192.0.0.192", false),
            ("fd00:ec2::254", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("::ffff:0:127.0.0.1", false),
            ("172.15.0.1", true),
            ("172.16.0.1", false),
            ("172.31.255.1", false),
            ("172.32.0.1", true),
            ("192.0.0.8", false),
            ("192.0.1.1", true),
            ("192.0.2.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.51.100.7", false),
            ("203.0.113.7", false),
            ("223.255.255.255", true),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700::1111", true),
            ("2a00:1450::1", true),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::127.0.0.1", false),
            ("64:ff9b::192.168.0.1", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b:1::8.8.8.8", false),
            ("2002:7f00:1::1", false),
            ("2002:808:808::1", true),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2001:4860::8888", true),
            ("3fff:1::1", false),
            ("fc00::1", false),
            ("fd12::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("100::1", false),
            ("4000::1", false),
        ] {
            assert_eq!(is_public(text.parse().unwrap()), public, "{text}");
        }
    }
}
