//! The sending side: policy cache, policyd, collector, reporter, relay.
