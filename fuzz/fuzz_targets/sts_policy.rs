//! Policy bodies: parser and lint agree, and what we render reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailward_core::Severity;
use mailward_core::mta_sts::policy::lint;
use mailward_core::mta_sts::{StsPolicy, coverage};

fuzz_target!(|data: &[u8]| {
    let linted = lint(data);
    let parsed = StsPolicy::parse(data).ok();
    assert_eq!(parsed, linted.value);
    match parsed {
        Some(policy) => {
            assert_eq!(StsPolicy::parse(policy.render().as_bytes()).as_ref(), Ok(&policy));
            let host = mailward_core::MxHost::parse("mx.example.com").unwrap();
            coverage::findings(&policy, &[host]);
        }
        None => assert!(linted.findings.iter().any(|f| f.severity == Severity::Error)),
    }
});
