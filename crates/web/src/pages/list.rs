//! Lists whose order, filter and page stand in the address, so that they can be sent to a colleague.

use mailward_core::PolicyDomain;
use serde::Deserialize;

use crate::words;

/// How a list of domains is asked for: part of the name, order, page. Other filters stand beside it.
#[derive(Deserialize, Default)]
pub(crate) struct Asked {
    #[serde(default)]
    pub(crate) q: String,
    #[serde(default)]
    pub(crate) sort: String,
    #[serde(default)]
    order: String,
    #[serde(default)]
    page: String,
}

impl Asked {
    pub(crate) fn descending(&self) -> bool {
        self.order == "desc"
    }

    /// Whether the part of the name is in this one, as it is written by machines or by people.
    pub(crate) fn finds(&self, domain: &PolicyDomain) -> bool {
        let part = self.q.trim().to_lowercase();
        domain.as_str().contains(&part) || domain.to_unicode().contains(&part)
    }

    /// The page asked for, from 1.
    pub(crate) fn page(&self) -> usize {
        self.page.parse().unwrap_or(1)
    }

    /// The list that was asked for.
    pub(crate) fn wanted<'a>(&'a self, path: &'a str, filters: &'a [(&'a str, &'a str)]) -> Wanted<'a> {
        Wanted { path, filters, sort: &self.sort, descending: self.descending() }
    }
}

/// A heading of a table; with an address it sorts.
pub(crate) struct Heading {
    pub(crate) text: &'static str,
    pub(crate) address: Option<String>,
    /// `ascending`, `descending` or nothing, for `aria-sort`.
    pub(crate) sorted: &'static str,
    /// Whether the column holds numbers.
    pub(crate) number: bool,
}

/// What is asked of a list.
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'a str,
    /// Filters that stay when order or page change.
    pub(crate) filters: &'a [(&'a str, &'a str)],
    pub(crate) sort: &'a str,
    pub(crate) descending: bool,
}

impl Wanted<'_> {
    /// A heading that sorts by `key`; the first click sorts numbers downwards, names upwards.
    pub(crate) fn heading(&self, text: &'static str, key: &str, number: bool) -> Heading {
        let here = self.sort == key;
        let descending = if here { !self.descending } else { number };
        let mut query = self.filters.to_vec();
        query.push(("sort", key));
        query.push(("order", if descending { "desc" } else { "asc" }));
        let sorted = match (here, self.descending) {
            (false, _) => "",
            (true, true) => "descending",
            (true, false) => "ascending",
        };
        Heading { text, address: Some(words::address(self.path, &query)), sorted, number }
    }

    /// The address of another page of the same list.
    pub(crate) fn page(&self, number: usize) -> String {
        let number = number.to_string();
        let mut query = self.filters.to_vec();
        query.push(("sort", self.sort));
        if !self.sort.is_empty() {
            query.push(("order", if self.descending { "desc" } else { "asc" }));
        }
        query.push(("page", if number == "1" { "" } else { &number }));
        words::address(self.path, &query)
    }
}

/// A heading that does not sort.
pub(crate) fn plain(text: &'static str, number: bool) -> Heading {
    Heading { text, address: None, sorted: "", number }
}

/// Where we are in a long list.
pub(crate) struct Pager {
    pub(crate) newer: Option<String>,
    pub(crate) older: Option<String>,
    pub(crate) words: String,
}

/// Rows of one page of a list that is in memory.
pub(crate) const ROWS: usize = 50;

/// Cuts out the page with this number, from 1; a number out of range is the nearest page.
pub(crate) fn page<'a, T>(rows: &'a [T], number: usize, wanted: &Wanted<'_>) -> (&'a [T], Pager) {
    let pages = rows.len().div_ceil(ROWS).max(1);
    let number = number.clamp(1, pages);
    let from = (number - 1) * ROWS;
    let to = rows.len().min(from + ROWS);
    let words = if pages == 1 { String::new() } else { format!("{} to {to} of {}", from + 1, rows.len()) };
    let pager = Pager {
        newer: (number > 1).then(|| wanted.page(number - 1)),
        older: (number < pages).then(|| wanted.page(number + 1)),
        words,
    };
    (&rows[from..to], pager)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_and_linked() {
        let rows: Vec<usize> = (0..120).collect();
        let wanted = Wanted { path: "/", filters: &[("q", "a&b")], sort: "", descending: false };
        for (number, first, len, newer, older) in [
            (1, 0, 50, None, Some("/?q=a%26b&page=2")),
            (2, 50, 50, Some("/?q=a%26b"), Some("/?q=a%26b&page=3")),
            (3, 100, 20, Some("/?q=a%26b&page=2"), None),
            (0, 0, 50, None, Some("/?q=a%26b&page=2")),
            (999, 100, 20, Some("/?q=a%26b&page=2"), None),
        ] {
            let (cut, pager) = page(&rows, number, &wanted);
            assert_eq!((cut[0], cut.len()), (first, len), "{number}");
            assert_eq!((pager.newer.as_deref(), pager.older.as_deref()), (newer, older), "{number}");
        }
    }

    #[test]
    fn headings_turn_around() {
        let wanted = Wanted { path: "/", filters: &[], sort: "day", descending: true };
        let here = wanted.heading("Yesterday", "day", true);
        assert_eq!((here.address.as_deref(), here.sorted), (Some("/?sort=day&order=asc"), "descending"));
        let other = wanted.heading("Domain", "name", false);
        assert_eq!((other.address.as_deref(), other.sorted), (Some("/?sort=name&order=asc"), ""));
    }
}
