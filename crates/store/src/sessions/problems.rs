//! Problems: the same trouble over days and reporters.

use std::collections::HashMap;

use jiff::civil::Date;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::ResultType;

use super::Problem;
use crate::columns::{count, date, day_number};
use crate::engine::{statements, values};
use crate::{Result, Store, StoreError};

statements! {
    // Sums first, by number alone; the texts are joined to the few that are shown.
    PROBLEMS = "SELECT s.number, h.name, p.result_type, p.mx, p.reason, s.sessions, s.weak_sessions, s.last_day,
        (SELECT MIN(f.day) FROM problem_totals f
            WHERE f.problem = s.number AND f.sessions + f.weak_sessions > 0) AS first_day
        FROM (SELECT p.number, CAST(SUM(t.sessions) AS BIGINT) AS sessions,
                CAST(SUM(t.weak_sessions) AS BIGINT) AS weak_sessions, MAX(t.day) AS last_day
            FROM problems p JOIN domains h ON h.number = p.domain
            JOIN problem_totals t ON t.problem = p.number AND t.day >= $1 AND t.sessions + t.weak_sessions > 0
            WHERE p.last_day >= $1 GROUP BY p.number
            ORDER BY 2 DESC, 3 DESC, 4 DESC, 1 LIMIT $2) s
        JOIN problems p ON p.number = s.number JOIN domains h ON h.number = p.domain
        ORDER BY s.sessions DESC, s.weak_sessions DESC, s.last_day DESC, s.number";
    PROBLEMS_OF_DOMAIN = "SELECT s.number, h.name, p.result_type, p.mx, p.reason, s.sessions, s.weak_sessions,
        s.last_day, (SELECT MIN(f.day) FROM problem_totals f
            WHERE f.problem = s.number AND f.sessions + f.weak_sessions > 0) AS first_day
        FROM (SELECT p.number, CAST(SUM(t.sessions) AS BIGINT) AS sessions,
                CAST(SUM(t.weak_sessions) AS BIGINT) AS weak_sessions, MAX(t.day) AS last_day
            FROM problems p
            JOIN problem_totals t ON t.problem = p.number AND t.day >= $1 AND t.sessions + t.weak_sessions > 0
            WHERE p.domain = $3 AND p.last_day >= $1 GROUP BY p.number
            ORDER BY 2 DESC, 3 DESC, 4 DESC, 1 LIMIT $2) s
        JOIN problems p ON p.number = s.number JOIN domains h ON h.number = p.domain
        ORDER BY s.sessions DESC, s.weak_sessions DESC, s.last_day DESC, s.number";
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
        let mut values = values![day_number(since), i64::from(limit)];
        let rows: Vec<Row> = match domain {
            None => self.engine.all(PROBLEMS, values).await?,
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
