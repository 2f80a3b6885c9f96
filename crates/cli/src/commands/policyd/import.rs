//! `mailward policyd import FILE`: live policies that another daemon knows, into the store.
//!
//! Idempotent: what the store has of the same moment or later stays as it is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use jiff::Timestamp;
use mailward_core::mta_sts::foreign::{self, LeftOut, Taken};
use mailward_store::foreign::ResolverCache;
use mailward_store::policies::{HeldPolicy, KnownPolicy};
use mailward_store::{Store, StoreError};
use serde::Serialize;

use crate::Context;
use crate::exit::{Failure, Outcome, Result};
use crate::output::{self, clean, count, wrap};
use crate::rooms;

/// What an SQLite file begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Policies stored at once.
const AT_ONCE: usize = 500;

/// The longest line of a text; a policy with as many names as fit is shorter.
const LONGEST_LINE: u64 = 128 * 1024;

/// How many that were left out are named one by one; DANE is only counted.
const EXAMPLES: usize = 20;

/// Where policies come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Source {
    PostfixMtaStsResolver,
    PostfixTlspol,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Totals {
    /// Taken.
    taken: u64,
    /// The store has the same, or something newer.
    there_already: u64,
    /// Their time is over.
    expired: u64,
    /// They cannot be used.
    invalid: u64,
    /// DANE, which is looked up anew.
    dane: u64,
    /// The first that were left out.
    left_out: Vec<Example>,
}

#[derive(Debug, Serialize)]
struct Example {
    domain: String,
    why: String,
}

/// Runs it.
pub async fn run(context: &Context, path: &Path) -> Result {
    let cannot_read = |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", path.display()));
    let mut file = File::open(path).map_err(cannot_read)?;
    let mut head = vec![];
    file.by_ref().take(SQLITE.len() as u64).read_to_end(&mut head).map_err(cannot_read)?;
    let exported_at = modified(&file).map_err(cannot_read)?;
    let store = rooms::store(&context.loaded.config).await?;
    let mut import = Import { store, now: context.clock.now(), totals: Totals::default(), waiting: vec![] };
    let taken = match head == SQLITE {
        true => import.sqlite(path).await.map(|()| Source::PostfixMtaStsResolver),
        false => import.text(&head, file, path, exported_at).await.map(|()| Source::PostfixTlspol),
    };
    let stored = import.store_waiting().await;
    import.store.close().await;
    let source = taken?;
    stored?;
    if context.json() {
        output::print_json(
            &serde_json::json!({"schema": "mailward.policyd-import/1", "source": source, "totals": import.totals}),
        );
    } else {
        print(source, &import.totals);
    }
    Ok(Outcome::Fine)
}

