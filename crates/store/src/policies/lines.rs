//! Known policies as a page lists them: by domain, without the bodies.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use serde::{Deserialize, Serialize};

use super::RefreshFailure;
use crate::columns::{domain, from_json, small, timestamp};
use crate::domains::mode;
use crate::engine::{Sql, statements, values};
use crate::{Result, Store, StoreError};

/// Which rows to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyFilter {
    /// Every domain of which anything is known.
    #[default]
    All,
    /// Those whose last policy has mode enforce, also when it expired.
    Enforced,
    /// Those whose refresh fails.
    Failing,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// The domain.
    pub domain: PolicyDomain,
    /// The last policy fetched, if there was one.
    pub policy: Option<PolicyLine>,
    /// Set while refreshing fails.
    pub failure: Option<RefreshFailure>,
    /// The word of the last decision by DNS that was certain.
    pub branch: Option<String>,
    /// Last asked for, to the hour or so.
    pub used_at: Timestamp,
}

/// A policy without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLine {
    /// Its mode.
    pub mode: Mode,
    /// The id of the record with which it was fetched.
    pub id: String,
    /// Seconds.
    pub max_age: u32,
    /// The last successful fetch.
    pub fetched_at: Timestamp,
    /// The first moment at which it is no longer in force.
    pub expires_at: Timestamp,
    /// When the record was last looked at.
    pub record_seen_at: Timestamp,
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPage {
    /// The rows. A search lists names that begin with the text first, and then those that have it further on.
    pub rows: Vec<PolicyRow>,
    /// Pass this as `after` for the next page; `None` at the end.
    pub next: Option<String>,
    /// Set when a search stopped for now after so many names, before the page was full: all names up to this
    /// one were looked through. It goes on with `next`.
    pub looked_up_to: Option<String>,
}

/// Names that one page of a search looks through for a text within them.
const LOOKED_THROUGH: u32 = 200_000;
/// Marks an `after` that stands among the names that begin with the text. No name has it.
const BEGINNING: char = '^';

/// The columns of a line, of the rows of a filter.
macro_rules! lines {
    ($filter:literal, $which:literal) => {
        concat!(
            "SELECT domain, mode, policy_id, max_age, fetched_at, record_seen_at, failure, branch, used_at
                FROM known_policies WHERE ",
            $filter,
            $which
        )
    };
}

/// The rows behind $1.
macro_rules! page {
    ($filter:literal) => {
        lines!($filter, "domain > $1 ORDER BY domain LIMIT $2")
    };
}

/// Those that begin with a text, from $2 to before $3.
macro_rules! beginning {
    ($filter:literal) => {
        lines!($filter, "domain > $1 AND domain >= $2 AND domain < $3 ORDER BY domain LIMIT $4")
    };
}

/// Those that have a text further on, among the names up to $2.
macro_rules! within {
    ($filter:literal) => {
        lines!(
            $filter,
            "domain > $1 AND domain <= $2 AND domain LIKE $3 ESCAPE '!'
            AND NOT (domain >= $4 AND domain < $5) ORDER BY domain LIMIT $6"
        )
    };
}

/// The name after which a search stops for now.
macro_rules! stop {
    ($filter:literal) => {
        concat!(
            "SELECT domain FROM known_policies WHERE ",
            $filter,
            "domain > $1 ORDER BY domain LIMIT 1 OFFSET $2"
        )
    };
}

statements! {
    PAGE = page!("");
    PAGE_ENFORCED = page!("mode = 'enforce' AND ");
    PAGE_FAILING = page!("failure IS NOT NULL AND ");
    BEGINNING_ALL = beginning!("");
    BEGINNING_ENFORCED = beginning!("mode = 'enforce' AND ");
    BEGINNING_FAILING = beginning!("failure IS NOT NULL AND ");
    WITHIN = within!("");
    WITHIN_ENFORCED = within!("mode = 'enforce' AND ");
    WITHIN_FAILING = within!("failure IS NOT NULL AND ");
    STOP = stop!("");
    STOP_ENFORCED = stop!("mode = 'enforce' AND ");
    STOP_FAILING = stop!("failure IS NOT NULL AND ");
}

/// domain, mode, policy_id, max_age, fetched_at, record_seen_at, failure, branch, used_at
type Row = (
    String,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    i64,
);

