//! Takes in the reports that others send us: one door for posts, mail and files.
//!
//! An [`Arrival`] is parsed (core), its DKIM signatures are checked against keys looked up now, since
//! keys rotate, and what was concluded is stored with the unchanged bytes. [`Intake::accept`] returns
//! only when that is durable: the sender may then forget the report. Storing is idempotent, so
//! whatever is not acknowledged may come again.
//!
//! When I cannot know: without the database nothing is accepted and the sender tries again; without
//! the DNS a mail is stored as untested, which never counts as verified. Mail delivery hangs on
//! nothing here.

mod base_domain;
mod batch;
mod conclude;
mod dkim;
mod examine;
mod held;
pub mod https;
pub mod import;
mod keys;
pub mod maildir;
mod rate;

use std::sync::Arc;
use std::time::Duration;

use mailward_core::rollout::Trust;
use mailward_core::tlsrpt::{Limits, Parsed};
use mailward_core::{Clock, DomainName, Finding, PolicyDomain};
use mailward_net::dns::Resolver;
use mailward_store::reports::{Content, IncomingItem, Stored};
use mailward_store::{Store, StoreError};
use tokio::sync::Semaphore;

use batch::Batcher;
use conclude::Concluded;
use dkim::Verifier;
use examine::Read;
use held::HeldDomains;
use keys::Keys;

/// By which way an item came, and so how far it may be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Posted by anybody.
    Https,
    /// Posted to a path that only a source trusted by the operator knows; holds its name.
    HttpsTrusted(String),
    /// Found in a maildir.
    Maildir,
    /// Handed over by the operator.
    Import,
}

impl Source {
    /// Whether it came by HTTPS; a signature of a mail inside such a post is not looked at.
    fn is_posted(&self) -> bool {
        matches!(self, Self::Https | Self::HttpsTrusted(_))
    }

    /// The word in the store.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Https | Self::HttpsTrusted(_) => "https",
            Self::Maildir => "maildir",
            Self::Import => "import",
        }
    }
}

/// One item that arrived, with what is known besides its bytes.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// As it came.
    pub bytes: Vec<u8>,
    /// By which way.
    pub source: Source,
    /// Address, path or file.
    pub origin: String,
    /// File name, when it came as a file.
    pub file_name: Option<String>,
    /// Media type, when it came with one.
    pub media_type: Option<String>,
    /// The one held domain that the receiving address or path belongs to.
    pub held_domain: Option<DomainName>,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is in the database, durably.
    Stored(Receipt),
    /// It is no report at all (REP-09x). Nothing is kept of it, except where a receipt says so.
    NotAReport(Vec<Finding>, Option<Receipt>),
}

/// What was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// Counts of the store.
    pub stored: Stored,
    /// The submitter by which its reports are keyed.
    pub submitter: String,
    /// How far it is believed.
    pub trust: Trust,
    /// Findings about the item and its reports.
    pub findings: Vec<Finding>,
    /// Whether DKIM could not be tested, so that trying again later may raise the trust.
    pub untested: bool,
}

/// Why an item could not be taken in. Nothing is lost: whoever has it may offer it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// The database does not answer.
    #[error("the report cannot be stored now: {0}")]
    Unavailable(String),
    /// Its submitter has sent too many; holds the time to wait.
    #[error("too many reports of this submitter")]
    TooOften(Duration),
    /// A fault of ours while reading this item.
    #[error("the item cannot be read: {0}")]
    Faulty(String),
}

impl From<StoreError> for IntakeError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// What becomes of an item that was read.
enum Admission {
    Store,
    /// No room for what is no use.
    Forget,
    TooOften(Duration),
}

/// Called for each domain about which a source that is no evidence told of failures: a look of our own
/// may follow.
pub type OnWeakFailure = Arc<dyn Fn(&PolicyDomain) + Send + Sync>;

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

struct Inner {
    batcher: Batcher,
    held: HeldDomains,
    verifier: Verifier,
    keys: Option<Keys>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// Items (of an import: lots) read at once: one may need a few times its 20 MB.
    parsing: Semaphore,
    on_weak_failure: Option<OnWeakFailure>,
}

impl Intake {
    /// A door to this store. Without a resolver no DKIM signature can be tested. Must be called inside
    /// a tokio runtime.
    pub fn new(store: Store, resolver: Option<Resolver>, clock: Arc<dyn Clock>) -> Self {
        Self::with(store, resolver, clock, Limits::default(), None)
    }

