//! What the RFCs say about transport security of mail, and what we conclude from facts.
//!
//! Two kinds of code live here. *Formats* read and write what travels between servers: MTA-STS
//! records and policies (RFC 8461), TLS-RPT records and reports (RFC 8460), TLSA records (RFC 6698).
//! *Judgements* turn facts into conclusions: whether a certificate satisfies a record, what an audit
//! finds, whether it is safe to enforce.
//!
//! Nothing here opens a socket or a file, asks for the time, knows async or SQL, or logs. Facts and
//! `now` come in, values go out; whoever gathers the facts (`net`), keeps them (`store`) or shows
//! the conclusions (`web`, `cli`) does so with these words.

pub mod audit;
pub mod chain;
pub mod clock;
pub mod dane;
pub mod delivery;
pub mod dns;
pub mod domain;
pub mod explain;
pub mod facts;
pub mod finding;
pub mod lint;
pub mod mta_sts;
pub mod postfix;
pub mod rollout;
pub mod tlsrpt;

pub use clock::Clock;
pub use domain::{DomainName, MxHost, PolicyDomain};
pub use finding::{Finding, Severity};
