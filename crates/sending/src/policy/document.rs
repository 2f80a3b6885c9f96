//! A decision as people read it: what `mailward lookup` prints, and what the map `mailward-trace` answers.

use jiff::Timestamp;
use mailward_core::PolicyDomain;
use mailward_core::delivery::{DeliveryPolicy, Level, Require};
use mailward_core::mta_sts::StsPolicy;
use mailward_core::postfix::answer;
use mailward_core::postfix::socketmap::Map;
use serde::{Deserialize, Serialize};

/// The schema of [`Document`].
pub const SCHEMA: &str = "mailward.lookup/1";

/// What a sender must do for a next hop, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: String,
    /// The next hop.
    pub domain: PolicyDomain,
    /// `dane`, `mta-sts-enforce`, `mta-sts-testing`, `opportunistic` or `defer`.
    pub decision: String,
    /// The MTA-STS policy in force, also in testing mode.
    pub policy: Option<StsPolicy>,
    /// The MX hosts, best preference first.
    pub mx: Vec<HostLine>,
    /// The answer for the map `mailward`.
    pub postfix: String,
    /// The answer for the map `mailward-tlsrpt`.
    pub postfix_tlsrpt: String,
    /// The operator's word, if there is one.
    pub operator: Option<OperatorLine>,
    /// Until when the policy is in force.
    pub expires_at: Option<Timestamp>,
    /// Why, step by step.
    pub trace: Vec<String>,
    /// Where it comes from.
    pub source: Source,
}

/// One MX host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLine {
    /// Its name.
    pub host: String,
    /// Whether mail may go to it.
    pub allowed: bool,
    /// What a connection must bring, in words.
    pub requirement: String,
    /// Why.
    pub why: String,
}

/// What the operator requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorLine {
    /// What.
    pub require: Require,
    /// Until when; `None` until it is removed.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// Who said so, where that is known.
    pub author: Option<String>,
}

/// Where a decision comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The running cache: what mail obeys.
    Cache,
    /// A look with an empty cache.
    Live,
}

/// What a document is made of beside the decision.
pub(super) struct About<'a> {
    pub(super) domain: &'a PolicyDomain,
    pub(super) body: Option<&'a [u8]>,
    pub(super) operator: Option<OperatorLine>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) trace: Vec<String>,
    pub(super) source: Source,
}

/// Puts it together.
pub(super) fn document(decided: &DeliveryPolicy, about: About<'_>) -> Document {
    let mut trace = about.trace;
    trace.extend(decided.reasons.iter().map(|reason| reason.sentence()));
    trace.push(conclusion(decided));
    let mx = decided.hosts.iter().map(|host| HostLine {
        host: host.host.to_string(),
        allowed: host.allowed,
        requirement: host.requirement.sentence().to_owned(),
        why: host.why.clone(),
    });
    Document {
        schema: SCHEMA.to_owned(),
        domain: about.domain.clone(),
        decision: decided.decision().to_owned(),
        policy: decided.sts.clone(),
        mx: mx.collect(),
        postfix: answer::render(about.domain, decided, about.body, Map::Plain),
        postfix_tlsrpt: answer::render(about.domain, decided, about.body, Map::TlsRpt),
        operator: about.operator,
        expires_at: about.expires_at.filter(|_| decided.sts.is_some()),
        trace,
        source: about.source,
    }
}

/// The last step of the argument.
fn conclusion(decided: &DeliveryPolicy) -> String {
    match decided.level {
        Level::DaneOnly => "so every mail server used must show a certificate that matches its TLSA records",
        Level::Dane => {
            "so each mail server with TLSA records must meet them; the others get TLS where it works"
        }
        Level::Secure if decided.names.is_empty() => {
            "so mail is deferred: the policy is enforced and names none of the mail servers"
        }
        Level::Secure => {
            "so only the hosts named may be used, over TLS with a trusted certificate for their name"
        }
        Level::Encrypt => "so mail goes over TLS only, and nobody is authenticated",
        Level::May => "so mail goes over TLS where it works, whatever the mail server's own level",
        Level::NoDemand if decided.decision() == "mta-sts-testing" => {
            "so mail flows as before, and failures are reported"
        }
        Level::NoDemand => "so nothing is demanded: the mail server's own level applies",
        Level::Defer => "so mail waits, and is tried again",
    }
    .to_owned()
}
