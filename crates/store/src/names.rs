//! Numbers for names: policy domains and submitters are kept once and meant by number.
//!
//! The same row of `counters` that hands out numbers is the lock that puts writers in order: numbers of
//! reports ascend in the order of commits, so that an export that continues "after" a number misses none.

use std::collections::{BTreeMap, HashMap};

use crate::Result;
use crate::columns::hash16;
use crate::engine::{Value, Write, statements, values};

statements! {
    LOCK = "UPDATE counters SET value = value + 1 WHERE name = 'numbers'";
    COUNTERS = "SELECT name, value FROM counters";
    SAVE_COUNTERS = "INSERT INTO counters (name, value) VALUES {rows}
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    FIND_NAMES = "SELECT hash, number FROM names WHERE hash IN ({list})";
    ADD_NAMES = "INSERT INTO names (number, hash, name) VALUES {rows}";
}

/// The numbers given out so far; while one exists, no other writer gives out any.
pub(crate) struct Numbers {
    pub(crate) names: i64,
    pub(crate) items: i64,
    pub(crate) reports: i64,
    pub(crate) problems: i64,
}

impl Numbers {
    /// Waits for other writers, then tells where to go on.
    pub(crate) async fn lock(write: &mut Write) -> Result<Self> {
        write.run(LOCK, values![]).await?;
        let rows: Vec<(String, i64)> = write.all(COUNTERS, values![]).await?;
        let counters: HashMap<String, i64> = rows.into_iter().collect();
        let value = |name: &str| counters.get(name).copied().unwrap_or(0);
        Ok(Self {
            names: value("names"),
            items: value("items"),
            reports: value("reports"),
            problems: value("problems"),
        })
    }

    pub(crate) async fn save(self, write: &mut Write) -> Result<()> {
        let rows = [
            ("names", self.names),
            ("items", self.items),
            ("reports", self.reports),
            ("problems", self.problems),
        ];
        write.run_rows(SAVE_COUNTERS, rows.map(|(name, value)| [name.into(), value.into()]).into()).await
    }
}

/// The next number of a kind.
pub(crate) fn next(counter: &mut i64) -> i64 {
    *counter += 1;
    *counter
}

/// The numbers of these names; new ones get theirs.
pub(crate) async fn intern(
    write: &mut Write,
    numbers: &mut Numbers,
    names: impl IntoIterator<Item = &str>,
) -> Result<HashMap<String, i64>> {
    let wanted: BTreeMap<[u8; 16], &str> = names.into_iter().map(|name| (name_hash(name), name)).collect();
    let hashes: Vec<Value> = wanted.keys().map(|hash| hash.as_slice().into()).collect();
    let found: Vec<(Vec<u8>, i64)> = write.all_of_list(FIND_NAMES, hashes).await?;
    let mut known: HashMap<Vec<u8>, i64> = found.into_iter().collect();
    let mut new = Vec::new();
    for (hash, name) in &wanted {
        if !known.contains_key(hash.as_slice()) {
            let number = next(&mut numbers.names);
            new.push([number.into(), hash.as_slice().into(), (*name).into()]);
            known.insert(hash.to_vec(), number);
        }
    }
    write.run_rows(ADD_NAMES, new).await?;
    Ok(wanted
        .into_iter()
        .filter_map(|(hash, name)| known.get(hash.as_slice()).map(|number| (name.to_owned(), *number)))
        .collect())
}

/// By which a name is found.
pub(crate) fn name_hash(name: &str) -> [u8; 16] {
    hash16(&[name.as_bytes()])
}
