//! The servers that the system uses: `nameserver` lines of resolv.conf(5).

use std::net::{IpAddr, SocketAddr};

/// Where the system keeps them.
pub(super) const RESOLV_CONF: &str = "/etc/resolv.conf";

/// As many as the C library uses.
const MOST: usize = 3;

/// The servers named in the text of a resolv.conf.
pub(super) fn servers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        // An address with a zone (`fe80::1%eth0`) needs the interface's number: not supported.
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .take(MOST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_like_the_c_library_does() {
        for (text, expected) in [
            ("nameserver 127.0.0.1\n", &["127.0.0.1:53"][..]),
            ("# nameserver 192.0.2.1\nsearch a b\nnameserver\t::1 # x\n", &["[::1]:53"]),
            ("nameserver fe80::1%eth0\nnameserver 192.0.2.9", &["192.0.2.9:53"]),
            (
                "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4",
                &["10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"],
            ),
            ("nameservers 10.0.0.1\nnameserver\nnameserver dns.example", &[]),
        ] {
            let found: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
