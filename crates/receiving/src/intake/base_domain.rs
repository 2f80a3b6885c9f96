//! What is told of DANE is put down to the domain that the mail was for.
//!
//! The policy domain of a TLSA policy is the TLSA base domain (RFC 8460 §4.4, §1.1), which is mostly the name
//! of an MX host: no domain that anybody holds. The domain reported to is the one that the mail around the
//! report names, else the one held domain whose policy names the host. Where several share the host and no
//! mail tells, nobody knows, and the entry stays as it is.

use mailward_core::tlsrpt::{MailFacts, PolicyType, Report};
use mailward_core::{DomainName, Finding};

use super::held::Known;

/// Does so. Whose report it is decides nothing here: whoever can write a mail's header can write a policy
/// domain.
pub(super) fn resolve(reports: &mut [(Report, Vec<Finding>)], mail: Option<&MailFacts>, held: &Known) {
    let told = mail.and_then(|mail| DomainName::parse(mail.report_domain.as_deref()?).ok());
    let told = told.filter(|domain| held.contains(domain));
    let policies = reports.iter_mut().flat_map(|(report, _)| &mut report.policies);
    for policy in policies.map(|entry| &mut entry.policy).filter(|p| p.policy_type == PolicyType::Tlsa) {
        let Some(base) = policy.policy_domain.as_ref().filter(|base| !held.contains(base)) else { continue };
        if let Some(domain) = told.as_ref().or_else(|| held.domain_of_host(base)) {
            if policy.mx_host.is_empty() {
                policy.mx_host.push(base.to_string());
            }
            policy.policy_domain = Some(domain.clone());
        }
    }
}
