//! What happens in a step.

use mailward_core::mta_sts::Mode;
use serde::Deserialize;

use super::{Shape, yes};
use crate::ca::CertificateKind;
use crate::dns::Fault;
use crate::smtp::Behaviour;

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
        /// How many sessions it counts for; with an organisation, how many mails.
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
        /// Domain of the recipient, or several. Nobody sends to itself.
        to: Recipients,
        /// Sessions of each sender a day.
        sessions: u64,
    },
    /// Time passes, in steps of six hours, each with a round of the monitor.
    Hours(u32),
    /// Organisations: time passes until six in the morning (UTC) of the next day. Whoever reports has
    /// reported then, and every mail server has tried once more what waits with it.
    Night {},
    /// What waits with the mail server of an organisation is tried at once.
    Retry(String),
    /// The mail server of an organisation asks its policy daemon about a domain.
    Ask {
        /// Domain of the organisation.
        from: String,
        /// The domain asked about.
        about: String,
        /// How the answer begins. A policy that changed is learned behind an answer that still holds, so a
        /// moment may pass until it does.
        answer: String,
    },
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
