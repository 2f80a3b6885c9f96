//! Reports in every container: never a panic, bounded, and what is accepted survives being written strictly.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use mailward_core::tlsrpt::{Incoming, Limits, Parsed, parse, write};

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let (parsed, _) = parse(data, &Incoming::default(), &Limits::default(), now);
    match parsed {
        Parsed::Accepted(reports) => {
            assert!(!reports.is_empty());
            for (report, _) in reports {
                report.totals();
                let text = write::json(&report);
                let (again, _) = parse(&text, &Incoming::default(), &Limits::default(), now);
                assert!(matches!(again, Parsed::Accepted(_)), "{}", String::from_utf8_lossy(&text));
            }
        }
        Parsed::Quarantined(findings) | Parsed::NotAReport(findings) => assert!(!findings.is_empty()),
    }
});
