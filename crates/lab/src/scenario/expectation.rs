//! What must be true after a step.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What must be true of a domain. What is not named is not looked at.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expectation {
    /// The domain.
    pub domain: String,
    /// `safe`, `not-yet`, `unknown`.
    pub verdict: Option<String>,
    /// At least these items of the gate stand in the way.
    #[serde(default)]
    pub obstacles: Vec<u8>,
    /// At least these items are not known.
    #[serde(default)]
    pub missing: Vec<u8>,
    /// These items neither stand in the way nor are unknown.
    #[serde(default)]
    pub holds: Vec<u8>,
    /// At least these findings are open: `ID` or `ID SUBJECT`.
    #[serde(default)]
    pub findings: Vec<String>,
    /// None of these is open: `ID` or `ID SUBJECT`.
    #[serde(default)]
    pub no_findings: Vec<String>,
    /// No finding of severity error is open.
    #[serde(default)]
    pub no_errors: bool,
    /// Sessions that count as evidence: passed, failed.
    pub sessions: Option<(u64, u64)>,
    /// The trust of reporters, by submitter.
    #[serde(default)]
    pub trust: BTreeMap<String, String>,
    /// At least these problems are told of by reporters: words that stand in one line, such as
    /// `TYPE HOST SUBMITTER`.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Whether reporters tell of no problem at all.
    #[serde(default)]
    pub no_problems: bool,
    /// Of an organisation: so many reports it has made, and every address of each took it.
    pub reports_sent: Option<u64>,
    /// What became of the mail of an organisation for this domain.
    pub mail: Option<MailState>,
}

/// Mail of the people of one organisation for a domain, from the beginning of the story. Reports are not
/// counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MailState {
    /// The domain of the organisation.
    pub from: String,
    /// Mails that arrived over TLS.
    pub arrived: u64,
    /// Mails that arrived in clear text.
    pub in_clear: u64,
    /// Mails that wait with its mail server.
    pub waiting: u64,
    /// Mails that attackers read, whatever became of them.
    pub overheard: u64,
}
