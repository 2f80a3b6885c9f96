//! Overrides: what the operator said, and what to type to say something else.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::delivery::{Override, Require};
use mailward_store::overrides::OverrideRow;

use crate::words::{self, Markup};

/// Overrides shown; the JSON has all.
const MOST: usize = 100;

pub(super) struct OverrideLine {
    pub(super) address: String,
    pub(super) name: String,
    pub(super) require: &'static str,
    pub(super) consequence: &'static str,
    /// Nothing: until it is removed.
    pub(super) until: Option<Markup>,
    pub(super) ran_out: bool,
    pub(super) reason: String,
    pub(super) author: String,
    pub(super) set_at: Markup,
    /// Ends it.
    pub(super) command: String,
}

/// Those in force first; and how many are not shown.
pub(super) fn lines(rows: &[(PolicyDomain, OverrideRow)], now: Timestamp) -> (Vec<OverrideLine>, usize) {
    let (holding, ran_out): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, row)| row.over.holds(now));
    let shown = holding.into_iter().chain(ran_out).take(MOST);
    (shown.map(|(domain, row)| line(domain, row, now)).collect(), rows.len().saturating_sub(MOST))
}

fn line(domain: &PolicyDomain, row: &OverrideRow, now: Timestamp) -> OverrideLine {
    let OverrideRow { over, author, set_at } = row;
    OverrideLine {
        address: format!("/sending/{domain}"),
        name: domain.to_unicode(),
        require: over.require.as_str(),
        consequence: consequence(over.require),
        until: over.until.map(|until| words::moment(until, now).tag()),
        ran_out: !over.holds(now),
        reason: words::cut(&over.reason, 400),
        author: author.clone(),
        set_at: words::moment(*set_at, now).short(),
        command: unset(domain),
    }
}

/// What an override makes of mail.
pub(super) fn consequence(require: Require) -> &'static str {
    match require {
        Require::Dane => "only to servers that match a TLSA record; else it waits",
        Require::Sts => "only where their MTA-STS policy allows, also in testing mode; without one it waits",
        Require::Encrypt => "over TLS, whoever answers; what the domain publishes is passed over",
        Require::None => "with TLS where it works; what the domain publishes is passed over",
    }
}

/// The command that ends an override.
pub(super) fn unset(domain: &PolicyDomain) -> String {
    format!("mailward policy unset {domain} --reason \"TEXT\"")
}

/// The command that makes one: the way around a domain whose set-up is broken.
pub(super) fn set(domain: &PolicyDomain) -> String {
    format!("mailward policy set {domain} --require none --until +3d --reason \"TEXT\"")
}

/// One sentence about an override in force.
pub(super) fn sentence(over: &Override, author: Option<&str>, now: Timestamp) -> String {
    let end = match over.until {
        Some(until) => {
            format!("until {} ({})", words::moment(until, now).utc, words::moment(until, now).relative)
        }
        None => "until it is removed".to_owned(),
    };
    let by = author.map(|author| format!(", set by {author}")).unwrap_or_default();
    format!("{}, {end}{by}", over.require.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_comes_first() {
        let now = Timestamp::from_second(1_795_532_400).unwrap();
        let row = |name: &str, until: Option<i64>| {
            let until = until.map(|seconds| Timestamp::from_second(seconds).unwrap());
            let over = Override { require: Require::None, until, reason: "why".into() };
            (PolicyDomain::parse(name).unwrap(), OverrideRow { over, author: "anna".into(), set_at: now })
        };
        let mut rows =
            vec![row("a.example", Some(5)), row("b.example", None), row("c.example", Some(2_000_000_000))];
        let (shown, more) = lines(&rows, now);
        let order: Vec<(&str, bool)> = shown.iter().map(|line| (line.name.as_str(), line.ran_out)).collect();
        assert_eq!((order, more), (vec![("b.example", false), ("c.example", false), ("a.example", true)], 0));
        rows.extend((0..MOST).map(|n| row(&format!("d{n}.example"), None)));
        let (shown, more) = lines(&rows, now);
        assert_eq!((shown.len(), more), (MOST, 3));
    }
}
