//! Pages of known policies, and looking for a name among a million of them.
//!
//! Names that begin with the text are found by the index, at once. For the text further on every name must be
//! looked at; a page looks through so many, tells up to where, and the next page goes on there.

use mailward_core::PolicyDomain;

use super::lines::{PolicyFilter, PolicyPage, Row, lines, policy_row};
use crate::engine::{Sql, statements, values};
use crate::{Result, Store};

/// Names that one page of a search looks through for a text within them.
const LOOKED_THROUGH: u32 = 100_000;
/// Marks an `after` that stands among the names that begin with the text. No name has it.
const BEGINNING: &str = "^";

/// The rows behind $1.
macro_rules! page {
    ($filter:literal) => {
        lines!($filter, "domain > $1 ORDER BY domain LIMIT $2")
    };
}

/// Those that begin with a text: from $1 to before $2, without $3. One bound at each end, since an index is
/// entered at the first that stands there.
macro_rules! beginning {
    ($filter:literal) => {
        lines!($filter, "domain >= $1 AND domain < $2 AND domain <> $3 ORDER BY domain LIMIT $4")
    };
}

/// The names that have a text further on, up to $2. Names alone, since an index has them all.
macro_rules! within {
    ($filter:literal) => {
        concat!(
            "SELECT domain FROM known_policies WHERE ",
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
    NAMED = lines!("", "domain IN ({list})");
    WITHIN = within!("");
    WITHIN_ENFORCED = within!("mode = 'enforce' AND ");
    WITHIN_FAILING = within!("failure IS NOT NULL AND ");
    STOP = stop!("");
    STOP_ENFORCED = stop!("mode = 'enforce' AND ");
    STOP_FAILING = stop!("failure IS NOT NULL AND ");
}

impl Store {
    /// Known policies by domain (in the order of bytes), at most `limit`; go on with `next` as `after`, which
    /// may be the name of a domain as well. `search` is a part of the name; U-labels find their A-labels.
    ///
    /// A name that begins with the text is found at once, however many there are. For the text further on,
    /// one page looks through 100,000 names and says up to where.
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
        let (text, after) = (wanted(search), after.unwrap_or_default());
        if !text.is_empty() {
            return Search { filter, text: &text, limit, looked_through }.page(self, after).await;
        }
        let page = match filter {
            PolicyFilter::All => PAGE,
            PolicyFilter::Enforced => PAGE_ENFORCED,
            PolicyFilter::Failing => PAGE_FAILING,
        };
        let rows: Vec<Row> = self.engine.all(page, values![after, i64::from(limit) + 1]).await?;
        PolicyPage::of(rows, limit, "")
    }
}

/// Statements of a filter: beginning, within, stop.
fn of(filter: PolicyFilter) -> [Sql; 3] {
    match filter {
        PolicyFilter::All => [BEGINNING_ALL, WITHIN, STOP],
        PolicyFilter::Enforced => [BEGINNING_ENFORCED, WITHIN_ENFORCED, STOP_ENFORCED],
        PolicyFilter::Failing => [BEGINNING_FAILING, WITHIN_FAILING, STOP_FAILING],
    }
}

/// One page of a search.
struct Search<'a> {
    filter: PolicyFilter,
    text: &'a str,
    limit: u32,
    looked_through: u32,
}

impl Search<'_> {
    /// Behind `after`: a name, or a name among those that begin with the text.
    async fn page(&self, store: &Store, after: &str) -> Result<PolicyPage> {
        match after.strip_prefix(BEGINNING) {
            None if !after.is_empty() => self.within(store, after, Vec::new()).await,
            after => self.beginning(store, after.unwrap_or_default()).await,
        }
    }

    /// Behind every name that begins with the text.
    fn end(&self) -> String {
        format!("{}{}", self.text, char::MAX)
    }

    /// Names that begin with the text; where they do not fill the page, the others from the first name on.
    /// `after` is empty or one of them.
    async fn beginning(&self, store: &Store, after: &str) -> Result<PolicyPage> {
        let [beginning, ..] = of(self.filter);
        let from = after.max(self.text);
        let asked = values![from, self.end(), after, i64::from(self.limit) + 1];
        let rows: Vec<Row> = store.engine.all(beginning, asked).await?;
        if rows.len() > self.limit as usize {
            return PolicyPage::of(rows, self.limit, BEGINNING);
        }
        self.within(store, "", rows).await
    }

    /// After `rows`, names behind `after` that have the text further on.
    async fn within(&self, store: &Store, after: &str, mut rows: Vec<Row>) -> Result<PolicyPage> {
        let [.., within, stop] = of(self.filter);
        let through = i64::from(self.looked_through) - 1;
        let stop: Option<(String,)> = store.engine.optional(stop, values![after, through]).await?;
        let stop = stop.map(|(name,)| name);
        let last = stop.clone().unwrap_or_else(|| char::MAX.to_string());
        let left = (self.limit as usize).saturating_sub(rows.len());
        let surplus = i64::try_from(left).unwrap_or(i64::MAX).saturating_add(1);
        let asked = values![after, last, pattern(self.text), self.text, self.end(), surplus];
        let mut names: Vec<(String,)> = store.engine.all(within, asked).await?;
        let more = names.len() > left;
        names.truncate(left);
        let next = match names.last() {
            Some((name,)) => Some(name.clone()),
            // A page that is full with beginnings alone goes on behind the last of them.
            None => rows.last().map(|row| format!("{BEGINNING}{}", row.0)),
        };
        let names = names.into_iter().map(|(name,)| name.into()).collect();
        let mut found: Vec<Row> = store.engine.all_of_list(NAMED, names).await?;
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        rows.extend(found);
        let looked_up_to = stop.filter(|_| !more);
        let next = if more { next } else { looked_up_to.clone() };
        Ok(PolicyPage { rows: rows.into_iter().map(policy_row).collect::<Result<_>>()?, next, looked_up_to })
    }
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
