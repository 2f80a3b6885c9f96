//! What an audit, a lint or the intake of a report has to say: stable ids, fixed severities.
//!
//! The catalogue ([`catalogue`]) holds one entry for each id: title, consequence, remedy, reference.
//! A [`Finding`] is an entry met in the world: with its subject, evidence and the ordered fix.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub mod catalogue;
pub mod phrase;

/// How bad it is. `Untested` is no degree: it says that we could not find out, and is never shown as
/// a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing to do.
    Info,
    /// Could not be tested from here.
    Untested,
    /// Look at it.
    Warning,
    /// Mail is lost, deferred or unprotected.
    Error,
}

impl Severity {
    /// The word in JSON and in the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Untested => "untested",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing found, in words an operator can act on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable id of the catalogue, such as `STS-MX-001`.
    pub id: String,
    /// The severity here; at most the one in the catalogue.
    pub severity: Severity,
    /// What it is about: a name, a host, an address, a line.
    pub subject: String,
    /// What was found, with the value that shows it.
    pub message: String,
    /// What it means for mail.
    pub consequence: String,
    /// What to do, in this order.
    pub fix: Vec<String>,
    /// RFC number and section, such as `RFC 8461 4.1`.
    pub reference: String,
    /// Facts behind it, machine readable.
    pub evidence: Map<String, Value>,
}

impl Finding {
    /// A finding with title, consequence, remedy and reference from the catalogue. An id that is not
    /// in the catalogue is a mistake of ours and gives a finding with empty texts; a test keeps the
    /// ids used in core within the catalogue.
    pub fn new(id: &str, severity: Severity, subject: impl Into<String>, message: impl Into<String>) -> Self {
        let entry = catalogue::entry(id);
        Self {
            id: id.to_owned(),
            severity,
            subject: subject.into(),
            message: message.into(),
            consequence: entry.map_or("", |e| e.consequence).to_owned(),
            fix: entry.map(|e| e.remedy.to_owned()).filter(|r| !r.is_empty()).into_iter().collect(),
            reference: entry.map_or("", |e| e.reference).to_owned(),
            evidence: Map::new(),
        }
    }

    /// The same with another ordered fix.
    #[must_use]
    pub fn fix<I: IntoIterator<Item = S>, S: Into<String>>(mut self, steps: I) -> Self {
        self.fix = steps.into_iter().map(Into::into).collect();
        self
    }

    /// The same with another consequence.
    #[must_use]
    pub fn consequence(mut self, text: impl Into<String>) -> Self {
        self.consequence = text.into();
        self
    }

    /// The same with one more fact.
    #[must_use]
    pub fn evidence(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.evidence.insert(key.to_owned(), value.into());
        self
    }
}

/// Errors first, then by id and subject: the order in which findings are shown, always the same.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| a.id.cmp(&b.id)).then_with(|| a.subject.cmp(&b.subject))
    });
}
