//! What a scenario needs of the product: the seam between the story and the real rooms.
//!
//! The lab knows no room of mailward. Whoever plays a scenario (`mailward demo`, the integration
//! tests) implements [`Product`] over the real store, monitor, intake and policy host, and the player
//! acts like the operator in front of it.

use std::future::Future;
use std::net::SocketAddr;

use jiff::civil::Date;
use mailward_core::Severity;
use mailward_core::mta_sts::Mode;

/// Why the product did not do what the operator asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProductError(pub String);

/// What the product says, or why it does not.
pub type ProductResult<T> = Result<T, ProductError>;

/// The policy an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPolicy {
    /// Mode.
    pub mode: Mode,
    /// Patterns, as in the policy file.
    pub mx: Vec<String>,
    /// Seconds.
    pub max_age: u32,
    /// The mistake of changing the body and not the id: the record to publish stays as it was.
    pub keep_id: bool,
}

/// A record that the product says is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordToPublish {
    /// Owner, absolute, with or without the final dot.
    pub name: String,
    /// `TXT`, `CNAME`, `A`, …
    pub rtype: String,
    /// One value; a TXT text unquoted.
    pub value: String,
}

/// A report that the product sends about a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingReport {
    /// The UTC day that it covers.
    pub day: Date,
    /// The domain.
    pub domain: String,
    /// Sessions that passed.
    pub successful: u64,
    /// Sessions that failed.
    pub failed: u64,
    /// Where it goes, and the word for what became of it there: `sent`, `waiting`, `refused`, …
    pub targets: Vec<(String, String)>,
}

impl OutgoingReport {
    /// Whether every address took it.
    pub fn is_sent(&self) -> bool {
        !self.targets.is_empty() && self.targets.iter().all(|(_, state)| state == "sent")
    }
}

/// "Safe to enforce?", as the product answers it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judged {
    /// `safe`, `not-yet` or `unknown`.
    pub verdict: String,
    /// Numbers of the gate items that stand in the way.
    pub obstacles: Vec<u8>,
    /// Numbers of the gate items that are not known.
    pub missing: Vec<u8>,
}

/// A finding that is open now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFinding {
    /// Stable id.
    pub id: String,
    /// What it is about.
    pub subject: String,
    /// How bad.
    pub severity: Severity,
}

/// The product under test, as an operator meets it. All times are those of the world's clock.
pub trait Product: Send {
    /// Where its policy host answers HTTPS: the port must be the world's `https_port`. The player points
    /// `mta-sts.<domain>` of every domain held at its address.
    fn policy_host(&self) -> SocketAddr;

    /// Where reports are taken over HTTPS, as a URI for `rua=`.
    fn post_url(&self) -> Option<String>;

    /// Holds a domain: serves this policy, reads reports for it. `rua` are report addresses as URIs; mails
    /// to them arrive in the world's maildir of the domain.
    fn hold(
        &mut self,
        domain: &str,
        policy: &WantedPolicy,
        rua: &[String],
    ) -> impl Future<Output = ProductResult<()>> + Send;

    /// Changes the policy of a domain held.
    fn set_policy(
        &mut self,
        domain: &str,
        policy: &WantedPolicy,
    ) -> impl Future<Output = ProductResult<()>> + Send;

    /// The records to publish now, in order.
    fn records(&mut self, domain: &str) -> impl Future<Output = ProductResult<Vec<RecordToPublish>>> + Send;

    /// Installs a certificate of its policy host (leaf first).
    fn policy_host_certificate(
        &mut self,
        name: &str,
        certificate_pem: &str,
        key_pem: &str,
    ) -> impl Future<Output = ProductResult<()>> + Send;

    /// Looks at a domain from outside once, as its monitor does by itself every few hours.
    fn monitor_round(&mut self, domain: &str) -> impl Future<Output = ProductResult<()>> + Send;

    /// Reads what lies in the maildir of every domain held. Returns how many reports are new.
    fn take_in_reports(&mut self) -> impl Future<Output = ProductResult<u64>> + Send;

    /// Is it safe to enforce?
    fn judgement(&mut self, domain: &str) -> impl Future<Output = ProductResult<Judged>> + Send;

    /// The findings that are open now.
    fn findings(&mut self, domain: &str) -> impl Future<Output = ProductResult<Vec<OpenFinding>>> + Send;

    /// Sessions that passed and failed in all reports that count as evidence.
    fn sessions(&mut self, domain: &str) -> impl Future<Output = ProductResult<(u64, u64)>> + Send;

    /// Who reported on the domain, with the word of the highest trust its reports have
    /// (`dkim-verified`, `trusted`, `unauthenticated`, `unverified`).
    fn reporters(
        &mut self,
        domain: &str,
    ) -> impl Future<Output = ProductResult<Vec<(String, String)>>> + Send;

    /// Returns when its collector has counted this many sessions of a UTC day.
    fn counted(&mut self, day: Date, sessions: u64) -> impl Future<Output = ProductResult<()>> + Send;

    /// Makes the reports of every day that is over and sends what is due, as its reporter does by itself
    /// soon after midnight. Returns all reports so far, the newest first.
    fn send_reports(&mut self) -> impl Future<Output = ProductResult<Vec<OutgoingReport>>> + Send;

    /// What reporters see failing, one line each: result type, MX host, who told.
    fn problems(&mut self, domain: &str) -> impl Future<Output = ProductResult<Vec<String>>> + Send;
}
