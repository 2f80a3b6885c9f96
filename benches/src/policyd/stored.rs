//! A store that knows many policies already, as after weeks of mail.

use std::path::Path;

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use mailward_store::Store;
use mailward_store::policies::{Branch, HeldPolicy, KnownPolicy};

use super::flat_dns::{ID, MX_HOST};
use crate::measure;

/// Rows in one transaction.
const BATCH: usize = 5_000;

/// The name of a domain by number; names of a million have the length of names in the world.
pub fn domain(number: usize) -> String {
    format!("d{number:07}.example.test")
}

/// Makes a store at `path` that knows so many policies; returns its URL.
pub async fn fill(path: &Path, domains: usize) -> Result<String, String> {
    let url = format!("sqlite:{}", path.display());
    let store = Store::open(&url).await.map_err(|e| e.to_string())?;
    let now = measure::now();
    for first in (0..domains).step_by(BATCH) {
        let rows = (first..(first + BATCH).min(domains)).map(|number| known(number, now));
        let rows: Vec<KnownPolicy> = rows.collect::<Result<_, _>>()?;
        store.put_known_policies(&rows).await.map_err(|e| e.to_string())?;
    }
    store.close().await;
    Ok(url)
}

/// An enforced policy of two patterns, and the decision by DNS that goes with it.
fn known(number: usize, now: Timestamp) -> Result<KnownPolicy, String> {
    let body = format!(
        "version: STSv1\r\nmode: enforce\r\nmx: {MX_HOST}\r\nmx: *.hosting.test\r\nmax_age: 1209600\r\n"
    );
    Ok(KnownPolicy {
        domain: PolicyDomain::parse(&domain(number)).map_err(|e| e.to_string())?,
        policy: Some(HeldPolicy {
            id: ID.to_owned(),
            body: body.into_bytes(),
            mode: Mode::Enforce,
            max_age: 1_209_600,
            fetched_at: now,
            record_seen_at: now,
        }),
        failure: None,
        branch: Some(Branch {
            kind: "absent".to_owned(),
            mx: vec![MX_HOST.to_owned()],
            decided_at: now,
            ttl: 3600,
        }),
        used_at: now,
    })
}