impl Store {
    /// Known policies by domain (in the order of bytes), at most `limit`; go on with `next` as `after`, which
    /// may be the name of a domain as well. `search` is a part of the name; U-labels find their A-labels.
    ///
    /// A name that begins with the text is found at once, however many there are. For the text further on,
    /// one page looks through some 200,000 names and says up to where.
    ///
    /// # Errors
    /// As every function here.
    pub async fn policies_page(
        &self,
        filter: PolicyFilter,
        search: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<PolicyPage> {
        self.policies_among(filter, search, after, limit, LOOKED_THROUGH).await
    }

    /// The same, looking through fewer names.
    ///
    /// # Errors
    /// As every function here.
    #[doc(hidden)]
    pub async fn policies_among(
        &self,
        filter: PolicyFilter,
        search: Option<&str>,
        after: Option<&str>,
        limit: u32,
        looked_through: u32,
    ) -> Result<PolicyPage> {
        let [page, ..] = of(filter);
        let (text, after) = (wanted(search), after.unwrap_or_default());
        if text.is_empty() {
            let rows: Vec<Row> = self.engine.all(page, values![after, i64::from(limit) + 1]).await?;
            return PolicyPage::of(rows, limit, None, None);
        }
        let part = Part { filter, text: &text, limit, looked_through };
        match after.strip_prefix(BEGINNING) {
            None if !after.is_empty() => part.within(self, after, Vec::new()).await,
            after => part.beginning(self, after.unwrap_or_default()).await,
        }
    }
}

/// Statements of a filter: page, beginning, within, stop.
fn of(filter: PolicyFilter) -> [Sql; 4] {
    match filter {
        PolicyFilter::All => [PAGE, BEGINNING_ALL, WITHIN, STOP],
        PolicyFilter::Enforced => [PAGE_ENFORCED, BEGINNING_ENFORCED, WITHIN_ENFORCED, STOP_ENFORCED],
        PolicyFilter::Failing => [PAGE_FAILING, BEGINNING_FAILING, WITHIN_FAILING, STOP_FAILING],
    }
}

/// One page of a search.
struct Part<'a> {
    filter: PolicyFilter,
    text: &'a str,
    limit: u32,
    looked_through: u32,
}

impl Part<'_> {
    /// Behind every name that begins with the text.
    fn end(&self) -> String {
        format!("{}{}", self.text, char::MAX)
    }

    /// Names that begin with the text; where they do not fill the page, the others from the first name on.
    async fn beginning(&self, store: &Store, after: &str) -> Result<PolicyPage> {
        let [_, beginning, ..] = of(self.filter);
        let asked = values![after, self.text, self.end(), i64::from(self.limit) + 1];
        let rows: Vec<Row> = store.engine.all(beginning, asked).await?;
        if rows.len() > self.limit as usize {
            return PolicyPage::of(rows, self.limit, Some(BEGINNING), None);
        }
        self.within(store, "", rows).await
    }

    /// After `rows`, names behind `after` that have the text further on.
    async fn within(&self, store: &Store, after: &str, mut rows: Vec<Row>) -> Result<PolicyPage> {
        let [.., within, stop] = of(self.filter);
        let through = i64::from(self.looked_through) - 1;
        let stop: Option<(String,)> = store.engine.optional(stop, values![after, through]).await?;
        let stop = stop.map(|(name,)| name);
        let begun = rows.len();
        let left = i64::from(self.limit) + 1 - i64::try_from(begun).unwrap_or(i64::MAX);
        let last = stop.clone().unwrap_or_else(|| char::MAX.to_string());
        let asked = values![after, last, pattern(self.text), self.text, self.end(), left];
        let found: Vec<Row> = store.engine.all(within, asked).await?;
        rows.extend(found);
        // A page that is full with beginnings alone goes on behind the last of them.
        let mark = (begun == self.limit as usize).then_some(BEGINNING);
        PolicyPage::of(rows, self.limit, mark, stop)
    }
}

impl PolicyPage {
    /// From up to `limit + 1` rows: the surplus one only tells that more follow. `mark` stands before the name
    /// of the last row in `next`; `stop` is the name after which the search stopped, if it did.
    fn of(mut rows: Vec<Row>, limit: u32, mark: Option<char>, stop: Option<String>) -> Result<Self> {
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| more).map(|row| format!("{}{}", text_of(mark), row.0));
        let looked_up_to = stop.filter(|_| !more);
        Ok(Self {
            next: last.or_else(|| looked_up_to.clone()),
            looked_up_to,
            rows: rows.into_iter().map(policy_row).collect::<Result<_>>()?,
        })
    }
}

fn text_of(mark: Option<char>) -> String {
    mark.map(String::from).unwrap_or_default()
}

/// The text to look for, as names are written.
fn wanted(search: Option<&str>) -> String {
    let search = search.unwrap_or_default().trim().to_lowercase();
    match PolicyDomain::parse(&search) {
        Ok(name) if !search.is_ascii() => name.to_string(),
        _ => search,
    }
}

/// What LIKE looks for.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn policy_row(row: Row) -> Result<PolicyRow> {
    let (name, mode_text, id, max_age, fetched_at, record_seen_at, failure, branch, used_at) = row;
    let gap = || StoreError::Corrupt(format!("what is known of {name} has gaps"));
    let policy = match mode_text {
        None => None,
        Some(mode_text) => {
            let max_age = small(max_age.ok_or_else(gap)?);
            let fetched_at = timestamp(fetched_at.ok_or_else(gap)?)?;
            Some(PolicyLine {
                mode: mode(&mode_text)?,
                id: id.ok_or_else(gap)?,
                max_age,
                fetched_at,
                expires_at: super::expiry(fetched_at, max_age),
                record_seen_at: timestamp(record_seen_at.ok_or_else(gap)?)?,
            })
        }
    };
    Ok(PolicyRow {
        domain: domain(&name)?,
        policy,
        failure: failure.as_deref().map(from_json).transpose()?,
        branch,
        used_at: timestamp(used_at)?,
    })
}
