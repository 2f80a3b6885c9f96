//! Reports whose time has come leave: claimed, tried, and what came of it kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use mailward_core::PolicyDomain;
use mailward_core::tlsrpt::outgoing::{Answer, TargetState, next_try};
use mailward_core::tlsrpt::{ReportUri, write};
use mailward_duty::Stop;
use mailward_net::post::{Delivered, post};
use mailward_net::submit::{self, submit};
use mailward_store::StoreError;
use mailward_store::outgoing::{ClaimLimits, Claimed, Outcome, OutgoingReport};
use metrics::counter;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Reporter;
use super::mail::Letter;
use super::target::with_a_labels;

/// Attempts at a time, over all hosts.
const AT_ONCE: usize = 32;
/// At a time to one host, our own mail server included.
const PER_HOST: usize = 2;
/// Others keep off our targets for so long.
const LEASE: Duration = Duration::from_secs(5 * 60);
/// What an attempt may take, so that none is begun that would outlast the claim.
const ATTEMPT: Duration = Duration::from_secs(submit::DEADLINE.as_secs() + 30);

const LIMITS: ClaimLimits = ClaimLimits {
    lease: SignedDuration::from_secs(5 * 60),
    targets: 256,
    mails: 128,
    // Few, since a batch waits for the slowest of them.
    per_host: 4,
};

impl Reporter {
    /// Claims one batch of targets and tries each. Returns how many were tried.
    ///
    /// # Errors
    /// Those of the store. Targets that it could not tell about are free again when the claim ends.
    pub async fn send(&self, stop: &Stop) -> Result<usize, StoreError> {
        let inner = &self.inner;
        let claimed = inner.store.claim_outgoing(inner.claim, LIMITS, inner.outside.clock.now()).await?;
        if claimed.is_empty() {
            inner.status.works();
            return Ok(0);
        }
        let until = Instant::now() + LEASE;
        let mut lanes: HashMap<String, Arc<Semaphore>> = HashMap::new();
        for target in &claimed {
            let lane = || Arc::new(Semaphore::new(PER_HOST));
            lanes.entry(target.lane.clone()).or_insert_with(lane);
        }
        let outcomes: Vec<_> = stream::iter(claimed)
            .map(|target| {
                let lane = lanes.get(&target.lane).cloned();
                async move {
                    let _turn = match lane {
                        Some(lane) => lane.acquire_owned().await.ok(),
                        None => None,
                    };
                    if stop.is_requested() || until.duration_since(Instant::now()) < ATTEMPT {
                        return Err(target);
                    }
                    Ok(self.attempt(&target).await)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let tried = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let mut left = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(kept) => kept?,
                Err(target) => left.push(target),
            }
        }
        if !left.is_empty() {
            inner.store.release_outgoing(inner.claim, &left).await?;
        }
        Ok(tried)
    }

    async fn attempt(&self, target: &Claimed) -> Result<(), StoreError> {
        let inner = &self.inner;
        let begun = inner.outside.clock.now();
        let names = [target.uri.as_str(), target.host.as_str()].into_iter().collect();
        let outcome = if inner.store.suppressed_among(names, begun).await?.is_empty() {
            let delivered = match inner.store.outgoing_report(target.report).await? {
                Some(report) => self.deliver(target, &report).await,
                None => Delivered { answer: Answer::Refused, text: "the report is gone".into() },
            };
            self.judge(target, delivered)
        } else {
            Outcome { state: TargetState::Suppressed, next_at: None, answer: "suppressed".into() }
        };
        counter!("mailward_reporter_attempts_total", "result" => outcome.state.as_str()).increment(1);
        let Outcome { state, answer, .. } = &outcome;
        tracing::info!(uri = target.uri, state = state.as_str(), answer, "report tried");
        let ours = inner.store.finish_outgoing(inner.claim, target, &outcome, inner.outside.clock.now());
        if !ours.await? {
            tracing::warn!(uri = target.uri, "another node took the report meanwhile; do the clocks agree?");
        }
        Ok(())
    }

    async fn deliver(&self, target: &Claimed, report: &OutgoingReport) -> Delivered {
        let inner = &self.inner;
        match ReportUri::parse(&target.uri) {
            Ok(ReportUri::Https(uri)) => {
                post(&inner.outside, &uri, write::GZIP_TYPE, report.gzip.clone()).await
            }
            Ok(ReportUri::Mailto { mailbox, .. }) => {
                let to = with_a_labels(&mailbox);
                match self.mail(report, &to) {
                    Ok(mail) => {
                        if let (Some(witness), Ok(domain)) =
                            (inner.witness.get(), PolicyDomain::parse(&target.host))
                        {
                            witness.report_mail(&domain);
                        }
                        let login = inner.options.login.as_ref();
                        submit(&inner.outside, &inner.options.submit, login, &to, &mail).await
                    }
                    Err(why) => Delivered { answer: Answer::Later(None), text: why },
                }
            }
            Err(why) => Delivered { answer: Answer::Refused, text: why.to_string() },
        }
    }

    /// The mail that carries a report, signed. Made again it is the same one, but for what a signature says
    /// of its own time.
    ///
    /// # Errors
    /// In words, when the report cannot be read or the mail not be signed.
    pub fn mail(&self, report: &OutgoingReport, to: &str) -> Result<Vec<u8>, String> {
        let inner = &self.inner;
        let letter = Letter {
            organization: &inner.options.organization,
            from: &inner.options.from,
            submitter: &inner.submitter,
            domain: &report.row.domain,
            report: &write::unpacked(&report.gzip)?,
            gzip: &report.gzip,
        };
        let mail = letter.compose(to, report.row.made_at);
        let mut signed = Vec::with_capacity(mail.len() + 1024 * inner.options.keys.len());
        for key in &inner.options.keys {
            signed.extend_from_slice(key.sign(&mail)?.as_bytes());
        }
        signed.extend_from_slice(&mail);
        Ok(signed)
    }

    fn judge(&self, target: &Claimed, delivered: Delivered) -> Outcome {
        let now = self.inner.outside.clock.now();
        let (state, next_at) = match delivered.answer {
            Answer::Accepted => (TargetState::Sent, None),
            Answer::Refused => (TargetState::Refused, None),
            Answer::Later(asked) => {
                let first = target.first_tried_at.unwrap_or(now);
                match next_try(first, target.tries.saturating_add(1), asked, now) {
                    Some(next) => (TargetState::Waiting, Some(next)),
                    None => (TargetState::GivenUp, None),
                }
            }
        };
        Outcome { state, next_at, answer: delivered.text }
    }
}
