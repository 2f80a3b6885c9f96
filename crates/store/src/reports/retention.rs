//! Dropping what arrived long ago, a piece at a time, so that those who store reports need not wait for all
//! of it. What was read of a report stays; its raw bytes go after a while, and so does quarantine.
//!
//! Numbers of items ascend with their arrival, so the oldest come first and a walk ends at the first piece in
//! which nothing is old.

use jiff::Timestamp;

use crate::columns::micros;
use crate::engine::{Sql, Value, statements, values};
use crate::names::Numbers;
use crate::{Result, Store};

/// Items looked at in one transaction.
const AT_ONCE: i64 = 500;

statements! {
    NEXT_RAW = "SELECT b.item, i.received_at FROM item_bytes b JOIN items i ON i.number = b.item
        WHERE i.quarantined = 0 AND b.item > $1 ORDER BY b.item LIMIT $2";
    NEXT_QUARANTINED = "SELECT number, received_at FROM items
        WHERE quarantined = 1 AND number > $1 ORDER BY number LIMIT $2";
    DROP_BYTES = "DELETE FROM item_bytes WHERE item IN ({list}) RETURNING item";
    DROP_QUARANTINED = "DELETE FROM items WHERE quarantined = 1 AND number IN ({list}) RETURNING number";
}

impl Store {
    /// Drops the raw bytes of reports that came before `before`; the reports stay. Returns how many items
    /// lost theirs.
    ///
    /// # Errors
    /// As every function here. What was dropped until then stays dropped.
    pub async fn drop_raw(&self, before: Timestamp) -> Result<u64> {
        self.drop_items(NEXT_RAW, &[DROP_BYTES], before).await
    }

    /// Drops what came into quarantine before `before`, bytes and all. Returns how many items.
    ///
    /// # Errors
    /// As [`Self::drop_raw`].
    pub async fn drop_quarantined(&self, before: Timestamp) -> Result<u64> {
        self.drop_items(NEXT_QUARANTINED, &[DROP_QUARANTINED, DROP_BYTES], before).await
    }

    async fn drop_items(&self, next: Sql, drops: &[Sql], before: Timestamp) -> Result<u64> {
        let (before, mut dropped, mut after) = (micros(before), 0, i64::MIN);
        loop {
            let page: Vec<(i64, i64)> = self.engine.all(next, values![after, AT_ONCE]).await?;
            let old: Vec<Value> =
                page.iter().filter(|(_, at)| *at < before).map(|(item, _)| (*item).into()).collect();
            let Some((last, _)) = page.last().filter(|_| !old.is_empty()) else { return Ok(dropped) };
            after = *last;
            let mut write = self.engine.write().await?;
            // Those who store reports wait for this piece, and it for them.
            Numbers::lock(&mut write).await?;
            let mut items = old;
            for sql in drops {
                // Of those that the last one dropped: an item may have left quarantine since.
                let gone: Vec<(i64,)> = write.all_of_list(*sql, items).await?;
                items = gone.into_iter().map(|(item,)| item.into()).collect();
            }
            write.commit().await?;
            dropped += items.len() as u64;
        }
    }
}
