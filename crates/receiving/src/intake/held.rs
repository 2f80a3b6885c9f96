//! Which domains are held, for telling our reports from strangers'.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use mailward_core::tlsrpt::Report;
use mailward_core::{DomainName, Finding};
use mailward_store::{Store, StoreError};

/// The domains held, as last read.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Option<Arc<Snapshot>>);

#[derive(Debug)]
struct Snapshot {
    version: i64,
    domains: HashSet<DomainName>,
    /// By a pattern of a policy the domain that has it; `None` where several have.
    by_pattern: HashMap<String, Option<DomainName>>,
}

impl Snapshot {
    /// Of these domains, each with the patterns of its policy.
    fn of(version: i64, held: impl IntoIterator<Item = (DomainName, Vec<String>)>) -> Self {
        let mut snapshot = Self { version, domains: HashSet::new(), by_pattern: HashMap::new() };
        for (domain, patterns) in held {
            for pattern in patterns {
                let known = snapshot.by_pattern.entry(pattern).or_insert_with(|| Some(domain.clone()));
                if known.as_ref() != Some(&domain) {
                    *known = None;
                }
            }
            snapshot.domains.insert(domain);
        }
        snapshot
    }
}

impl Known {
    /// For tests and for what needs none.
    #[cfg(test)]
    pub(super) fn of(domains: &[&str]) -> Self {
        Self::with_hosts(&domains.iter().map(|domain| (*domain, &[][..])).collect::<Vec<_>>())
    }

    /// The same, each with the patterns of its policy.
    #[cfg(test)]
    pub(super) fn with_hosts(held: &[(&str, &[&str])]) -> Self {
        let patterns = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect();
        let held = held.iter().map(|(domain, mx)| (DomainName::parse(domain).unwrap(), patterns(mx)));
        Self(Some(Arc::new(Snapshot::of(0, held))))
    }

    /// Whether nothing is held at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|snapshot| snapshot.domains.is_empty())
    }

    pub(super) fn contains(&self, domain: &DomainName) -> bool {
        self.0.as_ref().is_some_and(|snapshot| snapshot.domains.contains(domain))
    }

    /// The one domain held whose policy names this MX host (RFC 8461 §4.1); `None` where none does, or several.
    pub(super) fn domain_of_host(&self, host: &DomainName) -> Option<&DomainName> {
        let by_pattern = &self.0.as_ref()?.by_pattern;
        let wildcard = host.as_str().split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let named = |pattern: &str| by_pattern.get(pattern);
        let found = [named(host.as_str()), wildcard.as_deref().and_then(named)].into_iter().flatten();
        let mut domains = found.map(Option::as_ref);
        let first = domains.next()??;
        domains.all(|other| other == Some(first)).then_some(first)
    }
}

/// Reads them when needed.
pub(super) struct HeldDomains {
    store: Store,
    known: ArcSwapOption<Snapshot>,
}

impl HeldDomains {
    pub(super) fn new(store: Store) -> Self {
        Self { store, known: ArcSwapOption::empty() }
    }

    /// The domains held, fresh enough to judge these reports: where all of theirs are known, memory
    /// will do; a stranger may have been added a moment ago by another process.
    pub(super) async fn for_reports(&self, reports: &[(Report, Vec<Finding>)]) -> Result<Known, StoreError> {
        let known = Known(self.known.load_full());
        let mut domains =
            reports.iter().flat_map(|(r, _)| &r.policies).filter_map(|p| p.policy.policy_domain.as_ref());
        if known.0.is_some() && domains.all(|domain| known.contains(domain)) {
            return Ok(known);
        }
        let version = self.store.domains_version().await?;
        if known.0.as_ref().is_some_and(|snapshot| snapshot.version == version) {
            return Ok(known);
        }
        let held = self.store.domains().await?.into_iter().map(|held| (held.domain.0, held.mx));
        let fresh = Arc::new(Snapshot::of(version, held));
        self.known.store(Some(Arc::clone(&fresh)));
        Ok(Known(Some(fresh)))
    }
}
