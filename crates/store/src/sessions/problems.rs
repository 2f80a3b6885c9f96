//! Problems: the same trouble over days and reporters.

use std::cmp::Reverse;
use std::collections::HashMap;

use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::ResultType;

use super::Problem;
use crate::columns::{count, date, day_number, week};
use crate::engine::{Value, statements, values};
use crate::{Result, Store, StoreError};

/// Sessions from the day of the week $3 in the week $2 on.
macro_rules! sessions {
    () => {
        "SUM(CASE WHEN w.week > $2 THEN w.sessions ELSE CASE CAST($3 AS BIGINT) WHEN 0 THEN w.sessions
            WHEN 1 THEN w.sessions - w.monday
            WHEN 2 THEN w.sessions - w.monday - w.tuesday
            WHEN 3 THEN w.thursday + w.friday + w.saturday + w.sunday
            WHEN 4 THEN w.friday + w.saturday + w.sunday
            WHEN 5 THEN w.saturday + w.sunday
            ELSE w.sunday END END)"
    };
}

/// The same of weaker sources.
macro_rules! weak_sessions {
    () => {
        "SUM(CASE WHEN w.week > $2 THEN w.weak_sessions ELSE CASE CAST($3 AS BIGINT) WHEN 0 THEN w.weak_sessions
            WHEN 1 THEN w.weak_sessions - w.weak_monday
            WHEN 2 THEN w.weak_sessions - w.weak_monday - w.weak_tuesday
            WHEN 3 THEN w.weak_thursday + w.weak_friday + w.weak_saturday + w.weak_sunday
            WHEN 4 THEN w.weak_friday + w.weak_saturday + w.weak_sunday
            WHEN 5 THEN w.weak_saturday + w.weak_sunday
            ELSE w.weak_sunday END END)"
    };
}

/// Problems of some domains. Sums first, by number alone: texts and days are looked up for the few that are
/// shown. Where sums are alike at the end of the list, what was told of last stays on it.
macro_rules! problems {
    ($of:literal) => {
        concat!(
            "SELECT s.number, h.name, p.result_type, p.mx, p.reason, s.sessions, s.weak_sessions,
            (SELECT d.day FROM problem_days d WHERE d.problem = s.number AND d.sessions > 0
                ORDER BY d.day DESC LIMIT 1) AS last_day,
            (SELECT d.day FROM problem_days d WHERE d.problem = s.number AND d.sessions > 0
                ORDER BY d.day LIMIT 1) AS first_day
            FROM (SELECT p.number, CAST(",
            sessions!(),
            " AS BIGINT) AS sessions, CAST(",
            weak_sessions!(),
            " AS BIGINT) AS weak_sessions
                FROM problems p JOIN domains h ON h.number = p.domain
                JOIN problem_weeks w ON w.problem = p.number AND w.week >= $2
                WHERE p.last_day >= $1",
            $of,
            " GROUP BY p.number HAVING ",
            sessions!(),
            " > 0 OR ",
            weak_sessions!(),
            " > 0 ORDER BY 2 DESC, 3 DESC, p.last_day DESC, 1 LIMIT $4) s
            JOIN problems p ON p.number = s.number JOIN domains h ON h.number = p.domain
            ORDER BY s.sessions DESC, s.weak_sessions DESC, last_day DESC, s.number"
        )
    };
}

statements! {
    LAST = "SELECT MAX(number) FROM problems";
    PROBLEMS_BETWEEN = problems!(" AND p.number > $5 AND p.number <= $6");
    PROBLEMS_OF_DOMAIN = problems!(" AND p.domain = $5");
    // At most 20 of each, by name.
    REPORTERS = "SELECT problem, name FROM (SELECT r.problem, n.name,
            ROW_NUMBER() OVER (PARTITION BY r.problem ORDER BY n.name) AS place
        FROM problem_reporters r JOIN names n ON n.number = r.submitter
        WHERE r.problem IN ({list})) t WHERE place <= 20";
}

impl Store {
    /// Problems with a failure on or after `since`, most evidence sessions first; all domains held when
    /// none is named. Sessions and the last day are those since then, the first day is the first of all.
    ///
    /// # Errors
    /// As every function here.
    pub async fn problems(
        &self,
        domain: Option<&PolicyDomain>,
        since: Date,
        limit: u32,
    ) -> Result<Vec<Problem>> {
        let first = day_number(since);
        let (week, weekday) = week(first);
        let mut values = values![first, week, weekday as i64, i64::from(limit)];
        let rows: Vec<Row> = match domain {
            None => self.problems_of_all(values, limit).await?,
            Some(domain) => {
                let Some(number) = self.held_number(domain).await? else { return Ok(Vec::new()) };
                values.push(number.into());
                self.engine.all(PROBLEMS_OF_DOMAIN, values).await?
            }
        };
        let numbers = rows.iter().map(|row| row.number.into()).collect();
        let told: Vec<(i64, String)> = self.engine.all_of_list(REPORTERS, numbers).await?;
        let mut reporters: HashMap<i64, Vec<String>> = HashMap::new();
        for (problem, name) in told {
            reporters.entry(problem).or_default().push(name);
        }
        rows.into_iter()
            .map(|row| {
                let mut names = reporters.remove(&row.number).unwrap_or_default();
                names.sort_unstable();
                row.problem(names)
            })
            .collect()
    }

    /// Of every domain held. The work is adding up the weeks of each problem, so two connections share it.
    async fn problems_of_all(&self, asked: Vec<Value>, limit: u32) -> Result<Vec<Row>> {
        let last: Option<(Option<i64>,)> = self.engine.optional(LAST, values![]).await?;
        let middle = last.and_then(|(last,)| last).unwrap_or(0) / 2;
        let between = |above: i64, up_to: i64| {
            let mut values = asked.clone();
            values.extend(values![above, up_to]);
            self.engine.all::<Row>(PROBLEMS_BETWEEN, values)
        };
        let (mut rows, others) = tokio::try_join!(between(i64::MIN, middle), between(middle, i64::MAX))?;
        rows.extend(others);
        // As each half is sorted.
        rows.sort_unstable_by_key(|row| {
            (Reverse((row.sessions, row.weak_sessions, row.last_day)), row.number)
        });
        rows.truncate(limit as usize);
        Ok(rows)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    number: i64,
    name: String,
    result_type: String,
    mx: Option<String>,
    reason: Option<String>,
    sessions: i64,
    weak_sessions: i64,
    last_day: i64,
    first_day: i64,
}

impl Row {
    fn problem(self, reporters: Vec<String>) -> Result<Problem> {
        let domain = PolicyDomain::parse(&self.name);
        Ok(Problem {
            domain: domain.map_err(|e| StoreError::Corrupt(format!("{:?}: {e}", self.name)))?,
            result_type: ResultType::from(self.result_type),
            mx: self.mx,
            reason: self.reason,
            first_day: date(self.first_day)?,
            last_day: date(self.last_day)?,
            sessions: count(self.sessions),
            weak_sessions: count(self.weak_sessions),
            reporters,
        })
    }
}
