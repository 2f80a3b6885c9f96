//! What a sender must do for a next hop: one decision from all facts (RFC 7672, RFC 8461).
//!
//! [`next_hop`] holds the facts of the DNS, [`host`] says what they mean for one MX host, [`decide`]
//! puts hosts, MTA-STS policy and the operator's word together to one [`DeliveryPolicy`]. How Postfix is
//! told so is `crate::postfix::answer`'s part.
//!
//! Three rules stand above all others. Where usable TLSA records are secure, they decide and a passing
//! MTA-STS never rescues a failing DANE (RFC 8461 §2). What could not be found out is never taken for
//! absence (RFC 7672 §2.1.1). And a broken TLSA answer below an unsigned address blocks no mail, since
//! nobody asks for it there (RFC 7672 §2.2.2).

pub mod branch;
pub mod decide;
pub mod host;
pub mod next_hop;
pub mod operator;
pub mod policy;
pub mod reason;

pub use branch::{Branch, DaneBranch};
pub use decide::{Known, Sts, by_word_alone, decide};
pub use host::{HostRequirement, HostState};
pub use next_hop::{HostAddresses, HostFacts, HostTlsa, NextHopFacts};
pub use operator::{OnDnsFailure, Override, Require};
pub use policy::{DeliveryPolicy, HostDecision, Level};
pub use reason::Reason;
