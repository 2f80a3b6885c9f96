//! What happens to the restless domains, and what they must answer meanwhile.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sender_world::{Order, SHARED, first_max_age};
use crate::world::Elsewhere;

/// A version of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) max_age: u32,
}

/// What a domain may answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) old: Version,
    pub(super) new: Version,
    /// From when on the new policy can be had; `None` while something is broken.
    pub(super) new_from: Option<Instant>,
    /// Until when the old one may be answered; `None` while something is broken.
    pub(super) old_until: Option<Instant>,
}

impl State {
    /// Whether an answer of this version may come to a question that was asked then and answered now.
    pub(super) fn allows(&self, version: Version, asked: Instant, answered: Instant) -> bool {
        let new = version == self.new && self.new_from.is_some_and(|from| answered >= from);
        let old = version == self.old && self.old_until.is_none_or(|until| asked <= until);
        new || old
    }
}

/// The states of all domains.
pub(super) struct Ledger(Vec<Mutex<State>>);

/// How long a policy lives, in seconds of a clock that runs fast.
const TWO_WEEKS: u32 = 1_209_600;

impl Ledger {
    pub(super) fn new(domains: usize) -> Self {
        let state = |number| {
            let first = Version { number: 0, max_age: first_max_age(number) };
            State { old: first, new: first, new_from: Some(this_moment()), old_until: None }
        };
        Self((0..domains).map(|number| Mutex::new(state(number))).collect())
    }

    pub(super) fn domains(&self) -> usize {
        self.0.len()
    }

    pub(super) fn state(&self, number: usize) -> State {
        *self.lock(number)
    }

    fn lock(&self, number: usize) -> MutexGuard<'_, State> {
        self.0[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What befalls a restless domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Another policy, and nothing else.
    Change,
    /// Another policy, and its host answers 503 at first.
    Status,
    /// Another policy, and its host cannot be reached at first.
    Deaf,
    /// Another policy, and its DNS fails at first.
    Dns,
}

/// One in so many domains is restless.
const RESTLESS: usize = 10;
/// How long something is broken.
const BROKEN: Duration = Duration::from_secs(20);
/// The longest time after which a new policy has been seen: the record is believed for fifteen seconds,
/// a domain is fetched from once in three, and then it is fetched.
const SEEN_AFTER: Duration = Duration::from_secs(30);
/// The same after something was broken: a host that was dead is left alone for a minute.
const HEALED_AFTER: Duration = Duration::from_secs(100);
/// From one trouble of a domain to its next.
const AGAIN: Duration = Duration::from_secs(30);

/// The trouble of a domain by its number, if it is restless. Deaf addresses serve no restless domain with
/// another trouble: numbers of a sort have one remainder by eight.
fn trouble_of(number: usize) -> Option<Trouble> {
    if !number.is_multiple_of(RESTLESS) {
        return None;
    }
    Some(match number / RESTLESS % 4 {
        0 => Trouble::Change,
        1 => Trouble::Status,
        2 => Trouble::Deaf,
        _ => Trouble::Dns,
    })
}

/// Restless domains that share their fate: those behind one deaf address, and each other one alone.
fn groups(domains: usize) -> Vec<(Trouble, Vec<usize>)> {
    let mut groups: Vec<(Trouble, Vec<usize>)> = Vec::new();
    for number in 0..domains {
        let Some(trouble) = trouble_of(number) else { continue };
        let shares = |(other, numbers): &&mut (Trouble, Vec<usize>)| {
            trouble == Trouble::Deaf && *other == trouble && numbers[0] % SHARED == number % SHARED
        };
        match groups.iter_mut().find(shares) {
            Some((_, numbers)) => numbers.push(number),
            None => groups.push((trouble, vec![number])),
        }
    }
    groups
}

/// What happens to a domain next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Begin,
    Heal,
}

/// Troubles all restless domains until the end, or until the other side of `go_on` is gone; returns how many
/// orders it gave.
pub(super) fn restlessness(
    mut world: Elsewhere,
    ledger: &Ledger,
    end: Instant,
    go_on: &Receiver<()>,
) -> Result<u64, String> {
    let begun = this_moment();
    let mut orders = 0;
    let groups = groups(ledger.domains());
    // Not all at once.
    let begins = |at: usize| begun + AGAIN.mul_f64(at as f64 / groups.len() as f64);
    let mut agenda: Vec<(Instant, usize, Next)> =
        (0..groups.len()).map(|at| (begins(at), at, Next::Begin)).collect();
    loop {
        agenda.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let Some((at, group, next)) = agenda.pop().filter(|(at, ..)| *at < end) else {
            // The world ends with this; until the last answer it must stand.
            let _ = go_on.recv();
            return Ok(orders);
        };
        if go_on.recv_timeout(at.saturating_duration_since(this_moment()))
            == Err(RecvTimeoutError::Disconnected)
        {
            return Ok(orders);
        }
        let (trouble, numbers) = &groups[group];
        orders += match next {
            Next::Begin => begin(&mut world, ledger, *trouble, numbers)?,
            Next::Heal => heal(&mut world, ledger, *trouble, numbers)?,
        };
        let (after, then) = match (next, trouble) {
            (Next::Begin, Trouble::Change) => (SEEN_AFTER + AGAIN, Next::Begin),
            (Next::Begin, _) => (BROKEN, Next::Heal),
            (Next::Heal, _) => (HEALED_AFTER + AGAIN, Next::Begin),
        };
        agenda.push((at + after, group, then));
    }
}

fn begin(world: &mut Elsewhere, ledger: &Ledger, trouble: Trouble, numbers: &[usize]) -> Result<u64, String> {
    let mut orders = 0;
    if let Some(order) = break_it(trouble, numbers[0], true) {
        orders += give(world, order)?;
    }
    for number in numbers {
        let old = ledger.state(*number).new;
        let new = Version { number: old.number + 1, max_age: TWO_WEEKS };
        let now = Some(this_moment()).filter(|_| trouble == Trouble::Change);
        let old_until = now.map(|now| now + SEEN_AFTER);
        *ledger.lock(*number) = State { old, new, new_from: now, old_until };
        orders += give(world, Order::Version(*number, new.number, new.max_age))?;
    }
    Ok(orders)
}

fn heal(world: &mut Elsewhere, ledger: &Ledger, trouble: Trouble, numbers: &[usize]) -> Result<u64, String> {
    for number in numbers {
        let mut state = ledger.lock(*number);
        let now = this_moment();
        (state.new_from, state.old_until) = (Some(now), Some(now + HEALED_AFTER));
    }
    break_it(trouble, numbers[0], false).map_or(Ok(0), |order| give(world, order))
}

/// The order that breaks a domain, or heals it.
fn break_it(trouble: Trouble, number: usize, is_broken: bool) -> Option<Order> {
    Some(match trouble {
        Trouble::Change => return None,
        Trouble::Status => Order::Status(number, if is_broken { 503 } else { 200 }),
        Trouble::Deaf => Order::Listens(number % SHARED, !is_broken),
        Trouble::Dns => Order::Dns(number, !is_broken),
    })
}

fn give(world: &mut Elsewhere, order: Order) -> Result<u64, String> {
    let said = world.tell(&order.to_string())?;
    said.parse::<u64>().map(|_| 1).map_err(|_| said)
}

/// This moment.
fn this_moment() -> Instant {
    tokio::time::Instant::now().into_std()
}
