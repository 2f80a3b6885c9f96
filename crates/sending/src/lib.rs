//! The sending side: what a mail server must do for a next hop, and what it reports back.
//!
//! This is the room for the policy cache with its refresh, the policy daemon for Postfix, the collector
//! of session results, the reporter and the relay. It is empty in this version: what a sender decides
//! stands in `mailward_core::mta_sts::cache`, and `mailward lookup` shows it for one domain.
//!
//! It will be the only room that meets both the store and the network while a mail waits, so its stance
//! is fixed from the start: what was once learned of a domain's policy is never forgotten because
//! something failed, and an answer from a fresh cache waits for nobody.
