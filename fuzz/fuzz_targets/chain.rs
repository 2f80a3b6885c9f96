//! Certificate chains from the wire: described and judged without a panic.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use mailward_core::DomainName;
use mailward_core::chain::{TrustAnchors, describe_chain, verify_web_pki};

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let half = data.len() / 2;
    let chain = vec![data[..half].to_vec(), data[half..].to_vec()];
    describe_chain(&chain);
    let (anchors, _) = TrustAnchors::from_der([&chain[1]]);
    let name = DomainName::parse("mx.example.com").unwrap();
    verify_web_pki(&chain, &anchors, &name, now);
    verify_web_pki(&[data.to_vec()], &anchors, &name, now);
});
