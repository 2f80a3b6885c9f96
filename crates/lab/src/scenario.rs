//! Scenarios: stories of what happens to a domain, played in the world against the product.
//!
//! One TOML file is a test, a demonstration and a page of the manual. It names the world as it is at
//! first, then the steps: what somebody does, and what must be true afterwards. An unknown key is an
//! error, so that a misspelt expectation cannot pass unnoticed.

mod action;
mod expectation;
mod play;
mod stage;

use serde::Deserialize;

use crate::ca::CertificateKind;
use crate::dns::Security;
use crate::policy_host::Answer;
use crate::smtp::Behaviour;

pub use action::{Action, Outcome, PolicyAction, Recipients};
pub use expectation::{Expectation, MailState};
pub use play::{Mismatch, Narrator, Silent, Story};
pub use stage::{House, Stage};

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
    /// Who runs mailward, both sides of it. Without any there is one mailward, for receiving alone.
    #[serde(default, rename = "organization")]
    pub organizations: Vec<OrganizationSpec>,
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
    /// Whether its key is published as a TLSA record.
    #[serde(default)]
    pub dane: bool,
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

/// An organisation with a mail server and a mailward of its own. The steps name it by its domain, which it
/// also holds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OrganizationSpec {
    /// Its domain.
    pub domain: String,
    /// organization-name in its reports.
    pub name: String,
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
    "two-organisations",
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
