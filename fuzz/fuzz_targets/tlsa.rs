//! TLSA records from the wire before a fixed chain: never a panic, and never a match by accident.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use mailward_core::DomainName;
use mailward_core::dane::assess;
use mailward_core::dns::TlsaRdata;

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let records: Vec<TlsaRdata> = data.chunks(40).map(|r| TlsaRdata(r.to_vec())).collect();
    let name = DomainName::parse("mx.example.com").unwrap();
    let assessment = assess::assess(&records, &[vec![0x30, 0]], &[name], now);
    assess::findings("mx.example.com", &assessment);
});
