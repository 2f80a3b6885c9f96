//! Fetches a policy: HTTPS only, no redirects, 200 only, bounded in size and in total time.

use std::net::IpAddr;

use mailward_core::PolicyDomain;
use mailward_core::facts::{FetchError, FetchedPolicy};

use crate::Outside;

/// Fetches from the addresses given, in turn, within the total deadline.
///
/// # Errors
/// The cause, with what was seen of the certificate.
pub async fn fetch(
    outside: &Outside,
    domain: &PolicyDomain,
    addresses: &[IpAddr],
) -> Result<FetchedPolicy, FetchError> {
    let _ = (outside, domain, addresses);
    unimplemented!()
}
