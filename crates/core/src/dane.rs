//! DANE for SMTP (RFC 7672): TLSA records and whether a chain satisfies them.

pub mod tlsa;
pub mod verify;

pub use tlsa::{Tlsa, Unusable};
pub use verify::{DaneVerdict, verify};
