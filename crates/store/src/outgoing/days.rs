//! How many outgoing reports of each day are in each state: sums that every writer keeps up to date, since a
//! page shall not count a million rows.

use std::collections::BTreeMap;

use jiff::civil::Date;
use mailward_core::tlsrpt::outgoing::TargetState;
use serde::{Deserialize, Serialize};

use super::read::state_of;
use super::state_word;
use crate::columns::{count, date, day_number};
use crate::engine::{Write, statements, values};
use crate::{Result, Store};

/// The reports of one day, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingDay {
    /// The UTC day that they cover.
    pub day: Date,
    /// How many there are.
    #[serde(flatten)]
    pub counts: OutgoingCounts,
}

/// Reports by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutgoingCounts {
    /// Not tried yet.
    pub due: u64,
    /// Tried, and to be tried again.
    pub waiting: u64,
    /// Accepted by one address at least.
    pub sent: u64,
    /// Refused by all.
    pub refused: u64,
    /// Tried for a day.
    pub given_up: u64,
    /// Not tried at all.
    pub suppressed: u64,
    /// Days of domains of which no report was made.
    pub none: u64,
}

impl OutgoingCounts {
    /// Those in a state; `None` is no report.
    pub fn of(&self, state: Option<TargetState>) -> u64 {
        *self.clone().place(state)
    }

    /// All of them, with a report or without.
    pub fn all(&self) -> u64 {
        TargetState::ALL.into_iter().map(|state| self.of(Some(state))).fold(self.none, u64::saturating_add)
    }

    /// Both together.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for state in TargetState::ALL.into_iter().map(Some).chain([None]) {
            let place = self.place(state);
            *place = place.saturating_add(other.of(state));
        }
        self
    }

    fn place(&mut self, state: Option<TargetState>) -> &mut u64 {
        match state {
            Some(TargetState::Due) => &mut self.due,
            Some(TargetState::Waiting) => &mut self.waiting,
            Some(TargetState::Sent) => &mut self.sent,
            Some(TargetState::Refused) => &mut self.refused,
            Some(TargetState::GivenUp) => &mut self.given_up,
            Some(TargetState::Suppressed) => &mut self.suppressed,
            None => &mut self.none,
        }
    }
}

statements! {
    ALL = "SELECT day, state, reports FROM outgoing_days WHERE reports > 0";
    CHANGE = "INSERT INTO outgoing_days (day, state, reports) VALUES {rows}
        ON CONFLICT (day, state) DO UPDATE SET reports = outgoing_days.reports + excluded.reports";
    DROP = "DELETE FROM outgoing_days WHERE day < $1";
}

impl Store {
    /// How many reports of each day are in each state, the newest day first. Quick, however many they are.
    ///
    /// # Errors
    /// As every function here.
    pub async fn outgoing_days(&self) -> Result<Vec<OutgoingDay>> {
        let rows: Vec<(i64, String, i64)> = self.engine.all(ALL, values![]).await?;
        let mut days: BTreeMap<i64, OutgoingCounts> = BTreeMap::new();
        for (day, state, reports) in rows {
            *days.entry(day).or_default().place(state_of(&state)?) = count(reports);
        }
        let day = |(day, counts)| Ok(OutgoingDay { day: date(day)?, counts });
        days.into_iter().rev().map(day).collect()
    }
}

/// By how much the sums change in one transaction: day and state.
#[derive(Default)]
pub(super) struct Changes(BTreeMap<(i64, &'static str), i64>);

impl Changes {
    pub(super) fn add(&mut self, day: i64, state: Option<TargetState>, by: i64) {
        *self.0.entry((day, state_word(state))).or_default() += by;
    }

    pub(super) async fn save(self, write: &mut Write) -> Result<()> {
        let changes = self.0.into_iter().filter(|(_, by)| *by != 0);
        let rows = changes.map(|((day, state), by)| [day.into(), state.into(), by.into()]).collect();
        write.run_rows(CHANGE, rows).await
    }
}

/// Forgets the days before this one.
pub(super) async fn forget(write: &mut Write, before: Date) -> Result<()> {
    write.run(DROP, values![day_number(before)]).await.map(drop)
}