/// In whole seconds, so that it comes back from the store as the same moment.
fn modified(file: &File) -> std::io::Result<Timestamp> {
    let at = Timestamp::try_from(file.metadata()?.modified()?).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// An import under way.
struct Import {
    store: Store,
    now: Timestamp,
    totals: Totals,
    waiting: Vec<Taken>,
}

impl Import {
    async fn sqlite(&mut self, path: &Path) -> Result<()> {
        let mut cache = ResolverCache::open(path).await.map_err(|error| match error {
            StoreError::NotFound(_) => Failure::usage(format!(
                "{} is an SQLite file, but no cache of postfix-mta-sts-resolver: it has no table sts_policy_cache",
                path.display()
            )),
            other => Failure::unavailable(other),
        })?;
        loop {
            let rows = cache.next().await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                self.take(row.domain.clone(), foreign::from_resolver(&row, self.now)).await?;
            }
        }
        cache.close().await;
        Ok(())
    }

    async fn text(&mut self, head: &[u8], file: File, path: &Path, exported_at: Timestamp) -> Result<()> {
        let mut reader = BufReader::new(head.chain(file));
        let mut lines = 0;
        loop {
            let mut line = vec![];
            let read = reader
                .by_ref()
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
            if read == 0 {
                return self.recognized(path);
            }
            lines += 1;
            let text = std::str::from_utf8(&line).ok().filter(|text| !text.contains('\0'));
            let Some(text) = text.filter(|_| read as u64 != LONGEST_LINE) else {
                return Err(Failure::usage(format!(
                    "{} line {lines} is no text. This takes the SQLite file of postfix-mta-sts-resolver, or what `postfix-tlspol -export` prints.",
                    path.display()
                )));
            };
            if let Some((domain, read)) = foreign::from_tlspol(text, exported_at, self.now) {
                self.take(domain, read).await?;
            }
        }
    }

    /// A text in which nothing was what it should be is something else.
    fn recognized(&self, path: &Path) -> Result<()> {
        let Totals { taken, there_already, expired, invalid, dane, left_out } = &self.totals;
        if *invalid == 0 || taken + there_already + expired + dane > 0 || !self.waiting.is_empty() {
            return Ok(());
        }
        let first = left_out.first().map(|e| format!(" ({}: {})", clean(&e.domain), clean(&e.why)));
        Err(Failure::usage(format!(
            "nothing in {} is a policy{}. This takes the SQLite file of postfix-mta-sts-resolver, or what `postfix-tlspol -export` prints.",
            path.display(),
            first.unwrap_or_default()
        )))
    }

    /// Takes one, or notes why not.
    async fn take(&mut self, domain: String, read: std::result::Result<Taken, LeftOut>) -> Result<()> {
        let totals = &mut self.totals;
        let why = match read {
            Ok(taken) => {
                self.waiting.push(taken);
                return if self.waiting.len() < AT_ONCE { Ok(()) } else { self.store_waiting().await };
            }
            Err(LeftOut::Dane) => {
                totals.dane += 1;
                return Ok(());
            }
            Err(why) => why,
        };
        match why {
            LeftOut::Expired(_) => totals.expired += 1,
            _ => totals.invalid += 1,
        }
        if totals.left_out.len() < EXAMPLES {
            let domain = domain.chars().take(300).collect();
            totals.left_out.push(Example { domain, why: why.to_string() });
        }
        Ok(())
    }

    async fn store_waiting(&mut self) -> Result<()> {
        let mut new = vec![];
        for Taken { domain, policy, body } in std::mem::take(&mut self.waiting) {
            let stored = self.store.known_policy(&domain).await?.and_then(|known| known.policy);
            if stored.is_some_and(|stored| stored.fetched_at >= policy.fetched_at) {
                self.totals.there_already += 1;
                continue;
            }
            let held = HeldPolicy {
                id: policy.id,
                body: body.into_bytes(),
                mode: policy.policy.mode,
                max_age: policy.policy.max_age,
                fetched_at: policy.fetched_at,
                record_seen_at: policy.record_seen_at,
            };
            let known =
                KnownPolicy { domain, policy: Some(held), failure: None, branch: None, used_at: self.now };
            new.push(known);
        }
        self.store.put_known_policies(&new).await?;
        self.totals.taken += new.len() as u64;
        Ok(())
    }
}

fn print(source: Source, totals: &Totals) {
    let (name, note) = match source {
        Source::PostfixMtaStsResolver => (
            "postfix-mta-sts-resolver",
            "Their texts are rebuilt from the fields that it keeps; the time of each fetch is its own."
                .to_owned(),
        ),
        Source::PostfixTlspol => (
            "postfix-tlspol",
            format!(
                "Their texts are rebuilt from the names it answers. It tells no max_age and no id: each holds for {} h from the time of the file, and is fetched anew at the first question.",
                foreign::unknown_age().as_hours()
            ),
        ),
    };
    anstream::println!(
        "Live policies taken from {name}: {}. There already: {}.",
        count(totals.taken),
        count(totals.there_already)
    );
    if totals.taken > 0 {
        anstream::println!("{}", wrap(&note, 0));
        anstream::println!("A running daemon reads them at its next start.");
    }
    if totals.dane > 0 {
        anstream::println!(
            "Answers by DANE, left out because that is looked up anew: {}.",
            count(totals.dane)
        );
    }
    if totals.expired + totals.invalid > 0 {
        anstream::println!("Left out: {} expired, {} invalid.", count(totals.expired), count(totals.invalid));
        for Example { domain, why } in &totals.left_out {
            anstream::println!("  {}: {}", clean(domain), wrap(&clean(why), 4));
        }
    }
}
