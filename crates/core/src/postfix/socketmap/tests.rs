use super::*;

/// What a request comes to: `MAP DOMAIN PORT`, or why not.
fn read(payload: &[u8]) -> String {
    match Question::parse(payload) {
        Question::NextHop { map, domain, port } => format!("{} {domain} {port}", map.as_str()),
        Question::NoPolicy(why) => format!("{why:?}"),
        Question::NotOurs(_) => "NotOurs".to_owned(),
    }
}

#[test]
fn keys_that_are_domains() {
    for (key, domain, port) in [
        ("example.com", "example.com", 25),
        ("EXAMPLE.com", "example.com", 25),
        ("example.com.", "example.com", 25),
        ("example.com:25", "example.com", 25),
        ("example.com.:2525", "example.com", 2525),
        ("example.com:1", "example.com", 1),
        ("example.com:65535", "example.com", 65_535),
        ("b\u{fc}cher.example", "xn--bcher-kva.example", 25),
        ("B\u{dc}CHER.example:26", "xn--bcher-kva.example", 26),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", 25),
        ("a_b.example", "a_b.example", 25),
        ("sub.sub.example.co.uk", "sub.sub.example.co.uk", 25),
        ("1.2.3.4.example", "1.2.3.4.example", 25),
    ] {
        assert_eq!(read(format!("mailward {key}").as_bytes()), format!("mailward {domain} {port}"), "{key}");
    }
    let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    assert_eq!(read(format!("mailward {longest}").as_bytes()), format!("mailward {longest} 25"));
}

#[test]
fn keys_that_are_none() {
    let (label, long) = ("a".repeat(64) + ".test", "a.".repeat(150) + "test");
    let too_long_to_convert = "\u{fc}".repeat(LONGEST_KEY / 2 + 1);
    for (key, why) in [
        (".example.com", "Parent"),
        (".com", "Parent"),
        (".", "Parent"),
        ("[mx.example.com]", "Bracketed"),
        ("[mx.example.com]:25", "Bracketed"),
        ("[192.0.2.1]", "Bracketed"),
        ("[IPv6:2001:db8::1]", "Bracketed"),
        ("[", "Bracketed"),
        ("192.0.2.1", "Address"),
        ("192.0.2.1.", "Address"),
        ("192.0.2.1:25", "Address"),
        ("2001:db8::1", "Address"),
        ("::1", "Address"),
        ("1.2.3", "Address"),
        ("999.999.999.999", "Address"),
        // Digits of another script become these when A-labels are made.
        ("\u{ff11}.\u{ff12}.\u{ff13}.\u{ff14}", "Address"),
        ("example.com:465", "Submission"),
        ("example.com:587", "Submission"),
        ("example.com:0", "Garbage"),
        ("example.com:", "Garbage"),
        ("example.com:+25", "Garbage"),
        ("example.com:025", "Garbage"),
        ("example.com:65536", "Garbage"),
        ("example.com:smtp", "Garbage"),
        ("example.com:25:25", "Garbage"),
        (":25", "Garbage"),
        ("", "SingleLabel"),
        ("localhost", "SingleLabel"),
        ("test", "SingleLabel"),
        ("test.", "SingleLabel"),
        ("/var/run/lmtp", "Garbage"),
        ("user@example.com", "Garbage"),
        ("good.test x", "Garbage"),
        (" good.test", "Garbage"),
        ("good.test ", "Garbage"),
        ("good.test\nfoo", "Garbage"),
        ("good.test\r", "Garbage"),
        ("good\t.test", "Garbage"),
        ("go\0od.test", "Garbage"),
        ("good..test", "Garbage"),
        ("good.test..", "Garbage"),
        ("-good.test", "Garbage"),
        ("good-.test", "Garbage"),
        ("*.good.test", "Garbage"),
        ("good.test,evil.test", "Garbage"),
        ("good.test{x}", "Garbage"),
        ("good.test\u{a0}", "Garbage"),
        ("good\u{200b}\u{2028}.test", "Garbage"),
        ("\u{ff0f}path.test", "Garbage"),
        (label.as_str(), "Garbage"),
        (long.as_str(), "Garbage"),
        (too_long_to_convert.as_str(), "Garbage"),
    ] {
        assert_eq!(read(format!("mailward {key}").as_bytes()), why, "{key:?}");
    }
    for key in [&b"\xff\xfe"[..], b"a\x80.test", b"\xc3.test"] {
        assert_eq!(read(&[b"mailward ", key].concat()), "Garbage", "{key:?}");
    }
}

#[test]
fn map_names() {
    for (map, known) in [
        ("mailward", Some("mailward")),
        ("QUERY", Some("mailward")),
        ("postfix", Some("mailward")),
        ("mailward-tlsrpt", Some("mailward-tlsrpt")),
        ("QUERYwithTLSRPT", Some("mailward-tlsrpt")),
        ("mailward-trace", Some("mailward-trace")),
        ("Mailward", None),
        ("mailward-", None),
        ("nosuchmap", None),
        ("", None),
    ] {
        let expected = known.map_or("NotOurs".to_owned(), |map| format!("{map} good.test 25"));
        assert_eq!(read(format!("{map} good.test").as_bytes()), expected, "{map:?}");
    }
    for payload in [&b""[..], b"mailward", b"mailward\tgood.test", b"mailward\0good.test", b"\xff good.test"]
    {
        assert_eq!(read(payload), "NotOurs", "{payload:?}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_is_asked_the_domain_is_canonical(key in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        if let Question::NextHop { domain, port, .. } = Question::parse(&[b"mailward ", &key[..]].concat()) {
            proptest::prop_assert_eq!(PolicyDomain::parse(domain.as_str()), Ok(domain.clone()));
            proptest::prop_assert!(port != 0);
        }
    }
}
