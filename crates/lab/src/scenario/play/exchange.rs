//! Mail and reports on their way, and the time that passes meanwhile.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use mailward_core::Clock;
use tokio::time::Instant;

use super::{Narrator, Player, Went, Wrong};
use crate::product::Product;
use crate::scenario::Outcome;
use crate::sender::Sent;

/// Rounds of the monitor are at most so far apart (facts: the gate's G2).
const ROUND: SignedDuration = SignedDuration::from_hours(6);

/// When a night ends: reports are spread over the first hours of a day, four by default.
const MORNING: i8 = 6;

/// How long a policy daemon may take to learn behind its answers.
const LEARNED: Duration = Duration::from_secs(10);

impl<P: Product, N: Narrator + Send> Player<'_, P, N> {
    /// One mail, or several, from a sender or an organisation; what became of it.
    pub(super) async fn mail(&mut self, from: &str, to: &str, sessions: u64) -> Result<Outcome, Wrong> {
        let sent = match self.stage.mail_servers.get_mut(from) {
            Some(server) => server.send(to, sessions).await?,
            None => {
                let sender = self.stage.senders.get_mut(from);
                let sender = sender.ok_or_else(|| Wrong(format!("{from} is no sender here")))?;
                let delivery = sender.deliver(to, sessions).await;
                let failures = delivery.failures.iter();
                let remarks = failures.map(|(mx, f)| format!("{} at {mx}", f.result_type)).collect();
                Sent { outcome: delivery.outcome, remarks }
            }
        };
        self.tell(&sentence(&format!("mail from {from} to {to}"), &sent));
        Ok(sent.outcome)
    }

    /// What waits with an organisation is tried once more.
    pub(super) async fn retry(&mut self, from: &str) -> Went {
        let server = self.stage.mail_servers.get_mut(from);
        let server = server.ok_or_else(|| Wrong(format!("{from} is no organisation here")))?;
        let sent = server.work().await?;
        self.tell(&sentence(&format!("what waited with {from}"), &sent));
        Ok(())
    }

    /// What the policy daemon of an organisation answers, once it has learned what there is.
    pub(super) async fn ask(&mut self, from: &str, about: &str, wanted: &str) -> Went {
        let server = self.stage.mail_servers.get(from);
        let server = server.ok_or_else(|| Wrong(format!("{from} is no organisation here")))?;
        let deadline = Instant::now() + LEARNED;
        let answer = loop {
            let answer = server.ask(about).await?;
            if answer.starts_with(wanted) || Instant::now() >= deadline {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.tell(&format!("policyd of {from} on {about}: {answer}"));
        match answer.starts_with(wanted) {
            true => Ok(()),
            false => Err(Wrong(format!("policyd of {from} should answer {wanted}, not {answer}"))),
        }
    }

    pub(super) async fn report(&mut self, from: &str) -> Went {
        let sender =
            self.stage.senders.get_mut(from).ok_or_else(|| Wrong(format!("{from} is no sender here")))?;
        for sent in sender.report_yesterday().await {
            sent.result
                .map_err(|why| Wrong(format!("the report of {from} to {} was not taken: {why}", sent.to)))?;
        }
        Ok(())
    }

    /// The day ends, and its reports come in: those of the senders named, and of every organisation.
    pub(super) async fn end_of_day(&mut self, senders: &[String]) -> Went {
        if self.stage.houses.is_empty() {
            self.pass(24).await?;
        } else {
            let now = self.stage.world.clock.now();
            self.pass_until(morning_after(now)).await?;
        }
        for sender in senders {
            if !self.stage.mail_servers.contains_key(sender) {
                self.report(sender).await?;
            }
        }
        self.organizations_report().await?;
        self.take_in_reports().await
    }

    /// Every organisation sends the reports of the days that are over, and its mail server tries what it has.
    async fn organizations_report(&mut self) -> Went {
        for place in 0..self.stage.houses.len() {
            let domain = self.stage.houses[place].domain.clone();
            // Both ways leave at once; what goes by mail is handed in here, and carried on below.
            let reports = self.products[place].send_reports().await?;
            let yesterday =
                self.stage.world.clock.now().to_zoned(TimeZone::UTC).date().saturating_sub(1.day());
            for report in reports.iter().filter(|report| report.day == yesterday) {
                let to = report.targets.iter().map(|(uri, state)| format!("{state} to {uri}"));
                self.tell(&format!(
                    "{domain} reports on {}: {} passed, {} failed; {}",
                    report.domain,
                    report.successful,
                    report.failed,
                    to.collect::<Vec<_>>().join(", ")
                ));
            }
            if let Some(server) = self.stage.mail_servers.get_mut(&domain) {
                server.work().await?;
            }
        }
        Ok(self.stage.sort_mail()?)
    }

    pub(super) async fn take_in_reports(&mut self) -> Went {
        for product in &mut *self.products {
            product.take_in_reports().await?;
        }
        Ok(())
    }

    /// So many hours pass.
    pub(super) async fn pass(&mut self, hours: u32) -> Went {
        let now = self.stage.world.clock.now();
        let until = now.checked_add(SignedDuration::from_hours(hours.into()));
        self.pass_until(until.map_err(std::io::Error::other)?).await
    }

    /// Time passes; the monitor looks at every domain held at least every six hours.
    async fn pass_until(&mut self, until: Timestamp) -> Went {
        self.all_is_counted().await?;
        loop {
            let left = until.duration_since(self.stage.world.clock.now());
            if left <= SignedDuration::ZERO {
                return Ok(());
            }
            self.stage.world.clock.advance(left.min(ROUND));
            for domain in self.held.clone() {
                self.product(&domain).monitor_round(&domain).await?;
            }
        }
    }

    /// Waits for the collectors: a session belongs to the day on which it was counted.
    async fn all_is_counted(&mut self) -> Went {
        let today = self.stage.world.clock.now().to_zoned(TimeZone::UTC).date();
        for (place, house) in self.stage.houses.iter().enumerate() {
            let told = self.stage.mail_servers.get(&house.domain).map_or(0, |server| server.told_on(today));
            self.products[place].counted(today, told).await?;
        }
        Ok(())
    }
}

/// Six o'clock (UTC) of the next day.
fn morning_after(now: Timestamp) -> Timestamp {
    let tomorrow = now.to_zoned(TimeZone::UTC).date().saturating_add(1.day());
    let morning = tomorrow.at(MORNING, 0, 0, 0).to_zoned(TimeZone::UTC);
    morning.map_or(now, |morning| morning.timestamp())
}

fn sentence(what: &str, sent: &Sent) -> String {
    let became = match sent.outcome {
        Outcome::Delivered => "arrives over TLS",
        Outcome::ClearText => "arrives in clear text",
        Outcome::Deferred => "waits with the sender",
    };
    let because =
        if sent.remarks.is_empty() { String::new() } else { format!(" ({})", sent.remarks.join(", ")) };
    format!("{what} {became}{because}")
}
