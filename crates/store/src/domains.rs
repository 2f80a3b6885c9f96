//! Domains held: what we publish for them, and every policy ever served.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::mta_sts::Mode;
use serde::{Deserialize, Serialize};

use crate::{Result, Store};

/// A domain held, with the policy it publishes now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDomain {
    /// The domain.
    pub domain: PolicyDomain,
    /// Mode of the policy now served.
    pub mode: Mode,
    /// Patterns of that policy, as text.
    pub mx: Vec<String>,
    /// Its max_age in seconds.
    pub max_age: u32,
    /// The id to publish with it.
    pub policy_id: String,
    /// The body served, byte for byte.
    pub policy_body: String,
    /// Report addresses to publish in the TLS-RPT record, as URIs.
    pub rua: Vec<String>,
    /// When the domain was added.
    pub added_at: Timestamp,
    /// Since when this mode is published with this MX set.
    pub mode_since: Timestamp,
}

/// A policy that was or is served (append only).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedPolicy {
    /// The body.
    pub body: String,
    /// Its id.
    pub policy_id: String,
    /// Mode.
    pub mode: Mode,
    /// Seconds.
    pub max_age: u32,
    /// First moment it was the one to serve.
    pub first_served: Timestamp,
    /// Last moment; `None` while it is served.
    pub last_served: Option<Timestamp>,
}

impl Store {
    /// Adds a domain, or changes the policy, MX set or report addresses of one that is held; the policy
    /// replaced ends in the history at `now`. Idempotent: the same again changes nothing and returns
    /// `false`. Of a domain that is held, `added_at` is left as it was, and `mode_since` too as long as
    /// mode and MX set stay.
    ///
    /// # Errors
    /// As every function here.
    pub async fn put_domain(
        &self,
        domain: &HeldDomain,
        author: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let _ = (domain, author, reason, now);
        unimplemented!()
    }

    /// One domain held.
    pub async fn domain(&self, domain: &PolicyDomain) -> Result<Option<HeldDomain>> {
        let _ = domain;
        unimplemented!()
    }

    /// All domains held, by name.
    pub async fn domains(&self) -> Result<Vec<HeldDomain>> {
        unimplemented!()
    }

    /// A number that changes whenever a domain held changes: cheap to ask, so that the policy host
    /// notices within seconds what another process wrote.
    pub async fn domains_version(&self) -> Result<i64> {
        unimplemented!()
    }

    /// Stops holding a domain. Reports and history stay. `false` when it was not held.
    pub async fn remove_domain(
        &self,
        domain: &PolicyDomain,
        author: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let _ = (domain, author, reason, now);
        unimplemented!()
    }

    /// Every policy ever served for the domain, newest first.
    pub async fn served_policies(&self, domain: &PolicyDomain) -> Result<Vec<ServedPolicy>> {
        let _ = domain;
        unimplemented!()
    }

    /// Marks failures of a type (and MX, if given) as not ours.
    pub async fn excuse_failures(
        &self,
        domain: &PolicyDomain,
        result_type: &str,
        mx: Option<&str>,
        author: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<()> {
        let _ = (domain, result_type, mx, author, reason, now);
        unimplemented!()
    }
}
