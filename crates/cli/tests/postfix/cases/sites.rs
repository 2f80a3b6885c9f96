//! How a recipient's domain is made, for each row.

use mailward_lab::Behaviour::{self, Good};
use mailward_lab::CertificateKind::{self, SelfSigned};
use mailward_lab::Security::{self, Signed, Unsigned};
use mailward_lab::{Answer, Fault};

use crate::house::{Site, Tlsa};

/// One MX host under an enforced policy.
pub fn enforced(site: &Site, behaviour: Behaviour, kind: CertificateKind) {
    site.mx("mx1", behaviour, kind);
    site.policy("enforce", "1", &["mx1"]);
}

/// The same with a TLSA record.
pub fn both(site: &Site, kind: CertificateKind, tlsa: Tlsa) {
    let address = site.mx("mx1", Good, kind);
    site.tlsa("mx1", address, tlsa);
    site.policy("enforce", "1", &["mx1"]);
}

/// One MX host with a TLSA record.
pub fn dane(site: &Site, behaviour: Behaviour, kind: CertificateKind, tlsa: Tlsa) {
    let address = site.mx("mx1", behaviour, kind);
    site.tlsa("mx1", address, tlsa);
}

pub fn plain(site: &Site, behaviour: Behaviour) {
    site.mx("mx1", behaviour, SelfSigned);
}

pub fn outside(site: &Site) {
    site.mx("mx1", Good, CertificateKind::Good);
    site.policy("enforce", "1", &["other"]);
}

pub fn first_outside(site: &Site) {
    site.mx("mx1", Good, CertificateKind::Good);
    site.mx("mx2", Good, CertificateKind::Good);
    site.policy("enforce", "1", &["mx2"]);
}

pub fn star(site: &Site, label: &str) {
    site.mx(label, Good, CertificateKind::Good);
    site.policy("enforce", "1", &["*"]);
}

pub fn lenient(site: &Site, mode: &str, behaviour: Behaviour) {
    site.mx("mx1", behaviour, SelfSigned);
    site.policy(mode, "1", &["mx1"]);
}

pub fn never_had(site: &Site, answer: Answer) {
    lenient(site, "enforce", Good);
    site.world.policy_hosts.set_answer(&site.host("mta-sts"), answer);
}

/// The domain's zone is unsigned, that of its host is signed.
pub fn half_dane(site: &Site, tlsa: Tlsa) {
    let hosts = hosts_of(site, Signed);
    let address = hosts.mx("mx1", Good, SelfSigned);
    hosts.tlsa("mx1", address, tlsa);
    mx_is(site, &hosts.host("mx1"));
}

pub fn bogus_tlsa(site: &Site) {
    dane(site, Good, SelfSigned, Tlsa::Key);
    site.world.dns.fault(&site.host("_25._tcp.mx1"), Some("TLSA"), Some(Fault::Bogus)).unwrap();
}

/// The host preferred has no TLSA record: only the policy vouches for it.
pub fn one_of_two(site: &Site) {
    site.mx("mx1", Good, CertificateKind::Good);
    let second = site.mx("mx2", Good, CertificateKind::Good);
    site.tlsa("mx2", second, Tlsa::Key);
    site.policy("enforce", "1", &["mx1", "mx2"]);
}

pub fn tlsa_fails(site: &Site, labels: &[&str]) {
    for label in labels {
        let address = site.mx(label, Good, SelfSigned);
        site.tlsa(label, address, Tlsa::Key);
        let name = site.host(&format!("_25._tcp.{label}"));
        site.world.dns.fault(&name, Some("TLSA"), Some(Fault::ServFail)).unwrap();
    }
}

/// Only the host preferred cannot be trusted for lack of an answer.
pub fn tlsa_fails_at_one(site: &Site) {
    tlsa_fails(site, &["mx1"]);
    let second = site.mx("mx2", Good, SelfSigned);
    site.tlsa("mx2", second, Tlsa::Key);
}

/// Hosts of the domain lie in a zone of their own, which is returned.
fn hosts_of<'w>(site: &Site<'w>, security: Security) -> Site<'w> {
    Site::new(site.world, &format!("hosts-of-{}", site.domain), security)
}

fn mx_is(site: &Site, host: &str) {
    site.world.set(&site.domain, "MX", &[&format!("10 {host}.")]).unwrap();
}

pub fn insecure_address(site: &Site) {
    let hosts = hosts_of(site, Unsigned);
    hosts.mx("mx1", Good, SelfSigned);
    mx_is(site, &hosts.host("mx1"));
    site.world.dns.fault(&hosts.host("_25._tcp.mx1"), None, Some(Fault::ServFail)).unwrap();
}

pub fn ipv6_fails(site: &Site) {
    dane(site, Good, SelfSigned, Tlsa::Key);
    site.world.dns.fault(&site.host("mx1"), Some("AAAA"), Some(Fault::ServFail)).unwrap();
}

/// The MX record names an alias of the host; the label says which of both has the TLSA record.
pub fn alias(site: &Site, label: &str, tlsa: Tlsa) {
    let address = site.mx("mx1", Good, SelfSigned);
    site.world.set(&site.host("alias"), "CNAME", &[&format!("{}.", site.host("mx1"))]).unwrap();
    mx_is(site, &site.host("alias"));
    site.tlsa(label, address, tlsa);
}

/// The alias is signed and has a TLSA record, its host is neither.
pub fn alias_out(site: &Site, tlsa: Tlsa) {
    let hosts = hosts_of(site, Unsigned);
    let address = hosts.mx("mx1", Good, SelfSigned);
    site.world.set(&site.host("alias"), "CNAME", &[&format!("{}.", hosts.host("mx1"))]).unwrap();
    mx_is(site, &site.host("alias"));
    site.tlsa("alias", address, tlsa);
}

/// The alias may be forged, so the TLSA record of its host says nothing, and this one would not match.
pub fn alias_from_unsigned(site: &Site) {
    let hosts = hosts_of(site, Signed);
    let address = hosts.mx("mx1", Good, SelfSigned);
    hosts.tlsa("mx1", address, Tlsa::OtherKey);
    site.world.set(&site.host("alias"), "CNAME", &[&format!("{}.", hosts.host("mx1"))]).unwrap();
    mx_is(site, &site.host("alias"));
}

pub fn tlsa_is_alias(site: &Site) {
    let address = site.mx("mx1", Good, SelfSigned);
    let record = Tlsa::Key.records(site.world, &site.world.mx_hosts.identity(address).unwrap());
    site.world.set(&site.host("_tlsa"), "TLSA", &[&record[0]]).unwrap();
    site.world.set(&site.host("_25._tcp.mx1"), "CNAME", &[&format!("{}.", site.host("_tlsa"))]).unwrap();
}
