//! Scenarios: stories of what happens to a domain, played in the world against the product.
//!
//! One TOML file is a test, a demonstration and a page of the manual. It names the world as it is at
//! first, then the steps: what somebody does, and what must be true afterwards. An unknown key is an
//! error, so that a misspelt expectation cannot pass unnoticed.

mod play;
mod stage;

use std::collections::BTreeMap;

use mailward_core::mta_sts::Mode;
use serde::Deserialize;

use crate::ca::CertificateKind;
use crate::dns::{Fault, Security};
use crate::policy_host::Answer;
use crate::smtp::Behaviour;

pub use play::{Mismatch, Narrator, Silent, Story};
pub use stage::Stage;

/// A story.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// As typed after `mailward demo`.
    pub name: String,
    /// One line.
    pub summary: String,
    /// What it shows and why it matters, in a few sentences.
    pub story: String,
    /// How many days before "now" it begins.
    pub starts_days_ago: u32,
    /// Zones at first.
    #[serde(default, rename = "zone")]
    pub zones: Vec<ZoneSpec>,
    /// MX hosts at first.
    #[serde(default, rename = "mx")]
    pub mx: Vec<MxSpec>,
    /// Policies of domains that mailward does not hold.
    #[serde(default, rename = "policy")]
    pub policies: Vec<PolicySpec>,
    /// Who sends mail and reports.
    #[serde(default, rename = "sender")]
    pub senders: Vec<SenderSpec>,
    /// Who stands in the way; not active at first.
    #[serde(default, rename = "attacker")]
    pub attackers: Vec<AttackerSpec>,
    /// What happens.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ZoneSpec {
    /// Its apex.
    pub name: String,
    /// How it stands to DNSSEC.
    #[serde(default = "signed")]
    pub security: Security,
    /// Lines `OWNER TYPE DATA`; an owner without a final dot lies in the zone, `@` is the apex.
    #[serde(default)]
    pub records: Vec<String>,
}

fn signed() -> Security {
    Security::Signed
}

/// An MX host; its A record comes with it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MxSpec {
    /// Its name.
    pub host: String,
    /// How it behaves.
    #[serde(default)]
    pub behaviour: Behaviour,
    /// What certificate it shows.
    #[serde(default)]
    pub certificate: CertificateKind,
}

/// A policy served by the lab.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PolicySpec {
    /// The domain.
    pub domain: String,
    /// The body.
    pub body: String,
    /// The id in the record; no record without it.
    pub id: Option<String>,
    /// How the host answers.
    #[serde(default)]
    pub answer: Answer,
    /// Its certificate.
    #[serde(default)]
    pub certificate: CertificateKind,
}

/// What the reports of a sender look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// As RFC 8460 has it.
    #[default]
    Plain,
    /// The deviations of a large provider that reports success, too.
    Google,
    /// The deviations of the other one: the same sessions under `tlsa` and under `sts`.
    Microsoft,
}

/// A sending organisation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SenderSpec {
    /// Its domain, which signs its reports; the steps name it so.
    pub domain: String,
    /// organization-name in its reports.
    pub organization: String,
    /// What its reports look like.
    #[serde(default)]
    pub shape: Shape,
    /// Whether its reports are signed.
    #[serde(default = "yes")]
    pub signs: bool,
}

fn yes() -> bool {
    true
}

/// Someone in the path of some senders.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AttackerSpec {
    /// How the steps name it.
    pub name: String,
    /// Domains of the senders in whose path it stands.
    pub senders: Vec<String>,
    /// What it does.
    pub attack: AttackSpec,
}

/// What an attacker does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum AttackSpec {
    /// Removes STARTTLS from the replies of this MX host.
    StripStarttls {
        /// The host.
        mx: String,
    },
    /// Puts plain text behind the 220 to STARTTLS of this MX host.
    Inject {
        /// The host.
        mx: String,
    },
    /// Forges the MX answer for a domain.
    Redirect {
        /// The domain.
        domain: String,
        /// An MX host of the world to which mail is drawn.
        to: String,
    },
}

/// One thing that happens, and what is true afterwards.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The narration.
    pub say: String,
    /// What is done, in this order.
    #[serde(default, rename = "do")]
    pub actions: Vec<Action>,
    /// What must be true then.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

