//! The domain an entry is about, and where it is looked for when the entry does not say (REP-038).

use super::json::Value;
use super::normalise::{Surroundings, text};
use super::oddity::Oddities;
use crate::DomainName;
use crate::tlsrpt::FileName;

/// The other places that name the domain, asked in order and once for a report.
pub(super) struct Fallback<'a> {
    around: &'a Surroundings<'a>,
    report_id: Option<&'a str>,
    found: Option<Option<(DomainName, &'static str)>>,
}

impl<'a> Fallback<'a> {
    pub(super) fn new(around: &'a Surroundings<'a>, report_id: Option<&'a str>) -> Self {
        Self { around, report_id, found: None }
    }

    /// Whether an entry had no domain of its own.
    pub(super) fn was_used(&self) -> bool {
        self.found.is_some()
    }

    /// The domain of an entry: its own, in normal form, else the first that another place names.
    pub(super) fn domain(
        &mut self,
        stated: Option<&Value<'_>>,
        path: impl Fn() -> String,
        oddities: &mut Oddities,
    ) -> Option<DomainName> {
        let stated = stated.and_then(text).unwrap_or_default();
        if let Ok(domain) = DomainName::parse(&stated) {
            if domain.as_str() != stated {
                oddities.note("REP-039", &path, || format!("{stated:?} is read as {domain}."));
            }
            return Some(domain);
        }
        let (around, report_id) = (self.around, self.report_id);
        let found = self.found.get_or_insert_with(|| elsewhere(around, report_id)).clone();
        let missing =
            if stated.is_empty() { "is missing".to_owned() } else { format!("{stated:?} is no domain") };
        oddities.note("REP-038", &path, || match &found {
            Some((domain, place)) => format!("policy-domain {missing}; {domain} is taken from {place}."),
            None => format!("policy-domain {missing}."),
        });
        found.map(|(domain, _)| domain)
    }
}

fn elsewhere(around: &Surroundings<'_>, report_id: Option<&str>) -> Option<(DomainName, &'static str)> {
    let header = || Some((DomainName::parse(around.header_domain?).ok()?, "TLS-Report-Domain"));
    let file = || Some((FileName::parse(around.file_name?)?.policy_domain, "the file name"));
    let id = || Some((tail(report_id?)?, "the end of report-id"));
    let held = || Some((around.held?.clone(), "the address it was sent to"));
    header().or_else(file).or_else(id).or_else(held)
}

/// What stands behind the last `_` or `+` of an id, when it is a domain and not a number.
fn tail(report_id: &str) -> Option<DomainName> {
    let (_, tail) = report_id.rsplit_once(['_', '+'])?;
    let tail = tail.split(['@', '>']).next()?;
    let domain = DomainName::parse(tail).ok()?;
    let (_, top) = domain.as_str().rsplit_once('.')?;
    (!top.bytes().all(|b| b.is_ascii_digit())).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_at_the_end_of_an_id() {
        let rows = [
            ("2025-09-20T00:00:00Z_idx1_example.net", Some("example.net")),
            ("2024-09-03T00:00:00Z_Example.CA", Some("example.ca")),
            ("133925885310113267+random.example", Some("random.example")),
            ("2022.09.15T00.00.00Z+test.example@google.com", Some("test.example")),
            ("133944884956529435+", None),
            ("1730332800_11732957880687192466", None),
            ("1_2.3", None),
            ("example.net", None),
        ];
        for (id, want) in rows {
            assert_eq!(tail(id).as_ref().map(DomainName::as_str), want, "{id}");
        }
    }
}
