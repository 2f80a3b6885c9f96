//! Compares what must be true with what the products say, and with what became of mail.

use mailward_core::Severity;

use super::{Narrator, Player, Went, Wrong};
use crate::product::{Judged, OpenFinding, Product};
use crate::scenario::{Expectation, MailState};

impl<P: Product, N: Narrator + Send> Player<'_, P, N> {
    pub(super) async fn compare(&mut self, expected: &Expectation) -> Went {
        let domain = &expected.domain;
        let product = self.product(domain);
        let judged = product.judgement(domain).await?;
        let findings = product.findings(domain).await?;
        self.tell(&format!("mailward on {domain}: {}", sentence(&judged, &findings)));
        let mut wrong = Vec::new();
        if let Some(verdict) = expected.verdict.as_ref().filter(|verdict| **verdict != judged.verdict) {
            wrong.push(format!("the verdict should be {verdict}"));
        }
        let lacks = |wanted: &[u8], seen: &[u8]| wanted.iter().any(|item| !seen.contains(item));
        if lacks(&expected.obstacles, &judged.obstacles) {
            wrong.push(format!("obstacles should be {:?} at least", expected.obstacles));
        }
        if lacks(&expected.missing, &judged.missing) {
            wrong.push(format!("unknown should be {:?} at least", expected.missing));
        }
        let open: Vec<u8> = judged.obstacles.iter().chain(&judged.missing).copied().collect();
        let broken: Vec<u8> = expected.holds.iter().filter(|item| open.contains(item)).copied().collect();
        if !broken.is_empty() {
            wrong.push(format!("items {broken:?} should hold"));
        }
        for wanted in &expected.findings {
            if !findings.iter().any(|f| is(f, wanted)) {
                wrong.push(format!("{wanted} should be found"));
            }
        }
        for unwanted in &expected.no_findings {
            if findings.iter().any(|f| is(f, unwanted)) {
                wrong.push(format!("{unwanted} should not be found"));
            }
        }
        if expected.no_errors && findings.iter().any(|f| f.severity == Severity::Error) {
            wrong.push("there should be no errors".to_owned());
        }
        if let Some(wanted) = expected.sessions {
            let seen = self.product(domain).sessions(domain).await?;
            if seen != wanted {
                wrong.push(format!("sessions (passed, failed) should be {wanted:?}, not {seen:?}"));
            }
        }
        if !expected.trust.is_empty() {
            let seen = self.product(domain).reporters(domain).await?;
            for (reporter, trust) in &expected.trust {
                if !seen.iter().any(|(r, t)| r == reporter && t == trust) {
                    wrong.push(format!("{reporter} should be {trust}, not among {seen:?}"));
                }
            }
        }
        if !expected.problems.is_empty() || expected.no_problems {
            let seen = self.product(domain).problems(domain).await?;
            seen.iter().for_each(|line| self.tell(&format!("reporters on {domain}: {line}")));
            let has = |line: &String, wanted: &str| wanted.split(' ').all(|word| line.contains(word));
            for wanted in &expected.problems {
                if !seen.iter().any(|line| has(line, wanted)) {
                    wrong.push(format!("the problem {wanted} should be told of, not {seen:?}"));
                }
            }
            if expected.no_problems && !seen.is_empty() {
                wrong.push(format!("no problem should be told of, not {seen:?}"));
            }
        }
        if let Some(wanted) = expected.reports_sent {
            wrong.extend(self.reports_sent(domain, wanted).await?);
        }
        if let Some(wanted) = &expected.mail {
            let seen = self.mail_state(&wanted.from, domain)?;
            let MailState { from, arrived, in_clear, waiting, overheard } = &seen;
            self.tell(&format!(
                "mail from {from} to {domain}: {arrived} arrived over TLS, {in_clear} in clear text, {waiting} waiting, \
                 {overheard} read on the way"
            ));
            if seen != *wanted {
                wrong.push(format!("mail should be {wanted:?}, not {seen:?}"));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Wrong(format!("{}; seen: {}", wrong.join("; "), sentence(&judged, &findings))))
    }

    /// What is wrong with the reports that an organisation sent.
    async fn reports_sent(&mut self, domain: &str, wanted: u64) -> Result<Option<String>, Wrong> {
        let reports = self.product(domain).send_reports().await?;
        let sent = reports.iter().filter(|report| report.is_sent()).count();
        let is_right = sent == reports.len() && u64::try_from(sent) == Ok(wanted);
        Ok((!is_right).then(|| format!("{wanted} reports should be sent and no other made, not {reports:?}")))
    }

    /// What became of the mail of an organisation's people for a domain.
    fn mail_state(&self, from: &str, domain: &str) -> Result<MailState, Wrong> {
        let world = &self.stage.world;
        let server = self.stage.mail_servers.get(from);
        let server = server.ok_or_else(|| Wrong(format!("{from} is no organisation here")))?;
        let is_theirs = |address: &str| address.rsplit_once('@').is_some_and(|(_, of)| of == from);
        let is_for = |to: &String| to.rsplit_once('@').is_some_and(|(_, of)| of == domain);
        let taken = self.stage.mx.values().flat_map(|address| world.mx_hosts.messages(*address));
        let taken: Vec<_> =
            taken.filter(|mail| is_theirs(&mail.from) && mail.to.iter().any(is_for)).collect();
        let in_clear = taken.iter().filter(|mail| mail.tls.is_none()).count();
        let heard = self.stage.attackers.values().flat_map(|attacker| attacker.overheard());
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(MailState {
            from: from.to_owned(),
            arrived: count(taken.len() - in_clear),
            in_clear: count(in_clear),
            waiting: count(server.waiting(domain)),
            overheard: count(heard.filter(|mail| is_theirs(&mail.from)).count()),
        })
    }
}

/// Whether a finding is `ID` or `ID SUBJECT`, the subject being part of its own.
fn is(finding: &OpenFinding, wanted: &str) -> bool {
    match wanted.split_once(' ') {
        Some((id, subject)) => finding.id == id && finding.subject.contains(subject),
        None => finding.id == wanted,
    }
}

fn sentence(judged: &Judged, findings: &[OpenFinding]) -> String {
    let mut text = judged.verdict.clone();
    for (word, items) in [("in the way", &judged.obstacles), ("unknown", &judged.missing)] {
        if !items.is_empty() {
            let items: Vec<String> = items.iter().map(|item| format!("G{item}")).collect();
            text.push_str(&format!(", {word}: {}", items.join(" ")));
        }
    }
    let told = findings.iter().filter(|f| f.severity >= Severity::Warning);
    let told: Vec<String> = told.map(|f| format!("{} {}", f.id, f.subject)).collect();
    if told.is_empty() { text } else { format!("{text}; findings: {}", told.join(", ")) }
}
