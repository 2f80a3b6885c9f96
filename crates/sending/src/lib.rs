//! The sending side: what a mail server must do for a next hop.
//!
//! [`policy`] is the cache that finds it out and remembers it, [`policyd`] the server that Postfix asks.
//! It is the only room that meets both the store and the network while a mail waits, so its stance is
//! fixed: what was once learned of a domain's policy is never forgotten because something failed, and an
//! answer from a fresh cache waits for nobody.

pub mod policy;
pub mod policyd;

pub use policy::Policies;
pub use policyd::Policyd;
