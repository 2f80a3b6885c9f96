//! DNS answers: read without a panic and with bounded results.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailward_core::DomainName;
use mailward_net::dns::read_answer;

fuzz_target!(|data: &[u8]| {
    let name = DomainName::parse("example.com").unwrap();
    if let Ok(readings) = read_answer(data, &name) {
        for records in readings.into_iter().flatten() {
            assert!(records <= 500);
        }
    }
});