/// Something that somebody does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Action {
    /// Sets all records of a type at a name; none removes them.
    Record {
        /// Owner.
        name: String,
        /// Type.
        rtype: String,
        /// Values.
        values: Vec<String>,
    },
    /// Makes a name misbehave, or mends it (no fault).
    DnsFault {
        /// Owner.
        name: String,
        /// What it does; nothing mends it.
        fault: Option<Fault>,
    },
    /// Gives an MX host another certificate.
    MxCertificate {
        /// The host.
        host: String,
        /// Its certificate.
        kind: CertificateKind,
    },
    /// Changes how an MX host behaves.
    MxBehaviour {
        /// The host.
        host: String,
        /// What it does.
        behaviour: Behaviour,
    },
    /// An MX host stops answering.
    MxDown(String),
    /// It answers again.
    MxUp(String),
    /// Changes a policy served by the lab.
    PolicyBody {
        /// The domain.
        domain: String,
        /// The body.
        body: String,
    },
    /// `mta-sts.<domain>` of a domain held points to nowhere.
    PolicyHostDown(String),
    /// It points to mailward (again).
    PolicyHostUp(String),
    /// A cache in front of mailward's policy host keeps what is served there now, and serves that.
    PolicyHostCached(String),
    /// Mailward's policy host gets another certificate for a domain held.
    PolicyHostCertificate {
        /// The domain.
        domain: String,
        /// Its certificate.
        kind: CertificateKind,
    },
    /// An attacker becomes active.
    Attack(String),
    /// An attacker gives up.
    Relent(String),
    /// A sender has mail for a domain now.
    Mail {
        /// Domain of the sender.
        from: String,
        /// Domain of the recipient.
        to: String,
        /// How many sessions it counts for.
        #[serde(default = "one")]
        sessions: u64,
        /// What must become of it.
        outcome: Outcome,
    },
    /// Days pass with mail: each day every sender named has mail, and the day after it sends its reports.
    Traffic {
        /// How many days.
        days: u32,
        /// Domains of the senders.
        from: Vec<String>,
        /// Domain of the recipient, or several.
        to: Recipients,
        /// Sessions of each sender a day.
        sessions: u64,
    },
    /// Time passes, in steps of six hours, each with a round of the monitor.
    Hours(u32),
    /// A sender reports on the day before.
    Report(String),
    /// Somebody sends figures for yesterday that nobody counted, without a signature.
    Lie {
        /// Who it claims to be: organization-name.
        organization: String,
        /// Who it claims to be: the domain in contact-info.
        claims: String,
        /// What it looks like: the id follows the shape, so that a lie can bear the id of a true report.
        #[serde(default)]
        shape: Shape,
        /// By HTTPS to the address that mailward takes reports at; else by mail.
        #[serde(default = "yes")]
        posted: bool,
        /// The domain lied about.
        about: String,
        /// Invented.
        successful: u64,
        /// Invented.
        failed: u64,
        /// Invented.
        result_type: Option<String>,
    },
    /// The operator lets mailward hold a domain. Reports go to a mailbox of the domain.
    Hold(PolicyAction),
    /// The operator changes the policy.
    SetPolicy(PolicyAction),
    /// The operator publishes the records that mailward names.
    Publish(String),
    /// The monitor looks once.
    Monitor(String),
    /// Mailward reads its mailboxes.
    TakeInReports {},
}

/// One domain, or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Recipients {
    /// One.
    One(String),
    /// Several: mail for each of them every day.
    Several(Vec<String>),
}

impl Recipients {
    /// Their names.
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

fn one() -> u64 {
    1
}

/// A policy as the operator wants it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PolicyAction {
    /// The domain.
    pub domain: String,
    /// Mode.
    pub mode: Mode,
    /// Patterns.
    pub mx: Vec<String>,
    /// Seconds.
    #[serde(default = "a_day")]
    pub max_age: u32,
    /// The id is forgotten.
    #[serde(default)]
    pub keep_id: bool,
}

fn a_day() -> u32 {
    86_400
}

/// What became of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All of it arrived over TLS.
    Delivered,
    /// Some of it arrived in clear text.
    ClearText,
    /// Some of it waits with the sender.
    Deferred,
}

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
}

/// Why a scenario file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct ScenarioError {
    /// Which.
    pub name: String,
    /// What is wrong, with the line.
    pub why: String,
}

impl Scenario {
    /// Reads one file.
    ///
    /// # Errors
    /// When it is no TOML, or has a key that is not known.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        toml::from_str(text).map_err(|e| ScenarioError { name: name.to_owned(), why: e.to_string() })
    }

    /// Every scenario that comes with mailward, in the order in which to read them.
    pub fn all() -> Vec<Self> {
        FILES
            .iter()
            .map(|(name, text)| Self::parse(name, text).expect("a test reads every file that is built in"))
            .collect()
    }

    /// The scenario of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|scenario| scenario.name == name)
    }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../scenarios/", $name, ".toml")))),*
        ];
    };
}

files![
    "living-world",
    "clean-rollout",
    "forgotten-backup-mx",
    "expired-certificate",
    "stripped-starttls",
    "same-id-new-policy",
    "new-id-old-policy",
    "policy-host-down",
    "lying-report",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_reads_and_is_named_as_it_says() {
        for (name, text) in FILES {
            let scenario = Scenario::parse(name, text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(scenario.name, *name);
            assert!(!scenario.summary.contains('\n') && !scenario.summary.ends_with('.'), "{name}: one line");
            let expectations: usize = scenario.steps.iter().map(|step| step.expect.len()).sum();
            assert!(expectations > 0, "{name} expects nothing");
        }
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        let good = "name='x'\nsummary='x'\nstory='x'\nstarts-days-ago=1\n[[step]]\nsay='x'\n";
        assert!(Scenario::parse("x", good).is_ok());
        for bad in ["expext=[]\n", "expect=[{domain='a', verdikt='safe'}]\n", "do=[{ advance=1 }]\n"] {
            assert!(Scenario::parse("x", &format!("{good}{bad}")).is_err(), "{bad}");
        }
    }
}
