//! The sending side: what a mail server must do for a next hop, and what came of it.
//!
//! [`policy`] is the cache that finds it out and remembers it, [`policyd`] the server that Postfix asks.
//! It is the only room that meets both the store and the network while a mail waits, so its stance is
//! fixed: what was once learned of a domain's policy is never forgotten because something failed, and an
//! answer from a fresh cache waits for nobody. [`collector`] counts what mail servers tell of their
//! sessions; no mail waits for it. [`witness`] brings to it what policyd sees itself, [`prober`] what probes
//! find where a policy is in testing mode. [`reporter`] sends what was counted.

pub mod collector;
pub mod policy;
pub mod policyd;
pub mod prober;
pub mod reporter;
mod wanted;
pub mod witness;

pub use collector::Collector;
pub use policy::Policies;
pub use policyd::Policyd;
pub use prober::Prober;
pub use reporter::{Reporter, ReporterOptions};
pub use witness::Witness;