    /// The same with other limits, and somebody who is told of failures from weak sources.
    pub fn with(
        store: Store,
        resolver: Option<Resolver>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        on_weak_failure: Option<OnWeakFailure>,
    ) -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            inner: Arc::new(Inner {
                batcher: Batcher::start(store.clone()),
                held: HeldDomains::new(store),
                verifier: Verifier::new(),
                keys: resolver.map(Keys::new),
                clock,
                limits,
                parsing: Semaphore::new(workers),
                on_weak_failure,
            }),
        }
    }

    /// Hard limits on one item.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Takes one item in; when this returns, it is on disk.
    ///
    /// # Errors
    /// [`IntakeError::Unavailable`] when the database does not answer; [`IntakeError::Faulty`] when
    /// this item made our reader fail.
    pub async fn accept(&self, arrival: Arrival) -> Result<Outcome, IntakeError> {
        self.accept_if(arrival, |_| Admission::Store).await
    }

    /// The same, where what was read decides whether it is taken.
    async fn accept_if<F>(&self, arrival: Arrival, admit: F) -> Result<Outcome, IntakeError>
    where
        F: FnOnce(&IncomingItem) -> Admission,
    {
        let (item, no_report) = match self.examine(arrival).await? {
            Concluded::Item(item) => (item, None),
            Concluded::NotAReport { findings, keep: Some(item) } => (item, Some(findings)),
            Concluded::NotAReport { findings, keep: None } => return Ok(Outcome::NotAReport(findings, None)),
        };
        match admit(&item) {
            Admission::Store => {}
            Admission::Forget => return Ok(Outcome::NotAReport(item.findings, None)),
            Admission::TooOften(wait) => return Err(IntakeError::TooOften(wait)),
        }
        let receipt = self.store(*item).await?;
        Ok(match no_report {
            Some(findings) => Outcome::NotAReport(findings, Some(receipt)),
            None => Outcome::Stored(receipt),
        })
    }

    async fn store(&self, item: IncomingItem) -> Result<Receipt, IntakeError> {
        let weak = weak_failures(&item);
        let mut receipt = receipt(&item);
        receipt.stored = self.inner.batcher.insert(item).await?;
        if let Some(tell) = self.inner.on_weak_failure.as_ref().filter(|_| receipt.stored.new > 0) {
            weak.iter().for_each(|domain| tell(domain));
        }
        Ok(receipt)
    }

    /// Reads and judges an item without storing it.
    async fn examine(&self, arrival: Arrival) -> Result<Concluded, IntakeError> {
        let now = self.inner.clock.now();
        let (parts, signatures) = match self.apart(move |inner| inner.read(arrival, now)).await?? {
            Read::Done(parts, signatures) => (parts, signatures),
            Read::Waits(parts, signatures) => {
                let keys = self.inner.ask(signatures.wanted().cloned().collect()).await;
                self.apart(move |inner| inner.check(parts, signatures, &keys)).await??
            }
        };
        let held = match &parts.parsed {
            Parsed::Accepted(reports) => self.inner.held.for_reports(reports).await?,
            _ => held::Known::default(),
        };
        Ok(parts.conclude(&signatures, &held, self.inner.limits.input))
    }

    /// Works on a thread for work that takes a while, when there is room.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, IntakeError> {
        let _permit = self.inner.parsing.acquire().await.map_err(|e| IntakeError::Faulty(e.to_string()))?;
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(|e| IntakeError::Faulty(e.to_string()))
    }
}

fn receipt(item: &IncomingItem) -> Receipt {
    let mut findings = item.findings.clone();
    if let Content::Reports(reports) = &item.content {
        findings.extend(reports.iter().flat_map(|(_, oddities)| oddities.iter().cloned()));
    }
    Receipt {
        stored: Stored { item: 0, new: 0, duplicates: 0, revisions: 0, quarantined: false },
        submitter: item.submitter.clone(),
        trust: item.trust,
        findings,
        untested: item.dkim.as_ref().is_some_and(|dkim| dkim.verdict == "untested"),
    }
}

fn weak_failures(item: &IncomingItem) -> Vec<PolicyDomain> {
    let Content::Reports(reports) = &item.content else { return Vec::new() };
    if item.trust.is_evidence() {
        return Vec::new();
    }
    reports
        .iter()
        .flat_map(|(report, _)| report.totals())
        .filter(|(_, totals)| totals.failed > 0)
        .map(|(domain, _)| PolicyDomain(domain))
        .take(10)
        .collect()
}
