//! Days that are over become reports, a page of domains at a time.

use futures_util::{StreamExt, stream};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use mailward_core::PolicyDomain;
use mailward_core::dns::DnsError;
use mailward_core::tlsrpt::tally::Tally;
use mailward_core::tlsrpt::{ReportUri, outgoing, write};
use mailward_duty::Stop;
use mailward_store::StoreError;
use mailward_store::outgoing::{Made, NewOutgoing, NewTarget};
use metrics::counter;

use super::Reporter;
use super::target::host_and_lane;
use crate::wanted::{Wanted, wanted};

/// Domains at a time: what is in memory at once, and what one transaction keeps.
const PAGE: u32 = 200;
/// Questions to the DNS at a time.
const QUESTIONS: usize = 32;
/// Domains whose record could not be had that are remembered; beyond, they are asked for again early.
const MOST_LATER: usize = 100_000;
/// The first pause before a record is asked for again, and the longest.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(2);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(2);

impl Reporter {
    /// Makes the report of every day that is over and waits for one, also of several days after an outage,
    /// never of today. Returns how many days of domains were dealt with.
    ///
    /// # Errors
    /// Those of the store; what was made until then stays.
    pub async fn make(&self, stop: &Stop) -> Result<usize, StoreError> {
        let today = self.today();
        let mut after: Option<(Date, PolicyDomain)> = None;
        let mut made = 0;
        while !stop.is_requested() {
            let page = self.inner.store.tally_domains(today, after.take(), PAGE).await?;
            let whole = page.len() == PAGE as usize;
            after = page.last().map(|(day, domain, _)| (*day, domain.clone()));
            let (dealt_with, unreachable) = self.make_page(page).await?;
            made += dealt_with;
            // Where the DNS answers nothing at all, the rest would fare no better.
            if !whole || (unreachable && dealt_with == 0) {
                break;
            }
        }
        Ok(made)
    }

    /// How many were dealt with, and whether all that were asked for failed.
    async fn make_page(&self, page: Vec<(Date, PolicyDomain, String)>) -> Result<(usize, bool), StoreError> {
        let now = self.inner.outside.clock.now();
        let due = page.into_iter().map(|(day, domain, _)| (day, domain)).filter(|key| self.is_due(key, now));
        let due: Vec<_> = due.collect();
        let asked = due.len();
        let resolver = &self.inner.outside.resolver;
        let answers: Vec<_> = stream::iter(due)
            .map(|(day, domain)| async move {
                let wanted = wanted(resolver, &domain).await;
                (day, domain, wanted)
            })
            .buffer_unordered(QUESTIONS)
            .collect()
            .await;
        let (mut reports, mut failed) = (Vec::with_capacity(answers.len()), 0);
        for (day, domain, wanted) in answers {
            match wanted {
                Ok(wanted) => {
                    self.forget(&(day, domain.clone()));
                    reports.extend(self.one(day, domain, wanted).await?);
                }
                Err(error) => {
                    failed += 1;
                    self.again_later((day, domain), &error, now);
                }
            }
        }
        for report in &reports {
            counter!("mailward_reporter_days_total", "made" => report.made.as_str()).increment(1);
        }
        if !reports.is_empty() {
            self.inner.store.make_outgoing(&reports, now).await?;
            tracing::info!(days = reports.len(), "reports made");
        }
        Ok((reports.len(), asked > 0 && failed == asked))
    }

    async fn one(
        &self,
        day: Date,
        domain: PolicyDomain,
        wanted: Wanted,
    ) -> Result<Option<NewOutgoing>, StoreError> {
        let tally = self.inner.store.tally_told(day, &domain, &self.inner.author()).await?;
        if tally.is_none() && self.inner.store.tally_record(day, &domain).await?.is_none() {
            // Nothing left of it: another node took it, or it was dropped.
            return Ok(None);
        }
        let (successful, failed) = tally.as_ref().map_or((0, 0), most_sessions);
        let mut new = NewOutgoing {
            day,
            report_id: self.inner.report_id(day, &domain),
            domain,
            made: Made::Report,
            detail: String::new(),
            successful,
            failed,
            gzip: Vec::new(),
            targets: Vec::new(),
        };
        match (wanted, tally) {
            (Wanted::Nothing(why), _) => (new.made, new.detail) = (Made::NoRecord, why),
            (_, None) => {
                let why = "there was no session, only probes of our own";
                (new.made, new.detail) = (Made::NothingFailed, why.to_owned());
            }
            (Wanted::At(_), Some(tally)) if !self.inner.options.success_only && !tally.has_failures() => {
                let why = "nothing failed, and reports of successes alone are switched off";
                (new.made, new.detail) = (Made::NothingFailed, why.to_owned());
            }
            (Wanted::At(record), Some(tally)) => {
                new.gzip = write::gzip(&tally.report(&self.inner.author(), &new.report_id));
                let first_try = outgoing::first_try(day, &new.domain, self.inner.options.spread);
                new.targets = record.rua.iter().map(|uri| target(uri, first_try)).collect();
            }
        }
        Ok(Some(new))
    }

    fn is_due(&self, key: &(Date, PolicyDomain), now: Timestamp) -> bool {
        let later = self.inner.later.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A clock that went back must not make it wait for days.
        let waits = |at: Timestamp| at > now && at.duration_since(now) <= LONGEST_PAUSE;
        later.get(key).is_none_or(|(at, _)| !waits(*at))
    }

    fn forget(&self, key: &(Date, PolicyDomain)) {
        self.inner.later.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(key);
    }

    fn again_later(&self, key: (Date, PolicyDomain), error: &DnsError, now: Timestamp) {
        let mut later = self.inner.later.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if later.len() >= MOST_LATER {
            later.clear();
        }
        tracing::debug!(day = %key.0, domain = %key.1, %error, "no TLS-RPT record yet");
        let (at, attempts) = later.entry(key).or_insert((now, 0));
        *attempts = attempts.saturating_add(1);
        let pause = FIRST_PAUSE.checked_mul(1 << (*attempts - 1).min(10)).unwrap_or(LONGEST_PAUSE);
        *at = now.checked_add(pause.min(LONGEST_PAUSE)).unwrap_or(Timestamp::MAX);
    }
}

fn target(uri: &ReportUri, first_try: Timestamp) -> NewTarget {
    let (host, lane) = host_and_lane(uri);
    NewTarget { uri: uri.as_str().to_owned(), host, lane, first_try }
}

/// Sessions count under each policy evaluated and are never added across types (reading A19).
fn most_sessions(tally: &Tally) -> (u64, u64) {
    let mut sums: Vec<(&str, u64, u64)> = Vec::new();
    for policy in &tally.policies {
        let word = policy.policy.policy_type.as_str();
        match sums.iter_mut().find(|(known, ..)| *known == word) {
            Some((_, successful, failed)) => {
                *successful = successful.saturating_add(policy.successful);
                *failed = failed.saturating_add(policy.failed);
            }
            None => sums.push((word, policy.successful, policy.failed)),
        }
    }
    let most = sums.into_iter().max_by_key(|(_, successful, failed)| successful.saturating_add(*failed));
    most.map_or((0, 0), |(_, successful, failed)| (successful, failed))
}
