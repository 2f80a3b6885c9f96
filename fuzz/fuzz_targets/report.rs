//! Reports in every container: never a panic, bounded, and what is accepted survives being written strictly.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use mailward_core::tlsrpt::{Incoming, Limits, Parsed, parse};

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let (parsed, _) = parse(data, &Incoming::default(), &Limits::default(), now);
    match parsed {
        Parsed::Accepted(reports) => {
            assert!(!reports.is_empty());
            for (report, _) in reports {
                report.totals();
                let text = serde_json_text(&report);
                let (again, _) = parse(text.as_bytes(), &Incoming::default(), &Limits::default(), now);
                assert!(matches!(again, Parsed::Accepted(_)), "{text}");
            }
        }
        Parsed::Quarantined(findings) | Parsed::NotAReport(findings) => assert!(!findings.is_empty()),
    }
});

fn serde_json_text(report: &mailward_core::tlsrpt::Report) -> String {
    mailward_core::tlsrpt::write::json(report)
}
