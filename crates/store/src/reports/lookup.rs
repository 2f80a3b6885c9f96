//! What the database knows already of the items about to be stored.

use std::collections::{HashMap, HashSet};

use super::prepare::{Key, PreparedItem};
use super::tally::{Counted, Shares, shares};
use crate::Result;
use crate::engine::{Value, Write, statements, values};

statements! {
    ITEMS = "SELECT hash, number, quarantined, trust FROM items WHERE hash IN ({list})";
    PARTS_BY_KEY = "SELECT p.report, p.domain, p.key, p.content, p.submitter, p.day, p.received_at, p.trust,
        p.successful, p.failed, p.current, p.counted, r.organization, r.item
        FROM report_parts p JOIN reports r ON r.number = p.report WHERE p.key IN ({list})";
    PARTS_BY_CONTENT = "SELECT p.report, p.domain, p.key, p.content, p.submitter, p.day, p.received_at, p.trust,
        p.successful, p.failed, p.current, p.counted, r.organization, r.item
        FROM report_parts p JOIN reports r ON r.number = p.report WHERE p.content IN ({list})";
    PARTS_BY_ITEM = "SELECT p.report, p.domain, p.key, p.content, p.submitter, p.day, p.received_at, p.trust,
        p.successful, p.failed, p.current, p.counted, r.organization, r.item
        FROM reports r JOIN report_parts p ON p.report = r.number WHERE r.item IN ({list})";
    FAILURES = "SELECT f.policy_type, f.problem, p.result_type, f.sessions
        FROM failures f JOIN problems p ON p.number = f.problem WHERE f.report = $1 AND f.domain = $2";
}

#[derive(Debug, Clone)]
pub(crate) struct KnownItem {
    pub(crate) number: i64,
    pub(crate) quarantined: bool,
    pub(crate) trust: i64,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct KnownPart {
    pub(crate) report: i64,
    pub(crate) domain: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) content: Vec<u8>,
    pub(crate) submitter: i64,
    pub(crate) day: i64,
    pub(crate) received_at: i64,
    pub(crate) trust: i64,
    pub(crate) successful: i64,
    pub(crate) failed: i64,
    pub(crate) current: i64,
    pub(crate) counted: Option<i64>,
    pub(crate) organization: String,
    pub(crate) item: i64,
}

pub(crate) async fn items(write: &mut Write, items: &[PreparedItem]) -> Result<HashMap<Vec<u8>, KnownItem>> {
    let hashes = items.iter().map(|item| item.hash.as_slice().into()).collect();
    let rows: Vec<(Vec<u8>, i64, i64, i64)> = write.all_of_list(ITEMS, hashes).await?;
    let known = rows.into_iter().map(|(hash, number, quarantined, trust)| {
        (hash, KnownItem { number, quarantined: quarantined != 0, trust })
    });
    Ok(known.collect())
}

/// Parts stored with a key or a content of these items, and those of items that are better believed now;
/// and, for all that may give way, the parts of the same content that may step in.
pub(crate) async fn parts(
    write: &mut Write,
    items: &[PreparedItem],
    known: &HashMap<Vec<u8>, KnownItem>,
) -> Result<Vec<KnownPart>> {
    let prepared = || items.iter().flat_map(|item| &item.reports).flat_map(|report| &report.parts);
    let keys: HashSet<Key> = prepared().map(|part| part.key).collect();
    let contents: HashSet<Key> = prepared().map(|part| part.content).collect();
    let mut found: Vec<KnownPart> = write.all_of_list(PARTS_BY_KEY, list(keys)).await?;
    let better = items.iter().filter_map(|item| {
        let known = known.get(item.hash.as_slice())?;
        (known.trust < item.trust).then(|| known.number.into())
    });
    found.extend(write.all_of_list::<KnownPart>(PARTS_BY_ITEM, better.collect()).await?);
    let more: HashSet<Key> = found
        .iter()
        .filter_map(|part| Key::try_from(part.content.as_slice()).ok())
        .filter(|content| !contents.contains(content))
        .collect();
    for contents in [contents, more] {
        found.extend(write.all_of_list::<KnownPart>(PARTS_BY_CONTENT, list(contents)).await?);
    }
    let mut seen = HashSet::new();
    found.retain(|part| seen.insert((part.report, part.domain)));
    found.sort_unstable_by_key(|part| (part.report, part.domain));
    Ok(found)
}

/// What a stored part adds to problems and result types.
pub(crate) async fn stored_shares(write: &mut Write, report: i64, domain: i64) -> Result<Shares> {
    let rows: Vec<(String, i64, String, i64)> = write.all(FAILURES, values![report, domain]).await?;
    Ok(shares(rows.iter().map(|(policy_type, problem, result_type, sessions)| Counted {
        policy_type,
        problem: *problem,
        result_type,
        sessions: *sessions,
    })))
}

fn list(keys: HashSet<Key>) -> Vec<Value> {
    keys.into_iter().map(|key| key.as_slice().into()).collect()
}
