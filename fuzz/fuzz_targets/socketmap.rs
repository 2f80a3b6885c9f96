//! A stream from a client of the policy daemon: frames as they are cut, questions, and an answer for each domain,
//! with the rest of the bytes as the policy that its host served.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use mailward_core::PolicyDomain;
use mailward_core::delivery::{DeliveryPolicy, Level, Reason};
use mailward_core::mta_sts::StsPolicy;
use mailward_core::postfix::answer;
use mailward_core::postfix::netstring;
use mailward_core::postfix::socketmap::{Map, Question};

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((payload, used))) = netstring::read(rest) {
        let mut framed = Vec::new();
        netstring::write(payload, &mut framed);
        assert_eq!(framed, rest[..used], "a frame is written as it was read");
        // Cut anywhere, it is not complete yet, and never something else.
        assert_eq!(netstring::read(&rest[..used / 2]), Ok(None));
        rest = &rest[used..];
        if let Question::NextHop { domain, port, .. } = Question::parse(payload) {
            assert!(port != 0);
            assert_eq!(PolicyDomain::parse(domain.as_str()).as_ref(), Ok(&domain));
            tell(&domain, rest);
        }
    }
});

fn tell(domain: &PolicyDomain, body: &[u8]) {
    let sts = StsPolicy::parse(body).ok();
    let level = if sts.is_some() { Level::Secure } else { Level::Defer };
    let names = sts.iter().flat_map(|sts| &sts.mx).map(ToString::to_string).filter(|n| !n.starts_with('*'));
    let policy = DeliveryPolicy {
        level,
        hosts: Vec::new(),
        names: names.collect(),
        names_alone: false,
        sts,
        branch: None,
        reasons: vec![Reason::MxFailed(String::from_utf8_lossy(body).into_owned())],
        valid_until: Timestamp::UNIX_EPOCH,
    };
    for map in [Map::Plain, Map::TlsRpt] {
        let told = answer::render(domain, &policy, Some(body), map);
        assert!(told.len() <= answer::LIMIT);
        assert!(told.bytes().all(|b| matches!(b, b' '..=b'~')));
        if told.starts_with("OK ") {
            let braces: Vec<u8> = told.bytes().filter(|b| matches!(b, b'{' | b'}')).collect();
            assert!(braces.len().is_multiple_of(2) && braces.chunks(2).all(|pair| pair == b"{}"));
        }
    }
}
