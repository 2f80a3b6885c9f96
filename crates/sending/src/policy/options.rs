//! How the policy cache works: `[policyd]` of the configuration, as far as it is not about sockets.

use std::time::Duration;

use mailward_core::delivery::OnDnsFailure;

/// Settings of the cache.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a record once looked at is believed; what is not there is believed no longer either.
    pub recheck: Duration,
    /// What the first question about a domain waits for.
    pub first_contact: FirstContact,
    /// What mail does when the DNS cannot say whether DANE applies.
    pub on_dns_failure: OnDnsFailure,
    /// Bytes that all entries may take, about.
    pub max_memory: u64,
    /// In how long the timer goes through everything once, to see what is due for a refresh.
    pub round: Duration,
    /// Whether other nodes write to the same store: what is not in memory may be there.
    pub shared: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recheck: Duration::from_secs(3600),
            first_contact: FirstContact::Wait,
            on_dns_failure: OnDnsFailure::LastKnown,
            max_memory: 512 * 1024 * 1024,
            round: Duration::from_secs(20),
            shared: false,
        }
    }
}

/// What the first question about a domain waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstContact {
    /// DNS and policy, at most five seconds.
    #[default]
    Wait,
    /// The DNS only: DANE is never skipped (RFC 7672 §2.1.2), the policy is fetched behind the answer and
    /// holds from the next question on, as RFC 8461 §5.1 allows.
    Async,
}
