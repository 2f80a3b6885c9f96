//! Dropping old tallies, a piece at a time, so that the collector need not wait for all of it.

use jiff::civil::Date;

use super::{at, texts};
use crate::columns::day_number;
use crate::engine::{statements, values};
use crate::{Result, Store};

/// Domains or texts dropped in one transaction.
const AT_ONCE: i64 = 2_000;

statements! {
    // The last of the next piece.
    PIECE = "SELECT at FROM tally_domains WHERE at < $1 ORDER BY at LIMIT 1 OFFSET $2";
    DROP_FAILURES = "DELETE FROM tally_failures WHERE at <= $1";
    DROP_TALLIES = "DELETE FROM tallies WHERE at <= $1";
    DROP_OPEN = "DELETE FROM tally_open WHERE at <= $1";
    DROP_DOMAINS = "DELETE FROM tally_domains WHERE at <= $1";
    DROP_DAYS = "DELETE FROM tally_days WHERE day < $1";
    DROP_SUMS = "DELETE FROM tally_sums WHERE day < $1";
    DROP_TEXTS = "DELETE FROM tally_texts WHERE number IN
        (SELECT number FROM tally_texts WHERE last_day < $1 ORDER BY last_day LIMIT $2)";
}

impl Store {
    /// Drops every day before `before`, reported or not, and the texts that nothing uses any more. Returns
    /// how many days of domains went.
    ///
    /// # Errors
    /// As every function here. What was dropped until then stays dropped.
    pub async fn drop_tallies(&self, before: Date) -> Result<u64> {
        let mut dropped = 0;
        loop {
            let mut write = self.engine.write().await?;
            texts::take_numbers(&mut write, 0).await?;
            let piece: Option<(i64,)> = write.optional(PIECE, values![at(before, 0), AT_ONCE - 1]).await?;
            let last = piece.map_or(at(before, 0), |(at,)| at);
            for sql in [DROP_FAILURES, DROP_TALLIES, DROP_OPEN] {
                write.run(sql, values![last]).await?;
            }
            dropped += write.run(DROP_DOMAINS, values![last]).await?;
            if piece.is_none() {
                for sql in [DROP_DAYS, DROP_SUMS] {
                    write.run(sql, values![day_number(before)]).await?;
                }
            }
            write.commit().await?;
            if piece.is_none() {
                break;
            }
        }
        loop {
            let mut write = self.engine.write().await?;
            texts::take_numbers(&mut write, 0).await?;
            let gone = write.run(DROP_TEXTS, values![day_number(before), AT_ONCE]).await?;
            write.commit().await?;
            if gone < AT_ONCE as u64 {
                return Ok(dropped);
            }
        }
    }
}
