//! What is noted while reading: oddities of a report, and why an item is set aside.

use serde_json::Value;

use crate::Finding;
use crate::finding::{Severity, catalogue};

/// Oddities met so far, one entry an id: ten thousand entries with the same quirk are one finding.
#[derive(Debug, Clone, Default)]
pub(super) struct Oddities(Vec<Oddity>);

#[derive(Debug, Clone)]
struct Oddity {
    id: &'static str,
    subject: String,
    message: String,
    times: u64,
}

impl Oddities {
    /// Notes an oddity; `words` gives subject and message and is asked for the first one only.
    pub(super) fn note<S: Into<String>>(
        &mut self,
        id: &'static str,
        subject: impl FnOnce() -> S,
        message: impl FnOnce() -> String,
    ) {
        match self.0.iter_mut().find(|known| known.id == id) {
            Some(known) => known.times += 1,
            None => {
                self.0.push(Oddity { id, subject: subject().into(), message: message(), times: 1 });
            }
        }
    }

    /// As findings, in the order of their ids.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.0.sort_unstable_by_key(|oddity| oddity.id);
        self.0
            .into_iter()
            .map(|oddity| {
                let severity = catalogue::entry(oddity.id).map_or(Severity::Warning, |e| e.severity);
                let finding = Finding::new(oddity.id, severity, oddity.subject, oddity.message);
                if oddity.times > 1 { finding.evidence("times", Value::from(oddity.times)) } else { finding }
            })
            .collect()
    }
}

/// Why an item, a document or a report is not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A report that cannot be counted: quarantine (REP-070 to REP-080).
    Quarantine(&'static str, String, String),
    /// No report at all (REP-090 to REP-092).
    Foreign(&'static str, String, String),
}

impl Refusal {
    pub(super) fn quarantine(
        id: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::Quarantine(id, subject.into(), message.into())
    }

    pub(super) fn foreign(id: &'static str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Foreign(id, subject.into(), message.into())
    }

    pub(super) fn into_finding(self) -> Finding {
        let (Self::Quarantine(id, subject, message) | Self::Foreign(id, subject, message)) = self;
        Finding::new(id, Severity::Error, subject, message)
    }
}
