//! MTA-STS (RFC 8461): the record that announces a policy, the policy, MX matching, the cache step.

pub mod cache;
pub mod coverage;
pub mod foreign;
pub mod policy;
pub mod publish;
pub mod record;

pub use policy::{Mode, MxPattern, PolicyError, StsPolicy};
pub use record::{RecordError, StsRecord};
