//! DANE for SMTP (RFC 7672): TLSA records and whether a chain satisfies them.
//!
//! [`tlsa`] reads records and says which an SMTP sender can use; [`verify`] judges a chain by them, as a
//! sender does; [`assess`] says what each record is worth, as an auditor wants to know; [`lint`] says the
//! same of texts and a file. [`names`] says where the records of a host may stand. Whether they may be
//! believed at all (DNSSEC) and what follows for mail is decided in `crate::delivery`.

pub mod assess;
pub mod lint;
pub mod names;
mod outcome;
pub mod tlsa;
mod verdict;
pub mod verify;

pub use assess::{Assessment, assess, findings};
pub use lint::{LintedChain, PemError, lint, pem_chain};
pub use outcome::{Kind, RecordOutcome};
pub use tlsa::{Tlsa, Unusable};
pub use verdict::DaneVerdict;
pub use verify::{verify, verify_with};

pub use crate::chain::name::CommonName;
