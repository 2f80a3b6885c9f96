//! Lots of items: found, examined and made ready to be stored together.
//!
//! An item takes about as long to read as a thread takes to wake, so items do not travel alone. Nothing in
//! a lot is decided by its neighbours, except that their missing DKIM keys are asked for together.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use futures_util::Stream;
use jiff::Timestamp;
use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::authenticity::SignatureFacts;
use mailward_core::{DomainName, Finding};
use mailward_store::StoreError;
use mailward_store::reports::{Content, IncomingItem, PreparedItem};
use tokio::sync::mpsc;

use super::super::conclude::Concluded;
use super::super::dkim::Signatures;
use super::super::examine::{Parts, Read, confined};
use super::super::held::Known;
use super::super::keys::Key;
use super::super::{Arrival, Inner, Intake, IntakeError, Source};
use super::files::{Found, Walk};

/// Items in a lot.
const ITEMS: usize = 32;
/// Bytes after which a lot is full.
const BYTES: usize = 1 << 20;
/// Lots found ahead.
const AHEAD: usize = 2;

/// One item as it goes into the database, or why it does not.
pub(super) struct Examined {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) what: What,
}

pub(super) enum What {
    Item(Box<PreparedItem>, Kind),
    NotAReport(Option<Finding>),
    Unreadable(String),
}

/// What an item is counted as.
pub(super) enum Kind {
    /// With the first reason.
    Quarantined(Option<Box<Finding>>),
    /// With whether a signature could not be tested.
    Reports { trust: Trust, untested: bool },
}

/// Walks on a thread of its own, a few lots ahead.
pub(super) fn walk(paths: Vec<PathBuf>, limit: usize) -> impl Stream<Item = Vec<Found>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut found = paths.iter().flat_map(|path: &PathBuf| Walk::new(Path::new(path), limit));
        loop {
            let lot = next_lot(&mut found);
            if lot.is_empty() || sender.blocking_send(lot).is_err() {
                return;
            }
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|found| (found, receiver))
    })
}

fn next_lot(found: &mut impl Iterator<Item = Found>) -> Vec<Found> {
    let mut lot = Vec::with_capacity(ITEMS);
    let mut bytes = 0;
    while lot.len() < ITEMS && bytes < BYTES {
        let Some(found) = found.next() else { break };
        bytes += found.content.as_ref().map_or(0, Vec::len);
        lot.push(found);
    }
    lot
}

/// An item on its way.
enum Step {
    Done(Examined),
    Waits { origin: String, size: u64, parts: Parts, signatures: Signatures },
}

/// Examines the items of a lot; what comes out is in their order.
///
/// # Errors
/// Only what ends the whole import.
pub(super) async fn examine(intake: Intake, lot: Vec<Found>) -> Result<Vec<Examined>, StoreError> {
    let ended = |error: IntakeError| StoreError::Unavailable(error.to_string());
    let now = intake.inner.clock.now();
    let begun = move |inner: &Inner| lot.into_iter().map(|found| begin(inner, found, now)).collect();
    let steps: Result<Vec<Step>, StoreError> = intake.apart(begun).await.map_err(ended)?;
    let steps = steps?;
    let wanted = steps.iter().flat_map(|step| match step {
        Step::Done(_) => None,
        Step::Waits { signatures, .. } => Some(signatures.wanted().cloned()),
    });
    let wanted: BTreeSet<DomainName> = wanted.flatten().collect();
    if wanted.is_empty() {
        let done = |step| if let Step::Done(examined) = step { Some(examined) } else { None };
        return Ok(steps.into_iter().filter_map(done).collect());
    }
    let keys = intake.inner.ask(wanted).await;
    let ended_steps = move |inner: &Inner| steps.into_iter().map(|step| end(inner, step, &keys)).collect();
    intake.apart(ended_steps).await.map_err(ended)?
}

fn begin(inner: &Inner, found: Found, now: Timestamp) -> Result<Step, StoreError> {
    let Found { origin, file_name, size, content } = found;
    let bytes = match content {
        Ok(bytes) => bytes,
        Err(reason) => return Ok(Step::Done(Examined { origin, size, what: What::Unreadable(reason) })),
    };
    let arrival = Arrival {
        bytes,
        source: Source::Import,
        origin: origin.clone(),
        file_name,
        media_type: None,
        held_domain: None,
    };
    match inner.read(arrival, now) {
        Ok(Read::Done(parts, facts)) => Ok(Step::Done(made_ready(inner, origin, size, parts, &facts)?)),
        Ok(Read::Waits(parts, signatures)) => Ok(Step::Waits { origin, size, parts, signatures }),
        Err(error) => Ok(Step::Done(faulty(origin, size, &error))),
    }
}

fn end(inner: &Inner, step: Step, keys: &HashMap<DomainName, Key>) -> Result<Examined, StoreError> {
    match step {
        Step::Done(examined) => Ok(examined),
        Step::Waits { origin, size, parts, signatures } => match inner.check(parts, signatures, keys) {
            Ok((parts, facts)) => made_ready(inner, origin, size, parts, &facts),
            Err(error) => Ok(faulty(origin, size, &error)),
        },
    }
}

fn faulty(origin: String, size: u64, error: &IntakeError) -> Examined {
    Examined { origin, size, what: What::Unreadable(error.to_string()) }
}

fn made_ready(
    inner: &Inner,
    origin: String,
    size: u64,
    parts: Parts,
    signatures: &[SignatureFacts],
) -> Result<Examined, StoreError> {
    // What the operator imports is the operator's choice, whichever domains are held.
    let held = Known::default();
    let what = confined(|| match parts.conclude(signatures, &held, inner.limits.input) {
        Concluded::Item(item) => {
            let prepared = PreparedItem::new(&item)?;
            Ok(What::Item(Box::new(prepared), Kind::of(*item)))
        }
        Concluded::NotAReport { findings, .. } => Ok(What::NotAReport(findings.into_iter().next())),
    });
    match what {
        Ok(what) => Ok(Examined { origin, size, what: what? }),
        Err(error) => Ok(faulty(origin, size, &error)),
    }
}

impl Kind {
    fn of(item: IncomingItem) -> Self {
        if item.content == Content::Quarantined {
            return Self::Quarantined(item.findings.into_iter().next().map(Box::new));
        }
        let untested = item.dkim.is_some_and(|dkim| dkim.verdict == "untested");
        Self::Reports { trust: item.trust, untested }
    }
}
