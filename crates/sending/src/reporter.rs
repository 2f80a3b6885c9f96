//! The reporter: what was tallied on a day becomes a report, and the report leaves (RFC 8460).
//!
//! Two steps, each of which may end at any moment. `make.rs`: when a UTC day is over, the TLS-RPT record
//! of every domain tallied is looked up afresh, and the report is kept with its report-id and its bytes, in
//! the transaction that takes the tallies. `send.rs`: targets whose time has come are claimed, tried, and
//! what came of it is kept. So no day is lost and none is reported twice; a report that was sent right
//! before a crash may be sent again, as the same report. `mail.rs` writes the mail, `sign.rs` signs it.
//!
//! When I cannot know: a record that the DNS does not give is asked for again until the tallies are
//! dropped; a domain without a record gets no report. Mail to others never waits for any of this.

mod mail;
mod make;
mod send;
mod sign;
mod target;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use mailward_core::tlsrpt::tally::Reporter as Author;
use mailward_core::{DomainName, PolicyDomain};
use mailward_duty::{Status, Stop};
use mailward_net::Outside;
use mailward_net::submit::{Login, SubmitServer};
use mailward_store::{Store, StoreError};
use tokio::time::Instant;

use crate::witness::Witness;

pub use mail::human_part;
pub use sign::{DkimKeyError, Published, SigningKey};

/// How often it is looked whether there is anything to do.
const TICK: Duration = Duration::from_secs(5);
/// How often it is looked whether a day waits, after nothing did: where the DNS is silent, that is a walk
/// over every domain.
const MAKE: Duration = Duration::from_secs(15);
/// After the end of a day: nodes flush what they hold within seconds, and clocks differ a little.
const GRACE: SignedDuration = SignedDuration::from_mins(5);
/// Reports are kept so long.
const KEPT_DAYS: i64 = 90;

/// `[reporter]` of the configuration.
#[derive(Debug, Clone)]
pub struct ReporterOptions {
    /// Name of the organisation.
    pub organization: String,
    /// Address for questions; its domain is the submitter.
    pub contact: String,
    /// Address in From.
    pub from: String,
    /// Where mail is handed in.
    pub submit: SubmitServer,
    /// How, if it asks.
    pub login: Option<Login>,
    /// Every mail is signed with each of them.
    pub keys: Vec<Arc<SigningKey>>,
    /// Over how long first tries are spread.
    pub spread: SignedDuration,
    /// Whether days without a failure are reported as well (reading A25).
    pub success_only: bool,
    /// Whether reports tell of what our own probes found, beside the sessions.
    pub probes: bool,
    /// Whether no other node has this database: then what it had claimed before it was ended is free.
    pub alone: bool,
}

/// The duty. Cheap to clone; clones share their claims.
#[derive(Clone)]
pub struct Reporter {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    outside: Outside,
    options: ReporterOptions,
    submitter: DomainName,
    status: Status,
    /// Who claims: another number in each process.
    claim: i64,
    /// Who is told before report mail leaves.
    witness: OnceLock<Witness>,
    /// Days of domains whose record could not be had: when next, after how many attempts.
    later: Mutex<HashMap<(Date, PolicyDomain), (Timestamp, u32)>>,
}

/// Why there is no reporter.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReporterError(pub String);

impl Reporter {
    /// Makes one.
    ///
    /// # Errors
    /// When contact or From is no address.
    pub fn new(store: Store, outside: Outside, options: ReporterOptions) -> Result<Self, ReporterError> {
        let submitter = domain_of(&options.contact)?;
        domain_of(&options.from)?;
        let inner = Inner {
            store,
            outside,
            submitter,
            options,
            status: Status::starting("reporter"),
            // Zero is nobody's.
            claim: i64::try_from(random() >> 1).unwrap_or(1).max(1),
            witness: OnceLock::new(),
            later: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.inner.status.clone()
    }

    /// From now on this witness is told before report mail leaves; the first one stays.
    pub fn tell(&self, witness: Witness) {
        let _ = self.inner.witness.set(witness);
    }

    /// Works until told to stop. What is under way then is ended, what is claimed is given back.
    pub async fn run(self, mut stop: Stop) {
        self.inner.status.works();
        if self.inner.options.alone
            && let Err(error) = self.inner.store.free_outgoing().await
        {
            tracing::warn!(%error, "what was claimed before waits until the claim ends");
        }
        let (mut tidied, mut made_at) = (None, None);
        loop {
            match self.round(&stop, &mut tidied, &mut made_at).await {
                Ok(true) if !stop.is_requested() => continue,
                Ok(_) => {}
                Err(error) => self.inner.status.fails(error.to_string()),
            }
            if !stop.sleep(TICK).await {
                return;
            }
        }
    }

    /// Whether there may be more to do at once.
    async fn round(
        &self,
        stop: &Stop,
        tidied: &mut Option<Date>,
        made_at: &mut Option<Instant>,
    ) -> Result<bool, StoreError> {
        if made_at.is_none_or(|at| at.elapsed() >= MAKE) && self.make(stop).await? == 0 {
            *made_at = Some(Instant::now());
        }
        let sent = self.send(stop).await?;
        let today = self.today();
        if *tidied != Some(today) {
            self.inner.store.drop_outgoing(today.saturating_sub(Span::new().days(KEPT_DAYS))).await?;
            *tidied = Some(today);
        }
        Ok(sent > 0)
    }

    fn today(&self) -> Date {
        let now = self.inner.outside.clock.now();
        now.checked_sub(GRACE).unwrap_or(now).to_zoned(TimeZone::UTC).date()
    }
}

impl Inner {
    fn author(&self) -> Author {
        let ReporterOptions { organization, contact, probes, .. } = &self.options;
        Author { organization: organization.clone(), contact: contact.clone(), probes: *probes }
    }

    /// Another for each report, so that two installations of one organisation never share one.
    fn report_id(&self, day: Date, domain: &PolicyDomain) -> String {
        let begin = mailward_core::tlsrpt::tally::whole_day(day).start_datetime;
        let unique = format!("{:016x}", random());
        mailward_core::tlsrpt::write::report_id(begin, domain, &unique, &self.submitter)
    }
}

/// The domain of an address.
fn domain_of(address: &str) -> Result<DomainName, ReporterError> {
    let wrong = || ReporterError(format!("{address:?} is no mail address"));
    let fits = address.is_ascii() && mailward_core::tlsrpt::ReportUri::mailto(address).is_ok();
    let (_, domain) = address.rsplit_once('@').filter(|_| fits).ok_or_else(wrong)?;
    DomainName::parse(domain).map_err(|_| wrong())
}

/// A number that nobody else has. The keys of the standard library's hasher come from the system's
/// random source; nothing secret hangs on them.
fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}
