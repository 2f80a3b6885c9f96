//! The questions, at an even pace, and a look at every answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::answer;
use super::trouble::Ledger;
use crate::policyd::{Chance, Pipe, Place};
use crate::sender_world;

/// Connections.
const CONNECTIONS: usize = 50;
/// Each connection asks so often a second.
const BEATS: usize = 50;
/// Wrong answers that are shown.
const EXAMPLES: usize = 10;
/// Waits are counted by tenths of a millisecond, up to a second.
const WAITS: usize = 10_000;

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) answers: u64,
    pub(super) wrong: u64,
    /// Answers by a policy that is not the first of its domain.
    pub(super) renewed: u64,
    /// Microseconds.
    pub(super) longest: u64,
    /// What 99.9 of 100 batches do not exceed, in microseconds.
    pub(super) most: u64,
    pub(super) rate: f64,
    pub(super) examples: Vec<String>,
    waits: Vec<u64>,
}

impl Seen {
    fn nothing() -> Self {
        Self {
            answers: 0,
            wrong: 0,
            renewed: 0,
            longest: 0,
            most: 0,
            rate: 0.0,
            examples: Vec::new(),
            waits: vec![0; WAITS],
        }
    }

    fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.wrong += other.wrong;
        self.renewed += other.renewed;
        self.longest = self.longest.max(other.longest);
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
        self.waits.iter_mut().zip(other.waits).for_each(|(sum, count)| *sum += count);
    }

    fn took(&mut self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.longest = self.longest.max(micros);
        self.waits[usize::try_from(micros / 100).unwrap_or(WAITS).min(WAITS - 1)] += 1;
    }

    /// From the counts of waits.
    fn settle(&mut self) {
        let all: u64 = self.waits.iter().sum();
        let mut left = all - all / 1000;
        for (at, count) in self.waits.iter().enumerate() {
            if left <= *count {
                self.most = (at as u64 + 1) * 100;
                return;
            }
            left -= count;
        }
    }
}

/// Asks for every domain once, with as much patience as Postfix has.
pub(super) async fn meet_all(place: &Place, ledger: &Arc<Ledger>) -> Result<(), String> {
    let meet = |first: usize| {
        let (place, ledger) = (place.clone(), Arc::clone(ledger));
        async move {
            let mut pipe = Pipe::connect(&place).await?;
            for number in (first..ledger.domains()).step_by(CONNECTIONS) {
                pipe.ask("mailward", &sender_world::domain(number));
                pipe.send().await?;
                let got = String::from_utf8_lossy(pipe.answer().await?).into_owned();
                if got != answer(number, 0, 0, "mailward") {
                    return Err(format!("the first answer for {} is {got}", sender_world::domain(number)));
                }
            }
            Ok(())
        }
    };
    let tasks: Vec<_> = (0..CONNECTIONS).map(|first| tokio::spawn(meet(first))).collect();
    for task in tasks {
        task.await.map_err(|e| e.to_string())??;
    }
    Ok(())
}

/// Asks at this rate until the end.
pub(super) async fn traffic(
    place: &Place,
    ledger: Arc<Ledger>,
    rate: usize,
    end: Instant,
) -> Result<Seen, String> {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|number| tokio::spawn(one(place.clone(), Arc::clone(&ledger), number, rate, end)))
        .collect();
    let mut seen = Seen::nothing();
    for task in tasks {
        seen.add(task.await.map_err(|e| e.to_string())??);
    }
    seen.rate = seen.answers as f64 / begun.elapsed().as_secs_f64();
    seen.settle();
    Ok(seen)
}

async fn one(
    place: Place,
    ledger: Arc<Ledger>,
    number: usize,
    rate: usize,
    end: Instant,
) -> Result<Seen, String> {
    let map = if number.is_multiple_of(2) { "mailward" } else { "mailward-tlsrpt" };
    let (mut chance, mut seen, mut asked) = (Chance::new(number), Seen::nothing(), Vec::new());
    let mut pipe = Pipe::connect(&place).await?;
    let mut lives = 0;
    let beat = Duration::from_secs(1) / u32::try_from(BEATS).unwrap_or(1);
    let mut next = Instant::now() + beat * u32::try_from(number).unwrap_or(0) / 50;
    while next < end {
        sleep_until(next).await;
        next += beat;
        lives += 1;
        // As Postfix does, which never keeps a connection for long.
        if lives % (20 * BEATS) == 0 {
            pipe = Pipe::connect(&place).await?;
        }
        asked.clear();
        for _ in 0..rate / CONNECTIONS / BEATS {
            let domain = chance.below(ledger.domains());
            pipe.ask(map, &sender_world::domain(domain));
            asked.push(domain);
        }
        let sent = Instant::now();
        // What may be answered is looked up on both sides of the wait: the world may change meanwhile.
        let before: Vec<_> = asked.iter().map(|domain| ledger.state(*domain)).collect();
        pipe.send().await?;
        for (domain, before) in asked.iter().zip(before) {
            let got = String::from_utf8_lossy(pipe.answer().await?).into_owned();
            let (answered, after) = (Instant::now(), ledger.state(*domain));
            let is_right = [before, after].iter().any(|state| {
                [state.new, state.old].iter().any(|version| {
                    got == answer(*domain, version.number, version.max_age, map)
                        && state.allows(*version, sent.into_std(), answered.into_std())
                })
            });
            seen.answers += 1;
            seen.renewed += u64::from(after.new.number > 0 && is_right);
            if !is_right {
                seen.wrong += 1;
                let name = sender_world::domain(*domain);
                if seen.examples.len() < EXAMPLES {
                    seen.examples.push(format!("wrong for {name} in {after:?}: {got}"));
                }
            }
        }
        seen.took(sent.elapsed());
    }
    Ok(seen)
}
