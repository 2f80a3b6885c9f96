//! The questions, at an even pace, and a look at every answer.

use std::sync::Arc;
use std::time::Duration;

use mailward_core::PolicyDomain;
use mailward_duty::Stop;
use mailward_store::Store;
use tokio::time::{Instant, sleep_until, timeout};

use super::trouble::{Ledger, State};
use super::{LONGEST, Seen, answer};
use crate::policyd::{Chance, Pipe, Place};
use crate::sender_world;

/// Connections.
const CONNECTIONS: usize = 50;
/// Each connection asks so often a second.
const BEATS: usize = 50;

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

/// Asks at this rate until the end, or until told to stop. An error when a question got no answer at all.
pub(super) async fn traffic(asker: &Asker, rate: usize, end: Instant, stop: Stop) -> Result<(), String> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        tasks.spawn(asker.clone().ask(number, rate, end, stop.clone()));
    }
    // The first error is enough: the rest end with the set.
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| e.to_string())??;
    }
    Ok(())
}

/// Who asks, over one connection at a time.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) place: Place,
    pub(super) ledger: Arc<Ledger>,
    pub(super) seen: Arc<Seen>,
    /// The store of the daemon.
    pub(super) store: Store,
}

impl Asker {
    async fn ask(self, number: usize, rate: usize, end: Instant, stop: Stop) -> Result<(), String> {
        let map = if number.is_multiple_of(2) { "mailward" } else { "mailward-tlsrpt" };
        let (mut chance, mut asked) = (Chance::new(number), Vec::new());
        let mut pipe = Pipe::connect(&self.place).await?;
        let mut lives = 0;
        let beat = Duration::from_secs(1) / u32::try_from(BEATS).unwrap_or(1);
        let mut next = Instant::now() + beat * u32::try_from(number).unwrap_or(0) / 50;
        while next < end && !stop.is_requested() {
            sleep_until(next).await;
            next += beat;
            lives += 1;
            // As Postfix does, which never keeps a connection for long.
            if lives % (20 * BEATS) == 0 {
                pipe = Pipe::connect(&self.place).await?;
            }
            asked.clear();
            for _ in 0..rate / CONNECTIONS / BEATS {
                let domain = chance.below(self.ledger.domains());
                pipe.ask(map, &sender_world::domain(domain));
                // What may be answered is looked up on both sides of the wait: the world may change meanwhile.
                asked.push((domain, self.ledger.state(domain)));
            }
            let sent = Instant::now();
            let answered = timeout(2 * LONGEST, self.look_at_answers(&mut pipe, map, &asked, sent)).await;
            self.seen.took(sent.elapsed());
            answered.map_err(|_| format!("no answer within {} s", 2 * LONGEST.as_secs()))??;
        }
        Ok(())
    }

    async fn look_at_answers(
        &self,
        pipe: &mut Pipe,
        map: &str,
        asked: &[(usize, State)],
        sent: Instant,
    ) -> Result<(), String> {
        pipe.send().await?;
        for (domain, before) in asked {
            let got = String::from_utf8_lossy(pipe.answer().await?).into_owned();
            let (answered, after) = (Instant::now(), self.ledger.state(*domain));
            let is_right = [*before, after].iter().any(|state| {
                [state.new, state.old].iter().any(|version| {
                    got == answer(*domain, version.number, version.max_age, map)
                        && state.allows(*version, sent.into_std(), answered.into_std())
                })
            });
            if is_right {
                self.seen.right(after.new.number > 0);
            } else if self.seen.wrong(*domain) {
                self.seen.example(self.example(*domain, after, &got).await);
            }
        }
        Ok(())
    }

    /// What was answered instead, and what the daemon has in its store meanwhile.
    async fn example(&self, number: usize, state: State, got: &str) -> String {
        let name = sender_world::domain(number);
        let known = match PolicyDomain::parse(&name) {
            Ok(domain) => format!("{:?}", self.store.known_policy(&domain).await),
            Err(error) => error.to_string(),
        };
        let moment = Instant::now().into_std();
        format!("wrong for {name} at {moment:?} in {state:?}\n    answered: {got}\n    stored: {known}")
    }
}
