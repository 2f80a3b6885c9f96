//! The policies in memory, kept in step with the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Bytes;
use mailward_store::{Store, StoreError};

use crate::{Status, Stop};

/// How often the version of the domains held is asked.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long one refresh may take before the database counts as not answering.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Every policy held, by the name of its policy host. Cheap to clone; all clones show the same.
#[derive(Debug, Clone)]
pub struct Policies {
    store: Store,
    held: Arc<ArcSwap<Held>>,
    status: Status,
}

#[derive(Debug, Default)]
struct Held {
    version: Option<i64>,
    bodies: HashMap<String, Bytes>,
}

impl Policies {
    /// None yet; [`Policies::refresh`] or [`Policies::run`] brings them.
    pub fn new(store: Store) -> Self {
        Self { store, held: Arc::default(), status: Status::starting("policy_host") }
    }

    /// Brings the policies up to date, at once.
    ///
    /// # Errors
    /// When the database does not answer; the policies known stay.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let fresh = tokio::time::timeout(ANSWER_WITHIN, self.read()).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!("no answer within {} s", ANSWER_WITHIN.as_secs())))
        });
        match fresh {
            Ok(Some(held)) => {
                tracing::info!(policies = held.bodies.len(), "policies read");
                metrics::gauge!("mailward_policies").set(held.bodies.len() as f64);
                self.held.store(Arc::new(held));
                self.status.works();
                Ok(())
            }
            Ok(None) => {
                self.status.works();
                Ok(())
            }
            Err(error) => {
                match self.held.load().version {
                    Some(_) => self.status.works_but(format!("the last policies known are served: {error}")),
                    None => self.status.fails(format!("no policies could be read yet: {error}")),
                }
                Err(error)
            }
        }
    }

    /// Keeps them up to date until told to stop.
    pub async fn run(self, mut stop: Stop) {
        loop {
            // The status tells of a failure already.
            let _ = self.refresh().await;
            if !stop.sleep(ASK_EVERY).await {
                return;
            }
        }
    }

    /// How this duty is.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// The body to serve at a policy host's name (lower case).
    pub fn body(&self, host: &str) -> Option<Bytes> {
        self.held.load().bodies.get(host).cloned()
    }

    /// `None` when nothing changed. The version is asked before the domains: a change in between is
    /// read now or at the next turn, never missed.
    async fn read(&self) -> Result<Option<Held>, StoreError> {
        let version = self.store.domains_version().await?;
        if self.held.load().version == Some(version) {
            return Ok(None);
        }
        let mut bodies = HashMap::new();
        for held in self.store.domains().await? {
            match held.domain.policy_host() {
                Ok(host) => {
                    bodies.insert(host.to_string(), Bytes::from(held.policy_body.into_bytes()));
                }
                Err(error) => tracing::warn!(domain = %held.domain, %error, "no room for a policy host"),
            }
        }
        Ok(Some(Held { version: Some(version), bodies }))
    }
}
