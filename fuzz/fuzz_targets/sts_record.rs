//! TXT records at `_mta-sts`: what a sender uses is what lint calls valid, and reads back from our own rendering.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailward_core::Severity;
use mailward_core::dns::TxtRecord;
use mailward_core::lint::RecordVerdict;
use mailward_core::mta_sts::record::{StsRecord, discover, lint};

fuzz_target!(|data: &[u8]| {
    let records: Vec<TxtRecord> = data.split(|b| *b == 0).map(|r| TxtRecord(r.to_vec())).collect();
    let texts: Vec<String> = records.iter().map(TxtRecord::text).collect();
    let linted = lint(&texts);
    let used = discover(&records).ok().flatten();
    assert_eq!(used.is_some(), linted.value.verdict == RecordVerdict::Valid);
    assert_eq!(used, linted.value.record);
    if linted.value.verdict != RecordVerdict::Valid {
        assert!(linted.findings.iter().any(|f| f.severity == Severity::Error));
    }
    if let Some(record) = used {
        assert_eq!(StsRecord::parse(&record.render()), Ok(record));
    }
});
