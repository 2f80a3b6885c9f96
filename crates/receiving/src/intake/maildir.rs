//! Reports delivered into a maildir: the mailbox behind a `mailto:` report address.
//!
//! Every mail in `new/` is taken in once and then moved to `cur/` as read (`:2,S`); mail that some
//! client moved to `cur/` unread is taken in there. The move comes after the report is on disk, so a
//! crash in between takes a mail twice, which changes nothing. No mail holds up the next: what is no
//! report is moved all the same, what makes our reader fail is flagged (`:2,F`) for a person to see.
//!
//! A mail whose DKIM key cannot be looked up is stored as untested at once and stays in `new/`; it is
//! tried again for three days, and once the signature holds its trust is raised.
//!
//! When I cannot know: while the database does not answer everything stays in `new/`.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::{Arrival, Intake, IntakeError, Outcome, Source};
use crate::{Status, Stop};

/// How often the folder is looked at.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// First wait before a signature that could not be tested is tried again; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(300);
const RETRY_LONGEST: Duration = Duration::from_secs(6 * 3600);
/// How long it is tried.
const RETRY_FOR: Duration = Duration::from_secs(3 * 24 * 3600);

/// One maildir that is watched.
pub struct Maildir {
    path: PathBuf,
    interval: Duration,
    intake: Intake,
    status: Status,
    /// Mails in `cur/` that need no look, by the part of the name that stays.
    seen: HashSet<OsString>,
    first_scan: bool,
    untested: HashMap<OsString, Retry>,
}

struct Retry {
    since: Instant,
    next: Instant,
    wait: Duration,
}

/// What one look at the folder came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    /// Mails stored, duplicates among them.
    pub stored: u64,
    /// Mails that are no report.
    pub not_reports: u64,
    /// Mails that made our reader fail.
    pub faulty: u64,
    /// Mails that could not be opened or moved.
    pub unreadable: u64,
    /// Mails whose signature is to be tested later.
    pub untested: u64,
}

/// What becomes of the file.
enum Then {
    Move(&'static str),
    Leave,
}

impl Maildir {
    /// Watches the maildir at `path` (the folder that holds `new` and `cur`).
    pub fn new(path: impl Into<PathBuf>, interval: Duration, intake: Intake) -> Self {
        Self {
            path: path.into(),
            interval,
            intake,
            status: Status::starting("reports.maildir"),
            seen: HashSet::new(),
            first_scan: true,
            untested: HashMap::new(),
        }
    }

    /// How this duty is.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Watches until told to stop. A mail that is being taken in is finished.
    pub async fn run(mut self, mut stop: Stop) {
        loop {
            match self.scan(&stop).await {
                Ok(scan) if scan.unreadable > 0 => {
                    self.status.works_but(format!("{} mails cannot be opened or moved", scan.unreadable));
                }
                Ok(_) => self.status.works(),
                Err(error) => self.status.fails(error.to_string()),
            }
            if !stop.sleep(self.interval).await {
                return;
            }
        }
    }

    /// Looks once through `new/` and `cur/`.
    ///
    /// # Errors
    /// When a folder cannot be read, or the database does not answer: what was not taken in stays.
    pub async fn scan(&mut self, stop: &Stop) -> Result<Scan, ScanError> {
        let mut scan = Scan::default();
        let new = self.list("new").await?;
        for name in &new {
            if stop.is_requested() {
                return Ok(scan);
            }
            if self.untested.get(stays(name)).is_none_or(|retry| retry.next <= Instant::now()) {
                self.take("new", name, &mut scan).await?;
            }
        }
        let cur = self.list("cur").await?;
        for name in &cur {
            if stop.is_requested() {
                return Ok(scan);
            }
            // What was read before our first look counts as taken in; what somebody reads while we
            // watch does not.
            let read = flags(name).is_some_and(|flags| flags.contains(['S', 'F']));
            if self.seen.contains(stays(name)) || (read && self.first_scan) {
                self.seen.insert(stays(name).to_owned());
                continue;
            }
            self.take("cur", name, &mut scan).await?;
        }
        let there: HashSet<&std::ffi::OsStr> = new.iter().chain(&cur).map(|name| stays(name)).collect();
        self.untested.retain(|name, _| there.contains(name.as_os_str()));
        self.seen.retain(|name| there.contains(name.as_os_str()));
        self.first_scan = false;
        Ok(scan)
    }

