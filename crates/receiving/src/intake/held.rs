//! Which domains are held, for telling our reports from strangers'.

use std::collections::HashSet;
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
}

impl Known {
    /// For tests and for what needs none.
    #[cfg(test)]
    pub(super) fn of(domains: &[&str]) -> Self {
        let domains = domains.iter().map(|d| DomainName::parse(d).unwrap()).collect();
        Self(Some(Arc::new(Snapshot { version: 0, domains })))
    }

    /// Whether nothing is held at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|snapshot| snapshot.domains.is_empty())
    }

    pub(super) fn contains(&self, domain: &DomainName) -> bool {
        self.0.as_ref().is_some_and(|snapshot| snapshot.domains.contains(domain))
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
        let domains = self.store.domains().await?.into_iter().map(|held| held.domain.0).collect();
        let fresh = Arc::new(Snapshot { version, domains });
        self.known.store(Some(Arc::clone(&fresh)));
        Ok(Known(Some(fresh)))
    }
}
