//! TXT records at `_smtp._tls`: sender and lint agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailward_core::dns::TxtRecord;
use mailward_core::lint::RecordVerdict;
use mailward_core::tlsrpt::record::{lint, lookup};

fuzz_target!(|data: &[u8]| {
    let records: Vec<TxtRecord> = data.split(|b| *b == 0).map(|r| TxtRecord(r.to_vec())).collect();
    let texts: Vec<String> = records.iter().map(TxtRecord::text).collect();
    let linted = lint(&texts);
    if let Ok(Some(record)) = lookup(&records) {
        assert_eq!(linted.value.verdict, RecordVerdict::Valid);
        assert!(lookup(&[TxtRecord(record.render().into_bytes())]).is_ok_and(|r| r.is_some()));
    }
});
