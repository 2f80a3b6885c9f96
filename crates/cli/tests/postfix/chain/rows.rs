//! The domains of the chain: every way in which a session can end that Postfix tells of.

use mailward_lab::Behaviour::{self, Good, NoStarttls};
use mailward_lab::CertificateKind::{self, Expired, SelfSigned, WrongName};

use crate::house::{Site, Tlsa};
use crate::receiver::{HTTPS, MAIL};

/// A domain that mail is sent to.
pub struct Row {
    pub name: &'static str,
    pub furnish: fn(&Site),
    /// Where it wants its reports; `OWN` is a mailbox at its own MX host.
    pub reports: &'static [&'static str],
    /// What a session with it comes to: policy type, the kind of failure or none. `None`: no session.
    pub session: Session,
    /// Whether its mail waits.
    pub waits: bool,
}

pub const OWN: &str = "own";

/// Whose MX is broken gets its reports there, too: TLS must not stop the report on it (RFC 8689).
pub const ROWS: &[Row] = &[
    row("enforce", |s| sts(s, Good, CertificateKind::Good), &[MAIL, HTTPS], ok("sts")),
    row("expired", |s| sts(s, Good, Expired), &[OWN], bad("sts", "certificate-expired")),
    row("wrong-name", |s| sts(s, Good, WrongName), &[HTTPS], bad("sts", "certificate-host-mismatch")),
    row("self-signed", |s| sts(s, Good, SelfSigned), &[MAIL], bad("sts", "validation-failure")),
    row("no-starttls", |s| sts(s, NoStarttls, SelfSigned), &[OWN], bad("sts", "starttls-not-supported")),
    row("dane", |s| dane(s, SelfSigned, Tlsa::Key), &[HTTPS, MAIL], ok("tlsa")),
    row("both", both, &[MAIL], ok("tlsa")),
    row("mismatch", |s| dane(s, SelfSigned, Tlsa::OtherKey), &[OWN], bad("tlsa", "certificate-not-trusted")),
    // What cannot be used is delivered to without authentication. With an unknown matching type Postfix tells
    // of a failure, with a usage that says nothing on port 25 of no policy.
    Row {
        waits: false,
        ..row("odd-digest", |s| dane(s, SelfSigned, Tlsa::OddDigest), &[MAIL], bad("tlsa", "tlsa-invalid"))
    },
    row("unusable", |s| dane(s, SelfSigned, Tlsa::Unusable), &[MAIL], ok("no-policy-found")),
    // Postfix does not know of a policy that is only tested.
    row("testing", testing, &[MAIL], ok("no-policy-found")),
    row(
        "plain",
        |s| {
            s.mx("mx1", Good, SelfSigned);
        },
        &[HTTPS],
        ok("no-policy-found"),
    ),
    // In clear text: no session with TLS, no report.
    row(
        "clear",
        |s| {
            s.mx("mx1", NoStarttls, SelfSigned);
        },
        &[MAIL],
        None,
    ),
];

type Session = Option<(&'static str, Option<&'static str>)>;

const fn row(
    name: &'static str,
    furnish: fn(&Site),
    reports: &'static [&'static str],
    session: Session,
) -> Row {
    Row { name, furnish, reports, session, waits: matches!(session, Some((_, Some(_)))) }
}

const fn ok(policy: &'static str) -> Session {
    Some((policy, None))
}

const fn bad(policy: &'static str, failure: &'static str) -> Session {
    Some((policy, Some(failure)))
}

fn sts(site: &Site, behaviour: Behaviour, kind: CertificateKind) {
    site.mx("mx1", behaviour, kind);
    site.policy("enforce", "1", &["mx1"]);
}

fn testing(site: &Site) {
    site.mx("mx1", Good, SelfSigned);
    site.policy("testing", "1", &["mx1"]);
}

fn dane(site: &Site, kind: CertificateKind, tlsa: Tlsa) {
    let address = site.mx("mx1", Good, kind);
    site.tlsa("mx1", address, tlsa);
}

fn both(site: &Site) {
    dane(site, CertificateKind::Good, Tlsa::Key);
    site.policy("enforce", "1", &["mx1"]);
}

impl Row {
    pub fn domain(&self) -> String {
        format!("{}.test", self.name)
    }

    /// The mailbox for reports at its own MX host.
    pub fn own(&self) -> String {
        format!("tls@{}", self.domain())
    }

    pub fn record(&self) -> String {
        let uris = self.reports.iter().map(|uri| match *uri {
            OWN => format!("mailto:{}", self.own()),
            uri => uri.to_owned(),
        });
        format!("v=TLSRPTv1; rua={}", uris.collect::<Vec<_>>().join(","))
    }
}