    /// Names of a folder in order, hidden ones left out.
    async fn list(&self, folder: &str) -> Result<Vec<OsString>, ScanError> {
        let path = self.path.join(folder);
        let failed = |error: io::Error| ScanError::Folder(path.display().to_string(), error);
        let mut entries = tokio::fs::read_dir(&path).await.map_err(failed)?;
        let mut names = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let name = entry.file_name();
            if !name.as_encoded_bytes().starts_with(b".") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    async fn take(&mut self, folder: &str, name: &OsString, scan: &mut Scan) -> Result<(), ScanError> {
        let path = self.path.join(folder).join(name);
        let bytes = match read(&path, self.intake.limits().input).await {
            Ok(bytes) => bytes,
            // Somebody else moved or deleted it: nothing to do, or the next look finds it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a mail cannot be read");
                scan.unreadable += 1;
                return Ok(());
            }
        };
        let arrival = Arrival {
            bytes,
            source: Source::Maildir,
            origin: stays(name).to_string_lossy().into_owned(),
            file_name: None,
            media_type: None,
            held_domain: None,
        };
        let then = match self.intake.accept(arrival).await {
            Ok(Outcome::Stored(receipt)) => {
                scan.stored += 1;
                count(if receipt.stored.quarantined { "quarantined" } else { "stored" });
                if receipt.untested { self.try_again(name, scan) } else { Then::Move("S") }
            }
            Ok(Outcome::NotAReport(findings, _)) => {
                scan.not_reports += 1;
                count("not-a-report");
                let why = findings.first().map_or("", |finding| finding.message.as_str());
                tracing::info!(path = %path.display(), why, "a mail is no report");
                Then::Move("S")
            }
            Err(IntakeError::Faulty(why)) => {
                scan.faulty += 1;
                count("faulty");
                tracing::error!(path = %path.display(), why, "a mail made the reader fail; it is flagged");
                Then::Move("F")
            }
            Err(error) => return Err(ScanError::Store(error)),
        };
        let Then::Move(flag) = then else { return Ok(()) };
        self.untested.remove(stays(name));
        self.seen.insert(stays(name).to_owned());
        if let Err(error) = self.move_read(&path, name, flag).await {
            tracing::warn!(path = %path.display(), %error, "a mail cannot be moved");
            scan.unreadable += 1;
        }
        Ok(())
    }

    fn try_again(&mut self, name: &OsString, scan: &mut Scan) -> Then {
        let now = Instant::now();
        let retry = self.untested.entry(stays(name).to_owned()).or_insert(Retry {
            since: now,
            next: now,
            wait: RETRY_FIRST,
        });
        if now.duration_since(retry.since) >= RETRY_FOR {
            return Then::Move("S");
        }
        scan.untested += 1;
        retry.next = now + retry.wait;
        retry.wait = (retry.wait * 2).min(RETRY_LONGEST);
        Then::Leave
    }

    /// To `cur/` with a flag more, the others kept, in the order that a maildir wants.
    async fn move_read(&self, path: &Path, name: &OsString, flag: &str) -> io::Result<()> {
        let mut flags: Vec<char> = flags(name).unwrap_or_default().chars().chain(flag.chars()).collect();
        flags.sort_unstable();
        flags.dedup();
        let mut target = stays(name).to_owned();
        target.push(":2,");
        target.push(flags.into_iter().collect::<String>());
        let target = self.path.join("cur").join(target);
        if target != path {
            tokio::fs::rename(path, target).await?;
        }
        Ok(())
    }
}

/// Why a look ended early. What was not taken in stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A folder cannot be read.
    #[error("{0} cannot be read: {1}")]
    Folder(String, io::Error),
    /// The report cannot be stored.
    #[error(transparent)]
    Store(IntakeError),
}

/// One byte more than the limit is read, so that the parser sees that it is too large.
async fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = tokio::fs::File::open(path).await?;
    if !file.metadata().await?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// The part of a name that stays when flags change.
fn stays(name: &std::ffi::OsStr) -> &std::ffi::OsStr {
    match name.to_str().and_then(|name| name.rsplit_once(":2,")) {
        Some((unique, _)) => std::ffi::OsStr::new(unique),
        None => name,
    }
}

fn flags(name: &std::ffi::OsStr) -> Option<&str> {
    name.to_str().and_then(|name| name.rsplit_once(":2,")).map(|(_, flags)| flags)
}

fn count(outcome: &'static str) {
    metrics::counter!("mailward_maildir_mails_total", "outcome" => outcome).increment(1);
}
