//! One look at a domain from outside: everything an audit judges, gathered concurrently.

use mailward_core::PolicyDomain;
use mailward_core::facts::DomainFacts;

use crate::Outside;

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// DNS and the policy host.
    WithoutSmtp,
    /// Every address of every MX as well.
    Full,
}

/// Looks. At most ten DNS questions for a domain with one MX.
pub async fn observe(outside: &Outside, domain: &PolicyDomain, depth: Depth) -> DomainFacts {
    let _ = (outside, domain, depth);
    unimplemented!()
}
